package buffer

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
)

// Ages tells how old the buffered points are, as of the last commit: the first
// number is those younger than the first bound, each further one those younger
// than its bound and not counted before, the last one all others. Bounds
// ascend. A record counts by its newest point. Points that have no true time
// count nowhere, and none does while the time is unknown. Events and log records
// count as points do.
func (s *Store) Ages(bounds []time.Duration) []int64 {
	a := ages{now: s.o.Now(), bounds: bounds, count: make([]int64, len(bounds)+1)}
	if a.now.IsZero() {
		return a.count
	}
	err := s.onVolume(func(v *volume) error {
		clear(a.count)
		return v.view(a.all)
	})
	if err != nil {
		clear(a.count) // the next commit tells what is wrong with the file
	}
	return a.count
}

type ages struct {
	now    time.Time
	bounds []time.Duration
	count  []int64
}

// all counts whole units where it can: those without marks, with no settled
// record, that lie between two bounds.
func (a *ages) all(tx *bbolt.Tx) error {
	l, err := readLedger(tx)
	if err != nil {
		return err
	}
	marks := tx.Bucket(bucketMarks).Cursor()
	return units(tx, l.LateThrough, func(u unit) (bool, error) {
		d := l.Guesses.of(u.first)
		if d.state != timed || l.settled.has(u.span()) {
			return true, nil
		}
		key, _ := marks.Seek(number(u.first))
		marked := len(key) == 8 && binary.BigEndian.Uint64(key) < u.span().to
		at := a.bucket(d.wall(u.max))
		if !u.tail && !marked && u.first >= l.LateThrough && at == a.bucket(d.wall(u.min)) && l.settled.free(u.span()).count() == int64(u.records) {
			a.count[at] += u.points
			return true, nil
		}
		return u.each(tx, func(r record) (bool, error) { return true, a.one(tx, &l, r, d) })
	})
}

func (a *ages) one(tx *bbolt.Tx, l *ledger, r record, d dating) error {
	if r.number() < l.LateThrough || l.settled.has(r.span()) {
		return nil
	}
	m, err := readMark(tx, r.number())
	if err == nil && !m.late {
		a.count[a.bucket(d.wall(r.max))] += int64(r.count) - m.settled.count()
	}
	return err
}

// bucket is the index of the first bound that is above the age of a wall time.
func (a *ages) bucket(wall int64) int {
	age := a.now.Sub(time.UnixMilli(wall))
	for i, bound := range a.bounds {
		if age < bound {
			return i
		}
	}
	return len(a.bounds)
}
