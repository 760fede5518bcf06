package httpjson

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	// unknownTime stands for a time that nobody can tell: longer than any growth
	// may span.
	unknownTime = 365 * 24 * time.Hour
	// So many items of a block that have gone are remembered for their counters.
	maxDormant = 20_000
	// maxHeld is how much memory the items of one endpoint may take, in bytes.
	maxHeld = 64 << 20
	// The states of an item that are kept as series.
	maxStates = 100
)

// state is what the blocks of one interval remember of one endpoint.
type state struct {
	now    time.Duration // the state's own time, which goes on over restarts
	stamp  probes.Stamp  // of the last poll
	round  uint32
	name   string // of the endpoint, by reverse DNS
	held   int    // bytes of all items
	open   int    // events, those that were saved among them
	blocks map[*plan.DocBlock]*blockState
	saved  saved
}

// begin starts a round. With another name the endpoint has other series.
func (s *state) begin(now probes.Stamp, name string) {
	if s.blocks == nil {
		s.blocks = make(map[*plan.DocBlock]*blockState)
	}
	if s.now == 0 {
		s.now = 1
	} else {
		s.now += since(s.stamp, now)
	}
	s.stamp = now
	s.round++
	if name == s.name {
		return
	}
	s.name = name
	for _, b := range s.blocks {
		for _, r := range b.rows {
			r.forgetSeries()
		}
	}
}

// since is the time between two polls.
func since(before, now probes.Stamp) time.Duration {
	switch {
	case now.Boot == before.Boot:
		return max(now.Uptime-before.Uptime, 0)
	case now.Guess || before.Guess || now.Wall < before.Wall:
		return unknownTime
	}
	return min(time.Duration(now.Wall-before.Wall)*time.Millisecond, unknownTime)
}

func (s *state) block(b *plan.DocBlock) *blockState {
	bs := s.blocks[b]
	if bs == nil {
		bs = &blockState{rows: make(map[string]*row), id: blockSum(b)}
		s.blocks[b] = bs
	}
	return bs
}

// blockState holds the items of a block by their dimensions.
type blockState struct {
	rows map[string]*row
	id   uint64 // what the block is over a restart
}

// row is one item: the series it has and what it remembers.
type row struct {
	key      string // digest of the dimensions
	declared []probes.Dimension
	dims     *probes.Dimensions // nil: to be made
	series   []*probes.Series   // by metric, nil until first needed
	states   map[stateName]*probes.Series
	counters []counter    // by metric
	open     []*openEvent // by event
	carrier  carrier
	round    uint32 // when it was last seen
	seen     time.Duration
}

type stateName struct {
	metric int
	state  string
}

func (r *row) forgetSeries() {
	r.dims, r.series, r.states, r.carrier = nil, nil, nil, carrier{}
}

// counter is the last reading of a counter; without a kind there is none.
type counter struct {
	cell plan.Cell
	at   time.Duration
}

// rowKey is one text for the dimensions of an item.
func rowKey(dims []probes.Dimension) string {
	var b strings.Builder
	var n [binary.MaxVarintLen64]byte
	for _, d := range dims {
		for _, text := range []string{d.Key, d.Value} {
			b.Write(n[:binary.PutUvarint(n[:], uint64(len(text)))])
			b.WriteString(text)
		}
	}
	return b.String()
}

// sumOf names something of an item over a restart.
func sumOf(parts ...string) uint64 {
	h := fnv.New64a()
	var n [binary.MaxVarintLen64]byte
	for _, text := range parts {
		_, _ = h.Write(n[:binary.PutUvarint(n[:], uint64(len(text)))])
		_, _ = h.Write([]byte(text))
	}
	return h.Sum64()
}

// blockSum names a block: what is asked counts, two groups may have one name.
func blockSum(b *plan.DocBlock) uint64 {
	q := &b.Request
	return sumOf("block", b.Path, b.Interval.String(), q.Method, q.Path, q.Body, b.Outer.String(), b.Inner.String())
}

func (bs *blockState) counterSum(m *plan.DocMetric, key string) uint64 {
	return sumOf("counter", strconv.FormatUint(bs.id, 16), m.Key, m.Value.String(), key)
}

func (bs *blockState) eventSum(e *plan.DocEvent, key string) uint64 {
	return sumOf("event", strconv.FormatUint(bs.id, 16), e.Name, key)
}

// sizeOf is about what an item with some dimensions takes, with its series.
func sizeOf(dims []probes.Dimension) int {
	size := 500
	for _, d := range dims {
		size += 100 + len(d.Value)
	}
	return size
}

// row finds or makes the item of some dimensions, nil where there is no room. A
// new one takes what an earlier run left for it.
func (s *state) row(b *plan.DocBlock, declared []probes.Dimension) (r *row, twice bool) {
	bs := s.block(b)
	sum := sha256.Sum256([]byte(rowKey(declared)))
	key := string(sum[:16])
	r = bs.rows[key]
	if r == nil {
		size := sizeOf(declared)
		if s.held+size > maxHeld {
			return nil, false
		}
		s.held += size
		r = &row{key: key, declared: declared, counters: make([]counter, len(b.Metrics)), open: make([]*openEvent, len(b.Events))}
		bs.rows[key] = r
		s.saved.give(b, bs, r)
	}
	twice = r.round == s.round
	r.round, r.seen = s.round, s.now
	return r, twice
}

// forget drops items that did not come. Their counters are kept for as long as a
// growth may span. Where the answer was not whole they may be in the rest of it.
func (s *state) forget(b *plan.DocBlock, whole bool) {
	bs := s.block(b)
	dormant := 0
	for key, r := range bs.rows {
		if r.round == s.round {
			continue
		}
		young := s.now-r.seen <= plan.AbsenceAfter(b.Interval)
		room := dormant < maxDormant && s.held < maxHeld/2
		if s.waits(r) || room && young && (r.counts() || !whole) {
			dormant++
			r.forgetSeries()
			continue
		}
		s.held -= sizeOf(r.declared)
		delete(bs.rows, key)
	}
}

// waits tells whether an event of an item has yet to be closed.
func (s *state) waits(r *row) bool {
	waits := false
	for i := range r.open {
		if r.open[i] != nil && s.over(r.open[i]) {
			s.drop(&r.open[i])
		}
		waits = waits || r.open[i] != nil
	}
	return waits
}

func (r *row) counts() bool {
	for i := range r.counters {
		if r.counters[i].cell.Kind != plan.Absent {
			return true
		}
	}
	return false
}

// advance takes a reading of a counter and gives its growth and the time that
// took. There is none at the first reading; gap tells that there was one before
// and the growth is not known all the same.
func (c *counter) advance(read plan.Cell, now, longest time.Duration) (grown plan.Cell, age time.Duration, gap bool) {
	before := *c
	*c = counter{read, now}
	if before.cell.Kind == plan.Absent {
		return plan.Cell{}, 0, false
	}
	age = now - before.at
	if age > longest || age <= 0 {
		return plan.Cell{}, age, age > 0
	}
	grown, ok := difference(before.cell, read)
	return grown, age, !ok
}

// difference is b less a, false where it is below zero.
func difference(a, b plan.Cell) (plan.Cell, bool) {
	x, okX := whole(a)
	y, okY := whole(b)
	if okX && okY {
		return plan.Cell{Kind: plan.Counter64, Uint: y - x}, y >= x
	}
	d := float(b) - float(a)
	return plan.Cell{Kind: plan.Real, Float: d}, d >= 0
}

func whole(c plan.Cell) (uint64, bool) {
	switch c.Kind {
	case plan.Integer:
		return uint64(c.Int), c.Int >= 0
	case plan.Counter64:
		return c.Uint, true
	}
	return 0, false
}

func float(c plan.Cell) float64 {
	switch c.Kind {
	case plan.Integer:
		return float64(c.Int)
	case plan.Counter64:
		return float64(c.Uint)
	}
	return c.Float
}
