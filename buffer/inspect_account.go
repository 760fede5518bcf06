package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// crossCheck compares the account of a file with what lies in it, as far as
// that can be told without reading all records: a page that the disk has lost
// a write of is whole, but of an older state than the others.
func (v *volume) crossCheck(l *ledger) error {
	return v.view(func(tx *bbolt.Tx) error {
		var t totals
		err := countUnits(tx, l, &t)
		if err == nil {
			err = countMarks(tx, l, &t)
		}
		if err != nil {
			return err
		}
		err = tx.Bucket(bucketDead).ForEach(func(k, value []byte) error {
			t.dead++
			_, err := openKeyed(frameLetter, k, value)
			return err
		})
		if err != nil {
			return err
		}
		a := l.Account
		if t.buffered != a.Buffered+a.archived() || t.records != l.Records || t.segments != l.Segments || t.dead != a.letters() || t.guesses != l.Guesses.total() || a.Check() != nil {
			return fmt.Errorf("the account says %d segments, %d records, %+v; the file holds %d segments, %d records, %d open points, %d dead letters: %w",
				l.Segments, l.Records, a, t.segments, t.records, t.buffered, t.dead, errDamaged)
		}
		return nil
	})
}

// countUnits counts the open points, but for marks, as buffered.
func countUnits(tx *bbolt.Tx, l *ledger, t *totals) error {
	next := uint64(0)
	gone := func(to uint64) error {
		if gap := (spanOf[uint64]{next, to}); gap.from > gap.to || gap.from < gap.to && !l.settled.has(gap) {
			return fmt.Errorf("records %d to %d should be there, or not settled yet: %w", next, to, errDamaged)
		}
		return nil
	}
	var before unit
	err := units(tx, 0, func(u unit) (bool, error) {
		if err := gone(u.first); err != nil {
			return false, err
		}
		if u.first != u.base && (u.segment != before.segment || u.first != next) {
			return false, fmt.Errorf("record %d does not go on with its segment: %w", u.first, errDamaged)
		}
		if u.first == u.base {
			t.segments++
		}
		before, next = u, u.span().to
		t.guesses += l.Guesses.count(u.span())
		open := l.settled.free(u.span()).count()
		t.records += open
		if open == int64(u.records) {
			t.buffered += u.points
			return true, nil
		}
		if open == 0 {
			return true, nil
		}
		return u.each(tx, func(r record) (bool, error) {
			if !l.settled.has(r.span()) {
				t.buffered += int64(r.count)
			}
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	return gone(l.NextRecord)
}

// countMarks takes off what marks say is settled.
func countMarks(tx *bbolt.Tx, l *ledger, t *totals) error {
	return tx.Bucket(bucketMarks).ForEach(func(k, value []byte) error {
		content, err := openKeyed(frameMark, k, value)
		if err != nil {
			return err
		}
		commit, m, err := parseMark(content)
		if err != nil {
			return err
		}
		n := uint64(0)
		if len(k) == 8 {
			n = binary.BigEndian.Uint64(k)
		}
		if commit > l.Commit || n >= l.NextRecord || l.settled.has(spanOf[uint64]{n, n + 1}) {
			return fmt.Errorf("mark of record %d, of commit %d, does not belong to commit %d: %w", n, commit, l.Commit, errDamaged)
		}
		t.buffered -= m.settled.count()
		return nil
	})
}

// mendNames writes both copies of the series anew where not all blocks of both
// can be read. One of each was read when the file was opened.
func (v *volume) mendNames() error {
	both := [][]byte{bucketNames, bucketNamesCopy}
	var good []nameBlock
	bad := false
	err := v.view(func(tx *bbolt.Tx) error {
		for i, name := range both {
			err := tx.Bucket(name).ForEach(func(k, value []byte) error {
				_, err := openKeyed(frameNames, k, value)
				other := tx.Bucket(both[1-i]).Get(k)
				if bad = bad || err != nil || other == nil; err == nil {
					good = append(good, nameBlock{bytes.Clone(k), bytes.Clone(value)})
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !bad {
		return err
	}
	return v.write(func(tx *bbolt.Tx) error {
		for _, name := range both {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return putNames(tx, good)
	})
}
