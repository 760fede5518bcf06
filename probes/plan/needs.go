package plan

import "strings"

// Needs lists what to read for blocks that are due together: the scalar OIDs,
// and for every table block its columns, those of joined tables apart. An OID
// that several blocks use is listed once, with the first of them.
func Needs(blocks []*Block) (scalars []string, tables [][]string) {
	seen := make(map[need]bool)
	for _, b := range blocks {
		var own []string
		var joined [][]string
		for n := range b.needs() {
			id := need{kind: n.kind, oid: n.oid}
			switch {
			case seen[id]:
			case n.kind == FromScalar:
				scalars = append(scalars, n.oid)
			case n.joined:
				joined = addColumn(joined, n.oid)
			default:
				own = append(own, n.oid)
			}
			seen[id] = true
		}
		if len(own) > 0 {
			tables = append(tables, own)
		}
		tables = append(tables, joined...)
	}
	return scalars, tables
}

// addColumn puts a column to the others of its table.
func addColumn(tables [][]string, oid string) [][]string {
	for i, columns := range tables {
		if entryOf(columns[0]) == entryOf(oid) {
			tables[i] = append(columns, oid)
			return tables
		}
	}
	return append(tables, []string{oid})
}

// entryOf is the OID of a column without its last arc.
func entryOf(column string) string {
	return column[:max(strings.LastIndexByte(column, '.'), 0)]
}

// need is one OID to read, and how.
type need struct {
	kind   SourceKind
	oid    string
	joined bool // of another table
}

// needs yields what a block reads from the device, with repetitions.
func (b *Block) needs() func(yield func(need) bool) {
	return func(yield func(need) bool) {
		for s := range b.reads() {
			for oid := range s.oids() {
				if !yield(need{s.Kind, oid, s.Join}) {
					return
				}
			}
		}
	}
}

// reads yields the sources of the dimensions, the columns that say something of
// the rows, then the sources of the metrics, each with what it stands on.
func (b *Block) reads() func(yield func(*Source) bool) {
	return func(yield func(*Source) bool) {
		for i := range b.Dims {
			if !yieldSource(&b.Dims[i].Source, nil, yield) {
				return
			}
		}
		for _, oid := range b.rowColumns() {
			if oid != "" && !yield(&Source{Kind: FromColumn, OID: oid}) {
				return
			}
		}
		for i := range b.Metrics {
			m := &b.Metrics[i]
			if !yieldSource(&m.Source, &m.Number, yield) {
				return
			}
		}
	}
}

// yieldSource yields a source, the column that it is joined by, and the columns
// of its scale.
func yieldSource(s *Source, c *Conversion, yield func(*Source) bool) bool {
	if s.Kind == FromColumn && s.Join && s.JoinBy != "" && !yield(&Source{Kind: FromColumn, OID: s.JoinBy}) {
		return false
	}
	if s.Naming.By != "" {
		if by := s.Naming.source(); !yield(&by) {
			return false
		}
	}
	if !yield(s) {
		return false
	}
	if c == nil {
		return true
	}
	for _, oid := range []string{c.Scale, c.Precision, c.Units} {
		if oid != "" && !yield(s.beside(oid)) {
			return false
		}
	}
	return true
}

// beside is the source of another OID that is read in the same way.
func (s *Source) beside(oid string) *Source {
	c := *s
	c.OID, c.Fallback = oid, nil
	return &c
}

// rowColumns are the columns that are neither dimension nor metric. What
// counters need is only asked for where there are counters.
func (b *Block) rowColumns() []string {
	if !b.Table {
		return nil
	}
	if !b.counts() {
		return []string{b.Rows}
	}
	return []string{b.Rows, b.HighSpeed, b.Discontinuity}
}

// sources yields the sources of the dimensions, then of the metrics.
func (b *Block) sources() func(yield func(*Source) bool) {
	return func(yield func(*Source) bool) {
		for i := range b.Dims {
			if !yield(&b.Dims[i].Source) {
				return
			}
		}
		for i := range b.Metrics {
			if !yield(&b.Metrics[i].Source) {
				return
			}
		}
	}
}

// oids yields the OID of the source, then its fallbacks; nothing where the
// source is not read from the device.
func (s *Source) oids() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if s.Kind != FromScalar && s.Kind != FromColumn {
			return
		}
		if !yield(s.OID) {
			return
		}
		for _, oid := range s.Fallback {
			if !yield(oid) {
				return
			}
		}
	}
}

// oid is the nth of oids, "" past their end.
func (s *Source) oid(n int) string {
	if n == 0 {
		return s.OID
	}
	if n > len(s.Fallback) {
		return ""
	}
	return s.Fallback[n-1]
}
