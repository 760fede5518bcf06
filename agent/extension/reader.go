package extension

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Warning is something in a package or configuration that does not stop it.
type Warning struct {
	File         string
	Line, Column int    // from 1; 0 where there is no one place
	Path         string // of the field, e.g. snmp[0].subgroups[2].metrics[0].value
	Text         string

	rule string // what it is about, for Lint; "" for the schema
}

// String is the warning in one line, "FILE:LINE:COLUMN: PATH: TEXT".
func (w Warning) String() string {
	var b strings.Builder
	b.WriteString(w.File)
	if w.Line > 0 {
		fmt.Fprintf(&b, ":%d", w.Line)
	}
	if w.Line > 0 && w.Column > 0 {
		fmt.Fprintf(&b, ":%d", w.Column)
	}
	if w.Path != "" {
		b.WriteString(": " + w.Path)
	}
	return b.String() + ": " + w.Text
}

// fault is an error at a place of a document.
type fault struct{ Warning }

// Error is the same line that a warning is.
func (f *fault) Error() string { return f.String() }

// maxSaid is how many errors, and how many warnings, are told of one document.
const maxSaid = 100

// reader takes typed values out of a tree and collects what is wrong there.
type reader struct {
	file     string
	errs     []error
	warnings []Warning
}

func (r *reader) problem(n *node, path, text string) Warning {
	w := Warning{File: r.file, Path: path, Text: text}
	if n != nil {
		w.Line, w.Column = n.line, n.col
	}
	return w
}

func (r *reader) fail(n *node, path, text string) { r.refuse("", n, path, text) }

// refuse is an error that names its rule.
func (r *reader) refuse(rule string, n *node, path, text string) {
	switch {
	case len(r.errs) < maxSaid:
		w := r.problem(n, path, text)
		w.rule = rule
		r.errs = append(r.errs, &fault{w})
	case len(r.errs) == maxSaid:
		r.errs = append(r.errs, &fault{r.problem(nil, "", "further errors are not listed")})
	}
}

func (r *reader) warn(n *node, path, text string) { r.remark("", n, path, text) }

// remark is a warning that names its rule.
func (r *reader) remark(rule string, n *node, path, text string) {
	switch {
	case len(r.warnings) < maxSaid:
		w := r.problem(n, path, text)
		w.rule = rule
		r.warnings = append(r.warnings, w)
	case len(r.warnings) == maxSaid:
		r.warnings = append(r.warnings, r.problem(nil, "", "further warnings are not listed"))
	}
}

// unknownKey warns of a key. The nearest known one is looked for only where it
// will be told.
func (r *reader) unknownKey(n *node, path, key string, known []string) {
	text := "unknown key, left alone"
	if len(r.warnings) < maxSaid {
		text += suggest(key, known)
	}
	r.remark(ruleUnknownKey, n, path, text)
}

func (r *reader) err() error { return errors.Join(r.errs...) }

// value is a node with its path. A missing field is a value without a node.
type value struct {
	*node
	path string
}

// object is a mapping whose keys have been checked.
type object struct {
	r    *reader
	at   value
	seen map[string]*node
}

// object checks that v is a mapping and warns of keys that are not known.
func (r *reader) object(v value, known []string) object {
	o := object{r: r, at: v, seen: make(map[string]*node)}
	if v.kind != kindMap {
		r.fail(v.node, v.path, "found "+v.what()+", expected an object")
		return o
	}
	for _, f := range v.fields {
		place := &node{line: f.line, col: f.col}
		switch {
		case o.seen[f.key] != nil:
			r.fail(place, join(v.path, f.key), "this key is given twice")
		case known != nil && !slices.Contains(known, f.key):
			r.unknownKey(place, join(v.path, f.key), f.key, known)
		default:
			o.seen[f.key] = f.value
		}
	}
	return o
}

// get returns a field; null counts as missing.
func (o object) get(key string) (value, bool) {
	n := o.seen[key]
	return value{n, join(o.at.path, key)}, n != nil && n.kind != kindNull
}

func (o object) missing(key, expected string) {
	o.r.fail(o.at.node, join(o.at.path, key), "missing, expected "+expected)
}

// text returns a text, "" where it is missing.
func (o object) text(key string) string {
	v, ok := o.get(key)
	if !ok {
		return ""
	}
	if v.kind != kindText {
		o.r.fail(v.node, v.path, "found "+v.what()+", expected a text")
		return ""
	}
	return v.node.text
}

// label returns a text that may be written as a number or boolean, such as a
// version.
func (o object) label(key string) string {
	if v, ok := o.get(key); ok && (v.kind == kindNumber || v.kind == kindBool) {
		return v.node.text
	}
	return o.text(key)
}

// flag returns a boolean, otherwise where it is missing.
func (o object) flag(key string, otherwise bool) bool {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	if v.kind != kindBool {
		o.r.fail(v.node, v.path, "found "+v.what()+", expected true or false")
		return otherwise
	}
	return isTrue(v.node)
}

// isTrue tells a boolean that is true.
func isTrue(n *node) bool {
	return n != nil && n.kind == kindBool &&
		(strings.EqualFold(n.text, "true") || strings.EqualFold(n.text, "yes") || strings.EqualFold(n.text, "on"))
}

// integer returns a whole number within low and high, otherwise where it is
// missing.
func (o object) integer(key string, low, high, otherwise int) int {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	expected := fmt.Sprintf("expected a whole number from %d to %d", low, high)
	if v.kind != kindNumber {
		o.r.fail(v.node, v.path, "found "+v.what()+", "+expected)
		return otherwise
	}
	i, err := strconv.Atoi(v.node.text)
	if err != nil || i < low || i > high {
		o.r.fail(v.node, v.path, "found "+v.node.text+", "+expected)
		return otherwise
	}
	return i
}

// list returns the items of a list, none where it is missing.
func (o object) list(key string) []value {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	if v.kind != kindList {
		o.r.fail(v.node, v.path, "found "+v.what()+", expected a list")
		return nil
	}
	items := make([]value, len(v.items))
	for i, n := range v.items {
		items[i] = value{n, fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return items
}

// texts returns a list of texts.
func (o object) texts(key string) []string {
	var all []string
	for _, v := range o.list(key) {
		if v.kind != kindText {
			o.r.fail(v.node, v.path, "found "+v.what()+", expected a text")
			continue
		}
		all = append(all, v.node.text)
	}
	return all
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
