package wire

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"slices"

	"github.com/edgehold/edgehold/probes"
)

// Numbering gives the series of one epoch their ids, from 0 on in the order in
// which they come. It is not safe for concurrent use.
type Numbering struct{ ids map[[16]byte]uint32 }

// NewNumbering begins an epoch.
func NewNumbering() *Numbering { return &Numbering{make(map[[16]byte]uint32)} }

// ID gives the id of a series, a new one to a new series.
func (n *Numbering) ID(s *probes.Series) uint32 {
	key := s.ID()
	id, ok := n.ids[key]
	if !ok {
		id = uint32(len(n.ids))
		n.ids[key] = id
	}
	return id
}

// Len is how many series have an id.
func (n *Numbering) Len() int { return len(n.ids) }

// Limits of the names of one block: the bytes of its tables, its dimensions,
// and the bytes of all names with each written out.
const (
	maxNameTables = 2 << 20
	maxNameDims   = 1 << 19
	maxNameBytes  = 16 << 20
)

// The first byte of packed tables of names.
const (
	plainNames  = 0x11
	packedNames = 0x13
)

// chosen are series that get their names into a block.
type chosen struct {
	ids    []uint32
	series []*probes.Series
}

// namer packs names. What it works in serves for the next block.
type namer struct {
	chosen
	texts          map[string]int
	sets           map[*probes.Dimensions]int
	list           []string // texts by number
	refs           []byte   // of the dimensions of all sets
	counts         []byte   // how many dimensions each set has
	types, keys    []byte   // of the names
	uses           []byte   // their sets
	body           []byte
	deflate        *flate.Writer
	out            bytes.Buffer
	dims, expanded int              // of the names
	last           []*probes.Series // that all had last
	lastSize       int              // of their names
	lastPacked     bool             // that is what they take, not a bound
}

// choose gives the series that need their names in the block.
func (x *namer) choose(ids []uint32, series []*probes.Series, o Naming) chosen {
	if o.Numbering == nil || o.Known == nil {
		return chosen{ids, series}
	}
	clear(x.series)
	x.chosen = chosen{x.ids[:0], x.series[:0]}
	for i, id := range ids {
		if !o.Known(id) {
			x.ids, x.series = append(x.ids, id), append(x.series, series[i])
		}
	}
	return x.chosen
}

// all is how many bytes the names of all the series take; where room is enough
// in any case, an upper bound. Blocks of a backlog mostly have the same series.
func (x *namer) all(ids []uint32, series []*probes.Series, room int) int {
	head := 2*binary.MaxVarintLen32 + len(appendRuns(nil, ids))
	room -= head
	n := len(series)
	known := n <= len(x.last) && slices.Equal(series, x.last[:n]) // more of them take no less
	if !known || x.lastSize > room && !(x.lastPacked && n == len(x.last)) {
		x.last, x.lastPacked = append(x.last[:0], series...), false
		if !x.tables(series) {
			x.lastSize, x.lastPacked = 2*MaxBlock, true
		} else if x.lastSize = len(x.body) + 1; x.lastSize > room {
			x.lastSize, x.lastPacked = len(x.pack(nil)), true
		}
	}
	return head + x.lastSize
}

// payload is the names of the series under their ids: the number of them, the
// ids as runs, and the tables, packed.
// It is nil where they are more than a block takes.
func (x *namer) payload(c chosen) []byte {
	if !x.tables(c.series) {
		return nil
	}
	return x.pack(appendRuns(appendUvarint(nil, len(c.ids)), c.ids))
}

// tables lays the names down in body: columns of texts, of sets of dimensions
// and of names, which pack better than rows; false where they are too many.
func (x *namer) tables(series []*probes.Series) bool {
	x.begin()
	defer x.release()
	set := 0
	var dims *probes.Dimensions
	for _, s := range series {
		before := set
		if d := s.Shared(); d != dims {
			dims, set = d, x.set(d, s.Dims())
		}
		x.uses = binary.AppendVarint(x.uses, int64(set-before))
		x.expanded += s.Size()
	}
	for _, s := range series { // texts are numbered in the order in which they are read
		x.types = append(x.types, byte(s.Type()))
		x.keys = x.text(x.keys, s.Key())
	}
	x.body = appendUvarint(x.body[:0], len(x.list))
	for _, t := range x.list {
		x.body = appendUvarint(x.body, len(t))
	}
	for _, t := range x.list {
		x.body = append(x.body, t...)
	}
	x.body = appendUvarint(x.body, len(x.sets))
	for _, column := range [][]byte{x.counts, x.refs, x.types, x.keys, x.uses} {
		x.body = append(x.body, column...)
	}
	return len(x.body) <= maxNameTables && x.dims <= maxNameDims && x.expanded <= maxNameBytes
}

func (x *namer) begin() {
	if x.texts == nil {
		x.texts, x.sets = make(map[string]int), make(map[*probes.Dimensions]int)
	}
	x.list, x.refs, x.counts = x.list[:0], x.refs[:0], x.counts[:0]
	x.types, x.keys, x.uses = x.types[:0], x.keys[:0], x.uses[:0]
	x.dims, x.expanded = 0, 0
}

// release lets go of texts that may be gone elsewhere.
func (x *namer) release() {
	clear(x.texts)
	clear(x.sets)
	clear(x.list)
}

// set gives the number of a set of dimensions.
func (x *namer) set(shared *probes.Dimensions, dims []probes.Dimension) int {
	n, ok := x.sets[shared]
	if ok {
		return n
	}
	n = len(x.sets)
	x.sets[shared] = n
	x.counts = appendUvarint(x.counts, len(dims))
	x.dims += len(dims)
	for _, d := range dims {
		x.refs = x.text(x.text(x.refs, d.Key), d.Value)
	}
	return n
}

// text appends which text it is: 0 the next one that was not used yet, else its
// number plus one.
func (x *namer) text(dst []byte, t string) []byte {
	n, ok := x.texts[t]
	if ok {
		return appendUvarint(dst, n+1)
	}
	x.texts[t] = len(x.list)
	x.list = append(x.list, t)
	return append(dst, 0)
}

// pack appends the body, compressed where that is shorter.
func (x *namer) pack(dst []byte) []byte {
	if x.deflate == nil {
		x.deflate, _ = flate.NewWriter(nil, 6) // the level is valid
	}
	x.out.Reset()
	x.deflate.Reset(&x.out)
	_, _ = x.deflate.Write(x.body) // a buffer takes everything
	_ = x.deflate.Close()
	if x.out.Len() < len(x.body) {
		return append(append(dst, packedNames), x.out.Bytes()...)
	}
	return append(append(dst, plainNames), x.body...)
}
