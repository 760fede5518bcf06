package snmp

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

func TestRollover(t *testing.T) {
	const end = math.MaxUint32 - 2999 // 30 seconds before the uptime begins anew
	sign := func(ticks uint64, at time.Duration) lifeSign { return lifeSign{Known: true, Ticks: ticks, Uptime: at} }
	for _, test := range []struct {
		name    string
		ticks   uint64
		after   time.Duration
		engine  time.Duration
		another bool
	}{
		{"begun anew", 3000, time.Minute, 0, false},
		{"begun anew, a little late", 3400, time.Minute, 0, false},
		{"the agent has run on", 3000, time.Minute, 497 * 24 * time.Hour, false},
		{"the agent has not", 3000, time.Minute, 30 * time.Second, true},
		{"a restart just now", 200, time.Minute, 0, true},
		{"a restart before it was due", 5900, time.Minute, 0, true},
		{"a long time away", 3000 + 360_000, time.Hour + time.Minute, 0, false},
	} {
		before, now := sign(end, time.Hour), sign(test.ticks, time.Hour+test.after)
		now.engine = test.engine
		if now.another(before) != test.another || now.outlived(before) == test.another {
			t.Errorf("%s: another %v, outlived %v", test.name, now.another(before), now.outlived(before))
		}
	}
	if now := sign(3000, time.Minute); now.another(sign(40_000, 0)) != true {
		t.Error("a restart far from the end was taken for a rollover")
	}
}

func TestUnknownTimeProvesNothing(t *testing.T) {
	before := lifeSign{Known: true, Ticks: 1000, Wall: 1_700_000_000_000}
	now := lifeSign{Known: true, Ticks: 7000, Wall: before.Wall + 60_000}
	now.Boot[0]++
	if !now.outlived(before) {
		t.Error("a minute after a restart of the gateway the device is not known")
	}
	if now.Guess = true; now.outlived(before) {
		t.Error("a guessed time proved that the device has run on")
	}
}

type engineTime struct{ asked int }

func (e *engineTime) exchange(_ context.Context, r request) (response, error) {
	e.asked++
	return response{vars: []varbind{{oid: r.oids[0], cell: plan.Cell{Kind: plan.Integer, Int: 12}}}}, nil
}

func (e *engineTime) alive(context.Context) error { return nil }

// The agent is asked for its own clock only where the uptime may have rolled.
func TestSignOfLifeAsksWhenInDoubt(t *testing.T) {
	p := &Probe{life: lifeSign{Known: true, Ticks: math.MaxUint32 - 2999, Uptime: time.Hour}}
	ex := &engineTime{}
	now := lifeSign{Known: true, Ticks: math.MaxUint32 - 1000, Uptime: time.Hour + 20*time.Second}
	if p.signOfLife(context.Background(), ex, now); ex.asked != 0 {
		t.Error("asked without need")
	}
	now = lifeSign{Known: true, Ticks: 3000, Uptime: time.Hour + time.Minute}
	if now = p.signOfLife(context.Background(), ex, now); ex.asked != 1 || !now.another(p.life) {
		t.Errorf("asked %d times, engine time %v", ex.asked, now.engine)
	}
}

// A cluster whose members were switched on together is told by its uptime, if
// that has kept our time.
func TestUptimeThatLeaps(t *testing.T) {
	const minute = 6000 // ticks
	for _, test := range []struct {
		name    string
		grown   []uint64 // minute by minute
		another bool     // at the last
	}{
		{"steady", []uint64{minute, minute, minute}, false},
		{"a member that is older by twenty minutes", []uint64{minute, minute, 21 * minute}, true},
		{"a first sign proves nothing yet", []uint64{21 * minute}, false},
		{"a slow answer", []uint64{minute, minute + 1500, minute}, false},
		{"a cache for five minutes", []uint64{minute, 0, 0, 0, 0, 6 * minute}, false},
		{"ten times too fast", []uint64{10 * minute, 10 * minute, 10 * minute}, false},
		{"as slow", []uint64{minute / 10, minute / 10, minute / 10}, false},
	} {
		p := &Probe{device: newDevice(plan.Device{}, newKit(probes.Deps{}))}
		sign := lifeSign{Known: true, Ticks: 100_000_000, Uptime: time.Hour}
		p.checkLife(sign)
		seen := 0
		for _, grown := range test.grown {
			seen = p.device.restarts()
			sign.Ticks += grown
			sign.Uptime += time.Minute
			p.checkLife(sign)
		}
		if got := p.device.restarts() > seen; got != test.another || seen > 0 {
			t.Errorf("%s: another %v, want %v; %d before", test.name, got, test.another, seen)
		}
	}
}
