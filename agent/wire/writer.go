package wire

import (
	"fmt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// Naming says how the series of a block are named, and how large it may get.
type Naming struct {
	// Numbering gives series their ids in the epoch of the block; nil: names
	// are local to the block, which brings them all.
	Numbering *Numbering
	// Known tells the ids that whoever may get the block can name; nil: none.
	Known func(id uint32) bool
	// Most is the most bytes of the block; 0: DefaultBlock.
	Most int
	// Again says that a block is made again of the very points it had: all of
	// them go in, whatever Most says.
	Again bool
}

// PointError says that the first point or entry can be in no block, whatever
// else is in it.
type PointError struct{ Err error }

// Error says why.
func (e *PointError) Error() string { return "make block: " + e.Err.Error() }

// Unwrap returns the error within.
func (e *PointError) Unwrap() error { return e.Err }

// Writer makes blocks. Its memory serves for the next one, and it learns from
// each how many points will fit. It is not safe for concurrent use.
type Writer struct {
	enc        *arc.Encoder
	codec      arc.Codec
	names      namer
	points     grouping
	lines      lines
	work, best []byte // the block that is tried, the best so far
	past       [Logs + 2]history
}

// Rest gives compressors back, which take about a megabyte each: they serve for
// names, text and entries, which come in bursts.
func (w *Writer) Rest() {
	w.names.deflate, w.lines.gzip = nil, nil
	w.codec.Rest()
}

// NewWriter makes a writer.
func NewWriter() *Writer {
	return &Writer{enc: arc.NewEncoder(), points: newGrouping()}
}

// slack is room that is kept for what a block that is made again may take more.
const slack = 1 << 10

// AppendPoints appends to dst a block of as many of the points, from the first
// on, as fit; at least one. Kind, Count, First, Last, Guess and Local of the
// header are filled in, and Codec where it is 0. The points keep their order.
// What is taken also fits, with the names of all its series, in a block of
// MaxBlock, so that the block can be made again for a reader that knows none.
// The error is a *PointError where the first point is to blame.
func (w *Writer) AppendPoints(dst []byte, h Header, points []probes.Point, o Naming) (block []byte, taken int, err error) {
	h.Kind, h.Count, h.Local = Points, 1, false
	if h.Codec == 0 {
		h.Codec = Packed
	}
	h.First, h.Last = 0, 0
	if err := h.check(); err != nil {
		return dst, 0, fmt.Errorf("make block: %w", err)
	}
	total, err := usable(points)
	if err != nil {
		return dst, 0, &PointError{err}
	}
	h.Guess = points[0].Stamp.Guess
	j := job{total: total, most: o.most(), guess: DefaultBlock / 6, past: &w.past[0]}
	if h.Codec == Text {
		w.lines.begin()
		j.past, j.try = &w.past[Logs+1], func(n int) (fill, error) { return w.tryText(h, points, n) }
	} else {
		h.Local = o.Numbering == nil
		w.points.begin()
		j.try = func(n int) (fill, error) { return w.tryPacked(h, points[:n], o) }
	}
	return w.finish(dst, j, o.Again)
}

func (o *Naming) most() int {
	if o.Again {
		return MaxBlock
	}
	return mostOr(o.Most)
}

func mostOr(most int) int {
	if most <= 0 {
		most = DefaultBlock
	}
	return min(most, MaxBlock)
}

// finish runs the job and appends the block that it has made.
func (w *Writer) finish(dst []byte, j job, again bool) ([]byte, int, error) {
	if again {
		j.past = &history{fill: fill{j.total, 1}}
	}
	taken, err := w.fit(j)
	if err != nil {
		return dst, 0, err
	}
	if again && taken < j.total {
		return dst, 0, fmt.Errorf("make block again: only %d of its %d points fit", taken, j.total)
	}
	return append(dst, w.best...), taken, nil
}

// usable is how many of the points, from the first on, can be in one block.
func usable(points []probes.Point) (int, error) {
	for i := range points[:min(len(points), MaxPoints)] {
		p := &points[i]
		switch {
		case p.Series == nil || p.Value.Form() == 0:
			if i == 0 {
				return 0, fmt.Errorf("point has no series or no value")
			}
			return i, nil
		case p.Stamp.Guess != points[0].Stamp.Guess:
			return i, nil
		}
	}
	if len(points) == 0 {
		return 0, fmt.Errorf("there is no point")
	}
	return min(len(points), MaxPoints), nil
}

// tryPacked makes a block of the points, and tells how large it is; more where
// it would be too large with all names.
func (w *Writer) tryPacked(h Header, points []probes.Point, o Naming) (f fill, err error) {
	g := &w.points
	g.extend(points)
	groups, series := g.cut(len(points))
	ids := g.number(o.Numbering, series)
	h.Count, h.First, h.Last = len(points), groups[0].Stamp.Wall, groups[0].Stamp.Wall
	for i := range groups {
		h.First, h.Last = min(h.First, groups[i].Stamp.Wall), max(h.Last, groups[i].Stamp.Wall)
	}
	named := w.names.choose(ids, g.series[:series], o)
	b := appendHeader(w.work[:0], h)
	b = appendUvarint(b, series)
	if !h.Local {
		b = appendRuns(b, ids)
	}
	names := []byte(nil)
	if len(named.ids) > 0 {
		if names = w.names.payload(named); names == nil {
			return fill{h.Count, tooMany}, nil // fewer points have fewer names
		}
	}
	b = append(appendUvarint(b, len(names)), names...)
	w.enc.Reset()
	if b, err = w.enc.Encode(b, groups); err != nil {
		return f, fmt.Errorf("pack points: %w", err)
	}
	w.work = b
	seal(b)
	if len(named.ids) == series || o.Again {
		return fill{h.Count, len(b)}, nil
	}
	all := len(b) - len(names) + slack
	all += w.names.all(ids, g.series[:series], MaxBlock-all)
	if all > MaxBlock {
		return fill{h.Count, max(len(b), o.most()+1, o.most()*all/MaxBlock)}, nil
	}
	return fill{h.Count, len(b)}, nil
}
