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

func (s *Store) cutoffs() cutoffs {
	now := s.o.Now()
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
		if !m.late && (r.max >= w.cutoffs.of(r.entries) || w.busy[r.number()]) {
			inOrder = false
			return w.sweep, nil
		}
		if !m.late {
			open := int64(r.count) - m.settled.count()
			l.Account.Buffered -= open
			l.Account.Late += open
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
	first, now, cutoff := int64(noTime), s.o.Now().UnixMilli(), s.cutoffs()
	visit := func(r record) (bool, error) {
		if r.number() < l.LateThrough || r.max < cutoff.of(r.entries) || r.min >= first || l.settled.has(r.span()) {
			return true, nil
		}
		m, err := readMark(tx, r.number())
		if err == nil && !m.late {
			first = r.min
		}
		return first > now, err
	}
	err := units(tx, l.LateThrough, func(u unit) (bool, error) {
		if u.max < min(cutoff.points, cutoff.entries) || u.min >= first || l.settled.has(u.span()) {
			return true, nil
		}
		return u.each(tx, visit)
	})
	return first, err
}
