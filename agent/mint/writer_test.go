package mint

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// TestWriter holds that a writer writes what AppendLine writes, whatever lines
// came before: series that share keys, values, both or nothing, and some that
// have no line.
func TestWriter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	keys := []string{"site", "Site", "if.name", "if name", "...", "device.address", "x-y", "9x", "a b"}
	values := []string{"plant-7", "plant-77", "", "10.0.0.1", `with "quotes"`, "x\ny", "grün", "a, b"}
	points := goldenPoints()
	points = append(points, gauge("k", probes.Int(1)), gauge("key", probes.Float(1), manyDimensions()...))
	for range 300 {
		var pairs []string
		for _, k := range random.Perm(len(keys))[:random.IntN(5)] {
			pairs = append(pairs, keys[k], values[random.IntN(len(values))])
		}
		points = append(points, gauge("key.one", probes.Int(int64(random.IntN(1000))), pairs...))
	}
	var w Writer
	var ours, want []byte
	for range 20_000 {
		p := points[random.IntN(len(points))]
		var err, wantErr error
		ours, err = w.AppendLine(append(ours[:0], "before "...), p)
		want, wantErr = AppendLine(append(want[:0], "before "...), p)
		if !bytes.Equal(ours, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("wrote %q, %v\nwant  %q, %v", ours, err, want, wantErr)
		}
	}
}

func manyDimensions() (pairs []string) {
	for i := range maxDimensions + 1 {
		pairs = append(pairs, fmt.Sprintf("d%d", i), "x")
	}
	return pairs
}

func BenchmarkWriter(b *testing.B) {
	points := make([]probes.Point, 24)
	for i := range points {
		points[i] = gauge("com.dynatrace.extension.network_device.if.speed", probes.Int(1000), "device.address", "10.20.0.1", "device.name", "switch-7",
			"device.port", "161", "device.type", "generic", "if.name", fmt.Sprintf("Gi1/0/%d", i), "monitoring.mode", "Extension", "site", "plant-7", "sys.name", "switch-7")
	}
	var w Writer
	var line []byte
	for i := 0; b.Loop(); i++ {
		line, _ = w.AppendLine(line[:0], points[i%len(points)])
	}
	b.SetBytes(int64(len(line)))
}
