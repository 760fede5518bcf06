package privacy

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// removed stands in a text for a value that was dropped.
const removed = "(removed)"

// Event applies the policy to the properties of an event. Its title and the
// entity it is about lose the values too that its properties have lost.
func (p *Policy) Event(e probes.Event) probes.Event {
	if p == nil {
		return e
	}
	kept, changes := p.dims(p.general(), e.Properties)
	if changes == nil {
		return e
	}
	e.Properties = kept
	e.Title = reword(e.Title, changes)
	if text := reword(e.EntitySelector, changes); text != e.EntitySelector {
		e.EntitySelector = text
		if strings.Contains(text, removed) {
			e.EntitySelector = "" // it would name nothing
		}
	}
	return e
}

// Record applies the policy to the attributes of a log record, and to its text
// as Event does.
func (p *Policy) Record(r probes.Record) probes.Record {
	if p == nil {
		return r
	}
	rules := p.general()
	kept, changes := p.dims(rules, r.Attributes)
	kept = slices.Clip(kept)
	var numbers []probes.Number
	for _, n := range r.Numbers {
		rule := first(rules, n.Key)
		if rule == nil {
			numbers = append(numbers, n)
			continue
		}
		value, stays := p.apply(rule, numberText(n.Value))
		changes = append(changes, changed{numberText(n.Value), value})
		if stays {
			kept = append(kept, probes.Dimension{Key: n.Key, Value: value})
		}
	}
	if changes == nil {
		return r
	}
	r.Attributes, r.Numbers = kept, numbers
	r.Content = reword(r.Content, changes)
	return r
}

func numberText(v probes.Value) string {
	switch v.Form() {
	case probes.FormInt:
		return strconv.FormatInt(v.Int64(), 10)
	case probes.FormUint:
		return strconv.FormatUint(v.Uint64(), 10)
	}
	return fmt.Sprint(v.Float64())
}

// reword puts what leaves in the place of each value that stands in a text as a
// word of its own. The longest go first: one may be part of another.
func reword(text string, changes []changed) string {
	changes = slices.Clone(changes)
	sort.SliceStable(changes, func(i, j int) bool { return len(changes[i].from) > len(changes[j].from) })
	for _, c := range changes {
		if c.to == "" {
			c.to = removed
		}
		text = replaceWord(text, c.from, c.to)
	}
	return text
}

func replaceWord(text, word, by string) string {
	if word == "" || !strings.Contains(text, word) {
		return text
	}
	var out strings.Builder
	done := 0
	for {
		at := strings.Index(text[done:], word)
		if at < 0 {
			out.WriteString(text[done:])
			return out.String()
		}
		at += done
		end := at + len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		out.WriteString(text[done:at])
		if partOfWord(before) || partOfWord(after) {
			out.WriteString(word)
		} else {
			out.WriteString(by)
		}
		done = end
	}
}

func partOfWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
