package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

var (
	nodeType = reflect.TypeFor[*node]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// maxValues bounds the work that aliases of aliases can ask for.
const maxValues = 200_000

// decoder puts nodes into Go values, strictly: unknown keys and wrong types
// are errors, and it goes on to find all of them. It knows structs with yaml
// tags, pointers, maps with text keys, slices, texts, booleans, numbers and
// text unmarshalers. What a node does not name keeps its value.
type decoder struct {
	errs   []Error
	values int
	bad    map[string]bool // fields with an error of their own, or given under a misspelt key
	inside map[string]bool // fields with an error in or below them
}

func (d *decoder) fail(n *node, path string, e Error) {
	e.File, e.Line, e.Column, e.Path = n.file, n.line, n.column, path
	d.add(e)
}

func (d *decoder) add(e Error) {
	if d.bad == nil {
		d.bad, d.inside = map[string]bool{}, map[string]bool{}
	}
	d.errs = append(d.errs, e)
	d.bad[e.Path] = true
	if e.Nearest != "" {
		d.bad[join(parentOf(e.Path), e.Nearest)] = true
	}
	for at := e.Path; at != "" && !d.inside[at]; at = parentOf(at) {
		d.inside[at] = true
	}
}

// parentOf is the path of the map or list that a field stands in.
func parentOf(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

func (d *decoder) decode(n *node, path string, out reflect.Value) {
	if d.values++; d.values > maxValues {
		if d.values == maxValues+1 {
			d.fail(n, path, Error{Found: fmt.Sprintf("more than %d values, counting aliases", maxValues)})
		}
		return
	}
	switch {
	case out.Type() == nodeType:
		out.Set(reflect.ValueOf(n))
	case out.Addr().Type().Implements(textType):
		d.unmarshal(n, path, out)
	case out.Kind() == reflect.Pointer:
		if n.shape != empty {
			out.Set(reflect.New(out.Type().Elem()))
			d.decode(n, path, out.Elem())
		}
	case out.Kind() == reflect.Struct:
		d.structure(n, path, out)
	case out.Kind() == reflect.Map:
		d.table(n, path, out)
	case out.Kind() == reflect.Slice:
		d.list(n, path, out)
	default:
		d.scalar(n, path, out)
	}
}

// wrong reports a value of another type than expected.
func (d *decoder) wrong(n *node, path, expected string) {
	e := Error{Found: "found " + describe(n, path, expected == aText), Expected: expected}
	if n.shape == scalar && (expected == aMap || expected == aList) && strings.Contains(n.text, ":") && n.tag == "!!str" {
		e.Mend = `where this is a key and its value, put a space after the colon`
	}
	d.fail(n, path, e)
}

const (
	aMap  = "a map (key: value)"
	aList = "a list ([one, two])"
	aText = "a text"
)

// describe names a value, and quotes it where it is a scalar that can be no
// secret.
func describe(n *node, path string, bare bool) string {
	words := map[string]string{"!!int": "the number", "!!float": "the number", "!!bool": "the truth value", "!!timestamp": "the date"}
	switch n.shape {
	case empty:
		return "nothing"
	case list:
		return "a list"
	case table:
		return "a map"
	}
	word := words[n.tag]
	if word == "" {
		word = "the text"
	}
	if !showable(path, n.text) || len(n.text) > 60 {
		return "a" + strings.TrimPrefix(word, "the")
	}
	if bare {
		return word + " " + n.text
	}
	return fmt.Sprintf("%s %q", word, n.text)
}

// harmless is an error of a text unmarshaler that does not quote the text.
type harmless string

// Error is the text.
func (h harmless) Error() string { return string(h) }

func (d *decoder) unmarshal(n *node, path string, out reflect.Value) {
	if n.shape != scalar {
		d.wrong(n, path, "one value")
		return
	}
	err := out.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text))
	if err == nil {
		return
	}
	var safe harmless
	if !showable(path, n.text) && !errors.As(err, &safe) {
		d.fail(n, path, Error{Found: "found a value of another form than this key takes"})
		return
	}
	d.fail(n, path, Error{Found: err.Error()})
}

func (d *decoder) structure(n *node, path string, out reflect.Value) {
	if n.shape != table {
		if n.shape != empty {
			d.wrong(n, path, aMap)
		}
		return
	}
	for _, f := range n.fields {
		if i := lookup(out.Type(), f.key); i >= 0 {
			d.decode(f.value, join(path, f.key), out.Field(i))
			continue
		}
		d.unknown(f, path, known(out.Type()))
	}
}

// lookup finds the field of a struct type with the yaml key, -1 for none.
func lookup(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if keyOf(t.Field(i)) == key && key != "" {
			return i
		}
	}
	return -1
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if key == "-" {
		return ""
	}
	return key
}

// known lists the keys that a struct type takes.
func known(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if f := t.Field(i); keyOf(f) != "" {
			keys = append(keys, keyOf(f))
		}
	}
	return keys
}

func (d *decoder) unknown(f field, path string, keys []string) {
	key, _, glued := strings.Cut(f.key, ":") // {key:value} is all key to YAML
	if glued = glued && f.value.shape == empty; !glued {
		key = f.key
	}
	name := join(path, key)
	if soundsSecret(path) || f.value.shape == empty {
		name = join(path, hiddenKey) // it may be a secret in the wrong place
	}
	e := Error{Found: "unknown key", Nearest: nearest(key, keys)}
	switch {
	case holdsSecret(key):
		name = join(path, key)
		e = Error{Found: "a secret must not stand in the configuration", Mend: secretMend(key, keys)}
	case e.Nearest != "":
	case nearest(key, ownWords) != "":
		e = Error{Found: "a secret must not stand in the configuration", Mend: secretMend(nearest(key, ownWords), keys)}
	default:
		e.Expected = "one of " + strings.Join(keys, ", ")
	}
	if glued && e.Mend == "" {
		e.Mend = "put a space after the colon"
	}
	d.fail(f.at, name, e)
}

// secretMend says where the secret goes instead.
func secretMend(key string, keys []string) string {
	file := key + "_file"
	if !slices.Contains(keys, file) {
		i := slices.IndexFunc(keys, func(k string) bool {
			stem, isFile := strings.CutSuffix(k, "_file")
			return isFile && strings.HasPrefix(key, stem)
		})
		if i < 0 {
			i = slices.IndexFunc(keys, func(k string) bool { return strings.HasSuffix(k, "_file") && soundsSecret(k) })
		}
		switch {
		case i >= 0:
			file = keys[i]
		case slices.Contains(keys, "credentials"):
			return "put it into a file that only the agent can read, name the file under `credentials:` at the top, and list that credential here in `credentials: [NAME]`"
		default:
			return "put it into a file that only the agent can read (chmod 600 FILE)"
		}
	}
	return fmt.Sprintf("put it into a file, run `chmod 600 FILE` and write `%s: FILE`", file)
}

func (d *decoder) table(n *node, path string, out reflect.Value) {
	if n.shape != table {
		if n.shape != empty {
			d.wrong(n, path, aMap)
		}
		return
	}
	m := reflect.MakeMapWithSize(out.Type(), len(n.fields))
	for _, f := range n.fields {
		v := reflect.New(out.Type().Elem()).Elem()
		d.decode(f.value, join(path, f.key), v)
		m.SetMapIndex(reflect.ValueOf(f.key).Convert(out.Type().Key()), v)
	}
	out.Set(m)
}

func (d *decoder) list(n *node, path string, out reflect.Value) {
	if n.shape != list {
		if n.shape != empty {
			d.wrong(n, path, aList)
		}
		return
	}
	s := reflect.MakeSlice(out.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.decode(item, fmt.Sprintf("%s[%d]", path, i), s.Index(i))
	}
	out.Set(s)
}

func (d *decoder) scalar(n *node, path string, out reflect.Value) {
	switch k := out.Kind(); {
	case k == reflect.String:
		d.text(n, path, out)
	case k == reflect.Bool:
		if n.shape != scalar || n.tag != "!!bool" {
			d.wrong(n, path, "true or false")
			return
		}
		out.SetBool(strings.EqualFold(n.text, "true"))
	case out.CanInt():
		v, err := strconv.ParseInt(n.text, base(n), 64)
		if !plainNumber(n) || err != nil || out.OverflowInt(v) {
			d.wrong(n, path, "a whole number")
			return
		}
		out.SetInt(v)
	case out.CanUint():
		v, err := strconv.ParseUint(n.text, base(n), 64)
		if !plainNumber(n) || err != nil || out.OverflowUint(v) {
			d.wrong(n, path, "a whole number, not negative")
			return
		}
		out.SetUint(v)
	case out.CanFloat():
		v, err := strconv.ParseFloat(n.text, 64)
		if !plainNumber(n) && n.tag != "!!float" || err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			d.wrong(n, path, "a number")
			return
		}
		out.SetFloat(v)
	default:
		d.fail(n, path, Error{Found: "a key that this version cannot read (type " + out.Type().String() + ")"})
	}
}

// plainNumber is true for whole numbers whose meaning is beyond doubt: 0123 is
// octal to some readers and decimal to others. 0x76 is how addresses of a bus are
// written everywhere.
func plainNumber(n *node) bool {
	digits := strings.TrimLeft(n.text, "+-")
	return n.shape == scalar && n.tag == "!!int" && (digits == "0" || !strings.HasPrefix(digits, "0") || base(n) == 0)
}

// base is that of a whole number: 0, which finds 16, or 10.
func base(n *node) int {
	if strings.HasPrefix(n.text, "0x") {
		return 0
	}
	return 10
}

// text takes texts only. YAML reads an unquoted 7, 1.10, 0123, true or
// 2026-01-01 as something else, and what it was is lost to most readers.
func (d *decoder) text(n *node, path string, out reflect.Value) {
	if n.shape == scalar && n.tag == "!!str" {
		out.SetString(n.text)
		return
	}
	if n.shape != scalar || strings.HasPrefix(n.tag, "!") && !strings.HasPrefix(n.tag, "!!") {
		d.wrong(n, path, aText)
		return
	}
	e := Error{Found: "found " + describe(n, path, true), Expected: aText, Mend: "put it in quotes"}
	if showable(path, n.text) {
		e.Mend = fmt.Sprintf("write %q, in quotes", n.text)
	}
	d.fail(n, path, e)
}
