package agent

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// handClock is turned by the test.
type handClock struct {
	at    time.Time
	guess bool
}

func (c *handClock) Now() probes.Stamp {
	return probes.Stamp{Boot: probes.BootID{7}, Uptime: time.Duration(c.at.UnixNano()) - 1e18, Wall: c.at.UnixMilli(), Guess: c.guess}
}

type gapRig struct {
	clock *handClock
	store *buffer.Store
	state drain.State
	gaps  *gaps
}

func newGapRig(t *testing.T) *gapRig {
	t.Helper()
	r := &gapRig{clock: &handClock{at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}}
	store, err := buffer.Open(buffer.Options{
		Path: filepath.Join(t.TempDir(), "s.db"), Log: zerolog.Nop(), Now: func() time.Time { return r.clock.at },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r.store = store
	r.gaps = &gaps{
		store: store, uplink: func() drain.State { return r.state }, clock: r.clock, mode: "archive",
		devices: func() []string { return []string{"configured"} },
		place: func() (string, []probes.Dimension) {
			return "plant", []probes.Dimension{{Key: "site", Value: "plant"}}
		},
		log: zerolog.Nop(),
	}
	return r
}

// poll accepts one point of each device, measured so long ago.
func (r *gapRig) poll(t *testing.T, age time.Duration, devices ...string) {
	t.Helper()
	var points []probes.Point
	for _, d := range devices {
		s := probes.NewSeries("gap.test", probes.Gauge, probes.Dimension{Key: "device.address", Value: d})
		points = append(points, probes.Point{Series: s, Value: probes.Int(1), Stamp: probes.Stamp{Wall: r.clock.at.Add(-age).UnixMilli()}})
	}
	if err := r.store.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
}

// An outage is told once, when metrics have arrived for a while and no more
// points become late.
func TestGapIsToldOnce(t *testing.T) {
	r := newGapRig(t)
	if _, over := r.gaps.over(); over {
		t.Fatal("a gap before any point was late")
	}
	r.poll(t, 5*time.Hour, "192.0.2.1", "192.0.2.2")
	r.poll(t, 3*time.Hour, "192.0.2.2")
	r.poll(t, time.Minute, "192.0.2.3")
	steps := []struct {
		what string
		do   func()
		over bool
	}{
		{"first seen", func() {}, false},
		{"still down", func() { r.clock.at = r.clock.at.Add(10 * time.Minute) }, false},
		{"just up", func() { r.state.UpSince = r.clock.at }, false},
		{"up for a while", func() { r.clock.at = r.clock.at.Add(3 * time.Minute) }, true},
		{"time is not known", func() { r.clock.guess = true }, false},
		{"known again", func() { r.clock.guess = false }, true},
		{"it grows", func() { r.poll(t, 2*time.Hour, "192.0.2.1") }, false},
		{"it does not grow any more", func() { r.clock.at = r.clock.at.Add(3 * time.Minute) }, true},
	}
	var gap buffer.Gap
	for _, s := range steps {
		s.do()
		got, over := r.gaps.over()
		if over != s.over {
			t.Fatalf("%s: over %v, want %v", s.what, over, s.over)
		}
		gap = got
	}
	if gap.Points != 4 {
		t.Fatalf("gap %+v, want 4 points", gap)
	}
	r.gaps.report(t.Context(), gap)
	if left, any := r.store.Gap(); any {
		t.Errorf("after the report %+v is left", left)
	}
	lease, err := r.store.Lease(buffer.Query{Entries: true, Max: 10})
	if err != nil || lease == nil || len(lease.Entries) != 1 {
		t.Fatalf("lease %+v, %v; want one event", lease, err)
	}
	e, err := record.ParseEvent(lease.Entries[0].Data)
	if err != nil || e.Type != "CUSTOM_INFO" {
		t.Fatalf("event %+v, %v", e, err)
	}
	if e.Start.Wall != gap.From || e.End.Wall != gap.To || gap.To-gap.From < time.Hour.Milliseconds() {
		t.Errorf("event from %d to %d, gap %+v", e.Start.Wall, e.End.Wall, gap)
	}
	site := slices.Contains(e.Properties, probes.Dimension{Key: "site", Value: "plant"})
	count := slices.ContainsFunc(e.Properties, func(d probes.Dimension) bool { return d.Value == "4" })
	if !site || !count {
		t.Errorf("properties %v", e.Properties)
	}
}

// The devices of a gap are those with points in it, else those polled now.
func TestGapDevices(t *testing.T) {
	r := newGapRig(t)
	r.poll(t, 30*time.Hour, "192.0.2.1", "192.0.2.2")
	r.poll(t, 29*time.Hour, "192.0.2.9")
	r.poll(t, 2*time.Hour, "192.0.2.3")
	now := r.clock.at
	gap := buffer.Gap{From: now.Add(-30 * time.Hour).UnixMilli(), To: now.Add(-29 * time.Hour).UnixMilli(), Points: 3}
	got, err := r.gaps.devicesOf(t.Context(), gap)
	if err != nil || !slices.Equal(got, []string{"192.0.2.1", "192.0.2.2", "192.0.2.9"}) {
		t.Errorf("devices %q, %v", got, err)
	}
	gap = buffer.Gap{From: now.Add(-20 * time.Hour).UnixMilli(), To: now.Add(-10 * time.Hour).UnixMilli(), Points: 3}
	if got, err = r.gaps.devicesOf(t.Context(), gap); err != nil || !slices.Equal(got, []string{"configured"}) {
		t.Errorf("devices %q, %v", got, err)
	}
}
