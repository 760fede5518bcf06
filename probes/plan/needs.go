package plan

// Needs lists what to read for blocks that are due together: the scalar OIDs,
// and for every table block its columns. An OID that several blocks use is
// listed once, with the first of them.
func Needs(blocks []*Block) (scalars []string, tables [][]string) {
	seen := make(map[need]bool)
	for _, b := range blocks {
		var columns []string
		for n := range b.needs() {
			switch {
			case seen[n]:
			case n.kind == FromColumn:
				columns = append(columns, n.oid)
			default:
				scalars = append(scalars, n.oid)
			}
			seen[n] = true
		}
		if len(columns) > 0 {
			tables = append(tables, columns)
		}
	}
	return scalars, tables
}

// need is one OID to read, and how.
type need struct {
	kind SourceKind
	oid  string
}

// needs yields what a block reads from the device.
func (b *Block) needs() func(yield func(need) bool) {
	return func(yield func(need) bool) {
		for s := range b.sources() {
			for oid := range s.oids() {
				if !yield(need{s.Kind, oid}) {
					return
				}
			}
		}
	}
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
