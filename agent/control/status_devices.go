package control

import "time"

// Polling is how well polls keep to their places on the grid.
type Polling struct {
	LatenessP99MS float64 `json:"lateness_p99_ms"` // 99 of 100 polls of the last minutes started that soon after their place, devices that do not answer left out
	Overruns      uint64  `json:"overruns"`        // places that were skipped since the start, since the poll before was not done
	InFlight      int     `json:"in_flight"`
	MaxInFlight   int     `json:"max_in_flight"`
	Dead          int     `json:"dead"` // addresses that did not answer twice in a row; they share a few slots of their own
}

// The words of Device.State.
const (
	StateOK         = "ok"
	StatePartial    = "partial"     // it answers, and something is missing
	StateSilent     = "silent"      // no answer
	StateBackingOff = "backing off" // no answer for several polls, so that it is asked less often
	StateDenied     = "denied"      // it answers and refuses
	StateError      = "error"       // something else
	StatePending    = "pending"     // not polled yet
)

// Device is one task: a device, or a part of it with an interval of its own.
// Times that have not come yet are left out.
type Device struct {
	Label      string    `json:"label"`
	Address    string    `json:"device"`
	Config     string    `json:"config"`            // the configuration entry it belongs to
	Profile    string    `json:"profile,omitempty"` // what it is read with, where the probe tells
	State      string    `json:"state"`
	Status     string    `json:"status"`  // in the words of probes.Status
	Message    string    `json:"message"` // what is wrong and what mends it
	LastPoll   time.Time `json:"last_poll,omitzero"`
	LastOK     time.Time `json:"last_ok,omitzero"` // the last poll that brought data
	Next       time.Time `json:"next,omitzero"`
	IntervalS  float64   `json:"interval_s"`
	DurationMS float64   `json:"duration_ms"` // of the last poll
	LateS      float64   `json:"late_s"`      // how long after its place on the grid the last poll started
	OverranS   float64   `json:"overran_s"`   // what the last poll took, waiting included, where it was not done when it was due again
	Points     int       `json:"points"`      // of the last poll
	Polls      uint64    `json:"polls"`
	Skipped    uint64    `json:"skipped"`  // times it was due while the poll before still ran
	Failures   int       `json:"failures"` // polls in a row without a connection
	Gaps       uint64    `json:"gaps"`     // counters that fell, so that an interval has no delta
	Source     *Source   `json:"source,omitempty"`

	// Of the last poll:
	Requests  int      `json:"requests"` // retries included
	Retries   int      `json:"retries"`
	Timeouts  int      `json:"timeouts"` // tries without an answer in time
	Varbinds  int      `json:"varbinds"`
	Rows      int      `json:"rows"`
	Strays    int      `json:"strays"`            // datagrams that were no answer
	Malformed int      `json:"malformed"`         // replies that could not be read to their end
	Reports   int      `json:"reports"`           // of SNMP v3, in place of an answer
	Partial   []string `json:"partial,omitempty"` // what was not read to its end, and why
	Tables    []Table  `json:"tables,omitempty"`
}

// Source is what is known of a task that is not polled: it takes in what
// arrives. Its polls are the batches that it gave.
type Source struct {
	Received uint64 `json:"received"`
	Dropped  uint64 `json:"dropped"` // more than could be taken
	Refused  uint64 `json:"refused"` // not for it, or not in order
}

// Table is what one table of the last poll cost.
type Table struct {
	OID        string  `json:"oid"` // of its entry
	Rows       int     `json:"rows"`
	Requests   int     `json:"requests"`
	DurationMS float64 `json:"duration_ms"`
}
