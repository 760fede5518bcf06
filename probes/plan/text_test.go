package plan

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"
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
		{strings.Repeat("x", MaxText+1), strings.Repeat("x", MaxText)},
		{"x" + strings.Repeat("度", MaxText), "x" + strings.Repeat("度", MaxText/3)},
		{strings.Repeat("\x01", MaxText+1), strings.Repeat(":01", MaxText)[1:]},
	} {
		if got := Readable([]byte(test.in)); got != test.want {
			t.Errorf("Readable(%q) = %q, want %q", test.in, got, test.want)
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
		text := Readable(b)
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
