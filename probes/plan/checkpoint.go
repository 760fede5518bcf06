package plan

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	checkpointFormat = 2
	maxCheckpoint    = 64 << 20 // bytes

	// After so many polls the baselines of an earlier run are forgotten whose rows
	// did not come.
	forgetEarlierAfter = 60
)

var errCheckpoint = errors.New("the counter baselines are damaged or of another version")

// Bits of the flags that a checkpoint holds.
const (
	flagGuess = 1 << iota
	flagTold
	flagNarrow
	flagDisturbable
)

// columnKey names a column at an interval, by sums of their names. Intervals
// are kept apart: each has baselines of its own, so that one does not eat the
// delta of another.
func columnKey(interval time.Duration, oid string) uint64 {
	sum := fnv(fnvOffset, oid)
	for n := uint64(interval); n > 0; n >>= 8 {
		sum = (sum ^ n&0xff) * fnvPrime
	}
	return sum
}

// baselines are the counters of many columns, by columnKey and then by the
// identity of the row.
type baselines map[uint64]map[uint64]counter

// add takes the younger of two that have one name, as those of two blocks that
// read one column: from the older one a growth would be told twice.
func (all baselines) add(column, identity uint64, c counter) {
	if all[column] == nil {
		all[column] = make(map[uint64]counter)
	}
	if other, twice := all[column][identity]; twice && other.at > c.at {
		return
	}
	all[column][identity] = c
}

// earlier are the baselines of an earlier run, until their rows come.
type earlier struct {
	counters baselines
	used     [][2]uint64 // this round: column and identity
	polls    int
}

// MarshalBinary writes the counter baselines and the time of the last poll. It never fails.
func (s *State) MarshalBinary() ([]byte, error) {
	b := []byte{checkpointFormat}
	b = append(b, s.stamp.Boot[:]...)
	b = binary.AppendUvarint(b, uint64(s.stamp.Uptime))
	b = binary.AppendVarint(b, s.stamp.Wall)
	b = append(b, flag(s.stamp.Guess, flagGuess)|flag(s.known, flagTold))
	b = binary.AppendUvarint(b, s.ticks)
	saved := s.savable()
	b = binary.AppendUvarint(b, uint64(len(saved)))
	for _, key := range slices.Sorted(maps.Keys(saved)) {
		column := saved[key]
		b = binary.LittleEndian.AppendUint64(b, key)
		b = binary.AppendUvarint(b, uint64(len(column)))
		for _, identity := range slices.Sorted(maps.Keys(column)) {
			b = s.appendCounter(binary.LittleEndian.AppendUint64(b, identity), column[identity])
		}
	}
	return b, nil
}

// appendCounter writes a counter with its age. One of an earlier life of the
// device is too old for anything but to be counted as a gap.
func (s *State) appendCounter(b []byte, c counter) []byte {
	age := min(s.now-c.at, unknownTime)
	if c.at <= s.floor {
		age = unknownTime
	}
	b = binary.AppendUvarint(b, c.last)
	b = binary.AppendUvarint(b, uint64(age))
	b = append(b, flag(c.narrow, flagNarrow)|flag(c.disturbable, flagDisturbable))
	return binary.AppendUvarint(b, uint64(c.discontinuity))
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// savable gathers the baselines of an earlier run that no row has come for, and
// those of this one.
func (s *State) savable() baselines {
	saved := make(baselines)
	for column, counters := range s.earlier.counters {
		for identity, c := range counters {
			saved.add(column, identity, c)
		}
	}
	for b, bs := range s.blocks {
		for identity, counters := range bs.aside {
			saved.addRow(b, bs, identity, counters)
		}
		for _, r := range bs.order {
			saved.addRow(b, bs, r.identity, r.counters)
		}
	}
	return saved
}

func (all baselines) addRow(b *Block, bs *blockState, identity uint64, counters []counter) {
	for i, c := range counters {
		if c.at != 0 {
			all.add(columnKey(b.Interval, bs.sources[i].oid(int(c.from))), identity, c)
		}
	}
}

// UnmarshalBinary takes the baselines that MarshalBinary wrote, in place of
// those it has. After an error the State is as it was.
func (s *State) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != checkpointFormat || len(b) > maxCheckpoint {
		return errCheckpoint
	}
	r := checkpointReader{rest: b[1:]}
	stamp := probes.Stamp{Boot: probes.BootID(r.bytes(len(probes.BootID{}))), Uptime: time.Duration(r.number() & math.MaxInt64), Wall: r.signed()}
	flags := r.bytes(1)[0]
	stamp.Guess = flags&flagGuess != 0
	ticks := r.number()
	counters := r.counters()
	if r.bad || len(r.rest) > 0 {
		return errCheckpoint
	}
	s.blocks = nil
	s.clock = clock{now: unknownTime + 1, stamp: stamp, ticks: ticks, known: flags&flagTold != 0, told: unknownTime + 1}
	s.earlier = earlier{counters: counters}
	return nil
}

// restore gives a row the counters of an earlier run.
func (s *State) restore(b *Block, bs *blockState, r *row) {
	if len(s.earlier.counters) == 0 {
		return
	}
	for i, source := range bs.sources {
		nth := 0
		for oid := range source.oids() {
			column := columnKey(b.Interval, oid)
			if c, ok := s.earlier.counters[column][r.identity]; ok && nth <= math.MaxUint8 {
				c.from = uint8(nth)
				r.counters[i] = c
				s.earlier.used = append(s.earlier.used, [2]uint64{column, r.identity})
				break
			}
			nth++
		}
	}
}

// forgetEarlier forgets what its rows have taken, so that none takes it again,
// the rows that are gone, and in the end the rest.
func (p *poll) forgetEarlier(blocks []*Block) {
	e := &p.state.earlier
	if e.counters == nil {
		return
	}
	for _, key := range e.used {
		delete(e.counters[key[0]], key[1])
	}
	e.used = nil
	for _, b := range blocks {
		if bs := p.state.blocks[b]; !bs.unread {
			p.forgetColumns(b, bs)
		}
	}
	if e.polls++; len(e.counters) == 0 || e.polls > forgetEarlierAfter {
		e.counters = nil
	}
}

// forgetColumns forgets the saved counters of the columns that were read to
// their end.
func (p *poll) forgetColumns(b *Block, bs *blockState) {
	for _, source := range bs.sources {
		for oid := range source.oids() {
			if p.conclusive(oid) {
				delete(p.state.earlier.counters, columnKey(b.Interval, oid))
			}
		}
	}
}

// checkpointReader takes parts off the front; once bad it gives zeros.
type checkpointReader struct {
	rest []byte
	bad  bool
}

func (r *checkpointReader) fail() {
	r.bad, r.rest = true, nil
}

func (r *checkpointReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *checkpointReader) signed() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *checkpointReader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail()
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// counters reads the baselines. A column takes nine bytes at least and one of
// its counters twelve, so damage cannot ask for more memory than the input has.
func (r *checkpointReader) counters() baselines {
	n := r.count(9)
	all := make(baselines, n)
	var before uint64
	for i := range n {
		key := r.key(i == 0, before)
		before = key
		rows := r.count(12)
		column := make(map[uint64]counter, rows)
		var above uint64
		for j := range rows {
			above = r.key(j == 0, above)
			column[above] = r.counter()
		}
		if len(column) == 0 {
			r.fail()
		}
		all[key] = column
	}
	return all
}

// count reads how many parts of at least size bytes follow.
func (r *checkpointReader) count(size uint64) uint64 {
	n := r.number()
	if n > uint64(len(r.rest))/size {
		r.fail()
		return 0
	}
	return n
}

// key reads a key that is larger than the one before.
func (r *checkpointReader) key(first bool, before uint64) uint64 {
	key := binary.LittleEndian.Uint64(r.bytes(8))
	if !first && key <= before {
		r.fail()
	}
	return key
}

func (r *checkpointReader) counter() counter {
	c := counter{last: r.number()}
	age := r.number()
	flags := r.bytes(1)[0]
	discontinuity := r.number()
	if age > uint64(unknownTime) || discontinuity > math.MaxUint32 {
		r.fail()
		return counter{}
	}
	c.at = unknownTime + 1 - time.Duration(age)
	c.narrow, c.disturbable = flags&flagNarrow != 0, flags&flagDisturbable != 0
	c.discontinuity = uint32(discontinuity)
	return c
}
