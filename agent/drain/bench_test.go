package drain

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/buffer"
)

// BenchmarkDrain leases points, makes lines or data points of them, compresses
// them and settles them as delivered: all but the way there.
func BenchmarkDrain(b *testing.B) {
	for _, mix := range []mixture{steady, bustling} {
		for _, way := range []string{wayFull, wayMinute, wayOTLP} {
			b.Run(mix.name+"/"+way, func(b *testing.B) { benchmarkDrain(b, mix, way) })
		}
	}
}

func benchmarkDrain(b *testing.B, mix mixture, way string) {
	full := newBacklog(b, mix, 20, 48)
	var d *Drain
	var store *buffer.Store
	open := func() {
		path := filepath.Join(b.TempDir(), "bench.db")
		full.copyTo(b, path)
		store = openAt(b, path, 10*time.Second, func() time.Time { return full.now })
		o := Options{Target: benchTarget(b, way), Store: store, Log: zerolog.Nop(), Now: func() time.Time { return full.now }}
		if way == wayMinute {
			o.Resolution = Minute
		}
		d = New(o)
		d.heed()
		d.shaper.cap, d.perLine[metrics], d.perLine[otlpMetrics] = mostSize, 250, 200
	}
	open()
	points, bytes := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		found, err := d.fill(laneWindow)
		if err != nil {
			b.Fatal(err)
		}
		if !found {
			b.StopTimer()
			_ = store.Close()
			open()
			b.StartTimer()
			continue
		}
		x := &d.loads[laneWindow]
		for ; x.busy(); x.parts = x.parts[1:] {
			part := x.parts[0]
			bytes += len(d.sender.pack.pack(x.cargo, x.form.body(part)))
			points += int(x.deliver(part, outcome{verdict: accepted}).points)
		}
		d.finish(x)
	}
	b.StopTimer()
	_ = store.Close()
	b.ReportMetric(b.Elapsed().Seconds()/float64(points)*1e9, "ns/point")
	b.ReportMetric(float64(bytes)/float64(points), "B/point")
}

// benchTarget is never reached.
func benchTarget(b *testing.B, way string) Target {
	b.Helper()
	client, err := NewClient(ClientOptions{})
	if err != nil {
		b.Fatal(err)
	}
	t := Target{URL: "http://127.0.0.1:9", Client: client}
	if way == wayOTLP {
		t.Protocol = OTLP
	}
	return t
}
