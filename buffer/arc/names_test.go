package arc

import (
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
	c := codec(t)
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

func FuzzDecodeNames(f *testing.F) {
	c := codec(f)
	payload, err := c.EncodeNames(nil, nameSamples())
	if err != nil {
		f.Fatal(err)
	}
	body, _ := c.unpack(payload)
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
