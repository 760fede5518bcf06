package buffer

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Verify reads everything in the file, counts it again and compares that with
// the account of the file, which it returns. An error names what is damaged or
// does not add up.
func (s *Store) Verify() (Account, error) {
	var a Account
	err := guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			l, err := readLedger(tx)
			a = l.Account.withSubStates()
			return errors.Join(err, l.Account.Check(), s.recount(tx, l))
		})
	})
	if err != nil {
		return a, fmt.Errorf("verify buffer %s: %w", s.o.Path, err)
	}
	return a, nil
}

// recount compares the ledger with the content of the file.
func (s *Store) recount(tx *bbolt.Tx, l ledger) error {
	t, err := count(tx, l.LateThrough)
	if err != nil {
		return err
	}
	return errors.Join(
		compare("records", l.Records, t.records),
		compare("points buffered", l.Account.Buffered, t.buffered),
		compare("points late", l.Account.Late, t.late),
		compare("dead letters", l.Account.DeadLetter, t.dead),
		compare("bytes of dead letters", l.DeadBytes, t.deadBytes),
		s.readAll(tx),
	)
}

func compare(what string, counted, found int64) error {
	if counted != found {
		return fmt.Errorf("the account says %d %s, the file holds %d", counted, what, found)
	}
	return nil
}

// readAll decodes every record.
func (s *Store) readAll(tx *bbolt.Tx) error {
	records, series := tx.Bucket(bucketRecords), s.names.all()
	var found []error
	err := scan(tx, 0, func(key recordKey, value []byte) (bool, error) {
		groups, err := decodeRecord(s.codec, key, payload(records, key.bytes(), value))
		if err != nil {
			found = append(found, fmt.Errorf("record %d: %w", key.seq, err))
		}
		for _, g := range groups {
			for _, id := range g.IDs {
				if int(id) >= len(series) {
					found = append(found, fmt.Errorf("record %d: series %d is not known", key.seq, id))
				}
			}
		}
		return true, nil
	})
	return errors.Join(append(found, err)...)
}

// totals is what a count of the file finds.
type totals struct {
	records, buffered, late, dead, deadBytes int64
}

func count(tx *bbolt.Tx, lateThrough uint64) (t totals, err error) {
	err = scan(tx, 0, func(key recordKey, _ []byte) (bool, error) {
		m, err := readMark(tx, key.seq)
		if err != nil {
			return false, err
		}
		open := int64(key.count) - m.settled.count()
		t.records++
		if m.late || key.seq < lateThrough {
			t.late += open
		} else {
			t.buffered += open
		}
		return true, nil
	})
	if err != nil {
		return t, err
	}
	err = tx.Bucket(bucketDead).ForEach(func(_, value []byte) error {
		t.dead++
		t.deadBytes += int64(len(value))
		return nil
	})
	return t, err
}

// repair deletes the records that are known to be damaged and all that has an
// unreadable key or mark. What is then missing in the file counts as damaged.
func repair(tx *bbolt.Tx, l *ledger, damaged map[uint64]bool) error {
	records := tx.Bucket(bucketRecords)
	var keys [][]byte
	err := records.ForEach(func(k, _ []byte) error {
		key, err := parseKey(k)
		if err == nil && !damaged[key.seq] {
			_, err = readMark(tx, key.seq)
		}
		if err != nil || damaged[key.seq] {
			keys = append(keys, append([]byte(nil), k...))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := deleteDamaged(tx, k); err != nil {
			return err
		}
	}
	t, err := count(tx, l.LateThrough)
	if err != nil {
		return err
	}
	a := &l.Account
	a.Damaged += a.Buffered + a.Late + a.DeadLetter - t.buffered - t.late - t.dead
	a.Buffered, a.Late, a.DeadLetter = t.buffered, t.late, t.dead
	l.Records, l.DeadBytes = t.records, t.deadBytes
	return nil
}

func deleteDamaged(tx *bbolt.Tx, k []byte) error {
	records := tx.Bucket(bucketRecords)
	if key, err := parseKey(k); err == nil {
		return deleteRecord(tx, key)
	}
	if records.Bucket(k) != nil {
		return records.DeleteBucket(k)
	}
	return records.Delete(k)
}
