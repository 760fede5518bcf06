package otlp_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/probes"
)

// ports are points as a switch gives them: every port, every metric, all kinds.
func ports(n int, rng *rand.Rand) []probes.Point {
	var points []probes.Point
	for i := 0; len(points) < n; i++ {
		dims := []probes.Dimension{
			dim("site", "plant-7"), dim("device.address", "192.0.2.10"), dim("sys.name", "sw-hall-3"), dim("if.name", fmt.Sprintf("GigabitEthernet0/%d", i%48)),
			dim("if.alias", strings.Repeat("long ", rng.IntN(12))), dim("Upper", "x"), dim("mac.address", "00:00:5e:00:53:01"),
		}
		for j := range 5 {
			v := []probes.Value{
				probes.Uint(rng.Uint64()), probes.Int(-int64(i)), probes.Float(rng.NormFloat64()), probes.Uint(0),
				probes.Summarize(probes.Summary{Min: -1, Max: 2, Sum: 3, Count: 6}),
			}[j]
			typ := probes.Gauge
			if j < 2 {
				typ = probes.Count
			}
			s := probes.NewSeries(fmt.Sprintf("com.dynatrace.extension.network_device.m%d", j), typ, dims...)
			points = append(points, point(s, v, stamp+int64(i/48)*60_000))
		}
	}
	return points[:n]
}

func TestFitsIsOnTheSafeSide(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	points := ports(4000, rng)
	for range 200 {
		size := 1000 + rng.IntN(1_000_000)
		from := rng.IntN(len(points))
		n := otlp.Fits(points[from:], size, options)
		request, _ := otlp.AppendMetrics(nil, points[from:from+n], options)
		if n != 1 && len(request) > size {
			t.Fatalf("%d points are %d bytes, %d were allowed", n, len(request), size)
		}
		if from+n < len(points) && n > 20 && len(request) < size*9/10 {
			t.Errorf("%d points are only %d bytes, %d were allowed", n, len(request), size)
		}
	}
	one := points[:1]
	if n := otlp.Fits(one, 10, options); n != 1 {
		t.Errorf("%d points fit into nothing", n)
	}
	if n := otlp.Fits(nil, 10, options); n != 0 {
		t.Errorf("%d of no points fit", n)
	}
	small := make([]probes.Point, 20_000)
	for i := range small {
		small[i] = point(probes.NewSeries("small", probes.Gauge), probes.Int(1), stamp)
	}
	if n := otlp.Fits(small, otlp.MaxBytes, options); n != otlp.MaxPoints {
		t.Errorf("%d points in a request", n)
	}
}

func TestLargestPointIsAsLargeAsTold(t *testing.T) {
	var dims []probes.Dimension
	for i := range 48 {
		dims = append(dims, dim(fmt.Sprintf("%s%02d", strings.Repeat("k", 98), i), strings.Repeat("v", 255)))
	}
	s := probes.NewSeries(strings.Repeat("m", 255), probes.Gauge, dims...)
	request, refused := otlp.AppendMetrics(nil, []probes.Point{point(s, probes.Summarize(probes.Summary{Min: 1, Max: 2, Sum: 3, Count: 2}), stamp)}, otlp.Options{})
	if len(refused) > 0 || len(request) < 17_000 || len(request) > 19_000 {
		t.Errorf("it is %d bytes, refused %v", len(request), refused)
	}
}

func TestFitsLogs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var records []probes.Record
	for i := range 3000 {
		r := record(rng)
		if i == 2000 {
			r.Attributes = append(r.Attributes, dim("site", "another"))
		}
		records = append(records, r)
	}
	for range 100 {
		size := 500 + rng.IntN(200_000)
		from := rng.IntN(len(records))
		n := otlp.FitsLogs(records[from:], size, options)
		request := otlp.AppendLogs(nil, records[from:from+n], options)
		if n != 1 && len(request) > size || from+n < len(records) && n > 20 && len(request) < size*3/4 {
			t.Errorf("%d records are %d bytes, %d were allowed", n, len(request), size)
		}
		if got, err := draintest.ParseOTLPLogs(request); err != nil || len(got) != n {
			t.Fatalf("%d of %d records read: %v", len(got), n, err)
		}
	}
	if n := otlp.FitsLogs(make([]probes.Record, 60_000), otlp.MaxLogBytes, options); n != otlp.MaxRecords {
		t.Errorf("%d records in a request", n)
	}
}

func BenchmarkAppendMetrics(b *testing.B) {
	for _, c := range []struct {
		name   string
		points []probes.Point
	}{
		{"each point a series", ports(10_000, rand.New(rand.NewPCG(1, 2)))},
		{"each point a port", singles()},
		{"a backlog", backlog()},
	} {
		b.Run(c.name, func(b *testing.B) {
			var request []byte
			b.ReportAllocs()
			for b.Loop() {
				request, _ = otlp.AppendMetrics(request[:0], c.points, options)
			}
			perOp := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(float64(len(c.points))/perOp*1e3, "Mpoints/s")
			b.ReportMetric(float64(len(request))/float64(len(c.points)), "bytes/point")
		})
	}
}

// singles are points that share no dimensions with their neighbours.
func singles() (all []probes.Point) {
	for i, p := range ports(50_000, rand.New(rand.NewPCG(1, 2))) {
		if i%5 == 2 {
			all = append(all, p)
		}
	}
	return all
}

// backlog is ten minutes of a switch, by time, as leases come.
func backlog() []probes.Point {
	one := ports(1000, rand.New(rand.NewPCG(1, 2)))
	var all []probes.Point
	for i := range 10 {
		for _, p := range one {
			p.Stamp.Wall += int64(i) * 60_000
			all = append(all, p)
		}
	}
	return all
}

// TestNoAllocationPerPoint bounds what a request costs.
func TestNoAllocationPerPoint(t *testing.T) {
	points := backlog()
	var request []byte
	request, _ = otlp.AppendMetrics(request, points, options)
	n := testing.AllocsPerRun(5, func() { request, _ = otlp.AppendMetrics(request[:0], points, options) })
	if n > float64(len(points))/50 {
		t.Errorf("%.0f allocations for %d points", n, len(points))
	}
}
