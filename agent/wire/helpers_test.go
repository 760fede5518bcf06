package wire

import (
	"fmt"
	"math"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// differ says where points are not the same: bit for bit, or as lines.
func differ(got, want []probes.Point, asText bool) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d points, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := &got[i], &want[i]
		if asText {
			gl, err := mint.AppendLine(nil, *g)
			wl, _ := mint.AppendLine(nil, *w)
			if err != nil || string(gl) != string(wl) {
				return fmt.Sprintf("point %d: %s (%v), want %s", i, gl, err, wl)
			}
			continue
		}
		if g.Series.ID() != w.Series.ID() || g.Stamp != w.Stamp || !same(g.Value, w.Value) {
			return fmt.Sprintf("point %d: %s %+v %v, want %s %+v %v", i,
				g.Series.Key(), g.Stamp, g.Value.Summary(), w.Series.Key(), w.Stamp, w.Value.Summary())
		}
	}
	return ""
}

// same compares bits, so that a NaN is itself.
func same(a, b probes.Value) bool {
	if a.Form() != b.Form() || a.Form() != probes.FormSummary {
		return a.Form() == b.Form() && (a.Equal(b) || math.Float64bits(a.Float64()) == math.Float64bits(b.Float64()))
	}
	x, y := a.Summary(), b.Summary()
	bits := math.Float64bits
	return bits(x.Min) == bits(y.Min) && bits(x.Max) == bits(y.Max) && bits(x.Sum) == bits(y.Sum) && x.Count == y.Count
}
