package arc

import (
	"bytes"
	"reflect"
	"testing"
)

func nameSamples() []Name {
	return []Name{
		{Key: "cpu.usage", Type: 1},
		{Key: "if.in", Type: 2, Dims: []Dim{{"device.address", "192.0.2.1"}, {"if", "Gi1/0/1"}}},
		{Key: "if.in", Type: 2, Dims: []Dim{{"a", "\x00\xff"}, {"b", ""}}},
	}
}

func TestNamesRoundTrip(t *testing.T) {
	var c Codec
	payload, err := c.EncodeNames(nil, nameSamples())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.DecodeNames(payload)
	if err != nil || !reflect.DeepEqual(got, nameSamples()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := c.EncodeNames(nil, make([]Name, MaxNames+1)); err == nil {
		t.Error("more than MaxNames were encoded")
	}
}

// TestRest shows that buffers stay while they are used, and go afterwards.
func TestRest(t *testing.T) {
	var c Codec
	held := func() bool { return c.packer.Load() != nil && c.unpacker.Load() != nil }
	body := make([]byte, 1000)
	for range 2 {
		if got, err := c.unpack(c.pack(nil, body), len(body)); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("got %x, %v", got, err)
		}
		if c.Rest(); !held() {
			t.Error("buffers that were used just now are gone")
		}
	}
	if c.Rest(); held() {
		t.Error("buffers are held that nobody uses")
	}
}

func FuzzDecodeNames(f *testing.F) {
	var c Codec
	payload, err := c.EncodeNames(nil, nameSamples())
	if err != nil {
		f.Fatal(err)
	}
	body, _ := c.unpack(payload, MaxNameBytes)
	f.Add(payload)
	f.Add(append([]byte{bodyPlain}, body...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		names, err := c.DecodeNames(payload)
		if err != nil {
			return
		}
		again, err := c.EncodeNames(nil, names)
		if err != nil {
			t.Fatalf("decoded names do not encode: %v", err)
		}
		if got, err := c.DecodeNames(again); err != nil || !reflect.DeepEqual(got, names) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, names)
		}
	})
}
