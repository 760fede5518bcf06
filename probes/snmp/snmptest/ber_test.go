package snmptest

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

// unhexed drops the spaces that make a packet readable.
func unhexed(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const (
	wireNext = "3026 020100 0406 7075626c6963 a119 020107 020100 020100 300e 300c 0608 2b06010201010300 0500"
	wireBulk = "3026 020101 0406 7075626c6963 a519 0201ff 020101 02010a 300e 300c 0608 2b06010201010300 0500"
	wireTime = "302b 020101 0406 7075626c6963 a21e 02020100 020100 020100 3012 3010 0608 2b06010201010300 4304 00ffffff"
	wireNone = "3018 020101 0406 7075626c6963 a20b 020107 020101 020100 3000"
)

func TestMessageWire(t *testing.T) {
	name := MustOID("1.3.6.1.2.1.1.3.0")
	tests := []struct {
		wire string
		want Message
	}{
		{wireNext, Message{Header{V1, "public", GetNextRequest, 7, 0, 0}, []Varbind{{name, Null()}}}},
		{wireBulk, Message{Header{V2c, "public", GetBulkRequest, -1, 1, 10}, []Varbind{{name, Null()}}}},
		{wireTime, Message{Header{V2c, "public", Response, 256, 0, 0}, []Varbind{{name, TimeTicks(0xffffff)}}}},
		{wireNone, Message{Header{V2c, "public", Response, 7, StatusTooBig, 0}, nil}},
	}
	for _, tt := range tests {
		raw := unhexed(t, tt.wire)
		got, err := Decode(raw)
		if err != nil {
			t.Errorf("decode %s: %v", tt.wire, err)
			continue
		}
		if !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("decode %s = %+v, want %+v", tt.wire, *got, tt.want)
		}
		if back := got.Append(nil); !bytes.Equal(back, raw) {
			t.Errorf("encode = %x, want %x", back, raw)
		}
		if size := len(raw); size != messageSize(got.Header, listSize(got)) {
			t.Errorf("messageSize = %d, want %d", messageSize(got.Header, listSize(got)), size)
		}
	}
}

func listSize(m *Message) int {
	var list []byte
	for _, v := range m.Varbinds {
		list = appendVarbind(list, nameOf(v.Name), v.Value)
	}
	return len(list)
}

// Every length form must survive: each community length takes the message
// across the borders of 127, 255 and 65535 bytes.
func TestMessageLengths(t *testing.T) {
	for _, n := range []int{0, 80, 90, 100, 110, 127, 128, 200, 230, 255, 256, 65000, 65535, 65536, 70000} {
		want := Message{Header{V2c, strings.Repeat("c", n), GetRequest, math.MinInt32, 0, 0}, []Varbind{
			{MustOID("1.3.6.1"), OctetString(strings.Repeat("v", n))},
		}}
		raw := want.Append(nil)
		got, err := Decode(raw)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("length %d does not survive: %v", n, err)
		}
		if size := messageSize(want.Header, listSize(&want)); size != len(raw) {
			t.Errorf("messageSize of length %d = %d, want %d", n, size, len(raw))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for why, wire := range map[string]string{
		"nothing":               "",
		"one byte":              "30",
		"junk":                  "6e6f2053 4e4d50",
		"cut message":           wireNext[:len(wireNext)-2],
		"bytes after":           wireNext + "00",
		"indefinite length":     "3080 020100 0000",
		"five-octet length":     "3085 0000000001 00",
		"huge length":           "3084 7fffffff 00",
		"cut length":            "3082 01",
		"version 3":             strings.Replace(wireNext, "020100", "020103", 1),
		"long version":          "302a 02050000000000 0406 7075626c6963 a119 020107 020100 020100 300e 300c 0608 2b06010201010300 0500",
		"empty integer":         "3025 0200 0406 7075626c6963 a119 020107 020100 020100 300e 300c 0608 2b06010201010300 0500",
		"trap":                  strings.Replace(wireNext, "a119", "a419", 1),
		"name is no OID":        strings.Replace(wireNext, "0608", "0408", 1),
		"padded arc":            strings.Replace(wireNext, "2b06", "2b80", 1),
		"unknown value":         strings.Replace(wireNext, "0500", "4500", 1),
		"zero-length value":     strings.Replace(wireNext, "0500", "0200", 1),
		"null with content":     strings.Replace(wireTime, "4304", "0504", 1),
		"cut varbind":           strings.Replace(wireTime, "4304", "4305", 1),
		"bytes after the value": strings.Replace(wireTime, "4304", "4303", 1),
		"multi-octet tag":       strings.Replace(wireNext, "0500", "5f00", 1),
	} {
		if m, err := Decode(unhexed(t, wire)); err == nil {
			t.Errorf("%s: decoded as %+v, want an error", why, m)
		}
	}
}

func TestValueBodies(t *testing.T) {
	tests := []struct {
		value Value
		body  string
	}{
		{Integer(0), "00"},
		{Integer(127), "7f"},
		{Integer(128), "0080"},
		{Integer(-1), "ff"},
		{Integer(-128), "80"},
		{Integer(-129), "ff7f"},
		{Integer(math.MinInt32), "80000000"},
		{Integer(math.MaxInt32), "7fffffff"},
		{Counter32(0), "00"},
		{Counter32(255), "00ff"},
		{Gauge32(math.MaxUint32), "00ffffffff"},
		{TimeTicks(1 << 31), "0080000000"},
		{Counter64(math.MaxInt64), "7fffffffffffffff"},
		{Counter64(math.MaxUint64), "00ffffffffffffffff"},
		{Counter64(1 << 63), "008000000000000000"},
		{IPAddress([4]byte{192, 0, 2, 1}), "c0000201"},
		{ObjectID(MustOID("1.3.6.1.4.1.9")), "2b0601040109"},
		{OpaqueFloat(0.125), "9f78043e000000"},
		{OpaqueDouble(-2), "9f7908c000000000000000"},
		{OctetString("a\x00"), "6100"},
		{Null(), ""},
		{NoSuchObject(), ""},
		{NoSuchInstance(), ""},
		{EndOfMibView(), ""},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString([]byte(tt.value.Body)); got != tt.body {
			t.Errorf("body of tag %#x = %s, want %s", tt.value.Tag, got, tt.body)
		}
		if err := tt.value.check(); err != nil {
			t.Errorf("body %s of tag %#x is refused: %v", tt.body, tt.value.Tag, err)
		}
	}
	for _, n := range []uint64{0, 1, 127, 128, 1<<32 - 1, 1 << 32, 1 << 63, math.MaxUint64} {
		if got, ok := Counter64(n).Uint64(); !ok || got != n {
			t.Errorf("Counter64(%d) reads as %d, %v", n, got, ok)
		}
	}
	if _, ok := Integer(1).Uint64(); ok {
		t.Error("an Integer reads as unsigned")
	}
	for _, bad := range []Value{
		{TagInteger, ""},
		{TagInteger, "\x00\x00\x00\x00\x01"},
		{TagIPAddress, "\x01\x02\x03"},
		{TagCounter32, ""},
		{TagCounter32, "\x01\x00\x00\x00\x00"},
		{TagCounter64, "\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		{TagObjectID, ""},
		{TagNull, "\x00"},
		{Tag(0x45), ""},
	} {
		if bad.check() == nil {
			t.Errorf("body %x of tag %#x passes", bad.Body, bad.Tag)
		}
	}
}

// What decodes encodes to a message that decodes equal, and a second round
// changes no byte.
func FuzzDecode(f *testing.F) {
	for _, wire := range []string{wireNext, wireBulk, wireTime, wireNone} {
		f.Add(unhexed(f, wire))
	}
	f.Add(unhexed(f, "308200 28 020101 0406 7075626c6963 a119 020107 020100 020100 300e 300c 0608 2b06010201010300 0500"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err := Decode(raw)
		if err != nil {
			return
		}
		wire := first.Append(nil)
		if len(wire) > len(raw) {
			t.Fatalf("the shortest form of %x is longer: %x", raw, wire)
		}
		second, err := Decode(wire)
		if err != nil {
			t.Fatalf("%x encodes as %x, which is refused: %v", raw, wire, err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v becomes %+v", first, second)
		}
		if again := second.Append(nil); !bytes.Equal(again, wire) {
			t.Fatalf("%x becomes %x", wire, again)
		}
	})
}
