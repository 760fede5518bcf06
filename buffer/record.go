package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errDamaged says that something in the file cannot be read.
var errDamaged = errors.New("damaged")

// segment names a run of records that share one state of the codec: its first
// record and a random number, since a commit that a power cut undid may have
// left a segment of the same first record in free pages.
type segment struct {
	base  uint64
	nonce uint32
}

// record is one packed record.
type record struct {
	segment
	index    uint32 // in the segment
	min, max int64  // wall times of the oldest and the newest point, Unix milliseconds
	count    uint32 // points, or entries
	entries  bool
	guess    bool   // the wall times are no true ones as they stand
	names    uint32 // fingerprint of the dictionary, where hasNames
	hasNames bool
	payload  []byte
	frame    frame
}

func (r record) number() uint64 { return r.base + uint64(r.index) }

// span is the number of the record as a set.
func (r record) span() spanOf[uint64] { return spanOf[uint64]{r.number(), r.number() + 1} }

// Flags of a record.
const (
	flagEntries = 1 << 0
	flagNames   = 1 << 1
	flagGuess   = 1 << 2
	allFlags    = flagEntries | flagNames | flagGuess
)

// appendRecord frames a record: flags, fingerprint of the dictionary where it
// has one, nonce, base, index, time of the oldest point, span to the newest,
// number of points, payload.
func appendRecord(dst []byte, r record) []byte {
	flags := byte(0)
	if r.entries {
		flags |= flagEntries
	}
	if r.hasNames {
		flags |= flagNames
	}
	if r.guess {
		flags |= flagGuess
	}
	body := append(make([]byte, 0, len(r.payload)+48), flags)
	if r.hasNames {
		body = binary.LittleEndian.AppendUint32(body, r.names)
	}
	body = binary.LittleEndian.AppendUint32(body, r.nonce)
	body = binary.AppendUvarint(body, r.base)
	body = binary.AppendUvarint(body, uint64(r.index))
	body = binary.AppendVarint(body, r.min)
	body = binary.AppendUvarint(body, uint64(r.max-r.min))
	body = binary.AppendUvarint(body, uint64(r.count))
	return appendFrame(dst, frameRecord, append(body, r.payload...))
}

// cutRecord reads the record that b begins with, and the rest of b. The
// checksum is left for the time when the payload is needed.
func cutRecord(b []byte) (r record, rest []byte, err error) {
	f, err := cutFrame(frameRecord, b)
	if err != nil {
		return r, nil, err
	}
	if r, err = parseRecord(f); err != nil {
		return r, nil, err
	}
	return r, b[f.size:], nil
}

func parseRecord(f frame) (record, error) {
	h := head{b: f.body}
	flags := h.bytes(1)[0]
	r := record{frame: f, entries: flags&flagEntries != 0, hasNames: flags&flagNames != 0, guess: flags&flagGuess != 0}
	if r.hasNames {
		r.names = binary.LittleEndian.Uint32(h.bytes(4))
	}
	r.nonce = binary.LittleEndian.Uint32(h.bytes(4))
	r.base = h.uvarint()
	index := h.uvarint()
	r.min = h.varint()
	length := h.uvarint()
	count := h.uvarint()
	if h.short || flags > allFlags || index > maxSegmentRecords || count == 0 || count > maxRecordPoints ||
		length > 1<<62 || r.min+int64(length) < r.min || r.base > 1<<62 {
		return record{}, fmt.Errorf("record has a malformed head: %w", errDamaged)
	}
	r.index, r.count, r.max = uint32(index), uint32(count), r.min+int64(length)
	r.payload = h.b
	return r, nil
}

// head reads the head of a record; short tells that it has ended too early.
type head struct {
	b     []byte
	short bool
}

func (h *head) bytes(n int) []byte {
	if len(h.b) < n {
		h.b, h.short = nil, true
		return make([]byte, n)
	}
	taken := h.b[:n]
	h.b = h.b[n:]
	return taken
}

func (h *head) uvarint() uint64 {
	v, n := binary.Uvarint(h.b)
	h.skip(n)
	return v
}

func (h *head) varint() int64 {
	v, n := binary.Varint(h.b)
	h.skip(n)
	return v
}

func (h *head) skip(n int) {
	if n <= 0 {
		h.b, h.short = nil, true
		return
	}
	h.b = h.b[n:]
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// mark is what became of parts of a record. Most records have none: what is
// wholly settled stands in the ledger.
type mark struct {
	late    bool // moved to late out of order, beyond the cursor of the ledger
	settled spans
}
