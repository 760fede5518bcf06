package arc

import (
	"fmt"
	"testing"
)

// speed says how many points a second were coded, after one round that made
// the room for them.
func speed(b *testing.B, r recorded, segment func() (bytes int)) {
	bytes := segment()
	b.ReportAllocs()
	for b.Loop() {
		segment()
	}
	points := float64(r.points)
	b.ReportMetric(points*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpoints/s")
	b.ReportMetric(float64(bytes)/points, "B/point")
}

func benchmarkMixes(b *testing.B, bench func(b *testing.B, r recorded)) {
	for _, c := range []struct {
		name string
		mix  mixOptions
	}{{"normal", normalMix}, {"busy", busyMix}} {
		r := record(recording{mixOptions: c.mix, polls: 60})
		b.Run(c.name, func(b *testing.B) { bench(b, r) })
	}
}

func BenchmarkEncode(b *testing.B) {
	benchmarkMixes(b, func(b *testing.B, r recorded) {
		e := NewEncoder()
		var buf []byte
		speed(b, r, func() (bytes int) {
			e.Reset()
			for _, groups := range r.polls {
				buf, _ = e.Encode(buf[:0], groups)
				bytes += len(buf)
			}
			return bytes
		})
	})
}

func BenchmarkDecode(b *testing.B) {
	benchmarkMixes(b, func(b *testing.B, r recorded) {
		e, d := NewEncoder(), NewDecoder()
		var payloads [][]byte
		for _, groups := range r.polls {
			payload, err := e.Encode(nil, groups)
			if err != nil {
				b.Fatal(err)
			}
			payloads = append(payloads, payload)
		}
		speed(b, r, func() (bytes int) {
			d.Reset(testSeries)
			for _, payload := range payloads {
				if _, err := d.Decode(payload); err != nil {
					b.Fatal(err)
				}
				bytes += len(payload)
			}
			return bytes
		})
	})
}

// BenchmarkRatio gives bytes a point for segments of 10, 60 and 240 polls.
func BenchmarkRatio(b *testing.B) {
	small, devices := normalMix, normalMix
	small.devices = 4
	devices.devices, devices.ports = 200, 4
	for _, c := range []struct {
		name string
		of   recording
	}{
		{"normal", recording{mixOptions: normalMix, polls: 240}},
		{"busy", recording{mixOptions: busyMix, polls: 240}},
		{"992-series", recording{mixOptions: small, polls: 240}},
		{"200-groups", recording{mixOptions: devices, polls: 240, perDevice: true}},
		{"200-groups-in-one", recording{mixOptions: devices, polls: 240}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := record(c.of)
			b.ReportMetric(r.floor, "floor-B/point")
			for b.Loop() {
				for _, polls := range []int{10, 60, 240} {
					b.ReportMetric(r.pack(b, polls), fmt.Sprintf("B/point-%d-polls", polls))
				}
			}
		})
	}
}
