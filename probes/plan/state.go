package plan

import (
	"hash/maphash"
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

	round  uint32
	seed   maphash.Seed
	dev    Identity
	epoch  uint64 // changes with dev
	blocks map[*Block]*blockState
	points int  // of the last poll, a hint for the next
	twice  bool // several rows share a series
	repeat bool // two metrics of the plan may make one series of one cell
	clock

	earlier earlier
}

// clock is the State's own time, which goes on over a restart of this process
// and of this machine.
type clock struct {
	now   time.Duration
	floor time.Duration // baselines up to then are of another life of the device
	stamp probes.Stamp  // of the last poll
	ticks uint64        // sysUpTime when it was last told
	known bool          // ticks was ever told in this life

	alive  bool          // sysUpTime shows that the device has run on since it was last told
	frozen bool          // sysUpTime stands still
	blind  bool          // sysUpTime was not told this time: a restart would not be seen
	told   time.Duration // when it was last told
}

// unknownTime stands for a time that nobody can tell: longer than any absence
// that a growth may span.
const unknownTime = 365 * 24 * time.Hour

type blockState struct {
	rows     map[string]*row // by row index
	order    []*row          // sorted by index
	implicit []probes.Dimension
	epoch    uint64    // of implicit
	sources  []*Source // of the metrics that count
	unread   bool      // this round there may be rows that were not seen
	// Counters of rows that have another identity now, by the identity they had:
	// they look for their row, at most until every row was seen.
	aside map[uint64][]counter
}

// row remembers a sum of the cells of its dimensions; while that stays the
// same, so do its series.
type row struct {
	index    string
	dims     *probes.Dimensions
	series   []*probes.Series // by metric, nil until first needed
	counters []counter        // by metric that counts
	sum      uint64           // of the dimension cells
	identity uint64           // whose counters they are
	round    uint32
	matches  bool
	unread   bool // this round its dimensions could not be told
	seeks    bool // it has a new identity, whose counters may be elsewhere
}

// Restarted says that the device has restarted since the last poll: its
// counters begin anew. Every one that is read again counts as a gap.
func (s *State) Restarted() {
	s.floor, s.known = s.now, false
}

// begin starts a round. A device with another name or address has other series.
func (s *State) begin(dev Identity, r *Reading) {
	if s.blocks == nil {
		s.blocks = make(map[*Block]*blockState)
		s.seed = maphash.MakeSeed()
	}
	if s.round++; s.dev != dev {
		s.dev = dev
		s.epoch++
	}
	s.clock.tick(r)
}

// tick moves the clock on to a reading.
func (c *clock) tick(r *Reading) {
	up := r.Scalars[sysUpTime]
	told := up.Kind == Unsigned
	c.alive = told && c.known && up.Uint != c.ticks
	c.frozen = told && c.known && up.Uint == c.ticks
	if c.now == 0 {
		c.now = 1
	} else {
		c.now += c.since(r.Stamp, up.Uint)
	}
	c.stamp = r.Stamp
	if told {
		c.ticks, c.known, c.told = up.Uint, true, c.now
	}
	if c.now-c.told > absenceFloor {
		c.known = false // it is told no more
	}
	c.blind = !told && c.known
}

// since is the time from the last poll. Over a restart of this machine the
// device's own clock tells it best; ours may have stood still or be wrong.
func (c *clock) since(now probes.Stamp, ticks uint64) time.Duration {
	switch {
	case now.Boot == c.stamp.Boot:
		return max(now.Uptime-c.stamp.Uptime, 0)
	case c.alive:
		return time.Duration(uint32(ticks-c.ticks)) * 10 * time.Millisecond
	case now.Guess || c.stamp.Guess || now.Wall < c.stamp.Wall:
		return unknownTime
	}
	return min(time.Duration(now.Wall-c.stamp.Wall)*time.Millisecond, unknownTime)
}

func (s *State) block(b *Block) *blockState {
	bs := s.blocks[b]
	if bs == nil {
		bs = &blockState{rows: make(map[string]*row)}
		for i := range b.Metrics {
			if b.Metrics[i].Type == probes.Count {
				bs.sources = append(bs.sources, &b.Metrics[i].Source)
			}
		}
		s.blocks[b] = bs
		for other := range s.blocks {
			s.repeat = s.repeat || b.repeats(other)
		}
	}
	if bs.epoch != s.epoch || bs.implicit == nil {
		bs.implicit, bs.epoch = implicit(b, s.dev), s.epoch
	}
	return bs
}

// repeats tells whether a metric of one block and another of the other have the
// same key and may read the same OID.
func (b *Block) repeats(other *Block) bool {
	for i := range b.Metrics {
		for j := range other.Metrics {
			x, y := &b.Metrics[i], &other.Metrics[j]
			if x != y && x.Key == y.Key && x.Type == y.Type && x.Source.overlaps(&y.Source) {
				return true
			}
		}
	}
	return false
}

func (s *Source) overlaps(other *Source) bool {
	for oid := range s.oids() {
		for same := range other.oids() {
			if oid == same {
				return true
			}
		}
	}
	return false
}

// counts tells whether the block has a counter.
func (b *Block) counts() bool {
	for i := range b.Metrics {
		if b.Metrics[i].Type == probes.Count {
			return true
		}
	}
	return false
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
