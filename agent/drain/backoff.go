package drain

import "time"

const (
	shortest     = 100 * time.Millisecond
	longestAsked = 5 * time.Minute // most that a server's own wish is honoured
)

// pace is how the waits grow from failure to failure.
type pace struct{ base, ceiling time.Duration }

// paceOf chooses. Where no server was reached, a try costs nobody anything and
// the link may be back any moment; and fresh metrics are tried as often, since
// while nothing is taken their posts are small. Other cargo leaves a server
// that is in trouble alone for up to a minute, and all do that says it has
// enough. A hold, which only a person can end, is probed slowly.
func paceOf(c cargo, o outcome) pace {
	isMetrics := c == metrics || c == otlpMetrics
	switch {
	case o.verdict == hold:
		return pace{10 * time.Second, 5 * time.Minute}
	case o.unreached, isMetrics && !o.throttled:
		return pace{time.Second, 10 * time.Second}
	}
	return pace{time.Second, time.Minute}
}

// delay tells how long to wait after so many failures in a row, with full
// jitter: anything up to a top that doubles each time. random is in [0, 1).
func (p pace) delay(failures int, random float64) time.Duration {
	top := min(p.ceiling, p.base<<min(max(failures-1, 0), 10))
	return max(shortest, time.Duration(random*float64(top)))
}
