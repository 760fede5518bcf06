package buffer

import (
	"math"

	"go.etcd.io/bbolt"
)

// sweeps is how often, within a window, all records that are not late are
// looked at; between sweeps only the oldest ones are.
const sweeps = 120

// moveLate makes late what the cut-off has passed, as whole records: those
// whose newest point is older. Normally records lie in the order of time and
// the cursor of the ledger moves over them, nothing else is written. Behind a
// record that must stay, for it is in use or the clock was ahead when it was
// measured, late ones get a mark of their own. No record ever comes back from
// being late, wherever the clock goes.
func moveLate(tx *bbolt.Tx, l *ledger, w *work) error {
	inOrder := true
	return scan(tx, l.LateThrough, func(key recordKey, _ []byte) (bool, error) {
		m, err := readMark(tx, key.seq)
		if err != nil {
			return false, err
		}
		if !m.late && (key.max >= w.cutoff || w.busy[key.seq]) {
			inOrder = false
			return w.sweep, nil
		}
		if !m.late {
			open := int64(key.count) - m.settled.count()
			l.Account.Buffered -= open
			l.Account.Late += open
		}
		if inOrder {
			l.LateThrough = key.seq + 1
		}
		if m.late == !inOrder {
			return true, nil
		}
		m.late = !inOrder
		return true, writeMark(tx, key.seq, m)
	})
}

const noTime = math.MaxInt64

// oldest is the wall time of the oldest record that is not late, in Unix
// milliseconds; noTime where there is none. Records are in the order of time
// but for those of a clock that was ahead: they count only where no other does.
func (s *Store) oldest(tx *bbolt.Tx, lateThrough uint64) int64 {
	first, now, cutoff := int64(noTime), s.o.Now().UnixMilli(), s.cutoff()
	_ = scan(tx, lateThrough, func(key recordKey, _ []byte) (bool, error) {
		if key.max < cutoff || key.min >= first {
			return true, nil
		}
		m, err := readMark(tx, key.seq)
		if err == nil && !m.late {
			first = key.min
		}
		return first > now, err
	})
	return first
}
