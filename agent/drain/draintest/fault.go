package draintest

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Mode is one way to fail.
type Mode string

// The modes. Apart from LoseAnswer, PartialInvalid, TooLarge, Slow, RefuseGzip,
// OldEvents and GoAway, a request that meets one of them is not taken. What a
// mode says of lines holds for log records, and for an event as one line.
const (
	None           Mode = ""
	Down           Mode = "down"            // 503 without a body, as from a proxy in front
	Unavailable    Mode = "unavailable"     // 503 of the environment itself
	ServerError    Mode = "server-error"    // 500
	Refuse         Mode = "refuse"          // nobody listens on the port
	Hang           Mode = "hang"            // no answer until the client goes or the fault ends
	LoseAnswer     Mode = "lose-answer"     // lines are taken, the connection is cut instead of answered
	Throttle       Mode = "throttle"        // 429 with X-RateLimit headers
	PartialInvalid Mode = "partial-invalid" // every Lines-th line of a request is refused
	TooLarge       Mode = "too-large"       // 413 above Lines lines
	Captive        Mode = "captive"         // 200 with a sign-in page
	Unauthorized   Mode = "unauthorized"    // 401 whatever the token
	Forbidden      Mode = "forbidden"       // 403, the token lacks the scope
	Slow           Mode = "slow"            // lines are taken, the answer comes Delay later
	RefuseGzip     Mode = "refuse-gzip"     // 415 for what is compressed
	OldEvents      Mode = "old-events"      // INVALID_TIMESTAMPS for events that began more than an hour ago
	GoAway         Mode = "go-away"         // lines are taken; HTTP/2 GOAWAY, or Connection: close, with the answer
	GoAwayRefused  Mode = "go-away-refused" // HTTP/2 GOAWAY that says the request is not worked on; a cut in HTTP/1.1
)

// Fault is one failure and its figures.
type Fault struct {
	Mode       Mode
	Count      int           // how many requests it hits; 0 means until it is cleared
	Lines      int           // PartialInvalid, TooLarge
	Delay      time.Duration // Slow
	RetryAfter time.Duration // Throttle: the header, in whole seconds; 0 means no header
	Only       string        // hits the endpoints that need this scope, as in ScopeLogs; "" hits all
}

func (f Fault) check() error {
	switch f.Mode {
	case None, Down, Unavailable, ServerError, Hang, LoseAnswer, Throttle, Captive, Unauthorized, Forbidden,
		RefuseGzip, OldEvents, GoAway, GoAwayRefused:
	case Refuse:
		if f.Count != 0 {
			return errors.New("set fault: refuse lasts until it is cleared and takes no count")
		}
	case PartialInvalid, TooLarge:
		if f.Lines <= 0 {
			return fmt.Errorf("set fault: %s needs a number of lines above 0", f.Mode)
		}
	case Slow:
		if f.Delay <= 0 {
			return errors.New("set fault: slow needs a delay above 0")
		}
	default:
		return fmt.Errorf("set fault: mode %q is unknown", f.Mode)
	}
	if _, known := scopeNames[f.Only]; f.Only != "" && (!known || f.Mode == Refuse) {
		return fmt.Errorf("set fault: %s cannot hit only %q", f.Mode, f.Only)
	}
	if f.Count < 0 {
		return errors.New("set fault: count is negative")
	}
	return nil
}

// faults holds the fault in force.
type faults struct {
	mu      sync.Mutex
	current Fault
	left    int           // requests still to hit, when current.Count is not 0
	release chan struct{} // closed when the next fault is set: nobody waits longer
}

func newFaults() *faults { return &faults{release: make(chan struct{})} }

// set puts f in force and lets go the requests that wait on an older fault.
func (s *faults) set(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.left = f, f.Count
	close(s.release)
	s.release = make(chan struct{})
}

// next gives the fault that hits one request, and what ends its wait.
func (s *faults) next(scope string) (Fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.current
	if f.Only != "" && f.Only != scope {
		return Fault{}, s.release
	}
	if f.Count > 0 {
		if s.left--; s.left == 0 {
			s.current = Fault{}
		}
	}
	return f, s.release
}
