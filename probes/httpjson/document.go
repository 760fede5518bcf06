package httpjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of an answer.
const (
	maxBody   = 8_000_000 // bytes
	maxDepth  = 64
	maxValues = 1_000_000
)

// kind is the kind of a value.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindList
	kindObject
	kindKey // of the value behind it
)

// value is one value of a document, or a key. Those within it follow it, up to
// next.
type value struct {
	from, to uint32 // its text in the body
	next     uint32 // the one behind it and all within it
	parent   uint32 // the list or object that holds it; its own number at the root
	kind     kind
}

// document is an answer in order of its text: 20 bytes for each value, whatever
// an endpoint makes up.
type document struct {
	body   []byte
	values []value
}

var (
	errDeep = fmt.Errorf("the document is nested more than %d deep", maxDepth)
	errMany = fmt.Errorf("the document has more than %d values", maxValues)
)

// parse reads one document. The error shows no more of it than the one character
// that is wrong.
func parse(body []byte) (*document, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("the answer is empty")
	}
	if bytes.TrimSpace(body)[0] == '<' {
		return nil, errors.New("the answer is HTML or XML, not JSON: perhaps a page to log in, or that of another path")
	}
	if !json.Valid(body) {
		return nil, invalid(body)
	}
	most := 1
	for _, c := range []byte(`,:[{`) {
		most += bytes.Count(body, []byte{c})
	}
	d := &document{body: body, values: make([]value, 0, min(most, maxValues))}
	return d, d.scan()
}

// invalid says what is wrong with a body.
func invalid(body []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(body, &raw)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("the answer is not valid JSON: byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("the answer is not valid JSON: %w", err)
}

// scan lists the values of a body that is known to be valid.
func (d *document) scan() error {
	var open []uint32 // lists and objects that have not ended
	key := false      // the next text is a key
	for at := 0; at < len(d.body); {
		switch c := d.body[at]; c {
		case ' ', '\t', '\r', '\n', ':':
			at++
		case ',':
			key = d.values[open[len(open)-1]].kind == kindObject
			at++
		case ']', '}':
			last := open[len(open)-1]
			at++
			d.values[last].to, d.values[last].next = uint32(at), uint32(len(d.values))
			open, key = open[:len(open)-1], false
		default:
			v := value{from: uint32(at), kind: kindOf(c), next: uint32(len(d.values) + 1)}
			if len(open) > 0 {
				v.parent = open[len(open)-1]
			}
			nests := v.kind == kindList || v.kind == kindObject
			switch {
			case len(d.values) == maxValues:
				return errMany
			case nests && len(open) == maxDepth:
				return errDeep
			case nests:
				open = append(open, uint32(len(d.values)))
				at++
			default:
				at = d.end(at, v.kind)
			}
			v.to = uint32(at)
			if key {
				v.kind = kindKey
			}
			key = v.kind == kindObject
			d.values = append(d.values, v)
		}
	}
	return nil
}

func kindOf(c byte) kind {
	switch c {
	case '{':
		return kindObject
	case '[':
		return kindList
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	return kindNumber
}

// end finds the end of a text, number or word.
func (d *document) end(at int, k kind) int {
	if k != kindString {
		for at < len(d.body) && !bytes.ContainsRune([]byte(" \t\r\n,:]}"), rune(d.body[at])) {
			at++
		}
		return at
	}
	for at++; d.body[at] != '"'; at++ {
		if d.body[at] == '\\' {
			at++
		}
	}
	return at + 1
}

// raw is the text of a value as it stands in the body.
func (d *document) raw(n uint32) []byte {
	v := &d.values[n]
	return d.body[v.from:v.to]
}

// weight is how many steps it is worth to read a text beyond the first one: one
// for 32 bytes, and for 4 where escapes have to be undone.
func (d *document) weight(n uint32) int {
	raw := d.raw(n)
	switch {
	case len(raw) < 32:
		return 0
	case bytes.IndexByte(raw, '\\') >= 0:
		return len(raw) / 4
	}
	return len(raw) / 32
}

// text is what a text or key says.
func (d *document) text(n uint32) string {
	raw := d.raw(n)
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil { // it is known to be valid
		return ""
	}
	return s
}

// isText tells whether a text or key says s.
func (d *document) isText(n uint32, s string) bool {
	raw := d.raw(n)
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner) == s
	}
	return d.text(n) == s
}

// plain is the text of a value that is neither a list nor an object, false where
// it is one, and where it is null.
func (d *document) plain(n uint32) (string, bool) {
	switch d.values[n].kind {
	case kindString, kindKey:
		return d.text(n), true
	case kindNumber, kindBool:
		return string(d.raw(n)), true
	}
	return "", false
}

// first is the first value within a list or object; it is there if it is below
// the next of n.
func (d *document) first(n uint32) uint32 {
	if d.values[n].kind == kindObject {
		return n + 2 // behind its key
	}
	return n + 1
}

// after is the value behind another one in its list or object.
func (d *document) after(n uint32) uint32 {
	v := &d.values[n]
	if d.values[v.parent].kind == kindObject {
		return v.next + 1
	}
	return v.next
}

// size counts the entries of a list or object.
func (d *document) size(n uint32) int {
	count := 0
	for at := d.first(n); at < d.values[n].next; at = d.after(at) {
		count++
	}
	return count
}

// field finds the value of a key, 0 where there is none; of one that comes twice
// the last counts. It tells how many keys it looked at, a long one counted as
// several.
func (d *document) field(n uint32, name string) (found uint32, looked int) {
	if d.values[n].kind != kindObject {
		return 0, 0
	}
	for at := d.first(n); at < d.values[n].next; at = d.after(at) {
		if looked += 1 + d.weight(at-1); d.isText(at-1, name) {
			found = at
		}
	}
	return found, looked
}

// cutRunes bounds a text in characters.
func cutRunes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for at := range text {
		if most--; most < 0 {
			return strings.ToValidUTF8(text[:at], "")
		}
	}
	return text
}

// cut bounds a text, between two characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return strings.ToValidUTF8(text[:most], "")
}
