package record

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func point(s *probes.Series, v probes.Value, ago time.Duration) probes.Point {
	return probes.Point{Series: s, Value: v, Stamp: stamp(ago)}
}

var (
	bytesIn  = probes.NewSeries("com.dynatrace.extension.network_device.if.bytes_in.count", probes.Count, dims("device.address", "192.0.2.7", "if.name", "Gi0/1")...)
	bytesOut = probes.NewSeries("com.dynatrace.extension.network_device.if.bytes_out.count", probes.Count, dims("device.address", "192.0.2.7", "if.name", "Gi0/1")...)
	uptime   = probes.NewSeries("com.dynatrace.extension.network_device.sysuptime", probes.Gauge, dims("device.address", "192.0.2.7")...)
	load     = probes.NewSeries("load", probes.Gauge, dims("Device.Address", "192.0.2.7")...)
)

// items gives the JSON of the records, one a line, and what each is from.
func items(records []LateRecord) (text []string) {
	for _, r := range records {
		text = append(text, fmt.Sprintf("%s %v", AppendLogItem(nil, r.Record), r.From))
	}
	return text
}

func TestLate(t *testing.T) {
	const h = time.Hour
	unknown := point(uptime, probes.Uint(9), 0)
	unknown.Stamp = probes.Stamp{Boot: bootB, Uptime: 90 * time.Second, Wall: 90_000, Guess: true}
	stats := probes.Summarize(probes.Summary{Min: 1, Max: 3, Sum: 5, Count: 3})
	for name, c := range map[string]struct {
		points []probes.Point
		o      LateOptions
		want   []string
	}{
		"all metrics of a port in one": {
			[]probes.Point{point(bytesOut, probes.Uint(7), 3*h), point(uptime, probes.Uint(math.MaxUint64), 3*h), point(bytesIn, probes.Uint(5), 3*h)},
			LateOptions{Site: "plant-7"},
			[]string{
				`{"timestamp":1767214800000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T21:00:00.000Z",` +
					`"site":"plant-7","device.address":"192.0.2.7","if.name":"Gi0/1","network_device.if.bytes_in.count":5,"network_device.if.bytes_out.count":7} [2 0]`,
				`{"timestamp":1767214800000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T21:00:00.000Z",` +
					`"site":"plant-7","device.address":"192.0.2.7","network_device.sysuptime":18446744073709551615} [1]`,
			},
		},
		"older than a day": {
			[]probes.Point{point(bytesIn, probes.Uint(5), 23*h+51*time.Minute)},
			LateOptions{},
			[]string{`{"timestamp":1767225600000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T00:09:00.000Z",` +
				`"device.address":"192.0.2.7","if.name":"Gi0/1","network_device.if.bytes_in.count":5} [0]`},
		},
		"time unknown": {
			[]probes.Point{unknown},
			LateOptions{Resolution: time.Minute},
			[]string{`{"timestamp":1767225600000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time_unknown":"true",` +
				`"edgehold.boot":"0b000000000000000000000000000000","device.address":"192.0.2.7","edgehold.uptime":90000,"network_device.sysuptime":9} [0]`},
		},
		"folded": {
			[]probes.Point{
				point(load, probes.Float(4), 2*h-time.Second), point(bytesIn, probes.Uint(math.MaxUint64-2), 2*h-2*time.Second), point(load, stats, 2*h-30*time.Second),
				point(bytesIn, probes.Uint(2), 2*h-59*time.Second), point(load, probes.Int(8), 2*h-time.Minute),
			},
			LateOptions{Resolution: time.Minute},
			[]string{
				`{"timestamp":1767218430000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:00:30.000Z",` +
					`"edgehold.from":"2025-12-31T22:00:01.000Z","device.address":"192.0.2.7","load.min":1,"load.max":4,"load.sum":9,"load.count":4} [0 2]`,
				`{"timestamp":1767218459000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:00:59.000Z",` +
					`"edgehold.from":"2025-12-31T22:00:02.000Z","device.address":"192.0.2.7","if.name":"Gi0/1","network_device.if.bytes_in.count":18446744073709551615} [1 3]`,
				`{"timestamp":1767218460000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:01:00.000Z",` +
					`"device.address":"192.0.2.7","load":8} [4]`,
			},
		},
		"not folded": {
			[]probes.Point{point(load, probes.Float(4), 2*h), point(load, probes.Float(5), 2*h-time.Second)},
			LateOptions{},
			[]string{
				`{"timestamp":1767218400000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:00:00.000Z","device.address":"192.0.2.7","load":4} [0]`,
				`{"timestamp":1767218401000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:00:01.000Z","device.address":"192.0.2.7","load":5} [1]`,
			},
		},
		"a value that nobody takes": {
			[]probes.Point{point(load, probes.Float(math.NaN()), 2*h), point(uptime, probes.Int(1), 2*h)},
			LateOptions{Resolution: h},
			[]string{
				`{"timestamp":1767218400000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:00:00.000Z","device.address":"192.0.2.7","edgehold.cut":"1 left out, 0 shortened"} [0]`,
				`{"timestamp":1767218400000,"log.source":"edgehold","content":"late metrics","edgehold.late":"true","edgehold.time":"2025-12-31T22:00:00.000Z","device.address":"192.0.2.7","network_device.sysuptime":1} [1]`,
			},
		},
	} {
		c.o.Now = noon
		got := items(Late(c.points, c.o))
		for i := range max(len(got), len(c.want)) {
			if i >= len(got) || i >= len(c.want) || got[i] != c.want[i] {
				t.Errorf("%s: record %d\n got %v\nwant %v", name, i, got[min(i, len(got)):min(i+1, len(got))], c.want[min(i, len(c.want)):min(i+1, len(c.want))])
			}
		}
	}
}

func TestLateNames(t *testing.T) {
	series := func(key string, typ probes.Type) *probes.Series {
		return probes.NewSeries(key, typ, dims("device.address", "192.0.2.7", "speed", "x")...)
	}
	long := strings.Repeat("a", 240)
	records := Late([]probes.Point{
		point(series("speed", probes.Gauge), probes.Int(1), 0), // as a dimension
		point(series("load", probes.Gauge), probes.Summarize(probes.Summary{Count: 2}), 0),
		point(series("load.count", probes.Count), probes.Int(2), 0), // as a part of the statistics
		point(series(vendorPrefix+"speed", probes.Count), probes.Int(3), 0),
		point(series(long+"1", probes.Gauge), probes.Summarize(probes.Summary{Count: 3}), 0),
		point(series(long+"2", probes.Gauge), probes.Int(4), 0),
		point(series("timestamp", probes.Gauge), probes.Int(5), 0),
	}, LateOptions{Now: noon})
	if len(records) != 1 || len(records[0].From) != 7 {
		t.Fatalf("%+v", records)
	}
	r := records[0].Record
	var names []string
	for _, n := range r.Numbers {
		names = append(names, n.Key)
	}
	hashed := func(s string) string { return AttributeName(long + s) }
	want := []string{
		hashed("1") + ".min", hashed("1") + ".max", hashed("1") + ".sum", hashed("1") + ".count", hashed("2"), "speed_",
		"load.min", "load.max", "load.sum", "load.count", "load.count_", "speed__", "edgehold.timestamp",
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("got  %v\nwant %v", names, want)
	}
	for _, d := range r.Attributes {
		if isNote(d) {
			t.Errorf("something was cut: %v", d)
		}
	}
	if hashed("1") == hashed("2") || len(hashed("1")) > 92 {
		t.Errorf("names %q and %q", hashed("1"), hashed("2"))
	}
}

// TestLateManyMetrics has more metrics than one record takes.
func TestLateManyMetrics(t *testing.T) {
	var points []probes.Point
	for i := range 1200 {
		points = append(points, point(probes.NewSeries(fmt.Sprintf("metric.%04d", i), probes.Gauge, dims("site", "a")...), probes.Int(int64(i)), time.Hour))
	}
	records := Late(points, LateOptions{Now: noon})
	seen := 0
	for _, r := range records {
		if n := len(r.Record.Attributes) + len(r.Record.Numbers); n > maxAttributes || len(r.Record.Numbers) != len(r.From) {
			t.Errorf("%d attributes, %d numbers from %d points", n, len(r.Record.Numbers), len(r.From))
		}
		for i, n := range r.Record.Numbers {
			if want := points[r.From[i]]; n.Key != want.Series.Key() || !n.Value.Equal(want.Value) {
				t.Errorf("%+v is not of %v", n, want)
			}
		}
		seen += len(r.From)
	}
	if len(records) != 3 || seen != len(points) {
		t.Errorf("%d records of %d points", len(records), seen)
	}
}

// TestLateArrives sends late measurements of any ages to the stand-in, whose
// own reading of the records must find every one at its true time.
func TestLateArrives(t *testing.T) {
	for _, resolution := range []time.Duration{0, time.Minute, 5 * time.Minute, time.Hour} {
		t.Run(resolution.String(), func(t *testing.T) {
			points := randomPoints(2000)
			env := environment(t)
			records := Late(points, LateOptions{Now: noon, Resolution: resolution})
			var plain []probes.Record
			var from []int32
			for _, r := range records {
				plain = append(plain, r.Record)
				from = append(from, r.From...)
			}
			if slices.Sort(from); len(from) != len(points) || from[0] != 0 || int(from[len(from)-1]) != len(points)-1 || len(slices.Compact(from)) != len(points) {
				t.Fatalf("the records are from %d of %d points", len(from), len(points))
			}
			if status := post(t, env, "/api/v2/logs/ingest", logBody(plain...)); status != 204 {
				t.Fatalf("status %d: %v", status, env.Ledger().Refusals()[0].Reason)
			}
			checkArrived(t, env.Ledger().LatePoints(), expected(points, resolution))
			if c := env.Counts(); c.LateRecords != len(records) || c.LateDuplicates != 0 || c.LateConflicts != 0 {
				t.Errorf("%d records, counts %+v", len(records), c)
			}
			if resolution == 0 {
				for _, p := range points {
					checkTimes(t, env.Ledger().LateTimes, p)
				}
			}
		})
	}
}

func checkTimes(t *testing.T, times func(string, map[string]string, time.Time) int, p probes.Point) {
	t.Helper()
	d := map[string]string{}
	for _, x := range p.Series.Dims() {
		d[x.Key] = x.Value
	}
	if n := times(AttributeName(p.Series.Key()), d, p.Stamp.Time()); !p.Stamp.Guess && n != 1 {
		t.Fatalf("%s %v at %v arrived %d times", p.Series.Key(), d, p.Stamp.Time(), n)
	}
}

// randomPoints are of 40 series, each at most once a second, up to 40 days old,
// some of them without a true time.
func randomPoints(n int) (points []probes.Point) {
	random := rand.New(rand.NewPCG(1, 2))
	var series []*probes.Series
	for i := range 40 {
		d := dims("device.address", fmt.Sprint("192.0.2.", i%3), "if.name", fmt.Sprint("port ", i%5), "site", "a \"b\"")
		series = append(series, probes.NewSeries(fmt.Sprintf("com.dynatrace.extension.m%d", i/15), probes.Type(1+i%2), d...))
	}
	taken := map[string]bool{}
	for len(points) < n {
		s := series[random.IntN(len(series))]
		ago := time.Duration(random.IntN(3600)) * time.Second
		if random.IntN(2) == 0 {
			ago += time.Duration(random.IntN(40*24)) * time.Hour
		}
		p := point(s, probes.Uint(uint64(random.IntN(1000))), ago)
		if p.Stamp.Guess = random.IntN(10) == 0; p.Stamp.Guess {
			p.Stamp.Boot = bootB
		}
		if key := fmt.Sprint(s.ID(), p.Stamp); !taken[key] {
			taken[key] = true
			points = append(points, p)
		}
	}
	return points
}
