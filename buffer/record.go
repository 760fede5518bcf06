package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// recordKey is the key of a record. It tells all that a scan needs, so that
// scans leave the payload alone.
type recordKey struct {
	seq      uint64
	min, max int64 // wall times of the oldest and the newest point, Unix milliseconds
	count    uint32
}

const keySize = 8 + 8 + 8 + 4

func (k recordKey) bytes() []byte {
	b := make([]byte, 0, keySize)
	b = binary.BigEndian.AppendUint64(b, k.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(k.min))
	b = binary.BigEndian.AppendUint64(b, uint64(k.max))
	return binary.BigEndian.AppendUint32(b, k.count)
}

func parseKey(b []byte) (recordKey, error) {
	if len(b) != keySize {
		return recordKey{}, fmt.Errorf("record key %x has %d bytes: %w", b, len(b), errDamaged)
	}
	return recordKey{
		seq:   binary.BigEndian.Uint64(b),
		min:   int64(binary.BigEndian.Uint64(b[8:])),
		max:   int64(binary.BigEndian.Uint64(b[16:])),
		count: binary.BigEndian.Uint32(b[24:]),
	}, nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// errDamaged says that something in the file cannot be read; repair mends it.
var errDamaged = errors.New("damaged")

func checksum(key, content []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, content)
}

// seal puts the CRC-32C of key and content before the content.
func seal(key, content []byte) []byte {
	b := make([]byte, 4, 4+len(content))
	binary.BigEndian.PutUint32(b, checksum(key, content))
	return append(b, content...)
}

// unseal gives the content of a sealed value.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return nil, fmt.Errorf("content does not match its checksum: %w", errDamaged)
	}
	return value[4:], nil
}

// maxInline is the largest payload that lies beside others in a page. A larger
// one gets a bucket, and so pages, of its own: else each append would write
// several old payloads again.
const maxInline = 1900

var keyPayload = []byte("p")

func putRecord(records *bbolt.Bucket, key, sealed []byte) error {
	if len(sealed) <= maxInline {
		return records.Put(key, sealed)
	}
	own, err := records.CreateBucket(key)
	if err != nil {
		return err
	}
	return own.Put(keyPayload, sealed)
}

// payload is the sealed value of a record that a cursor is at.
func payload(records *bbolt.Bucket, key, value []byte) []byte {
	if value != nil {
		return value
	}
	if own := records.Bucket(key); own != nil {
		return own.Get(keyPayload)
	}
	return nil
}

// deleteRecord also deletes the record's mark.
func deleteRecord(tx *bbolt.Tx, key recordKey) error {
	records, k := tx.Bucket(bucketRecords), key.bytes()
	if err := tx.Bucket(bucketMarks).Delete(number(key.seq)); err != nil {
		return err
	}
	if records.Bucket(k) != nil {
		return records.DeleteBucket(k)
	}
	return records.Delete(k)
}

// exists reports whether the record is still in the file.
func exists(tx *bbolt.Tx, key recordKey) bool {
	k := key.bytes()
	found, _ := tx.Bucket(bucketRecords).Cursor().Seek(k)
	return string(found) == string(k)
}

// footprint is about how much of the file a sealed value takes.
func footprint(size int) int64 {
	const header = 96
	if size <= maxInline {
		return int64(size) + header
	}
	return int64(size+header+pageSize-1)/pageSize*pageSize + header
}

// scan calls fn for each record from number on, until it returns false.
func scan(tx *bbolt.Tx, from uint64, fn func(key recordKey, value []byte) (bool, error)) error {
	c := tx.Bucket(bucketRecords).Cursor()
	for k, v := c.Seek(number(from)); k != nil; k, v = c.Next() {
		key, err := parseKey(k)
		if err != nil {
			return err
		}
		if more, err := fn(key, v); err != nil || !more {
			return err
		}
	}
	return nil
}

// mark is what became of parts of a record. Most records have none.
type mark struct {
	late    bool // moved to late out of order, beyond the cursor of the ledger
	settled spans
}

func readMark(tx *bbolt.Tx, seq uint64) (mark, error) {
	k := number(seq)
	value := tx.Bucket(bucketMarks).Get(k)
	if value == nil {
		return mark{}, nil
	}
	content, err := unseal(k, value)
	if err != nil || len(content) == 0 {
		return mark{}, fmt.Errorf("read mark of record %d: %w", seq, errDamaged)
	}
	settled, err := parseSpans(content[1:])
	if err != nil {
		return mark{}, fmt.Errorf("read mark of record %d: %w", seq, err)
	}
	return mark{late: content[0] == 1, settled: settled}, nil
}

func writeMark(tx *bbolt.Tx, seq uint64, m mark) error {
	marks, k := tx.Bucket(bucketMarks), number(seq)
	if !m.late && len(m.settled) == 0 {
		return marks.Delete(k)
	}
	content := []byte{0}
	if m.late {
		content[0] = 1
	}
	return marks.Put(k, seal(k, m.settled.appendTo(content)))
}
