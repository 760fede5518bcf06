package buffer

import (
	"math"

	"go.etcd.io/bbolt"
)

// sweeps is how often, within a window, all records that are not late are
// looked at; between sweeps only the oldest ones are.
const sweeps = 120

// cutoffs are the wall times before which points and entries are late.
type cutoffs struct{ points, entries int64 }

func (c cutoffs) of(entries bool) int64 {
	if entries {
		return c.entries
	}
	return c.points
}

// never is the cut-off while the time is unknown.
const never = math.MinInt64

// passed tells whether a record is late. What has no time, and never will, is.
func (c cutoffs) passed(r record, d dating) bool {
	return d.state == undated || d.state == timed && d.wall(r.max) < c.of(r.entries)
}

func (s *Store) cutoffs() cutoffs {
	now := s.o.Now()
	if now.IsZero() {
		return cutoffs{never, never}
	}
	return cutoffs{now.Add(-s.o.Window).UnixMilli(), now.Add(-s.o.EntryWindow).UnixMilli()}
}

// moveLate makes late what the cut-off has passed, as whole records: those
// whose newest point is older. Normally records lie in the order of time and
// the cursor of the ledger moves over them, nothing else is written. Behind a
// record that must stay, for it is in use or the clock was ahead when it was
// measured, late ones get a mark of their own. No record ever comes back from
// being late, wherever the clock goes.
func moveLate(tx *bbolt.Tx, l *ledger, w *work) error {
	inOrder := true
	return records(tx, l.LateThrough, func(r record) (bool, error) {
		if l.settled.has(r.span()) {
			if inOrder {
				l.LateThrough = r.number() + 1
			}
			return true, nil
		}
		m, err := readMark(tx, r.number())
		if err != nil {
			return false, err
		}
		if !m.late && (!w.cutoffs.passed(r, l.Guesses.of(r.number())) || w.busy[r.number()]) {
			inOrder = false
			return w.sweep, nil
		}
		if !m.late {
			l.lateNow(r, int64(r.count)-m.settled.count())
		}
		if inOrder {
			l.LateThrough = r.number() + 1
		}
		if m.late == !inOrder {
			return true, nil
		}
		m.late = !inOrder
		return true, writeMark(tx, l.Commit, r.number(), m)
	})
}

const noTime = math.MaxInt64

// oldest is the wall time of the oldest record that is open and not late, in
// Unix milliseconds; noTime where there is none. Records are in the order of
// time but for those of a clock that was ahead: they count only where no other
// does.
func (s *Store) oldest(tx *bbolt.Tx, l *ledger) (int64, error) {
	first, now, cutoff := int64(noTime), int64(noTime), s.cutoffs()
	if t := s.o.Now(); !t.IsZero() {
		now = t.UnixMilli()
	}
	var d dating // of the unit
	visit := func(r record) (bool, error) {
		if r.number() < l.LateThrough || cutoff.passed(r, d) || d.wall(r.min) >= first || l.settled.has(r.span()) {
			return true, nil
		}
		m, err := readMark(tx, r.number())
		if err == nil && !m.late {
			first = d.wall(r.min)
		}
		return first > now, err
	}
	err := units(tx, l.LateThrough, func(u unit) (bool, error) {
		d = l.Guesses.of(u.first)
		if d.state != timed || d.wall(u.max) < min(cutoff.points, cutoff.entries) || d.wall(u.min) >= first || l.settled.has(u.span()) {
			return true, nil
		}
		return u.each(tx, visit)
	})
	return first, err
}
