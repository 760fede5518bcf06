package drain

import "time"

const (
	retryBase, retryCeiling = time.Second, time.Minute
	holdBase, holdCeiling   = 10 * time.Second, 5 * time.Minute
	shortest                = 100 * time.Millisecond
	longestAsked            = 5 * time.Minute // most that a server's own wish is honoured
)

// delay tells how long to wait after so many failures in a row, with full
// jitter: anything up to a ceiling that doubles each time. A hold, which only a
// person can end, is probed more slowly. random is in [0, 1).
func delay(failures int, hold bool, random float64) time.Duration {
	base, ceiling := retryBase, retryCeiling
	if hold {
		base, ceiling = holdBase, holdCeiling
	}
	top := min(ceiling, base<<min(max(failures-1, 0), 10))
	return max(shortest, time.Duration(random*float64(top)))
}
