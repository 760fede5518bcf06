package drain

import "time"

// The words of State.State.
const (
	Idle    = "idle"    // nothing to send
	Sending = "sending" // a post is under way
	Backoff = "backoff" // waiting after a failure that may pass
	Hold    = "hold"    // waiting for a person to mend something
	Clock   = "clock"   // waiting until the time is known
)

// The words of State.Breaker.
const (
	Closed   = "closed"    // posts go out as they are
	HalfOpen = "half-open" // after failures in a row, only small posts are tried
)

// State is what the uplink is doing and has done since it was made. Over a
// change of the target its counts go on.
type State struct {
	State       string    `json:"state"`
	Since       time.Time `json:"since"` // of State; while it is down a try does not count as a change
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // the cause and what mends it
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	NextTry     time.Time `json:"next_try,omitzero"` // in backoff and hold
	// UpSince is when metrics were taken first after the last failure, zero
	// while they are not. A gap that ended before it is over.
	UpSince time.Time `json:"up_since,omitzero"`

	// Sums of all lanes. A line is a metric line, a data point of OTLP, a log
	// record or an event.
	Posts          int64 `json:"posts"`
	LinesAccepted  int64 `json:"lines_accepted"`
	LinesRefused   int64 `json:"lines_refused"`   // dead letters, by the server or because they have no line
	LinesUnnamed   int64 `json:"lines_unnamed"`   // refused by the server without saying which: among the accepted
	AmbiguousPosts int64 `json:"ambiguous_posts"` // broken off with the whole request gone: may have been taken
	ThrottledPosts int64 `json:"throttled_posts"` // answered with 429
	BytesText      int64 `json:"bytes_text"`      // posted, before compression
	BytesSent      int64 `json:"bytes_sent"`      // the same, compressed
	BytesWire      int64 `json:"bytes_wire"`      // both ways, with headers, TLS and handshakes

	Lanes       []LaneState  `json:"lanes"`  // the most urgent first
	Cargos      []CargoState `json:"cargos"` // metrics, events, logs
	Breaker     string       `json:"breaker"`
	Rate        float64      `json:"rate_bytes_per_s"` // of the wire, measured; 0: not yet
	Batch       int          `json:"batch_bytes"`      // the most text of the next post
	Budget      Usage        `json:"budget"`
	SpreadUntil time.Time    `json:"spread_until,omitzero"` // the backlog waits until then, so that sites do not come all at once

	PointsPerDay    int64 `json:"points_per_day"`      // data points taken in the last 24 hours
	PointsPerDayAll bool  `json:"points_per_day_full"` // a day has passed since the start
	Late            []Age `json:"late"`                // what became of late points, the youngest first
}

// LaneState counts what one lane has carried.
type LaneState struct {
	Lane    string `json:"lane"` // live, events, window, logs, late
	Posts   int64  `json:"posts"`
	Lines   int64  `json:"lines"`  // accepted
	Points  int64  `json:"points"` // of the store, in those lines
	Refused int64  `json:"refused"`
	Wire    int64  `json:"bytes_wire"`
}

// CargoState is how one endpoint fares.
type CargoState struct {
	Cargo       string    `json:"cargo"` // metrics, events, logs
	State       string    `json:"state"` // idle: never tried or taken; backoff, hold
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	NextTry     time.Time `json:"next_try,omitzero"`
}

// Age counts what became of late points of one class of age.
type Age struct {
	Upto    string `json:"upto"` // "24h", "7d", "30d", "more", or "unknown" where the time of the points is
	Logged  int64  `json:"logged"`
	Dropped int64  `json:"dropped"`
	Refused int64  `json:"refused"`
}
