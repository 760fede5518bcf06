package mqtt

import (
	"math/rand/v2"
	"time"
)

// Backoff tells how long to wait between tries, with full jitter: anything up
// to a top that doubles with each failure, from 1 s to 60 s. The zero value is
// ready.
type Backoff struct {
	Random   func() float64 // in [0, 1); nil: the runtime's
	failures int
}

// The bounds of a wait. The shortest keeps a run of small draws from being a
// storm.
const (
	backoffLeast = 100 * time.Millisecond
	backoffBase  = time.Second
	backoffTop   = time.Minute
)

// Next is how long to wait after one more failure.
func (b *Backoff) Next() time.Duration {
	random := rand.Float64
	if b.Random != nil {
		random = b.Random
	}
	top := min(backoffTop, backoffBase<<min(b.failures, 10))
	b.failures++
	return max(backoffLeast, time.Duration(random()*float64(top)))
}

// Reset is for a try that came to something.
func (b *Backoff) Reset() { b.failures = 0 }
