package export

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

func letterStore() *fakeStore {
	s := &fakeStore{}
	for i, x := range []buffer.Letter{
		{Line: "cpu.load,device=sw1 gauge,7 1767225600000", Reason: "Limit exceeded"},
		{Line: "dt.cpu", Reason: "reserved key"},
		{Line: `{"eventType":"CUSTOM_INFO","title":"up","startTime":1767225600000,"timeout":15,"properties":{"device":"sw1","a":"b"}}`, Kind: "event", Reason: "limit EXCEEDED"},
		{Line: `{"timestamp":1767225600000,"severity":"INFO","log.source":"edgehold","content":"x","device":"sw2","n":18446744073709551615,"f":0.5}`, Kind: "log", Reason: "too old"},
		{Line: `{"timestamp":17672`, Kind: "log", Reason: "too old"},
		{Line: "x", Kind: "span", Reason: "?"},
	} {
		x.Number, x.Time = uint64(10+i), time.UnixMilli(start).UTC()
		s.letters = append(s.letters, x)
	}
	return s
}

func TestLettersAreChosen(t *testing.T) {
	for _, c := range []struct {
		f    LetterFilter
		want []uint64
	}{
		{LetterFilter{}, []uint64{10, 11, 12, 13, 14, 15}},
		{LetterFilter{Reason: "limit ex"}, []uint64{10, 12}},
		{LetterFilter{Series: "SW1"}, []uint64{10, 12}},
		{LetterFilter{Series: "sw1", Reason: "EXCEEDED", Numbers: []uint64{12, 99}}, []uint64{12}},
		{LetterFilter{Numbers: []uint64{15, 10, 15}}, []uint64{10, 15}},
		{LetterFilter{Reason: "nothing"}, nil},
	} {
		s := letterStore()
		for name, source := range s.sources() {
			var got []buffer.Letter
			if err := source.Letters(t.Context(), c.f, func(x buffer.Letter) error { got = append(got, x); return nil }); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var numbers []uint64
			for _, x := range got {
				numbers = append(numbers, x.Number)
				if i := x.Number - 10; !reflect.DeepEqual(x, s.letters[i]) {
					t.Errorf("%s: %+v became %+v", name, s.letters[i], x)
				}
			}
			if !slices.Equal(numbers, c.want) {
				t.Errorf("%s: %+v chooses %v, want %v", name, c.f, numbers, c.want)
			}
		}
		own := errors.New("the reader has enough")
		for name, source := range s.sources() {
			if err := source.Letters(t.Context(), LetterFilter{}, func(buffer.Letter) error { return own }); !errors.Is(err, own) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestLettersAreRetried(t *testing.T) {
	for _, name := range []string{"stopped", "running"} {
		s := letterStore()
		done, err := s.sources()[name].Retry(t.Context(), LetterFilter{})
		if err != nil || done.Retried != 3 || done.Old != 1 || done.Account != s.Account() {
			t.Fatalf("%s: %+v, %v", name, done, err)
		}
		var failed []string
		for _, x := range done.Failed {
			failed = append(failed, fmt.Sprint(x.Number, " ", x.Reason))
		}
		want := []string{"11 read the metric line", "14 read the log: it is cut short", "15 it is of a kind \"span\""}
		if !slices.EqualFunc(failed, want, strings.HasPrefix) {
			t.Errorf("%s: failed are %q", name, failed)
		}
		point, event, log := s.revived[0].Point, s.revived[1].Entry, s.revived[2].Entry
		if line, err := mint.AppendLine(nil, *point); err != nil || string(line) != "cpu.load,device=sw1 gauge,7 1767225600000" {
			t.Errorf("%s: the line became %s, %v", name, line, err)
		}
		e, err := record.ParseEvent(event.Data)
		if err != nil || event.Kind != buffer.EventEntry || event.Stamp.Wall != start || e.Title != "up" || e.Start.Wall != start || e.Timeout != 15*time.Minute || len(e.Properties) != 2 {
			t.Errorf("%s: event %+v, %v", name, e, err)
		}
		r, err := record.ParseRecord(log.Data)
		if err != nil || log.Kind != buffer.LogEntry || log.Stamp.Wall != start || r.Content != "x" || r.Severity != "INFO" ||
			!slices.Equal(r.Attributes, dims("device", "sw2")) || len(r.Numbers) != 2 || !r.Numbers[0].Value.Equal(probes.Uint(math.MaxUint64)) {
			t.Errorf("%s: record %+v, %v", name, r, err)
		}
	}
}

// A line that stood for several points is sent again once.
func TestLettersThatSayTheSame(t *testing.T) {
	for _, name := range []string{"stopped", "running"} {
		s := letterStore()
		again := s.letters[0]
		for i := range 3 {
			again.Number = 20 + uint64(i)
			s.letters = append(s.letters, again)
		}
		again.Number, again.Kind = 30, "log"
		s.letters = append(s.letters, again)
		done, err := s.sources()[name].Retry(t.Context(), LetterFilter{Numbers: []uint64{21, 20}})
		if err != nil || done.Retried != 1 || done.Same != 4 || len(s.revived) != 1 { // the fake tells four of every purge
			t.Errorf("%s: %+v, %v; %d points", name, done, err, len(s.revived))
		}
		if !slices.Equal(s.purged.Letters, []uint64{10, 21, 22}) || s.purged.All || s.purged.DeadLetters {
			t.Errorf("%s: purged are %+v", name, s.purged)
		}
		if n := len(s.letters); n != 6 {
			t.Errorf("%s: %d letters are left", name, n)
		}
	}
}

func TestLettersArePurged(t *testing.T) {
	for name, source := range letterStore().sources() {
		numbers := make([]uint64, 1200)
		for i := range numbers {
			numbers[i] = uint64(i) << 40
		}
		done, err := PurgeLetters(t.Context(), source, numbers)
		if err != nil || done.Purged != 3*4 || done.Account.Accepted != 3 { // the fake purges four at a time
			t.Errorf("%s: %+v, %v", name, done, err)
		}
		if done, err := PurgeLetters(t.Context(), source, nil); err != nil || done.Purged != 0 || done.Account.Accepted != 3 {
			t.Errorf("%s: nothing to purge: %+v, %v", name, done, err)
		}
	}
}

// A request for many dead letters stays below what the socket takes.
func TestLetterRequestsAreSmall(t *testing.T) {
	numbers := make([]uint64, 3000)
	for i := range numbers {
		numbers[i] = 1e9 + uint64(i)
	}
	var asked []uint64
	err := LetterFilter{Numbers: append(numbers, numbers[:10]...)}.inParts(func(f LetterFilter) error {
		q, err := f.query()
		if n := len(q.Encode()); n > 12<<10 {
			t.Errorf("a request of %d bytes", n)
		}
		asked = append(asked, f.Numbers...)
		return err
	})
	if err != nil || !slices.Equal(asked, numbers) {
		t.Errorf("%d numbers are asked for, %v", len(asked), err)
	}
}

func TestBrokenEntries(t *testing.T) {
	for text, want := range map[string]string{
		``:                             "no JSON object",
		`[]`:                           "no JSON object",
		`{}`:                           "no timestamp",
		`{"timestamp":1.5}`:            "whole number",
		`{"timestamp":1} x`:            "follows",
		`{"timestamp":1,"a":[1]}`:      "neither text nor number",
		`{"timestamp":1,"a":null}`:     "neither text nor number",
		`{"timestamp":1,"a":{"b":{}}}`: "neither text nor number",
		`{"timestamp":1,"a":1e999}`:    "no number",
		`{"timestamp":1,"a"`:           "cut short",
		`{"timestamp":1,"a":"b`:        "cut short",
	} {
		if _, err := logEntry(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"eventType":"X"}`: "no eventType or no startTime",
		`{"startTime":5}`:   "no eventType or no startTime",
		`{"eventType":"X","startTime":5,"colour":"red"}`: `"colour" is not known`,
		`{"eventType":"X","startTime":"soon"}`:           "whole number",
	} {
		if _, err := eventEntry(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// FuzzEntryRetry: what was sent, read back, is sent as the same bytes.
func FuzzEntryRetry(f *testing.F) {
	f.Add(uint64(1), "CUSTOM_INFO", "a title", "key", "värde\x00\"\\")
	f.Add(uint64(2), "ERROR_EVENT", "", "content", "timestamp")
	f.Add(uint64(3), "", "\xff", "properties", "")
	f.Fuzz(func(t *testing.T, seed uint64, a, b, c, d string) {
		random := rand.New(rand.NewPCG(seed, 4))
		wall := 1_700_000_000_000 + random.Int64N(1e12)
		event := probes.Event{
			Type: a, Title: b, EntitySelector: c, Timeout: time.Duration(random.IntN(500)) * time.Minute,
			Start: probes.Stamp{Wall: wall}, Properties: dims(c, d, "k", b),
		}
		if random.IntN(2) == 0 {
			event.End = probes.Stamp{Wall: wall + random.Int64N(1e6)}
		}
		sent := record.AppendEventBody(nil, event)
		if e, err := eventEntry(string(sent)); err == nil {
			again, err := record.ParseEvent(e.Data)
			if body := record.AppendEventBody(nil, again); err != nil || string(body) != string(sent) {
				t.Fatalf("%s\nbecame %s, %v", sent, body, err)
			}
		} else if a != "" {
			t.Fatalf("%s: %v", sent, err)
		}
		r := probes.Record{
			Stamp: probes.Stamp{Wall: wall}, Severity: a, Content: b, Attributes: dims("x"+c, d),
			Numbers: []probes.Number{{Key: "n1", Value: probes.Float(random.NormFloat64())}, {Key: "n2", Value: probes.Uint(random.Uint64())}, {Key: "n3", Value: probes.Int(-random.Int64())}},
		}
		sent = record.AppendLogItem(nil, r)
		e, err := logEntry(string(sent))
		if err != nil {
			t.Fatalf("%s: %v", sent, err)
		}
		again, err := record.ParseRecord(e.Data)
		if body := record.AppendLogItem(nil, again); err != nil || string(body) != string(sent) {
			t.Fatalf("%s\nbecame %s, %v", sent, body, err)
		}
	})
}
