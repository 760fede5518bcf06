package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// unit is records that lie together in the file: a chunk of sealed ones, or
// one of the tail that is not sealed yet.
type unit struct {
	segment
	first    uint64 // number of its first record
	records  uint32
	min, max int64 // as of a record
	points   int64
	tail     bool
}

func (u unit) span() spanOf[uint64] { return spanOf[uint64]{u.first, u.first + uint64(u.records)} }

// A record of the tail has a bucket of its own in the root, so that it is in
// pages of its own and no append writes others again. A small one lies in the
// page of the root with its bucket.
const tailPrefix = 't'

func tailKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tailPrefix}, number)
}

func isTailKey(k []byte) bool { return len(k) == 9 && k[0] == tailPrefix }

const chunkKeySize = 52

// chunkKey tells all that a scan needs: first record, base, nonce, records,
// oldest, newest, points, and the CRC-32C of these.
func chunkKey(u unit) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, chunkKeySize), u.first)
	b = binary.BigEndian.AppendUint64(b, u.base)
	b = binary.BigEndian.AppendUint32(b, u.nonce)
	b = binary.BigEndian.AppendUint32(b, u.records)
	b = binary.BigEndian.AppendUint64(b, uint64(u.min))
	b = binary.BigEndian.AppendUint64(b, uint64(u.max))
	b = binary.BigEndian.AppendUint64(b, uint64(u.points))
	return binary.BigEndian.AppendUint32(b, fingerprint(b))
}

func parseChunkKey(b []byte) (unit, error) {
	if len(b) != chunkKeySize {
		return unit{}, fmt.Errorf("chunk key %x has %d bytes: %w", b, len(b), errDamaged)
	}
	if binary.BigEndian.Uint32(b[48:]) != fingerprint(b[:48]) {
		return unit{}, fmt.Errorf("chunk key %x does not match its checksum: %w", b, errDamaged)
	}
	u := unit{
		first:   binary.BigEndian.Uint64(b),
		records: binary.BigEndian.Uint32(b[20:]),
		min:     int64(binary.BigEndian.Uint64(b[24:])),
		max:     int64(binary.BigEndian.Uint64(b[32:])),
		points:  int64(binary.BigEndian.Uint64(b[40:])),
	}
	u.base, u.nonce = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])
	if u.records == 0 || u.base > u.first {
		return unit{}, fmt.Errorf("chunk key %x makes no sense: %w", b, errDamaged)
	}
	return u, nil
}

var keyFrames = []byte("p")

// frames are the framed records of the unit.
func (u unit) frames(tx *bbolt.Tx) ([]byte, error) {
	var own *bbolt.Bucket
	if u.tail {
		own = tx.Bucket(tailKey(u.first))
	} else {
		own = tx.Bucket(bucketChunks).Bucket(chunkKey(u))
	}
	if own == nil {
		return nil, fmt.Errorf("unit of record %d has no content: %w", u.first, errDamaged)
	}
	return own.Get(keyFrames), nil
}

func (u unit) delete(tx *bbolt.Tx) error {
	if u.tail {
		return tx.DeleteBucket(tailKey(u.first))
	}
	return tx.Bucket(bucketChunks).DeleteBucket(chunkKey(u))
}

// each calls fn for each record of the unit, until it returns false.
func (u unit) each(tx *bbolt.Tx, fn func(r record) (bool, error)) (bool, error) {
	b, err := u.frames(tx)
	if err != nil {
		return false, err
	}
	for next := u.first; next < u.first+uint64(u.records); next++ {
		var r record
		if r, b, err = cutRecord(b); err != nil {
			return false, fmt.Errorf("record %d: %w", next, err)
		}
		if r.segment != u.segment || r.number() != next {
			return false, fmt.Errorf("record %d lies where record %d belongs: %w", r.number(), next, errDamaged)
		}
		if more, err := fn(r); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// units calls fn for each unit from the one that holds the record on, until it
// returns false. Chunks come first: the tail is always newer.
func units(tx *bbolt.Tx, from uint64, fn func(u unit) (bool, error)) error {
	more, err := chunks(tx, from, fn)
	if err != nil || !more {
		return err
	}
	return tail(tx, from, fn)
}

func chunks(tx *bbolt.Tx, from uint64, fn func(u unit) (bool, error)) (bool, error) {
	c := tx.Bucket(bucketChunks).Cursor()
	before := back
	if tx.Writable() {
		before = forth
	}
	for k := firstChunk(c, from, before); k != nil; k, _ = c.Next() {
		u, err := parseChunkKey(k)
		if err != nil {
			return false, err
		}
		if more, err := fn(u); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// firstChunk moves the cursor to the chunk that holds the record, or to the
// next one.
func firstChunk(c *bbolt.Cursor, from uint64, before func(c *bbolt.Cursor, next []byte) []byte) []byte {
	next, _ := c.Seek(number(from))
	if next != nil && bytes.HasPrefix(next, number(from)) {
		return next
	}
	if k := before(c, next); k != nil {
		if u, err := parseChunkKey(k); err != nil || u.span().to > from {
			return k
		}
	}
	next, _ = c.Seek(number(from))
	return next
}

// back is the chunk before the one that the cursor is at, the last one where
// next is nil.
func back(c *bbolt.Cursor, next []byte) []byte {
	if next == nil {
		k, _ := c.Last()
		return k
	}
	k, _ := c.Prev()
	return k
}

// forth is back for a transaction that may have deleted chunks: bbolt goes back
// over pages emptied by it wrongly, and for ever where all are empty. The
// cursor is left at the chunk.
func forth(c *bbolt.Cursor, next []byte) []byte {
	var before []byte
	for k, _ := c.First(); k != nil && (next == nil || bytes.Compare(k, next) < 0); k, _ = c.Next() {
		before = k
	}
	if before != nil {
		before, _ = c.Seek(before)
	}
	return before
}

func tail(tx *bbolt.Tx, from uint64, fn func(u unit) (bool, error)) error {
	c := tx.Cursor()
	for k, _ := c.Seek(tailKey(from)); isTailKey(k); k, _ = c.Next() {
		u, err := tailUnit(tx, k)
		if err != nil {
			return err
		}
		if more, err := fn(u); err != nil || !more {
			return err
		}
	}
	return nil
}

func tailUnit(tx *bbolt.Tx, key []byte) (unit, error) {
	own := tx.Bucket(key)
	if own == nil {
		return unit{}, fmt.Errorf("tail record %x has no content: %w", key, errDamaged)
	}
	r, rest, err := cutRecord(own.Get(keyFrames))
	if err != nil {
		return unit{}, fmt.Errorf("tail record %x: %w", key, err)
	}
	if len(rest) > 0 || !bytes.Equal(tailKey(r.number()), key) {
		return unit{}, fmt.Errorf("tail record %d lies under key %x: %w", r.number(), key, errDamaged)
	}
	return unit{segment: r.segment, first: r.number(), records: 1, min: r.min, max: r.max, points: int64(r.count), tail: true}, nil
}

// records calls fn for each record from a number on, until it returns false.
func records(tx *bbolt.Tx, from uint64, fn func(r record) (bool, error)) error {
	return units(tx, from, func(u unit) (bool, error) {
		return u.each(tx, func(r record) (bool, error) {
			if r.number() < from {
				return true, nil
			}
			return fn(r)
		})
	})
}

// segmentUnits are all units of the segment that begins with a record.
func segmentUnits(tx *bbolt.Tx, base uint64) (found []unit, err error) {
	err = units(tx, base, func(u unit) (bool, error) {
		if u.base == base {
			found = append(found, u)
		}
		return u.base == base, nil
	})
	return found, err
}

// size is about how much of the file the unit takes, all pages counted.
func (u unit) size(tx *bbolt.Tx) (int64, error) {
	b, err := u.frames(tx)
	return footprint(len(b)), err
}

// footprint is about how much of the file framed records of a size take.
func footprint(size int) int64 {
	const header = 128
	if size <= maxInline {
		return int64(size) + header
	}
	return int64(size+header+pageSize-1)/pageSize*pageSize + header
}

// maxInline is near the size at which bbolt gives a bucket a page of its own.
const maxInline = pageSize/4 - 48

func readMark(tx *bbolt.Tx, record uint64) (mark, error) {
	k := number(record)
	value := tx.Bucket(bucketMarks).Get(k)
	if value == nil {
		return mark{}, nil
	}
	content, err := openKeyed(frameMark, k, value)
	if err != nil {
		return mark{}, fmt.Errorf("read mark of record %d: %w", record, err)
	}
	_, m, err := parseMark(content)
	if err != nil {
		return mark{}, fmt.Errorf("read mark of record %d: %w", record, err)
	}
	return m, nil
}

// parseMark gives the mark and the commit that wrote it.
func parseMark(content []byte) (commit uint64, m mark, err error) {
	commit, n := binary.Uvarint(content)
	if n <= 0 || len(content) == n {
		return 0, m, fmt.Errorf("mark is too short: %w", errDamaged)
	}
	m.late = content[n] == 1
	m.settled, err = parseSet[uint32](content[n+1:], maxRecordPoints)
	return commit, m, err
}

func writeMark(tx *bbolt.Tx, commit, record uint64, m mark) error {
	marks, k := tx.Bucket(bucketMarks), number(record)
	if !m.late && len(m.settled) == 0 {
		return marks.Delete(k)
	}
	content := append(binary.AppendUvarint(nil, commit), 0)
	if m.late {
		content[len(content)-1] = 1
	}
	return marks.Put(k, keyed(frameMark, k, m.settled.appendTo(content)))
}
