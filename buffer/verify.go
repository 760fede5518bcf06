package buffer

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Verify reads everything in the file, counts it again and compares that with
// the account of the file, which it returns. An error names what is damaged or
// does not add up.
func (s *Store) Verify() (Account, error) {
	return s.VerifyProgress(context.Background(), nil)
}

// VerifyProgress is Verify; progress hears how many of the bytes of records
// were read.
func (s *Store) VerifyProgress(ctx context.Context, progress func(done, of int64)) (Account, error) {
	var a Account
	err := s.onVolume(func(v *volume) (err error) {
		a, err = v.verify(ctx, progress)
		return err
	})
	return a, err
}

func (v *volume) verify(ctx context.Context, progress func(done, of int64)) (Account, error) {
	var l ledger
	err := v.view(func(tx *bbolt.Tx) (err error) {
		if l, err = readLedger(tx); err != nil {
			return err
		}
		return errors.Join(l.Account.Check(), recount(tx, &l), v.checkNames(tx), checkClaims(tx))
	})
	if err == nil {
		err = v.readAll(ctx, progress)
	}
	if err != nil {
		err = fmt.Errorf("verify buffer %s: %w", v.path, err)
	}
	return l.Account.withSubStates(), err
}

// readAll decodes every record.
func (v *volume) readAll(ctx context.Context, progress func(done, of int64)) error {
	return v.read(ctx, Selection{Settled: true}, func(p Page) error {
		if progress != nil {
			progress(p.Done, p.Of)
		}
		return nil
	})
}

// checkNames compares both copies of the dictionary with the one in memory.
func (v *volume) checkNames(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketNames, bucketNamesCopy} {
		err := tx.Bucket(name).ForEach(func(k, value []byte) error {
			_, err := openKeyed(frameNames, k, value)
			return err
		})
		if err != nil {
			return fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	return nil
}

// checkClaims reads all claims.
func checkClaims(tx *bbolt.Tx) error {
	_, bad, err := readClaims(tx)
	if bad > 0 {
		return fmt.Errorf("%d claims cannot be read: %w", bad, errDamaged)
	}
	return err
}

// totals is what a count of the file finds.
type totals struct {
	records, segments, buffered, late, dead, deadBytes, marks, guesses int64
}

// recount compares the ledger with the content of the file.
func recount(tx *bbolt.Tx, l *ledger) error {
	t, err := count(tx, l)
	if err != nil {
		return err
	}
	return errors.Join(
		compare("open records", l.Records, t.records),
		compare("segments", l.Segments, t.segments),
		compare("points buffered", l.Account.Buffered, t.buffered),
		compare("points late", l.Account.archived(), t.late),
		compare("dead letters", l.Account.letters(), t.dead),
		compare("bytes of dead letters", l.DeadBytes, t.deadBytes),
		compare("records of guessed times", l.Guesses.total(), t.guesses),
		compare("marks that belong to an open record", t.marks, int64(tx.Bucket(bucketMarks).Stats().KeyN)),
	)
}

func compare(what string, counted, found int64) error {
	if counted != found {
		return fmt.Errorf("the account says %d %s, the file holds %d", counted, what, found)
	}
	return nil
}

func count(tx *bbolt.Tx, l *ledger) (t totals, err error) {
	next, base := uint64(0), uint64(0)
	err = records(tx, 0, func(r record) (bool, error) {
		if gone := (spanOf[uint64]{next, r.number()}); gone.from < gone.to && !l.settled.has(gone) {
			return false, fmt.Errorf("records %d to %d are not there, and not settled", gone.from, gone.to-1)
		}
		if t.segments == 0 || r.base != base {
			t.segments, base = t.segments+1, r.base
		}
		next = r.number() + 1
		if r.guess != (l.Guesses.find(r.number()) != nil) {
			return false, fmt.Errorf("the account and record %d do not agree whether its times are guessed", r.number())
		}
		if r.guess {
			t.guesses++
		}
		if l.settled.has(r.span()) {
			return true, nil
		}
		m, err := readMark(tx, r.number())
		if err != nil {
			return false, err
		}
		if m.late || len(m.settled) > 0 {
			t.marks++
		}
		open := int64(r.count) - m.settled.count()
		t.records++
		if m.late || r.number() < l.LateThrough {
			t.late += open
		} else {
			t.buffered += open
		}
		return true, nil
	})
	if err != nil {
		return t, err
	}
	if next > l.NextRecord || next < l.NextRecord && !l.settled.has(spanOf[uint64]{next, l.NextRecord}) {
		return t, fmt.Errorf("the last record is %d, the account says %d", next, l.NextRecord)
	}
	err = tx.Bucket(bucketDead).ForEach(func(k, value []byte) error {
		t.dead++
		t.deadBytes += int64(len(value))
		_, err := openKeyed(frameLetter, k, value)
		return err
	})
	return t, err
}
