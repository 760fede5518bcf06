package extension

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parseJSON reads one document. Errors begin with the place,
// "FILE:LINE:COLUMN:", and never show a value.
func parseJSON(data []byte, file string) (*node, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	p := jsonParser{data: data, line: 1, col: 1}
	var all json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		var syntax *json.SyntaxError
		at := len(data) // where the input ends too early
		if errors.As(err, &syntax) && syntax.Error() != "unexpected end of JSON input" {
			at = max(int(syntax.Offset)-1, 0)
		}
		line, col := p.place(min(at, len(data)))
		return nil, &fault{Warning{File: file, Line: line, Column: col, Text: "not valid JSON: " + err.Error()}}
	}
	p.decoder = json.NewDecoder(bytes.NewReader(data))
	p.decoder.UseNumber()
	n, err := p.value()
	if err != nil {
		return nil, fmt.Errorf("%s: read JSON: %w", file, err)
	}
	return n, nil
}

// jsonParser makes nodes of a document that is known to be valid.
type jsonParser struct {
	data          []byte
	at, line, col int // the last place that was asked for
	decoder       *json.Decoder
}

// place gives the line and the column, both from 1, of an offset. Offsets only
// grow, so that a long document in one line is gone over once.
func (p *jsonParser) place(offset int) (line, col int) {
	passed := p.data[p.at:offset]
	if i := bytes.LastIndexByte(passed, '\n'); i >= 0 {
		p.line += bytes.Count(passed, []byte("\n"))
		p.col = 1
		passed = passed[i+1:]
	}
	p.col += utf8.RuneCount(passed)
	p.at = offset
	return p.line, p.col
}

// next takes a token and tells where it begins.
func (p *jsonParser) next() (token json.Token, line, col int, err error) {
	at := int(p.decoder.InputOffset())
	for at < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[at]) >= 0 {
		at++
	}
	line, col = p.place(at)
	token, err = p.decoder.Token()
	return token, line, col, err
}

func (p *jsonParser) value() (*node, error) {
	token, line, col, err := p.next()
	if err != nil {
		return nil, err
	}
	n := &node{line: line, col: col}
	switch t := token.(type) {
	case string:
		n.kind, n.text = kindText, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBool, fmt.Sprint(t)
	case json.Delim:
		err = p.children(n, t)
	}
	return n, err
}

func (p *jsonParser) children(n *node, open json.Delim) error {
	n.kind = kindList
	if open == '{' {
		n.kind = kindMap
	}
	for p.decoder.More() {
		var f field
		if n.kind == kindMap {
			token, line, col, err := p.next()
			if err != nil {
				return err
			}
			f.key, _ = token.(string)
			f.line, f.col = line, col
		}
		child, err := p.value()
		if err != nil {
			return err
		}
		if n.kind == kindMap {
			f.value = child
			n.fields = append(n.fields, f)
		} else {
			n.items = append(n.items, child)
		}
	}
	_, err := p.decoder.Token()
	return err
}
