package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Every value in the file is framed, so that it can be checked, and found
// again without the tree that leads to it:
//
//	"Eh", the kind, "1" | length of the body (uvarint) | CRC-32C of kind and body (little-endian) | body
type frameKind byte

const (
	frameRecord frameKind = 'R'
	frameNames  frameKind = 'N'
	frameLedger frameKind = 'L'
	frameMark   frameKind = 'M'
	frameLetter frameKind = 'D'
	frameState  frameKind = 'S'
	frameNote   frameKind = 'K'
	frameClaim  frameKind = 'C'

	magicSize    = 4
	maxFrameBody = 64 << 20
)

func magic(kind frameKind) []byte { return []byte{'E', 'h', byte(kind), '1'} }

func checksum(kind frameKind, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte{byte(kind)}, table), table, body)
}

func appendFrame(dst []byte, kind frameKind, body []byte) []byte {
	dst = append(dst, magic(kind)...)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(kind, body))
	return append(dst, body...)
}

// frame is one framed value as it lies in the file; its checksum is not
// looked at before open.
type frame struct {
	kind frameKind
	sum  uint32
	body []byte
	size int // of all of it
}

// cutFrame finds the frame that b begins with.
func cutFrame(kind frameKind, b []byte) (frame, error) {
	if !bytes.HasPrefix(b, magic(kind)) {
		return frame{}, fmt.Errorf("no %c frame begins here: %w", kind, errDamaged)
	}
	length, n := binary.Uvarint(b[magicSize:])
	head := magicSize + n + crc32.Size
	if n <= 0 || length > maxFrameBody || len(b) < head || uint64(len(b)-head) < length {
		return frame{}, fmt.Errorf("%c frame is cut off: %w", kind, errDamaged)
	}
	return frame{
		kind: kind,
		sum:  binary.LittleEndian.Uint32(b[head-crc32.Size:]),
		body: b[head : head+int(length)],
		size: head + int(length),
	}, nil
}

func (f frame) check() error {
	if f.sum != checksum(f.kind, f.body) {
		return fmt.Errorf("%c frame does not match its checksum: %w", f.kind, errDamaged)
	}
	return nil
}

// openFrame gives the body of a value that is one frame and nothing more.
func openFrame(kind frameKind, value []byte) ([]byte, error) {
	f, err := cutFrame(kind, value)
	if err != nil {
		return nil, err
	}
	if f.size != len(value) {
		return nil, fmt.Errorf("%d bytes follow a %c frame: %w", len(value)-f.size, kind, errDamaged)
	}
	return f.body, f.check()
}

// keyed frames a body that begins with the key it is found by.
func keyed(kind frameKind, key, content []byte) []byte {
	body := binary.AppendUvarint(make([]byte, 0, len(key)+len(content)+2), uint64(len(key)))
	body = append(append(body, key...), content...)
	return appendFrame(nil, kind, body)
}

// openKeyed gives the content of a keyed value; it must be of that key.
func openKeyed(kind frameKind, key, value []byte) ([]byte, error) {
	body, err := openFrame(kind, value)
	if err != nil {
		return nil, err
	}
	found, content, err := splitKeyed(body)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(found, key) {
		return nil, fmt.Errorf("%c frame of key %x lies under key %x: %w", kind, found, key, errDamaged)
	}
	return content, nil
}

func splitKeyed(body []byte) (key, content []byte, err error) {
	length, n := binary.Uvarint(body)
	if n <= 0 || length > uint64(len(body)-n) {
		return nil, nil, fmt.Errorf("frame has no key: %w", errDamaged)
	}
	return body[n : n+int(length)], body[n+int(length):], nil
}
