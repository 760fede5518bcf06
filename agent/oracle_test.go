package agent

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// recording is an independent reading of a .snmprec file: OID to tag and bytes.
type recording map[string]recorded

type recorded struct {
	tag string
	raw []byte
}

func readRecording(t *testing.T, path string) recording {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rec := recording{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		oid, rest, ok := strings.Cut(lines.Text(), "|")
		tag, value, ok2 := strings.Cut(rest, "|")
		if !ok || !ok2 {
			continue
		}
		raw := []byte(value)
		if strings.HasSuffix(tag, "x") {
			if raw, err = hex.DecodeString(value); err != nil {
				continue
			}
		}
		rec[strings.TrimPrefix(oid, ".")] = recorded{strings.TrimRight(tag, "xe"), raw}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rec
}

// number is the cell as a metric value; ok is false for texts.
func (r recorded) number() (n int64, ok bool) {
	switch r.tag {
	case "2", "65", "66", "67", "70":
		u, err := strconv.ParseUint(strings.TrimSpace(string(r.raw)), 10, 64)
		if err != nil {
			i, err := strconv.ParseInt(strings.TrimSpace(string(r.raw)), 10, 64)
			return i, err == nil
		}
		return int64(u), true
	}
	return 0, false
}

// text is the cell as a dimension value.
func (r recorded) text() string {
	switch r.tag {
	case "4":
		return readable(r.raw)
	case "6":
		return strings.TrimPrefix(string(r.raw), ".")
	}
	return strings.TrimSpace(string(r.raw))
}

// readable is what an OCTET STRING is to people: text where it is text, else
// its bytes in hexadecimal.
func readable(raw []byte) string {
	s := strings.TrimRight(string(raw), "\x00")
	if !utf8.ValidString(s) {
		return "?"
	}
	clean := strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", " "))
	for _, r := range clean {
		if !unicode.IsPrint(r) {
			return "?"
		}
	}
	return clean
}

// expectation is what one poll must give: key and dimensions to values. More
// than one value means that rows share a series.
type expectation map[string][]int64

// expect reads a manifest as plain YAML and works out what a poll with all
// feature sets gives, in a way of its own: by looking the recording up, row by
// row. Counters are listed under "count" with the reading itself.
func expect(t *testing.T, manifestPath string, rec recording, v1 bool) (gauges, counts expectation) {
	t.Helper()
	data, err := os.ReadFile(manifestPath)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		SNMP []map[string]any `yaml:"snmp"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	gauges, counts = expectation{}, expectation{}
	for _, g := range doc.SNMP {
		level(rec, g, g, v1, gauges, counts)
		for _, s := range list(g["subgroups"]) {
			level(rec, g, s, v1, gauges, counts)
		}
	}
	return gauges, counts
}

func list(v any) []map[string]any {
	var out []map[string]any
	items, _ := v.([]any)
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func level(rec recording, group, here map[string]any, v1 bool, gauges, counts expectation) {
	table, _ := here["table"].(bool)
	dims := map[string]string{"device.address": "this:device.address"}
	for _, d := range list(group["dimensions"]) {
		dims[d["key"].(string)] = d["value"].(string)
	}
	for _, d := range list(here["dimensions"]) {
		dims[d["key"].(string)] = d["value"].(string)
	}
	for _, m := range list(here["metrics"]) {
		oid := strings.TrimPrefix(strings.TrimPrefix(m["value"].(string), "oid:"), ".")
		into := gauges
		if m["type"] == "count" {
			into = counts
		}
		for index, cell := range rec.at(oid, table) {
			n, ok := cell.number()
			if !ok || v1 && cell.tag == "70" {
				continue
			}
			id := m["key"].(string) + rec.dims(dims, index, table)
			into[id] = append(into[id], n)
		}
	}
}

// at gives the cells of a column by index, or the one of a scalar under "".
func (rec recording) at(oid string, table bool) map[string]recorded {
	out := map[string]recorded{}
	if !table {
		if cell, ok := rec[oid]; ok {
			out[""] = cell
		}
		return out
	}
	for name, cell := range rec {
		if index, ok := strings.CutPrefix(name, oid+"."); ok {
			out[index] = cell
		}
	}
	return out
}

// dims prints the dimensions of a row, sorted, empty ones left out.
func (rec recording) dims(dims map[string]string, index string, table bool) string {
	var parts []string
	for key, source := range dims {
		value := ""
		switch kind, rest, _ := strings.Cut(source, ":"); kind {
		case "oid":
			oid := strings.TrimPrefix(rest, ".")
			if table && !strings.HasSuffix(oid, ".0") {
				oid += "." + index
			}
			if cell, ok := rec[oid]; ok {
				value = cell.text()
			}
		case "const":
			value = rest
		case "this":
			value = "<" + rest + ">"
		}
		if value != "" {
			parts = append(parts, fmt.Sprintf(",%s=%s", key, value))
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, "")
}
