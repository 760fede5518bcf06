package plan

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// Notes is what a poll's status and log should say beside its points.
type Notes struct {
	Folded   int      // points that another point of the same series took in
	Gaps     int      // counters that went back and so gave no delta
	Filtered int      // rows left out by a filter
	Numbers  int      // metrics on rows that the device gave a number for, deltas or not
	Skipped  []string // OIDs of metrics that gave no usable number, sorted, each once
}

// Points makes the points of the blocks that were due, all with the stamp of
// the reading. Counters become deltas from the State's last reading. A metric
// without a cell gives no point: absent is not zero.
func Points(blocks []*Block, dev Identity, r Reading, s *State) ([]probes.Point, Notes) {
	s.begin(dev)
	p := poll{state: s, reading: r, points: make([]probes.Point, 0, s.emitted)}
	for _, b := range blocks {
		p.block(b)
	}
	for _, b := range blocks {
		s.sweepCounters(b, r)
	}
	s.emitted = len(p.points)
	if p.twice {
		p.points, p.notes.Folded = probes.Fold(p.points)
	}
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
	twice   bool // a series had two points
	used    map[use]bool
}

func (p *poll) block(b *Block) {
	bs := p.state.block(b)
	p.state.order = p.state.order[:0]
	if b.Table {
		p.findRows(b, bs)
	} else if p.answered(b) {
		p.touch(bs, "")
	}
	order := p.state.order
	slices.SortFunc(order, func(x, y *row) int { return compareIndex(x.index, y.index) })
	for _, r := range order {
		if p.unread(b, r.index) {
			p.state.keepCounters(b, r)
			continue
		}
		p.refresh(b, r)
		if !r.matches {
			p.notes.Filtered++
			continue
		}
		p.row(b, bs, r)
	}
	p.state.sweepRows(bs, len(order))
}

// unread tells whether a dimension of the row is unknown because reading it
// failed. Without it the row would come out as another series.
func (p *poll) unread(b *Block, index string) bool {
	if len(p.reading.Partial) == 0 {
		return false
	}
	for i := range b.Dims {
		s := &b.Dims[i].Source
		for oid := range s.oids() {
			c := p.reading.Scalars[oid]
			if s.Kind == FromColumn {
				c = p.reading.Columns[oid][index]
			}
			if c.says() {
				break
			}
			if c.Kind == Absent && p.reading.Partial[oid] {
				return true
			}
		}
	}
	return false
}

// answered tells whether a scalar block has anything to say: one of its own
// scalars was answered or, where it has none, anything at all.
func (p *poll) answered(b *Block) bool {
	own := false
	for s := range b.sources() {
		if s.Kind == FromScalar {
			own = true
			if c, _ := p.find(s, ""); c.Kind != Absent {
				return true
			}
		}
	}
	return !own && (len(p.reading.Scalars) > 0 || len(p.reading.Columns) > 0)
}

// findRows touches every row of a table block: those of its metric columns,
// and with a constant metric also those of its dimension columns. Scalar
// metrics of a table block make one row without an index.
func (p *poll) findRows(b *Block, bs *blockState) {
	constant := false
	for i := range b.Metrics {
		m := &b.Metrics[i]
		constant = constant || m.Source.Kind == FromConst
		if m.Source.Kind == FromScalar {
			p.touch(bs, "")
		}
		p.touchColumns(bs, &m.Source)
	}
	if !constant {
		return
	}
	for i := range b.Dims {
		p.touchColumns(bs, &b.Dims[i].Source)
	}
}

func (p *poll) touchColumns(bs *blockState, s *Source) {
	if s.Kind != FromColumn {
		return
	}
	for oid := range s.oids() {
		for index, c := range p.reading.Columns[oid] {
			if c.Kind != Absent {
				p.touch(bs, index)
			}
		}
	}
}

func (p *poll) touch(bs *blockState, index string) {
	r := bs.rows[index]
	if r == nil {
		r = &row{index: index}
		bs.rows[index] = r
	}
	if r.round != p.state.round {
		r.round = p.state.round
		p.state.order = append(p.state.order, r)
	}
}

// refresh reads the dimensions of a row. Only where one changed are the
// filters asked again and the series made anew.
func (p *poll) refresh(b *Block, r *row) {
	cells := p.state.cells[:0]
	for i := range b.Dims {
		c, _ := p.find(&b.Dims[i].Source, r.index)
		cells = append(cells, c)
	}
	p.state.cells = cells
	if r.series != nil && slices.Equal(cells, r.cells) {
		return
	}
	p.state.release(r)
	r.cells = append(r.cells[:0], cells...)
	r.counter = counterKey(b, r)
	r.series = make([]*shared, len(b.Metrics))
	r.matches = true
	for i := range b.Dims {
		d := &b.Dims[i]
		if !d.Filter.Match(d.text(cells[i])) {
			r.matches = false
		}
	}
}

func (p *poll) row(b *Block, bs *blockState, r *row) {
	for i := range b.Metrics {
		m := &b.Metrics[i]
		if !m.on(b, r.index) {
			continue
		}
		v, oid, ok := p.value(b, m, r)
		if !ok {
			continue
		}
		e := r.series[i]
		if e == nil {
			e = p.state.acquire(p.makeSeries(b, m, r, bs.implicit))
			r.series[i] = e
		}
		if p.again(use{e, oid, r.index}) {
			continue
		}
		p.twice = p.twice || e.round == p.state.round
		e.round = p.state.round
		p.points = append(p.points, probes.Point{Series: e.series, Value: v, Stamp: p.reading.Stamp})
	}
}

// use is one cell that gave a series a point.
type use struct {
	series     *shared
	oid, index string
}

// again tells whether a cell has given the series its point already, as where
// a package names a metric twice. Folded, a delta would count twice.
func (p *poll) again(u use) bool {
	if u.oid == "" {
		return false
	}
	if u.series.round != p.state.round {
		u.series.first = cellAt{u.oid, u.index}
		return false
	}
	if u.series.first == (cellAt{u.oid, u.index}) || p.used[u] {
		return true
	}
	if p.used == nil {
		p.used = make(map[use]bool)
	}
	p.used[u] = true
	return false
}

// on tells whether a metric speaks on a row: in a table block a scalar speaks
// once, on the row without an index, and everything else on the other rows.
func (m *Metric) on(b *Block, index string) bool {
	return !b.Table || (m.Source.Kind == FromScalar) == (index == "")
}

func (p *poll) makeSeries(b *Block, m *Metric, r *row, implicit []probes.Dimension) *probes.Series {
	dims := make([]probes.Dimension, 0, len(p.state.Constants)+len(b.Dims)+len(implicit))
	dims = append(dims, p.state.Constants...)
	for i := range b.Dims {
		d := &b.Dims[i]
		dims = append(dims, probes.Dimension{Key: d.Key, Value: d.text(r.cells[i])})
	}
	return probes.NewSeries(m.Key, m.Type, append(dims, implicit...)...)
}

// value gives the value of a metric on a row and the OID it is of, false where
// there is none.
func (p *poll) value(b *Block, m *Metric, r *row) (v probes.Value, oid string, ok bool) {
	if m.Source.Kind == FromConst {
		v, ok = Number(m.Source.Text)
		p.heed(ok, "")
		return v, "", ok
	}
	cell, oid := p.find(&m.Source, r.index)
	if cell.Kind == Absent {
		return probes.Value{}, "", false
	}
	if m.Type != probes.Count {
		v, ok = cell.gauge()
		p.heed(ok, oid)
		return v, oid, ok
	}
	now, ok := cell.counter()
	p.heed(ok, oid)
	if !ok {
		return probes.Value{}, "", false
	}
	v, ok = p.delta(b, m, counterCell{oid, r.counter, now})
	return v, oid, ok
}

// heed notes whether the device gave a number.
func (p *poll) heed(ok bool, oid string) {
	if ok {
		p.notes.Numbers++
	} else {
		p.notes.Skipped = append(p.notes.Skipped, oid)
	}
}

type counterCell struct {
	oid, key string
	now      uint64
}

// delta advances the counter that answered and forgets the baselines of the
// others that might have: what they counted is counted here.
func (p *poll) delta(b *Block, m *Metric, c counterCell) (probes.Value, bool) {
	delta, valid, gap := p.state.advance(counterID{b.Interval, c.oid}, c.key, c.now)
	if gap {
		p.notes.Gaps++
	}
	for oid := range m.Source.oids() {
		if oid != c.oid {
			delete(p.state.counters[counterID{b.Interval, oid}], c.key)
		}
	}
	return probes.Uint(delta), valid
}

// find reads a source on a row: the first of its OIDs that gave something. It
// tells which one that was.
func (p *poll) find(s *Source, index string) (Cell, string) {
	switch s.Kind {
	case FromConst:
		return Cell{Kind: Text, Text: s.Text}, ""
	case FromDeviceAddress:
		return Cell{Kind: Text, Text: p.state.dev.Address}, ""
	case FromDevicePort:
		return Cell{Kind: Unsigned, Uint: uint64(p.state.dev.Port)}, ""
	}
	for oid := range s.oids() {
		c := p.reading.Scalars[oid]
		if s.Kind == FromColumn {
			c = p.reading.Columns[oid][index]
		}
		if c.says() {
			return c, oid
		}
	}
	return Cell{}, ""
}

// says tells whether a cell holds anything; an empty text does not.
func (c Cell) says() bool {
	return c.Kind != Absent && (c.Kind != Text && c.Kind != Octets || c.Text != "")
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
	switch c.Kind {
	case Integer:
		if name, ok := d.Enum[c.Int]; ok {
			return name
		}
		return strconv.FormatInt(c.Int, 10)
	case Unsigned, Counter32, Counter64:
		return strconv.FormatUint(c.Uint, 10)
	case Real:
		return strconv.FormatFloat(c.Float, 'g', -1, 64)
	case Text:
		return c.Text
	case Octets:
		return Readable([]byte(c.Text))
	}
	return ""
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
