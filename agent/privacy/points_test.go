package privacy

import (
	"fmt"
	"math"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// Series that become one are folded: deltas add, gauges become a statistic,
// and what differs in key, type or stamp stays apart.
func TestFold(t *testing.T) {
	at, later := probes.Stamp{Wall: 1000}, probes.Stamp{Wall: 2000}
	gauge := func(port string) *probes.Series {
		return probes.NewSeries("load", probes.Gauge, dimsOf("port", port, "dev", "a")...)
	}
	count := func(port string) *probes.Series {
		return probes.NewSeries("bytes", probes.Count, dimsOf("port", port, "dev", "a")...)
	}
	points := []probes.Point{
		{Series: gauge("1"), Value: probes.Float(2), Stamp: at},
		{Series: count("1"), Value: probes.Uint(math.MaxUint64 - 5), Stamp: at},
		{Series: gauge("2"), Value: probes.Float(5), Stamp: at},
		{Series: count("2"), Value: probes.Uint(5), Stamp: at},
		{Series: gauge("3"), Value: probes.Summarize(probes.Summary{Min: 1, Max: 9, Sum: 10, Count: 2}), Stamp: at},
		{Series: gauge("1"), Value: probes.Float(7), Stamp: later},
		{Series: gauge("4"), Value: probes.Float(math.NaN()), Stamp: at},
	}
	p := policyOf(Rule{Dimension: "port", Action: Drop})
	var cache Cache
	got := cache.Points(p, points)
	if len(got) != 4 || p.Folded() != 3 {
		t.Fatalf("%d points, %d folded: %v", len(got), p.Folded(), got)
	}
	want := []probes.Value{
		probes.Summarize(probes.Summary{Min: 1, Max: 9, Sum: 17, Count: 4}), probes.Uint(math.MaxUint64), probes.Float(7),
	}
	for i, v := range want {
		if !got[i].Value.Equal(v) || text(got[i].Series.Dims()) != "dev=a" {
			t.Errorf("point %d: %v of %v, want %v", i, got[i].Value, got[i].Series.Dims(), v)
		}
	}
	if got[3].Value.Check() == nil {
		t.Error("what is no number has spoilt others, or is gone")
	}
	if got[0].Series != got[2].Series {
		t.Error("series that are the same are not one")
	}
}

// A series that is changed into one that is there already is folded with it.
func TestFoldWithUntouched(t *testing.T) {
	p := policyOf(Rule{Dimension: "port", Action: Drop})
	var cache Cache
	got := cache.Points(p, []probes.Point{
		{Series: probes.NewSeries("k", probes.Count), Value: probes.Int(1)},
		{Series: probes.NewSeries("k", probes.Count, dimsOf("port", "1")...), Value: probes.Int(2)},
	})
	if len(got) != 1 || got[0].Value.Float64() != 3 {
		t.Errorf("got %v", got)
	}
}

// Where no series become one nothing is folded, also where each poll makes its
// series anew.
func TestNoFold(t *testing.T) {
	p := policyOf(Rule{Dimension: "port", Action: Hash})
	var cache Cache
	for range 3 {
		s := probes.NewSeries("k", probes.Count, dimsOf("port", "1")...)
		points := []probes.Point{{Series: s, Value: probes.Int(1)}, {Series: s, Value: probes.Int(2), Stamp: probes.Stamp{Wall: 1}}}
		if got := cache.Points(p, points); len(got) != 2 || &got[0] != &points[0] {
			t.Fatalf("got %v", got)
		}
	}
	if cache.merges || p.Folded() != 0 {
		t.Error("series were taken to have become one")
	}
}

// The series of one row go on to share their dimensions, and each comes out as
// the same series in each poll.
func TestSharing(t *testing.T) {
	p := policyOf(Rule{Dimension: "user", Action: Drop}, Rule{Dimension: "if.*", Metric: "c", Action: Drop})
	row := probes.NewDimensions(dimsOf("user", "ann", "if.name", "eth0")...)
	poll := func() (points []probes.Point) {
		for _, key := range []string{"a", "b", "c"} {
			points = append(points, probes.Point{Series: probes.NewSeriesOf(key, probes.Gauge, row), Value: probes.Int(1)})
		}
		return points
	}
	var cache Cache
	first := poll()
	second := append([]probes.Point{}, first...)
	cache.Points(p, first)
	cache.Points(p, second)
	if first[0].Series.Shared() != first[1].Series.Shared() || text(first[2].Series.Dims()) != "" {
		t.Errorf("%v %v %v", first[0].Series.Dims(), first[1].Series.Dims(), first[2].Series.Dims())
	}
	for i := range first {
		if first[i].Series != second[i].Series {
			t.Error("a series came out as another one")
		}
	}
}

// A cache forgets series that no longer come.
func TestForgets(t *testing.T) {
	p := policyOf(Rule{Dimension: "id", Action: Hash})
	var cache Cache
	for i := range 5000 {
		s := probes.NewSeries("k", probes.Gauge, dimsOf("id", fmt.Sprint(i))...)
		cache.Points(p, []probes.Point{{Series: s, Value: probes.Int(1)}})
	}
	if len(cache.known) > 1100 || len(cache.one) > 1100 || len(cache.shared) > 1100 {
		t.Errorf("%d series are remembered", len(cache.known))
	}
}

// BenchmarkPoints is what a poll of 1,000 series costs: without a policy, with
// one when the series are known, and the first time.
func BenchmarkPoints(b *testing.B) {
	poll := make([]probes.Point, 1000)
	for i := range poll {
		dims := probes.NewDimensions(dimsOf("site", "plant", "device.address", "192.0.2.1", "if.name", fmt.Sprint(i/4), "if.alias", "desk", "user", "ann")...)
		poll[i] = probes.Point{Series: probes.NewSeriesOf(fmt.Sprint("metric", i%4), probes.Gauge, dims), Value: probes.Int(1)}
	}
	points := make([]probes.Point, len(poll))
	rules := []Rule{{Dimension: "*user*", Action: Drop}, {Dimension: "device.address", Action: Hash}, {Dimension: "if.alias", Metric: "metric1", Action: Drop}}
	for _, c := range []struct {
		name   string
		policy *Policy
		fresh  bool
	}{{"none", nil, false}, {"known", policyOf(rules...), false}, {"first", policyOf(rules...), true}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var cache Cache
			for b.Loop() {
				copy(points, poll)
				if c.fresh {
					cache = Cache{}
				}
				cache.Points(c.policy, points)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(poll)), "ns/point")
		})
	}
}
