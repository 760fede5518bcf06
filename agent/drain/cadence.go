package drain

import (
	"time"

	"github.com/edgehold/edgehold/probes"
)

// cadence knows which series are polled more often than once a minute. They
// are learned from two points in one minute.
type cadence struct {
	last   map[*probes.Series]seen
	pruned time.Time
}

type seen struct {
	wall int64 // of the newest point, or of the newest minute with several
	fast bool
}

// remembered is how long a series that shows no second point in a minute stays
// fast, and how long one that does not come at all is remembered.
const remembered = time.Hour

func newCadence() *cadence { return &cadence{last: make(map[*probes.Series]seen)} }

func (c *cadence) fast(s *probes.Series) bool { return c.last[s].fast }
func (c *cadence) slow(s *probes.Series) bool { return !c.last[s].fast }

// learn takes note of points of slow series, which come oldest first.
func (c *cadence) learn(points []probes.Point) {
	for _, p := range points {
		before := c.last[p.Series]
		wall := p.Stamp.Wall
		if !before.fast && wall != before.wall {
			c.last[p.Series] = seen{max(wall, before.wall), minute(wall) == minute(before.wall)}
		}
	}
}

// confirm takes note of a minute that held several points of a series.
func (c *cadence) confirm(p probes.Point) {
	c.last[p.Series] = seen{max(c.last[p.Series].wall, p.Stamp.Wall), true}
}

func minute(wall int64) int64 { return wall / time.Minute.Milliseconds() }

// prune forgets what has not shown for long.
func (c *cadence) prune(now time.Time) {
	if now.Sub(c.pruned).Abs() < remembered/4 {
		return
	}
	c.pruned = now
	oldest, newest := now.Add(-remembered).UnixMilli(), now.Add(remembered).UnixMilli() // the clock may have gone back
	for s, x := range c.last {
		if x.wall < oldest || x.wall > newest {
			delete(c.last, s)
		}
	}
}
