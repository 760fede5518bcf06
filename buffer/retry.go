package buffer

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// Revived is what a dead letter becomes: a point or an entry, or neither, if
// it is to stay a dead letter.
type Revived struct {
	Point *probes.Point
	Entry *Entry
}

// revival is dead letters on their way back.
type revival struct {
	points  []probes.Point
	entries []Entry
	letters []uint64
	weight  int
}

// RetryLetters makes dead letters, those with the numbers or all of them,
// points and entries again, and tells how many. Each is deleted by the commit
// that adds what revive made of it; all go in one commit, where that many may
// wait in memory. After an error of revive nothing more is changed.
func (s *Store) RetryLetters(ctx context.Context, numbers []uint64, revive func(Letter) (Revived, error)) (int, error) {
	wanted := slices.Sorted(slices.Values(numbers))
	var batches []revival
	err := s.DeadLetters(func(x Letter) error {
		if _, ok := slices.BinarySearch(wanted, x.Number); !ok && numbers != nil {
			return nil
		}
		what, err := revive(x)
		if err != nil {
			return fmt.Errorf("dead letter %d: %w", x.Number, err)
		}
		batches, err = what.into(batches, x.Number, s.o.MaxPending/2)
		return err
	})
	done := 0
	for _, b := range batches {
		if err == nil {
			err = s.revive(ctx, b)
		}
		if err == nil {
			done += len(b.letters)
		}
	}
	if err != nil {
		return done, fmt.Errorf("retry dead letters: %w", err)
	}
	return done, nil
}

// into adds what was revived to the last batch, or to a new one.
func (r Revived) into(batches []revival, letter uint64, most int) ([]revival, error) {
	weight, err := 1, error(nil)
	switch {
	case r.Point != nil && r.Entry != nil:
		err = fmt.Errorf("it became a point and an entry")
	case r.Point != nil:
		err = checkPoint(*r.Point)
	case r.Entry != nil:
		weight, err = r.Entry.weight(), checkEntry(*r.Entry)
	default:
		return batches, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dead letter %d: %w", letter, err)
	}
	if len(batches) == 0 || batches[len(batches)-1].weight+weight > most {
		batches = append(batches, revival{})
	}
	b := &batches[len(batches)-1]
	if r.Point != nil {
		b.points = append(b.points, *r.Point)
	} else {
		b.entries = append(b.entries, *r.Entry)
	}
	b.letters, b.weight = append(b.letters, letter), b.weight+weight
	return batches, nil
}

// revive commits one batch. A letter that was deleted since it was read is
// counted where that was done, and what it became is accepted as new.
func (s *Store) revive(ctx context.Context, b revival) error {
	t := &Ticket{points: b.points, entries: b.entries, done: make(chan struct{})}
	t.change = func(tx *bbolt.Tx, l *ledger, _ *work) error {
		for _, n := range b.letters {
			there, err := dropLetter(tx, l, n)
			if err != nil {
				return err
			}
			if there {
				l.Account.Accepted-- // add has counted it once more
			}
		}
		return nil
	}
	if !s.queue.offer(t, s.o.MaxPending) {
		return fmt.Errorf("%w: wait until the disk has taken them", ErrTooMany)
	}
	s.wakeUp()
	return s.await(ctx, t)
}

// await waits for a change. If ctx ends before, the change is taken back, or
// the error says that it may yet be done.
func (s *Store) await(ctx context.Context, t *Ticket) error {
	err := t.Wait(ctx)
	if err != nil && ctx.Err() != nil && !s.queue.withdraw(t) {
		return fmt.Errorf("%w; it had begun, and may yet be done", ctx.Err())
	}
	return err
}
