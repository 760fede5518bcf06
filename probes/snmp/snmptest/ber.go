package snmptest

import (
	"errors"
	"fmt"
)

// PDUType is the tag of a protocol data unit.
type PDUType byte

// The PDU types that are decoded.
const (
	GetRequest     PDUType = 0xa0
	GetNextRequest PDUType = 0xa1
	Response       PDUType = 0xa2
	GetBulkRequest PDUType = 0xa5
)

// Version is the version field of a message.
type Version int32

// The versions that are spoken.
const (
	V1  Version = 0
	V2c Version = 1
)

// The error states of a response (RFC 3416) that a read-only agent needs.
const (
	StatusNoError    int32 = 0
	StatusTooBig     int32 = 1
	StatusNoSuchName int32 = 2 // v1 only
	StatusGenErr     int32 = 5
	StatusNoAccess   int32 = 6
)

// Header is a message without its varbinds.
type Header struct {
	Version   Version
	Community string
	Type      PDUType
	RequestID int32
	Status    int32 // in a GetBulkRequest: non-repeaters
	Index     int32 // 1-based varbind at fault; in a GetBulkRequest: max-repetitions
}

// Varbind is one name and its value.
type Varbind struct {
	Name  OID
	Value Value
}

// Message is one SNMP v1 or v2c message.
type Message struct {
	Header
	Varbinds []Varbind
}

const (
	tagSequence = 0x30
	maxLength   = 1 << 24 // far above any datagram, far below overflow
)

var (
	errCut     = errors.New("element is longer than what holds it")
	errTag     = errors.New("element has an unexpected tag")
	errLength  = errors.New("element has a bad length")
	errTrail   = errors.New("bytes follow the last element")
	errInteger = errors.New("integer does not fit 32 bits")
	errVersion = errors.New("version is neither v1 nor v2c")
	errPDU     = errors.New("type of PDU is not known here")
)

// Decode reads one message. Every element must fill exactly what holds it.
func Decode(datagram []byte) (*Message, error) {
	outer := reader{datagram}
	body, err := outer.expect(tagSequence)
	if err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	if len(outer.rest) > 0 {
		return nil, fmt.Errorf("decode message: %w", errTrail)
	}
	var m Message
	in := reader{body}
	if err := m.decodeEnvelope(&in); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	if err := m.decodePDU(&in); err != nil {
		return nil, fmt.Errorf("decode PDU: %w", err)
	}
	return &m, nil
}

func (m *Message) decodeEnvelope(in *reader) error {
	version, err := in.int32()
	if err != nil {
		return err
	}
	m.Version = Version(version)
	if m.Version != V1 && m.Version != V2c {
		return errVersion
	}
	community, err := in.expect(byte(TagOctetString))
	m.Community = string(community)
	return err
}

func (m *Message) decodePDU(in *reader) error {
	tag, body, err := in.element()
	if err != nil {
		return err
	}
	if len(in.rest) > 0 {
		return errTrail
	}
	m.Type = PDUType(tag)
	switch m.Type {
	case GetRequest, GetNextRequest, Response, GetBulkRequest:
	default:
		return errPDU
	}
	pdu := reader{body}
	for _, field := range []*int32{&m.RequestID, &m.Status, &m.Index} {
		if *field, err = pdu.int32(); err != nil {
			return err
		}
	}
	list, err := pdu.expect(tagSequence)
	if err != nil {
		return err
	}
	if len(pdu.rest) > 0 {
		return errTrail
	}
	m.Varbinds, err = decodeVarbinds(list)
	return err
}

func decodeVarbinds(list []byte) ([]Varbind, error) {
	var varbinds []Varbind
	for in := (reader{list}); len(in.rest) > 0; {
		body, err := in.expect(tagSequence)
		if err != nil {
			return nil, fmt.Errorf("varbind %d: %w", len(varbinds)+1, err)
		}
		v, err := decodeVarbind(body)
		if err != nil {
			return nil, fmt.Errorf("varbind %d: %w", len(varbinds)+1, err)
		}
		varbinds = append(varbinds, v)
	}
	return varbinds, nil
}

func decodeVarbind(body []byte) (Varbind, error) {
	in := reader{body}
	name, err := in.expect(byte(TagObjectID))
	if err != nil {
		return Varbind{}, err
	}
	oid, err := parseOIDBody(name)
	if err != nil {
		return Varbind{}, err
	}
	tag, content, err := in.element()
	if err != nil {
		return Varbind{}, err
	}
	if len(in.rest) > 0 {
		return Varbind{}, errTrail
	}
	value := Value{Tag(tag), string(content)}
	return Varbind{oid, value}, value.check()
}

// reader takes elements off the front of rest.
type reader struct{ rest []byte }

// element takes one element with a one-octet tag and a definite length.
func (r *reader) element() (tag byte, body []byte, err error) {
	if len(r.rest) < 2 {
		return 0, nil, errCut
	}
	tag = r.rest[0]
	if tag&0x1f == 0x1f {
		return 0, nil, errTag
	}
	length, head := int(r.rest[1]), 2
	if length >= 0x80 {
		if length, head, err = r.longLength(); err != nil {
			return 0, nil, err
		}
	}
	if length > len(r.rest)-head {
		return 0, nil, errCut
	}
	body = r.rest[head : head+length]
	r.rest = r.rest[head+length:]
	return tag, body, nil
}

// longLength reads a length of 1 to 4 octets; head is the size of tag and
// length together.
func (r *reader) longLength() (length, head int, err error) {
	octets := int(r.rest[1] & 0x7f)
	if octets < 1 || octets > 4 {
		return 0, 0, errLength
	}
	head = 2 + octets
	if len(r.rest) < head {
		return 0, 0, errCut
	}
	for _, b := range r.rest[2:head] {
		if length = length<<8 | int(b); length > maxLength {
			return 0, 0, errLength
		}
	}
	return length, head, nil
}

func (r *reader) expect(tag byte) ([]byte, error) {
	got, body, err := r.element()
	if err == nil && got != tag {
		err = fmt.Errorf("%w: 0x%02x instead of 0x%02x", errTag, got, tag)
	}
	return body, err
}

func (r *reader) int32() (int32, error) {
	body, err := r.expect(byte(TagInteger))
	if err != nil {
		return 0, err
	}
	if len(body) < 1 || len(body) > 4 {
		return 0, errInteger
	}
	n := int32(int8(body[0]))
	for _, b := range body[1:] {
		n = n<<8 | int32(b)
	}
	return n, nil
}

// Append adds the message to dst with the shortest lengths. The values are
// taken as they are: a body that its type cannot have is sent all the same.
func (m *Message) Append(dst []byte) []byte {
	var list []byte
	for _, v := range m.Varbinds {
		list = appendVarbind(list, nameOf(v.Name), v.Value)
	}
	return appendMessage(dst, m.Header, list)
}

// nameOf is the whole element that names oid in a varbind.
func nameOf(oid OID) string {
	var body [64]byte
	encoded := appendOIDBody(body[:0], oid)
	return string(append(appendHead(nil, byte(TagObjectID), len(encoded)), encoded...))
}

func appendVarbind(dst []byte, name string, v Value) []byte {
	dst = appendHead(dst, tagSequence, len(name)+elementSize(len(v.Body)))
	dst = append(dst, name...)
	dst = appendHead(dst, byte(v.Tag), len(v.Body))
	return append(dst, v.Body...)
}

func appendMessage(dst []byte, h Header, list []byte) []byte {
	inner, pdu := messageSizes(h, len(list))
	dst = appendHead(dst, tagSequence, inner)
	dst = appendInteger(dst, int32(h.Version))
	dst = appendHead(dst, byte(TagOctetString), len(h.Community))
	dst = append(dst, h.Community...)
	dst = appendHead(dst, byte(h.Type), pdu)
	dst = appendInteger(dst, h.RequestID)
	dst = appendInteger(dst, h.Status)
	dst = appendInteger(dst, h.Index)
	dst = appendHead(dst, tagSequence, len(list))
	return append(dst, list...)
}

// messageSizes are the body lengths of the message and of its PDU around a
// varbind list of the given length.
func messageSizes(h Header, list int) (inner, pdu int) {
	pdu = integerSize(h.RequestID) + integerSize(h.Status) + integerSize(h.Index) + elementSize(list)
	inner = integerSize(int32(h.Version)) + elementSize(len(h.Community)) + elementSize(pdu)
	return inner, pdu
}

// messageSize is the length of the whole datagram.
func messageSize(h Header, list int) int {
	inner, _ := messageSizes(h, list)
	return elementSize(inner)
}

func appendInteger(dst []byte, n int32) []byte {
	dst = append(dst, byte(TagInteger), byte(integerSize(n)-2))
	return appendInt(dst, int64(n))
}

func integerSize(n int32) int {
	size := 3
	for n>>(8*(size-2)-1) != 0 && n>>(8*(size-2)-1) != -1 {
		size++
	}
	return size
}

// elementSize is the length of an element whose body has the given length.
func elementSize(body int) int {
	switch {
	case body < 1<<7:
		return 2 + body
	case body < 1<<8:
		return 3 + body
	case body < 1<<16:
		return 4 + body
	default:
		return 5 + body
	}
}

func appendHead(dst []byte, tag byte, length int) []byte {
	switch {
	case length < 1<<7:
		return append(dst, tag, byte(length))
	case length < 1<<8:
		return append(dst, tag, 0x81, byte(length))
	case length < 1<<16:
		return append(dst, tag, 0x82, byte(length>>8), byte(length))
	default:
		return append(dst, tag, 0x83, byte(length>>16), byte(length>>8), byte(length))
	}
}
