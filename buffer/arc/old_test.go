package arc

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func samples() map[string][]Group {
	edges := []Value{
		float(0), float(math.Copysign(0, -1)), float(math.MaxFloat64), float(math.SmallestNonzeroFloat64),
		float(-1.5), float(0.1), float(23.25), float(1e-9), float(1e-10), float(1 << 53), float(1<<53 - 1), float(-(1 << 60)),
		float(math.Pi), float(math.NaN()), float(math.Inf(-1)), float(123456.789),
		integer(0), integer(-1), integer(math.MinInt64), integer(math.MaxInt64),
		unsigned(0), unsigned(1 << 63), unsigned(math.MaxUint64),
		{Form: Summary, Stats: &Stats{Min: -1, Max: 2.5, Sum: 1e300, Count: math.MaxUint64}},
	}
	flipped := make([]Value, len(edges))
	for i, v := range edges {
		flipped[len(edges)-1-i] = v
	}
	twice := Group{
		Stamp: Stamp{Wall: math.MinInt64, Uptime: math.MaxInt64},
		IDs:   []uint32{math.MaxUint32, 0, math.MaxUint32}, Values: []Value{integer(5), float(2), integer(7)},
	}
	return map[string][]Group{
		"none":             nil,
		"one":              {group(1, unsigned(7))},
		"edges":            {group(1000, edges...)},
		"edges then again": {group(1000, edges...), group(2000, edges...), group(1500, flipped...)},
		"ids jump":         {twice, group(1, integer(1)), twice},
	}
}

func TestRoundTrip(t *testing.T) {
	c := codec(t)
	for name, groups := range samples() {
		payload, err := c.Encode([]byte("head"), groups)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := c.Decode(bytes.TrimPrefix(payload, []byte("head")))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got) != len(groups) || len(got) > 0 && !reflect.DeepEqual(got, groups) {
			t.Errorf("%s: got %+v, want %+v", name, got, groups)
		}
	}
}

func TestRoundTripOfRandomBits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := codec(t)
	for range 200 {
		groups := make([]Group, 1+r.IntN(4))
		for i := range groups {
			groups[i].Stamp = Stamp{Boot: [16]byte{byte(r.IntN(3))}, Uptime: int64(r.Uint64()), Wall: int64(r.Uint64())}
			for range 1 + r.IntN(50) {
				groups[i].IDs = append(groups[i].IDs, uint32(r.IntN(40)))
				groups[i].Values = append(groups[i].Values, randomValue(r))
			}
		}
		payload, err := c.Encode(nil, groups)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Decode(payload); err != nil || !reflect.DeepEqual(got, groups) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, groups)
		}
	}
}

func TestFullPayload(t *testing.T) {
	c := codec(t)
	g := group(1)
	for i := range MaxPoints {
		g.IDs = append(g.IDs, uint32(i))
		g.Values = append(g.Values, float(math.Float64frombits(rand.Uint64())))
	}
	payload, err := c.Encode(nil, []Group{g})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Decode(payload); err != nil || !reflect.DeepEqual(got, []Group{g}) {
		t.Fatalf("full payload does not come back: %v", err)
	}
	if _, err := c.Encode(nil, []Group{g, group(2, integer(1))}); err == nil {
		t.Error("a payload of more than MaxPoints was encoded")
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, g := range map[string]Group{
		"empty":                 group(1),
		"more ids":              {IDs: []uint32{1, 2}, Values: []Value{integer(1)}},
		"no form":               group(1, Value{}),
		"unknown form":          group(1, Value{Form: 5}),
		"summary without stats": group(1, Value{Form: Summary}),
		"stats without summary": group(1, Value{Form: Int, Stats: &Stats{}}),
	} {
		if _, err := codec(t).Encode(nil, []Group{g}); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	c := codec(t)
	whole, err := c.Encode(nil, samples()["edges then again"])
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.unpack(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := range body {
		if _, err := c.Decode(append([]byte{bodyPlain}, body[:n]...)); err == nil {
			t.Fatalf("a body cut at %d of %d bytes was decoded", n, len(body))
		}
	}
	bomb := c.enc.EncodeAll(make([]byte, maxBody+1), []byte{bodyPacked})
	for name, payload := range map[string][]byte{
		"empty":            {},
		"unknown start":    {0x77, 0},
		"bytes left":       append(append([]byte{bodyPlain}, body...), 0),
		"bomb":             bomb,
		"not zstd":         {bodyPacked, 1, 2, 3},
		"too many boots":   {bodyPlain, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"group of nothing": {bodyPlain, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
	} {
		if got, err := c.Decode(payload); err == nil {
			t.Errorf("%s: decoded to %v", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := codec(f)
	for _, groups := range samples() {
		payload, err := c.Encode(nil, groups)
		if err != nil {
			f.Fatal(err)
		}
		body, _ := c.unpack(payload)
		f.Add(payload)
		f.Add(append([]byte{bodyPlain}, body...))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		groups, err := c.Decode(payload)
		if err != nil {
			return
		}
		again, err := c.Encode(nil, groups)
		if err != nil {
			t.Fatalf("decoded groups do not encode: %v", err)
		}
		if got, err := c.Decode(again); err != nil || !reflect.DeepEqual(plain(got), plain(groups)) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, groups)
		}
	})
}

// plain makes values of groups comparable even where a float is NaN.
func plain(groups []Group) (all []any) {
	for _, g := range groups {
		all = append(all, g.Stamp, g.IDs)
		for _, v := range g.Values {
			all = append(all, v.Form, v.Bits)
			if s := v.Stats; s != nil {
				all = append(all, math.Float64bits(s.Min), math.Float64bits(s.Max), math.Float64bits(s.Sum), s.Count)
			}
		}
	}
	return all
}
