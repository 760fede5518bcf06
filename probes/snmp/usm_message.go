package snmp

import "math"

const (
	version3    = 3
	usmModel    = 3 // msgSecurityModel
	minEngineID = 5 // bytes (RFC 3411, SnmpEngineID)
	maxEngineID = 32
	reportable  = 0x04 // of msgFlags
)

// sealed is a v3 message that came, its parts pointing into the datagram.
type sealed struct {
	message   []byte
	msgID     int64
	level     byte
	asks      bool // for a report, where it cannot be taken
	engineID  []byte
	clock     clockOf
	user      []byte
	signature []byte
	scoped    []byte // with its head; encrypted until the message is opened
}

// openSealed reads a v3 message as far as it is not encrypted. It must be
// whole, and hold nothing but what it must: gosnmp would go on where a part
// ends, and must not find another engine there than we do.
func openSealed(b []byte) (m sealed, ok bool) {
	_, end, ok := bounds(b)
	if !ok || end > len(b) {
		return m, false
	}
	m.message = b[:end]
	b, _, ok = element(m.message, berSequence)
	if !ok {
		return m, false
	}
	version, b, ok := integer(b)
	if !ok || version != version3 {
		return m, false
	}
	header, b, ok := element(b, berSequence)
	if !ok || !m.header(header) {
		return m, false
	}
	security, b, ok := element(b, berOctets)
	if !ok {
		return m, false
	}
	security, rest, ok := element(security, berSequence)
	if !ok || len(rest) > 0 || !m.security(security) {
		return m, false
	}
	tag := byte(berSequence)
	if m.level == authPriv {
		tag = berOctets
	}
	m.scoped = b
	_, rest, ok = element(b, tag)
	return m, ok && len(rest) == 0
}

func (m *sealed) header(b []byte) (ok bool) {
	if m.msgID, b, ok = integer(b); !ok {
		return false
	}
	if _, b, ok = integer(b); !ok { // msgMaxSize
		return false
	}
	flags, b, ok := element(b, berOctets)
	if !ok || len(flags) != 1 {
		return false
	}
	m.level, m.asks = flags[0]&authPriv, flags[0]&reportable != 0
	model, b, ok := integer(b)
	return ok && model == usmModel && len(b) == 0
}

func (m *sealed) security(b []byte) (ok bool) {
	if m.engineID, b, ok = element(b, berOctets); !ok {
		return false
	}
	if m.clock.boots, b, ok = engineNumber(b); !ok {
		return false
	}
	if m.clock.time, b, ok = engineNumber(b); !ok {
		return false
	}
	if m.user, b, ok = element(b, berOctets); !ok {
		return false
	}
	if m.signature, b, ok = element(b, berOctets); !ok {
		return false
	}
	_, b, ok = element(b, berOctets) // the salt
	return ok && len(b) == 0
}

func engineNumber(b []byte) (n uint32, rest []byte, ok bool) {
	v, rest, ok := integer(b)
	return uint32(v), rest, ok && v >= 0 && v <= math.MaxInt32
}

// openScoped gives the PDU of a message that is not encrypted any more, and its
// context.
func openScoped(b []byte) (p pdu, context []byte, ok bool) {
	if b, _, ok = element(b, berSequence); !ok { // DES leaves padding behind it
		return p, nil, false
	}
	if _, b, ok = element(b, berOctets); !ok { // contextEngineID, which not all agents give back
		return p, nil, false
	}
	if context, b, ok = element(b, berOctets); !ok {
		return p, nil, false
	}
	p, ok = openPDU(b)
	return p, context, ok
}
