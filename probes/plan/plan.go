// Package plan says what to read from a device and how what was read becomes
// points. A Plan is compiled from a package or profile and knows no device and
// no protocol library; everything here is pure.
package plan

import (
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Plan is what one activated extension collects, with feature sets chosen,
// variables filled in and inheritance resolved. It is immutable and shared by
// all devices of its configuration.
type Plan struct {
	Extension string // e.g. com.dynatrace.extension.snmp-generic-device
	Version   string
	Blocks    []Block
}

// Block is one subgroup, or the metrics of a group itself, at one interval.
// Its dimensions include those inherited from the group.
type Block struct {
	Path     string // "group" or "group/subgroup", for messages
	Interval time.Duration
	Table    bool
	Dims     []Dim
	Metrics  []Metric
}

// SourceKind says where a value comes from.
type SourceKind uint8

// The kinds of source.
const (
	FromScalar        SourceKind = 1 // OID is an instance, read by GET
	FromColumn        SourceKind = 2 // OID is a column, joined on the row index
	FromConst         SourceKind = 3 // Text; var: is resolved to this at compile time
	FromDeviceAddress SourceKind = 4 // this:device.address
	FromDevicePort    SourceKind = 5 // this:device.port
)

// Source is where a value comes from.
type Source struct {
	Kind SourceKind
	OID  string // numeric, no leading dot
	Text string
}

// Dim is one dimension. A row is emitted only if all filters of its block
// match; an absent value is matched as the empty text.
type Dim struct {
	Key    string
	Source Source
	Filter *Filter // nil: no filter
}

// Metric is one metric. A constant source makes a state marker: the value of
// Text, on every row.
type Metric struct {
	Key    string
	Type   probes.Type
	Source Source
}

// Device is one device of a monitoring configuration.
type Device struct {
	Host        string // name, IPv4 or IPv6 with an optional zone
	Port        uint16
	Credentials []probes.Credential // tried in order
	Timeout     time.Duration       // of one request; 0: the probe's default
	Retries     int                 // after the first try; -1: the probe's default
	MaxReps     int                 // upper bound of GETBULK repetitions; 0: the probe's default
	MaxOIDs     int                 // upper bound of OIDs in one request; 0: the probe's default
}

// CellKind is the kind of a value that was read.
type CellKind uint8

// The kinds of cell. The zero Cell is absent.
const (
	Absent    CellKind = 0
	Integer   CellKind = 1 // Int
	Unsigned  CellKind = 2 // Uint: Gauge32, TimeTicks
	Counter32 CellKind = 3 // Uint
	Counter64 CellKind = 4 // Uint
	Real      CellKind = 5 // Float
	Text      CellKind = 6 // Text: OCTET STRING already made readable, IpAddress, OBJECT IDENTIFIER
)

// Cell is one value that was read from a device, free of any protocol type.
type Cell struct {
	Kind  CellKind
	Int   int64
	Uint  uint64
	Float float64
	Text  string
}

// Reading is what one poll of one device gave. Columns hold their cells by row
// index (the OID's rest after the column, without a leading dot).
type Reading struct {
	Stamp   probes.Stamp
	Scalars map[string]Cell
	Columns map[string]map[string]Cell
}
