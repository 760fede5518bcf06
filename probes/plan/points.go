package plan

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// Notes is what a poll's status and log should say beside its points.
type Notes struct {
	Folded   int       // points that another point of the same series took in
	Gaps     int       // counters that gave no delta though they were read before: the sum of GapsBy
	GapsBy   GapCounts // by reason
	Filtered int       // rows left out by a filter
	Numbers  int       // metrics on rows that the device gave a number for, deltas or not
	Skipped  []string  // OIDs of metrics that gave no usable number, sorted, each once
}

// Points makes the points of the blocks that were due, all with the stamp of
// the reading. Counters become deltas from the State's last reading. A metric
// without a cell gives no point: absent is not zero.
func Points(blocks []*Block, dev Identity, r Reading, s *State) ([]probes.Point, Notes) {
	s.begin(dev, &r)
	p := poll{state: s, reading: r, points: make([]probes.Point, 0, s.points)}
	p.prepare(blocks)
	for _, b := range blocks {
		s.block(b) // all of them before the first point: they may repeat each other
	}
	for _, b := range blocks {
		p.block(b)
	}
	p.forgetEarlier(blocks)
	s.points = len(p.points)
	if p.changed {
		s.twice = s.shares()
	}
	if s.twice {
		if s.repeat {
			p.dropRepeats()
		}
		p.points, p.notes.Folded = probes.Fold(p.points)
	}
	p.notes.Gaps = p.notes.GapsBy.Sum()
	slices.Sort(p.notes.Skipped)
	p.notes.Skipped = slices.Compact(p.notes.Skipped)
	return p.points, p.notes
}

// poll is one call of Points.
type poll struct {
	state   *State
	reading Reading
	points  []probes.Point
	notes   Notes
	origins []origin // by point, where metrics repeat
	changed bool     // there is a new series

	// Of the block at hand.
	dims          []lookup
	metrics       []metricLookup
	answers       []answer
	speed         map[string]Cell
	discontinuity map[string]Cell
	base          uint64 // sum of the dimensions that all rows have
	grown         bool   // there are new rows
	seekers       int

	key     []byte // scratch
	texts   []string
	scratch []probes.Dimension
}

// origin is the cell that a point came from.
type origin struct {
	source *Source
	row    *row
	nth    int // which OID of the source
}

// prepare makes room for the largest of the blocks.
func (p *poll) prepare(blocks []*Block) {
	dims, metrics := 0, 0
	for _, b := range blocks {
		dims, metrics = max(dims, len(b.Dims)), max(metrics, len(b.Metrics))
	}
	p.dims = make([]lookup, 0, dims)
	p.metrics = make([]metricLookup, 0, metrics)
	p.answers = make([]answer, 0, dims+2*metrics)
}

func (p *poll) block(b *Block) {
	bs := p.state.block(b)
	p.answers = p.answers[:0]
	p.resolve(b)
	if b.Table {
		p.findRows(b, bs)
	} else if p.answered(b) {
		p.touch(bs, "")
	}
	p.refreshRows(b, bs)
	for _, r := range bs.order {
		switch {
		case r.round != p.state.round || r.unread:
		case !r.matches:
			p.notes.Filtered++
		default:
			p.row(b, r)
		}
	}
	p.sweepRows(b, bs)
}

// answered tells whether a scalar block has anything to say: one of its own
// scalars was answered or, where it has none, anything at all.
func (p *poll) answered(b *Block) bool {
	own := false
	for s := range b.sources() {
		if s.Kind == FromScalar {
			own = true
			if c, _ := p.scalar(s); c.Kind != Absent {
				return true
			}
		}
	}
	return !own && (len(p.reading.Scalars) > 0 || len(p.reading.Columns) > 0)
}

func (p *poll) row(b *Block, r *row) {
	next := 0
	for i := range b.Metrics {
		m := &b.Metrics[i]
		var c *counter
		if m.Type == probes.Count {
			c = &r.counters[next]
			next++
		}
		if !m.on(b, r.index) {
			continue
		}
		v, nth, ok := p.value(b, r, i, c)
		if !ok {
			continue
		}
		if r.series[i] == nil {
			r.series[i] = probes.NewSeriesOf(m.Key, m.Type, r.dims)
			p.changed = true
		}
		if p.state.repeat {
			p.origins = append(p.origins, origin{&m.Source, r, nth})
		}
		p.points = append(p.points, probes.Point{Series: r.series[i], Value: v, Stamp: p.reading.Stamp})
	}
}

// on tells whether a metric speaks on a row: in a table block a scalar speaks
// once, on the row without an index, and everything else on the other rows.
func (m *Metric) on(b *Block, index string) bool {
	return !b.Table || (m.Source.Kind == FromScalar) == (index == "")
}

// value gives the value of the ith metric on a row and which OID it is of,
// false where there is none. c is its counter.
func (p *poll) value(b *Block, r *row, i int, c *counter) (v probes.Value, nth int, ok bool) {
	m, l := &b.Metrics[i], &p.metrics[i]
	if m.Source.Kind == FromConst {
		v, ok = Number(m.Source.Text)
		p.heed(ok, "")
		return v, 0, ok
	}
	cell, nth := p.find(&l.lookup, r.index)
	switch {
	case cell.Kind == Absent && c != nil:
		p.missed(c, &m.Source)
		return probes.Value{}, 0, false
	case cell.Kind == Absent:
		return probes.Value{}, 0, false
	case c != nil:
		v, ok = p.count(b, r, &counted{metric: m, counter: c, cell: cell, nth: nth, plain: l.plain})
		return v, nth, ok
	case l.plain:
		v, ok = cell.gauge()
		p.heed(ok, m.Source.oid(nth))
		return v, nth, ok
	}
	shift, ok := p.shift(l, r.index)
	if !ok {
		return probes.Value{}, 0, false
	}
	conversion, ok := p.inUnits(&m.Number, l, r.index)
	if !ok {
		return probes.Value{}, 0, false
	}
	v, said := conversion.gauge(cell, shift)
	p.heed(said != unusable, m.Source.oid(nth))
	return v, nth, said == number
}

// shift is the power of ten of a row's scale and precision, false where they
// could not be read.
func (p *poll) shift(l *metricLookup, index string) (int, bool) {
	if l.scale == nil && l.precision == nil {
		return 0, true
	}
	var cells [2]Cell
	for i, part := range []*lookup{l.scale, l.precision} {
		if part == nil {
			continue
		}
		if cells[i], _ = p.find(part, index); cells[i].Kind == Absent && p.reading.Partial[part.source.OID] {
			return 0, false
		}
	}
	return scaleShift(cells[0], cells[1]), true
}

// counted is the reading of a metric that counts.
type counted struct {
	metric  *Metric
	counter *counter
	cell    Cell
	nth     int // the OID it is of
	plain   bool
}

// count is the growth of a counter, false where there is none to tell.
func (p *poll) count(b *Block, r *row, c *counted) (probes.Value, bool) {
	m := c.metric
	if !c.plain {
		var said verdict
		if c.cell, said = m.Number.numeric(c.cell); said != number {
			p.heed(said == none, m.Source.oid(c.nth))
			return probes.Value{}, false
		}
	}
	n, ok := c.cell.counter()
	p.heed(ok, m.Source.oid(c.nth))
	if !ok || p.awaits(c.counter, &m.Source, c.nth) || p.state.blind && c.counter.at != 0 {
		return probes.Value{}, false
	}
	now := sample{metric: m, interval: b.Interval}
	now.last, now.at = n, p.state.now
	now.from, now.narrow = uint8(min(c.nth, math.MaxUint8)), c.cell.Kind == Counter32
	p.surroundings(b, r, &now)
	delta, ok := p.advance(c.counter, &now)
	if !ok || c.plain {
		return probes.Uint(delta), ok
	}
	return m.Number.count(delta)
}

// heed notes whether the device gave a number.
func (p *poll) heed(ok bool, oid string) {
	if ok {
		p.notes.Numbers++
	} else {
		p.notes.Skipped = append(p.notes.Skipped, oid)
	}
}

// dropRepeats leaves one point of a series and a cell, where a package names a
// metric twice: folded, its delta would be twice what it is.
func (p *poll) dropRepeats() {
	type use struct {
		series     [16]byte
		oid, index string
	}
	used := make(map[use]bool, len(p.points))
	kept := p.points[:0]
	for i, point := range p.points {
		o := p.origins[i]
		if oid := o.source.oid(o.nth); oid != "" {
			u := use{point.Series.ID(), oid, o.row.index}
			if used[u] {
				continue
			}
			used[u] = true
		}
		kept = append(kept, point)
	}
	p.points = kept
}

// shares tells whether two rows or metrics have one series.
func (s *State) shares() bool {
	var ids [][16]byte
	for _, bs := range s.blocks {
		for _, r := range bs.order {
			ids = r.appendIDs(ids)
		}
	}
	all := len(ids)
	slices.SortFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return len(slices.Compact(ids)) < all
}

// appendIDs adds the ids of the series that the row has so far.
func (r *row) appendIDs(ids [][16]byte) [][16]byte {
	for _, series := range r.series {
		if series != nil {
			ids = append(ids, series.ID())
		}
	}
	return ids
}

// Number reads the number of a constant metric; false where text is none.
func Number(text string) (probes.Value, bool) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return probes.Int(i), true
	}
	f, err := strconv.ParseFloat(text, 64)
	return probes.Float(f), err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// gauge is the cell as it is, false where it is no finite number.
func (c Cell) gauge() (probes.Value, bool) {
	switch c.Kind {
	case Integer:
		return probes.Int(c.Int), true
	case Unsigned, Counter32, Counter64:
		return probes.Uint(c.Uint), true
	case Real:
		return probes.Float(c.Float), !math.IsNaN(c.Float) && !math.IsInf(c.Float, 0)
	}
	return probes.Value{}, false
}

// counter is the cell as an unsigned integer, false where it is none.
func (c Cell) counter() (uint64, bool) {
	switch c.Kind {
	case Integer:
		return uint64(c.Int), c.Int >= 0
	case Unsigned, Counter32, Counter64:
		return c.Uint, true
	}
	return 0, false
}

// text is the cell as the value of a dimension, "" where it is absent.
func (d *Dim) text(c Cell) string {
	if d.Show != nil && d.Enum == nil {
		if text, ok := d.Show(c); ok {
			return text
		}
	}
	switch c.Kind {
	case Integer:
		if name, ok := d.Enum[c.Int]; ok {
			return name
		}
		return strconv.FormatInt(c.Int, 10)
	case Unsigned, Counter32, Counter64:
		if name, ok := d.Enum[int64(c.Uint)]; ok {
			return name
		}
		return strconv.FormatUint(c.Uint, 10)
	case Real:
		return strconv.FormatFloat(c.Float, 'g', -1, 64)
	case Text:
		return c.Text
	case Octets:
		return render(c.Text, d.Source.Form, d.Enum)
	}
	return ""
}

// textOf is the value of the dimension: its cell, or what it names as by says.
func (d *Dim) textOf(c, by Cell) string {
	text := ""
	if n := &d.Source.Naming; n.set() {
		text = n.text(c, by)
	} else {
		text = d.text(c)
	}
	if text == "" {
		return ""
	}
	return d.Prefix + text
}

// compareIndex orders row indices as OIDs are ordered, arc by arc.
func compareIndex(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
