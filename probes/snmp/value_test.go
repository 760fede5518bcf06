package snmp

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

func TestReadable(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"GigabitEthernet1/0/1", "GigabitEthernet1/0/1"},
		{"name\x00\x00\x00", "name"},
		{"\x00\x00", ""},
		{"Serverraum Süd", "Serverraum Süd"},
		{"Serverraum S\xfcd", "Serverraum Süd"},
		{"温度", "温度"},
		{"Cisco IOS\r\nVersion 15\tx", "Cisco IOS Version 15 x"},
		{"non\u00a0breaking", "non\u00a0breaking"},
		{"\x00\x1b\x21\xaa\xbb\xcc", "00:1b:21:aa:bb:cc"},
		{"\xa4\xbb\xcc\xdd\xee\xff", "a4:bb:cc:dd:ee:ff"},
		{"\xa4\xbbmA_c", "a4:bb:6d:41:5f:63"},
		{"\x07\xe7\x0a\x0b\x0c\x0d\x0e\x00", "07:e7:0a:0b:0c:0d:0e:00"},
		{"a\x00b", "61:00:62"},
		{"\x80", "80"},
		{"text \x1b[0m", "74:65:78:74:20:1b:5b:30:6d"},
		{strings.Repeat("x", maxText+1), strings.Repeat("x", maxText)},
		{"x" + strings.Repeat("度", maxText), "x" + strings.Repeat("度", maxText/3)},
		{strings.Repeat("\x01", maxText+1), strings.Repeat(":01", maxText)[1:]},
	} {
		if got := readable([]byte(test.in)); got != test.want {
			t.Errorf("readable(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

// FuzzReadable: the text is valid and free of control characters, and where it
// is hex, it is the hex of the input.
func FuzzReadable(f *testing.F) {
	f.Add([]byte("eth0\x00"))
	f.Add([]byte{0, 1, 2})
	f.Add([]byte("Temp\xe9rature interne"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text := readable(b)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("%q became %q", b, text)
		}
		b = cut(b)
		trimmed := strings.TrimRight(string(b), "\x00")
		if text == trimmed {
			return
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err == nil && string(raw) == string(b) {
			return
		}
		if len(text) < len(trimmed)-strings.Count(trimmed, "\r\n") {
			t.Fatalf("%q became %q, which is shorter", b, text)
		}
	})
}

func TestToCell(t *testing.T) {
	for _, test := range []struct {
		name  string
		t     gosnmp.Asn1BER
		value any
		want  plan.Cell
	}{
		{"integer", gosnmp.Integer, -5, plan.Cell{Kind: plan.Integer, Int: -5}},
		{"counter32", gosnmp.Counter32, uint(math.MaxUint32), plan.Cell{Kind: plan.Counter32, Uint: math.MaxUint32}},
		{"counter32 too long", gosnmp.Counter32, uint64(1 << 33), plan.Cell{Kind: plan.Counter64, Uint: 1 << 33}},
		{"counter64", gosnmp.Counter64, uint64(math.MaxUint64), plan.Cell{Kind: plan.Counter64, Uint: math.MaxUint64}},
		{"gauge32", gosnmp.Gauge32, uint(7), plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"timeticks", gosnmp.TimeTicks, uint32(7), plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"uinteger32", gosnmp.Uinteger32, uint32(7), plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"float", gosnmp.OpaqueFloat, float32(12.3), plan.Cell{Kind: plan.Real, Float: 12.3}},
		{"double", gosnmp.OpaqueDouble, 12.3, plan.Cell{Kind: plan.Real, Float: 12.3}},
		{"nan", gosnmp.OpaqueDouble, math.NaN(), plan.Cell{}},
		{"inf", gosnmp.OpaqueFloat, float32(math.Inf(1)), plan.Cell{}},
		{"address", gosnmp.IPAddress, "192.0.2.1", plan.Cell{Kind: plan.Text, Text: "192.0.2.1"}},
		{"no address", gosnmp.IPAddress, nil, plan.Cell{}},
		{"oid", gosnmp.ObjectIdentifier, ".1.3.6", plan.Cell{Kind: plan.Text, Text: "1.3.6"}},
		{"opaque", gosnmp.Opaque, []byte{1, 255}, plan.Cell{Kind: plan.Text, Text: "01:ff"}},
		{"counter that could not be decoded", gosnmp.UnknownType, nil, plan.Cell{}},
		{"null", gosnmp.Null, nil, plan.Cell{}},
	} {
		if got := toCell(test.t, test.value); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}
