package snmp

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/edgehold/edgehold/probes/plan"
)

// Types as BER has them (RFC 3416, RFC 3417). The floats are what net-snmp
// wraps in an Opaque, after an octet that says so.
const (
	berInteger   = 0x02
	berOctets    = 0x04
	berNull      = 0x05
	berOID       = 0x06
	berSequence  = 0x30
	berIPAddress = 0x40
	berCounter32 = 0x41
	berGauge32   = 0x42
	berTimeTicks = 0x43
	berOpaque    = 0x44
	berCounter64 = 0x46
	berUnsigned  = 0x47
	berFloat     = 0x78
	berDouble    = 0x79
	berExtension = 0x9f

	berNoSuchObject   = 0x80
	berNoSuchInstance = 0x81
	berEndOfMibView   = 0x82

	berGet      = 0xa0
	berGetNext  = 0xa1
	berResponse = 0xa2
	berSet      = 0xa3
	berGetBulk  = 0xa5
	berReport   = 0xa8
)

// maxLength is more than any datagram holds.
const maxLength = 1 << 20

// bounds tells where the content of the first element of b lies; end may be
// behind the end of b. Indefinite lengths are refused (RFC 3417, section 8).
func bounds(b []byte) (start, end int, ok bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	if b[1] < 0x80 {
		return 2, 2 + int(b[1]), true
	}
	start = 2 + int(b[1]&0x7f)
	if start == 2 || start > len(b) {
		return 0, 0, false
	}
	n := 0
	for _, c := range b[2:start] {
		if n = n<<8 | int(c); n > maxLength {
			return 0, 0, false
		}
	}
	return start, start + n, true
}

// element takes the first element off b; ok=false where it is of another type
// or not whole.
func element(b []byte, tag byte) (content, rest []byte, ok bool) {
	start, end, ok := bounds(b)
	if !ok || b[0] != tag || end > len(b) {
		return nil, nil, false
	}
	return b[start:end], b[end:], true
}

// opened is the content of the first element of b as far as it is there.
func opened(b []byte, tag byte) (content []byte, whole, ok bool) {
	start, end, ok := bounds(b)
	if !ok || b[0] != tag {
		return nil, false, false
	}
	return b[start:min(end, len(b))], end <= len(b), true
}

// integer takes an INTEGER of a header off b.
func integer(b []byte) (n int64, rest []byte, ok bool) {
	content, rest, ok := element(b, berInteger)
	if !ok || len(content) == 0 || len(content) > 8 {
		return 0, nil, false
	}
	return signed(content), rest, true
}

// signed reads one to eight octets of two's complement.
func signed(b []byte) int64 {
	n := int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return n
}

// unsigned reads one to eight octets, or nine with a leading zero.
func unsigned(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 9 || len(b) == 9 && b[0] != 0 {
		return 0, false
	}
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, true
}

// pdu is a message without its envelope. list is the content of the list of
// varbinds as far as it came.
type pdu struct {
	kind   byte
	id     int64
	status int64
	index  int64
	list   []byte
	whole  bool
}

// openPDU reads the head of a PDU. Of one that was cut off in its varbinds
// those that came are in the list.
func openPDU(b []byte) (p pdu, ok bool) {
	if len(b) == 0 {
		return p, false
	}
	p.kind = b[0]
	b, whole, ok := opened(b, p.kind)
	if !ok {
		return p, false
	}
	if p.id, b, ok = integer(b); !ok {
		return p, false
	}
	if p.status, b, ok = integer(b); !ok {
		return p, false
	}
	if p.index, b, ok = integer(b); !ok {
		return p, false
	}
	list, all, _ := opened(b, berSequence)
	p.list, p.whole = list, whole && all
	return p, true
}

// response makes the response of a PDU, with vars as the memory for the
// varbinds. Of a list that cannot be read to its end the varbinds before the
// bad one count; without any it is malformed.
func (t *oidTable) response(p pdu, vars []varbind) (resp response, whole bool, err error) {
	resp.status, resp.index = errorStatus(octet(p.status)), int(octet(p.index))
	if resp.status != noError {
		return resp, true, nil
	}
	resp.vars, whole = t.varbinds(p.list, vars[:0])
	whole = whole && p.whole
	if !whole && len(resp.vars) == 0 {
		return response{}, false, errMalformed
	}
	return resp, whole, nil
}

// octet keeps a status that is none of SNMP from becoming one.
func octet(n int64) uint8 {
	if n < 0 || n > math.MaxUint8 {
		return math.MaxUint8
	}
	return uint8(n)
}

// varbinds reads a list of them. Nothing of what it gives points into b.
func (t *oidTable) varbinds(b []byte, vars []varbind) (all []varbind, whole bool) {
	var news []knownOID
	whole = true
	t.mu.RLock()
	for len(b) > 0 && whole {
		vars = append(vars, varbind{})
		if b, whole = t.varbind(b, &vars[len(vars)-1], &news); !whole {
			vars = vars[:len(vars)-1]
		}
	}
	t.mu.RUnlock()
	t.learn(news)
	return vars, whole
}

// varbind reads the first varbind of b.
func (t *oidTable) varbind(b []byte, v *varbind, news *[]knownOID) (rest []byte, ok bool) {
	b, rest, ok = element(b, berSequence)
	if !ok {
		return nil, false
	}
	name, b, ok := element(b, berOID)
	if !ok || len(b) == 0 {
		return nil, false
	}
	if v.oid, ok = t.text(name, news); !ok {
		return nil, false
	}
	v.tag = b[0]
	if len(b) == 1 { // a type without even a length
		return rest, t.value(v, nil, news)
	}
	start, end, ok := bounds(b)
	switch {
	case !ok:
		return nil, false
	case end == len(b)+1 && v.tag == berOctets: // MikroTik counts one too many
		end--
	case end != len(b):
		return nil, false
	}
	return rest, t.value(v, b[start:end], news)
}

// text finds the text of an OID, or makes it and notes it as new.
func (t *oidTable) text(raw []byte, news *[]knownOID) (string, bool) {
	text, young := t.find(raw)
	if young {
		return text, true
	}
	if text == "" {
		var ok bool
		if text, ok = oidText(raw); !ok {
			return "", false
		}
	}
	if len(raw) <= maxKnownOID {
		*news = append(*news, knownOID{raw, text})
	}
	return text, true
}

// value sets exception or cell from the content of a value. What holds nothing
// to measure, numbers of no octets among it, leaves the cell absent; ok=false
// where an OID cannot be read.
func (t *oidTable) value(v *varbind, b []byte, news *[]knownOID) (ok bool) {
	switch v.tag {
	case berInteger:
		if len(b) > 0 && len(b) <= 8 {
			v.cell = plan.Cell{Kind: plan.Integer, Int: signed(b)}
		}
	case berCounter32, berCounter64, berGauge32, berTimeTicks, berUnsigned:
		if n, ok := unsigned(b); ok {
			v.cell = numberCell(v.tag, n)
		}
	case berOctets:
		v.cell = t.octets(b)
	case berOID:
		text, ok := t.text(b, news)
		v.cell = plan.Cell{Kind: plan.Text, Text: text}
		return ok
	case berIPAddress:
		if addr, ok := netip.AddrFromSlice(b); ok {
			v.cell = plan.Cell{Kind: plan.Text, Text: addr.Unmap().String()}
		}
	case berOpaque:
		v.opaque(b)
	case berNoSuchObject, berNoSuchInstance:
		v.exc = noSuch
	case berEndOfMibView:
		v.exc = endOfMibView
	}
	return true
}

// numberCell keeps a Counter32 that does not fit 32 bits as what it is, a
// longer counter: the rules for a 32-bit wrap do not hold for it.
func numberCell(tag byte, n uint64) plan.Cell {
	switch {
	case tag == berCounter64, tag == berCounter32 && n > math.MaxUint32:
		return plan.Cell{Kind: plan.Counter64, Uint: n}
	case tag == berCounter32:
		return plan.Cell{Kind: plan.Counter32, Uint: n}
	case tag == berGauge32:
		return plan.Cell{Kind: plan.Unsigned, Uint: n}
	}
	return plan.Cell{Kind: plan.Unsigned, Uint: uint64(uint32(n))}
}

// octets keeps what a dimension can show, or all where the tools want it.
func (t *oidTable) octets(b []byte) plan.Cell {
	if t.whole {
		return plan.Cell{Kind: plan.Octets, Text: string(b)}
	}
	return octetsCell(b)
}

func octetsCell(b []byte) plan.Cell {
	return plan.Cell{Kind: plan.Octets, Text: string(b[:min(len(b), plan.MaxText+1)])}
}

// opaque reads a number that net-snmp has wrapped; other content stays octets.
func (v *varbind) opaque(b []byte) {
	if len(b) < 3 || b[0] != berExtension || b[1] != berFloat && b[1] != berDouble {
		if len(b) > 0 {
			v.cell = octetsCell(b)
		}
		return
	}
	v.tag = b[1]
	number, _, ok := element(b[1:], v.tag)
	switch {
	case ok && v.tag == berFloat && len(number) == 4:
		v.cell = floatCell(math.Float32frombits(binary.BigEndian.Uint32(number)))
	case ok && v.tag == berDouble && len(number) == 8:
		v.cell = realCell(math.Float64frombits(binary.BigEndian.Uint64(number)))
	}
}
