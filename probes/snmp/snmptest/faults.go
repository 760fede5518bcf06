package snmptest

import (
	"math"
	"slices"
	"time"
)

// Faults is what a device does wrong; the zero value is a healthy one. Faults
// may be combined. Those named by an OID are off while it is empty.
type Faults struct {
	// Silent: no request is ever answered.
	Silent bool
	// DropBulk: a GetBulkRequest is never answered.
	DropBulk bool
	// DropLarge: replies of more bytes than this are lost.
	DropLarge int
	// HalfTable: after this many varbinds no further GetNextRequest or
	// GetBulkRequest of the walk is answered; a bulk reply is cut so that the
	// number is exact. A request whose first name lies at or before the one the
	// walk started with starts a new walk.
	HalfTable int

	// TooBig: a GetBulkRequest for more repetitions is answered with tooBig.
	TooBig int
	// GenErr: an answer that would hold something at or below this OID is a
	// genErr with the index of the varbind.
	GenErr OID

	// EndlessTable: a column, e.g. 1.3.6.1.2.1.2.2.1.10; made-up rows follow
	// its last row without end.
	EndlessTable OID
	// LoopBack: a walk that stands at one OID is sent back to another.
	LoopBack Loop
	// NoSuchInstanceMid: this instance has no value, also within a walk.
	NoSuchInstanceMid OID
	// ZeroLengthInteger: the value of this instance is an INTEGER of no octets.
	ZeroLengthInteger OID
	// TruncatedVarbind: the last varbind of each reply ends too early.
	TruncatedVarbind bool

	// WrongRequestID: replies have request-id 0 (1 when 0 was asked for).
	WrongRequestID bool
	// WrongCommunity: replies carry another community.
	WrongCommunity bool
	// WrongPDUType: replies are GetRequests.
	WrongPDUType bool

	// Delay: each reply comes this much later, and the next request is only
	// read then.
	Delay time.Duration
	// JunkFirst: this many datagrams that are no SNMP come before each reply.
	JunkFirst int
	// Duplicate: each reply is sent twice.
	Duplicate bool
	// LateReply: the reply to every other request is kept back until the
	// request after it has come, and is sent before the reply to that one.
	LateReply bool
	// OtherSource: replies are sent from this local address instead:
	// "127.0.0.1:0" is another port, "127.0.0.2:0" another address.
	OtherSource string
}

// Loop sends a walk from one OID to another that is not its successor: To
// equal to At repeats a row, To before At goes back.
type Loop struct{ At, To OID }

// jump returns where LoopBack sends a walk that stands at oid.
func (f *Faults) jump(oid OID) (OID, bool) {
	return f.LoopBack.To, len(f.LoopBack.At) > 0 && slices.Equal(oid, f.LoopBack.At)
}

func (l *lookup) fails(b binding) bool {
	return len(l.faults.GenErr) > 0 && b.oid.HasPrefix(l.faults.GenErr)
}

// spoil replaces the value of a binding that a fault names.
func (l *lookup) spoil(b binding) binding {
	switch {
	case len(b.oid) == 0:
	case slices.Equal(b.oid, l.faults.NoSuchInstanceMid):
		b.value = NoSuchInstance()
	case slices.Equal(b.oid, l.faults.ZeroLengthInteger):
		b.value = Value{Tag: TagInteger}
	}
	return b
}

// madeUp gives the next row of an endless column: from is in it and the real
// row at the given index no longer is.
func (l *lookup) madeUp(from OID, at int) (binding, bool) {
	column := l.faults.EndlessTable
	rows := l.mib.rows
	if len(column) == 0 || !from.HasPrefix(column) || at < len(rows) && rows[at].oid.HasPrefix(column) {
		return binding{}, false
	}
	value := Integer(1)
	if at > 0 && rows[at-1].oid.HasPrefix(column) {
		value = rows[at-1].now()
	}
	oid := from.Append(1)
	if last := len(from) - 1; len(from) > len(column) && from[last] < math.MaxUint32 {
		oid = slices.Clone(from)
		oid[last]++
	}
	return binding{oid, nameOf(oid), value, -1}, true
}

// conduct is the faults of a device and what they remember. Only the goroutine
// that serves the device touches what they remember.
type conduct struct {
	Faults
	walkFrom OID // first name of the walk that HalfTable counts
	walked   int // its varbinds so far
	late     *parcel
}

// mute tells whether a request gets no answer at all.
func (c *conduct) mute(req *Message) bool {
	if c.Silent || c.DropBulk && req.Type == GetBulkRequest {
		return true
	}
	if c.HalfTable <= 0 || req.Type == GetRequest || len(req.Varbinds) == 0 {
		return false
	}
	if first := req.Varbinds[0].Name; c.walkFrom == nil || first.Compare(c.walkFrom) <= 0 {
		c.walkFrom, c.walked = first, 0
	}
	return c.walked >= c.HalfTable
}

// maxRows is how many varbinds a bulk reply may hold.
func (c *conduct) maxRows() int {
	if c.HalfTable > 0 {
		return c.HalfTable - c.walked
	}
	return math.MaxInt
}

// disguise spoils a finished reply.
func (c *conduct) disguise(r *reply) {
	if c.WrongRequestID {
		r.RequestID = wrongID(r.RequestID)
	}
	if c.WrongCommunity {
		r.Community += "-other"
	}
	if c.WrongPDUType {
		r.Type = GetRequest
	}
	if c.TruncatedVarbind {
		r.cut(1)
	}
}

func wrongID(id int32) int32 {
	if id == 0 {
		return 1
	}
	return 0
}
