package mqtt

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	own := map[string]float64{"heat": 2, "idle": 0, "open": 7}
	for _, c := range []struct {
		text, path string
		want       float64
		says       string // of an error
	}{
		{"21.5", "", 21.5, ""},
		{" 21.5\n", "", 21.5, ""},
		{"-3e2", "", -300, ""},
		{"21.5 °C", "", 21.5, ""},
		{"45%", "", 45, ""},
		{"3kWh", "", 3, ""},
		{"5e", "", 5, ""},
		{"ON", "", 1, ""},
		{"Closed", "", 0, ""},
		{"open", "", 7, ""},
		{"HEAT", "", 2, ""},
		{`"12"`, "", 12, ""},
		{`true`, "", 1, ""},
		{`{"temperature":21.5,"battery":90}`, "temperature", 21.5, ""},
		{`{"temperature":21.5}`, "path:temperature", 21.5, ""},
		{`{"SI7021":{"Temperature":"22.1"}}`, "SI7021.Temperature", 22.1, ""},
		{`{"relays":[{"ison":true}]}`, "relays[0].ison", 1, ""},
		{`[1,2,3]`, "[-1]", 3, ""},
		{`{"s":[{"id":7,"v":1},{"id":8,"v":2}]}`, `s[id=8].v`, 2, ""},
		{`{"b":2}`, "a|b", 2, ""},
		{`4`, ".", 4, ""},
		{`{"a":18446744073709551615}`, "a", 18446744073709551615, ""},
		{"", "", 0, "no such value"},
		{`{"a":1}`, "b", 0, "no such value"},
		{`{"a":null}`, "a", 0, "no such value"},
		{`{"a":{"b":1}}`, "a", 0, "JSON with \"b\""},
		{`{"a":[1,2]}`, "a", 0, "a list of 2"},
		{`{"temperature":1}`, "", 0, "value: temperature"},
		{`{"a":1`, "a", 0, "not JSON"},
		{`{"a":1} x`, "a", 0, "not JSON"},
		{`{"a":"warm"}`, "a", 0, "words"},
		{"2026-11-22", "", 0, "no number"},
		{"10.0.0.1", "", 0, "no number"},
		{"1 2", "", 0, "no number"},
		{"NaN", "", 0, "no number"},
		{"Inf", "", 0, "no number"},
		{"0x10", "", 0, "no number"},
		{"1e999", "", 0, "no number"},
		{"\xff\x00", "", 0, "no number"},
		{`{"a":""}`, "a", 0, "empty"},
	} {
		p := payload{text: []byte(c.text)}
		r, err := newRule(&Topic{Topic: "t", Value: c.path, Metric: "m"}, &Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.number(r.path, own)
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) || c.says == "" && err != nil {
			t.Errorf("%q at %q: %v, expected %q", c.text, c.path, err, c.says)
		}
		if got != c.want {
			t.Errorf("%q at %q: %v, expected %v", c.text, c.path, got, c.want)
		}
	}
}

// FuzzNumber reads what was written, in each of the ways there are.
func FuzzNumber(f *testing.F) {
	f.Add(21.5, "a.b", "")
	f.Add(-1e-300, "x", "kWh")
	f.Add(math.MaxFloat64, "", " °C")
	f.Fuzz(func(t *testing.T, v float64, name, unit string) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if got, err := numberOf(text, nil); err != nil || got != v {
			t.Fatalf("%s: %v, %v", text, got, err)
		}
		if got, err := numberOf(text+unit, nil); err == nil && got != v && !strings.HasPrefix(strings.ToLower(unit), "e") && strings.Trim(unit, "0123456789.") == unit {
			t.Fatalf("%s with %q: %v", text, unit, got)
		}
		key, err := json.Marshal(map[string]any{name: []any{nil, map[string]any{"v": v}}})
		if err != nil {
			return
		}
		var back map[string]any // a name that is no UTF-8 changes in JSON
		if json.Unmarshal(key, &back) != nil {
			t.Fatal("JSON")
		}
		for name = range back {
		}
		path, err := pathOf("." + "|" + strconv.Quote("x")) // the whole, which is no single value
		if err != nil {
			t.Fatal(err)
		}
		p := payload{text: key}
		if _, err := p.number(path, nil); err == nil || errors.Is(err, errAbsent) {
			t.Fatalf("the whole of %s: %v", key, err)
		}
		path, err = pathOf(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"[1].v`)
		if err != nil {
			return // longer than a path may be
		}
		if got, err := p.number(path, nil); err != nil || got != v {
			t.Fatalf("%s at %s: %v, %v", key, path, got, err)
		}
	})
}

// FuzzPayload holds whatever comes against the standard library: a value that is
// told is finite, and it is what a decoder finds at the place.
func FuzzPayload(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":"ON"}`, `{"a":{"a":1}}`, `[]`, `1`, `21,5`, `"x`, `{"a":1}{"a":2}`, `{"a":1,"a":2}`, "\xef\xbb\xbf1"} {
		f.Add([]byte(s))
	}
	path, err := pathOf("a")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := payload{text: data}
		if v, err := p.number(nil, nil); err == nil {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%q: %v", data, v)
			}
			if plain, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64); err == nil && plain != v {
				t.Fatalf("%q: %v, expected %v", data, v, plain)
			}
		}
		v, err := p.number(path, nil)
		var tree map[string]any
		if json.Unmarshal(data, &tree) != nil {
			if err == nil {
				t.Fatalf("%q is no document, and %v was found", data, v)
			}
			return
		}
		switch want := tree["a"].(type) {
		case float64:
			if err != nil || v != want {
				t.Fatalf("%q: %v, %v", data, v, err)
			}
		case nil:
			if !errors.Is(err, errAbsent) {
				t.Fatalf("%q: %v, %v", data, v, err)
			}
		case []any, map[string]any:
			if err == nil {
				t.Fatalf("%q: %v", data, v)
			}
		}
	})
}
