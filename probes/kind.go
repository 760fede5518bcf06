package probes

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// Probe takes measurements when asked. Poll may return a batch and an error:
// the batch is what could be had. It returns when ctx ends.
type Probe interface {
	Poll(ctx context.Context) (Batch, error)
}

// Stateful is implemented by probes that carry something over a planned
// restart, such as counter baselines. Checkpoint gives it after the last poll,
// nil for nothing; Restore takes it before the first one. A probe checks for
// itself whether what it is given still holds.
type Stateful interface {
	Checkpoint() ([]byte, error)
	Restore(data []byte) error
}

// PollStats counts what one poll cost and what it could not give.
type PollStats struct {
	Requests int // datagrams sent, retries included
	Retries  int
	Timeouts int // tries that got no answer in time
	Varbinds int // that came back
	Strays   int // datagrams that were no answer to what was asked
	Gaps     int // counters that fell, so that no delta could be told
}

// Measured is implemented by probes that count: it gives the last poll's.
type Measured interface {
	PollStats() PollStats
}

// Source gives what arrives by itself. Run ends with ctx; cancelled is nil.
type Source interface {
	Run(ctx context.Context, emit func(Batch)) error
}

// Task is one thing to poll on a grid of its interval.
type Task struct {
	ID       string        // unique and stable over reloads; its hash spreads the starts
	Device   string        // at most one task of a device runs at a time
	Label    string        // for people, e.g. "192.0.2.10 snmp-generic-device"
	Config   string        // the configuration entry it belongs to, for the summary status
	Interval time.Duration // at least one second
	Probe    Probe
	Same     string // fingerprint of all settings; a reload keeps the task where it is equal
}

// Resolver finds a name for an address without ever making its caller wait:
// it answers from its cache, "" while it does not know.
type Resolver interface {
	NameOf(address string) string
}

// Deps is what a constructor is handed. It never reaches for these itself.
type Deps struct {
	Clock       Clock
	Log         zerolog.Logger
	Resolver    Resolver
	Credentials map[string]Credential
	// Constants go on every series, before a dimension of the same key. The
	// agent adds them where they are missing; a probe that makes its series
	// with them saves the copy.
	Constants []Dimension
}

// Kind is one kind of probe: its name in the configuration, its options and
// its constructor.
type Kind struct {
	Name string
	// Options returns a pointer to a new options struct with its defaults set,
	// for strict decoding; it may implement Checker.
	Options func() any
	// New makes the tasks of one entry. It never touches the network.
	New func(options any, deps Deps) ([]Task, error)
}

// Checker is implemented by options that have rules of their own. The errors
// name the field ("devices: ...").
type Checker interface {
	Check() []error
}

// Credential is what a device is asked for before it answers. An SNMP v1 or
// v2c credential has a community.
type Credential struct {
	Name      string
	Version   SNMPVersion
	Community Secret
}

// SNMPVersion is a version of the protocol.
type SNMPVersion uint8

// The versions of SNMP that are spoken.
const (
	SNMPv1  SNMPVersion = 1
	SNMPv2c SNMPVersion = 2
)
