package arc

import (
	"encoding/binary"
	"fmt"
)

// Entry is something other than a point that has a stamp: what its data mean
// is up to its kind.
type Entry struct {
	Kind  uint8
	Stamp Stamp
	Data  []byte
}

// Limits of one payload of entries: how many they are and how many bytes they
// take unpacked, each with its stamp and lengths.
const (
	MaxEntries    = 1 << 12
	MaxEntryBytes = 4 << 20
)

// leastEntry is the fewest bytes that an entry takes.
const leastEntry = 1 + 16 + 1 + 1 + 1

// EncodeEntries appends the entries to dst as one payload.
func (c *Codec) EncodeEntries(dst []byte, entries []Entry) ([]byte, error) {
	if len(entries) > MaxEntries {
		return dst, fmt.Errorf("%d entries are more than %d", len(entries), MaxEntries)
	}
	size := 1
	for i := range entries {
		size += len(entries[i].Data) + leastEntry
		if size > MaxEntryBytes {
			return dst, fmt.Errorf("%d entries take more than %d bytes", len(entries), MaxEntryBytes)
		}
	}
	body := binary.AppendUvarint(make([]byte, 0, size), uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		body = append(append(body, e.Kind), e.Stamp.Boot[:]...)
		body = binary.AppendVarint(body, e.Stamp.Uptime)
		body = binary.AppendVarint(body, e.Stamp.Wall)
		body = append(binary.AppendUvarint(body, uint64(len(e.Data))), e.Data...)
	}
	if len(body) > MaxEntryBytes {
		return dst, fmt.Errorf("%d entries take %d bytes, more than %d", len(entries), len(body), MaxEntryBytes)
	}
	return c.pack(dst, body), nil
}

// DecodeEntries is the inverse of EncodeEntries. The data of all entries share
// one piece of memory; those of an entry without any are nil.
func (c *Codec) DecodeEntries(payload []byte) ([]Entry, error) {
	body, err := c.unpack(payload, MaxEntryBytes)
	if err != nil {
		return nil, err
	}
	r := &reader{b: body}
	n := r.count(leastEntry)
	if n > MaxEntries {
		return nil, fmt.Errorf("payload has %d entries, more than %d", n, MaxEntries)
	}
	entries := make([]Entry, n)
	for i := range entries {
		r.entry(&entries[i])
		if r.err != nil {
			return nil, r.err
		}
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("payload has %d bytes too many", len(r.b))
	}
	return entries, r.err
}

func (r *reader) entry(e *Entry) {
	if b := r.take(1 + len(e.Stamp.Boot)); b != nil {
		e.Kind = b[0]
		copy(e.Stamp.Boot[:], b[1:])
	}
	e.Stamp.Uptime, e.Stamp.Wall = r.varint(), r.varint()
	if n := r.count(1); n > 0 {
		data := r.take(n)
		e.Data = data[:n:n]
	}
}
