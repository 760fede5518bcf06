package buffer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Purge says what to delete by hand.
type Purge struct {
	Before      time.Time // records whose newest point is older, by true wall time; zero: none
	DeadLetters bool
	Letters     []uint64 // the dead letters with these numbers
	All         bool     // every point and every dead letter
}

// Purge deletes points, unsent, and tells how many they were, dead letters
// included. Points that are leased, and so on their way, stay. It is done when
// Purge returns; if ctx ends before, the error says whether it may yet be done.
func (s *Store) Purge(ctx context.Context, p Purge) (int64, error) {
	if !p.All && !p.DeadLetters && len(p.Letters) == 0 && p.Before.IsZero() {
		return 0, errors.New("purge the buffer: nothing is named to be purged")
	}
	var purged int64
	t := &Ticket{done: make(chan struct{})}
	t.change = func(tx *bbolt.Tx, l *ledger, w *work) error {
		before := l.Account.Purged
		if err := purge(tx, l, w, p); err != nil {
			return err
		}
		purged = l.Account.Purged - before
		return nil
	}
	s.queue.put(t, 0, s.o.MaxPending)
	s.wakeUp()
	if err := s.await(ctx, t); err != nil {
		return 0, fmt.Errorf("purge the buffer: %w", err)
	}
	return purged, nil
}

func purge(tx *bbolt.Tx, l *ledger, w *work, p Purge) error {
	if p.All || !p.Before.IsZero() {
		if err := purgeRecords(tx, l, w, p); err != nil {
			return err
		}
	}
	if p.DeadLetters || p.All {
		return purgeLetters(tx, l)
	}
	for _, n := range p.Letters {
		there, err := dropLetter(tx, l, n)
		if err != nil {
			return err
		}
		if there {
			l.Account.Purged++
		}
	}
	return nil
}

func purgeRecords(tx *bbolt.Tx, l *ledger, w *work, p Purge) error {
	var gone []record
	err := records(tx, 0, func(r record) (bool, error) {
		d := l.Guesses.of(r.number())
		old := d.state == timed && !p.Before.IsZero() && d.wall(r.max) < p.Before.UnixMilli()
		if (p.All || old) && !w.busy[r.number()] {
			r.payload, r.frame = nil, frame{}
			gone = append(gone, r)
		}
		return true, nil
	})
	for _, r := range gone {
		if err == nil {
			err = l.move(tx, w, r, &l.Account.Purged)
		}
	}
	return err
}

func purgeLetters(tx *bbolt.Tx, l *ledger) error {
	l.Account.Purged += l.Account.letters()
	l.Account.DeadLetter, l.DeadBytes = l.Account.DeadElsewhere, 0
	if err := tx.DeleteBucket(bucketDead); err != nil {
		return err
	}
	_, err := tx.CreateBucket(bucketDead)
	return err
}
