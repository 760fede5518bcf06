package drain

import (
	"time"

	"github.com/edgehold/edgehold/probes"
)

// cadence knows which series are polled more often than once a minute. They
// are learned from two points in one minute. Series that share their
// dimensions are of one row, which is polled as a whole: they are one here.
type cadence struct {
	last   map[*probes.Dimensions]seen
	pruned time.Time

	// The dimensions that were asked for last: rows come series by series.
	asked *probes.Dimensions
	quick bool
}

type seen struct {
	wall int64 // of the newest point, or of the newest minute with several
	fast bool
}

// remembered is how long a series that shows no second point in a minute stays
// fast, and how long one that does not come at all is remembered.
const remembered = time.Hour

// apart is how far two points may lie apart in a minute at most that show a
// series to be fast. What is polled once a minute, a little late and then on
// time, may be in one minute twice: it is sent as it is, which is no harm, and to
// fold a minute takes all of its records.
const apart = 55 * time.Second

func newCadence() *cadence { return &cadence{last: make(map[*probes.Dimensions]seen)} }

func (c *cadence) fast(s *probes.Series) bool {
	if d := s.Shared(); d != c.asked {
		c.asked, c.quick = d, c.last[d].fast
	}
	return c.quick
}

func (c *cadence) slow(s *probes.Series) bool { return !c.fast(s) }

// learn takes note of points of slow series, which come oldest first.
func (c *cadence) learn(points []probes.Point) {
	var row *probes.Dimensions
	var noted int64
	for i := range points {
		d, wall := points[i].Series.Shared(), points[i].Stamp.Wall
		if d == row && wall == noted {
			continue
		}
		row, noted = d, wall
		before := c.last[d]
		if !before.fast && wall != before.wall {
			near := max(wall-before.wall, before.wall-wall) < apart.Milliseconds()
			c.last[d] = seen{max(wall, before.wall), near && minute(wall) == minute(before.wall)}
		}
	}
	c.asked = nil
}

// confirm takes note of a minute that held several points of a series.
func (c *cadence) confirm(p probes.Point) {
	d := p.Series.Shared()
	c.last[d] = seen{max(c.last[d].wall, p.Stamp.Wall), true}
	c.asked = nil
}

func minute(wall int64) int64 { return wall / time.Minute.Milliseconds() }

// prune forgets what has not shown for long.
func (c *cadence) prune(now time.Time) {
	if now.Sub(c.pruned).Abs() < remembered/4 {
		return
	}
	c.pruned, c.asked = now, nil
	oldest, newest := now.Add(-remembered).UnixMilli(), now.Add(remembered).UnixMilli() // the clock may have gone back
	for s, x := range c.last {
		if x.wall < oldest || x.wall > newest {
			delete(c.last, s)
		}
	}
}
