package drain

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func pointAt(s *probes.Series, v probes.Value, wall int64) probes.Point {
	return probes.Point{Series: s, Value: v, Stamp: probes.Stamp{Wall: wall}}
}

func summary(low, high, sum float64, n uint64) probes.Value {
	return probes.Summarize(probes.Summary{Min: low, Max: high, Sum: sum, Count: n})
}

func TestFoldOfOneSeries(t *testing.T) {
	g, c := probes.NewSeries("g", probes.Gauge), probes.NewSeries("c", probes.Count)
	const top = math.MaxUint64
	for _, test := range []struct {
		name   string
		series *probes.Series
		in     []probes.Value
		want   []probes.Value
	}{
		{"a lone gauge", g, []probes.Value{probes.Int(7)}, []probes.Value{probes.Int(7)}},
		{"a lone count", c, []probes.Value{probes.Uint(top)}, []probes.Value{probes.Uint(top)}},
		{"a lone summary", g, []probes.Value{summary(1, 2, 3, 2)}, []probes.Value{summary(1, 2, 3, 2)}},
		{"gauges", g, []probes.Value{probes.Int(4), probes.Float(1.5), probes.Uint(9)}, []probes.Value{summary(1.5, 9, 14.5, 3)}},
		{"equal gauges", g, []probes.Value{probes.Int(1), probes.Int(1)}, []probes.Value{summary(1, 1, 2, 2)}},
		{"summaries weigh", g, []probes.Value{summary(1, 5, 30, 10), probes.Float(8), summary(-2, 0, -4, 4)}, []probes.Value{summary(-2, 8, 34, 15)}},
		{"counts", c, []probes.Value{probes.Uint(4), probes.Uint(5), probes.Uint(0)}, []probes.Value{probes.Uint(9)}},
		{"counts beyond 53 bits", c, []probes.Value{probes.Uint(1<<60 + 1), probes.Uint(1<<60 + 2)}, []probes.Value{probes.Uint(1<<61 + 3)}},
		{"counts that overflow", c, []probes.Value{probes.Uint(top - 1), probes.Uint(1), probes.Uint(1), probes.Uint(2)}, []probes.Value{probes.Uint(top), probes.Uint(3)}},
		{"signed", c, []probes.Value{probes.Int(-4), probes.Int(5)}, []probes.Value{probes.Int(1)}},
		{"signed that overflow", c, []probes.Value{probes.Int(math.MaxInt64), probes.Int(1)}, []probes.Value{probes.Uint(1 << 63)}},
		{"signed that underflow", c, []probes.Value{probes.Int(math.MinInt64), probes.Int(-1)}, []probes.Value{probes.Int(math.MinInt64), probes.Int(-1)}},
		{"signed and unsigned", c, []probes.Value{probes.Int(-4), probes.Uint(top)}, []probes.Value{probes.Uint(top - 4)}},
		{"unsigned and signed", c, []probes.Value{probes.Uint(3), probes.Int(-4)}, []probes.Value{probes.Int(-1)}},
		{"whole and fraction", c, []probes.Value{probes.Uint(3), probes.Float(0.5), probes.Int(-1)}, []probes.Value{probes.Float(2.5)}},
		{"a fraction and what no float holds", c, []probes.Value{probes.Float(0.5), probes.Uint(1<<53 + 1)}, []probes.Value{probes.Float(0.5), probes.Uint(1<<53 + 1)}},
		{"fractions that overflow", c, []probes.Value{probes.Float(1e308), probes.Float(1e308)}, []probes.Value{probes.Float(1e308), probes.Float(1e308)}},
		{"gauges whose sum overflows", g, []probes.Value{probes.Float(1e308), probes.Float(1e308), probes.Float(1)}, []probes.Value{probes.Float(1e308), summary(1, 1e308, 1e308, 2)}},
		{"samples that overflow", g, []probes.Value{summary(1, 1, 1, math.MaxInt64), probes.Int(1)}, []probes.Value{summary(1, 1, 1, math.MaxInt64), probes.Int(1)}},
		{"an invalid gauge spoils no other", g, []probes.Value{probes.Float(math.NaN()), probes.Int(1), {}, probes.Int(2)}, []probes.Value{probes.Float(math.NaN()), summary(1, 2, 3, 2), {}}},
		{"a count with statistics", c, []probes.Value{probes.Uint(1), summary(1, 2, 3, 2), probes.Uint(2)}, []probes.Value{probes.Uint(3), summary(1, 2, 3, 2)}},
	} {
		var in []probes.Point
		for i, v := range test.in {
			in = append(in, pointAt(test.series, v, int64(i)))
		}
		out := fold(nil, in, time.Minute)
		var got []probes.Value
		for _, f := range out {
			got = append(got, f.point.Value)
		}
		if !slices.EqualFunc(got, test.want, probes.Value.Equal) {
			t.Errorf("%s: %s, want %s", test.name, inWords(got), inWords(test.want))
		}
	}
}

func inWords(values []probes.Value) (out []string) {
	for _, v := range values {
		out = append(out, text(v))
	}
	return out
}

func text(v probes.Value) string {
	x, err := exact(v)
	if err != nil {
		return err.Error()
	}
	return x.RatString()
}

// exact is the sum that a value stands for.
func exact(v probes.Value) (*big.Rat, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	switch v.Form() {
	case probes.FormInt:
		return new(big.Rat).SetInt64(v.Int64()), nil
	case probes.FormUint:
		return new(big.Rat).SetUint64(v.Uint64()), nil
	case probes.FormSummary:
		return new(big.Rat).SetFloat64(v.Summary().Sum), nil
	}
	return new(big.Rat).SetFloat64(v.Float64()), nil
}

func TestFoldPeriodsAndOrder(t *testing.T) {
	a, b := probes.NewSeries("a", probes.Gauge), probes.NewSeries("b", probes.Gauge)
	a2 := probes.NewSeries("a", probes.Gauge) // the same series, made twice
	other := pointAt(a, probes.Int(1), 59_999)
	other.Stamp.Guess = true
	in := []probes.Point{
		pointAt(b, probes.Int(1), -1), // before 1970 is another minute
		pointAt(a, probes.Int(1), 0),
		pointAt(b, probes.Int(1), 0),
		pointAt(a, probes.Int(1), 59_999),
		pointAt(a2, probes.Int(1), 30_000), // out of order
		other,
		pointAt(a, probes.Int(1), 60_000),
		pointAt(b, probes.Int(1), 10),
	}
	want := []struct {
		series *probes.Series
		wall   int64
		from   []int32
	}{
		{b, -1, []int32{0}}, {a, 59_999, []int32{1, 3, 4}}, {b, 10, []int32{2, 7}}, {a, 59_999, []int32{5}}, {a, 60_000, []int32{6}},
	}
	out := fold(nil, in, time.Minute)
	if len(out) != len(want) {
		t.Fatalf("%d lines: %+v", len(out), out)
	}
	for i, w := range want {
		if f := out[i]; f.point.Series != w.series || f.point.Stamp.Wall != w.wall || !slices.Equal(f.from, w.from) {
			t.Errorf("line %d is %s at %d of %v, want %+v", i, f.point.Series.Key(), f.point.Stamp.Wall, f.from, w)
		}
	}
	if n := len(fold(nil, in, 0)); n != len(in) {
		t.Errorf("without a period %d lines", n)
	}
	if n := len(fold(nil, nil, time.Minute)); n != 0 {
		t.Errorf("of nothing %d lines", n)
	}
}

// randomPoints are of some series at some times, in no order.
func randomPoints(random *rand.Rand, n int) []probes.Point {
	var series []*probes.Series
	for i := range 6 {
		series = append(series, probes.NewSeries("k", probes.Type(1+i%2), probes.Dimension{Key: "d", Value: string(rune('a' + i))}))
	}
	points := make([]probes.Point, n)
	for i := range points {
		s := series[random.IntN(len(series))]
		var v probes.Value
		switch random.IntN(6) {
		case 0:
			v = probes.Int(random.Int64() >> random.IntN(64) * (1 - 2*random.Int64N(2)))
		case 1:
			v = probes.Float(float64(random.IntN(1000)) / 8)
		case 2:
			v = summary(1, 9, float64(random.IntN(100)), 1+random.Uint64N(20))
		default:
			v = probes.Uint(random.Uint64() >> random.IntN(64))
		}
		points[i] = pointAt(s, v, random.Int64N(5*60_000)-60_000)
	}
	return points
}

// FuzzFold: what a fold holds is what the points held.
func FuzzFold(f *testing.F) {
	f.Add(uint64(1), uint16(0))
	f.Add(uint64(2), uint16(100))
	f.Add(uint64(3), uint16(900))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		random := rand.New(rand.NewPCG(seed, 9))
		var dst []folded
		for range 3 { // the memory of the last one is used again
			points := randomPoints(random, int(n%1000))
			period := []time.Duration{time.Second, time.Minute, 5 * time.Minute, time.Hour}[random.IntN(4)]
			dst = fold(dst, points, period)
			checkFold(t, dst, points, period)
		}
	})
}

func checkFold(t *testing.T, out []folded, points []probes.Point, period time.Duration) {
	t.Helper()
	seen := make([]int, len(points))
	first := int32(-1)
	for _, f := range out {
		if len(f.from) == 0 || f.from[0] <= first {
			t.Fatalf("%v comes after %d", f.from, first)
		}
		first = f.from[0]
		for _, i := range f.from {
			seen[i]++
		}
		checkLine(t, f, points, period)
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("point %d is in %d lines", i, n)
		}
	}
}

func checkLine(t *testing.T, f folded, points []probes.Point, period time.Duration) {
	t.Helper()
	sum, samples, floats, last := new(big.Rat), uint64(0), 0, int64(math.MinInt64)
	low, high := math.Inf(1), math.Inf(-1)
	for _, i := range f.from {
		p := points[i]
		if p.Series.ID() != f.point.Series.ID() || periodOf(&p, period) != periodOf(&f.point, period) {
			t.Fatalf("a line of %v has a point of another series or period", f.point)
		}
		last = max(last, p.Stamp.Wall)
		x, err := exact(p.Value)
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(sum, x)
		s := p.Value.Summary()
		low, high, samples = min(low, s.Min), max(high, s.Max), samples+s.Count
		if p.Value.Form() != probes.FormInt && p.Value.Form() != probes.FormUint {
			floats++
		}
	}
	if f.point.Stamp.Wall != last {
		t.Fatalf("the stamp is %d, the last point's is %d", f.point.Stamp.Wall, last)
	}
	if len(f.from) == 1 {
		if !f.point.Value.Equal(points[f.from[0]].Value) {
			t.Fatalf("a lone point became %v", f.point.Value)
		}
		return
	}
	got, err := exact(f.point.Value)
	if err != nil {
		t.Fatal(err)
	}
	if f.point.Series.Type() == probes.Count {
		if floats == 0 && got.Cmp(sum) != 0 || !near(got, sum) {
			t.Fatalf("deltas add up to %s, not to %s", got, sum)
		}
		return
	}
	if s := f.point.Value.Summary(); f.point.Value.Form() != probes.FormSummary || s.Min != low || s.Max != high || s.Count != samples || !near(got, sum) {
		t.Fatalf("gauges folded to %+v; want %v to %v, %d samples", s, low, high, samples)
	}
}

func near(a, b *big.Rat) bool {
	x, _ := a.Float64()
	y, _ := b.Float64()
	return math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y), 1e6)
}

// Memory is taken by the call, not by the point.
func TestFoldAllocatesLittle(t *testing.T) {
	points := make([]probes.Point, 0, 6000)
	for i := range 6000 {
		points = append(points, probes.Point{})
		s := probes.NewSeries("k", probes.Type(1+i%2), probes.Dimension{Key: "port", Value: string(rune('a' + i%1000))})
		points[i] = pointAt(s, probes.Uint(uint64(i)), int64(i/1000)*10_000)
	}
	dst := fold(nil, points, time.Minute)
	if len(dst) != 1000 {
		t.Fatalf("%d lines", len(dst))
	}
	if n := testing.AllocsPerRun(20, func() { dst = fold(dst, points, time.Minute) }); n > 10 {
		t.Errorf("%g allocations for 6000 points", n)
	}
}

func BenchmarkFold(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	points := randomPoints(random, 1000)
	var dst []folded
	b.ReportAllocs()
	for b.Loop() {
		dst = fold(dst, points, time.Minute)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(points)), "ns/point")
}
