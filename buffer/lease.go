package buffer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// Query says which points to lease: those with a wall time from Oldest to
// Newest, both included, at most Max of them. A zero Newest is no bound.
type Query struct {
	Oldest, Newest time.Time
	Max            int
}

// Lease is points that nobody else gets until they are settled. They are
// copies: no transaction stays open while they are sent.
type Lease struct {
	Points  []probes.Point
	at      []position // of each point
	settled bool
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
)

// Settlement is the outcome of one point. Line and Reason are for Refused:
// the line as it was sent and why it can never be taken.
type Settlement struct {
	Outcome      Outcome
	Line, Reason string
}

var (
	errSettled = errors.New("settle lease: it is settled already")
	errWaiting = errors.New("lease points: too many settlements wait for the disk")
)

// maxHolds bounds the records that are remembered because of leases and
// settlements; hurryHolds asks for a commit at once.
const (
	maxHolds   = 8192
	hurryHolds = 1024
)

// holds is what is known in memory about records that are in use.
type holds struct {
	mu      sync.Mutex
	records map[uint64]*hold
	cache   [2]decoded // of the records leased last, one for each lane

	since   time.Time // when the first settlement or damage came that waits
	backlog bool      // some of them are not of the freshest points
	fresh   uint64    // first record of the last commit that added points
	cutoff  int64     // of the running or last commit: older points are late, or about to be
	damaged map[uint64]bool
	repair  bool
}

// hold is one record in use.
type hold struct {
	key        recordKey
	leased     spans
	delivered  spans // since the last commit
	refused    spans // since the last commit
	letters    []letter
	committing spans // in the running commit
}

func (h *hold) idle() bool {
	return len(h.leased)+len(h.delivered)+len(h.refused)+len(h.committing) == 0
}

type decoded struct {
	seq    uint64
	groups []arc.Group
}

// Lease gives points that are neither late, settled nor leased, record by
// record from the oldest; nil if there are none.
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
	if len(h.records) > maxHolds {
		return nil, errWaiting
	}
	p := picker{
		store: s, series: s.names.all(), lease: &Lease{}, most: q.Max,
		oldest: max(q.Oldest.UnixMilli(), s.cutoff(), h.cutoff), newest: math.MaxInt64,
	}
	if !q.Newest.IsZero() {
		p.newest = q.Newest.UnixMilli()
	}
	err := guard(func() error { return s.db.View(p.pick) })
	switch {
	case errors.Is(err, errDamaged):
		s.reportDamage(nil)
	case err != nil:
		s.giveBack(p.lease)
		return nil, fmt.Errorf("lease points: %w", err)
	}
	if len(p.lease.Points) == 0 {
		return nil, nil
	}
	p.lease.sort()
	return p.lease, nil
}

// cutoff is the wall time before which points are late now.
func (s *Store) cutoff() int64 { return s.o.Now().Add(-s.o.Window).UnixMilli() }

// picker fills one lease.
type picker struct {
	store          *Store
	series         []*probes.Series
	lease          *Lease
	most           int
	oldest, newest int64
}

func (p *picker) pick(tx *bbolt.Tx) error {
	s := p.store
	s.mu.Lock()
	from := s.ledger.LateThrough
	s.mu.Unlock()
	records := tx.Bucket(bucketRecords)
	return scan(tx, from, func(key recordKey, value []byte) (bool, error) {
		if key.max < p.oldest || key.min > p.newest || s.holds.damaged[key.seq] {
			return true, nil
		}
		m, err := readMark(tx, key.seq)
		if err != nil || m.late {
			return true, err
		}
		taken := m.settled
		if h := s.holds.records[key.seq]; h != nil {
			taken = taken.union(h.leased, h.delivered, h.refused, h.committing)
		}
		if taken.count() >= int64(key.count) {
			return true, nil
		}
		groups, err := s.decode(key, func() []byte { return payload(records, key.bytes(), value) })
		before := len(p.lease.Points)
		if err != nil || !p.take(key, groups, taken) {
			s.reportDamage(&key.seq)
		}
		if taken.count()+int64(len(p.lease.Points)-before) == int64(key.count) {
			s.holds.cache[0] = decoded{} // all of it is out
		}
		return len(p.lease.Points) < p.most, nil
	})
}

// take leases from one record; false if it names a series that is not known.
func (p *picker) take(key recordKey, groups []arc.Group, taken spans) bool {
	start := uint32(0)
	for _, g := range groups {
		first := start
		start += uint32(len(g.IDs))
		if g.Stamp.Wall < p.oldest || g.Stamp.Wall > p.newest {
			continue
		}
		for _, gap := range taken.free(span{first, start}) {
			gap.to = min(gap.to, gap.from+uint32(p.most-len(p.lease.Points)))
			if !p.add(key, g, span{gap.from - first, gap.to - first}, first) {
				return false
			}
		}
	}
	return true
}

func (p *picker) add(key recordKey, g arc.Group, part span, start uint32) bool {
	for i := part.from; i < part.to; i++ {
		if int(g.IDs[i]) >= len(p.series) {
			return false
		}
	}
	if part.from == part.to {
		return true
	}
	h := p.store.holds.of(key)
	h.leased = h.leased.add(span{start + part.from, start + part.to})
	for i := part.from; i < part.to; i++ {
		p.lease.Points = append(p.lease.Points, toPoint(g, int(i), p.series))
		p.lease.at = append(p.lease.at, position{key.seq, start + i})
	}
	return true
}

func (h *holds) of(key recordKey) *hold {
	if h.records[key.seq] == nil {
		h.records[key.seq] = &hold{key: key}
	}
	return h.records[key.seq]
}

// decode gives the points of a record and keeps them for the next slice.
func (s *Store) decode(key recordKey, sealed func() []byte) ([]arc.Group, error) {
	cache := &s.holds.cache
	if cache[1].seq == key.seq && cache[1].groups != nil {
		cache[0], cache[1] = cache[1], cache[0]
	}
	if cache[0].seq == key.seq && cache[0].groups != nil {
		return cache[0].groups, nil
	}
	groups, err := decodeRecord(s.codec, key, sealed())
	if err != nil {
		return nil, err
	}
	cache[1], cache[0] = cache[0], decoded{key.seq, groups}
	return groups, nil
}

func decodeRecord(codec *arc.Codec, key recordKey, sealed []byte) ([]arc.Group, error) {
	content, err := unseal(key.bytes(), sealed)
	if err != nil {
		return nil, err
	}
	groups, err := codec.Decode(content)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, g := range groups {
		n += len(g.IDs)
	}
	if n != int(key.count) {
		return nil, fmt.Errorf("record %d holds %d points, its key says %d", key.seq, n, key.count)
	}
	return groups, nil
}

// reportDamage leaves a record, or what cannot be named, to the next commit.
func (s *Store) reportDamage(record *uint64) {
	h := &s.holds
	if record == nil {
		h.repair = true
	} else {
		if h.damaged == nil {
			h.damaged = make(map[uint64]bool)
		}
		h.damaged[*record] = true
	}
	h.touch(true)
	s.wakeUp()
}

func (h *holds) touch(backlog bool) {
	if h.since.IsZero() {
		h.since = time.Now()
	}
	h.backlog = h.backlog || backlog
}

// sort brings the points into the order of their wall times. It has work only
// where the clock went back.
func (l *Lease) sort() {
	if !sort.IsSorted((*byWall)(l)) {
		sort.Stable((*byWall)(l))
	}
}

type byWall Lease

func (l *byWall) Len() int           { return len(l.Points) }
func (l *byWall) Less(i, j int) bool { return l.Points[i].Stamp.Wall < l.Points[j].Stamp.Wall }
func (l *byWall) Swap(i, j int) {
	l.Points[i], l.Points[j] = l.Points[j], l.Points[i]
	l.at[i], l.at[j] = l.at[j], l.at[i]
}

// Settle says what became of the points of a lease: one settlement for each
// point, or one for all. It takes effect in memory at once and in the file
// with the next commit; a crash before that gives the points out again.
func (s *Store) Settle(l *Lease, each []Settlement) error {
	if len(each) != 1 && len(each) != len(l.Points) {
		return fmt.Errorf("settle lease: %d settlements for %d points", len(each), len(l.Points))
	}
	for i, e := range each {
		if e.Outcome < Delivered || e.Outcome > Later {
			return fmt.Errorf("settle lease: settlement %d has no outcome", i)
		}
	}
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.settled {
		return errSettled
	}
	if s.isClosed() {
		return fmt.Errorf("settle lease: %w", ErrClosed)
	}
	l.settled = true
	now := s.o.Now()
	for from := 0; from < len(l.at); {
		to := l.run(from, each)
		h.settle(l.at[from], uint32(to-from), pick(each, from).Outcome)
		for i := from; i < to && pick(each, i).Outcome == Refused; i++ {
			r := h.records[l.at[i].record]
			r.letters = append(r.letters, letter{Time: now, Line: pick(each, i).Line, Reason: pick(each, i).Reason})
		}
		from = to
	}
	s.wakeUp()
	return nil
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

// settle ends the lease of n points side by side.
func (h *holds) settle(at position, n uint32, o Outcome) {
	r := h.records[at.record]
	part := span{at.index, at.index + n}
	r.leased = r.leased.remove(part)
	switch o {
	case Delivered:
		r.delivered = r.delivered.add(part)
		h.touch(at.record < h.fresh)
	case Refused:
		r.refused = r.refused.add(part)
		h.touch(at.record < h.fresh)
	}
	if r.idle() {
		delete(h.records, at.record)
	}
}

// giveBack undoes a lease that nobody got.
func (s *Store) giveBack(l *Lease) {
	for _, at := range l.at {
		s.holds.settle(at, 1, Later)
	}
}

// settlement is what a commit does to one record.
type settlement struct {
	key                recordKey
	delivered, refused spans
	letters            []letter
}

// take moves what is settled into the running commit.
func (h *holds) take() (settlements []settlement, damaged map[uint64]bool, repair bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.records {
		if len(r.delivered)+len(r.refused) == 0 {
			continue
		}
		settlements = append(settlements, settlement{r.key, r.delivered, r.refused, r.letters})
		r.committing = r.delivered.union(r.refused)
		r.delivered, r.refused, r.letters = nil, nil, nil
	}
	slices.SortFunc(settlements, func(a, b settlement) int {
		if a.key.seq < b.key.seq {
			return -1
		}
		return 1
	})
	damaged, repair = h.damaged, h.repair
	h.damaged, h.repair, h.since, h.backlog = nil, false, time.Time{}, false
	return settlements, damaged, repair
}

// begin fixes the cut-off of a commit and tells which records have leases out.
func (h *holds) begin(cutoff int64) (busy map[uint64]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutoff = cutoff
	busy = make(map[uint64]bool)
	for seq, r := range h.records {
		if len(r.leased) > 0 {
			busy[seq] = true
		}
	}
	return busy
}

// finish forgets what the commit has written.
func (h *holds) finish(w *work) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, st := range w.settlements {
		if r := h.records[st.key.seq]; r != nil {
			r.committing = nil
			if r.idle() {
				delete(h.records, st.key.seq)
			}
		}
	}
	if len(w.drafts) > 0 {
		h.fresh = w.fresh
	}
}

// due tells how long settlements may wait for a commit to ride in.
func (h *holds) due(interval time.Duration) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.since.IsZero():
		return 0, false
	case len(h.records) > hurryHolds:
		return 0, true
	case h.backlog || interval == 0:
		interval = time.Second
	}
	return time.Until(h.since.Add(interval)), true
}
