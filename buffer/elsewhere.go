package buffer

import (
	"fmt"
	"slices"
)

// Elsewhere says what became of the points of a lease at another store that
// has taken them over, in the states of its account.
type Elsewhere struct {
	Delivered, DeadLetter, LateArchived, LateLogged, LateDropped, Evicted, Damaged, Purged int64
}

// states lists the counts with the outcomes that stand for them here.
func (e Elsewhere) states() [8]struct {
	outcome Outcome
	points  int64
} {
	return [8]struct {
		outcome Outcome
		points  int64
	}{
		{goneDelivered, e.Delivered},
		{goneDead, e.DeadLetter},
		{goneArchived, e.LateArchived},
		{goneLogged, e.LateLogged},
		{goneDropped, e.LateDropped},
		{goneEvicted, e.Evicted},
		{goneDamaged, e.Damaged},
		{gonePurged, e.Purged},
	}
}

// isOf tells whether the counts add up to so many points.
func (e Elsewhere) isOf(points int64) bool {
	for _, x := range e.states() {
		if x.points < 0 || x.points > points {
			return false
		}
		points -= x.points
	}
	return points == 0
}

// Outcomes of points at another store, beside those that Settle takes.
const (
	goneDelivered Outcome = Dropped + 1 + iota
	goneDead
	goneArchived
	goneLogged
	goneDropped
	goneEvicted
	goneDamaged
	gonePurged
	lastOutcome = gonePurged
)

// SettleElsewhere books what became of the points of a lease at another store.
// Which point came to what is not told: the counts add up to the points of the
// lease. As Settle, it takes effect in the file with the next commit, and its
// claim is gone then.
func (s *Store) SettleElsewhere(l *Lease, e Elsewhere) error {
	if !e.isOf(int64(l.len())) {
		return fmt.Errorf("settle lease: %+v does not add up to %d points", e, l.len())
	}
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if current, err := s.end(l); err != nil || !current {
		return err
	}
	runs := slices.Clone(l.pieces())
	for _, x := range e.states() {
		for n := uint32(x.points); n > 0; {
			part := min(n, runs[0].to-runs[0].from)
			h.settle(position{runs[0].record, runs[0].from}, part, x.outcome)
			if runs[0].from += part; runs[0].from == runs[0].to {
				runs = runs[1:]
			}
			n -= part
		}
	}
	s.wakeUp()
	return nil
}

// bookElsewhere moves points of a record, whose counter is held, to where they
// are at the other store. A late one that was taken there in another form is
// logged.
func (a *Account) bookElsewhere(by outcomes, late bool) {
	held := a.held(late)
	for o := goneDelivered; o <= lastOutcome; o++ {
		n := by[o].count()
		if n == 0 {
			continue
		}
		*held -= n
		to := o
		if o == goneDelivered && late {
			to = goneLogged
		}
		a.bookGone(to, n)
	}
}

func (a *Account) bookGone(o Outcome, n int64) {
	switch o {
	case goneDelivered:
		a.Delivered += n
	case goneDead:
		a.DeadLetter += n
		a.DeadElsewhere += n
	case goneArchived:
		a.Late += n
		a.LateElsewhere += n
	case goneLogged:
		a.Late += n
		a.LateLogged += n
	case goneDropped:
		a.Late += n
		a.LateDropped += n
	case goneEvicted:
		a.Evicted += n
	case goneDamaged:
		a.Damaged += n
	case gonePurged:
		a.Purged += n
	}
}
