package arc

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The kind of a value is its form and, for a float that is a short decimal,
// how many decimals it has (kindDecimal + decimals).
const (
	kindFloat   = byte(Float)
	kindInt     = byte(Int)
	kindUint    = byte(Uint)
	kindSummary = byte(Summary)
	kindDecimal = 0x10
)

// Encode appends the groups to dst as one payload. The body has one stream
// after the other, so that like stands beside like: boots, group heads,
// kinds, series ids, numbers, raw floats.
func (c *Codec) Encode(dst []byte, groups []Group) ([]byte, error) {
	n, err := check(groups)
	if err != nil {
		return dst, err
	}
	body := appendHeads(make([]byte, 0, 64+6*n), groups)
	kinds := make([]byte, 0, n)
	numbers := make([]byte, 0, 2*n)
	var raw []byte
	seen := make(past)
	for _, g := range groups {
		for i, v := range g.Values {
			k, bits := classify(v)
			kinds = append(kinds, k)
			numbers, raw = appendValue(numbers, raw, valueOf{v, k, bits, seen.swap(g.IDs[i], k, bits)})
		}
	}
	body = append(body, kinds...)
	body = appendIDs(body, groups)
	body = append(body, numbers...)
	body = append(body, raw...)
	return c.pack(dst, body), nil
}

func check(groups []Group) (points int, err error) {
	for i, g := range groups {
		if len(g.IDs) != len(g.Values) || len(g.IDs) == 0 {
			return 0, fmt.Errorf("group %d has %d ids and %d values", i, len(g.IDs), len(g.Values))
		}
		for _, v := range g.Values {
			if v.Form < Float || v.Form > Summary || (v.Form == Summary) != (v.Stats != nil) {
				return 0, fmt.Errorf("group %d has a value of form %d", i, v.Form)
			}
		}
		points += len(g.IDs)
	}
	if points > MaxPoints {
		return 0, fmt.Errorf("%d points are more than %d", points, MaxPoints)
	}
	return points, nil
}

func appendHeads(b []byte, groups []Group) []byte {
	boots := make(map[[16]byte]uint64)
	var order [][16]byte
	for _, g := range groups {
		if _, ok := boots[g.Stamp.Boot]; !ok {
			boots[g.Stamp.Boot] = uint64(len(order))
			order = append(order, g.Stamp.Boot)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(order)))
	for _, boot := range order {
		b = append(b, boot[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(groups)))
	var last Stamp
	for _, g := range groups {
		b = binary.AppendUvarint(b, boots[g.Stamp.Boot])
		b = binary.AppendVarint(b, g.Stamp.Uptime-last.Uptime)
		b = binary.AppendVarint(b, g.Stamp.Wall-last.Wall)
		b = binary.AppendUvarint(b, uint64(len(g.IDs)))
		last = g.Stamp
	}
	return b
}

func appendIDs(b []byte, groups []Group) []byte {
	var last uint32
	for _, g := range groups {
		for _, id := range g.IDs {
			b = binary.AppendVarint(b, int64(id)-int64(last))
			last = id
		}
	}
	return b
}

// classify gives the kind of a value and the bits that are kept of it.
func classify(v Value) (kind byte, bits uint64) {
	if v.Form != Float {
		return byte(v.Form), v.Bits
	}
	f := math.Float64frombits(v.Bits)
	if !(math.Abs(f) < maxScaled) {
		return kindFloat, v.Bits
	}
	for d, power := range powers {
		scaled := math.Round(f * power)
		if math.Abs(scaled) >= maxScaled {
			break
		}
		kind, whole := kindDecimal+byte(d), int64(scaled)
		if decimal(whole, kind) == v.Bits {
			return kind, uint64(whole)
		}
	}
	return kindFloat, v.Bits
}

// past remembers the last value of each series in this payload, by kind:
// what came before is the guess for what comes next.
type past map[uint32]remembered

type remembered struct {
	kind byte
	bits uint64
}

// swap stores the new bits and returns those before, 0 where there are none.
func (p past) swap(id uint32, kind byte, bits uint64) uint64 {
	before := p.guess(id, kind)
	p[id] = remembered{kind, bits}
	return before
}

func (p past) guess(id uint32, kind byte) uint64 {
	if r := p[id]; r.kind == kind {
		return r.bits
	}
	return 0
}

// valueOf is a value with its kind, its bits and the guess for them.
type valueOf struct {
	Value
	kind        byte
	bits, guess uint64
}

func appendValue(numbers, raw []byte, v valueOf) (newNumbers, newRaw []byte) {
	switch v.kind {
	case kindFloat:
		return numbers, binary.LittleEndian.AppendUint64(raw, v.bits^v.guess)
	case kindSummary:
		for _, f := range [3]float64{v.Stats.Min, v.Stats.Max, v.Stats.Sum} {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(f))
		}
		return binary.AppendUvarint(numbers, v.Stats.Count), raw
	}
	return binary.AppendVarint(numbers, int64(v.bits-v.guess)), raw
}
