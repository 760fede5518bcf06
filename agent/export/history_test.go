package export

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// Bins, however often they were widened and in whatever order the times came,
// are what one count over the times gives.
func TestBins(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		b := newBins(2 + rnd.IntN(40))
		type point struct {
			ms int64
			v  float64
		}
		var points []point
		reach := int64(1) << (10 + rnd.IntN(30))
		for range 1 + rnd.IntN(200) {
			p := point{start + rnd.Int64N(reach) - reach/2, rnd.Float64()}
			if seed%2 == 0 {
				p.ms -= 2 * start // before 1970
			}
			points = append(points, p)
			b.add(p.ms, Cell{p.v, p.v, p.v, 1})
		}
		if len(b.cells) > b.limit {
			t.Fatalf("%d cells, at most %d are wanted", len(b.cells), b.limit)
		}
		for i, c := range b.cells {
			var want Cell
			from := (b.first + int64(i)) * b.width
			for _, p := range points {
				if p.ms >= from && p.ms < from+b.width {
					want.add(Cell{p.v, p.v, p.v, 1})
				}
			}
			if c.N != want.N || c.Min != want.Min || c.Max != want.Max || c.Sum-want.Sum > 1e-9 || want.Sum-c.Sum > 1e-9 {
				t.Fatalf("cell %d is %+v, want %+v", i, c, want)
			}
			want = Cell{}
		}
		var n int64
		for _, c := range b.cells {
			n += c.N
		}
		if n != int64(len(points)) {
			t.Errorf("%d of %d points are in the cells", n, len(points))
		}
	}
}

func history(t *testing.T, s Source, f Filter, cells int) *History {
	t.Helper()
	h, err := ReadHistory(t.Context(), s, HistoryRequest{f, cells, func(int64, int64) {}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHistory(t *testing.T) {
	s := site(120, 3)
	for name, source := range s.sources() {
		h := history(t, source, Filter{Device: "core-sw1"}, 60)
		if h.Points != 480 || h.Delivered != 40 || h.Late != 40 || len(h.Series) != 4 || h.Left != 0 {
			t.Errorf("%s: %+v", name, h)
		}
		if len(h.Shared) != 4 || h.Shared[0] != (Dim{"device.address", "192.0.2.10"}) {
			t.Errorf("%s: shared %v", name, h.Shared)
		}
		if h.Series[0].Key != "env.temperature" || len(h.Series[0].Varying) != 0 || h.Series[1].Varying[0] != (Dim{"port", "Gi1/0/3"}) || h.Series[1].Avg < h.Series[2].Avg {
			t.Errorf("%s: order of %+v", name, h.Series)
		}
		for _, x := range h.Series {
			var n int64
			for _, c := range x.Table {
				n += c.Count
			}
			if x.Points != 120 || n != 120 || len(x.Cells) > 60 || x.Begin != h.Series[0].Begin || len(x.Cells) != len(h.Series[0].Cells) {
				t.Errorf("%s: %s has %d points, %d in cells, %d cells from %v", name, x.Key, x.Points, n, len(x.Cells), x.Begin)
			}
		}
		if n, _ := Gaps(h.Series[0], h.Step.Std()); n != 0 {
			t.Errorf("%s: %d gaps in polls of every minute, step %v", name, n, h.Step)
		}
	}
	if h := history(t, s.running(), Filter{Device: "gateway"}, 10); h.Series[0].Min != 1 || h.Series[0].Max < 3 || h.Series[0].Avg != 2 {
		t.Errorf("statistics: %+v", h.Series[0])
	}
	if h := history(t, s.running(), Filter{Device: "core"}, 10); len(h.Series) != 0 || h.Hint.Devices[0] != "core-sw1" {
		t.Errorf("nothing: %+v", h)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := &fakeStore{}
	var points []probes.Point
	for i := range maxHistory + 50 {
		points = append(points, probes.Point{Series: probes.NewSeries("k", probes.Gauge, dims("device", "d", "n", strings.Repeat("x", i+1))...), Value: probes.Int(1), Stamp: at(start)})
	}
	s.add(points...)
	s.add(points...)
	h := history(t, s.running(), Filter{Device: "d"}, 10)
	if len(h.Series) != maxHistory || h.Left != 50 || h.Points != int64(2*len(points)) {
		t.Errorf("%d series, %d left out, %d points", len(h.Series), h.Left, h.Points)
	}
}

// A line that goes up, an outage, and a constant.
func TestDraw(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	s := &fakeStore{}
	series := probes.NewSeries("k", probes.Gauge, dims("device", "d")...)
	for i := range 40 {
		v := min(float64(i), 20)
		if i >= 24 && i < 32 {
			continue
		}
		s.add(probes.Point{Series: series, Value: probes.Float(v), Stamp: at(start + int64(i)*64_000)})
	}
	h := history(t, s.running(), Filter{Device: "d"}, 40)
	canvas := Canvas{Width: 40, Height: 5, ASCII: true}
	got := strings.Join(canvas.Draw(h.Series[0], h.Step.Std()), "\n")
	want := `
    20 |                  ******        ********
       |             ******
       |        ******
       |   ******
     0 |****
       +----------------------------------------
        00:00            00:21             00:42`[1:]
	if got != want {
		t.Errorf("drawn\n%s\nwant\n%s", got, want)
	}
	if n, longest := Gaps(h.Series[0], h.Step.Std()); n != 1 || longest != 8*64*time.Second {
		t.Errorf("%d gaps, the longest %v", n, longest)
	}
	if got := Sparkline(h.Series[0], h.Step.Std(), 20, true); got != "_.--:==+**##    ####" {
		t.Errorf("sparkline %q", got)
	}
	fine := strings.Join(Canvas{Width: 20, Height: 2}.Draw(h.Series[0], h.Step.Std()), "\n")
	if !strings.Contains(fine, "⠉") || strings.Count(fine, "\n") != 3 {
		t.Errorf("drawn\n%s", fine)
	}
}

// Polls that are further apart than the cells are wide are no gaps.
func TestNoGapBetweenSlowPolls(t *testing.T) {
	s := &fakeStore{}
	series := probes.NewSeries("k", probes.Gauge, dims("device", "d")...)
	for i := range 10 {
		s.add(probes.Point{Series: series, Value: probes.Int(5), Stamp: at(start + int64(i)*300_000)})
	}
	h := history(t, s.running(), Filter{Device: "d"}, 160)
	if n, _ := Gaps(h.Series[0], h.Step.Std()); n != 0 || len(h.Series[0].Cells) < 80 {
		t.Errorf("%d gaps, step %v, %d cells", n, h.Step, len(h.Series[0].Cells))
	}
	if line := Sparkline(h.Series[0], h.Step.Std(), 30, true); strings.Contains(line, " ") {
		t.Errorf("sparkline %q", line)
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 5: "5", 1234: "1234", 12345: "12.3k", 99999: "100k", 999_600: "1M", 4.5e6: "4.5M", -123456: "-123k", 0.5: "0.5", 0.012: "0.012",
		21.456: "21.5", 1e-5: "1e-05", 1.5e15: "1.5e+15", 2e12: "2T", 999.7: "1k", -9.5: "-9.5",
	} {
		if got := Short(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		v := (rnd.Float64()*2 - 1) * float64(uint64(1)<<rnd.IntN(50))
		if got := Short(v); len(got) > 7 {
			t.Fatalf("%v is %q", v, got)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"core-sw1", "core", 1}, {"flaw", "lawn", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if got := nearest(map[string]bool{"sw1": true, "sw12": true, "ap9": true}, "sw2", 2); got[0] != "sw1" || len(got) != 2 {
		t.Errorf("nearest: %q", got)
	}
}

// What the commands open is what the room reads.
var (
	_ Purger = (*buffer.Store)(nil)
	_ Store  = (*buffer.Reader)(nil)
)

// The mean of the greatest floats is one of them: JSON knows no infinity.
func TestMeanIsInRange(t *testing.T) {
	for _, values := range [][]float64{{math.MaxFloat64, math.MaxFloat64}, {-math.MaxFloat64, -math.MaxFloat64, 1}, {math.MaxFloat64, -math.MaxFloat64}, {1, 2}} {
		var c Cell
		for _, v := range values {
			c.add(Cell{v, v, v, 1})
		}
		if m := c.Mean(); !(m >= c.Min && m <= c.Max) {
			t.Errorf("%v: %v", values, m)
		}
	}
	if m := (Cell{Min: -1, Max: 1, Sum: math.Inf(1) - math.Inf(1), N: 2}).Mean(); m != 0 {
		t.Errorf("a sum that is no number: %v", m)
	}
}

// What names a series tells it from the others of its key only; what they all
// have, though other metrics lack it, would push the name of the port out.
func TestVaryingIsByKey(t *testing.T) {
	s := &fakeStore{}
	var points []probes.Point
	add := func(key string, pairs ...string) {
		series := probes.NewSeries(key, probes.Gauge, dims(append(pairs, "device.address", "192.0.2.1")...)...)
		points = append(points, probes.Point{Series: series, Value: probes.Int(1), Stamp: at(start)})
	}
	add("if.in", "if.name", "Gi1", "sys.name", "a", "mode", "x")
	add("if.in", "if.name", "Gi2", "sys.name", "a", "mode", "x")
	add("temperature", "sensor", "inlet")
	s.add(points...)
	h := history(t, Stopped{s, ""}, Filter{Device: "192.0.2.1"}, 10)
	for i, want := range []Dim{{"if.name", "Gi1"}, {"if.name", "Gi2"}, {"sensor", "inlet"}} {
		if got := h.Series[i].Varying; len(got) != 1 || got[0] != want {
			t.Errorf("series %d is told by %v, want %v", i, got, want)
		}
	}
}
