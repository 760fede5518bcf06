package buffer

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// Gap is the points that became late and were not reported yet: the wall times
// of the oldest and the newest, Unix milliseconds, both 0 where none of them
// has a time, and how many they are. Events and log records are not in it.
type Gap struct {
	From   int64 `json:"from"`
	To     int64 `json:"to"`
	Points int64 `json:"points"`
}

// Gap gives what is to be reported, as of the last commit.
func (s *Store) Gap() (Gap, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger.Gap == nil {
		return Gap{}, false
	}
	return *s.ledger.Gap, true
}

// ReportGap adds the entry that tells of a gap and takes the gap off what is
// to be reported, in one commit. What became late meanwhile stays, as a gap
// that begins where the reported one ends.
func (s *Store) ReportGap(ctx context.Context, upTo Gap, e Entry) error {
	if err := checkEntry(e); err != nil {
		return fmt.Errorf("report a gap: %w", err)
	}
	t := &Ticket{entries: []Entry{e}, done: make(chan struct{})}
	t.change = func(_ *bbolt.Tx, l *ledger, _ *work) error {
		l.Gap = l.Gap.without(upTo)
		return nil
	}
	s.queue.put(t, 1, s.o.MaxPending)
	s.wakeUp()
	if err := s.await(ctx, t); err != nil {
		return fmt.Errorf("report a gap: %w", err)
	}
	return nil
}

// without is what is left when a part is reported: that part was there first.
func (g *Gap) without(part Gap) *Gap {
	if g == nil || part.Points >= g.Points {
		return nil
	}
	left := *g
	left.Points -= part.Points
	if left.To != 0 {
		left.From = min(max(left.From, part.To), left.To)
	}
	return &left
}

// lateNow counts the open points of a record that becomes late.
func (l *ledger) lateNow(r record, open int64) {
	l.Account.Buffered -= open
	l.Account.Late += open
	if r.entries || open == 0 {
		return
	}
	if l.Gap == nil {
		l.Gap = &Gap{}
	}
	l.Gap.Points += open
	d := l.Guesses.of(r.number())
	if d.state != timed {
		return
	}
	from, to := d.wall(r.min), d.wall(r.max)
	if l.Gap.To == 0 {
		l.Gap.From, l.Gap.To = from, to
	}
	l.Gap.From, l.Gap.To = min(l.Gap.From, from), max(l.Gap.To, to)
}
