package arc

import (
	"encoding/binary"
	"math"
	"testing"
)

// payloads cuts bytes into payloads, each behind two bytes of its length.
func payloads(data []byte) (list [][]byte) {
	for len(data) >= 2 {
		n := min(int(binary.LittleEndian.Uint16(data)), len(data)-2)
		list, data = append(list, data[2:2+n]), data[2+n:]
	}
	return list
}

// copied keeps groups beyond the next Decode.
func copied(groups []Group) []Group {
	out := make([]Group, len(groups))
	for i, g := range groups {
		out[i] = Group{Stamp: g.Stamp, IDs: append([]uint32(nil), g.IDs...)}
		for _, v := range g.Values {
			if v.Stats != nil {
				s := *v.Stats
				v.Stats = &s
			}
			out[i].Values = append(out[i].Values, v)
		}
	}
	return out
}

// FuzzDecoder reads any bytes as a segment. What it decodes must encode, and
// then decode to the same.
func FuzzDecoder(f *testing.F) {
	e := NewEncoder()
	var segment []byte
	for range 3 {
		payload, err := e.Encode(nil, []Group{group(1000, edgeValues()...), group(3000, edgeValues()[3:9]...)})
		if err != nil {
			f.Fatal(err)
		}
		segment = append(binary.LittleEndian.AppendUint16(segment, uint16(len(payload))), payload...)
		f.Add(segment)
	}
	f.Fuzz(func(t *testing.T, segment []byte) {
		d := NewDecoder()
		d.Reset(1000)
		var all [][]Group
		for _, payload := range payloads(segment) {
			groups, err := d.Decode(payload)
			if err != nil {
				break
			}
			all = append(all, copied(groups))
		}
		roundTrip(t, all)
	})
}

// maker turns bytes into groups.
type maker struct{ data []byte }

func (m *maker) byte() byte {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return b
}

// number is a short or a long one.
func (m *maker) number() uint64 {
	n := uint64(int64(int8(m.byte())))
	for range n & 7 {
		n = n<<8 | uint64(m.byte())
	}
	return n
}

func (m *maker) value() Value {
	switch b := m.byte(); b % 8 {
	case 0:
		return unsigned(m.number())
	case 1:
		return integer(int64(m.number()))
	case 2:
		return Value{Form: Float, Bits: m.number()}
	case 3:
		return Value{Form: Float, Bits: m.number() << (b >> 3)}
	case 4:
		return float(float64(math.Float32frombits(uint32(m.number()))))
	case 5:
		return Value{Form: Summary, Stats: &Stats{
			Min: math.Float64frombits(m.number()), Max: float64(int8(m.byte())), Sum: float64(int64(m.number())) / 100, Count: m.number(),
		}}
	}
	return float(float64(int64(m.number())) / powers[m.byte()%12%10])
}

func (m *maker) group() (g Group) {
	g.Stamp = Stamp{Boot: [16]byte{m.byte() & 3}, Uptime: int64(m.number()), Wall: int64(m.number())}
	id := uint32(m.byte() & 15)
	for mask := uint16(m.byte()) | uint16(m.byte())<<8; mask != 0; mask >>= 1 {
		if mask&1 != 0 {
			g.IDs, g.Values = append(g.IDs, id), append(g.Values, m.value())
		}
		id++
	}
	if len(g.IDs) == 0 {
		g.IDs, g.Values = append(g.IDs, id), append(g.Values, m.value())
	}
	return g
}

// FuzzEncoder makes groups of any bytes: they must come back bit for bit.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{2, 1, 5, 5, 3, 0xff, 0, 8, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte("points of any kind, again and again, of series that come and go"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := maker{data}
		var all [][]Group
		for len(m.data) > 0 && len(all) < 50 {
			var groups []Group
			for range m.byte() & 7 {
				groups = append(groups, m.group())
			}
			all = append(all, groups)
		}
		roundTrip(t, all)
	})
}
