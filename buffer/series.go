package buffer

import (
	"encoding/binary"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// dictionary gives each series a number. The file gets new ones in blocks, in
// the transaction of the first record that uses them; none is ever removed.
type dictionary struct {
	mu     sync.RWMutex
	ids    map[[16]byte]uint32 // by Series.ID
	series []*probes.Series    // by number
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

// write puts the series with the numbers from..to-1 into the file.
func (d *dictionary) write(tx *bbolt.Tx, codec *arc.Codec, from, to int) error {
	series := d.all()
	bucket := tx.Bucket(bucketNames)
	bucket.FillPercent = 1
	for from < to {
		n, size := 0, 0
		for from+n < to && n < arc.MaxNames {
			size += packedSize(series[from+n])
			if n > 0 && size > arc.MaxNameBytes-maxSeriesBytes {
				break
			}
			n++
		}
		content, err := codec.EncodeNames(nil, toNames(series[from:from+n]))
		if err != nil {
			return fmt.Errorf("write series: %w", err)
		}
		key := binary.BigEndian.AppendUint32(nil, uint32(from))
		if err := bucket.Put(key, seal(key, content)); err != nil {
			return fmt.Errorf("write series: %w", err)
		}
		from += n
	}
	return nil
}

// packedSize is the most that a series takes in a block of names.
func packedSize(s *probes.Series) int {
	const length = 3 // of one text, which is shorter than maxSeriesBytes
	return 1 + s.Size() + 2*length*(1+len(s.Dims()))
}

func (d *dictionary) load(tx *bbolt.Tx, codec *arc.Codec) error {
	return tx.Bucket(bucketNames).ForEach(func(key, value []byte) error {
		if len(key) != 4 || binary.BigEndian.Uint32(key) != uint32(len(d.series)) {
			return fmt.Errorf("read series: block %x does not follow number %d", key, len(d.series))
		}
		content, err := unseal(key, value)
		if err != nil {
			return fmt.Errorf("read series: block %x: %w", key, err)
		}
		names, err := codec.DecodeNames(content)
		if err != nil {
			return fmt.Errorf("read series: block %x: %w", key, err)
		}
		for _, n := range names {
			s := fromName(n)
			d.ids[s.ID()] = uint32(len(d.series))
			d.series = append(d.series, s)
		}
		return nil
	})
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
