package drain

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func TestCadenceOfRows(t *testing.T) {
	at := func(d time.Duration) int64 { return noon.Add(d).UnixMilli() }
	row := probes.NewDimensions(probes.Dimension{Key: "row", Value: "1"})
	one, two := probes.NewSeriesOf("m.one", probes.Gauge, row), probes.NewSeriesOf("m.two", probes.Count, row)
	other := probes.NewSeries("m.one", probes.Gauge, probes.Dimension{Key: "row", Value: "2"})
	for _, tt := range []struct {
		name  string
		walls []int64
		fast  bool
	}{
		{"once", []int64{at(0)}, false},
		{"each ten seconds", []int64{at(0), at(10 * time.Second)}, true},
		{"each minute", []int64{at(0), at(time.Minute)}, false},
		{"each ten seconds, over the end of a minute", []int64{at(55 * time.Second), at(65 * time.Second)}, false},
		{"each minute, late and then on time", []int64{at(5 * time.Millisecond), at(time.Minute - time.Millisecond)}, false},
		{"the same point again", []int64{at(0), at(0)}, false},
	} {
		c := newCadence()
		for _, wall := range tt.walls {
			stamp := probes.Stamp{Wall: wall}
			c.learn([]probes.Point{{Series: one, Stamp: stamp}, {Series: two, Stamp: stamp}})
			if wall == tt.walls[0] && (c.fast(one) || c.fast(two) || !c.slow(one)) {
				t.Errorf("%s: fast after one poll", tt.name)
			}
		}
		if c.fast(one) != tt.fast || c.fast(two) != tt.fast || c.slow(two) == tt.fast {
			t.Errorf("%s: fast is %v and %v, want %v", tt.name, c.fast(one), c.fast(two), tt.fast)
		}
		if c.fast(other) {
			t.Errorf("%s: a series of another row is fast too", tt.name)
		}
		if len(c.last) != 1 {
			t.Errorf("%s: %d entries of one row", tt.name, len(c.last))
		}
		c.prune(noon.Add(2 * remembered))
		if len(c.last) != 0 || c.fast(one) {
			t.Errorf("%s: a row that is gone is remembered", tt.name)
		}
	}
}
