package drain

import "time"

// The words of State.State.
const (
	Idle    = "idle"    // nothing to send
	Sending = "sending" // a post is under way
	Backoff = "backoff" // waiting after a failure that may pass
	Hold    = "hold"    // waiting for a person to mend something
)

// State is what the uplink is doing and has done since it was made.
type State struct {
	State       string    `json:"state"`
	Since       time.Time `json:"since"` // of State; while it is down a try does not count as a change
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // the cause and what mends it
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	NextTry     time.Time `json:"next_try,omitzero"` // in backoff and hold

	Posts          int64 `json:"posts"`
	LinesAccepted  int64 `json:"lines_accepted"`
	LinesRefused   int64 `json:"lines_refused"`   // dead letters, by the server or because they have no line
	LinesUnnamed   int64 `json:"lines_unnamed"`   // refused by the server without saying which: among the accepted
	AmbiguousPosts int64 `json:"ambiguous_posts"` // broken off between the begin and the answer: may have been taken
	ThrottledPosts int64 `json:"throttled_posts"` // answered with 429
	BytesText      int64 `json:"bytes_text"`      // of metric lines posted
	BytesSent      int64 `json:"bytes_sent"`      // the same, compressed
}

// State returns the current state. It may be called from any goroutine.
func (d *Drain) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// update changes the state under its lock.
func (d *Drain) update(change func(s *State)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.state)
}

// enter moves to a state; Since stays where it is the same already.
func (s *State) enter(word string, now time.Time) {
	if s.State != word {
		s.State, s.Since = word, now
	}
}
