package mint_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// FuzzStandIn lets the stand-in environment, which was written from the
// protocol alone, judge what is written: it must take every line and read from
// it the same number, stamp, type and, where nothing had to be changed, text.
func FuzzStandIn(f *testing.F) {
	f.Add("temp.inlet", "site", "plant 7", "Name", `C:\a,b="c"`, 21.5, uint64(5), byte(0))
	f.Add("9.-ä", "a..b", "\x00\n\xff", "ü", strings.Repeat("温,", 90), -1e-300, uint64(1<<63+1), byte(1))
	f.Add("key", "d", strings.Repeat("=", 300), "D", "x", 1e22, uint64(1<<64-1), byte(2))
	f.Add("key", "d", `\`, "e", ` "`, 0.1, uint64(3), byte(3))
	f.Fuzz(func(t *testing.T, key, k1, v1, k2, v2 string, x float64, n uint64, kind byte) {
		typ, value := probes.Gauge, probes.Float(x)
		switch kind % 4 {
		case 1:
			typ, value = probes.Count, probes.Uint(n)
		case 2:
			value = probes.Summarize(probes.Summary{Min: -x, Max: x, Sum: x / 2, Count: n})
		case 3:
			typ, value = probes.Count, probes.Int(int64(n))
		}
		p := probes.Point{
			Series: probes.NewSeries(key, typ, probes.Dimension{Key: k1, Value: v1}, probes.Dimension{Key: k2, Value: v2}),
			Value:  value, Stamp: probes.Stamp{Wall: 1_767_225_600_000},
		}
		line, err := mint.AppendLine(nil, p)
		if err != nil {
			return
		}
		got, err := draintest.ParseLine(string(line))
		if err != nil {
			t.Fatalf("%q is refused: %v", line, err)
		}
		if got.Timestamp != p.Stamp.Wall || string(got.Type) != typ.String() {
			t.Fatalf("%q is read as %+v", line, got)
		}
		s := value.Summary()
		if typ == probes.Count && got.Delta != value.Float64() || typ == probes.Gauge && got.Stats != (draintest.Stats{Min: s.Min, Max: s.Max, Sum: s.Sum, Count: int64(s.Count)}) {
			t.Fatalf("%q is read as %+v", line, got)
		}
		for _, d := range got.Dims {
			if raw := p.Series.Dim(d.Key); raw != "" && unchanged(raw) && d.Value != raw {
				t.Fatalf("%q: %s is read as %q, was %q", line, d.Key, d.Value, raw)
			}
		}
	})
}

// unchanged reports a value that can be sent as it is.
func unchanged(v string) bool {
	odd := func(r rune) bool { return r == unicode.ReplacementChar || unicode.Is(unicode.C, r) }
	return len(v) <= 250 && !strings.ContainsFunc(v, odd)
}
