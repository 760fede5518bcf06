package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DocPath leads from a value of a JSON document to others. The first way that
// finds something counts. nil is no path.
type DocPath []DocWay

// DocWay is a list of steps; without one it stays where it is.
type DocWay []DocStep

// DocStepKind is a kind of step.
type DocStepKind uint8

// The kinds of step.
const (
	StepRoot   DocStepKind = 1 // to the whole document
	StepField  DocStepKind = 2 // to the field Name of an object
	StepAt     DocStepKind = 3 // to the entry At of a list, from its end where At is negative
	StepEach   DocStepKind = 4 // to all entries of a list or object
	StepWhere  DocStepKind = 5 // to the entries whose Field is Name
	StepParent DocStepKind = 6 // to the object that holds the value, over lists
)

// DocStep is one step.
type DocStep struct {
	Kind  DocStepKind
	Name  string   // of StepField; of StepWhere the text
	At    int      // of StepAt
	Field []string // of StepWhere
}

// The bounds of a path.
const (
	maxPathText  = 1000
	maxPathSteps = 50
	maxPathWays  = 10
)

// ParseDocPath reads a path such as devices[]|nodes[]. Errors tell the position,
// counted in characters from 1.
func ParseDocPath(text string) (DocPath, error) {
	if len(text) > maxPathText {
		return nil, fmt.Errorf("path is %d bytes long, expected at most %d", len(text), maxPathText)
	}
	p := pathParser{scanner{what: "path", text: text}}
	var path DocPath
	for {
		way, err := p.way()
		if err != nil {
			return nil, err
		}
		path = append(path, way)
		if p.pos == len(text) {
			return path, nil
		}
		if p.pos++; len(path) == maxPathWays {
			return nil, p.fail("more than %d ways", maxPathWays)
		}
	}
}

type pathParser struct{ scanner }

// done tells whether the way is at its end.
func (p *pathParser) done() bool { return p.pos == len(p.text) || p.text[p.pos] == '|' }

// way reads one way up to | or the end.
func (p *pathParser) way() (DocWay, error) {
	way := DocWay{}
	fresh := true // a name may come without a point before it
	if p.take('$') {
		way, fresh = append(way, DocStep{Kind: StepRoot}), false
		if p.done() {
			return way, nil
		}
	} else if p.take('.') {
		if p.done() {
			return way, nil
		}
		return nil, p.fail("found %s after a point that stands alone for the item", p.found())
	}
	for !p.done() || fresh {
		step, err := p.step(fresh)
		if err != nil {
			return nil, err
		}
		fresh = false
		if way = append(way, step); len(way) > maxPathSteps {
			return nil, p.fail("more than %d steps", maxPathSteps)
		}
	}
	return way, nil
}

func (p *pathParser) step(fresh bool) (DocStep, error) {
	switch {
	case p.take('['):
		return p.bracket()
	case !fresh && !p.take('.'):
		return DocStep{}, p.fail("found %s, expected a point, [ or |", p.found())
	case p.take('^'):
		return DocStep{Kind: StepParent}, nil
	}
	name, err := p.name()
	return DocStep{Kind: StepField, Name: name}, err
}

func isPlainRune(r rune) bool {
	return r != utf8.RuneError && (r == '_' || r == '-' || r == '@' || r == ':' || unicode.IsLetter(r) || unicode.IsDigit(r))
}

func isPlainName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !isPlainRune(r) })
}

// name reads a plain or a quoted name.
func (p *pathParser) name() (string, error) {
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		return p.quoted('\\')
	}
	rest := p.text[p.pos:]
	end := strings.IndexFunc(rest, func(r rune) bool { return !isPlainRune(r) })
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return "", p.fail("found %s, expected a name, which stands in double quotes where it has other characters than letters, digits and _ - @ :", p.found())
	}
	p.pos += end
	return rest[:end], nil
}

// bracket reads what stands behind [.
func (p *pathParser) bracket() (DocStep, error) {
	if p.take(']') {
		return DocStep{Kind: StepEach}, nil
	}
	if end := strings.IndexByte(p.text[p.pos:], ']'); end > 0 {
		inner := p.text[p.pos : p.pos+end]
		if at, err := strconv.Atoi(inner); err == nil && inner[0] != '+' {
			p.pos += end + 1
			return DocStep{Kind: StepAt, At: at}, nil
		}
	}
	return p.where()
}

// where reads key=text].
func (p *pathParser) where() (DocStep, error) {
	step := DocStep{Kind: StepWhere}
	for {
		name, err := p.name()
		if err != nil {
			return step, err
		}
		if step.Field = append(step.Field, name); len(step.Field) > maxPathSteps {
			return step, p.fail("more than %d names", maxPathSteps)
		}
		if p.take('=') {
			break
		}
		if !p.take('.') {
			return step, p.fail("found %s, expected [], [number] or [key=text]", p.found())
		}
	}
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		text, err := p.quoted('\\')
		if err != nil {
			return step, err
		}
		step.Name = text
	} else if end := strings.IndexByte(p.text[p.pos:], ']'); end >= 0 {
		step.Name = strings.TrimSpace(p.text[p.pos : p.pos+end])
		p.pos += end
	}
	if !p.take(']') {
		return step, p.fail("found %s, expected ]", p.found())
	}
	return step, nil
}

// String writes the path so that ParseDocPath reads it back.
func (d DocPath) String() string {
	texts := make([]string, len(d))
	for i, way := range d {
		texts[i] = way.String()
	}
	return strings.Join(texts, "|")
}

// String writes one way.
func (w DocWay) String() string {
	if len(w) == 0 {
		return "."
	}
	var b strings.Builder
	for i, s := range w {
		if i > 0 && (s.Kind == StepField || s.Kind == StepParent) {
			b.WriteByte('.')
		}
		b.WriteString(s.String())
	}
	return b.String()
}

// String writes one step, without the point before it.
func (s DocStep) String() string {
	switch s.Kind {
	case StepRoot:
		return "$"
	case StepField:
		return nameInPath(s.Name)
	case StepAt:
		return "[" + strconv.Itoa(s.At) + "]"
	case StepEach:
		return "[]"
	case StepParent:
		return "^"
	}
	names := make([]string, len(s.Field))
	for i, name := range s.Field {
		names[i] = nameInPath(name)
	}
	return "[" + strings.Join(names, ".") + "=" + inQuotes(s.Name) + "]"
}

func nameInPath(name string) string {
	if isPlainName(name) {
		return name
	}
	return inQuotes(name)
}

func inQuotes(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// Several tells whether the path is made to find more than one value.
func (d DocPath) Several() bool {
	return slices.ContainsFunc(d, func(way DocWay) bool {
		return slices.ContainsFunc(way, func(s DocStep) bool { return s.Kind == StepEach })
	})
}
