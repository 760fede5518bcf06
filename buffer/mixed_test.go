package buffer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// mixed drives a small store with all that can be done to it, and compares it
// with a plain map after each step.
type mixed struct {
	*rig
	random *rand.Rand
	next   int
	points map[int]string // what became of each: open, late, delivered, dead, logged, dropped, gone
	leased map[int]bool
	leases []*Lease
	log    []string
	tried  map[string]int // how much of what, over all histories
	times

	last     Account
	deadGone int64 // dead letters that were evicted or purged
	anew     int64 // points of letters that were evicted before they came back
	gap      int64 // points that are to be reported, at least
}

// tiny opens the store with limits that a few records reach.
func (m *mixed) tiny(renew bool) {
	m.t.Helper()
	s, err := newStore(m.o)
	if err != nil {
		m.t.Fatal(err)
	}
	s.o.MaxSize = allocSize + 256<<10 + 130<<10
	s.packer.most = 4 << 10
	if renew { // however large the file is
		s.stat.FileBytes, s.stat.UsedBytes = 100<<20, 0
		if err := s.giveBackSpace(false); err != nil {
			m.t.Fatal(err)
		}
	}
	go s.committer()
	s.startSalvage()
	m.Store = s
}

// numberIn is the number of a point or entry of a page.
func numberIn(p Page, i int) int {
	if len(p.Entries) > 0 {
		n, _ := strconv.Atoi(string(p.Entries[i].Data[:8]))
		return n
	}
	return noiseNumber(p.Points[i])
}

func (m *mixed) numbers(l *Lease) (out []int) {
	p := Page{Points: l.Points, Entries: l.Entries}
	for i := range l.len() {
		out = append(out, numberIn(p, i))
	}
	return out
}

func (m *mixed) step() {
	switch n := m.random.IntN(100); {
	case n < 30:
		m.appendSome()
	case n < 40:
		m.enterSome()
	case n < 60:
		m.leaseSome()
	case n < 75:
		m.settleSome()
	case n < 85:
		m.turnClock()
	case n < 88:
		m.note("restart")
		m.restart(false)
	case n < 90:
		m.purgeSome()
	case n < 93:
		m.hurt()
	case n < 95:
		m.note("write anew")
		m.restart(true)
	case n < 98:
		m.retrySome()
	default:
		m.reportGap()
	}
	if m.random.IntN(12) == 0 {
		m.turnTime()
	}
}

func (m *mixed) appendSome() {
	k := 1 + m.random.IntN(400)
	m.note("append %d", k)
	p := m.noise(m.next, k)
	for i := range p {
		p[i].Stamp = m.stamp(m.next+i, int64(m.random.IntN(3))*int64(m.random.IntN(3))*20_000)
	}
	m.rig.append(p...)
	m.added(k)
}

func (m *mixed) enterSome() {
	k := 1 + m.random.IntN(20)
	m.note("enter %d", k)
	var all []Entry
	for i := range k {
		e := m.entry(fmt.Sprintf("%08d%s", m.next+i, make([]byte, m.random.IntN(300))))
		e.Stamp = m.stampEntry(m.next + i)
		all = append(all, e)
	}
	m.enter(all...)
	m.added(k)
}

func (m *mixed) turnClock() {
	d := time.Duration(m.random.IntN(30)) * time.Second
	switch m.random.IntN(20) {
	case 0:
		d *= -3
	case 1:
		d *= 10
	}
	m.note("clock %v", d)
	m.clock.add(d)
}

func (m *mixed) purgeSome() {
	p := Purge{
		DeadLetters: m.random.IntN(2) == 0,
		Before:      m.clock.now().Add(-time.Duration(60+m.random.IntN(90)) * time.Second),
		All:         m.random.IntN(30) == 0,
	}
	for range m.random.IntN(3) {
		p.Letters = append(p.Letters, uint64(m.random.IntN(200)))
	}
	m.note("purge %+v", p)
	if _, err := m.Purge(context.Background(), p); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mixed) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *mixed) added(k int) {
	for i := range k {
		m.points[m.next+i] = "open"
	}
	m.next += k
}

func (m *mixed) restart(renew bool) {
	m.t.Helper()
	if err := m.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.started()
	m.tiny(renew)
	m.leases = nil
	clear(m.leased)
	if m.trusted.Load() {
		m.anchor()
	}
}

func (m *mixed) leaseSome() {
	q := Query{Max: 1 + m.random.IntN(300), Entries: m.random.IntN(4) == 0, Late: m.random.IntN(5) < 2}
	if m.random.IntN(2) == 0 {
		q.Oldest = m.clock.now().Add(-20 * time.Second)
	}
	if m.random.IntN(4) == 0 {
		q.Match = func(s *probes.Series) bool { return len(s.Dim("n")) == 1 }
	}
	if m.random.IntN(3) == 0 {
		q.Whole = []time.Duration{10 * time.Second, 30 * time.Second, time.Hour}[m.random.IntN(3)]
	}
	m.note("lease %+v", q)
	before := m.openPoints()
	l, err := m.Lease(q)
	if err != nil {
		m.t.Fatal(err)
	}
	if l == nil {
		return
	}
	for i, n := range m.numbers(l) {
		if want := map[bool]string{false: "open", true: "late"}[q.Late]; m.points[n] != want || m.leased[n] {
			m.t.Errorf("point %d was leased, it is %s, leased %v, late %v", n, m.points[n], m.leased[n], q.Late)
		}
		if q.Match != nil && !q.Entries && !q.Match(l.Points[i].Series) {
			m.t.Errorf("point %d is of series %v", n, l.Points[i].Series.Dims())
		}
		m.leased[n] = true
	}
	if q.Late {
		m.tried["late lease"] += len(l.at)
	}
	if q.Whole > 0 && !q.Entries {
		m.tried["whole lease"] += len(l.at)
		m.wholeLease(q, l, before)
	} else if l.len() > q.Max {
		m.t.Errorf("%d points leased, at most %d were asked for", l.len(), q.Max)
	}
	m.leases = append(m.leases, l)
}

func (m *mixed) settleSome() {
	if len(m.leases) == 0 {
		return
	}
	i := m.random.IntN(len(m.leases))
	l := m.leases[i]
	m.leases = slices.Delete(m.leases, i, i+1)
	each := make([]Settlement, l.len())
	allowed := []Outcome{Delivered, Refused, Later}
	if l.late {
		allowed = []Outcome{Logged, Dropped, Refused, Later}
	}
	one := allowed[m.random.IntN(len(allowed))]
	some := m.random.IntN(2) == 0
	m.note("settle %d", len(each))
	for j, n := range m.numbers(l) {
		each[j] = Settlement{Outcome: one, Line: fmt.Sprint(n), Kind: map[bool]string{true: "log"}[len(l.Entries) > 0]}
		if some {
			each[j].Outcome = allowed[m.random.IntN(len(allowed))]
		}
		delete(m.leased, n)
		if m.points[n] != "gone" && each[j].Outcome != Later {
			m.points[n] = map[Outcome]string{Delivered: "delivered", Refused: "dead", Logged: "logged", Dropped: "dropped"}[each[j].Outcome]
		}
	}
	m.settle(l, each...)
}

// retrySome brings dead letters back.
func (m *mixed) retrySome() {
	var numbers []uint64
	if m.random.IntN(2) == 0 {
		numbers = []uint64{uint64(m.random.IntN(200)), uint64(m.random.IntN(200))}
	}
	var back []int
	before := m.Account()
	n, err := m.RetryLetters(context.Background(), numbers, func(x Letter) (Revived, error) {
		i, err := strconv.Atoi(x.Line)
		switch {
		case err != nil || i%5 == 0:
			return Revived{}, err
		case x.Kind == "log":
			back = append(back, i)
			return Revived{Entry: &Entry{Kind: LogEntry, Stamp: m.again(i), Data: fmt.Appendf(nil, "%08d", i)}}, nil
		}
		back = append(back, i)
		p := m.noise(i, 1)[0]
		p.Stamp = m.again(i)
		return Revived{Point: &p}, nil
	})
	if err != nil || n != len(back) {
		m.t.Fatalf("%d of %d letters retried, %v", n, len(back), err)
	}
	for _, i := range back {
		if m.points[i] != "dead" {
			m.t.Errorf("point %d was retried, it is %s", i, m.points[i])
		}
		m.points[i] = "open"
	}
	m.note("retry %d", n)
	m.tried["retry"] += n
	m.anew += m.Account().Accepted - before.Accepted
}

func (m *mixed) reportGap() {
	g, ok := m.Gap()
	if !ok {
		return
	}
	m.note("report gap %+v", g)
	m.tried["gap"]++
	e := m.entry(fmt.Sprintf("%08d", m.next))
	e.Stamp = m.stampEntry(m.next)
	if err := m.ReportGap(context.Background(), g, e); err != nil {
		m.t.Fatal(err)
	}
	m.added(1)
	m.gap = 0
}

// hurt damages a record that may be leased, and lets the store find it.
func (m *mixed) hurt() {
	var open []uint64
	err := m.Read(context.Background(), Selection{}, func(p Page) error { open = append(open, p.Record); return nil })
	if err != nil {
		m.t.Fatal(err)
	}
	if len(open) == 0 {
		return
	}
	n := open[m.random.IntN(len(open))]
	m.note("damage %d", n)
	m.spoil(n)
	if err := m.Read(context.Background(), Selection{}, func(p Page) error { return nil }); err == nil {
		m.t.Error("damage was not seen")
	}
}

// readStates gives the state of all that is open in the file.
func (m *mixed) readStates() map[int]PointState {
	m.t.Helper()
	in := make(map[int]PointState)
	err := m.Read(context.Background(), Selection{}, func(p Page) error {
		for i, state := range p.State {
			n := numberIn(p, i)
			if in[n] != 0 {
				m.t.Errorf("point %d is there twice", n)
			}
			in[n] = state
			m.checkTime(n, stampIn(p, i), state)
		}
		return nil
	})
	if err != nil {
		m.t.Errorf("read: %v", err)
	}
	return in
}

func (m *mixed) check() {
	m.t.Helper()
	m.flush()
	if m.random.IntN(3) == 0 {
		m.flush()
	}
	a, in, count := m.Account(), m.readStates(), make(map[string]int64)
	for n, was := range m.points {
		is := in[n]
		switch {
		case (was == "open" || was == "late") && is == 0:
			m.points[n] = "gone"
		case was == "open" && is == Late:
			m.points[n] = "late"
			if !m.facts[n].entry {
				m.gap++
			}
			if m.leased[n] {
				m.t.Errorf("point %d became late while it was leased", n)
			}
		case was == "late" && is != Late, was != "late" && was != "open" && is != 0:
			m.t.Errorf("point %d was %s and is %v", n, was, is)
		}
		count[m.points[n]]++
	}
	deadGone := count["dead"] - a.DeadLetter
	removed := a.Evicted + a.Purged + a.Damaged
	late := count["late"] + count["logged"] + count["dropped"]
	if a.Accepted != int64(m.next)+m.anew || a.Buffered != count["open"] || a.Late != late || a.Delivered != count["delivered"] ||
		a.LateArchived != count["late"] || a.LateLogged != count["logged"] || a.LateDropped != count["dropped"] ||
		removed != count["gone"]+deadGone+m.anew || deadGone < m.deadGone {
		m.t.Errorf("account %+v, model %v, letters gone %d before %d, %d accepted anew", a, count, deadGone, m.deadGone, m.anew)
	}
	if g, _ := m.Gap(); g.Points < m.gap {
		m.t.Errorf("gap %+v, at least %d points became late", g, m.gap)
	}
	m.checkAges(in)
	m.deadGone, m.last = deadGone, a
	m.verify()
	if m.Stat().Alarm != "" {
		m.t.Errorf("alarm %s", m.Stat().Alarm)
	}
}

// TestMixedUse tries EDGEHOLD_SEEDS random histories, 2 short ones without it.
func TestMixedUse(t *testing.T) {
	seeds, steps := 3, 80
	if n, err := strconv.Atoi(os.Getenv("EDGEHOLD_SEEDS")); err == nil {
		seeds, steps = n, 250
	}
	tried := make(map[string]int)
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &mixed{random: rand.New(rand.NewPCG(uint64(seed), 9)), points: make(map[int]string), leased: make(map[int]bool), tried: tried}
			m.rig = start(t, func(o *Options) { o.Window = time.Minute; o.EntryWindow = 3 * time.Minute })
			m.begin()
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			m.tiny(false)
			for i := range steps {
				m.step()
				m.check()
				if t.Failed() {
					t.Fatalf("after step %d, %q", i, m.log[max(0, len(m.log)-8):])
				}
			}
			m.tried["logged"] += int(m.last.LateLogged)
			m.tried["dropped"] += int(m.last.LateDropped)
			m.tried["delivered"] += int(m.last.Delivered)
			m.tried["gone"] += int(m.last.Evicted + m.last.Damaged + m.last.Purged)
		})
	}
	t.Logf("%v", tried)
	for _, what := range []string{"late lease", "whole lease", "retry", "gap", "logged", "dropped", "guess", "delivered", "gone"} {
		if tried[what] == 0 {
			t.Errorf("too little was tried: no %s", what)
		}
	}
}
