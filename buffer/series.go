package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// dictionary gives each series a number. The file gets new ones in blocks, in
// the transaction of the first record that uses them, and each block twice,
// since a lost block would make many records useless. None is ever removed
// from a file.
type dictionary struct {
	mu     sync.RWMutex
	series []*probes.Series // by number
	index  []uint32         // open addressing by Series.ID: number plus one, 0 where none is
	print  uint32           // fingerprint of all blocks that were made

	loaded []bool    // by number, of series of the file: nobody but the dictionary has them
	newer  []renewal // that others have in their place
}

type renewal struct {
	number uint32
	series *probes.Series
}

func newDictionary() *dictionary { return &dictionary{index: make([]uint32, 64)} }

func (d *dictionary) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.series)
}

// numbers appends the numbers of the points' series. One that has none gets a
// new one.
func (d *dictionary) numbers(dst []uint32, points []probes.Point) []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range points {
		dst = append(dst, d.number(points[i].Series))
	}
	return dst
}

func (d *dictionary) number(s *probes.Series) uint32 {
	slot := d.slot(s)
	if *slot == 0 {
		return d.append(s, slot)
	}
	n := *slot - 1
	if int(n) < len(d.loaded) && d.loaded[n] {
		d.loaded[n] = false
		d.newer = append(d.newer, renewal{n, s})
	}
	return n
}

// append adds a series whose slot is free.
func (d *dictionary) append(s *probes.Series, slot *uint32) uint32 {
	d.series = append(d.series, s)
	*slot = uint32(len(d.series))
	if 4*len(d.series) > 3*len(d.index) {
		d.index = make([]uint32, 2*len(d.index))
		for i, s := range d.series {
			*d.slot(s) = uint32(i + 1)
		}
	}
	return uint32(len(d.series) - 1)
}

// slot is where the number of the series is, or belongs.
func (d *dictionary) slot(s *probes.Series) *uint32 {
	id := s.ID() // a digest, and so well mixed
	mask := uint32(len(d.index) - 1)
	for i := binary.LittleEndian.Uint32(id[:]) & mask; ; i = (i + 1) & mask {
		n := d.index[i]
		if n == 0 || d.series[n-1] == s || d.series[n-1].ID() == id {
			return &d.index[i]
		}
	}
}

// renew puts the series that probes have in the place of those that were read
// from the file, so that each is in memory once.
func (d *dictionary) renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.newer) == 0 {
		return
	}
	d.series = slices.Clone(d.series)
	for _, x := range d.newer {
		d.series[x.number] = x.series
	}
	d.newer = nil
}

// all returns the series by number. The slice is not changed later, only
// longer ones take its place.
func (d *dictionary) all() []*probes.Series {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.series
}

// nameBlock is names on their way to the file.
type nameBlock struct{ key, value []byte }

// blocks packs the series with the numbers from..to-1. Each block holds the
// fingerprint of those before it, so that blocks of commits that never became
// durable, which free pages may still hold, cannot be taken for others.
func (d *dictionary) blocks(codec *arc.Codec, from, to int) ([]nameBlock, error) {
	var out []nameBlock
	series := d.all()
	for from < to {
		n, size := 0, 0
		for from+n < to && n < arc.MaxNames {
			size += packedSize(series[from+n])
			if n > 0 && size > arc.MaxNameBytes-maxSeriesBytes {
				break
			}
			n++
		}
		content, err := codec.EncodeNames(binary.LittleEndian.AppendUint32(nil, d.print), toNames(series[from:from+n]))
		if err != nil {
			return nil, fmt.Errorf("pack series: %w", err)
		}
		key := binary.BigEndian.AppendUint32(nil, uint32(from))
		out = append(out, nameBlock{key, keyed(frameNames, key, content)})
		d.print = fingerprint(content)
		from += n
	}
	return out, nil
}

// fingerprint is the CRC-32C. That of a block of names covers those before it.
func fingerprint(content []byte) uint32 {
	return crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
}

// packedSize is the most that a series takes in a block of names.
func packedSize(s *probes.Series) int {
	const length = 3 // of one text, which is shorter than maxSeriesBytes
	return 1 + s.Size() + 2*length*(1+len(s.Dims()))
}

// putNames writes each block into both buckets of names.
func putNames(tx *bbolt.Tx, blocks []nameBlock) error {
	for _, name := range [][]byte{bucketNames, bucketNamesCopy} {
		bucket := tx.Bucket(name)
		bucket.FillPercent = 1 // keys only ever grow
		for _, b := range blocks {
			if err := bucket.Put(b.key, b.value); err != nil {
				return fmt.Errorf("write series: %w", err)
			}
		}
	}
	return nil
}

// load reads all blocks, each from the copy that can be read.
func (d *dictionary) load(tx *bbolt.Tx, codec *arc.Codec) error {
	for {
		key := binary.BigEndian.AppendUint32(nil, uint32(len(d.series)))
		first, second := tx.Bucket(bucketNames).Get(key), tx.Bucket(bucketNamesCopy).Get(key)
		if first == nil && second == nil {
			break
		}
		content, err := openKeyed(frameNames, key, first)
		if err != nil {
			content, err = openKeyed(frameNames, key, second)
		}
		if err == nil {
			err = d.add(codec, content)
		}
		if err != nil {
			return fmt.Errorf("read series from number %d on: %w", len(d.series), err)
		}
	}
	if k, _ := tx.Bucket(bucketNames).Cursor().Last(); k != nil && (len(k) != 4 || int(binary.BigEndian.Uint32(k)) >= len(d.series)) {
		return fmt.Errorf("read series: block %x does not follow number %d: %w", k, len(d.series), errDamaged)
	}
	return nil
}

// add takes in one block.
func (d *dictionary) add(codec *arc.Codec, content []byte) error {
	if len(content) < 4 || binary.LittleEndian.Uint32(content) != d.print {
		return fmt.Errorf("block does not fit those before it: %w", errDamaged)
	}
	names, err := codec.DecodeNames(content[4:])
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	var dims *probes.Dimensions
	for i, n := range names {
		if i == 0 || !slices.Equal(n.Dims, names[i-1].Dims) {
			dims = dimsOf(n)
		}
		s := probes.NewSeriesOf(n.Key, probes.Type(n.Type), dims) // a row's series come one after the other
		if slot := d.slot(s); *slot == 0 {
			d.append(s, slot)
		} else { // named twice: the later number holds, as if the first were not there
			d.series = append(d.series, s)
			*slot = uint32(len(d.series))
		}
		d.loaded = append(d.loaded, true)
	}
	d.print = fingerprint(content)
	return nil
}

func toNames(series []*probes.Series) []arc.Name {
	names := make([]arc.Name, len(series))
	for i, s := range series {
		names[i] = arc.Name{Key: s.Key(), Type: uint8(s.Type())}
		for _, d := range s.Dims() {
			names[i].Dims = append(names[i].Dims, arc.Dim{Key: d.Key, Value: d.Value})
		}
	}
	return names
}

func dimsOf(n arc.Name) *probes.Dimensions {
	dims := make([]probes.Dimension, len(n.Dims))
	for i, d := range n.Dims {
		dims[i] = probes.Dimension{Key: d.Key, Value: d.Value}
	}
	return probes.NewDimensions(dims...)
}
