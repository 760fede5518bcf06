package buffer

import (
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// picker fills one lease.
type picker struct {
	q              Query
	holds          *holds
	series         []*probes.Series
	ledger         ledger
	lease          *Lease
	dating         dating // of the unit
	oldest, newest int64
	floor, ceiling int64 // as oldest and newest, of guesses that will never be true
	cutoff         int64
}

func newPicker(q Query, h *holds, cutoff int64) *picker {
	p := &picker{q: q, holds: h, lease: &Lease{epoch: h.epoch, late: q.Late, entries: q.Entries}, cutoff: cutoff}
	if old := q.Spare; old != nil && old.settled {
		p.lease.Points, p.lease.at, old.Points, old.at = old.Points[:0], old.at[:0], nil, nil
	}
	p.oldest, p.newest, p.floor, p.ceiling = math.MinInt64, math.MaxInt64, math.MinInt64, math.MaxInt64
	if !q.Oldest.IsZero() {
		p.oldest = q.Oldest.UnixMilli()
	}
	if !q.Newest.IsZero() {
		p.newest = q.Newest.UnixMilli()
	}
	if !q.Late {
		p.oldest = max(p.oldest, cutoff)
	}
	return p
}

func (p *picker) pick(tx *bbolt.Tx) (err error) {
	if p.ledger, err = readLedger(tx); err != nil {
		return err
	}
	return p.units(tx, func(r record) (bool, error) { return p.visit(tx, r, p.take) })
}

// units calls fn for the records that may hold what is wanted.
func (p *picker) units(tx *bbolt.Tx, fn func(r record) (bool, error)) error {
	from, l := p.ledger.LateThrough, &p.ledger
	if p.q.Late {
		if l.Account.archived() == 0 {
			return nil
		}
		from = 0
	}
	return units(tx, from, func(u unit) (bool, error) {
		p.dating = l.Guesses.of(u.first)
		if !p.wants(u.min, u.max) || l.settled.has(u.span()) {
			return true, nil
		}
		return u.each(tx, func(r record) (bool, error) {
			if r.number() < from || r.entries != p.q.Entries || !p.wants(r.min, r.max) || l.settled.has(r.span()) || p.isDamaged(r) {
				return true, nil
			}
			return fn(r)
		})
	})
}

// wants tells whether the query may want something of a part of time, as of
// the dating at hand.
func (p *picker) wants(from, to int64) bool {
	switch p.dating.state {
	case waiting:
		return false
	case undated:
		return p.q.Late && p.oldest == math.MinInt64 && to >= p.floor && from <= p.ceiling
	}
	return p.dating.wall(to) >= p.oldest && p.dating.wall(from) <= p.newest
}

// isDamaged tells whether the record or one before it in its segment cannot be
// read.
func (p *picker) isDamaged(r record) bool {
	for n := range p.holds.damaged {
		if n >= r.base && n <= r.number() {
			return true
		}
	}
	return false
}

// isLate tells whether the open points of a record are late.
func (p *picker) isLate(r record, m mark) bool { return m.late || r.number() < p.ledger.LateThrough }

// visit hands a record to take, decoded, with the points that cannot be leased,
// if there are others.
func (p *picker) visit(tx *bbolt.Tx, r record, take func(r record, c *cursor, taken spans) (more bool)) (bool, error) {
	m, err := readMark(tx, r.number())
	if err != nil || p.isLate(r, m) != p.q.Late {
		return true, err
	}
	taken := m.settled
	if h := p.holds.records[r.number()]; h != nil {
		taken = taken.union(h.leased, h.gone())
	}
	if taken.count() >= int64(r.count) {
		return true, nil
	}
	c, err := p.holds.reader(tx, r, p.q, len(p.series))
	if err != nil {
		return false, err
	}
	return take(r, c, taken), nil
}

// take leases what one record has.
func (p *picker) take(r record, c *cursor, taken spans) (more bool) {
	if r.entries {
		p.takeEntries(r, c.entries, taken)
	} else {
		p.takePoints(r, c.groups, taken)
	}
	return p.lease.len() < p.q.Max
}

func (p *picker) takePoints(r record, groups []arc.Group, taken spans) {
	if p.q.Match == nil {
		room := min(p.q.Max-p.lease.len(), int(int64(r.count)-taken.count()))
		p.lease.Points, p.lease.at = slices.Grow(p.lease.Points, room), slices.Grow(p.lease.at, room)
	}
	start := uint32(0)
	for _, g := range groups {
		first := start
		start += uint32(len(g.IDs))
		if !p.wants(g.Stamp.Wall, g.Stamp.Wall) {
			continue
		}
		for _, gap := range taken.free(span{first, start}) {
			for _, part := range p.matching(g, first, gap) {
				p.takePart(r, g, part, first)
			}
		}
	}
}

// takePart leases a part of a group whose points begin at first.
func (p *picker) takePart(r record, g arc.Group, part span, first uint32) {
	got := p.hold(r, part)
	for i := got.from; i < got.to; i++ {
		p.lease.Points = append(p.lease.Points, toPoint(g, int(i-first), p.series, p.dating))
	}
}

// matching gives the parts of a span whose series the query wants. The points
// of the group begin at first.
func (p *picker) matching(g arc.Group, first uint32, x span) spans {
	if p.q.Match == nil {
		return spans{x}
	}
	var out spans
	for i := x.from; i < x.to; i++ {
		switch n := len(out) - 1; {
		case !p.q.Match(p.series[g.IDs[i-first]]):
		case n >= 0 && out[n].to == i:
			out[n].to++
		default:
			out = append(out, span{i, i + 1})
		}
	}
	return out
}

// takeEntries leases entries of one record.
func (p *picker) takeEntries(r record, entries []arc.Entry, taken spans) {
	for i, e := range entries {
		at := span{uint32(i), uint32(i) + 1}
		ofKind := p.q.Kind == 0 || p.q.Kind == EntryKind(e.Kind)
		if !ofKind || !p.wants(e.Stamp.Wall, e.Stamp.Wall) || len(taken.free(at)) == 0 {
			continue
		}
		if got := p.hold(r, at); got.from < got.to {
			p.lease.Entries = append(p.lease.Entries, fromEntry(e, p.dating))
		}
	}
}

// hold leases as many of the positions as the lease has room for, and tells
// which.
func (p *picker) hold(r record, part span) span {
	part.to = part.from + uint32(min(int64(part.to-part.from), int64(p.q.Max-p.lease.len())))
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
