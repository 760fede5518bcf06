package plan

import (
	"net/netip"
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Traps is what a package makes of SNMP notifications, with feature sets chosen
// and variables filled in. It is immutable.
type Traps struct {
	Counts  []TrapCount
	Records bool          // each one becomes a log record
	Names   TrapNames     // nil: OIDs stay numbers
	Trims   []TrapTrim    // of the names of varbinds; the first that fits counts
	Prefix  string        // before the address of a sender, as in plant-7/
	Listen  netip.Addr    // of this machine; the zero one: all of them
	Repeats time.Duration // a record like an earlier one is held back so long; 0: never

	// The most that are taken within a minute, in all and from one sender; the rest
	// is dropped and counted. 0: the receiver's default.
	PerMinute, PerSender int
}

// TrapCount is one metric: the notifications of an interval.
type TrapCount struct {
	Key      string
	Interval time.Duration
	Dims     []TrapDim
}

// ByOID tells whether notifications of different OIDs are counted apart.
func (c *TrapCount) ByOID() bool {
	return slices.ContainsFunc(c.Dims, func(d TrapDim) bool { return d.Field == TrapOID })
}

// TrapField says what a dimension of a count holds.
type TrapField uint8

// The fields of a notification.
const (
	TrapText   TrapField = 0 // a constant
	TrapSender TrapField = 1 // the address that it came from
	TrapOID    TrapField = 2 // snmpTrapOID, by its name
)

// TrapDim is one dimension of a count.
type TrapDim struct {
	Key   string
	Field TrapField
	Text  string // of TrapText
}

// TrapTrim takes arcs off the end of the names of the varbinds below an OID.
type TrapTrim struct {
	Root string // OID without a leading dot
	Arcs int
}

// TrapNames gives OIDs and values the names that MIB files have for them. It is
// safe for use by several goroutines.
type TrapNames interface {
	// Name is the name of a notification or instance, as in IF-MIB::ifIndex.3; ""
	// where nothing of it is known.
	Name(oid string) string
	// Text is how the object of an instance shows a value, "" where it has no form
	// of its own.
	Text(oid string, c Cell) string
	// Digest changes with the names.
	Digest() string
}

// TrapSource is where notifications are taken from, and what they must know.
type TrapSource struct {
	From       netip.Prefix
	Port       uint16 // that it sends to; 0: not said
	Credential probes.Credential
}
