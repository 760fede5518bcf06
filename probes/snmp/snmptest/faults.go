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
	// LoseEvery: every n-th reply is lost.
	LoseEvery int
	// HalfTable: after this many varbinds no further GetNextRequest or
	// GetBulkRequest of the walk is answered; a bulk reply is cut so that the
	// number is exact. A request whose first name lies at or before the one the
	// walk started with starts a new walk.
	HalfTable int

	// TooBig: a GetBulkRequest for more repetitions is answered with tooBig.
	TooBig int
	// BulkError: every GetBulkRequest is answered with this error-status and no
	// index.
	BulkError int32
	// BulkEmpty: every GetBulkRequest is answered without any varbind.
	BulkEmpty bool
	// BulkCut: the answer to a GetBulkRequest holds at most this many varbinds.
	BulkCut int
	// IndexOnSuccess: answers that are no error have this error-index.
	IndexOnSuccess int32
	// Denied: an answer that would hold something at or below this OID is a
	// noAccess with the index of the varbind.
	Denied OID
	// GenErr: an answer that would hold something at or below this OID is a
	// genErr with the index of the varbind.
	GenErr OID

	// EndlessTable: a column, e.g. 1.3.6.1.2.1.2.2.1.10; made-up rows follow
	// its last row without end.
	EndlessTable OID
	// LoopBack: a walk that stands at one OID is sent back to another.
	LoopBack Loop
	// Jumps are more of the same, for tables that are out of order.
	Jumps []Loop
	// NoSuchInstanceMid: this instance has no value, also within a walk.
	NoSuchInstanceMid OID
	// ZeroLengthInteger: the value of this instance is an INTEGER of no octets.
	ZeroLengthInteger OID
	// ZeroLengthOnce: it has one the next time.
	ZeroLengthOnce bool
	// LongString: the length of this instance's value counts one octet too many.
	LongString OID
	// TruncatedVarbind: the last varbind of each reply ends too early.
	TruncatedVarbind bool

	// WrongRequestID: replies have request-id 0 (1 when 0 was asked for).
	WrongRequestID bool
	// WrongCommunity: replies carry another community.
	WrongCommunity bool
	// WrongPDUType: replies are GetRequests.
	WrongPDUType bool
	// WrongVersion: replies are of the other version.
	WrongVersion bool

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

// jump returns where LoopBack and Jumps send a walk that stands at oid.
func (f *Faults) jump(oid OID) (OID, bool) {
	if len(f.LoopBack.At) > 0 && slices.Equal(oid, f.LoopBack.At) {
		return f.LoopBack.To, true
	}
	for _, j := range f.Jumps {
		if slices.Equal(oid, j.At) {
			return j.To, true
		}
	}
	return nil, false
}

// fails gives the error-status for a binding that a fault names.
func (l *lookup) fails(b binding) (status int32, fails bool) {
	switch {
	case len(l.faults.GenErr) > 0 && b.oid.HasPrefix(l.faults.GenErr):
		return StatusGenErr, true
	case len(l.faults.Denied) > 0 && b.oid.HasPrefix(l.faults.Denied):
		return StatusNoAccess, true
	}
	return StatusNoError, false
}

// spoil replaces the value of a binding that a fault names.
func (l *lookup) spoil(b binding) binding {
	switch {
	case len(b.oid) == 0:
	case slices.Equal(b.oid, l.faults.NoSuchInstanceMid):
		b.value = NoSuchInstance()
	case slices.Equal(b.oid, l.faults.ZeroLengthInteger) && !l.healed():
		b.value = Value{Tag: TagInteger}
	case slices.Equal(b.oid, l.faults.LongString):
		b.long = true
	}
	return b
}

// healed tells whether a value is right again that is wrong only once.
func (l *lookup) healed() bool {
	was := l.faults.ZeroLengthOnce && *l.spoilt
	*l.spoilt = true
	return was
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
	return binding{oid: oid, name: nameOf(oid), value: value, at: -1}, true
}

// conduct is the faults of a device and what they remember. Only the goroutine
// that serves the device touches what they remember.
type conduct struct {
	Faults
	walkFrom OID // first name of the walk that HalfTable counts
	walked   int // its varbinds so far
	replied  int
	spoilt   bool // a value was
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
	most := math.MaxInt
	if c.BulkCut > 0 {
		most = c.BulkCut
	}
	if c.HalfTable > 0 {
		most = min(most, c.HalfTable-c.walked)
	}
	return most
}

// loses tells whether a finished reply of the given size is lost.
func (c *conduct) loses(size int) bool {
	c.replied++
	return c.DropLarge > 0 && size > c.DropLarge || c.LoseEvery > 0 && c.replied%c.LoseEvery == 0
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
	if c.WrongVersion {
		r.Version = V1 + V2c - r.Version
	}
	if r.Status == StatusNoError {
		r.Index = c.IndexOnSuccess
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
