package probes

import "time"

// BootID is the kernel's random id of one boot (/proc/sys/kernel/random/boot_id).
type BootID [16]byte

// Stamp says when something was measured: the boot, the time since that boot
// on the clock that also counts suspend (CLOCK_BOOTTIME), and the wall time as
// this machine believed it. The first two stay true on a gateway that boots
// in 1970.
type Stamp struct {
	Boot   BootID
	Uptime time.Duration // since boot, nanoseconds
	Wall   int64         // Unix time, milliseconds
	// Guess says that the clock was not trusted: Wall orders the stamps of one
	// process and tells no time. Wall less Uptime is then the same for all of them.
	Guess bool
}

// Time is the wall time of the stamp.
func (s Stamp) Time() time.Time { return time.UnixMilli(s.Wall) }

// Anchor ties the clock of one boot to true time: wall time = Offset + uptime.
type Anchor struct {
	Boot   BootID
	Offset int64         // milliseconds since 1970 at the boot's uptime zero
	Error  time.Duration // how far Offset may be off
	Source string        // who told: kernel, ntp, environment
}

// Clock gives stamps. It comes in from outside so that tests can turn it.
type Clock interface {
	Now() Stamp
}

// Point is one measurement of one series.
type Point struct {
	Series *Series
	Value  Value
	Stamp  Stamp
}

// Event is something that happened, in the words of Dynatrace's Events API v2.
type Event struct {
	Type       string // CUSTOM_INFO, ERROR_EVENT, ...
	Title      string
	Start, End Stamp // a zero End: it still lasts, or it was a moment
	Properties []Dimension
	// EntitySelector names the entity it happened to, as in
	// `type("CUSTOM_DEVICE"),entityName.equals("sw1")`; "" is the environment.
	EntitySelector string
	// Timeout is how long an event without an End stays open, at most six
	// hours; 0 leaves it to the server.
	Timeout time.Duration
}

// Record is one log record.
type Record struct {
	Stamp      Stamp
	Severity   string // INFO, WARN, ERROR, ...
	Content    string
	Attributes []Dimension
	Numbers    []Number
}

// Number is an attribute that leaves as a number, not as text. Its value is
// not a Summary.
type Number struct {
	Key   string
	Value Value
}

// Batch is what one poll gives.
type Batch struct {
	Points  []Point
	Events  []Event
	Records []Record
	// State is written in the same commit as the points: both survive, or neither.
	// It takes the place of the task's last one; nil leaves that. See Lasting.
	State []byte
}
