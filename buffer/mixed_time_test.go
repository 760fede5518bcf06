package buffer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// times is what a mixed history knows of time: the truth, and what the agent
// believes.
type times struct {
	facts    map[int]fact
	boot     probes.BootID
	offset   int64 // true wall time at the start of the boot, milliseconds
	base     int64 // what the process believes instead
	trusted  *atomic.Bool
	anchored map[probes.BootID]bool
	over     map[probes.BootID]bool // ended without an anchor, and the store knows
}

// fact is when a point was truly measured.
type fact struct {
	boot   probes.BootID
	uptime int64
	wall   int64
	guess  bool // it was not known then
	entry  bool
}

func (m *mixed) begin() {
	m.times = times{facts: make(map[int]fact), anchored: make(map[probes.BootID]bool), over: make(map[probes.BootID]bool), trusted: new(atomic.Bool)}
	m.reboot()
	m.trusted.Store(true)
	m.o.Now = func() time.Time {
		if !m.trusted.Load() {
			return time.Time{}
		}
		return m.clock.now()
	}
}

// reboot begins a boot whose time is not known.
func (m *mixed) reboot() {
	m.boot[0]++
	m.offset = m.clock.now().UnixMilli() - int64(m.random.IntN(100_000)) - 1_000_000
	m.trusted.Store(false)
}

// started is another process: it believes something else, and knows what the
// store knows.
func (m *mixed) started() {
	m.base = int64(m.random.IntN(1_000_000_000))
	m.trusted.Store(m.trusted.Load() || m.anchored[m.boot])
}

// turnTime changes what is known of the time.
func (m *mixed) turnTime() {
	switch {
	case !m.trusted.Load() && m.random.IntN(2) == 0:
		m.note("anchor of boot %d", m.boot[0])
		m.anchor()
	case !m.trusted.Load():
		m.note("restart without the time")
		m.restart(m.random.IntN(2) == 0)
	default:
		m.note("reboot")
		m.reboot()
		m.restart(false)
	}
}

func (m *mixed) anchor() {
	for _, f := range m.facts {
		if f.boot != m.boot && !m.anchored[f.boot] {
			m.over[f.boot] = true
		}
	}
	m.anchored[m.boot] = true
	m.SetAnchor(probes.Anchor{Boot: m.boot, Offset: m.offset, Source: "ntp"})
	m.trusted.Store(true)
}

// stamp is that of point n, measured so much later than now.
func (m *mixed) stamp(n int, ahead int64) probes.Stamp {
	wall := m.clock.now().UnixMilli() + ahead
	m.facts[n] = fact{boot: m.boot, uptime: wall - m.offset, wall: wall, guess: !m.trusted.Load()}
	return m.again(n)
}

// again is the stamp of a point as it is believed now.
func (m *mixed) again(n int) probes.Stamp {
	f := m.facts[n]
	s := probes.Stamp{Boot: f.boot, Uptime: time.Duration(f.uptime) * time.Millisecond, Wall: f.wall}
	if f.guess && !m.anchored[f.boot] {
		m.tried["guess"]++
		s.Guess, s.Wall = true, m.base+f.uptime
	}
	return s
}

func stampIn(p Page, i int) probes.Stamp {
	if len(p.Entries) > 0 {
		return p.Entries[i].Stamp
	}
	return p.Points[i].Stamp
}

// checkTime holds the stamp of an open point against the truth.
func (m *mixed) checkTime(n int, s probes.Stamp, state PointState) {
	f := m.facts[n]
	known := !f.guess || m.anchored[f.boot]
	switch {
	case s.Boot != f.boot || s.Uptime.Milliseconds() != f.uptime:
		m.t.Errorf("point %d has stamp %+v, want %+v", n, s, f)
	case known != !s.Guess:
		m.t.Errorf("point %d has stamp %+v, its time is known: %v", n, s, known)
	case known && s.Wall != f.wall:
		m.t.Errorf("point %d has wall time %d, it was measured at %d", n, s.Wall, f.wall)
	case !known && m.over[f.boot] && state != Late:
		m.t.Errorf("point %d of a boot that is over is %v", n, state)
	case !known && !m.over[f.boot] && state != Buffered:
		m.t.Errorf("point %d waits for its time and is %v", n, state)
	}
}

// seen is an open point as Read gives it.
type seen struct {
	point probes.Point
	state PointState
}

func (m *mixed) openPoints() map[int]seen {
	m.t.Helper()
	out := make(map[int]seen)
	err := m.Read(context.Background(), Selection{}, func(p Page) error {
		for i, x := range p.Points {
			out[numberIn(p, i)] = seen{x, p.State[i]}
		}
		return nil
	})
	if err != nil {
		m.t.Errorf("read: %v", err)
	}
	return out
}

// wholeLease checks that no series of a lease is cut: what else the file has
// of it in the period could not have been leased at all.
func (m *mixed) wholeLease(q Query, l *Lease, open map[int]seen) {
	m.t.Helper()
	period := func(s probes.Stamp) int64 { return s.Wall / q.Whole.Milliseconds() }
	mine, of := make(map[int]bool), make(map[*probes.Series]bool)
	for _, p := range l.Points {
		mine[noiseNumber(p)] = true
		of[p.Series] = true
		if first := l.Points[0].Stamp; period(p.Stamp) != period(first) || p.Stamp.Guess != first.Guess || p.Stamp.Guess && p.Stamp.Boot != first.Boot {
			m.t.Errorf("a lease of %v has points of %+v and %+v", q.Whole, first, p.Stamp)
		}
	}
	first := l.Points[0].Stamp
	bound := q.Oldest
	if cutoff := m.clock.now().Add(-time.Minute); !q.Late && m.trusted.Load() && cutoff.After(bound) {
		bound = cutoff
	}
	for n, x := range open {
		s := x.point.Stamp
		same := of[x.point.Series] && period(s) == period(first) && s.Guess == first.Guess && (!s.Guess || s.Boot == first.Boot)
		if !same || mine[n] || !s.Guess && s.Time().Before(bound) || x.state == Late && !q.Late {
			continue
		}
		m.t.Errorf("point %d, %v, %+v, was left out of a lease of whole series", n, x.state, s)
	}
	if l.len() > q.Max && len(of) > 1 {
		m.t.Errorf("%d points of %d series leased, at most %d were asked for", l.len(), len(of), q.Max)
	}
}

// checkAges compares Ages with what Read gives.
func (m *mixed) checkAges(in map[int]PointState) {
	m.t.Helper()
	got := m.Ages([]time.Duration{0, 10 * time.Second, 30 * time.Second})
	var sum, known int64
	for _, n := range got {
		sum += n
	}
	for n, state := range in {
		if f := m.facts[n]; state == Buffered && m.trusted.Load() && (!f.guess || m.anchored[f.boot]) {
			known++
		}
	}
	if sum != known {
		m.t.Errorf("ages %v, but %d points are buffered and have a time", got, known)
	}
}

func (m *mixed) stampEntry(n int) probes.Stamp {
	s := m.stamp(n, 0)
	f := m.facts[n]
	f.entry = true
	m.facts[n] = f
	return s
}
