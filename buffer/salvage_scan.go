package buffer

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
)

// Limits of a scan.
const (
	scanWindow = 1 << 20
	scanAhead  = 256      // bytes that are enough to know a frame by
	maxRecord  = 8 << 20  // bytes of a frame: 65,536 points of the worst kind, or the largest entries
	maxOther   = 4 << 20  // of the other kinds
	wasteShare = 16       // how often the file is read, at most, for frames that are none
	wasteLeast = 64 << 20 // bytes that may be read so whatever the size of the file
)

// scanner finds frames in raw bytes, wherever they begin.
type scanner struct {
	f      *os.File
	size   int64
	window []byte
	large  []byte
	wasted int64       // bytes of frames that did not match their checksums
	stop   func() bool // ends a scan early
}

func newScanner(f *os.File, stop func() bool) (*scanner, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &scanner{f: f, size: info.Size(), window: make([]byte, scanWindow), stop: stop}, nil
}

// found is a frame whose checksum is right.
type found struct {
	kind frameKind
	at   int64 // offset in the file
	size int64
	body []byte // the head only, where a record is longer than the window; valid until the call returns
}

// scan calls fn for each frame. What lies in a frame is not looked at again.
func (sc *scanner) scan(fn func(found)) {
	for at := int64(0); at < sc.size && !sc.stop(); {
		b := sc.read(sc.window, at)
		end := at + int64(len(b))
		if end < sc.size {
			end -= scanAhead
		}
		at = sc.scanWindow(at, end, b, fn)
	}
}

// scanWindow looks for frames that begin before the end, and tells where to go
// on.
func (sc *scanner) scanWindow(at, end int64, b []byte, fn func(found)) int64 {
	p := at
	for p < end {
		i := bytes.Index(b[p-at:], []byte("Eh"))
		if i < 0 || p+int64(i) >= end {
			return end
		}
		p += int64(i)
		x, ok := sc.frame(p, b[p-at:])
		if ok {
			fn(x)
		}
		p += max(1, x.size)
	}
	return p
}

// read fills b from an offset on. Pages that the disk cannot read are zeros.
func (sc *scanner) read(b []byte, at int64) []byte {
	b = b[:min(int64(len(b)), sc.size-at)]
	if _, err := sc.f.ReadAt(b, at); err == nil {
		return b
	}
	for from := 0; from < len(b); {
		to := min(len(b), from+pageSize-int((at+int64(from))%pageSize))
		if _, err := sc.f.ReadAt(b[from:to], at+int64(from)); err != nil {
			clear(b[from:to])
		}
		from = to
	}
	return b
}

// frame tells what begins at an offset; b is what the window has of it.
func (sc *scanner) frame(at int64, b []byte) (found, bool) {
	if len(b) < magicSize || b[3] != '1' {
		return found{}, false
	}
	x := found{kind: frameKind(b[2]), at: at}
	most := uint64(maxOther)
	switch x.kind {
	case frameRecord:
		most = maxRecord
	case frameNames, frameLedger, frameMark, frameLetter:
	default:
		return found{}, false
	}
	length, n := binary.Uvarint(b[magicSize:])
	head := int64(magicSize + n + crc32.Size)
	if n <= 0 || length > most || at+head+int64(length) > sc.size || int64(len(b)) < head {
		return found{}, false
	}
	x.size = head + int64(length)
	if x.body = b[head:min(int64(len(b)), x.size)]; x.kind == frameRecord {
		if _, err := parseRecord(frame{body: x.body}); err != nil {
			return found{}, false
		}
	}
	if !sc.check(&x, at+head, int(length), binary.LittleEndian.Uint32(b[head-crc32.Size:])) {
		return found{}, false
	}
	return x, true
}

// check compares the checksum of a frame, and reads what the window lacks. In
// a file that is full of false frames it gives up the long ones.
func (sc *scanner) check(x *found, at int64, length int, sum uint32) bool {
	if length > pageSize && sc.wasted > wasteShare*sc.size+wasteLeast {
		return false
	}
	if length > len(x.body) {
		if sc.large == nil {
			sc.large = make([]byte, maxRecord)
		}
		x.body = sc.read(sc.large[:length], at)
	}
	if sum != checksum(x.kind, x.body) {
		sc.wasted += int64(length)
		return false
	}
	return true
}

// again reads a frame that was found before.
func (sc *scanner) again(kind frameKind, at int64) (frame, error) {
	head := sc.read(make([]byte, scanAhead), at)
	length, n := uint64(0), 0
	if len(head) > magicSize {
		length, n = binary.Uvarint(head[magicSize:])
	}
	if n <= 0 || length > maxRecord {
		return frame{}, errDamaged
	}
	f, err := cutFrame(kind, sc.read(make([]byte, magicSize+n+crc32.Size+int(length)), at))
	if err == nil {
		err = f.check()
	}
	return f, err
}
