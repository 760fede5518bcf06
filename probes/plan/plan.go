// Package plan says what to read from a device and how what was read becomes
// points. A Plan is compiled from a package or profile and knows no device and
// no protocol library; everything here is pure.
package plan

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Plan is what one activated extension collects, with feature sets chosen,
// variables filled in and inheritance resolved. It is immutable and shared by
// all devices of its configuration.
type Plan struct {
	Extension string // e.g. com.dynatrace.extension.snmp-generic-device
	Version   string
	Metadata  []probes.Metadata // of its metrics, sorted by key
	Blocks    []Block           // of SNMP
	Walk      Walk

	// What the other data sources collect, nil where the package has them not or
	// none of it is chosen.
	Exposition *Exposition
	Traps      *Traps
	Documents  *Documents
}

// Block is one subgroup, or the metrics of a group itself, at one interval.
// Its dimensions include those inherited from the group.
type Block struct {
	Path     string // "group" or "group/subgroup", for messages
	Interval time.Duration
	Table    bool
	Dims     []Dim
	Metrics  []Metric

	// Rows is a column: only its rows are the block's. Without it they are the rows
	// of the metric columns, and where a metric is constant, joined or made of the
	// index those of the dimension columns too.
	Rows string
	// HighSpeed is the column of the line rate: ifHighSpeed, in Mbit/s, or ifSpeed,
	// in bits a second. Without a rate no 32-bit counter is taken to have wrapped.
	HighSpeed     string
	Discontinuity string // column of ifCounterDiscontinuityTime
	// Identity are the dimensions that name a row, whatever its index: its counters
	// go with them. nil: the index and the dimensions whose column gave text.
	Identity []string
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
	FromIndex         SourceKind = 6 // Arcs of the row index, shown as Form
	FromChassisMAC    SourceKind = 7 // this:chassis.mac
)

// TextForm says how the octets of a value become text.
type TextForm uint8

// The forms of text.
const (
	FormAuto TextForm = 0 // Readable
	FormText TextForm = 1 // UTF-8, else Latin-1, what cannot be shown left out
	FormHex  TextForm = 2 // aa:bb:cc
	FormMAC  TextForm = 3 // aa:bb:cc:dd:ee:ff; "" where it is none or all zero
	FormIP   TextForm = 4 // an address of 4 or 16 octets (InetAddress, RFC 4001)
	FormDate TextForm = 5 // DateAndTime (RFC 2579) as RFC 3339
	FormBits TextForm = 6 // BITS: the set bits, bit 0 first, as numbers or the names of Enum
)

// Arcs are some arcs of a row index.
type Arcs struct {
	From  int // counted from 0, from the end where it is negative
	Count int // 0: all that follow
}

// Source is where a value comes from.
type Source struct {
	Kind     SourceKind
	OID      string   // numeric, no leading dot
	Fallback []string // OIDs of the same kind, read too, used in order where OID gave nothing
	Text     string
	Form     TextForm
	Arcs     Arcs // of FromIndex, and of Join
	// Join reads a column of another table under the index that Arcs of the row's
	// own index are, or that the cell of the column JoinBy is: a number, or Arcs of
	// an OBJECT IDENTIFIER. It makes no rows.
	Join   bool
	JoinBy string
	Naming Naming
}

// Conversion says how a cell becomes a number; the zero one takes it as it is.
type Conversion struct {
	Signed              bool // a 32-bit number of two's complement in an unsigned column
	NA                  []float64
	NAText              []string // these values stand for none
	Multiplier, Divisor float64  // value = raw * Multiplier / Divisor + Offset; 0 is 1
	Offset              float64
	Parse               bool   // the first number in a text
	Scale, Precision    string // columns EntitySensorDataScale and Precision (RFC 3433)
	Units               string // column whose number multiplies too, such as hrStorageAllocationUnits; gauges only
	States              map[int64]float64
	Ticks               bool // hundredths of a second to seconds
}

// Dim is one dimension. A row is emitted only if all filters of its block
// match; an absent value is matched as the empty text.
type Dim struct {
	Key    string
	Source Source
	Filter *Filter          // nil: no filter
	Enum   map[int64]string // texts for numbers, e.g. 1: "up(1)"; a number without one stays a number
	// Show makes the text of octets and of numbers without a text in Enum, where
	// it can; Hint says how and stands for it. nil: as the source says.
	Show   func(Cell) (string, bool)
	Hint   string
	Prefix string // before a text that is not empty
}

// Metric is one metric. A constant source makes a state marker: the value of
// Text, on every row.
type Metric struct {
	Key    string
	Type   probes.Type
	Source Source
	Number Conversion
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

	PacketsPerSecond int  // upper bound of requests a second; 0: none
	NoBulk           bool // its GETBULK does harm: GETNEXT only
	Unordered        bool // its tables are not in order, and are read all the same
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
	Text      CellKind = 6 // Text: IpAddress, OBJECT IDENTIFIER
	Octets    CellKind = 7 // Text: the bytes of an OCTET STRING, at most MaxText and one that says it was cut
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
	// Partial names the columns that were not read to their end and the scalars
	// that could not be read: a row that is missing there has not vanished and
	// keeps its counter baseline, and one that lacks a dimension gives no point.
	Partial map[string]bool
}

// Identity is what is known of a device beside its answers.
type Identity struct {
	Address    string // as in device.address
	Name       string // as in device.name; "" while it is not known
	Port       uint16
	ChassisMAC string // lower case with colons; "" while it is not known
}

// Empty tells whether nothing is collected.
func (p *Plan) Empty() bool {
	return len(p.Blocks) == 0 && p.Exposition == nil && p.Traps == nil && p.Documents == nil
}

// Intervals lists the intervals of the plan, shortest first.
func (p *Plan) Intervals() []time.Duration {
	var all []time.Duration
	for i := range p.Blocks {
		all = append(all, p.Blocks[i].Interval)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// At returns the blocks that are due at one interval. They point into the plan.
func (p *Plan) At(interval time.Duration) []*Block {
	var due []*Block
	for i := range p.Blocks {
		if p.Blocks[i].Interval == interval {
			due = append(due, &p.Blocks[i])
		}
	}
	return due
}

// WithInterval returns a copy of the plan in which every block has the same
// interval.
func (p *Plan) WithInterval(interval time.Duration) *Plan {
	c := *p
	c.Blocks = slices.Clone(p.Blocks)
	for i := range c.Blocks {
		c.Blocks[i].Interval = interval
	}
	return &c
}
