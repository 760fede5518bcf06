package custody

import (
	"encoding/binary"

	"github.com/edgehold/edgehold/buffer"
)

// Flags of an entry.
const (
	flagLate   = 1 // its open points are late_archived
	flagTold   = 2 // it is finished for its site
	flagBroken = 4 // its bytes cannot be read: it waits for its site
	allFlags   = 7
)

// entry is a block in the index of the file.
type entry struct {
	number      uint64
	site        string
	epoch, seq  uint64
	kind, lane  uint8
	flags       uint8
	points      uint32
	size        uint32 // of its bytes
	sum         uint32 // CRC-32C of them
	first, last int64
	received    int64  // Unix milliseconds
	counts      Counts // of the settled points
	settled     set    // positions
}

func (e *entry) open() int64     { return int64(e.points) - e.settled.count() }
func (e *entry) is(f uint8) bool { return e.flags&f != 0 }

func (c *Counts) each() [8]*int64 {
	return [8]*int64{&c.Delivered, &c.DeadLetter, &c.LateArchived, &c.LateLogged, &c.LateDropped, &c.Evicted, &c.Damaged, &c.Purged}
}

func (c Counts) appendTo(b []byte) []byte {
	for _, n := range c.each() {
		b = binary.AppendUvarint(b, uint64(*n))
	}
	return b
}

func (d *decoder) counts() (c Counts) {
	for _, n := range c.each() {
		*n = int64(d.uvarint())
	}
	return c
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, 96+len(e.site))
	b = append(b, e.kind, e.lane, e.flags, byte(len(e.site)))
	b = append(b, e.site...)
	b = binary.BigEndian.AppendUint64(b, e.epoch)
	b = binary.LittleEndian.AppendUint32(b, e.sum)
	b = binary.AppendUvarint(b, e.seq)
	b = binary.AppendUvarint(b, uint64(e.points))
	b = binary.AppendUvarint(b, uint64(e.size))
	b = binary.AppendVarint(b, e.first)
	b = binary.AppendVarint(b, e.last)
	b = binary.AppendVarint(b, e.received)
	return e.settled.appendTo(e.counts.appendTo(b))
}

// decodeEntry reads an entry. What it finds is checked, so that no damage that
// its checksum misses makes counters wrong.
func decodeEntry(key, value []byte) (*entry, error) {
	content, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	d := decoder{b: content}
	e := &entry{number: binary.BigEndian.Uint64(key)}
	head := d.bytes(4)
	e.kind, e.lane, e.flags = head[0], head[1], head[2]
	e.site = string(d.bytes(int(head[3])))
	e.epoch = binary.BigEndian.Uint64(d.bytes(8))
	e.sum = binary.LittleEndian.Uint32(d.bytes(4))
	e.seq = d.uvarint()
	e.points, e.size = uint32(d.uvarint()), uint32(d.uvarint())
	e.first, e.last, e.received = d.varint(), d.varint(), d.varint()
	e.counts = d.counts()
	if d.err != nil {
		return nil, d.err
	}
	if e.settled, d.b, err = cutSet(d.b); err != nil {
		return nil, errValue
	}
	if n := len(e.settled); e.flags > allFlags || n > 0 && e.settled[n-1].to > uint64(e.points) {
		return nil, errValue
	}
	return e, d.end()
}

// epochState is what is known of the blocks of one (site, epoch).
type epochState struct {
	floor    uint64 // the site has settled all below
	seen     int64  // Unix hours of the last sign of it
	open     int64  // blocks that are not finished
	names    int64  // how many
	nbytes   int64  // of names
	received set    // from the floor on
	finished set
}

func (x *epochState) encode() []byte {
	b := binary.AppendUvarint(nil, x.floor)
	b = binary.AppendVarint(b, x.seen)
	for _, n := range []int64{x.open, x.names, x.nbytes} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return x.finished.appendTo(x.received.appendTo(b))
}

func decodeEpoch(key, value []byte) (*epochState, error) {
	content, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	d := decoder{b: content}
	x := &epochState{floor: d.uvarint(), seen: d.varint()}
	x.open, x.names, x.nbytes = int64(d.uvarint()), int64(d.uvarint()), int64(d.uvarint())
	if d.err == nil {
		x.received, d.b, d.err = cutSet(d.b)
	}
	if d.err == nil {
		x.finished, d.b, d.err = cutSet(d.b)
	}
	if d.end() != nil {
		return nil, errValue
	}
	return x, nil
}

// siteState is the account of one site and what belongs to it.
type siteState struct {
	account  buffer.Account
	blocks   int64  // in the file
	bytes    int64  // of blocks and names
	latest   uint64 // the epoch that began last
	received int64  // Unix milliseconds of the last block
}

func (x *siteState) numbers() []*int64 {
	a := &x.account
	return []*int64{
		&a.Accepted, &a.Buffered, &a.Delivered, &a.Late, &a.LateLogged, &a.LateDropped, &a.DeadLetter, &a.Evicted, &a.Damaged, &a.Purged,
		&x.blocks, &x.bytes, &x.received,
	}
}

func (x *siteState) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, x.latest)
	for _, n := range x.numbers() {
		b = binary.AppendVarint(b, *n)
	}
	return b
}

func decodeSite(key, value []byte) (*siteState, error) {
	content, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	d := decoder{b: content}
	x := &siteState{latest: binary.BigEndian.Uint64(d.bytes(8))}
	for _, n := range x.numbers() {
		*n = d.varint()
	}
	return x, d.end()
}

// complete fills in what follows from other counters.
func complete(a buffer.Account) buffer.Account {
	a.LateArchived = a.Late - a.LateLogged - a.LateDropped
	return a
}
