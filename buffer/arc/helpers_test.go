package arc

import (
	"fmt"
	"math"
)

func float(f float64) Value { return Value{Form: Float, Bits: math.Float64bits(f)} }
func integer(i int64) Value { return Value{Form: Int, Bits: uint64(i)} }
func unsigned(u uint64) Value {
	return Value{Form: Uint, Bits: u}
}

// differ says where two lists of groups are not the same bit for bit.
func differ(got, want []Group) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d groups, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := &got[i], &want[i]
		if g.Stamp != w.Stamp || len(g.IDs) != len(w.IDs) || len(g.Values) != len(w.Values) {
			return fmt.Sprintf("group %d: %+v with %d points, want %+v with %d", i, g.Stamp, len(g.IDs), w.Stamp, len(w.IDs))
		}
		for j := range g.IDs {
			if g.IDs[j] != w.IDs[j] || !alike(g.Values[j], w.Values[j]) {
				return fmt.Sprintf("group %d point %d: %d %+v, want %d %+v", i, j, g.IDs[j], g.Values[j], w.IDs[j], w.Values[j])
			}
		}
	}
	return ""
}

func alike(a, b Value) bool {
	if a.Form != b.Form || a.Bits != b.Bits || (a.Stats == nil) != (b.Stats == nil) {
		return false
	}
	return a.Stats == nil || a.Stats.bits() == b.Stats.bits() && a.Stats.Count == b.Stats.Count
}
