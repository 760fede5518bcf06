package snmp

import "math"

const (
	version3    = 3
	usmModel    = 3      // msgSecurityModel
	maxReply    = 65_507 // bytes that fit UDP
	minEngineID = 5      // bytes (RFC 3411, SnmpEngineID)
	maxEngineID = 32
	desBlock    = 8
)

// envelope is what surrounds the PDU of a v3 message.
type envelope struct {
	msgID    uint32
	flags    byte
	engineID string
	clock    clockOf
	user     string
	context  string
	salt     [8]byte
}

// seal writes a request as a v3 message; ok=false where an OID is none. u signs
// and encrypts as the flags say.
func (w *writer) seal(r request, id uint32, e envelope, u *user) (ok bool) {
	w.reset()
	level := e.flags & authPriv
	pad := 0
	if level == authPriv && u.des() { // room behind for whole blocks
		pad = desBlock - 1
		w.raw("\x00\x00\x00\x00\x00\x00\x00")
	}
	if ok = w.pdu(r, id); !ok {
		return false
	}
	w.octets(e.context)
	w.octets(e.engineID)
	w.head(berSequence, pad)
	if pad > 0 {
		w.b = w.b[:len(w.b)-w.size()%desBlock]
	}
	private := ""
	if level == authPriv {
		u.encrypt(w.bytes(), e.clock, e.salt)
		w.head(berOctets, 0)
		private = string(e.salt[:])
	}
	place := w.security(e, u, private)
	w.head(berSequence, 0)
	if level != noAuthNoPriv {
		message := w.bytes()
		copy(message[len(message)-place:][:u.macSize], u.digest(message))
	}
	return true
}

// security writes all that comes before the scoped PDU. place is how far from
// the end of the message the signature begins.
func (w *writer) security(e envelope, u *user, private string) (place int) {
	mark := w.size()
	w.octets(private)
	signature := w.size()
	if e.flags&authNoPriv != 0 {
		w.raw(string(make([]byte, u.macSize)))
	}
	place = w.size()
	w.head(berOctets, signature)
	w.octets(e.user)
	w.integer(e.clock.time)
	w.integer(e.clock.boots)
	w.octets(e.engineID)
	w.head(berSequence, mark)
	w.head(berOctets, mark)

	mark = w.size()
	w.integer(usmModel)
	flags := w.size()
	w.byte(e.flags)
	w.head(berOctets, flags)
	w.integer(maxReply)
	w.integer(e.msgID)
	w.head(berSequence, mark)
	w.integer(version3)
	return place
}

// sealed is a v3 message that came, its parts pointing into the datagram.
type sealed struct {
	message   []byte
	msgID     int64
	level     byte
	engineID  []byte
	clock     clockOf
	user      []byte
	signature []byte
	salt      []byte
	scoped    []byte // plain or encrypted, with its head
}

// openSealed reads a v3 message as far as it is not encrypted. It must be
// whole: none that was cut off can be trusted.
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
	if security, _, ok = element(security, berSequence); !ok || !m.security(security) {
		return m, false
	}
	m.scoped = b
	return m, true
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
	m.level = flags[0] & authPriv
	model, _, ok := integer(b)
	return ok && model == usmModel
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
	m.salt, _, ok = element(b, berOctets)
	return ok
}

func engineNumber(b []byte) (n uint32, rest []byte, ok bool) {
	v, rest, ok := integer(b)
	return uint32(v), rest, ok && v >= 0 && v <= math.MaxInt32
}

// scopedPDU decrypts where that is needed, in place, and gives the PDU and its
// context; ok=false where that cannot be or makes no sense.
func (m *sealed) scopedPDU(u *user) (b, context []byte, ok bool) {
	b = m.scoped
	if m.level == authPriv {
		if b, _, ok = element(b, berOctets); !ok || len(m.salt) != 8 || !u.decrypt(b, m.clock, [8]byte(m.salt)) {
			return nil, nil, false
		}
	}
	if b, _, ok = element(b, berSequence); !ok { // DES leaves padding behind it
		return nil, nil, false
	}
	if _, b, ok = element(b, berOctets); !ok { // contextEngineID, which not all agents give back
		return nil, nil, false
	}
	context, b, ok = element(b, berOctets)
	return b, context, ok
}
