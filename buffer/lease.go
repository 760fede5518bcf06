package buffer

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// Query says which points to lease: those with a wall time from Oldest to
// Newest, both included, at most Max of them. A zero Newest is no bound. With
// Entries it is events and log records instead of points, with Late what the
// window has passed and the file still keeps.
type Query struct {
	Oldest, Newest time.Time
	Max            int
	Entries        bool
	Late           bool
	Match          func(*probes.Series) bool // nil: all series
	// Whole makes a lease hold, for each series in it, all open points of one
	// period (aligned to 1970), or none of them. 0: points go one by one.
	Whole time.Duration
}

// Lease is points that nobody else gets until they are settled. They are
// copies: no transaction stays open while they are sent.
type Lease struct {
	Points  []probes.Point
	Entries []Entry
	at      []position // of each point or entry
	epoch   int
	settled bool
}

// len is the number of points or entries.
func (l *Lease) len() int { return len(l.at) }

// position is where in the file a point is.
type position struct {
	record uint64
	index  uint32
}

// Outcome is what became of a leased point.
type Outcome uint8

// The outcomes.
const (
	Delivered Outcome = 1
	Refused   Outcome = 2 // for good: it becomes a dead letter
	Later     Outcome = 3 // give it back, unchanged
	Logged    Outcome = 4 // a late point left in another form: it stays late, and leaves the file
	Dropped   Outcome = 5 // a late point was given up: it stays late, and leaves the file
)

// Settlement is the outcome of one point. Line and Reason are for Refused:
// the line as it was sent and why it can never be taken.
type Settlement struct {
	Outcome      Outcome
	Line, Reason string
}

var (
	errSettled = errors.New("settle lease: it is settled already")
	errWaiting = errors.New("lease points: too many settlements wait for the disk")
)

// Lease gives points that are neither late, settled nor leased, record by
// record from the oldest; nil if there are none.
func (s *Store) Lease(q Query) (*Lease, error) {
	if q.Max <= 0 {
		return nil, fmt.Errorf("lease points: cannot lease %d points", q.Max)
	}
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.isClosed() {
		return nil, fmt.Errorf("lease points: %w", ErrClosed)
	}
	if len(h.records) > maxHolds {
		return nil, errWaiting
	}
	v := s.volume()
	p := picker{
		holds: h, series: v.names.all(), lease: &Lease{epoch: h.epoch}, most: q.Max, entries: q.Entries,
		oldest: max(q.Oldest.UnixMilli(), s.cutoffs().of(q.Entries), h.cutoffs.of(q.Entries)), newest: math.MaxInt64,
	}
	if !q.Newest.IsZero() {
		p.newest = q.Newest.UnixMilli()
	}
	for more := true; more; {
		var err error
		if more, err = s.reportDamage(v.view(p.pick)); err != nil {
			s.undo(p.lease)
			return nil, fmt.Errorf("lease points: %w", err)
		}
	}
	if p.lease.len() == 0 {
		return nil, nil
	}
	p.lease.sort()
	return p.lease, nil
}

// reportDamage leaves a record that cannot be read, or a file that cannot, to
// the next commit. Other errors come back. With more there may be something to
// lease beside the record.
func (s *Store) reportDamage(err error) (more bool, _ error) {
	h := &s.holds
	var bad *recordError
	switch {
	case errors.As(err, &bad):
		if h.damaged == nil {
			h.damaged = make(map[uint64]bool)
		}
		more = !h.damaged[bad.number]
		h.damaged[bad.number] = true
	case isDamage(err):
		h.broken = err
	default:
		return false, err
	}
	h.touch(true)
	s.wakeUp()
	return more, nil
}

// isDamage reports whether an error says that the file cannot be read.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, errPages)
}

// picker fills one lease.
type picker struct {
	holds          *holds
	series         []*probes.Series
	settled        numbers
	lease          *Lease
	from           uint64
	most           int
	entries        bool
	oldest, newest int64
}

func (p *picker) pick(tx *bbolt.Tx) error {
	l, err := readLedger(tx)
	if err != nil {
		return err
	}
	p.from, p.settled = l.LateThrough, l.settled
	return units(tx, p.from, func(u unit) (bool, error) {
		if u.max < p.oldest || u.min > p.newest || p.settled.has(u.span()) {
			return true, nil
		}
		return u.each(tx, func(r record) (bool, error) { return p.visit(tx, r) })
	})
}

// visit leases from one record. Records behind a damaged one in its segment
// are left alone.
func (p *picker) visit(tx *bbolt.Tx, r record) (bool, error) {
	if r.number() < p.from || r.entries != p.entries || r.max < p.oldest || r.min > p.newest || p.settled.has(r.span()) {
		return true, nil
	}
	for n := range p.holds.damaged {
		if n >= r.base && n <= r.number() {
			return true, nil
		}
	}
	m, err := readMark(tx, r.number())
	if err != nil || m.late {
		return true, err
	}
	taken := m.settled
	if h := p.holds.records[r.number()]; h != nil {
		taken = taken.union(h.leased, h.delivered, h.refused, h.committing)
	}
	if taken.count() >= int64(r.count) {
		return true, nil
	}
	c := p.holds.cursor(r)
	if err := c.seek(tx, r, len(p.series)); err != nil {
		return false, err
	}
	if r.entries {
		p.takeEntries(r, c.entries, taken)
	} else {
		p.take(r, c.groups, taken)
	}
	return p.lease.len() < p.most, nil
}

// take leases points of one record.
func (p *picker) take(r record, groups []arc.Group, taken spans) {
	start := uint32(0)
	for _, g := range groups {
		first := start
		start += uint32(len(g.IDs))
		if g.Stamp.Wall < p.oldest || g.Stamp.Wall > p.newest {
			continue
		}
		for _, gap := range taken.free(span{first, start}) {
			got := p.hold(r, gap)
			for i := got.from; i < got.to; i++ {
				p.lease.Points = append(p.lease.Points, toPoint(g, int(i-first), p.series))
			}
		}
	}
}

// takeEntries leases entries of one record.
func (p *picker) takeEntries(r record, entries []arc.Entry, taken spans) {
	for i, e := range entries {
		at := span{uint32(i), uint32(i) + 1}
		if e.Stamp.Wall < p.oldest || e.Stamp.Wall > p.newest || len(taken.free(at)) == 0 {
			continue
		}
		if got := p.hold(r, at); got.from < got.to {
			p.lease.Entries = append(p.lease.Entries, fromEntry(e))
		}
	}
}

// hold leases as many of the positions as the lease has room for, and tells
// which.
func (p *picker) hold(r record, part span) span {
	part.to = part.from + uint32(min(int64(part.to-part.from), int64(p.most-p.lease.len())))
	if part.from == part.to {
		return part
	}
	h := p.holds.of(r)
	h.leased = h.leased.add(part)
	for i := part.from; i < part.to; i++ {
		p.lease.at = append(p.lease.at, position{r.number(), i})
	}
	return part
}

// sort brings the points into the order of their wall times. It has work only
// where the clock went back.
func (l *Lease) sort() {
	if !sort.IsSorted((*byWall)(l)) {
		sort.Stable((*byWall)(l))
	}
}

type byWall Lease

func (l *byWall) Len() int           { return len(l.Points) } // entries come in order
func (l *byWall) Less(i, j int) bool { return l.Points[i].Stamp.Wall < l.Points[j].Stamp.Wall }
func (l *byWall) Swap(i, j int) {
	l.Points[i], l.Points[j] = l.Points[j], l.Points[i]
	l.at[i], l.at[j] = l.at[j], l.at[i]
}

// Settle says what became of the points of a lease: one settlement for each
// point, or one for all. It takes effect in memory at once and in the file
// with the next commit; a crash before that gives the points out again.
func (s *Store) Settle(l *Lease, each []Settlement) error {
	if len(each) != 1 && len(each) != len(l.at) {
		return fmt.Errorf("settle lease: %d settlements for %d points", len(each), len(l.at))
	}
	for i, e := range each {
		if e.Outcome < Delivered || e.Outcome > Later {
			return fmt.Errorf("settle lease: settlement %d has no outcome", i)
		}
	}
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.settled {
		return errSettled
	}
	if s.isClosed() {
		return fmt.Errorf("settle lease: %w", ErrClosed)
	}
	l.settled = true
	if l.epoch != h.epoch {
		return nil // the file was replaced: what could be saved of it comes again
	}
	now := s.o.Now()
	for from := 0; from < len(l.at); {
		to := l.run(from, each)
		h.settle(l.at[from], uint32(to-from), pick(each, from).Outcome)
		for i := from; i < to && pick(each, i).Outcome == Refused; i++ {
			r := h.records[l.at[i].record]
			r.letters = append(r.letters, Letter{Time: now, Line: pick(each, i).Line, Reason: pick(each, i).Reason})
		}
		from = to
	}
	s.wakeUp()
	return nil
}

func pick(each []Settlement, i int) Settlement { return each[min(i, len(each)-1)] }

// run is the end of the points from one on that lie side by side in the file
// and have the same outcome.
func (l *Lease) run(from int, each []Settlement) int {
	to := from + 1
	for to < len(l.at) && l.at[to].record == l.at[from].record &&
		l.at[to].index == l.at[to-1].index+1 && pick(each, to).Outcome == pick(each, from).Outcome {
		to++
	}
	return to
}

// undo gives back a lease that nobody got.
func (s *Store) undo(l *Lease) {
	for _, at := range l.at {
		s.holds.settle(at, 1, Later)
	}
}
