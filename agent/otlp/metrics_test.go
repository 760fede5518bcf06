package otlp_test

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/probes"
)

const stamp = int64(1_767_225_600_123)

var options = otlp.Options{Version: "1.2.3", Resource: []probes.Dimension{{Key: "site", Value: "plant-7"}, {Key: "empty"}}}

func dim(k, v string) probes.Dimension { return probes.Dimension{Key: k, Value: v} }

func point(s *probes.Series, v probes.Value, ms int64) probes.Point {
	return probes.Point{Series: s, Value: v, Stamp: probes.Stamp{Wall: ms}}
}

// read lets the stand-in environment, which knows the protocol by itself, read
// a request.
func read(t testing.TB, request []byte) []draintest.OTLPPoint {
	t.Helper()
	got, err := draintest.ParseOTLPMetrics(request)
	if err != nil {
		t.Fatalf("%x is no request: %v", request, err)
	}
	return got
}

// words is a point as a receiver has it, on one line.
func words(p draintest.OTLPPoint) string {
	s := p.Line.String()
	if p.Whole {
		s += " whole"
	}
	if p.Line.Type == draintest.Count && !p.Monotonic {
		s += " up and down"
	}
	if p.Refusal != nil {
		s += " refused: " + p.Refusal.Error()
	}
	return s
}

func TestEveryKindOfPoint(t *testing.T) {
	g := probes.NewSeries("temp.inlet", probes.Gauge, dim("Unit", "C"), dim("rack", "a b"))
	c := probes.NewSeries("if.in", probes.Count, dim("if", "1"))
	stats := probes.Summarize(probes.Summary{Min: -4, Max: 2.5, Sum: -3, Count: 6})
	request, refused := otlp.AppendMetrics([]byte("kept"), []probes.Point{
		point(g, probes.Float(21.5), stamp),
		point(c, probes.Uint(math.MaxInt64), stamp),
		point(g, probes.Int(math.MinInt64), stamp+1),
		point(c, probes.Uint(math.MaxUint64), stamp+1),
		point(g, stats, stamp+2),
		point(c, probes.Int(-5), stamp+2),
		point(c, probes.Float(0.5), stamp+3),
		point(g, probes.Float(5), stamp+4),
		point(c, probes.Int(0), stamp+5),
		point(g, probes.Summarize(probes.Summary{Count: 2}), stamp+6),
	}, options)
	if len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
	request, ok := bytes.CutPrefix(request, []byte("kept"))
	if !ok {
		t.Fatal("what stood in dst is gone")
	}
	const gauge, count = `temp.inlet,rack="a b",unit="C" `, `if.in,if="1" `
	want := []string{
		gauge + "gauge,21.5 1767225600123",
		gauge + "gauge,-9223372036854775808 1767225600124 whole",
		gauge + "gauge,5 1767225600127",
		count + "count,delta=9223372036854775807 1767225600123 whole",
		count + "count,delta=1.8446744073709552e+19 1767225600124",
		count + "count,delta=0.5 1767225600126",
		count + "count,delta=0 1767225600128 whole",
		gauge + "gauge,min=-4,max=2.5,sum=-3,count=6 1767225600125",
		gauge + "gauge,min=0,max=0,sum=0,count=2 1767225600129",
		count + "count,delta=-5 1767225600125 whole up and down",
	}
	var lines []string
	for _, p := range read(t, request) {
		lines = append(lines, words(p))
		if p.Start != 0 {
			t.Errorf("%s starts at %d", words(p), p.Start)
		}
		if got := fmt.Sprint(p.Resource); got != "[{service.name edgehold} {service.version 1.2.3} {site plant-7}]" {
			t.Errorf("resource is %s", got)
		}
	}
	if got, want := strings.Join(lines, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("read\n%s\nwant\n%s", got, want)
	}
}

func TestRefusedPoints(t *testing.T) {
	many := make([]probes.Dimension, 48)
	for i := range many {
		many[i] = dim(fmt.Sprintf("d%d", i), "x")
	}
	good := probes.NewSeries("good", probes.Gauge, many[:47]...)
	count := probes.NewSeries("count", probes.Count)
	one := probes.Int(1)
	points := []probes.Point{
		point(good, one, stamp),
		point(good, probes.Float(math.NaN()), stamp),
		point(good, probes.Value{}, stamp),
		point(probes.NewSeries("x", probes.Gauge), one, stamp),
		point(probes.NewSeries(".x", probes.Gauge), one, stamp),
		point(probes.NewSeries(strings.Repeat("x", 256), probes.Gauge), one, stamp),
		point(probes.NewSeries("dt.x", probes.Gauge), one, stamp),
		point(probes.NewSeries("many", probes.Gauge, many...), one, stamp),
		point(count, probes.Summarize(probes.Summary{Min: 1, Max: 1, Sum: 1, Count: 1}), stamp),
		point(good, probes.Summarize(probes.Summary{Count: math.MaxUint64}), stamp),
		point(probes.NewSeries("neither", 7), one, stamp),
		point(good, one, 60_000),
		point(good, one, math.MaxInt64),
		point(count, one, stamp),
	}
	why := []string{"", "not a finite", "no number", "fewer than 2", "fewer than 2", "longer than 255", "reserved", "more than 50", "one delta", "can be counted", "neither a gauge", "was the clock set", "was the clock set", ""}
	request, refused := otlp.AppendMetrics(nil, points, options)
	if got := read(t, request); len(got) != 2 || got[0].Refusal != nil || got[1].Refusal != nil {
		t.Errorf("read %v", got)
	}
	for i, want := range why {
		at := -1
		for j, r := range refused {
			if r.Index == i {
				at = j
			}
		}
		switch {
		case want == "" && at >= 0:
			t.Errorf("point %d is refused: %s", i, refused[at].Reason)
		case want != "" && at < 0:
			t.Errorf("point %d is not refused: %s", i, want)
		case want != "" && !strings.Contains(refused[at].Reason, want):
			t.Errorf("point %d is refused with %q, want %q", i, refused[at].Reason, want)
		}
	}
	if request, refused := otlp.AppendMetrics(nil, points[1:2], options); len(request) != 0 || len(refused) != 1 {
		t.Errorf("a request without points has %d bytes", len(request))
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("ä", 200)
	for _, c := range []struct {
		key  string
		dims []probes.Dimension
		want string
	}{
		{"9x..ä-y.-z", nil, "_x._y._z"},
		{"k-1", []probes.Dimension{dim("A:b", "1"), dim("a_b", "2")}, `k-1,a_b="2"`},
		{"k-1", []probes.Dimension{dim("A b", "1"), dim("A:b", "2")}, `k-1,a_b="1"`},
		{"k-1", []probes.Dimension{dim("...", "1"), dim(strings.Repeat("x", 99)+".y", "v")}, "k-1," + strings.Repeat("x", 99) + `="v"`},
		{"k-1", []probes.Dimension{dim("v", long), dim("w", "a\n\x00b\xffc")}, `k-1,v="` + long[:254] + `",w="a_b_c"`},
		{"k-1", []probes.Dimension{dim("v", strings.Repeat("v", 300))}, `k-1,v="` + strings.Repeat("v", 255) + `"`},
	} {
		request, refused := otlp.AppendMetrics(nil, []probes.Point{point(probes.NewSeries(c.key, probes.Gauge, c.dims...), probes.Int(1), stamp)}, options)
		got := read(t, request)
		if len(refused) > 0 || len(got) != 1 || words(got[0]) != c.want+" gauge,1 1767225600123 whole" {
			t.Errorf("%q: read %v, refused %v, want %s", c.key, got, refused, c.want)
		}
	}
}

// TestOneMetricForEachKey checks the grouping by counting names.
func TestOneMetricForEachKey(t *testing.T) {
	var points []probes.Point
	for i := range 100 {
		for _, key := range []string{"key.one", "key.two"} {
			s := probes.NewSeries(key, probes.Gauge, dim("port", fmt.Sprint(i%10)))
			points = append(points, point(s, probes.Int(int64(i)), stamp+int64(i)))
		}
	}
	request, _ := otlp.AppendMetrics(nil, points, options)
	if n := bytes.Count(request, []byte("key.one")); n != 1 {
		t.Errorf("the key is named %d times", n)
	}
	got := read(t, request)
	if len(got) != len(points) {
		t.Fatalf("%d points of %d", len(got), len(points))
	}
	for i, p := range got {
		if p.Line.Stats.Sum != float64(i%100) {
			t.Fatalf("point %d is %s: the order is lost", i, words(p))
		}
	}
}

// FuzzPoint lets the stand-in environment judge one point of any form and name.
func FuzzPoint(f *testing.F) {
	f.Add("temp.inlet", "site", "plant 7", "Name", `C:\a,b="c"`, 21.5, uint64(5), byte(0))
	f.Add("9.-ä", "a..b", "\x00\n\xff", "ü", strings.Repeat("温,", 90), -1e-300, uint64(1<<63+1), byte(1))
	f.Add("key", "d", strings.Repeat("=", 300), "D", "x", 1e22, uint64(1<<64-1), byte(2))
	f.Add("key", "d:e", `\`, "d_e", ` "`, -0.1, uint64(3), byte(3))
	f.Add("key", "", "", "", "", -0.1, uint64(3), byte(4))
	f.Fuzz(func(t *testing.T, key, k1, v1, k2, v2 string, x float64, n uint64, kind byte) {
		typ, value, whole := probes.Gauge, probes.Float(x), false
		switch kind % 5 {
		case 1:
			typ, value, whole = probes.Count, probes.Uint(n), n <= math.MaxInt64
		case 2:
			value = probes.Summarize(probes.Summary{Min: -x, Max: x, Sum: x / 2, Count: n})
		case 3:
			typ, value, whole = probes.Count, probes.Int(int64(n)), true
		case 4:
			typ = probes.Count
		}
		p := point(probes.NewSeries(key, typ, dim(k1, v1), dim(k2, v2)), value, stamp)
		request, refused := otlp.AppendMetrics(nil, []probes.Point{p}, options)
		if len(refused) > 0 {
			if len(request) > 0 || value.Check() == nil && len(key) <= 255 && fine(key) && (kind%5 != 2 || n <= math.MaxInt64) {
				t.Fatalf("%q is refused: %s", key, refused[0].Reason)
			}
			return
		}
		got := read(t, request)
		if len(got) != 1 || got[0].Refusal != nil || got[0].Whole != whole || got[0].Line.Timestamp != stamp {
			t.Fatalf("read %v", got)
		}
		s := value.Summary()
		l := got[0].Line
		if typ == probes.Count && l.Delta != value.Float64() || typ == probes.Gauge && l.Stats != (draintest.Stats{Min: s.Min, Max: s.Max, Sum: s.Sum, Count: int64(s.Count)}) {
			t.Fatalf("read %s of %v", l, value)
		}
		for _, d := range l.Dims {
			if raw := p.Series.Dim(d.Key); raw != "" && len(raw) <= 255 && !strings.ContainsFunc(raw, odd) && d.Value != raw {
				t.Fatalf("%s is read as %q, was %q", d.Key, d.Value, raw)
			}
		}
	})
}

// fine reports a key that can be sent as it is.
func fine(key string) bool { return keys.MatchString(key) && !strings.HasPrefix(key, "dt.") }

var keys = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]+(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$`)

// odd reports a character that no value keeps.
func odd(r rune) bool { return r == unicode.ReplacementChar || unicode.Is(unicode.C, r) }
