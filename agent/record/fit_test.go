package record

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// oversized is a record and an event far over every limit.
func oversized() (probes.Record, probes.Event) {
	r := probes.Record{
		Stamp: stamp(0), Severity: "shouting", Content: strings.Repeat("ü", 400_000),
		Attributes: dims("content", "x", strings.Repeat("k", 300), "long key", "a b=c", "odd key", "-x", "y", "ü", "rune", "empty", ""),
	}
	e := probes.Event{Type: "CUSTOM_INFO", Title: strings.Repeat("ß", 5000), Start: stamp(0)}
	for i := range 1000 {
		r.Attributes = append(r.Attributes, probes.Dimension{Key: fmt.Sprintf("attribute.%d", i), Value: strings.Repeat("v", 40_000)})
		r.Numbers = append(r.Numbers, probes.Number{Key: fmt.Sprintf("number.%d", i), Value: probes.Int(int64(i))})
		e.Properties = append(e.Properties, probes.Dimension{Key: fmt.Sprintf("property %d", i), Value: "v"})
	}
	e.Properties[0].Value = strings.Repeat("\U0001F321", 3000)
	return r, e
}

func TestFitRecord(t *testing.T) {
	r, _ := oversized()
	got := FitRecord(r)
	if len(got.Content) > maxContent || !strings.HasSuffix(got.Content, "ü…") || !utf8.ValidString(got.Content) {
		t.Errorf("content of %d bytes, ends in %q", len(got.Content), got.Content[len(got.Content)-8:])
	}
	if got.Severity != "" {
		t.Errorf("severity %q", got.Severity)
	}
	want := dims(SeverityKey, "shouting", "edgehold.content", "x", strings.Repeat("k", 100), "long key", "a_b_c", "odd key", "_x", "y", "_", "rune")
	if !reflect.DeepEqual(got.Attributes[:len(want)], want) {
		t.Errorf("attributes begin with %.300v", got.Attributes[:len(want)])
	}
	note := got.Attributes[len(got.Attributes)-1]
	sum := len(got.Content)
	for _, d := range got.Attributes {
		sum += len(d.Key) + len(d.Value)
		if len(d.Value) > maxAttributeValue {
			t.Errorf("%q has %d bytes", d.Key, len(d.Value))
		}
	}
	all := len(got.Attributes) + len(got.Numbers)
	if sum > maxText+200 || all != maxAttributes || note.Key != NoteKey || !strings.Contains(note.Value, "left out, ") {
		t.Errorf("%d bytes of text, %d attributes, note %v", sum, all, note)
	}
}

func TestFitKeepsWhatFits(t *testing.T) {
	r := aRecord()
	if got := FitRecord(r); !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v", got)
	}
	e := anEvent()
	if got := FitEvent(e); !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v", got)
	}
	full := probes.Record{Content: "x"}
	for i := range maxAttributes {
		full.Attributes = append(full.Attributes, probes.Dimension{Key: fmt.Sprint("k", i), Value: strings.Repeat("v", 500)})
	}
	if got := FitRecord(full); !reflect.DeepEqual(got, full) {
		t.Errorf("the attributes did not all stay: %d", len(got.Attributes))
	}
}

func TestFitSeverity(t *testing.T) {
	for severity, want := range map[string]string{"warn": "WARN", "Warning": "WARN", "err": "ERROR", "EMERG": "EMERGENCY", "": "", "informational": "INFO"} {
		if got := FitRecord(probes.Record{Severity: severity}); got.Severity != want || len(got.Attributes) != 0 {
			t.Errorf("%q became %q with %v", severity, got.Severity, got.Attributes)
		}
	}
}

func TestFitNotes(t *testing.T) {
	for name, c := range map[string]struct {
		r    probes.Record
		note string
	}{
		"key twice":        {probes.Record{Attributes: dims("a", "1", "a", "2")}, "1 left out, 0 shortened"},
		"twice when clean": {probes.Record{Attributes: dims("a b", "1", "a_b", "2")}, "1 left out, 0 shortened"},
		"number and text":  {probes.Record{Attributes: dims("a", "1"), Numbers: []probes.Number{num("a", probes.Int(1))}}, "1 left out, 0 shortened"},
		"no number":        {probes.Record{Numbers: []probes.Number{num("a", probes.Float(math.NaN())), num("b", probes.Value{})}}, "2 left out, 0 shortened"},
		"statistics": {
			probes.Record{Numbers: []probes.Number{num("a", probes.Summarize(probes.Summary{Count: 1}))}},
			"1 left out, 0 shortened",
		},
		"long value": {probes.Record{Attributes: dims("a", strings.Repeat("x", 33_000))}, "0 left out, 1 shortened"},
		"once more":  {probes.Record{Attributes: dims(NoteKey, "3 left out, 4 shortened", "", "x")}, "3 left out, 4 shortened; 1 left out, 0 shortened"},
		"no value":   {probes.Record{Attributes: dims("a", "")}, ""},
	} {
		note := ""
		for _, d := range FitRecord(c.r).Attributes {
			if isNote(d) {
				note += d.Value
			}
		}
		if note != c.note {
			t.Errorf("%s: note %q, want %q", name, note, c.note)
		}
	}
}

func TestFitEvent(t *testing.T) {
	_, e := oversized()
	e.EntitySelector = strings.Repeat("x", 2001)
	e.Timeout = 7 * maxTimeout
	got := FitEvent(e)
	if n := units(got.Title); n != maxTitle || got.EntitySelector != "" || got.Timeout != maxTimeout {
		t.Errorf("title of %d, selector %q, timeout %v", n, got.EntitySelector, got.Timeout)
	}
	if n := units(got.Properties[0].Value); n > maxPropertyValue || n < maxPropertyValue-1 {
		t.Errorf("value of %d characters", n)
	}
	if note := got.Properties[99]; len(got.Properties) != 100 || note != (probes.Dimension{Key: NoteKey, Value: "902 left out, 2 shortened"}) {
		t.Errorf("%d properties, note %v", len(got.Properties), note)
	}
	if key := propertyKey(strings.Repeat("\U0001F321", 60)); units(key) != 100 {
		t.Errorf("key of %d characters", units(key))
	}
}

// units counts characters as UTF-16 does.
func units(s string) int { return len(utf16.Encode([]rune(s))) }
