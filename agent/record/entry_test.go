package record

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

var (
	noon  = time.UnixMilli(1_767_225_600_000) // 1 January 2026, 00:00 UTC
	bootA = probes.BootID{0xA, 1: 1, 15: 0xF}
	bootB = probes.BootID{0xB}
)

func dims(pairs ...string) (d []probes.Dimension) {
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, probes.Dimension{Key: pairs[i], Value: pairs[i+1]})
	}
	return d
}

func num(key string, v probes.Value) probes.Number { return probes.Number{Key: key, Value: v} }

func stamp(ago time.Duration) probes.Stamp {
	return probes.Stamp{Boot: bootA, Uptime: 100*time.Hour - ago, Wall: noon.Add(-ago).UnixMilli()}
}

func anEvent() probes.Event {
	return probes.Event{
		Type: "ERROR_EVENT", Title: "Port down", Start: stamp(time.Hour), End: stamp(time.Minute),
		Properties: dims("device.address", "192.0.2.7", "if.name", "Gi0/1"), Timeout: 90 * time.Second,
		EntitySelector: `type("CUSTOM_DEVICE"),entityName.equals("sw1")`,
	}
}

func aRecord() probes.Record {
	guess := stamp(0)
	guess.Guess = true
	return probes.Record{
		Stamp: guess, Severity: "WARN", Content: "link down", Attributes: dims("site", "plant-7"),
		Numbers: []probes.Number{num("f", probes.Float(-0.5)), num("i", probes.Int(math.MinInt64)), num("u", probes.Uint(math.MaxUint64))},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	for name, e := range map[string]probes.Event{
		"full": anEvent(), "bare": {Type: "CUSTOM_INFO", Title: "x", Start: stamp(0)},
		"two boots": {Type: "WARNING", Title: "x", Start: stamp(0), End: probes.Stamp{Boot: bootB, Wall: 1}},
	} {
		got, err := ParseEvent(AppendEvent(nil, e))
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, e)
		}
	}
	for name, r := range map[string]probes.Record{"full": aRecord(), "bare": {Content: "x", Stamp: stamp(0)}} {
		got, err := ParseRecord(AppendRecord(nil, r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, r)
		}
	}
}

// TestEntryForm holds the form still: what an older program kept must be read.
func TestEntryForm(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"event":  {AppendEvent(nil, anEvent()), "testdata/event-1.hex"},
		"record": {AppendRecord(nil, aRecord()), "testdata/record-1.hex"},
	} {
		want, err := os.ReadFile(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(c.data); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s is %s", name, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := AppendRecord(nil, aRecord())
	for name, data := range map[string][]byte{
		"nothing": {}, "another version": append([]byte{2}, good[1:]...), "more behind": append(bytes.Clone(good), 0),
		"a longer number": append([]byte{1, 0x84, 0}, good[2:]...),
	} {
		if r, err := ParseRecord(data); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	for i := range good {
		if _, err := ParseRecord(good[:i]); err == nil {
			t.Errorf("cut at %d of %d: no error", i, len(good))
		}
	}
	event := AppendEvent(nil, anEvent())
	for i := range event {
		if _, err := ParseEvent(event[:i]); err == nil {
			t.Errorf("event cut at %d of %d: no error", i, len(event))
		}
	}
}

func TestDating(t *testing.T) {
	guess := func(uptime time.Duration) probes.Stamp {
		return probes.Stamp{Boot: bootA, Uptime: uptime, Wall: uptime.Milliseconds(), Guess: true}
	}
	by := probes.Stamp{Boot: bootA, Uptime: time.Hour, Wall: noon.UnixMilli()}
	e := DateEvent(probes.Event{Start: guess(time.Hour), End: guess(time.Hour + 90*time.Second)}, by)
	want := probes.Stamp{Boot: bootA, Uptime: time.Hour + 90*time.Second, Wall: noon.UnixMilli() + 90_000}
	if e.Start != by || e.End != want {
		t.Errorf("dated %+v to %+v", e.Start, e.End)
	}
	other := guess(time.Minute)
	other.Boot = bootB
	for _, s := range []probes.Stamp{other, stamp(time.Hour), {}} {
		if got := DateRecord(probes.Record{Stamp: s}, by).Stamp; got != s {
			t.Errorf("%+v became %+v", s, got)
		}
	}
	by.Guess = true
	if got := DateRecord(probes.Record{Stamp: guess(0)}, by).Stamp; got != guess(0) {
		t.Errorf("a guess dated a guess: %+v", got)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(AppendEvent(nil, anEvent()))
	f.Add(AppendEvent(nil, Gap(GapOptions{From: noon.UnixMilli(), To: noon.UnixMilli(), Mode: "drop", Now: stamp(0)})))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEvent(data)
		if err != nil {
			return
		}
		if !bytes.Equal(AppendEvent(nil, e), data) {
			t.Fatal("what was read is written in another form")
		}
		checkEventBody(t, e)
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add(AppendRecord(nil, aRecord()))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(data)
		if err != nil {
			return
		}
		if !bytes.Equal(AppendRecord(nil, r), data) {
			t.Fatal("what was read is written in another form")
		}
		checkLogItem(t, r)
	})
}

// FuzzRecord makes records out of any texts: they fit, come back from their
// bytes, and are JSON that says the same.
func FuzzRecord(f *testing.F) {
	f.Add("link down", "warning", "if.name", "Gi0/1", 1.5, uint64(7), int64(1_767_225_600_000))
	f.Add("\xff", "odd", "log.source", strings.Repeat("ü", 5_000), math.NaN(), uint64(math.MaxUint64), int64(-1))
	f.Add("", "", "-", "\x00\"\\\n", math.Inf(1), uint64(0), int64(0))
	f.Fuzz(func(t *testing.T, content, severity, key, value string, number float64, count uint64, wall int64) {
		r := probes.Record{
			Stamp: probes.Stamp{Wall: wall, Boot: bootA}, Severity: severity, Content: content,
			Attributes: dims(key, value, key+"2", value, strings.ToUpper(key), severity),
			Numbers:    []probes.Number{num(key, probes.Float(number)), num(value, probes.Uint(count)), num("n", probes.Int(wall))},
		}
		checkRecord(t, r)
		e := probes.Event{Type: severity, Title: content, Start: r.Stamp, EntitySelector: value, Properties: r.Attributes, Timeout: time.Duration(wall)}
		checkEvent(t, e)
		r.Attributes = append(r.Attributes, EventRecord(e).Attributes...)
		checkRecord(t, InTime(r, noon))
	})
}

func checkRecord(t *testing.T, r probes.Record) {
	t.Helper()
	fitted := FitRecord(r)
	if again := FitRecord(fitted); !reflect.DeepEqual(again, fitted) {
		t.Fatalf("fitted twice: %+v\nonce: %+v", again, fitted)
	}
	data := AppendRecord(nil, r)
	if len(data) >= 1<<20 {
		t.Fatalf("%d bytes do not fit the store", len(data))
	}
	got, err := ParseRecord(data)
	if err != nil || !sameRecord(got, fitted) {
		t.Fatalf("came back as %+v, %v\nwant %+v", got, err, fitted)
	}
	checkLogItem(t, got)
}

func checkEvent(t *testing.T, e probes.Event) {
	t.Helper()
	fitted := FitEvent(e)
	if again := FitEvent(fitted); !reflect.DeepEqual(again, fitted) {
		t.Fatalf("fitted twice: %+v\nonce: %+v", again, fitted)
	}
	data := AppendEvent(nil, e)
	if len(data) >= 1<<20 {
		t.Fatalf("%d bytes do not fit the store", len(data))
	}
	got, err := ParseEvent(data)
	if err != nil || !bytes.Equal(AppendEvent(nil, got), data) {
		t.Fatalf("came back as %+v, %v", got, err)
	}
	checkEventBody(t, got)
}

// sameRecord takes an empty list for none.
func sameRecord(a, b probes.Record) bool {
	if len(a.Attributes)+len(b.Attributes) == 0 {
		a.Attributes, b.Attributes = nil, nil
	}
	if len(a.Numbers)+len(b.Numbers) == 0 {
		a.Numbers, b.Numbers = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
