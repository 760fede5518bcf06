package plan

import (
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// findRows touches every row of a table block: those of Rows or, without it,
// of its metric columns, and where a metric has no rows of its own also those
// of its dimension columns. Scalar metrics of a table block make one row
// without an index.
func (p *poll) findRows(b *Block, bs *blockState) {
	ownless := false
	for i := range b.Metrics {
		s := &b.Metrics[i].Source
		switch {
		case s.Kind == FromScalar:
			p.touch(bs, "")
		case s.Kind != FromColumn || s.Join:
			ownless = true
		case b.Rows == "":
			p.touchColumns(bs, &p.metrics[i].lookup)
		}
	}
	if b.Rows != "" {
		p.touchColumn(bs, p.reading.Columns[b.Rows])
		return
	}
	if !ownless {
		return
	}
	for i := range b.Dims {
		if !b.Dims[i].Source.Join {
			p.touchColumns(bs, &p.dims[i])
		}
	}
}

func (p *poll) touchColumns(bs *blockState, l *lookup) {
	for i := range l.columns {
		p.touchColumn(bs, l.columns[i].cells)
	}
}

func (p *poll) touchColumn(bs *blockState, cells map[string]Cell) {
	if p.touchKnown(bs, cells) {
		return
	}
	for index, c := range cells {
		if c.Kind != Absent {
			p.touch(bs, index)
		}
	}
}

// touchKnown touches the known rows where the column has them and no others.
func (p *poll) touchKnown(bs *blockState, cells map[string]Cell) bool {
	known := 0
	for _, r := range bs.order {
		if r.index == "" {
			continue
		}
		if c, ok := cells[r.index]; !ok || c.Kind == Absent {
			return false
		}
		known++
	}
	if known != len(cells) {
		return false
	}
	for _, r := range bs.order {
		if r.index != "" {
			r.round = p.state.round
		}
	}
	return true
}

func (p *poll) touch(bs *blockState, index string) {
	r := bs.rows[index]
	if r == nil {
		r = &row{index: index}
		bs.rows[index] = r
		bs.order = append(bs.order, r)
		p.grown = true
	}
	r.round = p.state.round
}

// refreshRows reads the dimensions of all rows, so that counters of rows that
// have swapped their indices find each other before any of them is used.
func (p *poll) refreshRows(b *Block, bs *blockState) {
	if p.grown {
		slices.SortFunc(bs.order, func(x, y *row) int { return compareIndex(x.index, y.index) })
		p.grown = false
	}
	p.base, bs.unread = p.fixedSum(), p.cutShort(bs)
	for _, r := range bs.order {
		if r.round != p.state.round {
			continue
		}
		if r.unread = p.unread(b, r.index); r.unread {
			bs.unread = true
			continue
		}
		p.refresh(b, bs, r)
	}
	if p.seekers > 0 {
		p.resettle(b, bs)
	}
	if !bs.unread {
		bs.aside = nil // every row there is has been seen
	}
	p.forgetAside(b, bs)
}

// forgetAside forgets the counters whose row has not come for so long that it
// could not tell a growth any more.
func (p *poll) forgetAside(b *Block, bs *blockState) {
	for identity, counters := range bs.aside {
		if !slices.ContainsFunc(counters, func(c counter) bool { return c.at != 0 && p.state.now-c.at <= absenceAfter(b.Interval) }) {
			delete(bs.aside, identity)
		}
	}
}

// cutShort tells whether a column of counters was not read to its end.
func (p *poll) cutShort(bs *blockState) bool {
	if len(p.reading.Partial) == 0 {
		return false
	}
	for _, s := range bs.sources {
		for oid := range s.oids() {
			if p.reading.Partial[oid] {
				return true
			}
		}
	}
	return false
}

// refresh reads the dimensions of a row. Only where one changed are the
// filters asked again and the series made anew.
func (p *poll) refresh(b *Block, bs *blockState, r *row) {
	sum := p.base
	for i := range p.dims {
		l := &p.dims[i]
		if l.source.Kind == FromColumn {
			c, _ := p.find(l, r.index)
			sum = mix(p.state.seed, sum, &c)
		}
		if l.kinds != nil {
			c := l.kinds[r.index]
			sum = mix(p.state.seed, sum, &c)
		}
	}
	if sum |= 1; sum == r.sum { // 0 is a row that was not read yet
		return
	}
	r.sum = sum
	texts := p.textsOf(b, r)
	r.matches = true
	for i := range b.Dims {
		if d := &b.Dims[i]; d.Filter != nil && !d.Filter.matchEither(texts[i], p.raw(d, &p.dims[i], r.index, texts[i])) {
			r.matches = false
		}
	}
	r.dims, r.series = nil, nil
	if !r.matches {
		r.counters = nil // what passes while the filter holds it back is not told
		return
	}
	r.dims = p.dimensions(b, bs, texts)
	r.series = make([]*probes.Series, len(b.Metrics))
	if len(bs.sources) > 0 {
		p.identify(b, bs, r, texts)
	}
}

// textsOf gives the text of every dimension of a row.
func (p *poll) textsOf(b *Block, r *row) []string {
	p.texts = p.texts[:0]
	for i := range b.Dims {
		l := &p.dims[i]
		text := l.text
		if l.source.Kind == FromColumn || l.source.Kind == FromIndex || l.kinds != nil {
			c, _ := p.find(l, r.index)
			text = b.Dims[i].textOf(c, l.kindOn(r.index))
		}
		p.texts = append(p.texts, text)
	}
	return p.texts
}

// raw is the text of a dimension before it was made more readable: a number in
// place of its name, an address without its site.
func (p *poll) raw(d *Dim, l *lookup, index, text string) string {
	if d.Enum == nil && d.Show == nil && d.Prefix == "" {
		return text
	}
	c, _ := p.find(l, index)
	if plain := (Dim{Source: Source{Form: d.Source.Form}}); !d.Source.Naming.set() && d.Source.Form != FormBits {
		return plain.text(c)
	}
	return strings.TrimPrefix(text, d.Prefix)
}

func (p *poll) dimensions(b *Block, bs *blockState, texts []string) *probes.Dimensions {
	p.scratch = append(p.scratch[:0], p.state.Constants...)
	for i, text := range texts {
		p.scratch = append(p.scratch, probes.Dimension{Key: b.Dims[i].Key, Value: text})
	}
	p.scratch = append(p.scratch, bs.implicit...)
	return probes.NewDimensions(p.scratch...)
}

// identify finds out whose counters the row has. If they are another's, the
// old ones are laid aside for the row that may have them now.
func (p *poll) identify(b *Block, bs *blockState, r *row, texts []string) {
	identity := p.identityOf(b, r, texts)
	if identity == r.identity && r.counters != nil {
		return
	}
	if r.counters != nil {
		bs.layAside(r.identity, r.counters)
	}
	r.identity, r.counters, r.seeks = identity, make([]counter, len(bs.sources)), true
	p.seekers++
}

// identityOf sums up what names a row: the dimensions of Identity or, without
// them, its index and the texts that its own columns give it. An index that is
// given to another interface is so another counter, also over a restart.
// Numbers, such as a state, may change.
func (p *poll) identityOf(b *Block, r *row, texts []string) uint64 {
	sum, named := uint64(fnvOffset), false
	for i := range b.Dims {
		d := &b.Dims[i]
		if b.Identity != nil {
			if slices.Contains(b.Identity, d.Key) {
				sum, named = fnv(fnv(sum, d.Key), texts[i]), named || texts[i] != ""
			}
			continue
		}
		if d.Source.Kind != FromColumn {
			continue
		}
		if c, _ := p.find(&p.dims[i], r.index); c.Kind == Text || c.Kind == Octets {
			sum = fnv(sum, c.Text)
		}
	}
	if b.Identity == nil || !named {
		sum = fnv(sum, r.index)
	}
	return sum
}

// layAside offers the counters of an identity. Of two rows with one identity
// nobody can tell which is which.
func (bs *blockState) layAside(identity uint64, counters []counter) {
	if bs.aside == nil {
		bs.aside = make(map[uint64][]counter)
	}
	if _, twice := bs.aside[identity]; twice {
		counters = nil
	}
	bs.aside[identity] = counters
}

// resettle gives rows with a new identity the counters of that identity: those
// of a row that was not seen or has another now, or those of an earlier run.
func (p *poll) resettle(b *Block, bs *blockState) {
	seekers := make(map[uint64]int, p.seekers)
	gone := make(map[uint64]*row)
	for _, r := range bs.order {
		switch {
		case r.seeks:
			seekers[r.identity]++
		case (r.round != p.state.round || r.unread) && r.counters != nil && b.Identity != nil:
			bs.layAside(r.identity, r.counters)
			gone[r.identity] = r
		}
	}
	for _, r := range bs.order {
		if !r.seeks {
			continue
		}
		r.seeks = false
		if seekers[r.identity] > 1 {
			continue
		}
		found := bs.aside[r.identity]
		if found == nil {
			p.state.restore(b, bs, r)
			continue
		}
		if old := gone[r.identity]; old != nil {
			// They moved. Should the old row come back, it has counters of its own.
			old.counters, old.sum = nil, 0
		}
		r.counters = found
		delete(bs.aside, r.identity)
	}
	for identity := range gone {
		delete(bs.aside, identity)
	}
	p.seekers = 0
}

// sweepRows forgets the rows that this round did not touch, but for those that
// a counter may come back to.
func (p *poll) sweepRows(b *Block, bs *blockState) {
	kept, dormant := bs.order[:0], 0
	for _, r := range bs.order {
		touched := r.round == p.state.round
		if touched || dormant < maxDormant && p.dormant(b, bs, r) {
			kept = append(kept, r)
			if !touched {
				dormant++
			}
			continue
		}
		delete(bs.rows, r.index)
	}
	clear(bs.order[len(kept):])
	bs.order = kept
}

// dormant tells whether an untouched row has a counter whose column did not
// say that the row is gone. One that was not seen may be the same row under
// another index. In the end even those are given up.
func (p *poll) dormant(b *Block, bs *blockState, r *row) bool {
	awaited := false
	for i := range r.counters {
		c := &r.counters[i]
		if b.Identity == nil || !bs.unread {
			p.missed(c, bs.sources[i])
		}
		awaited = awaited || c.at != 0 && p.state.now-c.at <= max(absenceAfter(b.Interval), dormantFor)
	}
	return awaited
}

// fixedSum sums up what is the same on all rows of a block.
func (p *poll) fixedSum() uint64 {
	sum := mixNumber(1, p.state.epoch)
	for i := range p.dims {
		l := &p.dims[i]
		if l.source.Kind == FromScalar {
			sum = mix(p.state.seed, sum, &l.fixed)
		}
		sum = mix(p.state.seed, sum, &l.kind)
	}
	return sum
}

// mix adds a cell to a sum.
func mix(seed maphash.Seed, sum uint64, c *Cell) uint64 {
	sum = mixNumber(sum, uint64(c.Kind))
	switch c.Kind {
	case Integer:
		return mixNumber(sum, uint64(c.Int))
	case Unsigned, Counter32, Counter64:
		return mixNumber(sum, c.Uint)
	case Real:
		return mixNumber(sum, math.Float64bits(c.Float))
	case Text, Octets:
		return mixNumber(sum, maphash.String(seed, c.Text))
	}
	return sum
}

func mixNumber(sum, n uint64) uint64 {
	hi, lo := bits.Mul64(sum^0x9e3779b97f4a7c15, n^0xbf58476d1ce4e5b9)
	return bits.RotateLeft64(hi^lo^n, 23) + sum
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// fnv adds a text with its length to a sum that is the same in every process.
func fnv(sum uint64, text string) uint64 {
	for n := len(text); ; n >>= 8 {
		sum = (sum ^ uint64(n&0xff)) * fnvPrime
		if n <= 0xff {
			break
		}
	}
	for i := range len(text) {
		sum = (sum ^ uint64(text[i])) * fnvPrime
	}
	return sum
}
