package drain

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// handClock is a clock that a test turns.
type handClock struct{ ms atomic.Int64 }

func (c *handClock) set(t time.Time) { c.ms.Store(t.UnixMilli()) }
func (c *handClock) now() time.Time  { return time.UnixMilli(c.ms.Load()) }

// live is a site with steady traffic: a poll of all devices is committed, and
// leaves at once.
type live struct {
	net   *network
	clock *handClock
	env   *benchEnv
	store *buffer.Store
	drain *Drain
	child
}

func newLive(t *testing.T, mix mixture, devices int, interval time.Duration) *live {
	t.Helper()
	l := &live{net: newNetwork(mix, devices, interval), clock: new(handClock)}
	l.clock.set(netStart)
	l.env = newBenchEnv(t, l.clock.now)
	l.store = openAt(t, t.TempDir()+"/live.db", 0, l.clock.now)
	t.Cleanup(func() { _ = l.store.Close() })
	l.child = child{errand: errand{URL: l.env.URL(), CA: l.env.ca}, store: l.store, now: l.clock.now}
	return l
}

// start runs a drain until the test ends.
func (l *live) start(t *testing.T, way string) {
	t.Helper()
	l.Way = way
	l.client(t)
	o := Options{Target: l.target, Store: l.store, Log: zerolog.Nop(), Version: "bench", Site: "plant-7", Now: l.clock.now}
	if way == wayMinute {
		o.Resolution = Minute
	}
	l.drain = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.drain.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// poll commits the next poll of all devices, and turns the clock to its end.
func (l *live) poll(t *testing.T) []probes.Point {
	t.Helper()
	points := l.net.poll()
	l.clock.set(netStart.Add(time.Duration(l.net.round) * l.net.interval))
	if err := l.store.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	return points
}

// settled waits until so many points have left.
func (l *live) settled(t *testing.T, points int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); carried(l.drain.State()) < points; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d points have not left within a minute: %+v", points, l.drain.State())
		}
	}
}

// due is how many points should have left: where minutes are folded, those of
// the minutes that are over, and before all others the first poll, which did
// not show yet that more than one come in a minute.
func (l *live) due() int64 {
	polls := int64(l.net.round)
	if l.Way == wayMinute {
		over := l.clock.now().Add(-defaultSettle).Truncate(time.Minute).Sub(netStart)
		polls = max(1, int64(over/l.net.interval))
	}
	return polls * int64(len(l.net.devices)) * netPoints
}

// bytes are all that moved so far.
func (e *benchEnv) bytes() int64 {
	in, out := e.WireBytes()
	return in + out
}

// wireCost is what steady traffic costs on the wire.
type wireCost struct {
	perPoint  float64 // bytes, TLS, headers and the first handshake included
	postsPoll float64
	counts    draintest.Counts
}

// liveCost sends some polls as they come.
func liveCost(t *testing.T, way string, mix mixture, devices, polls int, interval time.Duration) wireCost {
	t.Helper()
	l := newLive(t, mix, devices, interval)
	naive, sent := newNaive(t, &l.child), 0
	if way != wayGzip {
		l.start(t, way)
	}
	for range polls {
		points := l.poll(t)
		sent += len(points)
		if way != wayGzip {
			l.settled(t, l.due())
			continue
		}
		for part := points; len(part) > 0; part = part[min(len(part), maxLines):] {
			naive.post(t, part[:min(len(part), maxLines)])
		}
	}
	c := l.env.Counts()
	return wireCost{perPoint: float64(l.env.bytes()) / float64(sent), postsPoll: float64(c.Requests) / float64(polls), counts: c}
}

// TestDrainLiveTraffic holds that polls leave as they come, in either way.
func TestDrainLiveTraffic(t *testing.T) {
	const devices, polls = 10, 3
	for _, way := range []string{wayFull, wayOTLP, wayGzip} {
		c := liveCost(t, way, steady, devices, polls, netPolls)
		if c.counts.Distinct != devices*polls*netPoints || c.counts.Lines != c.counts.Distinct {
			t.Errorf("%s: %+v", way, c.counts)
		}
	}
	// Twelve polls are two minutes; the second is not over yet. There are far
	// more series than one lease has points, and all must be known by then.
	const many = 50
	if c := liveCost(t, wayMinute, steady, many, 12, netPolls); c.counts.Lines != 2*many*netPoints {
		t.Errorf("%s: %+v", wayMinute, c.counts)
	}
}

// TestSoakDrainWire measures the bytes on the wire of steady traffic, both
// ways, beside the baseline and beside what a collector's bodies would have.
func TestSoakDrainWire(t *testing.T) {
	soak(t)
	for _, mix := range []mixture{steady, bustling} {
		n := newNetwork(mix, netDevices, netPolls)
		raw, packed, points := 0, 0, 0
		for range 3 {
			poll := n.poll()
			points += len(poll) - netDevices
			for d, list := range n.devices {
				r, p := collectorBody(list, poll[d*netPoints:(d+1)*netPoints])
				raw, packed = raw+r, packed+p
			}
		}
		t.Logf("%s: bodies like a collector's, a device each: %.1f B/pt, %.2f compressed, without headers", mix.name, float64(raw)/float64(points), float64(packed)/float64(points))
		for _, interval := range []time.Duration{10 * time.Second, time.Minute} {
			polls := 24
			for _, way := range []string{wayFull, wayGzip, wayOTLP, wayMinute} {
				if way == wayMinute && interval == time.Minute {
					continue
				}
				c := liveCost(t, way, mix, netDevices, polls, interval)
				t.Logf("%s, a poll each %v, %s: %.2f B/pt, %.1f posts a poll, %d lines", mix.name, interval, way, c.perPoint, c.postsPoll, c.counts.Lines)
			}
		}
	}
}
