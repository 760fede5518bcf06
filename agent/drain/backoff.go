package drain

import "time"

const (
	shortest     = 100 * time.Millisecond
	longestAsked = 5 * time.Minute // most that a server's own wish is honoured
)

// pace is how the waits grow from failure to failure.
type pace struct{ base, ceiling time.Duration }

// paceOf chooses: a server that is in trouble is left alone for up to a minute;
// where none was reached, a try costs nobody anything and the link may be back
// any moment; a hold, which only a person can end, is probed slowly.
func paceOf(o outcome) pace {
	switch {
	case o.verdict == hold:
		return pace{10 * time.Second, 5 * time.Minute}
	case o.unreached:
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
