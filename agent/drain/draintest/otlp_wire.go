package draintest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Wire types of protobuf.
const (
	wireVarint = 0
	wireFixed  = 1
	wireBytes  = 2
)

// message is a protobuf message that has not been read yet.
type message []byte

// wireField is one field of a message.
type wireField struct {
	number int
	kind   int
	bits   uint64  // of wireVarint and wireFixed
	body   message // of wireBytes
}

var errShort = errors.New("message ends inside a field")

// each calls fn with the fields in order.
func (m message) each(fn func(wireField) error) error {
	for len(m) > 0 {
		tag, n := binary.Uvarint(m)
		if n <= 0 || tag>>3 == 0 || tag > math.MaxUint32 {
			return errors.New("tag is malformed")
		}
		f := wireField{number: int(tag >> 3), kind: int(tag & 7)}
		size, err := f.read(m[n:])
		if err != nil {
			return err
		}
		m = m[n+size:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// read takes the value at the start of m and tells how long it is.
func (f *wireField) read(m message) (size int, err error) {
	switch f.kind {
	case wireVarint:
		if f.bits, size = binary.Uvarint(m); size <= 0 {
			return 0, errors.New("number is malformed")
		}
		return size, nil
	case wireFixed:
		if len(m) < 8 {
			return 0, errShort
		}
		f.bits = binary.LittleEndian.Uint64(m)
		return 8, nil
	case wireBytes:
		length, n := binary.Uvarint(m)
		if n <= 0 || length > uint64(len(m)-n) {
			return 0, errShort
		}
		size = n + int(length)
		f.body = m[n:size]
		return size, nil
	}
	return 0, fmt.Errorf("field %d has wire type %d, which no message uses", f.number, f.kind)
}

// unknown is the refusal of a field that the protocol does not have, or has
// with another type. A real receiver passes over such fields.
func (f wireField) unknown(where string) error {
	return fmt.Errorf("%s has no field %d of wire type %d", where, f.number, f.kind)
}

// is tells whether the field is the one with this number and type.
func (f wireField) is(number, kind int) bool { return f.number == number && f.kind == kind }

func (f wireField) double() float64 { return math.Float64frombits(f.bits) }

func (f wireField) text() (string, error) {
	if !utf8.Valid(f.body) {
		return "", fmt.Errorf("text of field %d is not valid UTF-8", f.number)
	}
	return string(f.body), nil
}

// Parts of answers.

func appendVarintField(dst []byte, number int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(number<<3|wireVarint)), v)
}

func appendBytesField[T ~string | ~[]byte](dst []byte, number int, v T) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(number<<3|wireBytes)), uint64(len(v)))
	return append(dst, v...)
}
