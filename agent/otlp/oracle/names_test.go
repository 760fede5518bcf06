package oracle

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/probes"
)

// TestNamesAreThoseOfMetricLines makes sure that a series has one name,
// whichever way it leaves: as a metric line or over OTLP. Two differences are
// in the endpoints' own rules and left out here: a colon in a dimension key,
// and values of 251 to 255 bytes.
func TestNamesAreThoseOfMetricLines(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 6))
	word := func() string {
		var b strings.Builder
		for range rng.IntN(1 << rng.IntN(8)) {
			b.WriteString([]string{"a", "Z", "_", "-", ".", "7", "ä", " ", "\n", "\xff", "\u200b", `"`, "=", "key"}[rng.IntN(14)])
		}
		return b.String()
	}
	both := 0
	for range 50_000 {
		p := probes.Point{
			Series: probes.NewSeries(word(), probes.Gauge, dim(word(), word()), dim(word(), word()), dim(word(), word())),
			Value:  probes.Int(1), Stamp: probes.Stamp{Wall: stamp},
		}
		line, err := mint.AppendLine(nil, p)
		request, refused := otlp.AppendMetrics(nil, []probes.Point{p}, options)
		if err != nil {
			continue
		}
		if len(refused) > 0 {
			t.Fatalf("%q is refused: %s", line, refused[0].Reason)
		}
		as, err := draintest.ParseLine(string(line))
		if err != nil {
			t.Fatal(err)
		}
		points, err := draintest.ParseOTLPMetrics(request)
		if err != nil {
			t.Fatal(err)
		}
		if over := points[0].Line.Series(); over != as.Series() && !long(p.Series) {
			t.Fatalf("a line is of %s, a data point of %s", as.Series(), over)
		}
		both++
	}
	if both < 10_000 {
		t.Errorf("only %d series left both ways", both)
	}
}

// long reports a value that the two cut differently.
func long(s *probes.Series) bool {
	for _, d := range s.Dims() {
		if len(d.Value) > 250 {
			return true
		}
	}
	return false
}
