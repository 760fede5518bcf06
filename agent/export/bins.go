package export

import (
	"math"
	"math/bits"
	"time"
)

// Cell sums up the values of one stretch of time. N is 0 where there are none.
type Cell struct {
	Min, Max, Sum float64
	N             int64
}

// Mean is the mean value of the cell. The sum of the greatest floats is none;
// then it is the end of the range that the sum has left.
func (c Cell) Mean() float64 {
	mean := c.Sum / float64(c.N)
	if math.IsNaN(mean) {
		return c.Min/2 + c.Max/2
	}
	return max(c.Min, min(mean, c.Max))
}

func (c *Cell) add(o Cell) {
	switch {
	case o.N == 0:
	case c.N == 0:
		*c = o
	default:
		c.Min, c.Max = min(c.Min, o.Min), max(c.Max, o.Max)
		c.Sum, c.N = c.Sum+o.Sum, c.N+o.N
	}
}

// bins are cells of one width that cover all times met so far. When they would
// become too many the width doubles, so that memory stays bounded whatever the
// times are. The borders are multiples of the width, so that bins of different
// widths can be brought to the wider one.
type bins struct {
	limit int
	width int64 // milliseconds
	first int64 // number of the first cell: it begins at first * width
	cells []Cell
	steps [bits.UintSize]uint32 // how often times were so far apart, by the bits of the distance in ms
	last  int64
}

const leastWidth = 1000 // ms

func newBins(limit int) *bins { return &bins{limit: limit, width: leastWidth} }

func (b *bins) add(ms int64, c Cell) {
	if len(b.cells) > 0 && ms > b.last {
		b.steps[bits.Len64(uint64(ms-b.last))%len(b.steps)]++
	}
	b.last = ms
	b.reach(ms)
	b.cells[floorDiv(ms, b.width)-b.first].add(c)
}

// reach makes the cells cover a time.
func (b *bins) reach(ms int64) {
	for {
		at := floorDiv(ms, b.width)
		if len(b.cells) == 0 {
			b.first, b.cells = at, append(b.cells, Cell{})
			return
		}
		end := max(b.first+int64(len(b.cells)), at+1)
		begin := min(b.first, at)
		if end-begin <= int64(b.limit) {
			b.extend(begin, end)
			return
		}
		b.double()
	}
}

func (b *bins) extend(begin, end int64) {
	if begin == b.first && end == b.first+int64(len(b.cells)) {
		return
	}
	if before := b.first - begin; before > 0 {
		b.cells = append(make([]Cell, before, b.limit), b.cells...)
		b.first = begin
	}
	for int64(len(b.cells)) < end-begin {
		b.cells = append(b.cells, Cell{})
	}
}

func (b *bins) double() {
	first := floorDiv(b.first, 2)
	n := 0
	for i, c := range b.cells {
		at := int(floorDiv(b.first+int64(i), 2) - first)
		if at == n {
			b.cells[n] = Cell{}
			n++
		}
		b.cells[at].add(c)
	}
	b.cells, b.first, b.width = b.cells[:n], first, b.width*2
}

// widen doubles the width until it is that one.
func (b *bins) widen(width int64) {
	for b.width < width {
		b.double()
	}
}

// usual is the distance of two points that is not taken for a gap: twice the
// one that was met most.
func (b *bins) usual() time.Duration {
	most := 0
	for i, n := range b.steps {
		if n > b.steps[most] {
			most = i
		}
	}
	if b.steps[most] == 0 {
		return 0
	}
	return 2 * time.Duration(int64(1)<<most) * time.Millisecond
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
