package record

import (
	"reflect"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// TestEventInTime asks the stand-in too: what is in time it takes, and what is
// a little older it no longer takes.
func TestEventInTime(t *testing.T) {
	env := environment(t)
	guess := stamp(0)
	guess.Guess = true
	const day = 24 * time.Hour
	for _, c := range []struct {
		typ        string
		start, end probes.Stamp
		in, taken  bool
	}{
		{"ERROR_EVENT", stamp(0), probes.Stamp{}, true, true},
		{"ERROR_EVENT", stamp(MaxProblemAge), stamp(0), true, true},
		{"ERROR_EVENT", stamp(MaxProblemAge + time.Minute), stamp(0), false, true}, // the margin
		{"ERROR_EVENT", stamp(MaxProblemAge + 11*time.Minute), stamp(0), false, false},
		{"CUSTOM_INFO", stamp(MaxInfoAge), stamp(MaxInfoAge - time.Hour), true, true},
		{"CUSTOM_INFO", stamp(30*day + time.Minute), stamp(0), false, false},
		{"WARNING", stamp(7 * time.Hour), probes.Stamp{}, false, false},
		{"CUSTOM_ALERT", stamp(-4 * time.Minute), probes.Stamp{}, true, true},
		{"CUSTOM_ALERT", stamp(-6 * time.Minute), probes.Stamp{}, false, false},
		{"CUSTOM_INFO", stamp(time.Hour), stamp(2 * time.Hour), false, false},
	} {
		e := probes.Event{Type: c.typ, Title: "x", Start: c.start, End: c.end}
		if got := EventInTime(e, noon); got != c.in {
			t.Errorf("%+v in time: %v", c, got)
		}
		before := env.Counts().Events
		if status := post(t, env, "/api/v2/events/ingest", AppendEventBody(nil, e)); status != 201 || env.Counts().Events-before == 1 != c.taken {
			t.Errorf("%+v: status %d, %d taken", c, status, env.Counts().Events-before)
		}
	}
	for name, e := range map[string]probes.Event{
		"unknown type": {Type: "ODD", Start: stamp(0)}, "guess": {Type: "CUSTOM_INFO", Start: guess}, "no start": {Type: "CUSTOM_INFO"},
		"end is a guess": {Type: "CUSTOM_INFO", Start: stamp(0), End: guess}, "far off": {Type: "CUSTOM_INFO", Start: probes.Stamp{Wall: lastWall}},
	} {
		if EventInTime(e, noon) {
			t.Errorf("%s: in time", name)
		}
	}
}

func TestEventRecord(t *testing.T) {
	want := probes.Record{
		Stamp: stamp(time.Hour), Severity: "ERROR", Content: "Port down",
		Attributes: dims("event.type", "ERROR_EVENT", "event.start", "2025-12-31T23:00:00.000Z", "event.end", "2025-12-31T23:59:00.000Z",
			"event.entity_selector", anEvent().EntitySelector, "device.address", "192.0.2.7", "if.name", "Gi0/1"),
	}
	if got := EventRecord(anEvent()); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := EventRecord(probes.Event{Type: "ODD", Title: "x"}); got.Severity != "WARN" || len(got.Attributes) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestInTime(t *testing.T) {
	guess := stamp(time.Hour)
	guess.Guess = true
	now := probes.Stamp{Wall: noon.UnixMilli()}
	for name, c := range map[string]struct {
		stamp, want probes.Stamp
		attributes  []probes.Dimension
		numbers     int
	}{
		"fresh":        {stamp(0), stamp(0), nil, 0},
		"a day less":   {stamp(MaxLogAge), stamp(MaxLogAge), nil, 0},
		"a day":        {stamp(24 * time.Hour), now, dims(TimeKey, "2025-12-31T00:00:00.000Z"), 0},
		"in the year":  {probes.Stamp{Wall: noon.Add(time.Hour).UnixMilli()}, now, dims(TimeKey, "2026-01-01T01:00:00.000Z"), 0},
		"time unknown": {guess, now, dims(UnknownKey, "true", BootKey, "0a01000000000000000000000000000f"), 1},
	} {
		r := probes.Record{Stamp: c.stamp, Content: "x", Attributes: dims("a", "b")}
		got := InTime(r, noon)
		if got.Stamp != c.want || !reflect.DeepEqual(got.Attributes, append(c.attributes, r.Attributes...)) || len(got.Numbers) != c.numbers {
			t.Errorf("%s: got %+v", name, got)
		}
		if len(r.Attributes) != 1 || r.Stamp != c.stamp {
			t.Errorf("%s: the record given was changed: %+v", name, r)
		}
	}
}

func TestGap(t *testing.T) {
	var devices []string
	for i := range 23 {
		devices = append(devices, "switch-"+string(rune('a'+i)))
	}
	e := Gap(GapOptions{
		Site: "plant-7", From: stamp(3 * time.Hour).Wall, To: stamp(0).Wall, Points: 52_000, Devices: devices, Mode: "logs", Now: stamp(0),
	})
	const want = `{"eventType":"CUSTOM_INFO","title":"Edgehold plant-7: measurements of 3h0m0s came too late to be metrics",` +
		`"startTime":1767214800000,"endTime":1767225600000,"properties":{"site":"plant-7","edgehold.from":"2025-12-31T21:00:00.000Z",` +
		`"edgehold.to":"2026-01-01T00:00:00.000Z","edgehold.seconds":"10800","edgehold.points":"52000","edgehold.devices":"23",` +
		`"edgehold.device_names":"switch-a, switch-b, switch-c, switch-d, switch-e, switch-f, switch-g, switch-h, switch-i, switch-j, switch-k, ` +
		`switch-l, switch-m, switch-n, switch-o, switch-p, switch-q, switch-r, switch-s, switch-t and 3 more",` +
		`"edgehold.late":"logs","edgehold.outcome":"sent as log records with their true times"}}`
	if got := string(AppendEventBody(nil, e)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	env := environment(t)
	if status := post(t, env, "/api/v2/events/ingest", AppendEventBody(nil, e)); status != 201 || env.Counts().Events != 1 {
		t.Errorf("status %d, %+v", status, env.Ledger().Refusals())
	}
	old := Gap(GapOptions{Site: "a", From: stamp(400 * 24 * time.Hour).Wall, To: stamp(time.Hour).Wall, Mode: "drop", Now: stamp(0)})
	if !EventInTime(old, noon.Add(24*time.Hour)) || old.End != (probes.Stamp{Wall: stamp(time.Hour).Wall}) || old.Properties[1].Value != "2024-11-27T00:00:00.000Z" {
		t.Errorf("an outage of a year: %+v", old)
	}
	if n := len(old.Properties); n != 9 || old.Properties[n-1].Key != "edgehold.note" { // no devices to name
		t.Errorf("%d properties: %v", n, old.Properties)
	}
}
