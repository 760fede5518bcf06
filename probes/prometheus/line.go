package prometheus

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// maxLabels is how many labels a sample may have.
const maxLabels = 200

// parseSample reads one line of an exposition: a name, labels, a value, and a
// time and an exemplar that are checked and not used. Names in quotes, which may
// hold any letters, stand in the braces. Open is OpenMetrics, where the time is
// in seconds and an exemplar may follow.
func parseSample(line string, open bool) (plan.Sample, error) {
	p := lineParser{rest: line}
	s := plan.Sample{Name: p.name()}
	if err := p.labels(&s); err != nil {
		return plan.Sample{}, err
	}
	if s.Name == "" {
		return plan.Sample{}, errors.New("no name of a metric at its begin")
	}
	if p.rest == "" || p.rest[0] != ' ' && p.rest[0] != '\t' && line[len(line)-len(p.rest)-1] != '}' {
		return plan.Sample{}, errors.New("no value after the name")
	}
	value, rest := word(p.rest)
	var err error
	if s.Value, err = number(value); err != nil {
		return plan.Sample{}, err
	}
	return s, trailer(rest, open)
}

// word takes the first word off a text.
func word(text string) (first, rest string) {
	text = strings.TrimLeft(text, " \t")
	if end := strings.IndexAny(text, " \t"); end >= 0 {
		return text[:end], strings.TrimLeft(text[end:], " \t")
	}
	return text, ""
}

// trailer checks what follows a value.
func trailer(rest string, open bool) error {
	if open && strings.HasPrefix(rest, "# {") {
		return nil
	}
	when, rest := word(rest)
	var err error
	switch {
	case when == "":
		return nil
	case open:
		_, err = number(when)
	default:
		_, err = strconv.ParseInt(when, 10, 64)
	}
	switch {
	case err != nil:
		return fmt.Errorf("found %.40q after the value, expected a time", when)
	case rest == "" || open && strings.HasPrefix(rest, "# {"):
		return nil
	}
	return fmt.Errorf("found %.40q after the time", rest)
}

// compact gives a sample memory of its own where little of its line is kept of it:
// labels are parts of the line. It tells how many bytes of text the sample holds.
func compact(s *plan.Sample, line int) int {
	size := len(s.Name)
	for _, l := range s.Labels {
		size += len(l.Key) + len(l.Value)
	}
	if size*2 > line {
		return line
	}
	var b strings.Builder
	b.Grow(size)
	own := func(text string) string {
		at := b.Len()
		b.WriteString(text)
		return b.String()[at:]
	}
	s.Name = own(s.Name)
	for i, l := range s.Labels {
		s.Labels[i] = probes.Dimension{Key: own(l.Key), Value: own(l.Value)}
	}
	return size
}

// lineParser takes parts off the front of a line.
type lineParser struct{ rest string }

// name takes a name, which may be empty.
func (p *lineParser) name() string {
	n := 0
	for n < len(p.rest) && isName(p.rest[n], n == 0) {
		n++
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

func (p *lineParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// labels takes the braces and what is in them, where they are there.
func (p *lineParser) labels(s *plan.Sample) error {
	outside := p.rest
	if p.space(); !strings.HasPrefix(p.rest, "{") {
		p.rest = outside
		return nil
	}
	p.rest = p.rest[1:]
	for {
		if p.space(); strings.HasPrefix(p.rest, "}") {
			p.rest = p.rest[1:]
			return sortLabels(s)
		}
		if err := p.label(s); err != nil {
			return err
		}
		p.space()
		switch {
		case strings.HasPrefix(p.rest, ","):
			p.rest = p.rest[1:]
		case !strings.HasPrefix(p.rest, "}"):
			return fmt.Errorf("found %.20q in the labels, expected , or }", p.rest)
		}
	}
}

// label takes one label, or the name of the metric in quotes.
func (p *lineParser) label(s *plan.Sample) error {
	quoted := strings.HasPrefix(p.rest, `"`)
	key := ""
	if quoted {
		var err error
		if key, err = p.quoted(); err != nil {
			return err
		}
	} else if key = p.name(); strings.Contains(key, ":") {
		return fmt.Errorf("found the label %.40q, expected a name without a colon", key)
	}
	p.space()
	switch {
	case key == "":
		return fmt.Errorf("found %.20q in the labels, expected the name of a label", p.rest)
	case quoted && s.Name == "" && !strings.HasPrefix(p.rest, "="):
		s.Name = key
		return nil
	case !strings.HasPrefix(p.rest, "="):
		return fmt.Errorf("found %.20q after the label %.40q, expected =", p.rest, key)
	}
	p.rest = p.rest[1:]
	p.space()
	value, err := p.quoted()
	if err != nil {
		return err
	}
	if len(s.Labels) == maxLabels {
		return fmt.Errorf("more than %d labels", maxLabels)
	}
	s.Labels = append(s.Labels, probes.Dimension{Key: key, Value: value})
	return nil
}

// quoted takes a text in quotes, in which \\, \" and \n stand for one letter.
func (p *lineParser) quoted() (string, error) {
	if !strings.HasPrefix(p.rest, `"`) {
		return "", fmt.Errorf("found %.20q, expected a text in quotes", p.rest)
	}
	end := 1
	for ; end < len(p.rest) && p.rest[end] != '"'; end++ {
		if p.rest[end] == '\\' {
			end++
		}
	}
	if end >= len(p.rest) {
		return "", errors.New("a text in quotes has no end")
	}
	text := p.rest[1:end]
	p.rest = p.rest[end+1:]
	return strings.ToValidUTF8(unescape(text), "\uFFFD"), nil
}

// unescape leaves a backslash before any other letter as it is.
func unescape(text string) string {
	at := strings.IndexByte(text, '\\')
	if at < 0 {
		return text
	}
	b := []byte(text[:at])
	for ; at < len(text); at++ {
		if text[at] != '\\' || at+1 == len(text) {
			b = append(b, text[at])
			continue
		}
		at++
		switch text[at] {
		case 'n':
			b = append(b, '\n')
		case '\\', '"':
			b = append(b, text[at])
		default:
			b = append(b, '\\', text[at])
		}
	}
	return string(b)
}

// sortLabels brings the labels in order, each as long as a line has room for. An
// empty one is none.
func sortLabels(s *plan.Sample) error {
	slices.SortStableFunc(s.Labels, func(a, b probes.Dimension) int { return strings.Compare(a.Key, b.Key) })
	for i := 1; i < len(s.Labels); i++ {
		if s.Labels[i].Key == s.Labels[i-1].Key {
			return fmt.Errorf("the label %.40q comes twice", s.Labels[i].Key)
		}
	}
	s.Labels = slices.DeleteFunc(s.Labels, func(l probes.Dimension) bool { return l.Value == "" })
	s.Shorten()
	return nil
}
