package drain

import (
	"math"
	"slices"
)

// sorting brings lines that are alike side by side, which makes them a fifth
// smaller when compressed. It works with numbers, since to compare texts would
// cost more than it saves.
type sorting struct {
	keys  map[string]uint64
	ranks []uint64
}

const (
	placeBits = 12               // hold a place among the items of a lease
	sizeBits  = 64 - 3*placeBits // of a value
)

// order gives the places of the items: by metric key, in the order of their
// first appearance, then by poll, which is what follows each other with one
// stamp, then by value. Of more than 1<<placeBits items it gives the first. It
// holds until the next call.
func (o *sorting) order(items []folded) []uint64 {
	items = items[:min(len(items), 1<<placeBits)]
	if o.keys == nil {
		o.keys = make(map[string]uint64)
	}
	clear(o.keys)
	o.ranks = o.ranks[:0]
	poll := uint64(0)
	for i := range items {
		p := &items[i].point
		if i > 0 && p.Stamp.Wall != items[i-1].point.Stamp.Wall {
			poll++
		}
		key, seen := o.keys[p.Series.Key()]
		if !seen {
			key = uint64(len(o.keys))
			o.keys[p.Series.Key()] = key
		}
		size := math.Float64bits(p.Value.Float64()) >> (64 - sizeBits)
		o.ranks = append(o.ranks, (key<<placeBits|poll)<<(sizeBits+placeBits)|size<<placeBits|uint64(i))
	}
	slices.Sort(o.ranks)
	for i := range o.ranks {
		o.ranks[i] &= 1<<placeBits - 1
	}
	return o.ranks
}
