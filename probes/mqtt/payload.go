package mqtt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes/plan"
)

const (
	maxPayload = 64 << 10 // bytes of a message that is looked into
	maxUnit    = 16       // bytes of a unit behind a number
	keysShown  = 5
)

// errAbsent says that a document has nothing at the path: it may be of a device
// of another kind.
var errAbsent = errors.New("the message has no such value")

// words are the texts that stand for a number everywhere.
var words = map[string]float64{
	"on": 1, "off": 0, "true": 1, "false": 0, "open": 1, "closed": 0, "yes": 1, "no": 0, "online": 1, "offline": 0,
}

// payload is what a message says. It is read as JSON once, if at all.
type payload struct {
	text []byte
	tree any
	err  error
	read bool
}

// document is the payload as JSON, numbers as json.Number.
func (p *payload) document() (any, error) {
	if p.read {
		return p.tree, p.err
	}
	p.read = true
	d := json.NewDecoder(bytes.NewReader(p.text))
	d.UseNumber()
	if p.err = d.Decode(&p.tree); p.err == nil {
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			p.err = errors.New("there is more behind its end")
		}
	}
	if p.err != nil {
		p.tree, p.err = nil, fmt.Errorf("it is not JSON (%w); leave `value` away if it is a plain number", p.err)
	}
	return p.tree, p.err
}

// at finds what a path leads to.
func (p *payload) at(path plan.DocPath) (any, error) {
	root, err := p.document()
	if err != nil {
		return nil, err
	}
	for _, way := range path {
		if v := follow(way, root); v != nil {
			return v, nil
		}
	}
	return nil, errAbsent
}

// follow goes along a way, nil where it leads nowhere or to null.
func follow(way plan.DocWay, root any) any {
	v := root
	for i := range way {
		switch step := &way[i]; step.Kind {
		case plan.StepRoot:
			v = root
		case plan.StepField:
			fields, _ := v.(map[string]any)
			v = fields[step.Name]
		case plan.StepAt:
			v = entry(v, step.At)
		case plan.StepWhere:
			v = where(v, step)
		}
	}
	return v
}

func entry(v any, at int) any {
	list, _ := v.([]any)
	if at < 0 {
		at += len(list)
	}
	if at < 0 || at >= len(list) {
		return nil
	}
	return list[at]
}

// where is the first entry of a list whose field is the text.
func where(v any, step *plan.DocStep) any {
	list, _ := v.([]any)
	for _, e := range list {
		of := e
		for _, name := range step.Field {
			fields, _ := of.(map[string]any)
			of = fields[name]
		}
		if text, ok := textOf(of); ok && text == step.Name {
			return e
		}
	}
	return nil
}

// textOf is a single value as text.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// number finds the number of a message: at the path, or the whole of it where
// there is none. own are words of the configuration, in lower case.
func (p *payload) number(path plan.DocPath, own map[string]float64) (float64, error) {
	if path == nil {
		return p.plain(own)
	}
	v, err := p.at(path)
	if err != nil {
		return 0, err
	}
	text, ok := textOf(v)
	if !ok {
		return 0, fmt.Errorf("there is %s at %s, expected one value", shape(v), path)
	}
	return numberOf(text, own)
}

// plain is the number of a message that is nothing else.
func (p *payload) plain(own map[string]float64) (float64, error) {
	text := string(bytes.TrimSpace(p.text))
	switch {
	case text == "":
		return 0, errAbsent // so a retained message is deleted
	case text[0] != '{' && text[0] != '[' && text[0] != '"':
		return numberOf(text, own)
	}
	tree, err := p.document()
	if err != nil {
		return 0, errors.New("it is neither a number nor JSON")
	}
	if inner, ok := tree.(string); ok {
		return numberOf(inner, own)
	}
	return 0, fmt.Errorf("it is %s; say where the number stands, as in value: temperature", shape(tree))
}

// shape names what is no single value.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, shorten(key))
		}
		slices.Sort(keys)
		if len(keys) > keysShown {
			keys = append(keys[:keysShown], "…")
		}
		return "JSON with " + orElse(strings.Join(keys, ", "), "nothing in it")
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	}
	return "nothing"
}

// numberOf reads a number, with or without a unit behind it, or a word.
func numberOf(text string, own map[string]float64) (float64, error) {
	text = strings.TrimSpace(text)
	if len(own) > 0 {
		if f, ok := own[strings.ToLower(text)]; ok {
			return f, nil
		}
	}
	end := numberEnd(text)
	if f, err := strconv.ParseFloat(text[:end], 64); err == nil && !math.IsInf(f, 0) && isUnit(text[end:]) {
		return f, nil
	}
	if f, ok := words[strings.ToLower(text)]; ok {
		return f, nil
	}
	if text == "" {
		return 0, errors.New("its text is empty")
	}
	return 0, fmt.Errorf("%s is no number; if it is a state, give its number under `words`", shorten(text))
}

// numberEnd is where a decimal number at the begin of a text ends.
func numberEnd(text string) int {
	end := 0
	for end < len(text) && strings.IndexByte("+-.0123456789", text[end]) >= 0 {
		end++
	}
	if end == 0 || end+1 >= len(text) || text[end]|0x20 != 'e' {
		return end
	}
	from := end + 1
	if text[from] == '+' || text[from] == '-' {
		from++
	}
	to := from
	for to < len(text) && text[to] >= '0' && text[to] <= '9' {
		to++
	}
	if to == from {
		return end
	}
	return to
}

// isUnit tells whether what stands behind a number is a unit and no other part of
// a date, an address or a sentence.
func isUnit(text string) bool {
	unit := strings.TrimSpace(text)
	return len(unit) <= maxUnit && utf8.ValidString(unit) && !strings.ContainsAny(unit, " \t\r\n.,:;+-_0123456789\"'{}[]()<>=")
}

// shorten shows a text of outside in messages.
func shorten(text string) string {
	const most = 30
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "…"
	}
	return strconv.QuoteToASCII(text)
}
