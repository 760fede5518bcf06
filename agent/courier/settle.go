package courier

import (
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// settlement turns what a relay says of the items of a block into what became
// of the points of its lease. The two differ in number where a log record
// stands for many points, and where points were evicted or damaged here
// meanwhile: then what was delivered is made to fit, and adjusted tells by how
// many points.
func settlement(c *wire.Counts, items, points int64) (e buffer.Elsewhere, adjusted int64) {
	if c == nil {
		return buffer.Elsewhere{Delivered: points}, 0
	}
	e = buffer.Elsewhere{
		DeadLetter: c.DeadLetter, LateArchived: c.LateArchived, LateLogged: c.LateLogged, LateDropped: c.LateDropped,
		Evicted: c.Evicted, Damaged: c.Damaged, Purged: c.Purged,
	}
	said := c.Sum()
	if said == items && items != points && items > 0 {
		for _, n := range parts(&e) {
			*n = *n * points / items
		}
	} else if said != points {
		adjusted = max(said-points, points-said)
	}
	left := points
	for _, n := range parts(&e) {
		*n = min(*n, left)
		left -= *n
	}
	e.Delivered = left
	return e, adjusted
}

// parts are the counts beside the delivered ones.
func parts(e *buffer.Elsewhere) [7]*int64 {
	return [...]*int64{&e.DeadLetter, &e.Damaged, &e.Evicted, &e.Purged, &e.LateArchived, &e.LateLogged, &e.LateDropped}
}
