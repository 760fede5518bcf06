package plan

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	exposedFormat = 1

	// maxExposedSeries is how many series a state remembers beside those of the
	// last scrape: where labels change with every scrape all of them would add up.
	maxExposedSeries = 20_000
)

// share finds the samples that make one series, which happens where a declared
// dimension covers a label. One sample that two metrics make the same series of
// counts once.
func (s *ExposedState) share() {
	type made struct {
		series [16]byte
		origin uint64
	}
	first := make(map[[16]byte]*probes.Series, len(s.series))
	before := make(map[made]bool, len(s.series))
	s.shared = false
	for _, id := range slices.Sorted(maps.Keys(s.series)) {
		e := s.series[id]
		if e.series == nil {
			continue
		}
		this := made{e.series.ID(), e.origin}
		e.repeat = before[this]
		before[this] = true
		if other := first[this.series]; other != nil {
			e.series, s.shared = other, true
			continue
		}
		first[this.series] = e.series
	}
}

// fold leaves repeats out and makes one point of those of one series.
func (x *exposure) fold() {
	points := x.points[:0]
	for i, p := range x.points {
		if !x.makers[i].repeat {
			points = append(points, p)
		}
	}
	x.points, x.notes.Folded = probes.Fold(points)
}

// room makes room for a series: where it must be, those that the last scrape did
// not have go.
func (s *ExposedState) room(bytes int64) bool {
	if s.Memory.Try(bytes) {
		return true
	}
	if s.tidied == s.round {
		return false
	}
	s.tidied = s.round
	for id, e := range s.series {
		if e.round+1 < s.round {
			s.drop(id, e)
		}
	}
	return s.Memory.Try(bytes)
}

func (s *ExposedState) drop(id uint64, e *exposedSeries) {
	delete(s.series, id)
	s.Memory.Give(e.size)
}

// forget forgets the series that were not seen for so long that a growth would
// not be told, and those of an earlier run.
func (s *ExposedState) forget(interval time.Duration) {
	extra := 0
	for id, e := range s.series {
		if e.round == s.round {
			continue
		}
		if extra++; extra > maxExposedSeries || s.now-e.seen > absenceAfter(interval) {
			s.drop(id, e)
		}
	}
	for id, c := range s.earlier {
		if s.now-c.at > absenceAfter(interval) {
			delete(s.earlier, id)
		}
	}
}

// MarshalBinary writes the counter baselines and the time of the last scrape. It
// never fails.
func (s *ExposedState) MarshalBinary() ([]byte, error) {
	saved := maps.Clone(s.earlier)
	if saved == nil {
		saved = make(map[uint64]exposedCounter)
	}
	for id, e := range s.series {
		if e.counter.at != 0 && e.counter.life == s.life {
			saved[id] = e.counter
		}
	}
	b := []byte{exposedFormat}
	b = append(b, s.stamp.Boot[:]...)
	b = binary.AppendUvarint(b, uint64(s.stamp.Uptime))
	b = binary.AppendVarint(b, s.stamp.Wall)
	b = append(b, flag(s.stamp.Guess, flagGuess))
	b = appendFloat(b, s.start)
	b = binary.AppendUvarint(b, uint64(len(saved)))
	for _, id := range slices.Sorted(maps.Keys(saved)) {
		c := saved[id]
		b = binary.LittleEndian.AppendUint64(b, id)
		b = appendFloat(appendFloat(b, c.value), c.created)
		b = binary.AppendUvarint(b, uint64(min(s.now-c.at, unknownTime)))
	}
	return b, nil
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

// UnmarshalBinary takes the baselines that MarshalBinary wrote, in place of
// those it has. After an error the state is as it was.
func (s *ExposedState) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != exposedFormat || len(b) > maxCheckpoint {
		return errCheckpoint
	}
	r := checkpointReader{rest: b[1:]}
	stamp := probes.Stamp{Boot: probes.BootID(r.bytes(len(probes.BootID{}))), Uptime: time.Duration(r.number() & math.MaxInt64), Wall: r.signed()}
	stamp.Guess = r.bytes(1)[0]&flagGuess != 0
	start := r.float()
	n := r.count(25)
	earlier := make(map[uint64]exposedCounter, n)
	var before uint64
	for i := range n {
		before = r.key(i == 0, before)
		c := exposedCounter{value: r.float(), created: r.float()}
		age := r.number()
		if age > uint64(unknownTime) {
			r.fail()
			break
		}
		c.at = unknownTime + 1 - time.Duration(age)
		earlier[before] = c
	}
	if r.bad || len(r.rest) > 0 {
		return errCheckpoint
	}
	for _, e := range s.series {
		s.Memory.Give(e.size)
	}
	*s = ExposedState{
		Constants: s.Constants, Memory: s.Memory, start: start, earlier: earlier,
		clock: clock{now: unknownTime + 1, stamp: stamp, told: unknownTime + 1},
	}
	return nil
}

// float reads a number that is one.
func (r *checkpointReader) float() float64 {
	f := math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		r.fail()
		return 0
	}
	return f
}
