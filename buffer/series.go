package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
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
	ids    map[[16]byte]uint32 // by Series.ID
	series []*probes.Series    // by number
	print  uint32              // fingerprint of all blocks that were made
}

func newDictionary() *dictionary {
	return &dictionary{ids: make(map[[16]byte]uint32)}
}

func (d *dictionary) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.series)
}

// number gives the series its number, a new one if it has none.
func (d *dictionary) number(s *probes.Series) uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, ok := d.ids[s.ID()]
	if !ok {
		id = uint32(len(d.series))
		d.ids[s.ID()] = id
		d.series = append(d.series, s)
	}
	return id
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
	for _, n := range names {
		s := fromName(n)
		d.ids[s.ID()] = uint32(len(d.series))
		d.series = append(d.series, s)
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

func fromName(n arc.Name) *probes.Series {
	dims := make([]probes.Dimension, len(n.Dims))
	for i, d := range n.Dims {
		dims[i] = probes.Dimension{Key: d.Key, Value: d.Value}
	}
	return probes.NewSeries(n.Key, probes.Type(n.Type), dims...)
}
