package plan

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// State is what one device's points need to remember from poll to poll: the
// baselines of its counters, and the series of its rows so that a steady poll
// makes nothing anew. It belongs to one device and one plan. The zero State is
// ready for use. It is not safe for use by two polls at a time.
type State struct {
	// Constants go on every series, before a dimension of the same key. They
	// are set before the first poll.
	Constants []probes.Dimension

	round    uint64
	dev      Identity
	blocks   map[*Block]*blockState
	series   map[[16]byte]*shared
	counters map[counterID]map[string]*baseline
	order    []*row // scratch
	cells    []Cell // scratch
	emitted  int    // points of the last poll, a hint for the next
}

type blockState struct {
	rows     map[string]*row // by row index
	implicit []probes.Dimension
}

// row remembers the dimension cells of a row; while they stay the same, so do
// its series.
type row struct {
	index   string
	counter string // key of its counter baselines
	round   uint64
	cells   []Cell
	matches bool
	series  []*shared // by metric, nil until first needed
}

// shared is a series that may belong to several rows; round tells when it last
// had a point.
type shared struct {
	series *probes.Series
	refs   int
	round  uint64
	first  cellAt // where the first point of that round came from
}

type cellAt struct{ oid, index string }

// counterID keeps intervals apart: each has a baseline of its own, so that one
// does not eat the delta of another.
type counterID struct {
	interval time.Duration
	oid      string
}

type baseline struct {
	last  uint64
	delta uint64
	valid bool
	round uint64
	kept  uint64 // the round in which its row was there but could not be told apart
}

// begin starts a round. A device with another name or address has other series.
func (s *State) begin(dev Identity) {
	s.round++
	if s.counters == nil {
		s.counters = make(map[counterID]map[string]*baseline)
	}
	if s.blocks == nil || s.dev != dev {
		s.dev = dev
		s.blocks = make(map[*Block]*blockState)
		s.series = make(map[[16]byte]*shared)
	}
}

func (s *State) block(b *Block) *blockState {
	bs := s.blocks[b]
	if bs == nil {
		bs = &blockState{rows: make(map[string]*row), implicit: implicit(b, s.dev)}
		s.blocks[b] = bs
	}
	return bs
}

// implicit gives the dimensions that every line has unless the block declares
// them itself.
func implicit(b *Block, dev Identity) []probes.Dimension {
	address := probes.Dimension{Key: "device.address", Value: dev.Address}
	name := probes.Dimension{Key: "device.name", Value: dev.Name}
	for _, d := range b.Dims {
		switch d.Key {
		case address.Key:
			address.Key = ""
		case name.Key:
			name.Key = ""
		}
	}
	return []probes.Dimension{address, name}
}

// counterKey names the counters of a row: its index and a sum of the texts that
// its own columns give it. An index that is given to another interface is so
// another counter, also over a restart. Numbers, such as a state, may change.
func counterKey(b *Block, r *row) string {
	h := fnv.New64a()
	named := false
	for i := range b.Dims {
		if c := r.cells[i]; b.Dims[i].Source.Kind == FromColumn && (c.Kind == Text || c.Kind == Octets) {
			named = true
			h.Write(binary.AppendUvarint(nil, uint64(len(c.Text))))
			h.Write([]byte(c.Text))
		}
	}
	if !named {
		return r.index
	}
	return string(h.Sum([]byte(r.index + "/")))
}

// keepCounters saves the baselines of a row from sweepCounters.
func (s *State) keepCounters(b *Block, r *row) {
	for i := range b.Metrics {
		for oid := range b.Metrics[i].Source.oids() {
			if base := s.counters[counterID{b.Interval, oid}][r.counter]; base != nil {
				base.kept = s.round
			}
		}
	}
}

// acquire returns the one shared entry of a series.
func (s *State) acquire(made *probes.Series) *shared {
	e := s.series[made.ID()]
	if e == nil {
		e = &shared{series: made}
		s.series[made.ID()] = e
	}
	e.refs++
	return e
}

// release lets go of all series of a row.
func (s *State) release(r *row) {
	for i, e := range r.series {
		if e == nil {
			continue
		}
		r.series[i] = nil
		if e.refs--; e.refs == 0 {
			delete(s.series, e.series.ID())
		}
	}
}

// sweepRows forgets the rows of a block that this round did not touch.
func (s *State) sweepRows(bs *blockState, touched int) {
	if len(bs.rows) == touched {
		return
	}
	for index, r := range bs.rows {
		if r.round != s.round {
			s.release(r)
			delete(bs.rows, index)
		}
	}
}

// sweepCounters forgets the baselines of rows that are gone. A column that did
// not answer, or not to its end, proves nothing.
func (s *State) sweepCounters(b *Block, r Reading) {
	for i := range b.Metrics {
		m := &b.Metrics[i]
		if m.Type != probes.Count || m.Source.Kind != FromColumn {
			continue
		}
		for oid := range m.Source.oids() {
			if len(r.Columns[oid]) == 0 || r.Partial[oid] {
				continue
			}
			s.sweepColumn(s.counters[counterID{b.Interval, oid}])
		}
	}
}

func (s *State) sweepColumn(column map[string]*baseline) {
	for key, base := range column {
		if base.round != s.round && base.kept != s.round {
			delete(column, key)
		}
	}
}

// advance gives the growth of a counter since its last reading. The first
// reading gives none, and neither does a counter that went back: gap.
func (s *State) advance(id counterID, key string, now uint64) (delta uint64, valid, gap bool) {
	column := s.counters[id]
	if column == nil {
		column = make(map[string]*baseline)
		s.counters[id] = column
	}
	base := column[key]
	if base == nil {
		column[key] = &baseline{last: now, round: s.round}
		return 0, false, false
	}
	if base.round != s.round {
		base.valid = now >= base.last
		base.delta = now - base.last
		base.last = now
		base.round = s.round
		gap = !base.valid
	}
	return base.delta, base.valid, gap
}
