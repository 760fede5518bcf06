package buffer

import (
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// whole is a lease of whole series on its way: all open points that they have
// in one period.
type whole struct {
	*picker
	length int64 // of a period, milliseconds
	after  int64 // periods that begin earlier are left alone
	found  bool
	from   int64 // the period
	kin    kin   // of guesses that will never be true; the zero one for true times

	shares  map[uint32]*share // by series
	order   []uint32          // series of the lease, as they came, some of them out again
	members int               // that are not out
	live    int               // points of members
	full    bool              // no other series comes in
	points  []candidate
	records map[uint64]record
	decoded decoded // for the next lease
}

// share is what one series has in the period.
type share struct {
	points  int
	out     bool
	blocked bool // it has points that cannot be leased now, and is out for that
}

type candidate struct {
	at    position
	id    uint32
	point probes.Point
}

// pickWhole fills a lease of whole series, of the first period that has any.
func (p *picker) pickWhole(tx *bbolt.Tx) (err error) {
	if p.ledger, err = readLedger(tx); err != nil {
		return err
	}
	w := &whole{picker: p, length: max(1, p.q.Whole.Milliseconds()), after: math.MinInt64}
	w.newest = w.last()
	for {
		w.found, w.shares = false, make(map[uint32]*share)
		err := w.units(tx, func(r record) (bool, error) { return w.visit(tx, r, w.look) })
		if err != nil || !w.found {
			return err
		}
		for w.full = true; w.full; { // a series may have taken the room of others before it turned out to be blocked
			if err := w.collect(tx); err != nil {
				return err
			}
			if w.live > 0 {
				w.leaseAll()
				return nil
			}
		}
		w.after = w.end(w.from)
	}
}

// period is the beginning of that which a time is in.
func (w *whole) period(wall int64) int64 {
	n := wall / w.length
	if wall%w.length < 0 {
		n--
	}
	return n * w.length
}

// last is the end of the last period that lies in the bounds with its end, and
// is late with all of it where late points are asked for.
func (w *whole) last() int64 {
	switch {
	case w.q.Late && w.cutoff == never:
		return math.MinInt64
	case w.q.Late && w.cutoff <= w.newest:
		return w.period(w.cutoff) - 1
	case w.newest == math.MaxInt64:
		return w.newest
	}
	return w.period(w.newest+1) - 1
}

// end is where a period ends.
func (w *whole) end(from int64) int64 {
	if from > math.MaxInt64-w.length {
		return math.MaxInt64
	}
	return from + w.length
}

// kinOf is what must be the same in a lease, for times to compare.
func (w *whole) kinOf(s arc.Stamp) kin {
	if w.dating.state == timed {
		return kin{}
	}
	return kin{true, s.Boot}
}

// look finds the first period in which the record has something to lease.
func (w *whole) look(r record, c *cursor, taken spans) (more bool) {
	start := uint32(0)
	for _, g := range c.groups {
		first := start
		start += uint32(len(g.IDs))
		from := w.period(w.dating.wall(g.Stamp.Wall))
		if !w.wants(g.Stamp.Wall, g.Stamp.Wall) || from < w.after || w.found && from >= w.from {
			continue
		}
		for _, gap := range taken.free(span{first, start}) {
			if len(w.matching(g, first, gap)) > 0 {
				w.found, w.from, w.kin = true, from, w.kinOf(g.Stamp)
			}
		}
	}
	return !w.found
}

// collect gathers the points of the period.
func (w *whole) collect(tx *bbolt.Tx) error {
	for id, s := range w.shares {
		if !s.blocked {
			delete(w.shares, id)
		}
	}
	w.order, w.points, w.members, w.live, w.full = w.order[:0], w.points[:0], 0, 0, false
	w.records, w.decoded = make(map[uint64]record), decoded{from: w.from, used: true}
	if w.holds.decoded.from != w.from {
		w.holds.decoded = decoded{} // not two at a time
	}
	oldest, newest := w.oldest, w.newest
	if w.kin.guess {
		w.floor, w.ceiling = w.from, w.end(w.from)-1
	} else {
		w.oldest, w.newest = max(oldest, w.from), min(newest, w.end(w.from)-1)
	}
	err := w.units(tx, func(r record) (bool, error) { return true, w.gather(tx, r) })
	w.oldest, w.newest, w.floor, w.ceiling = oldest, newest, math.MinInt64, math.MaxInt64
	w.holds.decoded = w.decoded
	return err
}

// gather takes the points of one record. Where the lease is of late points,
// those of a record that is not late yet block their series.
func (w *whole) gather(tx *bbolt.Tx, r record) error {
	m, err := readMark(tx, r.number())
	late := w.isLate(r, m)
	if err != nil || late && !w.q.Late || (w.dating.state != timed) != w.kin.guess {
		return err
	}
	gone, leased := m.settled, spans(nil)
	if h := w.holds.records[r.number()]; h != nil {
		gone, leased = gone.union(h.gone()), h.leased
	}
	if late != w.q.Late {
		leased = spans{{0, r.count}}
	}
	if gone.count() >= int64(r.count) {
		return nil
	}
	c, err := w.holds.reader(tx, r, w.q, len(w.series))
	if err != nil {
		return err
	}
	w.decoded.keep(r.number(), w.holds.decoded, c.groups)
	r.payload, r.frame = nil, frame{}
	w.records[r.number()] = r
	start := uint32(0)
	for _, g := range c.groups {
		if w.wants(g.Stamp.Wall, g.Stamp.Wall) && w.period(w.dating.wall(g.Stamp.Wall)) == w.from && w.kinOf(g.Stamp) == w.kin {
			w.gatherGroup(position{r.number(), start}, g, gone, leased)
		}
		start += uint32(len(g.IDs))
	}
	return nil
}

func (w *whole) gatherGroup(at position, g arc.Group, gone, leased spans) {
	first := at.index
	for _, gap := range gone.free(span{first, first + uint32(len(g.IDs))}) {
		for at.index = gap.from; at.index < gap.to; at.index++ {
			i := int(at.index - first)
			if w.q.Match != nil && !w.q.Match(w.series[g.IDs[i]]) {
				continue
			}
			if w.admits(g.IDs[i], leased.has(span{at.index, at.index + 1})) {
				w.add(candidate{at, g.IDs[i], toPoint(g, i, w.series, w.dating)})
			}
		}
	}
}

// admits tells whether a point's series is in the lease.
func (w *whole) admits(id uint32, blocked bool) bool {
	s := w.shares[id]
	if s == nil && w.full && !blocked {
		return false
	}
	if s == nil {
		s = &share{out: true}
		w.shares[id] = s
		if !w.full && !blocked {
			s.out = false
			w.order = append(w.order, id)
			w.members++
		}
	}
	s.blocked = s.blocked || blocked
	if blocked {
		w.leave(s)
	}
	return !s.out
}

// add adds a point. Where there are more than the lease has room for, the
// series that came last go.
func (w *whole) add(x candidate) {
	if len(w.points) == cap(w.points) { // it is tidied at twice the most
		w.points = slices.Grow(w.points, max(1, min(2*w.q.Max+1, 3*len(w.points)+100)-len(w.points)))
	}
	w.shares[x.id].points++
	w.live++
	w.points = append(w.points, x)
	for w.live > w.q.Max && w.members > 1 {
		w.full = true
		last := len(w.order) - 1
		w.leave(w.shares[w.order[last]])
		w.order = w.order[:last]
	}
	if len(w.points) > 2*w.q.Max && len(w.points) > 2*w.live {
		w.tidy()
	}
}

func (w *whole) leave(s *share) {
	if !s.out {
		s.out = true
		w.members--
		w.live -= s.points
	}
}

// tidy forgets the points of series that are out.
func (w *whole) tidy() {
	w.points = slices.DeleteFunc(w.points, func(x candidate) bool { return w.shares[x.id].out })
}

// leaseAll leases what was collected. It is in the order of the file.
func (w *whole) leaseAll() {
	w.tidy()
	w.lease.Points, w.lease.at = make([]probes.Point, 0, len(w.points)), make([]position, 0, len(w.points))
	for _, x := range w.points {
		h := w.holds.of(w.records[x.at.record])
		h.leased = h.leased.add(span{x.at.index, x.at.index + 1})
		w.lease.Points, w.lease.at = append(w.lease.Points, x.point), append(w.lease.at, x.at)
	}
}
