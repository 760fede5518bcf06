package wire

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"

	"github.com/edgehold/edgehold/probes"
)

// NamesIn gives the ids of the names that a block brings, and the names as a
// payload to be kept as it is, which is part of the block. Both are nil where
// it brings none or only local ones. Where an id is named again later, the
// later name holds.
func NamesIn(block []byte) (ids []uint32, payload []byte, err error) {
	p, err := openPacked(block)
	if err != nil || p.h.Local || len(p.names) == 0 {
		return nil, nil, err
	}
	c := cursor{b: p.names}
	if ids = c.runs(c.count(MaxPoints)); c.bad || len(ids) == 0 {
		return nil, nil, malformed("its names have no ids")
	}
	return ids, p.names, nil
}

// IDsIn gives the ids of all series of a block, in the order in which they
// first come; nil where it brings all names itself.
func IDsIn(block []byte) ([]uint32, error) {
	p, err := openPacked(block)
	if err != nil || p.h.Local {
		return nil, err
	}
	return p.ids, nil
}

// packedBlock is the parts of a block of packed points. It has no ids and no
// names where the block is none.
type packedBlock struct {
	h       Header
	series  int
	ids     []uint32 // of the series; nil: local ones
	names   []byte
	payload []byte
}

func openPacked(block []byte) (p packedBlock, err error) {
	h, body, err := parse(block)
	if err != nil {
		return p, err
	}
	if p.h = h; h.Kind != Points || h.Codec != Packed {
		p.h.Local = true
		return p, nil
	}
	c := cursor{b: body}
	p.series = c.count(h.Count)
	if !h.Local {
		p.ids = c.runs(p.series)
	}
	p.names = c.take(c.count(len(c.b)))
	p.payload = c.b
	if c.bad || p.series == 0 {
		return packedBlock{}, malformed("its series cannot be read")
	}
	return p, nil
}

// ReadNames reads names as NamesIn gives them.
func ReadNames(payload []byte) (map[uint32]*probes.Series, error) {
	c := cursor{b: payload}
	ids := c.runs(c.count(MaxPoints))
	if c.bad || len(ids) == 0 {
		return nil, malformed("ids of its names cannot be read")
	}
	body, err := unpackNames(c.b)
	if err != nil {
		return nil, err
	}
	c = cursor{b: body}
	t := tables{cursor: &c}
	series := t.read(len(ids))
	if c.bad || len(c.b) > 0 {
		return nil, malformed("its names cannot be read")
	}
	names := make(map[uint32]*probes.Series, len(ids))
	for i, id := range ids {
		names[id] = series[i]
	}
	return names, nil
}

// unpackNames gives the tables, and stops one byte behind the most.
func unpackNames(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, malformed("its names end too early")
	}
	switch packed[0] {
	case plainNames:
		return packed[1:], nil
	case packedNames:
	default:
		return nil, malformed("its names begin with unknown byte %#x", packed[0])
	}
	in := bytes.NewReader(packed[1:])
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(in), maxNameTables+1))
	if err != nil {
		return nil, malformed("its names do not decompress: %v", err)
	}
	if len(body) > maxNameTables || in.Len() > 0 {
		return nil, malformed("its names decompress to more than they may")
	}
	return body, nil
}

// tables reads what namer.tables has laid down.
type tables struct {
	*cursor
	texts []string
	used  int // of the texts
}

// read gives n series. It costs no more than the limits of names allow.
func (t *tables) read(n int) []*probes.Series {
	t.readTexts()
	sets := t.readSets(n)
	types := t.take(n)
	keys := make([]string, min(n, len(t.b)))
	for i := range keys {
		keys[i] = t.text()
	}
	series := make([]*probes.Series, 0, len(keys))
	set, expanded := int64(0), 0
	for _, key := range keys {
		set += t.varint()
		if t.bad || set < 0 || set >= int64(len(sets)) {
			t.bad = true
			return nil
		}
		if expanded += len(key) + sets[set].size; expanded > maxNameBytes {
			t.bad = true
			return nil
		}
		series = append(series, probes.NewSeriesOf(key, probes.Type(types[len(series)]), sets[set].dims))
	}
	t.bad = t.bad || len(series) != n || t.used != len(t.texts)
	return series
}

func (t *tables) readTexts() {
	lengths := make([]int, t.count(len(t.b)/3+1)) // each but one has a length, a byte and a use
	for i := range lengths {
		lengths[i] = t.count(len(t.b))
	}
	t.texts = make([]string, 0, len(lengths))
	for _, n := range lengths {
		t.texts = append(t.texts, string(t.take(n)))
	}
}

// text gives the text that the next reference names.
func (t *tables) text() string {
	n := t.count(t.used)
	if n > 0 {
		return t.texts[n-1]
	}
	if t.used == len(t.texts) || t.bad {
		t.bad = true
		return ""
	}
	t.used++
	return t.texts[t.used-1]
}

type dimSet struct {
	dims *probes.Dimensions
	size int // bytes of its texts
}

// readSets reads the sets of dimensions, of which no more than names are there.
func (t *tables) readSets(names int) []dimSet {
	counts := make([]int, t.count(min(names, len(t.b))))
	sum := 0
	for i := range counts {
		counts[i] = t.count(min(maxNameDims, len(t.b)) - sum)
		sum += counts[i]
	}
	sets := make([]dimSet, 0, len(counts))
	for _, n := range counts {
		s := t.readSet(n)
		if t.bad {
			return nil
		}
		sets = append(sets, s)
	}
	return sets
}

// readSet takes dimensions only as a Series has them: in order and not empty.
func (t *tables) readSet(n int) (s dimSet) {
	dims := make([]probes.Dimension, n)
	for i := range dims {
		dims[i] = probes.Dimension{Key: t.text(), Value: t.text()}
		if dims[i].Key == "" || dims[i].Value == "" || i > 0 && dims[i].Key <= dims[i-1].Key {
			t.bad = true
			return s
		}
		s.size += len(dims[i].Key) + len(dims[i].Value)
	}
	s.dims = probes.NewDimensions(dims...)
	return s
}

// MissingError says which ids a block uses that neither it nor its reader can
// name.
type MissingError struct{ IDs []uint32 }

// Error says how many they are.
func (e *MissingError) Error() string {
	return fmt.Sprintf("read block: names of %d series are missing, the first with id %d: ask for the block with all names", len(e.IDs), e.IDs[0])
}
