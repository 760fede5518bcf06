package drain

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// switchLines gives metric lines of switches with 24 ports and nine counters a
// port, polled each 10 s, in the order in which they leave: a third of the ports
// is busy, a third nearly idle, a third down.
func switchLines(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	counters := []string{"bytes_in", "bytes_out", "unicast_packets_in", "unicast_packets_out", "multicast_packets_in", "errors_in", "errors_out", "discards_in", "discards_out"}
	var text []byte
	for i := 0; n > 0; i++ {
		device := i % 200
		for port := 1; port <= 24; port++ {
			dims := []probes.Dimension{
				{Key: "device.address", Value: fmt.Sprintf("192.0.2.%d", device)},
				{Key: "device.port", Value: "161"},
				{Key: "monitoring.mode", Value: "Extension"},
				{Key: "sys.name", Value: fmt.Sprintf("switch-%d.plant-7.example", device)},
				{Key: "if.name", Value: fmt.Sprintf("GigabitEthernet1/0/%d", port)},
				{Key: "mac.address", Value: fmt.Sprintf("00:53:00:%02x:12:%02x", device, port)},
				{Key: "site", Value: "plant-7"},
			}
			for c, counter := range counters {
				value := uint64(0)
				if busy := [3]float64{1e7, 900, 0}[(port+device)%3]; c < 5 && busy > 0 {
					value = uint64(busy * math.Exp(random.NormFloat64()/2))
					if c >= 2 {
						value = value/700 + uint64(random.IntN(20))
					}
				}
				s := probes.NewSeries("com.dynatrace.extension.network_device.if."+counter+".count", probes.Count, dims...)
				p := probes.Point{Series: s, Value: probes.Uint(value), Stamp: probes.Stamp{Wall: 1_767_225_600_000 + int64(i/200)*10_000}}
				line, err := mint.AppendLine(text, p)
				if err != nil {
					panic(err)
				}
				text = append(line, '\n')
				if n--; n == 0 {
					return text
				}
			}
		}
	}
	return text
}

func TestPack(t *testing.T) {
	var p packer
	for _, n := range []int{1000, 1, 1000, 20} {
		text := switchLines(n)
		packed := p.gzip(text)
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, text) {
			t.Errorf("%d lines: %d bytes came back as %d, %v", n, len(text), len(back), err)
		}
		if perLine := float64(len(packed)) / float64(n); n == 1000 && perLine > 9 {
			t.Errorf("%.2f bytes a line", perLine)
		}
	}
}

// BenchmarkPost sends metric lines of switches over TLS to a server in the same
// process: B/pt is what moves on the wire both ways.
func BenchmarkPost(b *testing.B) {
	for _, http2 := range []bool{false, true} {
		for _, n := range []int{20, 1000} {
			b.Run(fmt.Sprintf("HTTP2=%v/lines=%d", http2, n), func(b *testing.B) {
				server := tlsServer(b, tlsOptions{http2: http2})
				s := testSender(b, server.URL, ClientOptions{CAFile: server.ca})
				text := switchLines(n)
				wire, posts := int64(0), 0
				b.ReportAllocs()
				for b.Loop() {
					x := s.post(b.Context(), request{cargo: metrics, body: text, items: n})
					if x.err != nil {
						b.Fatal(x.err)
					}
					wire, posts = wire+x.wire, posts+1
				}
				b.ReportMetric(float64(wire)/float64(posts*n), "B/pt")
			})
		}
	}
}
