package arc

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

func entrySamples() []Entry {
	return []Entry{
		{Kind: 1, Stamp: Stamp{Boot: [16]byte{1, 2}, Uptime: 3, Wall: 1760000000000}, Data: []byte("link down")},
		{Kind: 255, Stamp: Stamp{Uptime: math.MinInt64, Wall: math.MaxInt64}},
		{Data: bytes.Repeat([]byte("again "), 1000)},
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	var c Codec
	for n := range len(entrySamples()) + 1 {
		want := entrySamples()[:n]
		payload, err := c.EncodeEntries([]byte("head"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.DecodeEntries(bytes.TrimPrefix(payload, []byte("head")))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d entries: got %+v, %v", n, got, err)
		}
	}
}

func TestEntriesHaveLimits(t *testing.T) {
	var c Codec
	if _, err := c.EncodeEntries(nil, make([]Entry, MaxEntries+1)); err == nil {
		t.Error("more than MaxEntries were encoded")
	}
	full := []Entry{{Data: make([]byte, MaxEntryBytes-32)}}
	payload, err := c.EncodeEntries(nil, full)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.DecodeEntries(payload); err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("a full payload does not come back: %v", err)
	}
	full[0].Data = make([]byte, MaxEntryBytes)
	if got, err := c.EncodeEntries([]byte("x"), full); err == nil || string(got) != "x" {
		t.Errorf("more than MaxEntryBytes were encoded: %d bytes", len(got))
	}
}

func TestDecodeEntriesRefuses(t *testing.T) {
	var c Codec
	payload, err := c.EncodeEntries(nil, entrySamples())
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.unpack(payload, MaxEntryBytes)
	if err != nil {
		t.Fatal(err)
	}
	for n := range body {
		if _, err := c.DecodeEntries(append([]byte{bodyPlain}, body[:n]...)); err == nil {
			t.Fatalf("a body cut at %d of %d bytes was decoded", n, len(body))
		}
	}
	long := c.pack(nil, make([]byte, MaxEntryBytes+1))
	for name, payload := range map[string][]byte{
		"empty":            {},
		"unknown start":    {0x77, 0},
		"bytes left":       append(append([]byte{bodyPlain}, body...), 0),
		"too long":         long,
		"too long, plain":  append([]byte{bodyPlain}, make([]byte, MaxEntryBytes+1)...),
		"cut short":        payload[:len(payload)-1],
		"stream goes on":   append(bytes.Clone(payload), 0),
		"too many entries": {bodyPlain, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		if got, err := c.DecodeEntries(payload); err == nil {
			t.Errorf("%s: decoded to %v", name, got)
		}
	}
}

func FuzzDecodeEntries(f *testing.F) {
	var c Codec
	payload, err := c.EncodeEntries(nil, entrySamples())
	if err != nil {
		f.Fatal(err)
	}
	body, _ := c.unpack(payload, MaxEntryBytes)
	f.Add(payload)
	f.Add(append([]byte{bodyPlain}, body...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		entries, err := c.DecodeEntries(payload)
		if err != nil {
			return
		}
		again, err := c.EncodeEntries(nil, entries)
		if err != nil {
			t.Fatalf("decoded entries do not encode: %v", err)
		}
		if got, err := c.DecodeEntries(again); err != nil || !reflect.DeepEqual(got, entries) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, entries)
		}
	})
}
