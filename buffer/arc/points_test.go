package arc

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const testSeries = 1 << 20

// roundTrip codes payloads as one segment and compares what comes back.
func roundTrip(t *testing.T, payloads [][]Group) (sizes []int) {
	t.Helper()
	e, d := NewEncoder(), NewDecoder()
	d.Reset(testSeries)
	for i, groups := range payloads {
		payload, err := e.Encode([]byte("head"), groups)
		if err != nil {
			t.Fatalf("payload %d: %v", i, err)
		}
		payload, ok := bytes.CutPrefix(payload, []byte("head"))
		if !ok {
			t.Fatalf("payload %d: what was before it is lost", i)
		}
		got, err := d.Decode(payload)
		if err != nil {
			t.Fatalf("payload %d: %v", i, err)
		}
		if diff := differ(got, groups); diff != "" {
			t.Fatalf("payload %d: %s", i, diff)
		}
		sizes = append(sizes, len(payload))
	}
	return sizes
}

func group(wall int64, values ...Value) Group {
	g := Group{Stamp: Stamp{Boot: [16]byte{1, 2}, Uptime: wall - 5000, Wall: wall}, Values: values}
	for i := range values {
		g.IDs = append(g.IDs, uint32(i))
	}
	return g
}

func summary3(low, high, sum float64, count uint64) Value {
	return Value{Form: Summary, Stats: &Stats{Min: low, Max: high, Sum: sum, Count: count}}
}

func edgeValues() []Value {
	bits := func(b uint64) Value { return Value{Form: Float, Bits: b} }
	return []Value{
		float(0), float(math.Copysign(0, -1)), float(math.MaxFloat64), float(math.SmallestNonzeroFloat64),
		float(-1.5), float(0.1), float(23.25), float(1e-9), float(1e-10), float(1 << 53), float(1<<53 - 1), float(-(1 << 60)),
		float(math.Pi), float(math.NaN()), float(math.Inf(-1)), float(math.Inf(1)), float(123456.789), float(-0.000000001),
		float(float64(float32(21.7))), float(math.MaxFloat32), float(math.SmallestNonzeroFloat32), float(math.Float64frombits(0x3810000000000000)),
		bits(0x7ff0000000000001), bits(0xfff7ffffffffffff), bits(0x7ff4000000000000), bits(0xfff8000020000000), bits(0x000fffffffffffff), bits(0x8000000000000001),
		integer(0), integer(-1), integer(math.MinInt64), integer(math.MaxInt64),
		unsigned(0), unsigned(1 << 63), unsigned(math.MaxUint64),
		summary3(-1, 2.5, 1e300, math.MaxUint64), summary3(math.NaN(), math.Inf(1), math.Copysign(0, -1), 0),
	}
}

func TestPointsRoundTrip(t *testing.T) {
	edges := edgeValues()
	turned := func(n int) []Value { return append(append([]Value(nil), edges[n:]...), edges[:n]...) }
	var every [][]Group
	for n := range edges {
		every = append(every, []Group{group(int64(n)*1000, turned(n)...)})
	}
	far := Group{Stamp: Stamp{Wall: math.MinInt64, Uptime: math.MaxInt64}, IDs: []uint32{0, 7, testSeries - 1}, Values: edges[:3]}
	for name, payloads := range map[string][][]Group{
		"nothing":                   {nil, {}, nil},
		"one":                       {{group(1, unsigned(7))}},
		"every value after another": append(every, every...),
		"edges thrice in one":       {{group(1000, edges...), group(2000, edges...), group(1500, turned(9)...)}},
		"far ids and stamps":        {{far, group(1, integer(1)), far}, {far}, {group(math.MaxInt64, integer(5)), far}},
	} {
		t.Run(name, func(t *testing.T) { roundTrip(t, payloads) })
	}
}

// choppy makes groups of random series: some steady, some that come and go.
func choppy(r *rand.Rand, payloads int) (all [][]Group) {
	var lists [][]uint32
	for range payloads {
		var groups []Group
		for range r.IntN(6) {
			if len(lists) == 0 || r.IntN(4) == 0 {
				lists = append(lists, nil)
				for id := r.IntN(50); len(lists[len(lists)-1]) < 1+r.IntN(60); id += 1 + r.IntN(3) {
					lists[len(lists)-1] = append(lists[len(lists)-1], uint32(id))
				}
			}
			loss := []int{0, 0, 10, 70}[r.IntN(4)]
			g := Group{Stamp: Stamp{Boot: [16]byte{byte(r.IntN(3))}, Uptime: r.Int64N(1e6), Wall: r.Int64N(1e6)}}
			for _, id := range lists[r.IntN(len(lists))] {
				if r.IntN(100) >= loss {
					g.IDs = append(g.IDs, id)
					g.Values = append(g.Values, randomValue(r))
				}
			}
			if len(g.IDs) > 0 {
				groups = append(groups, g)
			}
		}
		all = append(all, groups)
	}
	return all
}

func randomValue(r *rand.Rand) Value {
	switch r.IntN(6) {
	case 0:
		return float(math.Float64frombits(r.Uint64()))
	case 1:
		return float(float64(r.IntN(100000)) / 100)
	case 2:
		return integer(int64(r.Uint64()))
	case 3:
		return unsigned(r.Uint64() >> r.IntN(64))
	case 4:
		return float(float64(math.Float32frombits(r.Uint32())))
	}
	return summary3(r.Float64(), float64(r.IntN(100))/10, r.NormFloat64(), r.Uint64N(100))
}

func TestPointsRoundTripOfRandomGroups(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 60 {
		roundTrip(t, choppy(r, 20))
	}
}

// TestTablesThatOverflow has more sets, members and boots than are kept.
func TestTablesThatOverflow(t *testing.T) {
	var sets, members, boots [][]Group
	for i := range 3 * maxSets / 1000 {
		var groups []Group
		for j := range 1000 {
			n := i*1000 + j
			groups = append(groups, Group{Stamp: Stamp{Uptime: int64(n)}, IDs: []uint32{uint32(n * 7 % testSeries)}, Values: []Value{integer(int64(n))}})
		}
		sets = append(sets, groups)
	}
	for i := range 5 {
		var g Group
		for n := range MaxPoints {
			g.IDs = append(g.IDs, uint32(i*MaxPoints/2+n))
			g.Values = append(g.Values, integer(int64(n)))
		}
		members = append(members, []Group{g})
	}
	for i := range 2*maxBoots + 100 {
		g := group(int64(i), integer(1))
		g.Stamp.Boot = [16]byte{byte(i), byte(i >> 8), 3}
		boots = append(boots, []Group{g, g})
	}
	for name, payloads := range map[string][][]Group{"sets": sets, "members": members, "boots": boots} {
		t.Run(name, func(t *testing.T) { roundTrip(t, payloads) })
	}
}

// TestMemoryComesBack has sets of other sizes in each segment, so that what
// sets keep for reuse would grow without end.
func TestMemoryComesBack(t *testing.T) {
	m := newModel()
	for i := range 40 {
		m.reset()
		for n := range 41 {
			m.added = m.added[:0]
			size := 1
			if n == i {
				size = MaxPoints
			}
			for id := range size {
				m.added = append(m.added, uint32(id))
			}
			m.newSet()
		}
	}
	room := 0
	for _, s := range m.sets {
		room += cap(s.members)
	}
	if room > 2*maxMembers+2*MaxPoints {
		t.Errorf("sets keep room for %d members", room)
	}
}

func TestSteadySeriesCostNothing(t *testing.T) {
	const devices, each = 200, 25
	var payloads [][]Group
	r := rand.New(rand.NewPCG(1, 2))
	for p := range 60 {
		var groups []Group
		for d := range devices {
			up := int64(p)*60000 + int64(d)*40 + r.Int64N(7)
			g := Group{Stamp: Stamp{Boot: [16]byte{1}, Uptime: up, Wall: up + 1760000000000}}
			for i := range each {
				g.IDs = append(g.IDs, uint32(d*each+i))
				g.Values = append(g.Values, unsigned(0))
			}
			groups = append(groups, g)
		}
		payloads = append(payloads, groups)
	}
	cost := func(payloads [][]Group) float64 {
		sizes := roundTrip(t, payloads)
		sum := 0
		for _, n := range sizes[10:] {
			sum += n
		}
		return float64(sum) / float64(len(sizes)-10) / devices
	}
	inOrder := cost(payloads)
	for _, groups := range payloads {
		for i := range groups {
			j := max(0, i-r.IntN(4))
			groups[i], groups[j] = groups[j], groups[i]
		}
	}
	if shuffled := cost(payloads); inOrder > 0.75 || shuffled > 1.5 {
		t.Errorf("a stamp costs %.2f bytes, %.2f where groups change places", inOrder, shuffled)
	} else {
		t.Logf("a stamp costs %.2f bytes, %.2f where groups change places", inOrder, shuffled)
	}
}

// TestMissingPointsCostLittle drops points now and then, and every fifth poll
// has a second table beside the first.
func TestMissingPointsCostLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var payloads [][]Group
	events := 0
	for p := range 100 {
		g := Group{Stamp: Stamp{Uptime: int64(p) * 60000, Wall: int64(p) * 60000}}
		for id := range uint32(1000) {
			if id%4 == 3 && p%5 != 0 {
				continue
			}
			if r.IntN(5000) == 0 {
				events++
				continue
			}
			g.IDs = append(g.IDs, id)
			g.Values = append(g.Values, integer(0))
		}
		payloads = append(payloads, []Group{g})
	}
	sizes := roundTrip(t, payloads)
	sum := 0
	for _, n := range sizes[10:] {
		sum += n
	}
	t.Logf("%d missing points, %d bytes in %d payloads", events, sum, len(sizes)-10)
	if sum > 8000 {
		t.Errorf("%d missing points cost %d bytes", events, sum)
	}
}

func TestKindsStay(t *testing.T) {
	c := channel{}
	for i, step := range []struct {
		value float64
		want  kind
	}{
		{22, asDecimal},
		{21.7, asDecimal + 1},
		{22, asDecimal + 1},
		{21.65, asDecimal + 2},
		{21, asDecimal + 2},
		{float64(float32(0.1)), asFloat32},
		{0.5, asFloat32},
		{1.1, asDecimal + 1},
		{math.Pi, asFloat64},
		{1, asFloat64},
		{1.5, asFloat64},
		{2, asFloat64},
		{1.25, asDecimal + 2},
		{math.Inf(1), asFloat32},
	} {
		bits := math.Float64bits(step.value)
		k, n := c.floatKind(bits)
		if k != step.want {
			t.Fatalf("step %d: %v is of kind %d, want %d", i, step.value, k, step.want)
		}
		if v, ok := k.value(n); !ok || v.Bits != bits {
			t.Fatalf("step %d: %v comes back as %v, %v", i, step.value, math.Float64frombits(v.Bits), ok)
		}
		if k != c.kind {
			c.become(k)
		}
	}
}

func TestFullPointsPayload(t *testing.T) {
	e := NewEncoder()
	g := group(1)
	for i := range MaxPoints {
		g.IDs = append(g.IDs, uint32(i))
		g.Values = append(g.Values, float(math.Float64frombits(rand.Uint64())))
	}
	roundTrip(t, [][]Group{{g}, {g}})
	if _, err := e.Encode(nil, []Group{g, group(2, integer(1))}); err == nil {
		t.Error("a payload of more than MaxPoints was encoded")
	}
}

func TestEncoderRefuses(t *testing.T) {
	good := []Group{group(1, integer(1), float(2)), group(3, integer(1))}
	want := encodeAll(t, NewEncoder(), good, good)
	for name, g := range map[string]Group{
		"empty":                 group(1),
		"more ids":              {IDs: []uint32{1, 2}, Values: []Value{integer(1)}},
		"no form":               group(1, Value{}),
		"unknown form":          group(1, Value{Form: 5}),
		"summary without stats": group(1, Value{Form: Summary}),
		"stats without summary": group(1, Value{Form: Int, Stats: &Stats{}}),
		"an id twice":           {IDs: []uint32{1, 1}, Values: []Value{integer(1), integer(1)}},
		"ids descend":           {IDs: []uint32{2, 1}, Values: []Value{integer(1), integer(1)}},
	} {
		e := NewEncoder()
		first := encodeAll(t, e, good)
		if got, err := e.Encode([]byte("x"), []Group{good[0], g}); err == nil || string(got) != "x" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if got := append(first, encodeAll(t, e, good)...); !bytes.Equal(got, want) {
			t.Errorf("%s: the error changed what comes after it", name)
		}
		if e.Points() != 6 || e.Series() != 2 {
			t.Errorf("%s: %d points of %d series", name, e.Points(), e.Series())
		}
	}
}

// encodeAll gives the payloads of the lists of groups one behind the other.
func encodeAll(t *testing.T, e *Encoder, lists ...[]Group) (out []byte) {
	t.Helper()
	for _, groups := range lists {
		var err error
		if out, err = e.Encode(out, groups); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestDecoderRefuses(t *testing.T) {
	groups := []Group{group(1000, edgeValues()...), group(2000, edgeValues()...)}
	payload := encodeAll(t, NewEncoder(), groups)
	d := NewDecoder()
	if _, err := d.Decode(payload); err == nil {
		t.Error("a decoder without a segment decoded")
	}
	refuse := func(name string, payload []byte) {
		t.Helper()
		d.Reset(testSeries)
		got, err := d.Decode(payload)
		if err == nil && differ(got, groups) == "" {
			t.Errorf("%s: decoded as if nothing were amiss", name)
		}
		if err == nil {
			return
		}
		if _, again := d.Decode(payload); again == nil {
			t.Errorf("%s: decoded after an error", name)
		}
	}
	for n := range payload {
		refuse(fmt.Sprintf("cut at %d of %d", n, len(payload)), payload[:n])
	}
	refuse("a byte too many", append(bytes.Clone(payload), 1))
	refuse("a zero too many", append(bytes.Clone(payload), 0))
	refuse("two bytes too many", append(bytes.Clone(payload), 0, 0))
	payload[0]++
	refuse("another version", payload)
	payload[0]--
	d.Reset(len(edgeValues()) - 1)
	if _, err := d.Decode(payload); err == nil {
		t.Error("a series beyond the end was decoded")
	}
	d.Reset(len(edgeValues()))
	if got, err := d.Decode(payload); err != nil || differ(got, groups) != "" {
		t.Errorf("after a reset the payload does not come back: %v", err)
	}
}

// TestRandomBytesEnd reads noise: the decoder must come to an end and say so.
func TestRandomBytesEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := NewDecoder()
	for range 3000 {
		payload := make([]byte, 1+r.IntN(300))
		for i := range payload {
			payload[i] = byte(r.Uint32()) & byte(r.Uint32()|r.Uint32())
		}
		payload[0] = pointsVersion
		d.Reset(1000)
		if groups, err := d.Decode(payload); err == nil {
			roundTrip(t, [][]Group{groups})
		}
	}
}

func TestNoAllocationPerPoint(t *testing.T) {
	r := record(recording{mixOptions: mixOptions{devices: 4, ports: 10, active: 0.5}, polls: 20, perDevice: true})
	for _, groups := range r.polls {
		for i := range groups {
			groups[i].Values[3] = summary3(1, 2, 3, 4)
		}
	}
	e, d := NewEncoder(), NewDecoder()
	var buf []byte
	segment := func() {
		e.Reset()
		d.Reset(testSeries)
		for _, groups := range r.polls {
			buf, _ = e.Encode(buf[:0], groups)
			if _, err := d.Decode(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	segment()
	if n := testing.AllocsPerRun(5, segment); n > 0 {
		t.Errorf("%v allocations for %d points", n, r.points)
	}
}
