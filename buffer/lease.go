package buffer

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Query says which points to lease: those with a wall time from Oldest to
// Newest, both included, at most Max of them. A zero Newest is no bound. With
// Entries it is events and log records instead of points, with Late what the
// window has passed and the file still keeps. Late points that will never have
// a true time count as older than any Oldest but a zero one.
type Query struct {
	Oldest, Newest time.Time
	Max            int
	Entries        bool
	Kind           EntryKind // of the entries; 0: both
	Late           bool
	Match          func(*probes.Series) bool // nil: all series
	// Whole makes a lease hold, for each series in it, all open points of one
	// period (aligned to 1970), the same for all, or none of them; a period that
	// Newest cuts, or of which a part is not late yet where Late is asked for, is
	// none. A series with more than Max points comes alone. 0: points go one by
	// one. Match and Whole mean nothing for entries.
	Whole time.Duration
	Spare *Lease // nil, or a settled one whose memory is used again: nobody may look at it any more
}

// Lease is points that nobody else gets until they are settled. They are
// copies: no transaction stays open while they are sent.
type Lease struct {
	Points  []probes.Point
	Entries []Entry
	at      []position  // of each point or entry; nil: unloaded
	runs    []leasedRun // of an unloaded one
	entries bool
	claim   *ClaimID // nil: there is none
	late    bool
	epoch   int
	settled bool
}

// len is the number of points or entries.
func (l *Lease) len() int {
	if l.at == nil {
		return pointsOf(l.runs)
	}
	return len(l.at)
}

// position is where in the file a point is.
type position struct {
	record uint64
	index  uint32
}

// Outcome is what became of a leased point.
type Outcome uint8

// The outcomes.
const (
	Delivered Outcome = 1
	Refused   Outcome = 2 // for good: it becomes a dead letter
	Later     Outcome = 3 // give it back, unchanged
	Logged    Outcome = 4 // a late point left in another form: it stays late, and leaves the file
	Dropped   Outcome = 5 // a late point was given up: it stays late, and leaves the file
)

// Settlement is the outcome of one point. Line and Reason are for Refused:
// the line as it was sent and why it can never be taken.
// Kind is that of the dead letter.
type Settlement struct {
	Outcome      Outcome
	Line, Reason string
	Kind         string
}

// ErrWaiting says that so much was settled since the last commit that it has to
// come first.
var ErrWaiting = errors.New("lease points: too many settlements wait for the disk")

var (
	errSettled  = errors.New("settle lease: it is settled already")
	errUnloaded = errors.New("settle lease: it is unloaded, and what is refused needs its line")
)

// Lease gives points that are neither settled nor leased, record by record
// from the oldest; nil if there are none. They are not late, or late where the
// query says so. Points that wait for their boot's anchor are left alone.
func (s *Store) Lease(q Query) (*Lease, error) {
	if q.Max <= 0 {
		return nil, fmt.Errorf("lease points: cannot lease %d points", q.Max)
	}
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.isClosed() {
		return nil, fmt.Errorf("lease points: %w", ErrClosed)
	}
	if h.waiting > maxHolds || len(h.records) > maxLeased {
		return nil, ErrWaiting
	}
	v := s.volume()
	p := newPicker(q, h, max(s.cutoffs().of(q.Entries), h.cutoffs.of(q.Entries)))
	p.series = v.names.all()
	pick := p.pick
	if q.Whole > 0 && !q.Entries {
		pick = p.pickWhole
	}
	for more := true; more; {
		var err error
		if more, err = s.reportDamage(v.view(pick)); err != nil {
			s.undo(p.lease)
			return nil, fmt.Errorf("lease points: %w", err)
		}
	}
	if p.lease.len() == 0 {
		h.freeLate(q.Late)
		return nil, nil
	}
	p.lease.sort()
	return p.lease, nil
}

// reportDamage leaves a record that cannot be read, or a file that cannot, to
// the next commit. Other errors come back. With more there may be something to
// lease beside the record.
func (s *Store) reportDamage(err error) (more bool, _ error) {
	h := &s.holds
	var bad *recordError
	switch {
	case errors.As(err, &bad):
		if h.damaged == nil {
			h.damaged = make(map[uint64]bool)
		}
		more = !h.damaged[bad.number]
		h.damaged[bad.number] = true
	case isDamage(err):
		h.broken = err
	default:
		return false, err
	}
	h.touch(true)
	s.wakeUp()
	return more, nil
}

// isDamage reports whether an error says that the file cannot be read.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, ErrPages)
}

// sort brings the points into the order of their wall times. It has work only
// where the clock went back. Guesses stay as they were written.
func (l *Lease) sort() {
	for i := range l.Points {
		if l.Points[i].Stamp.Guess {
			return
		}
	}
	if !sort.IsSorted((*byWall)(l)) {
		sort.Stable((*byWall)(l))
	}
}

type byWall Lease

func (l *byWall) Len() int           { return len(l.Points) } // entries come in order
func (l *byWall) Less(i, j int) bool { return l.Points[i].Stamp.Wall < l.Points[j].Stamp.Wall }
func (l *byWall) Swap(i, j int) {
	l.Points[i], l.Points[j] = l.Points[j], l.Points[i]
	l.at[i], l.at[j] = l.at[j], l.at[i]
}

// Settle says what became of the points of a lease: one settlement for each
// point, or one for all. It takes effect in memory at once and in the file
// with the next commit; a crash before that gives the points out again.
func (s *Store) Settle(l *Lease, each []Settlement) error {
	if len(each) != 1 && len(each) != len(l.at) {
		return fmt.Errorf("settle lease: %d settlements for %d points", len(each), l.len())
	}
	if l.at == nil && each[0].Outcome == Refused {
		return errUnloaded
	}
	for i, e := range each {
		if !l.allows(e.Outcome) {
			return fmt.Errorf("settle lease: settlement %d has outcome %d, which these points cannot have", i, e.Outcome)
		}
	}
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if current, err := s.end(l); err != nil || !current {
		return err
	}
	if l.at == nil {
		for _, r := range l.runs {
			h.settle(position{r.record, r.from}, r.to-r.from, each[0].Outcome)
		}
	}
	now := s.o.Now()
	for from := 0; from < len(l.at); {
		to := l.run(from, each)
		h.settle(l.at[from], uint32(to-from), pick(each, from).Outcome)
		for i := from; i < to && pick(each, i).Outcome == Refused; i++ {
			r := h.records[l.at[i].record]
			r.letters = append(r.letters, Letter{Time: now, Kind: pick(each, i).Kind, Line: pick(each, i).Line, Reason: pick(each, i).Reason})
		}
		from = to
	}
	s.wakeUp()
	return nil
}

// end makes the lease settled, and its claim go. It is not current where the
// file was replaced since: what could be saved of that comes again.
func (s *Store) end(l *Lease) (current bool, err error) {
	if l.settled {
		return false, errSettled
	}
	if s.isClosed() {
		return false, fmt.Errorf("settle lease: %w", ErrClosed)
	}
	l.settled = true
	h := &s.holds
	if l.epoch != h.epoch {
		return false, nil
	}
	if l.claim != nil {
		h.unclaimed = append(h.unclaimed, *l.claim)
		h.touch(false)
	}
	return true, nil
}

// allows tells whether the points may come to that: late ones are not
// delivered, others neither logged nor dropped.
func (l *Lease) allows(o Outcome) bool {
	switch o {
	case Delivered:
		return !l.late
	case Logged, Dropped:
		return l.late
	}
	return o == Refused || o == Later
}

func pick(each []Settlement, i int) Settlement { return each[min(i, len(each)-1)] }

// run is the end of the points from one on that lie side by side in the file
// and have the same outcome.
func (l *Lease) run(from int, each []Settlement) int {
	to := from + 1
	for to < len(l.at) && l.at[to].record == l.at[from].record &&
		l.at[to].index == l.at[to-1].index+1 && pick(each, to).Outcome == pick(each, from).Outcome {
		to++
	}
	return to
}

// undo gives back a lease that nobody got.
func (s *Store) undo(l *Lease) {
	for _, at := range l.at {
		s.holds.settle(at, 1, Later)
	}
}
