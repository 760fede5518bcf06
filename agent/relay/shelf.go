package relay

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

const (
	// quantum is how many points of one site leave before it is the turn of the
	// next one.
	quantum = 2000
	// mostOpened bounds the points and entries that are read and not settled.
	mostOpened = 1 << (17 + 2*(^uint(0)>>63))
)

// Shelf offers the blocks of a relay's store to a drain as points, events and
// log records, site by site in turns. It is a drain.Store.
type Shelf struct {
	store  *custody.Store
	names  *names
	window time.Duration
	now    func() time.Time
	log    zerolog.Logger

	mu     sync.Mutex // guards what follows
	reader *wire.Reader
	opened map[uint64]*opened
	inside int // points and entries of the opened blocks
	round  int // of Lease
	leases map[*buffer.Lease][]place
	turns  map[turnOf]*turn
	passed map[string]uint64 // by site: blocks up to there are too old for the live lane
	oldest int64             // of the live lane, that passed goes by
}

// place is where a leased point or entry is.
type place struct {
	block uint64
	index int32
}

// turnOf tells apart what has a turn of its own.
type turnOf struct {
	entries, late, live bool
	kind                buffer.EntryKind
}

// turn is the site whose turn it is, and what it has had of it.
type turn struct {
	site string
	had  int
}

// newShelf makes one over a relay's store.
func newShelf(o Options, names *names) *Shelf {
	return &Shelf{
		store: o.Store, names: names, window: o.Window, now: o.Now, log: o.Log, reader: wire.NewReader(), opened: make(map[uint64]*opened),
		leases: make(map[*buffer.Lease][]place), turns: make(map[turnOf]*turn), passed: make(map[string]uint64),
	}
}

// Committed gets a signal when there is something new.
func (s *Shelf) Committed() <-chan struct{} { return s.store.Committed() }

// Account is that of all sites.
func (s *Shelf) Account() buffer.Account { return s.store.Account() }

// Keep keeps a note of the drain.
func (s *Shelf) Keep(name string, data []byte) { s.store.Keep(name, data) }

// Kept gives it back.
func (s *Shelf) Kept(name string) []byte { return s.store.Kept(name) }

// liveSpan tells the queries of the live lane from others: nothing older is
// asked for there.
const liveSpan = 5 * time.Minute

// want is a query, in the numbers of blocks.
type want struct {
	buffer.Query
	oldest, newest int64
	live           bool
	lists          []custody.Query
}

func (s *Shelf) want(q buffer.Query) want {
	w := want{Query: q, oldest: math.MinInt64, newest: math.MaxInt64}
	if !q.Oldest.IsZero() {
		w.oldest = q.Oldest.UnixMilli()
		w.live = !q.Entries && !q.Late && s.now().Sub(q.Oldest) < liveSpan
	}
	if !q.Newest.IsZero() {
		w.newest = q.Newest.UnixMilli()
	}
	kinds := []uint8{uint8(wire.Points)}
	if q.Entries {
		kinds = []uint8{uint8(wire.Events), uint8(wire.Logs)}
	}
	if q.Entries && q.Kind != 0 {
		kinds = []uint8{uint8(q.Kind) + 1}
	}
	for _, kind := range kinds {
		w.lists = append(w.lists, custody.Query{Kind: kind, Lane: uint8(wire.Live), Late: q.Late})
		if !w.live { // what came as a backlog is old
			w.lists = append(w.lists, custody.Query{Kind: kind, Lane: uint8(wire.Backlog), Late: q.Late})
		}
	}
	return w
}

// Lease gives points or entries that are open. Sites take turns: each gives
// about as many as another, however much it has. With Whole a lease holds one
// period of one site, across its blocks.
func (s *Shelf) Lease(q buffer.Query) (*buffer.Lease, error) {
	if q.Max <= 0 {
		return nil, fmt.Errorf("lease points: cannot lease %d points", q.Max)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	c := &catch{want: s.want(q)}
	if err := s.goRound(c); err != nil && len(c.found) == 0 {
		return nil, fmt.Errorf("lease points: %w", err)
	}
	if len(c.found) == 0 {
		return nil, nil
	}
	return s.lend(c), nil
}

// catch is a lease on its way.
type catch struct {
	want
	found []candidate
}

// candidate is a point or an entry that fits.
type candidate struct {
	place
	wall int64
	from *opened
}

func (c *catch) room() int { return c.Max - len(c.found) }

// goRound asks the sites, from the one whose turn it is.
func (s *Shelf) goRound(c *catch) error {
	t := s.turn(c.want)
	site, had := t.site, t.had
	if site == "" || had >= quantum {
		site, had = s.nextSite(c.lists, site), 0
	}
	for first, wrapped := site, false; site != ""; {
		n, err := s.fromSite(site, c, quantum-had)
		if n > 0 {
			had += n
			*t = turn{site, had}
		}
		if err != nil || c.room() <= 0 || n > 0 && c.Whole > 0 && !c.Entries {
			return err
		}
		next := s.nextSite(c.lists, site)
		if next <= site && wrapped || (wrapped || next <= site) && next >= first {
			return nil // all have been asked
		}
		site, had, wrapped = next, 0, wrapped || next <= site
	}
	return nil
}

func (s *Shelf) turn(w want) *turn {
	key := turnOf{w.Entries, w.Late, w.live, w.Kind}
	t := s.turns[key]
	if t == nil {
		t = &turn{}
		s.turns[key] = t
	}
	return t
}

// nextSite is the first behind a site that has blocks of one of the lists, in a
// circle; "" if none has.
func (s *Shelf) nextSite(lists []custody.Query, after string) string {
	for _, from := range [...]string{after, ""} {
		best := ""
		for _, q := range lists {
			if name, ok := s.store.NextSite(q, from); ok && (best == "" || name < best) {
				best = name
			}
		}
		if best != "" {
			return best
		}
	}
	return ""
}

// fromSite adds what one site has, and tells how much.
func (s *Shelf) fromSite(site string, c *catch, most int) (int, error) {
	if c.Whole > 0 && !c.Entries {
		return s.wholeOf(site, c)
	}
	before := len(c.found)
	w := s.walk(site, c.want)
	for info, ok := w.next(); ok && len(c.found)-before < most && c.room() > 0; info, ok = w.next() {
		b, err := s.open(info, c.want)
		if err != nil {
			return len(c.found) - before, err
		}
		if b == nil {
			continue
		}
		n := len(c.found)
		room := min(c.room(), most-(n-before))
		c.found = b.collect(c.found, c.want, room)
		if len(c.found) == n && c.Match != nil {
			b.still = true
		}
	}
	return len(c.found) - before, nil
}

// lend makes a lease of what was found.
func (s *Shelf) lend(c *catch) *buffer.Lease {
	found := c.found[:0]
	for _, x := range c.found {
		if x.from.lent == 0 && !s.hold(x.from) {
			continue
		}
		x.from.lend(x.index)
		found = append(found, x)
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.wall, b.wall) })
	l := &buffer.Lease{}
	if c.Spare != nil {
		l.Points, l.Entries = c.Spare.Points[:0], c.Spare.Entries[:0]
	}
	at := make([]place, len(found))
	for i, x := range found {
		at[i] = x.place
		if c.Entries {
			l.Entries = append(l.Entries, x.from.entries[x.index])
		} else {
			l.Points = append(l.Points, x.from.points[x.index])
		}
	}
	s.leases[l] = at
	return l
}

// hold keeps a block from becoming late while it is out. One that has become
// late since it was looked at is not lent.
func (s *Shelf) hold(b *opened) bool {
	if !s.store.Hold(b.info.Number) {
		return false
	}
	if now, ok := s.store.Info(b.info.Number); !ok || now.Late != b.info.Late {
		s.store.Release(b.info.Number)
		return false
	}
	return true
}

var errSettled = errors.New("settle lease: it is settled already")

// Settle says what became of a lease: of each point or entry, or of all the same.
func (s *Shelf) Settle(l *buffer.Lease, each []buffer.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.leases[l]
	if !ok {
		return errSettled
	}
	if len(each) != len(at) && len(each) != 1 {
		return fmt.Errorf("settle lease: %d settlements for %d points", len(each), len(at))
	}
	delete(s.leases, l)
	order := make([]int32, len(at))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(at[a].block, at[b].block), cmp.Compare(at[a].index, at[b].index))
	})
	var failed error
	for len(order) > 0 {
		n := 1
		for n < len(order) && at[order[n]].block == at[order[0]].block {
			n++
		}
		if err := s.settleBlock(at, order[:n], each); err != nil {
			failed = err
		}
		order = order[n:]
	}
	return failed
}

// settleBlock settles the leased points of one block, in their order.
func (s *Shelf) settleBlock(at []place, order []int32, each []buffer.Settlement) error {
	b := s.opened[at[order[0]].block]
	of := func(i int32) buffer.Settlement {
		if len(each) == 1 {
			return each[0]
		}
		return each[i]
	}
	var parts []custody.Part
	for _, i := range order {
		x, index := of(i), int(at[i].index)
		b.giveBack(at[i].index, x.Outcome != buffer.Later)
		if x.Outcome == buffer.Later {
			continue
		}
		if n := len(parts); n > 0 && x.Outcome != buffer.Refused && parts[n-1].Outcome == x.Outcome && parts[n-1].To == index {
			parts[n-1].To++
			continue
		}
		part := custody.Part{From: index, To: index + 1, Outcome: x.Outcome}
		if x.Outcome == buffer.Refused {
			part.Letter = &buffer.Letter{Kind: x.Kind, Line: x.Line, Reason: x.Reason}
		}
		parts = append(parts, part)
	}
	err := s.store.Settle(b.info.Number, parts)
	if err != nil {
		b.reopen(parts)
	}
	if b.lent == 0 {
		s.store.Release(b.info.Number)
		if b.free == 0 {
			s.drop(b)
		}
	}
	return err
}

// seriesOf tells the series of a candidate.
func (x candidate) series() *probes.Series { return x.from.points[x.index].Series }
