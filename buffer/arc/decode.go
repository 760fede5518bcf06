package arc

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decode is the inverse of Encode. It refuses what Encode does not write, as
// far as that could be told, and never takes more memory than a payload of
// MaxPoints needs.
func (c *Codec) Decode(payload []byte) ([]Group, error) {
	body, err := c.unpack(payload)
	if err != nil {
		return nil, err
	}
	r := &reader{b: body}
	groups, sizes, n := r.heads()
	kinds := r.take(n)
	if r.err != nil {
		return nil, r.err
	}
	ids, values := make([]uint32, n), make([]Value, n)
	r.ids(ids)
	r.numbers(ids, kinds, values)
	r.raws(ids, kinds, values)
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("payload has %d bytes too many", len(r.b))
	}
	if r.err != nil {
		return nil, r.err
	}
	for i, size := range sizes {
		groups[i].IDs, ids = ids[:size:size], ids[size:]
		groups[i].Values, values = values[:size:size], values[size:]
	}
	return groups, nil
}

// heads reads boots and group heads: the groups as yet without points, how
// many points each will have, and the sum of those.
func (r *reader) heads() (groups []Group, sizes []int, points int) {
	boots := make([][16]byte, r.count(16))
	for i := range boots {
		copy(boots[i][:], r.take(16))
	}
	n := r.count(4)
	if n > MaxPoints {
		r.fail(fmt.Errorf("payload has %d groups", n))
		return nil, nil, 0
	}
	groups, sizes = make([]Group, n), make([]int, n)
	var last Stamp
	for i := range groups {
		boot := r.uvarint()
		last.Uptime += r.varint()
		last.Wall += r.varint()
		size := r.uvarint()
		if boot >= uint64(len(boots)) || size == 0 || size > uint64(MaxPoints-points) {
			r.fail(fmt.Errorf("payload has a malformed group %d", i))
			return nil, nil, 0
		}
		last.Boot = boots[boot]
		groups[i].Stamp, sizes[i] = last, int(size)
		points += int(size)
	}
	return groups, sizes, points
}

func (r *reader) ids(ids []uint32) {
	var last int64
	for i := range ids {
		delta := r.varint()
		last += delta
		if delta < -math.MaxUint32 || delta > math.MaxUint32 || last < 0 || last > math.MaxUint32 {
			r.fail(fmt.Errorf("payload has a series id out of range"))
			return
		}
		ids[i] = uint32(last)
	}
}

// numbers fills in everything that is kept as a varint.
func (r *reader) numbers(ids []uint32, kinds []byte, values []Value) {
	seen := make(past)
	for i, kind := range kinds {
		switch {
		case kind == kindFloat:
			values[i].Form = Float
		case kind == kindSummary:
			values[i] = Value{Form: Summary, Stats: &Stats{Count: r.uvarint()}}
		case kind == kindInt, kind == kindUint:
			bits := seen.guess(ids[i], kind) + uint64(r.varint())
			values[i] = Value{Form: Form(kind), Bits: bits}
			seen[ids[i]] = remembered{kind, bits}
		case kind >= kindDecimal && kind <= kindDecimal+maxDecimals:
			bits := seen.guess(ids[i], kind) + uint64(r.varint())
			values[i] = Value{Form: Float, Bits: decimal(int64(bits), kind)}
			seen[ids[i]] = remembered{kind, bits}
		default:
			r.fail(fmt.Errorf("payload has a value of unknown kind %#x", kind))
		}
		if r.err != nil {
			return
		}
		if kind == kindFloat || kind == kindSummary {
			seen[ids[i]] = remembered{kind: kind}
		}
	}
}

func decimal(scaled int64, kind byte) uint64 {
	return math.Float64bits(float64(scaled) / powers[kind-kindDecimal])
}

// raws fills in everything that is kept as eight bytes.
func (r *reader) raws(ids []uint32, kinds []byte, values []Value) {
	seen := make(past)
	for i, kind := range kinds {
		switch kind {
		case kindFloat:
			values[i].Bits = r.raw() ^ seen.guess(ids[i], kind)
		case kindSummary:
			s := values[i].Stats
			for _, f := range [3]*float64{&s.Min, &s.Max, &s.Sum} {
				*f = math.Float64frombits(r.raw())
			}
		}
		seen[ids[i]] = remembered{kind, values[i].Bits}
		if r.err != nil {
			return
		}
	}
}

func (r *reader) raw() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}
