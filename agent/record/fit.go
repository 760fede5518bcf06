package record

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// mark ends a text that was cut.
const mark = "…"

// severities are the words that become a log level. The value is the level's
// own word.
var severities = map[string]string{
	"": "", "TRACE": "TRACE", "DEBUG": "DEBUG", "INFO": "INFO", "NOTICE": "NOTICE", "WARN": "WARN", "ERROR": "ERROR",
	"SEVERE": "SEVERE", "CRITICAL": "CRITICAL", "ALERT": "ALERT", "FATAL": "FATAL", "EMERGENCY": "EMERGENCY", "NONE": "NONE",
	"INFORMATIONAL": "INFO", "WARNING": "WARN", "ERR": "ERROR", "CRIT": "CRITICAL", "EMERG": "EMERGENCY",
}

// fitter makes texts fit and remembers what that took away.
type fitter struct {
	left          int      // bytes of text that still fit
	kept          []string // keys
	out, shorter  int
	key           func(string) string // makes a key fit
	most, longest int                 // attributes or properties; length of a value
	size          runeSize            // how a value is counted
}

// FitRecord gives r within all limits: texts valid UTF-8, keys of the
// characters that every endpoint takes, each once, a severity that names a log
// level. What was cut or left out is told in the attribute NoteKey. A record
// that fits comes back as it is.
func FitRecord(r probes.Record) probes.Record {
	f := newFitter(maxAttributes, maxAttributeValue, attributeKey, utf8.RuneLen)
	attributes := r.Attributes
	level, known := severities[strings.ToUpper(r.Severity)]
	if !known {
		attributes = slices.Concat([]probes.Dimension{{Key: SeverityKey, Value: r.Severity}}, attributes)
	}
	r.Severity = level
	if r.Content == "" {
		r.Content = "-"
	}
	r.Content = f.text(r.Content, maxContent, utf8.RuneLen)
	r.Attributes = f.pairs(attributes)
	r.Numbers = f.numbers(r.Numbers)
	if note := f.note(r.Attributes); note != "" {
		if len(f.kept) == f.most && len(r.Numbers) > 0 {
			r.Numbers = r.Numbers[:len(r.Numbers)-1]
		}
		r.Attributes = f.noted(r.Attributes, note)
	}
	return r
}

// FitEvent gives e within all limits, as FitRecord does. An entity selector
// that is too long is left out: the event is then one of the environment.
func FitEvent(e probes.Event) probes.Event {
	f := newFitter(maxProperties, maxPropertyValue, propertyKey, utf16.RuneLen)
	e.Type = f.text(e.Type, maxPropertyKey, utf16.RuneLen)
	if e.Title == "" {
		e.Title = "-"
	}
	e.Title = f.text(e.Title, maxTitle, utf16.RuneLen)
	if prefix(e.EntitySelector, maxSelector, utf16.RuneLen) < len(e.EntitySelector) || !utf8.ValidString(e.EntitySelector) {
		e.EntitySelector = ""
		f.out++
	}
	e.Timeout = min(max(e.Timeout, 0), maxTimeout)
	e.Properties = f.pairs(e.Properties)
	if note := f.note(e.Properties); note != "" {
		e.Properties = f.noted(e.Properties, note)
	}
	return e
}

func newFitter(most, longest int, key func(string) string, size runeSize) *fitter {
	return &fitter{left: maxText, kept: make([]string, 0, 32), key: key, most: most, longest: longest, size: size}
}

// text gives s in at most so much, cut on a rune's border and marked.
func (f *fitter) text(s string, most int, size runeSize) string {
	s = valid(s)
	if end := prefix(s, most, size); end < len(s) {
		f.shorter++
		s = s[:prefix(s, most-size('…'), size)] + mark
	}
	f.left -= len(s)
	return s
}

// runeSize counts what a rune takes: utf8.RuneLen bytes, or utf16.RuneLen
// characters as the server of events counts them.
type runeSize func(rune) int

// prefix tells how many bytes of s are within most.
func prefix(s string, most int, size runeSize) int {
	if len(s) <= most {
		return len(s) // no rune takes more than its bytes
	}
	for i, r := range s {
		if most -= size(r); most < 0 {
			return i
		}
	}
	return len(s)
}

func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// pairs keeps what fits, in order; of equal keys the first. Empty values say
// nothing and are dropped without a note.
func (f *fitter) pairs(dims []probes.Dimension) []probes.Dimension {
	kept, same := dims, true // a copy only from the first change on
	for i, d := range dims {
		fitted, ok := f.pair(d)
		if same && (!ok || fitted != d) {
			kept, same = slices.Clone(dims[:i]), false
		}
		if !same && ok {
			kept = append(kept, fitted)
		}
	}
	return kept
}

// pair tells in ok whether the pair stays.
func (f *fitter) pair(d probes.Dimension) (fitted probes.Dimension, ok bool) {
	if d.Value == "" {
		return d, false
	}
	key := f.key(d.Key)
	if !f.keep(key, min(len(d.Value), 3*f.longest)) {
		return d, false
	}
	return probes.Dimension{Key: key, Value: f.text(d.Value, f.longest, f.size)}, true
}

// keep takes a key that is new, where it and so many bytes more still fit.
func (f *fitter) keep(key string, size int) bool {
	if key == "" || len(f.kept) == f.most || f.left < len(key)+size || slices.Contains(f.kept, key) {
		f.out++
		return false
	}
	f.kept = append(f.kept, key)
	f.left -= len(key)
	return true
}

// numbers keeps the numbers that can be sent.
func (f *fitter) numbers(numbers []probes.Number) []probes.Number {
	kept, same := numbers, true
	for i, n := range numbers {
		fitted := probes.Number{Key: f.key(n.Key), Value: n.Value}
		if n.Value.Form() == probes.FormSummary || n.Value.Check() != nil {
			fitted.Key = ""
		}
		ok := f.keep(fitted.Key, 0)
		if same && (!ok || fitted.Key != n.Key) {
			kept, same = slices.Clone(numbers[:i]), false
		}
		if !same && ok {
			kept = append(kept, fitted)
		}
	}
	return kept
}

// note says what was taken away now and before, "" for nothing now.
func (f *fitter) note(dims []probes.Dimension) string {
	if f.out+f.shorter == 0 {
		return ""
	}
	if len(f.kept) == f.most {
		f.out++ // what gives its place to the note
	}
	note := fmt.Sprintf("%d left out, %d shortened", f.out, f.shorter)
	if i := slices.IndexFunc(dims, isNote); i >= 0 && len(dims[i].Value) < maxPropertyKey {
		note = dims[i].Value + "; " + note
	}
	return note
}

// noted gives the pairs with the note at their end, where need be in the place
// of the last one.
func (f *fitter) noted(dims []probes.Dimension, note string) []probes.Dimension {
	dims = slices.DeleteFunc(slices.Clone(dims), isNote)
	return append(dims[:min(len(dims), f.most-1)], probes.Dimension{Key: NoteKey, Value: note})
}

func isNote(d probes.Dimension) bool { return d.Key == NoteKey }

// propertyKey gives a key of an event's property, cut to its limit.
func propertyKey(key string) string {
	key = valid(key)
	return key[:prefix(key, maxPropertyKey, utf16.RuneLen)]
}

// attributeKey gives a key of a log record's attribute: letters, digits and
// . _ - : of it, cut to its limit. What the record itself is made of gets
// Edgehold's prefix; a log.source goes before that of the agent.
func attributeKey(key string) string {
	if key == sourceKey {
		return key
	}
	switch strings.ToLower(key) {
	case "content", "timestamp", "severity", "loglevel", sourceKey:
		return Source + "." + key
	}
	for i := range len(key) {
		if !plain(key[i]) || i == 0 && key[i] == '-' || i == maxAttributeKey {
			return replaced(key)
		}
	}
	return key
}

func replaced(key string) string {
	b := []byte(strings.ToValidUTF8(key, "_"))
	b = slices.DeleteFunc(b, func(c byte) bool { return c&0xC0 == 0x80 }) // one underscore a rune
	for i, c := range b {
		if !plain(c) || i == 0 && c == '-' {
			b[i] = '_'
		}
	}
	return string(b[:min(len(b), maxAttributeKey)])
}

func plain(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' || c == ':'
}
