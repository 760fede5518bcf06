package extension_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// This file is a second, deliberately simple interpreter of packages: it goes
// through the manifest and the recording row by row, without tables, series or
// baselines, and shares nothing with the real one but YAML. What both say of a
// package is compared line by line.

// oracle is one package on one device.
type oracle struct {
	manifest    map[string]any
	sets        []string
	vars        map[string]string
	address     string
	name        string
	port        int
	site        string // with identity: site
	first, then recording
	names       map[string]map[int64]string // texts of enumerations by column, as MIB files give them
}

// parsed is a manifest as plain YAML.
func parsed(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var manifest map[string]any
	if err := yaml.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest
}

func objects(v any) []map[string]any {
	list, _ := v.([]any)
	var all []map[string]any
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func word(m map[string]any, keys ...string) string {
	for _, key := range keys {
		if v, ok := m[key]; ok && v != nil {
			return fmt.Sprint(v)
		}
	}
	return ""
}

// sample is one number before lines of one series are put together.
type sample struct {
	value float64
	from  string // OID and row: the same cell is not told twice
}

type lines map[string][]sample // by key, type and dimensions

// expected gives the lines of all metrics of one interval, at the second of
// two polls or, with counts false, at the first.
func (o *oracle) expected(minutes int, counts bool) []string {
	found := lines{}
	for _, group := range objects(o.manifest["snmp"]) {
		levels := append([]map[string]any{group}, objects(group["subgroups"])...)
		for i, level := range levels {
			var inherited []map[string]any
			if i > 0 {
				inherited = objects(group["dimensions"])
			}
			l := oracleLevel{oracle: o, group: group, level: level, table: level["table"] == true, counts: counts}
			l.dims = mergeDims(inherited, objects(level["dimensions"]))
			l.collect(minutes, found)
		}
	}
	return found.lines()
}

func mergeDims(group, own []map[string]any) []map[string]any {
	var all []map[string]any
	for _, d := range group {
		again := slices.ContainsFunc(own, func(x map[string]any) bool { return word(x, "key", "id") == word(d, "key", "id") })
		if !again {
			all = append(all, d)
		}
	}
	return append(all, own...)
}

type oracleLevel struct {
	*oracle
	group, level map[string]any
	table        bool
	counts       bool
	dims         []map[string]any
}

// interval is in minutes.
func interval(levels ...map[string]any) int {
	for _, l := range levels {
		switch v := l["interval"].(type) {
		case map[string]any:
			return v["minutes"].(int)
		case string:
			n, _ := strconv.Atoi(strings.TrimSuffix(v, "m"))
			return n
		}
	}
	return 1
}

func (l oracleLevel) collect(minutes int, found lines) {
	for _, m := range objects(l.level["metrics"]) {
		set := word(m, "featureSet")
		if set == "" {
			set = word(l.level, "featureSet")
		}
		if set == "" {
			set = word(l.group, "featureSet")
		}
		chosen := set == "" || slices.Contains(l.sets, set) || slices.Contains(l.sets, "all")
		if chosen && interval(m, l.level, l.group) == minutes {
			l.metric(m, minutes, found)
		}
	}
}

func (l oracleLevel) metric(m map[string]any, minutes int, found lines) {
	value := word(m, "value")
	isCount := strings.HasPrefix(word(m, "type"), "count")
	if text, isConst := strings.CutPrefix(value, "const:"); isConst {
		number, _ := strconv.ParseFloat(text, 64)
		for _, row := range l.rowsOfConstant(minutes) {
			l.emit(m, row, sample{number, ""}, found)
		}
		return
	}
	oid := number(value)
	for _, row := range l.rowsOf(oid) {
		at := oid
		if row != "" {
			at += "." + row
		}
		now, ok := l.then[at].number()
		if !l.counts {
			now, ok = l.first[at].number()
		}
		if isCount {
			before, was := l.first[at].number()
			if !l.counts || !ok || !was {
				continue
			}
			now -= before
		}
		if ok {
			l.emit(m, row, sample{now, oid + " " + row}, found)
		}
	}
}

// number takes the OID out of "oid:.1.3.6".
func number(value string) string {
	return strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(value, "oid:")), ".")
}

// rowsOf are the rows of a column, or "" for a scalar.
func (l oracleLevel) rowsOf(oid string) []string {
	if !l.table || strings.HasSuffix(oid, ".0") {
		return []string{""}
	}
	return l.then.rows(oid)
}

// rowsOfConstant are the rows that any column of the level has; of a level that
// is no table one, where the device answered at all.
func (l oracleLevel) rowsOfConstant(minutes int) []string {
	var rows []string
	own, answered := false, false
	add := func(oid string) {
		if oid == "" {
			return
		}
		for _, row := range l.rowsOf(oid) {
			if row != "" {
				rows = append(rows, row)
				continue
			}
			own = true
			_, has := l.then[oid]
			answered = answered || has
		}
	}
	for _, m := range objects(l.level["metrics"]) {
		// Only what is polled together tells which rows there are.
		set := word(m, "featureSet")
		if set == "" {
			set = word(l.level, "featureSet")
		}
		if set == "" {
			set = word(l.group, "featureSet")
		}
		chosen := set == "" || slices.Contains(l.sets, set) || slices.Contains(l.sets, "all")
		if chosen && interval(m, l.level, l.group) == minutes && strings.HasPrefix(word(m, "value"), "oid:") {
			add(number(word(m, "value")))
		}
	}
	for _, d := range l.dims {
		if oid := dataOID(word(d, "value")); oid != "" {
			add(oid)
		}
	}
	if l.table {
		slices.Sort(rows)
		return slices.Compact(rows)
	}
	if own && !answered {
		return nil
	}
	return []string{""}
}

// dataOID is the OID that a dimension shows, also inside of a function.
func dataOID(value string) string {
	if strings.HasPrefix(value, "$") {
		_, args, _ := strings.Cut(value, ",")
		args, _, _ = strings.Cut(strings.TrimSuffix(args, ")"), ",")
		return number(strings.TrimSpace(args))
	}
	if strings.HasPrefix(value, "oid:") {
		return number(value)
	}
	return ""
}

// emit adds a line where all filters let it pass.
func (l oracleLevel) emit(m map[string]any, row string, s sample, found lines) {
	texts := map[string]string{}
	address, name := l.address, l.name
	for _, d := range l.dims {
		key, text := word(d, "key", "id"), l.dimension(word(d, "value"), row)
		if expression, given := l.filter(d); given {
			plain, _, _ := strings.Cut(text, "-") // a filter may speak of the number before its name
			if l.names[dataOID(word(d, "value"))] == nil {
				plain = text
			}
			if !passes(expression, plain) {
				return
			}
		}
		if strings.HasPrefix(word(d, "value"), "var:") && text == "" {
			continue // not set: as if it were not there
		}
		switch key {
		case "device.address":
			address = ""
		case "device.name":
			name = ""
		}
		if l.site != "" && text != "" && (key == "device.address" || word(d, "value") == "this:device.address") {
			text = l.site + "/" + text
		}
		texts[key] = text
	}
	if address != "" {
		if l.site != "" {
			address = l.site + "/" + address
		}
		texts["device.address"] = address
	}
	if name != "" {
		texts["device.name"] = name
	}
	kind := "gauge"
	if strings.HasPrefix(word(m, "type"), "count") {
		kind = "count"
	}
	id := word(m, "key", "id") + " " + kind
	for _, key := range sortedKeys(texts) {
		if texts[key] != "" {
			id += fmt.Sprintf(" %s=%q", key, texts[key])
		}
	}
	found[id] = append(found[id], s)
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// filter is the expression of a dimension's filter.
func (l oracleLevel) filter(d map[string]any) (string, bool) {
	text := word(d, "filter")
	if id, isVar := strings.CutPrefix(text, "var:"); isVar {
		text = l.vars[id]
	}
	text = strings.TrimSpace(strings.TrimPrefix(text, "const:"))
	return text, text != ""
}

// dimension is the text of a dimension on a row.
func (l oracleLevel) dimension(value, row string) string {
	switch {
	case strings.HasPrefix(value, "const:"):
		return strings.TrimPrefix(value, "const:")
	case strings.HasPrefix(value, "var:"):
		return l.vars[strings.TrimPrefix(value, "var:")]
	case value == "this:device.address":
		return l.address
	case value == "this:device.port":
		return strconv.Itoa(l.port)
	case strings.HasPrefix(value, "index:"):
		return indexText(strings.TrimPrefix(value, "index:"), row)
	case strings.HasPrefix(value, "$"):
		return l.function(value, row)
	}
	oid := number(value)
	c := l.cell(oid, row)
	if names := l.names[oid]; names != nil && c.tag == "2" {
		n, _ := strconv.ParseInt(c.value, 10, 64)
		if name, ok := names[n]; ok {
			return c.value + "-" + name
		}
	}
	return c.text()
}

func (l oracleLevel) cell(oid, row string) recorded {
	if !l.table || strings.HasSuffix(oid, ".0") {
		return l.then[oid]
	}
	if row == "" {
		return recorded{}
	}
	return l.then[oid+"."+row]
}

// function is $networkFormat and $inetAddress, for what the fixtures have.
func (l oracleLevel) function(value, row string) string {
	name, inside, _ := strings.Cut(strings.TrimSuffix(value, ")"), "(")
	args := strings.Split(inside, ",")
	for i := range args {
		args[i] = strings.TrimSpace(args[i])
	}
	c := l.cell(number(args[1]), row)
	kind := strings.TrimPrefix(args[0], "const:")
	if strings.HasPrefix(args[0], "oid:") {
		n := l.cell(number(args[0]), row).value
		switch {
		case name == "$inetAddress" || !strings.Contains(args[0], "1.0.8802."):
			kind = map[string]string{"1": "ip", "2": "ip", "3": "ip", "4": "ip", "16": "name"}[n]
		case strings.Contains(args[0], "1.0.8802.1.1.2.1.4.1.1.4"):
			kind = map[string]string{"4": "macAddress", "5": "networkAddress", "1": "name", "2": "name", "3": "name", "6": "name", "7": "name"}[n]
		default:
			kind = map[string]string{"3": "macAddress", "4": "networkAddress", "1": "name", "2": "name", "5": "name", "6": "name", "7": "name"}[n]
		}
	}
	shown := ""
	if c.tag != "" && kind != "" {
		shown = named(kind, c)
	}
	if shown == "" && len(args) > 2 {
		shown = strings.TrimPrefix(args[2], "default:")
	}
	if shown == "" {
		shown = c.text()
	}
	return shown
}

func named(kind string, c recorded) string {
	b := c.octets()
	switch {
	case kind == "macAddress" && len(b) == 6:
		return colons(b)
	case kind == "macAddress":
		return ""
	case kind == "ip", kind == "networkAddress":
		if kind == "networkAddress" && (len(b) == 5 || len(b) == 17) {
			b = b[1:]
		}
		if kind == "networkAddress" && len(b) == 6 {
			return colons(b)
		}
		if len(b) == 4 {
			return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
		}
		if len(b) == 16 && b[0] == 0xfe && b[1] == 0x80 { // the one that the fixtures have
			return "fe80::" + strings.TrimLeft(fmt.Sprintf("%x", b[15]), "0")
		}
		return ""
	}
	return c.text()
}

// indexText shows arcs of the index, for what the fixtures have.
func indexText(spec, row string) string {
	if row == "" {
		return ""
	}
	spec, form, _ := strings.Cut(spec, ":")
	arcs := strings.Split(row, ".")
	from, to := 1, len(arcs)
	if low, high, isRange := strings.Cut(spec, "-"); isRange && low != "" {
		from, _ = strconv.Atoi(low)
		if high != "" {
			to, _ = strconv.Atoi(high)
		}
	} else if isRange {
		back, _ := strconv.Atoi(high)
		from = len(arcs) + 1 - back
		to = from
	} else if spec != "" {
		from, _ = strconv.Atoi(spec)
		to = from
	}
	if from < 1 || to > len(arcs) || from > to {
		return ""
	}
	arcs = arcs[from-1 : to]
	var b []byte
	for _, arc := range arcs {
		n, _ := strconv.Atoi(arc)
		b = append(b, byte(n))
	}
	switch form {
	case "mac", "hex":
		return colons(b)
	case "text":
		return string(b)
	}
	return strings.Join(arcs, ".")
}

// passes evaluates a filter.
func passes(expression, text string) bool {
	op, inside, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(expression), "$"), "(")
	inside = strings.TrimSuffix(strings.TrimSpace(inside), ")")
	switch op {
	case "not":
		return !passes(inside, text)
	case "and", "or":
		for _, part := range topLevel(inside) {
			if passes(part, text) != (op == "and") {
				return op == "or"
			}
		}
		return op == "and"
	}
	argument := strings.TrimSpace(inside)
	if unquoted, quoted := strings.CutPrefix(argument, `"`); quoted {
		argument = strings.TrimSuffix(unquoted, `"`)
	}
	return map[string]func(string, string) bool{
		"eq": func(a, b string) bool { return a == b }, "prefix": strings.HasPrefix, "suffix": strings.HasSuffix, "contains": strings.Contains,
	}[op](text, argument)
}

// topLevel splits at the commas outside of parentheses.
func topLevel(text string) []string {
	var parts []string
	depth, start := 0, 0
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, text[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, text[start:])
}

// lines puts the samples of one series together: gauges to a statistic, deltas
// to their sum. A cell that is named twice is told once.
func (found lines) lines() []string {
	var all []string
	for id, samples := range found {
		seen := map[string]bool{}
		var values []float64
		for _, s := range samples {
			if s.from == "" || !seen[s.from] {
				values = append(values, s.value)
			}
			seen[s.from] = true
		}
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		text := fmt.Sprint(sum)
		if strings.Contains(id, " gauge") && len(values) > 1 {
			text = fmt.Sprintf("min=%v,max=%v,sum=%v,count=%d", slices.Min(values), slices.Max(values), sum, len(values))
		}
		all = append(all, id+" "+text)
	}
	slices.Sort(all)
	return all
}

// text is a recorded value as the value of a dimension.
func (c recorded) text() string {
	if c.tag != "4" {
		return c.value
	}
	b := c.octets()
	s := strings.TrimRight(string(b), "\x00")
	if shown, ok := visible(s); ok && utf8.ValidString(s) {
		return shown
	}
	ascii, latin := 0, ""
	for i := range len(s) {
		if s[i] < 0x80 {
			ascii++
		}
		latin += string(rune(s[i]))
	}
	if shown, ok := visible(latin); ok && 4*ascii >= 3*len(s) {
		return shown
	}
	return colons(b)
}

func visible(s string) (string, bool) {
	out := ""
	for _, r := range strings.ReplaceAll(s, "\r\n", "\n") {
		switch {
		case strings.ContainsRune("\t\n\r\v\f", r):
			out += " "
		case unicode.IsPrint(r) || unicode.Is(unicode.Zs, r):
			out += string(r)
		default:
			return "", false
		}
	}
	return out, true
}

func colons(b []byte) string {
	var parts []string
	for _, c := range b {
		parts = append(parts, fmt.Sprintf("%02x", c))
	}
	return strings.Join(parts, ":")
}
