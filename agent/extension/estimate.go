package extension

import (
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// AssumedInterfaces is how many interfaces a device has where nobody knows.
const AssumedInterfaces = 24

// Estimate is how many points one device or endpoint gives in a day. Points are what is
// billed.
type Estimate struct {
	PerDay int // of scalars and interfaces, of the series of Prometheus and of the items of documents
	Blocks []BlockEstimate
}

// BlockEstimate is the part of one block of a plan.
type BlockEstimate struct {
	Path   string
	Rows   int // 0: a table whose rows nobody knows before it is read
	PerDay int // of one row where Rows is 0, and then in no sum
}

// interfaceTables begin the columns that have a row for each interface: ifTable,
// ifXTable and dot3StatsTable.
var interfaceTables = []string{"1.3.6.1.2.1.2.2.1.", "1.3.6.1.2.1.31.1.1.1.", "1.3.6.1.2.1.10.7.2.1."}

// EstimatePoints counts metrics times rows times polls a day, of which one in
// each slot is sent; slot 0: all are. A device without some of the tables gives
// less.
func EstimatePoints(p *plan.Plan, interfaces int, slot time.Duration) Estimate {
	var e Estimate
	for i := range p.Blocks {
		b := &p.Blocks[i]
		made := BlockEstimate{Path: b.Path, Rows: 1, PerDay: len(b.Metrics) * pollsADay(b.Interval, slot)}
		switch {
		case !b.Table:
			e.PerDay += made.PerDay
		case ofInterfaces(b):
			made.Rows = interfaces
			made.PerDay *= interfaces
			e.PerDay += made.PerDay
		default:
			made.Rows = 0
		}
		e.Blocks = append(e.Blocks, made)
	}
	if p.Exposition != nil {
		e.exposed(p.Exposition, slot)
	}
	if p.Documents != nil {
		e.documents(p.Documents, slot)
	}
	return e
}

// ofInterfaces tells whether the rows of a block are interfaces: those of its
// metrics or, where they are constants, of its dimensions.
func ofInterfaces(b *plan.Block) bool {
	for i := range b.Metrics {
		if s := &b.Metrics[i].Source; s.Kind == plan.FromColumn {
			return isInterfaceColumn(s.OID)
		}
	}
	for i := range b.Dims {
		if s := &b.Dims[i].Source; s.Kind == plan.FromColumn && !s.Join {
			return isInterfaceColumn(s.OID)
		}
	}
	return false
}

func isInterfaceColumn(oid string) bool {
	for _, table := range interfaceTables {
		if strings.HasPrefix(oid, table) {
			return true
		}
	}
	return false
}
