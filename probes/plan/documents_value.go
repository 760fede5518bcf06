package plan

import (
	"fmt"
	"strings"
)

// DocValueKind says where a value comes from.
type DocValueKind uint8

// The kinds of value; the zero DocValue is none.
const (
	DocFromPath    DocValueKind = 1
	DocFromSize    DocValueKind = 2 // how many entries what Path finds has
	DocFromConst   DocValueKind = 3
	DocFromVar     DocValueKind = 4 // the variable Text; gone after Resolve
	DocFromKey     DocValueKind = 5 // this:key
	DocFromAddress DocValueKind = 6 // this:device.address
	DocFromPort    DocValueKind = 7 // this:device.port
	DocFromURL     DocValueKind = 8 // this:endpoint
	DocFromSite    DocValueKind = 9 // this:site, of the agent
)

// docThis are the words behind this:.
var docThis = map[string]DocValueKind{
	"key": DocFromKey, "device.address": DocFromAddress, "device.port": DocFromPort, "endpoint": DocFromURL,
	"site": DocFromSite,
}

// DocValue is where the value of a metric, dimension or property comes from.
type DocValue struct {
	Kind DocValueKind
	Path DocPath
	Text string
}

// ParseDocValue reads a value such as path:stats.random.
func ParseDocValue(text string) (DocValue, error) {
	const expected = "expected path:, size:, const:, var: or this:"
	head, rest, found := strings.Cut(text, ":")
	if !found {
		return DocValue{}, fmt.Errorf("found %q, %s", text, expected)
	}
	var v DocValue
	var err error
	switch head {
	case "path":
		v.Kind = DocFromPath
		v.Path, err = ParseDocPath(strings.TrimSpace(rest))
	case "size":
		v.Kind = DocFromSize
		v.Path, err = ParseDocPath(strings.TrimSpace(rest))
	case "const":
		v = DocValue{Kind: DocFromConst, Text: rest}
	case "var":
		v = DocValue{Kind: DocFromVar, Text: strings.TrimSpace(rest)}
	case "this":
		if v.Kind = docThis[rest]; v.Kind == 0 {
			return v, fmt.Errorf("found %q, expected this:key, this:device.address, this:device.port, this:endpoint or this:site", text)
		}
	default:
		return v, fmt.Errorf("found %q, %s", text, expected)
	}
	return v, err
}

// String writes the value so that ParseDocValue reads it back.
func (v DocValue) String() string {
	switch v.Kind {
	case DocFromPath:
		return "path:" + v.Path.String()
	case DocFromSize:
		return "size:" + v.Path.String()
	case DocFromConst:
		return "const:" + v.Text
	case DocFromVar:
		return "var:" + v.Text
	}
	for word, kind := range docThis {
		if kind == v.Kind {
			return "this:" + word
		}
	}
	return ""
}

// Resolve fills in a variable.
func (v DocValue) Resolve(vars map[string]string) DocValue {
	if v.Kind == DocFromVar {
		return DocValue{Kind: DocFromConst, Text: vars[v.Text]}
	}
	return v
}

// DocText is a text with values in it.
type DocText []DocValue

// ParseDocText reads a text such as "Battery of ${path:name}".
func ParseDocText(text string) (DocText, error) {
	var parts DocText
	for text != "" {
		plain, rest, found := strings.Cut(text, "${")
		if plain != "" {
			parts = append(parts, DocValue{Kind: DocFromConst, Text: plain})
		}
		if !found {
			break
		}
		end := endOfValue(rest)
		if end < 0 {
			return nil, fmt.Errorf("found ${ without a closing } behind it")
		}
		v, err := ParseDocValue(rest[:end])
		if err != nil {
			return nil, fmt.Errorf("in ${…}: %w", err)
		}
		parts = append(parts, v)
		text = rest[end+1:]
	}
	return parts, nil
}

// endOfValue finds the } that ends a value: one in quotes does not.
func endOfValue(text string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return i
		}
	}
	return -1
}

// Resolve fills in the variables.
func (t DocText) Resolve(vars map[string]string) DocText {
	made := make(DocText, len(t))
	for i, v := range t {
		made[i] = v.Resolve(vars)
	}
	return made
}

// Fill makes the text of constants and variables alone, as a request has them.
// escape is applied to what variables hold.
func (t DocText) Fill(vars map[string]string, escape func(string) string) string {
	var b strings.Builder
	for _, v := range t {
		switch v.Kind {
		case DocFromConst:
			b.WriteString(v.Text)
		case DocFromVar:
			b.WriteString(escape(vars[v.Text]))
		}
	}
	return b.String()
}
