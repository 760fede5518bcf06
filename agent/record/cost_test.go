package record

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// switchPoll is one poll of a switch of 24 ports with the built-in package: 169
// points of 49 sets of dimensions.
func switchPoll(device int, at probes.Stamp) (points []probes.Point) {
	random := rand.New(rand.NewPCG(uint64(device), uint64(at.Wall)))
	const prefix = "com.dynatrace.extension.network_device."
	name := fmt.Sprintf("sw-access-%02d.plant-7.example", device)
	base := dims("site", "plant-7", "device.address", fmt.Sprint("192.0.2.", device), "device.port", "161", "sys.name", name,
		"monitoring.mode", "Extension", "device.type", "generic")
	add := func(key string, typ probes.Type, value uint64, more ...string) {
		s := probes.NewSeries(prefix+key, typ, append(dims(more...), base...)...)
		points = append(points, probes.Point{Series: s, Value: probes.Uint(value), Stamp: at})
	}
	add("sysuptime", probes.Gauge, 123_456_789, "sys.description", "Example Networks EX-24, version 15.2(7)E4, release (fc2)",
		"sys.objectid", "1.3.6.1.4.1.9.1.1208", "sys.contact", "noc@example.com", "sys.location", "hall 3, rack 2")
	for i := range 24 {
		port, index := fmt.Sprint("GigabitEthernet1/0/", i+1), fmt.Sprint(10_101+i)
		add("if.status", probes.Gauge, 1, "if.name", port, "if.idx", index, "if.descr", port, "if.alias", fmt.Sprint("cell ", i), "if.type",
			"ethernetCsmacd(6)", "if.mtu", "1500", "if.speed", "1000", "admin.status", "up(1)", "oper.status", "up(1)")
		add("if.bytes_in.count", probes.Count, 4_000_000+random.Uint64N(8_000_000), "if.name", port)
		add("if.bytes_out.count", probes.Count, 500_000+random.Uint64N(2_000_000), "if.name", port)
		for _, key := range []string{"if.in.errors.count", "if.out.errors.count", "if.in.discards.count", "if.out.discards.count"} {
			add(key, probes.Count, 0, "if.name", port)
		}
	}
	return points
}

// TestCost holds what DQL.md says of the bytes of late records.
func TestCost(t *testing.T) {
	for _, c := range []struct {
		every, resolution time.Duration
		most              float64 // bytes a point
	}{
		{time.Minute, 0, 175},
		{time.Minute, time.Minute, 175},
		{10 * time.Second, 0, 175},
		{10 * time.Second, time.Minute, 34},
		{time.Minute, 5 * time.Minute, 43},
		{time.Minute, time.Hour, 4},
	} {
		var points []probes.Point
		for ago := 2*time.Hour + max(c.resolution, 10*time.Minute); ago > 2*time.Hour; ago -= c.every {
			points = append(points, switchPoll(1, stamp(ago))...)
		}
		text, records := 0, Late(points, LateOptions{Now: noon, Resolution: c.resolution})
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		for _, r := range records {
			item := AppendLogItem(nil, r.Record)
			text += len(item) + 1
			if _, err := zip.Write(item); err != nil {
				t.Fatal(err)
			}
		}
		zip.Close()
		each := float64(text) / float64(len(points))
		t.Logf("polled each %v, resolution %v: %d points in %d records, %.1f bytes a point, %.1f with gzip; %.1f MB for a device and day",
			c.every, c.resolution, len(points), len(records), each, float64(packed.Len())/float64(len(points)), each*169*float64(24*time.Hour/c.every)/1e6)
		if each > c.most {
			t.Errorf("polled each %v, resolution %v: %.1f bytes a point, at most %.0f are documented", c.every, c.resolution, each, c.most)
		}
	}
}

func BenchmarkLate(b *testing.B) {
	var points []probes.Point
	for device := range 20 {
		points = append(points, switchPoll(device, stamp(2*time.Hour))...)
	}
	var body []byte
	for b.Loop() {
		body = body[:0]
		for _, r := range Late(points, LateOptions{Now: noon}) {
			body = AppendLogItem(body, r.Record)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(points)), "ns/point")
}
