package snmptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Tag is the BER tag of a value.
type Tag byte

// The types of values, and the three answers of v2c that stand for no value.
const (
	TagInteger        Tag = 0x02
	TagOctetString    Tag = 0x04
	TagNull           Tag = 0x05
	TagObjectID       Tag = 0x06
	TagIPAddress      Tag = 0x40
	TagCounter32      Tag = 0x41
	TagGauge32        Tag = 0x42
	TagTimeTicks      Tag = 0x43
	TagOpaque         Tag = 0x44
	TagCounter64      Tag = 0x46
	TagNoSuchObject   Tag = 0x80
	TagNoSuchInstance Tag = 0x81
	TagEndOfMibView   Tag = 0x82
)

// Value is a type and its content octets. Two values are equal (==) when both
// are.
type Value struct {
	Tag  Tag
	Body string
}

var (
	errValueLength = errors.New("value has a length its type cannot have")
	errValueTag    = errors.New("value has an unknown type")
	errValueRange  = errors.New("value is larger than its type can hold")
)

// Integer is a signed INTEGER.
func Integer(n int32) Value { return Value{TagInteger, string(appendInt(nil, int64(n)))} }

// OctetString is a string of any octets.
func OctetString(s string) Value { return Value{TagOctetString, s} }

// Null is the value of every varbind in a request.
func Null() Value { return Value{Tag: TagNull} }

// ObjectID is an OBJECT IDENTIFIER.
func ObjectID(oid OID) Value { return Value{TagObjectID, string(appendOIDBody(nil, oid))} }

// IPAddress is an IPv4 address in network order.
func IPAddress(address [4]byte) Value { return Value{TagIPAddress, string(address[:])} }

// Counter32 is a counter that wraps at 2^32.
func Counter32(n uint32) Value { return unsigned(TagCounter32, uint64(n)) }

// Gauge32 is an unsigned gauge (also Unsigned32).
func Gauge32(n uint32) Value { return unsigned(TagGauge32, uint64(n)) }

// TimeTicks is a time in hundredths of a second.
func TimeTicks(n uint32) Value { return unsigned(TagTimeTicks, uint64(n)) }

// Counter64 is a counter that wraps at 2^64; v1 cannot carry it.
func Counter64(n uint64) Value { return unsigned(TagCounter64, n) }

// Opaque wraps raw octets.
func Opaque(raw string) Value { return Value{TagOpaque, raw} }

// OpaqueFloat is a 32-bit float in the usual Opaque wrapping.
func OpaqueFloat(f float32) Value {
	return Opaque(string(binary.BigEndian.AppendUint32([]byte{0x9f, 0x78, 4}, math.Float32bits(f))))
}

// OpaqueDouble is a 64-bit float in the usual Opaque wrapping.
func OpaqueDouble(f float64) Value {
	return Opaque(string(binary.BigEndian.AppendUint64([]byte{0x9f, 0x79, 8}, math.Float64bits(f))))
}

// NoSuchObject says that the agent does not know the object.
func NoSuchObject() Value { return Value{Tag: TagNoSuchObject} }

// NoSuchInstance says that the object exists but not this instance of it.
func NoSuchInstance() Value { return Value{Tag: TagNoSuchInstance} }

// EndOfMibView says that nothing follows.
func EndOfMibView() Value { return Value{Tag: TagEndOfMibView} }

// Uint64 is the number of a Counter32, Gauge32, TimeTicks or Counter64; ok is
// false for every other type.
func (v Value) Uint64() (n uint64, ok bool) {
	switch v.Tag {
	case TagCounter32, TagGauge32, TagTimeTicks, TagCounter64:
		for _, b := range []byte(v.Body) {
			n = n<<8 | uint64(b)
		}
		return n, true
	}
	return 0, false
}

// missing tells whether v stands for no value.
func (v Value) missing() bool {
	return v.Tag == TagNoSuchObject || v.Tag == TagNoSuchInstance || v.Tag == TagEndOfMibView
}

// check refuses content octets that the type cannot have.
func (v Value) check() error {
	low, high := 0, 0
	switch v.Tag {
	case TagOctetString, TagOpaque:
		return nil
	case TagObjectID:
		_, err := parseOIDBody([]byte(v.Body))
		return err
	case TagNull, TagNoSuchObject, TagNoSuchInstance, TagEndOfMibView:
	case TagInteger:
		low, high = 1, 4
	case TagIPAddress:
		low, high = 4, 4
	case TagCounter32, TagGauge32, TagTimeTicks:
		return v.checkUnsigned(32)
	case TagCounter64:
		return v.checkUnsigned(64)
	default:
		return fmt.Errorf("%w (tag 0x%02x)", errValueTag, byte(v.Tag))
	}
	if len(v.Body) < low || len(v.Body) > high {
		return errValueLength
	}
	return nil
}

// checkUnsigned allows the leading zero octet that keeps a large number
// positive, and its absence, which is a common fault of agents.
func (v Value) checkUnsigned(width int) error {
	size := width / 8
	if len(v.Body) < 1 || len(v.Body) > size+1 {
		return errValueLength
	}
	if len(v.Body) == size+1 && v.Body[0] != 0 {
		return errValueRange
	}
	return nil
}

func unsigned(tag Tag, n uint64) Value {
	var buf [9]byte
	return Value{tag, string(appendUint(buf[:0], n))}
}

// appendInt adds the shortest two's complement form of n.
func appendInt(dst []byte, n int64) []byte {
	size := 1
	for n>>(8*size-1) != 0 && n>>(8*size-1) != -1 {
		size++
	}
	for i := size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

// appendUint adds the shortest form of n that is not negative.
func appendUint(dst []byte, n uint64) []byte {
	if n > math.MaxInt64 {
		return binary.BigEndian.AppendUint64(append(dst, 0), n)
	}
	for i := bits.Len64(n) / 8; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}
