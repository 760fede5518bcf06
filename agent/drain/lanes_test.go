package drain

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// TestChoose asks for the lanes that are tried, in their order, and for when
// another one opens, by what bars them.
func TestChoose(t *testing.T) {
	const s = time.Second
	shut := func(g *gate, wait time.Duration) { g.failures, g.next = 1, noon.Add(wait) }
	for name, test := range map[string]struct {
		change func(v *view)
		try    string
		opens  time.Duration
	}{
		"nothing bars":        {func(*view) {}, "live events window logs", 0},
		"late as logs":        {func(v *view) { v.late = LateLogs }, "live events window logs late", 0},
		"no link":             {func(v *view) { shut(&v.gates.link, 3*s) }, "", 3 * s},
		"no link, drop":       {func(v *view) { shut(&v.gates.link, 3*s); v.late = LateDrop }, "late", 3 * s},
		"a gate that opens":   {func(v *view) { shut(&v.gates.link, 0) }, "live events window logs", 0},
		"events held":         {func(v *view) { shut(&v.gates.cargo[events], 60*s) }, "live window logs", 60 * s},
		"logs held":           {func(v *view) { shut(&v.gates.cargo[logs], 60*s); v.late = LateLogs }, "live events window", 60 * s},
		"metrics held":        {func(v *view) { shut(&v.gates.cargo[metrics], 60*s) }, "events logs", 60 * s},
		"budget spent":        {func(v *view) { v.frugal = 7 * s }, "live", 7 * s},
		"budget, drop":        {func(v *view) { v.frugal = 7 * s; v.late = LateDrop }, "live late", 7 * s},
		"spread":              {func(v *view) { v.spread = noon.Add(40 * s); v.late = LateLogs }, "live events window", 40 * s},
		"spread and budget":   {func(v *view) { v.spread = noon.Add(40 * s); v.frugal = 50 * s }, "live", 50 * s},
		"spread is over":      {func(v *view) { v.spread = noon }, "live events window logs", 0},
		"the sooner of two":   {func(v *view) { shut(&v.gates.cargo[events], 60*s); shut(&v.gates.cargo[logs], 20*s) }, "live window", 20 * s},
		"OTLP: logs and all":  {func(v *view) { v.protocol = OTLP; shut(&v.gates.cargo[otlpLogs], 60*s) }, "live window", 60 * s},
		"OTLP: other's gates": {func(v *view) { v.protocol = OTLP; shut(&v.gates.cargo[logs], 60*s) }, "live events window logs", 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := view{now: noon, gates: &gates{}}
			test.change(&v)
			try, opens := choose(nil, v)
			if got := fmt.Sprint(try); got != "["+test.try+"]" || opens != test.opens {
				t.Errorf("tries %s, another opens in %v; want [%s], %v", got, opens, test.try, test.opens)
			}
		})
	}
}

// TestQueries asks for each age of a point in which metric lane it goes, if any.
func TestQueries(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		window, age, estimate time.Duration
		lane                  int // -1: none
	}{
		{time.Hour, 0, 0, 0},
		{time.Hour, 2 * time.Minute, 0, 0},
		{time.Hour, 2*time.Minute + ms, 0, 1},
		{time.Hour, 58 * time.Minute, 0, 1},
		{time.Hour, 58*time.Minute + ms, 0, -1},
		{time.Hour, 57 * time.Minute, time.Minute, 1},
		{time.Hour, 57*time.Minute + ms, time.Minute, -1},
		{time.Hour, -8 * time.Minute, 0, 0},
		{time.Hour, -8*time.Minute - ms, 0, -1},
		{3 * time.Minute, time.Minute, 0, 0},
		{3 * time.Minute, time.Minute + ms, 0, -1},
	} {
		s := scope{now: noon, window: test.window, estimate: test.estimate, points: 7}
		if got := laneOf(t, s, noon.Add(-test.age)); got != test.lane {
			t.Errorf("window %v, age %v: lane %d, want %d", test.window, test.age, got, test.lane)
		}
	}
}

// laneOf gives the one lane of a time, and -1 for none.
func laneOf(t *testing.T, s scope, stamp time.Time) int {
	t.Helper()
	lane := -1
	for i, queries := range [][]buffer.Query{s.fresh(), s.backlog()} {
		for _, q := range queries {
			if !in(q, stamp) {
				continue
			}
			if lane >= 0 && lane != i {
				t.Errorf("%v is in two lanes", stamp)
			}
			if lane = i; q.Max != s.points {
				t.Errorf("lane %d leases up to %d points", i, q.Max)
			}
		}
	}
	return lane
}

// TestQueriesOfMinutes holds that no minute is cut in two by the border of the
// lanes, and none is folded before it is over and settled.
func TestQueriesOfMinutes(t *testing.T) {
	for second := range 180 {
		now := noon.Add(time.Duration(second) * time.Second)
		s := scope{now: now, window: time.Hour, settle: 15 * time.Second, points: 7, folded: 7, cadence: newCadence()}
		for back := range 10 {
			first := now.Truncate(time.Minute).Add(-time.Duration(back) * time.Minute)
			last := first.Add(time.Minute - time.Millisecond)
			over := now.Sub(last) > 15*time.Second
			var whole []buffer.Query
			for _, q := range append(s.fresh(), s.backlog()...) {
				if q.Whole == 0 {
					continue
				}
				if in(q, first) != in(q, last) {
					t.Errorf("%v after noon: the minute %d back is cut in two", now.Sub(noon), back)
				}
				if in(q, first) {
					whole = append(whole, q)
				}
			}
			if want := map[bool]int{true: 1}[over]; len(whole) != want {
				t.Errorf("%v after noon: the minute %d back is folded by %d queries, want %d", now.Sub(noon), back, len(whole), want)
			}
		}
	}
}

// TestQueriesWhileOthersGoFirst holds that a backlog that waits still sends
// what would expire by the time it may go.
func TestQueriesWhileOthersGoFirst(t *testing.T) {
	for _, c := range []*cadence{nil, newCadence()} {
		s := scope{now: noon, window: time.Hour, spread: noon.Add(40 * time.Second), points: 7, cadence: c}
		q := s.backlog()[0]
		if !in(q, noon.Add(-57*time.Minute-30*time.Second)) || in(q, noon.Add(-56*time.Minute)) {
			t.Errorf("the backlog that would expire is %v to %v", q.Oldest, q.Newest)
		}
	}
}

func in(q buffer.Query, stamp time.Time) bool {
	return !stamp.Before(q.Oldest) && (q.Newest.IsZero() || !stamp.After(q.Newest))
}

func TestTooLate(t *testing.T) {
	if at := noon.Add(-59 * time.Minute).UnixMilli(); tooLate(at, noon, time.Hour) || !tooLate(at-1, noon, time.Hour) {
		t.Error("a point is given back at 59 minutes, not before and not after")
	}
	if !clockUnset(time.UnixMilli(mint.First-1)) || clockUnset(noon) {
		t.Error("a clock is unset while its stamps have no line")
	}
}

func TestDelay(t *testing.T) {
	busy, away, held, full := outcome{verdict: later}, outcome{verdict: later, unreached: true}, outcome{verdict: hold}, outcome{verdict: later, throttled: true}
	for _, test := range []struct {
		c        cargo
		failures int
		o        outcome
		random   float64
		want     time.Duration
	}{
		{metrics, 1, busy, 0.5, 500 * time.Millisecond},
		{metrics, 2, busy, 0.5, time.Second},
		{metrics, 1000, busy, 0.999, 9990 * time.Millisecond},
		{otlpMetrics, 1000, busy, 0.999, 9990 * time.Millisecond},
		{metrics, 1000, full, 0.999, 59940 * time.Millisecond},
		{events, 6, busy, 0.5, 16 * time.Second},
		{logs, 7, busy, 0.5, 30 * time.Second},
		{logs, 1000, busy, 0.999, 59940 * time.Millisecond},
		{metrics, 5, busy, 0, shortest},
		{metrics, 0, busy, 0.5, 500 * time.Millisecond},
		{logs, 3, away, 0.5, 2 * time.Second},
		{logs, 5, away, 0.5, 5 * time.Second},
		{logs, 1000, away, 0.999, 9990 * time.Millisecond},
		{metrics, 1, held, 0.5, 5 * time.Second},
		{metrics, 4, held, 0.5, 40 * time.Second},
		{metrics, 1000, held, 0.5, 150 * time.Second},
	} {
		if got := paceOf(test.c, test.o).delay(test.failures, test.random); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestCadence(t *testing.T) {
	c, points := newCadence(), samples(3, noon)
	again := points[1]
	again.Stamp.Wall += 10_000
	c.learn(points)
	c.learn(points) // given back and leased again: no second point
	if slices.ContainsFunc(points, func(p probes.Point) bool { return c.fast(p.Series) }) {
		t.Error("a point that is leased twice makes its series fast")
	}
	c.learn([]probes.Point{again})
	if c.fast(points[0].Series) || !c.fast(points[1].Series) || c.slow(points[1].Series) || !c.slow(points[0].Series) {
		t.Errorf("%+v", c.last)
	}
	next := points[2]
	next.Stamp.Wall += 60_000
	c.learn([]probes.Point{next})
	if c.fast(next.Series) {
		t.Error("a point of each minute makes a series fast")
	}
	next.Stamp.Wall += remembered.Milliseconds()
	c.confirm(next)
	c.prune(noon.Add(remembered + time.Minute))
	if len(c.last) != 1 || !c.fast(next.Series) {
		t.Errorf("after an hour %+v", c.last)
	}
}
