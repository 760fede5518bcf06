package plan

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// A row without its units gives no point: its number would be of another size.
func TestUnits(t *testing.T) {
	b := &Block{Path: "storage", Interval: time.Minute, Table: true, Dims: []Dim{{Key: "id", Source: Source{Kind: FromIndex}}}, Metrics: []Metric{{
		Key: "size", Type: probes.Gauge, Source: Source{Kind: FromColumn, OID: "1.3.5"}, Number: Conversion{Units: "1.3.4", Divisor: 1024},
	}}}
	if _, tables := Needs([]*Block{b}); len(tables) != 1 || len(tables[0]) != 2 {
		t.Fatalf("needs %v, want both columns", tables)
	}
	cell := func(n int64) Cell { return Cell{Kind: Integer, Int: n} }
	points, _ := Points([]*Block{b}, Identity{}, Reading{Columns: map[string]map[string]Cell{
		"1.3.5": {"1": cell(100), "2": cell(3), "3": cell(7), "4": cell(8)},
		"1.3.4": {"1": cell(4096), "2": cell(512), "4": cell(0)},
	}}, new(State))
	if len(points) != 2 || points[0].Value.Float64() != 400 || points[1].Value.Float64() != 1.5 {
		t.Errorf("points %+v, want 400 and 1.5", points)
	}
}
