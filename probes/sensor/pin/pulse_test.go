package pin

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func TestPulse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLine(false)
		r := newRig(t, l)
		p := NewPulse(r.options(time.Minute), Count{PerPulse: 0.5, Start: 100, Unit: "l"})
		stop := r.start(p)
		got := r.batches()
		if d := got[0].Points[0].Series.Dim("sensor.unit"); d != "l" {
			t.Errorf("unit %q", d)
		}
		if text := r.told(got); text != "total=100@0" {
			t.Error(text)
		}
		for n := range 20 {
			r.edge(l, n%2 == 0, 0)
		}
		r.expect("")
		pass(time.Minute - 20*7*time.Millisecond)
		r.expect("pulses=10@60000 total=105@60000 rate=300@60000")
		pass(time.Minute)
		r.expect("pulses=0@120000 total=105@120000 rate=0@120000")
		r.edge(l, true, 0)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.expect("pulses=1@120207 total=105.5@120207")
	})
}

// Losses are told, and are not in the total. Edges take turns.
func TestPulseLoses(t *testing.T) {
	for _, tt := range []struct {
		was, is bool
		lost    int
		want    string
	}{
		{false, true, 2, "pulses=1@120000 total=2@120000 rate=60@120000 pulses.lost=1@120000"},
		{false, false, 3, "pulses=0@120000 total=1@120000 rate=0@120000 pulses.lost=2@120000"},
		{true, false, 2, "pulses=0@120000 total=1@120000 rate=0@120000 pulses.lost=1@120000"},
		{true, true, 3, "pulses=1@120000 total=2@120000 rate=60@120000 pulses.lost=1@120000"},
		{false, true, 0, "pulses=1@120000 total=2@120000 rate=60@120000"},
	} {
		bubble(t, func(t *testing.T) {
			l := newLine(!tt.was) // which the edges contradict
			r := newRig(t, l)
			p := NewPulse(r.options(time.Minute), Count{})
			stop := r.start(p)
			r.take()
			r.edge(l, !tt.was, 0) // and back, so that it is known from the edges
			r.edge(l, tt.was, 0)
			pass(time.Minute - 14*time.Millisecond)
			r.take()
			r.edge(l, tt.is, tt.lost)
			if tt.lost > 0 {
				r.health(p, probes.StatusWarning, "faster than they could be read")
			}
			pass(time.Minute - 7*time.Millisecond)
			r.expect(tt.want)
			_ = stop()
			r.expect("") // nothing twice
		})
	}
}

// Whatever is committed last before an end is where the counting goes on: the points
// that were committed and the total agree, and no pulse is counted twice.
func TestPulseIsKilled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var all []probes.Batch
		l := newLine(false)
		r := newRig(t, l)
		stop := r.start(NewPulse(r.options(time.Minute), Count{PerPulse: 0.1, Start: 7}))
		pulses := 0
		for minute := range 5 {
			for range minute {
				r.edge(l, true, 0)
				r.edge(l, false, 0)
				pulses++
			}
			pass(time.Minute - time.Duration(minute)*14*time.Millisecond)
		}
		r.edge(l, true, 0)
		_ = stop()
		pulses++
		all = append(all, r.batches()...)
		for cut := 1; cut <= len(all); cut++ {
			counted, state := counted(all[:cut])
			again := NewPulse(r.options(time.Minute), Count{PerPulse: 0.1, Start: 7})
			if err := again.Resume(state); err != nil {
				t.Fatal(err)
			}
			r.lines = []*line{newLine(false)}
			_ = r.start(again)()
			r.expect(fmt.Sprintf("total=%.8g@%d", 7+float64(counted)*0.1, 300_007+200*cut))
		}
		if n, _ := counted(all); n != uint64(pulses) {
			t.Errorf("%d of %d pulses are told", n, pulses)
		}
	})
}

// counted adds the pulses of batches up and gives the last state.
func counted(list []probes.Batch) (pulses uint64, state []byte) {
	for _, b := range list {
		if b.State != nil {
			state = b.State
		}
		for _, p := range b.Points {
			if p.Series.Key() == "edgehold.sensor.pulses" {
				pulses += p.Value.Uint64()
			}
		}
	}
	return pulses, state
}

func TestPulseResume(t *testing.T) {
	state := func(s tally) []byte { b, _ := json.Marshal(s); return b }
	kept := state(tally{Start: 100, Base: 100, PerPulse: 0.5, Pulses: 10})
	for _, tt := range []struct {
		name  string
		count Count
		state []byte
		total float64
		fails bool
	}{
		{"as it was", Count{PerPulse: 0.5, Start: 100}, kept, 105, false},
		{"another meter", Count{PerPulse: 0.5, Start: 3}, kept, 3, false},
		{"another worth", Count{PerPulse: 2, Start: 100}, kept, 105, false},
		{"garbage", Count{PerPulse: 0.5, Start: 100}, []byte("{"), 100, true},
		{"negative", Count{PerPulse: 0.5, Start: 100}, []byte(`{"start":100,"pulses":-1}`), 100, true},
		{"no number", Count{PerPulse: 0.5, Start: 100}, []byte(`{"start":100,"base":100,"per_pulse":1e308,"pulses":1000}`), 100, true},
	} {
		p := NewPulse(Options{Line: "x"}, tt.count)
		if err := p.Resume(tt.state); (err != nil) != tt.fails || p.tally.total() != tt.total {
			t.Errorf("%s: %v, %v", tt.name, err, p.tally.total())
		}
		p.tally.Pulses++
		want := tt.total + tt.count.PerPulse
		if p.tally.total() != want {
			t.Errorf("%s: the next pulse makes %v of %v", tt.name, p.tally.total(), tt.total)
		}
	}
}

func TestCountCheck(t *testing.T) {
	zero := 0.0
	for _, tt := range []struct {
		c  Count
		ok bool
	}{{Count{}, true}, {Count{PerPulse: 0.001, Start: -5}, true}, {Count{PerPulse: -1}, false}, {Count{PerPulse: 1 / zero}, false}, {Count{Start: zero / zero}, false}} {
		if err := tt.c.Check(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
}
