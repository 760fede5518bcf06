package drain

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// folded is one line's worth of points: one point, and the indexes of those it
// was made of.
type folded struct {
	point   probes.Point
	from    []int32
	summary probes.Summary // of point, if it is one of several gauges
}

// fold makes one point of all points that a series has in one period, aligned
// to 1970: gauges become statistics, deltas add up. A point that is alone
// stays as it is. The result has the order of the first of each, the stamp of
// the last, and each index of points once; it lies in dst, and holds until
// that is used again.
//
// What cannot be put together without a loss is kept apart and becomes a line
// of its own: an invalid value, sums that no number holds, whole numbers beyond
// 53 bits beside fractions.
func fold(dst []folded, points []probes.Point, period time.Duration) []folded {
	dst = dst[:0]
	if period < time.Millisecond {
		for i := range points {
			dst = appendFolded(dst, points[i], i)
		}
		return dst
	}
	slots := newSlots(len(points))
	for i := range points {
		p := &points[i]
		if !foldable(p) {
			dst = appendFolded(dst, *p, i)
			continue
		}
		slot := slots.find(slotHash(p, period), func(at int32) bool { return together(&dst[at].point, p, period) })
		if *slot == 0 || !dst[*slot-1].take(p, i) {
			dst = appendFolded(dst, *p, i)
			*slot = int32(len(dst))
		}
	}
	for i := range dst {
		if f := &dst[i]; f.summary.Count > 0 {
			f.point.Value = probes.SummarizeAt(&f.summary)
		}
	}
	return dst
}

// appendFolded uses the memory of an element that was there before.
func appendFolded(dst []folded, p probes.Point, i int) []folded {
	if len(dst) < cap(dst) {
		dst = dst[:len(dst)+1]
	} else {
		dst = append(dst, folded{})
	}
	f := &dst[len(dst)-1]
	f.point, f.from, f.summary = p, append(f.from[:0], int32(i)), probes.Summary{}
	return dst
}

func foldable(p *probes.Point) bool {
	return p.Value.Check() == nil && !(p.Series.Type() == probes.Count && p.Value.Form() == probes.FormSummary)
}

// take adds a point, if nothing is lost by it.
func (f *folded) take(p *probes.Point, i int) bool {
	if p.Series.Type() == probes.Count {
		sum, ok := sumOf(f.point.Value, p.Value)
		if !ok {
			return false
		}
		f.point.Value = sum
	} else {
		a := f.summary
		if a.Count == 0 {
			a = f.point.Value.Summary()
		}
		merged, ok := merge(a, p.Value.Summary())
		if !ok {
			return false
		}
		f.summary = merged
	}
	f.from = append(f.from, int32(i))
	if p.Stamp.Wall >= f.point.Stamp.Wall {
		f.point.Stamp = p.Stamp
	}
	return true
}

// merge puts two statistics together. It is not ok where a sum is beyond what
// a line can hold.
func merge(a, b probes.Summary) (probes.Summary, bool) {
	m := probes.Summary{Min: min(a.Min, b.Min), Max: max(a.Max, b.Max), Sum: a.Sum + b.Sum, Count: a.Count + b.Count}
	return m, !math.IsInf(m.Sum, 0) && m.Count >= a.Count && m.Count <= math.MaxInt64
}

// sumOf adds two deltas exactly; it is not ok where that cannot be.
func sumOf(a, b probes.Value) (probes.Value, bool) {
	if a.Form() == probes.FormFloat || b.Form() == probes.FormFloat {
		sum := a.Float64() + b.Float64()
		return probes.Float(sum), inFloat(a) && inFloat(b) && !math.IsInf(sum, 0)
	}
	alo, ahi := wide(a)
	blo, bhi := wide(b)
	lo, carry := bits.Add64(alo, blo, 0)
	hi, _ := bits.Add64(ahi, bhi, carry)
	unsigned := a.Form() == probes.FormUint || b.Form() == probes.FormUint
	switch {
	case hi == 0 && (unsigned || lo > math.MaxInt64):
		return probes.Uint(lo), true
	case hi == 0, hi == math.MaxUint64 && lo > math.MaxInt64:
		return probes.Int(int64(lo)), true
	}
	return probes.Value{}, false
}

// inFloat tells a value that a float holds exactly.
func inFloat(v probes.Value) bool {
	const exact = 1 << 53
	switch v.Form() {
	case probes.FormInt:
		return v.Int64() >= -exact && v.Int64() <= exact
	case probes.FormUint:
		return v.Uint64() <= exact
	}
	return true
}

// wide is a whole number in 128 bits, two's complement.
func wide(v probes.Value) (lo, hi uint64) {
	if v.Form() == probes.FormInt {
		return uint64(v.Int64()), uint64(v.Int64() >> 63)
	}
	return v.Uint64(), 0
}

// together reports whether two points are of one series and period. Stamps
// that are guesses tell no time across boots.
func together(a, b *probes.Point, period time.Duration) bool {
	if periodOf(a, period) != periodOf(b, period) || a.Stamp.Guess != b.Stamp.Guess || a.Stamp.Guess && a.Stamp.Boot != b.Stamp.Boot {
		return false
	}
	return a.Series == b.Series || a.Series.ID() == b.Series.ID()
}

// periodOf numbers the period of a point, before 1970 too.
func periodOf(p *probes.Point, period time.Duration) int64 {
	ms := period.Milliseconds()
	n := p.Stamp.Wall / ms
	if p.Stamp.Wall%ms < 0 {
		n--
	}
	return n
}

func slotHash(p *probes.Point, period time.Duration) uint64 {
	id := p.Series.ID() // a digest, and so well mixed
	return binary.LittleEndian.Uint64(id[:]) + uint64(periodOf(p, period))*0x9e3779b97f4a7c15
}

// slots is a hash table of indexes plus one, 0 where nothing is. It is one piece
// of memory, whatever it holds.
type slots []int32

func newSlots(n int) slots { return make(slots, 1<<bits.Len(uint(2*n))) }

// find gives the slot of what is equal to, or the free one where it belongs.
func (s slots) find(hash uint64, equal func(at int32) bool) *int32 {
	mask := uint64(len(s) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if s[i] == 0 || equal(s[i]-1) {
			return &s[i]
		}
	}
}
