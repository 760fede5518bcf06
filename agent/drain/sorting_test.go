package drain

import (
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// TestOrder holds that each item has its place once, that keys stay together,
// and that values rise within a poll.
func TestOrder(t *testing.T) {
	var o sorting
	for _, n := range []int{0, 1, 500, 2 * maxLines, 1 << placeBits, 1<<placeBits + 100} {
		network := newNetwork(bustling, 1+n/netPoints, netPolls)
		items := fold(nil, network.poll()[:n], 0)
		seen, keys := map[uint64]bool{}, map[string]bool{}
		var last probes.Point
		for _, at := range o.order(items) {
			p := items[at].point
			if key := p.Series.Key(); key != "" && (last.Series == nil || key != last.Series.Key()) {
				if keys[key] {
					t.Fatalf("%d items: %s comes in two places", n, key)
				}
				keys[key] = true
			} else if p.Stamp.Wall < last.Stamp.Wall || p.Stamp == last.Stamp && p.Value.Float64() < 0.999*last.Value.Float64() {
				t.Fatalf("%d items: %v comes behind %v", n, p, last)
			}
			seen[at], last = true, p
		}
		if want := min(n, 1<<placeBits); len(seen) != want {
			t.Errorf("%d items have %d places, want %d", n, len(seen), want)
		}
	}
}
