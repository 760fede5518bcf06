package plan

import "strconv"

// lookup is a source as one poll answers it: what is the same on every row is
// found once, and of the columns those that have anything.
type lookup struct {
	source  *Source
	fixed   Cell
	nth     int // which OID of the source fixed is of
	text    string
	columns []answer
	by      map[string]Cell // the column that it is joined by
	kinds   map[string]Cell // the column that tells what it names
	kind    Cell            // or the scalar that does
}

// answer is the nth column of a source.
type answer struct {
	nth   int
	cells map[string]Cell
}

// metricLookup is that of a metric, with the columns of its scale.
type metricLookup struct {
	lookup
	plain                   bool
	scale, precision, units *lookup
}

// resolve prepares the lookups of a block.
func (p *poll) resolve(b *Block) {
	p.dims, p.metrics = p.dims[:0], p.metrics[:0]
	for i := range b.Dims {
		d := &b.Dims[i]
		l := p.lookup(&d.Source)
		if n := &d.Source.Naming; n.By != "" && n.Scalar {
			l.kind = p.reading.Scalars[n.By]
		} else if n.By != "" {
			l.kinds = p.reading.Columns[n.By]
		}
		l.text = d.textOf(l.fixed, l.kind)
		p.dims = append(p.dims, l)
	}
	for i := range b.Metrics {
		m := &b.Metrics[i]
		p.metrics = append(p.metrics, metricLookup{
			lookup:    p.lookup(&m.Source),
			plain:     m.Number.plain(),
			scale:     p.beside(&m.Source, m.Number.Scale),
			precision: p.beside(&m.Source, m.Number.Precision),
			units:     p.beside(&m.Source, m.Number.Units),
		})
	}
	p.speed = p.reading.Columns[b.HighSpeed]
	p.discontinuity = p.reading.Columns[b.Discontinuity]
}

func (p *poll) lookup(s *Source) lookup {
	l := lookup{source: s}
	switch s.Kind {
	case FromConst:
		l.fixed = Cell{Kind: Text, Text: s.Text}
	case FromDeviceAddress:
		l.fixed = Cell{Kind: Text, Text: p.state.dev.Address}
	case FromDevicePort:
		l.fixed = Cell{Kind: Unsigned, Uint: uint64(p.state.dev.Port)}
	case FromChassisMAC:
		if mac := p.state.dev.ChassisMAC; mac != "" {
			l.fixed = Cell{Kind: Text, Text: mac}
		}
	case FromScalar:
		l.fixed, l.nth = p.scalar(s)
	case FromColumn:
		p.addColumns(&l)
	}
	return l
}

// kindOn is the cell that tells what a row's value names.
func (l *lookup) kindOn(index string) Cell {
	if l.kinds != nil {
		return l.kinds[index]
	}
	return l.kind
}

// beside is the lookup of a column of the scale, nil where there is none.
func (p *poll) beside(s *Source, oid string) *lookup {
	if oid == "" {
		return nil
	}
	l := p.lookup(s.beside(oid))
	return &l
}

// scalar reads the first of the scalars that gave something.
func (p *poll) scalar(s *Source) (Cell, int) {
	nth := 0
	for oid := range s.oids() {
		if c := p.reading.Scalars[oid]; c.says() {
			return c, nth
		}
		nth++
	}
	return Cell{}, 0
}

func (p *poll) addColumns(l *lookup) {
	s, start, nth := l.source, len(p.answers), 0
	for oid := range s.oids() {
		if cells := p.reading.Columns[oid]; len(cells) > 0 {
			p.answers = append(p.answers, answer{nth, cells})
		}
		nth++
	}
	l.columns = p.answers[start:len(p.answers):len(p.answers)]
	if s.Join && s.JoinBy != "" {
		l.by = p.reading.Columns[s.JoinBy]
	}
}

// find reads a source on a row: the first of its OIDs that gave something, and
// which one that was.
func (p *poll) find(l *lookup, index string) (Cell, int) {
	switch l.source.Kind {
	case FromColumn:
	case FromIndex:
		return indexCell(l.source, index), 0
	default:
		return l.fixed, l.nth
	}
	if l.source.Join {
		return p.findJoined(l, index)
	}
	for i := range l.columns {
		if c := l.columns[i].cells[index]; c.says() {
			return c, l.columns[i].nth
		}
	}
	return Cell{}, 0
}

func (p *poll) findJoined(l *lookup, index string) (Cell, int) {
	key := p.joinKey(l.source, l.by, index)
	if len(key) == 0 {
		return Cell{}, 0
	}
	for i := range l.columns {
		if c := l.columns[i].cells[string(key)]; c.says() {
			return c, l.columns[i].nth
		}
	}
	return Cell{}, 0
}

// joinKey is the index in the other table, empty where there is none. It is
// valid up to the next call.
func (p *poll) joinKey(s *Source, by map[string]Cell, index string) []byte {
	p.key = p.key[:0]
	if s.JoinBy == "" {
		p.key = append(p.key, s.Arcs.pick(index)...)
		return p.key
	}
	switch c := by[index]; c.Kind {
	case Integer, Unsigned:
		if n, ok := c.counter(); ok {
			p.key = strconv.AppendUint(p.key, n, 10)
		}
	case Text: // a RowPointer
		p.key = append(p.key, s.Arcs.pick(c.Text)...)
	}
	return p.key
}

// unread tells whether a dimension of the row is unknown because reading it
// failed. Without it the row would come out as another series.
func (p *poll) unread(b *Block, index string) bool {
	if len(p.reading.Partial) == 0 {
		return false
	}
	for i := range b.Dims {
		s := &b.Dims[i].Source
		if p.unreadSource(s, index) {
			return true
		}
		if s.Naming.By != "" {
			by := s.Naming.source()
			if p.unreadSource(&by, index) {
				return true
			}
		}
	}
	return false
}

// unreadSource tells whether the value of a source might be another, had it
// all been read.
func (p *poll) unreadSource(s *Source, index string) bool {
	key := index
	if s.Kind == FromColumn && s.Join {
		by := p.reading.Columns[s.JoinBy]
		if s.JoinBy != "" && by[index].Kind == Absent {
			return p.reading.Partial[s.JoinBy]
		}
		key = string(p.joinKey(s, by, index))
	}
	for oid := range s.oids() {
		c := p.reading.Scalars[oid]
		if s.Kind == FromColumn {
			c = p.reading.Columns[oid][key]
		}
		if c.says() {
			return false
		}
		if c.Kind == Absent && p.reading.Partial[oid] {
			return true
		}
	}
	return false
}

// says tells whether a cell holds anything; an empty text does not.
func (c Cell) says() bool {
	return c.Kind != Absent && (c.Kind != Text && c.Kind != Octets || c.Text != "")
}
