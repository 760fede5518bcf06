// Package mib reads MIB modules (SMIv1 and SMIv2) as vendors ship them, and
// answers by name and by OID: which object is "IF-MIB::ifDescr", what is the
// varbind 1.3.6.1.2.1.2.2.1.2.7 called, what do its numbers and octets mean.
package mib

// Kind says what an object is in the tree.
type Kind uint8

// The kinds. Other is a mere place in the tree (a module identity, a branch).
const (
	Other Kind = iota
	Scalar
	Column
	Entry
	Table
	Notification
	kinds
)

// Type is the form of a value on the wire.
type Type uint8

// The types. None belongs to what has no value, and to a type that no file
// explains. Counter and Gauge have 32 or 64 bits, Bits is an octet string.
const (
	None Type = iota
	Integer
	Unsigned
	Counter
	Gauge
	TimeTicks
	Octets
	Bits
	OID
	IP
	Opaque
	types
)

// Object is one named place in the tree. Its maps and slices are shared: read
// them only.
type Object struct {
	OID     string // dotted, no leading dot: "1.3.6.1.2.1.2.2.1.2"
	Name    string // "ifDescr"
	Module  string // "IF-MIB"
	Kind    Kind
	Type    Type
	Enum    map[int64]string // names of the values; of Bits, of the bit positions
	Hint    string           // DISPLAY-HINT
	Indexes []string         // of a table, its entry and its columns: names of the index objects, in order
	Implied bool             // the last index has no length before it (IMPLIED)
	Objects []string         // of a notification: names of what it carries, in order
	OfSite  bool             // from a file of the site, see Set.OfSite
}

// HasValue tells a scalar or a column from a mere place in the tree.
func (o Object) HasValue() bool { return o.Kind == Scalar || o.Kind == Column }

func (k Kind) String() string {
	return pick("other scalar column entry table notification", int(k))
}

func (t Type) String() string {
	return pick("none integer unsigned counter gauge timeticks octets bits oid ip opaque", int(t))
}
