package probes

// Fold makes one point of several points of one series at one stamp: gauges
// become a Summary, deltas add up. It keeps the order of first appearance and
// returns how many points it took in.
func Fold(points []Point) (folded []Point, taken int) {
	type slot struct {
		id    [16]byte
		stamp Stamp
	}
	at := make(map[slot]int, len(points))
	folded = points[:0:0]
	for _, p := range points {
		key := slot{p.Series.ID(), p.Stamp}
		i, seen := at[key]
		if !seen {
			at[key] = len(folded)
			folded = append(folded, p)
			continue
		}
		taken++
		folded[i].Value = fold(p.Series.Type(), folded[i].Value, p.Value)
	}
	return folded, taken
}

func fold(t Type, a, b Value) Value {
	if t == Count {
		return add(a, b)
	}
	x, y := a.Summary(), b.Summary()
	return Summarize(Summary{
		Min:   min(x.Min, y.Min),
		Max:   max(x.Max, y.Max),
		Sum:   x.Sum + y.Sum,
		Count: x.Count + y.Count,
	})
}

// add keeps unsigned sums exact and falls back to floats on overflow or mixed
// forms.
func add(a, b Value) Value {
	if a.form == FormUint && b.form == FormUint {
		if sum := a.bits + b.bits; sum >= a.bits {
			return Uint(sum)
		}
	}
	return Float(a.Float64() + b.Float64())
}
