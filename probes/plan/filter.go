package plan

import (
	"fmt"
	"strings"
)

// Filter is a condition on the text of a dimension, in the words of the
// extension schema: $eq $prefix $suffix $contains $and $or $not.
type Filter struct {
	op    string
	text  string    // of $eq, $prefix, $suffix, $contains
	parts []*Filter // of $and, $or, $not
}

const (
	maxFilterText  = 10_000 // the longest value a variable may have
	maxFilterDepth = 20
)

// Match tells whether value passes. A nil Filter lets everything pass.
func (f *Filter) Match(value string) bool { return f.matchEither(value, value) }

// matchEither tells whether a value that has two forms passes, such as a number
// and its name: what is compared with it may be either.
func (f *Filter) matchEither(value, raw string) bool {
	if f == nil {
		return true
	}
	switch f.op {
	case "eq":
		return value == f.text || raw == f.text
	case "prefix":
		return strings.HasPrefix(value, f.text) || strings.HasPrefix(raw, f.text)
	case "suffix":
		return strings.HasSuffix(value, f.text) || strings.HasSuffix(raw, f.text)
	case "contains":
		return strings.Contains(value, f.text) || strings.Contains(raw, f.text)
	case "not":
		return !f.parts[0].matchEither(value, raw)
	}
	for _, part := range f.parts {
		if part.matchEither(value, raw) != (f.op == "and") {
			return f.op == "or"
		}
	}
	return f.op == "and"
}

// String writes the filter so that ParseFilter reads it back.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	if f.parts == nil {
		return "$" + f.op + "(" + quote(f.text) + ")"
	}
	texts := make([]string, len(f.parts))
	for i, part := range f.parts {
		texts[i] = part.String()
	}
	return "$" + f.op + "(" + strings.Join(texts, ",") + ")"
}

// quote puts quotes around a text that would not survive without them.
func quote(text string) string {
	if !strings.ContainsAny(text, `"$()`) && strings.TrimSpace(text) == text {
		return text
	}
	return `"` + strings.NewReplacer("~", "~~", `"`, `~"`).Replace(text) + `"`
}

// ParseFilter reads a filter expression such as $or($prefix(Gi),$eq("a b")).
// Blank text is no filter: nil. A bare argument is trimmed, may hold commas and
// parentheses in pairs; in a quoted one ~" is a quote and ~~ a tilde. Errors
// tell the position, counted in characters from 1.
func ParseFilter(text string) (*Filter, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if len(text) > maxFilterText {
		return nil, fmt.Errorf("filter is %d bytes long, expected at most %d", len(text), maxFilterText)
	}
	p := filterParser{scanner{what: "filter", text: text}}
	f, err := p.expression(1)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(text) {
		return nil, p.fail("found %s after the end of the filter", p.found())
	}
	return f, nil
}

type filterParser struct{ scanner }

func (p *filterParser) space() {
	p.pos = len(p.text) - len(strings.TrimLeft(p.text[p.pos:], " \t\r\n"))
}

// take moves over c, after any space.
func (p *filterParser) take(c byte) bool {
	p.space()
	return p.scanner.take(c)
}

func (p *filterParser) expression(depth int) (*Filter, error) {
	if depth > maxFilterDepth {
		return nil, p.fail("nested more than %d deep", maxFilterDepth)
	}
	p.space()
	start := p.pos
	if !p.take('$') {
		return nil, p.fail("found %s, expected $eq, $prefix, $suffix, $contains, $and, $or or $not", p.found())
	}
	name := p.name()
	if !p.take('(') {
		return nil, p.fail("found %s, expected (", p.found())
	}
	switch name {
	case "eq", "prefix", "suffix", "contains":
		text, err := p.argument()
		return &Filter{op: name, text: text}, err
	case "and", "or", "not":
		parts, err := p.parts(name, depth)
		return &Filter{op: name, parts: parts}, err
	}
	p.pos = start
	return nil, p.fail("unknown function $%s, expected $eq, $prefix, $suffix, $contains, $and, $or or $not", name)
}

func (p *filterParser) name() string {
	rest := p.text[p.pos:]
	end := strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
	if end < 0 {
		end = len(rest)
	}
	p.pos += end
	return rest[:end]
}

// parts reads the arguments of $and, $or and $not and the closing parenthesis.
func (p *filterParser) parts(name string, depth int) ([]*Filter, error) {
	var parts []*Filter
	for {
		part, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if p.take(')') {
			break
		}
		if name == "not" || !p.take(',') {
			return nil, p.fail("found %s in $%s, expected %s", p.found(), name, separators(name))
		}
	}
	if name != "not" && len(parts) < 2 {
		return nil, p.fail("$%s has one argument, expected two or more", name)
	}
	return parts, nil
}

func separators(name string) string {
	if name == "not" {
		return ")"
	}
	return ", or )"
}

// argument reads a text and the closing parenthesis.
func (p *filterParser) argument() (string, error) {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], `"`) {
		return p.bare()
	}
	text, err := p.quoted('~')
	if err == nil && !p.take(')') {
		err = p.fail("found %s after the quoted text, expected )", p.found())
	}
	return text, err
}

func (p *filterParser) bare() (string, error) {
	start, open := p.pos, 0
	for ; p.pos < len(p.text); p.pos++ {
		switch p.text[p.pos] {
		case '(':
			open++
		case '$', '"':
			return "", p.fail("found %s in a text, put the text in double quotes", p.found())
		case ')':
			if open == 0 {
				p.pos++
				return strings.TrimSpace(p.text[start : p.pos-1]), nil
			}
			open--
		}
	}
	return "", p.fail("the text has no end, expected )")
}
