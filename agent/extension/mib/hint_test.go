package mib

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFormat(t *testing.T) {
	tests := []struct{ hint, octets, want string }{
		// RFC 2579 and the modules that use it
		{"255a", "hello", "hello"},
		{"255t", "gr\u00fc\u00dfe", "gr\u00fc\u00dfe"},
		{"255a", "padded\x00\x00", "padded"},
		{"255a", "", ""},
		{"1x:", "\x00\x11\xab\xcd\x0e\xff", "00:11:ab:cd:0e:ff"},
		{"1x:", "\x01", "01"},
		{"2d-1d-1d,1d:1d:1d.1d,1a1d:1d", "\x07\xc8\x05\x1a\x0d\x1e\x0f\x00\x2d\x04\x00", "1992-5-26,13:30:15.0,-4:0"},
		{"2d-1d-1d,1d:1d:1d.1d,1a1d:1d", "\x07\xc8\x05\x1a\x0d\x1e\x0f\x00", "1992-5-26,13:30:15.0"},
		{"1d.1d.1d.1d", "\xc0\x00\x02\x01", "192.0.2.1"},
		{"1d.1d.1d.1d%4d", "\xc0\x00\x02\x01\x00\x00\x00\x05", "192.0.2.1%5"},
		{"1d.1d.1d.1d/2d", "\xc0\x00\x02\x01\x00\xa1", "192.0.2.1/161"},
		{"2x:2x:2x:2x:2x:2x:2x:2x", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "2001:0db8:0000:0000:0000:0000:0000:0001"},
		{"0a[2x:2x:2x:2x:2x:2x:2x:2x]0a:2d", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\xa1", "[2001:0db8:0000:0000:0000:0000:0000:0001]:161"},
		{"*1x:/1x:", "\x03\x01\x02\x03\x04\x05", "01:02:03/04:05"},
		{"*1d;1a", "\x02\x07\x08zy", "7;8;zy"}, // what follows is the second specification, no terminator
		{"1o ", "\x08\x3f", "10 77"},
		{"8d", "\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"},
		{"4d", "\x01\x00", "256"}, // less than it says
		{"1d.", "\x01\x02\x03", "1.2.3"},
		{"2d\u00b71d", "\x01\x00\x05", "256\u00b75"},
		{"*1a", "\x00", ""},
	}
	for _, tt := range tests {
		got, ok := Format(Object{Type: Octets, Hint: tt.hint}, []byte(tt.octets))
		if !ok || got != tt.want {
			t.Errorf("Format(%q, %q) = %q, %v, want %q", tt.hint, tt.octets, got, ok, tt.want)
		}
	}
}

func TestFormatNot(t *testing.T) {
	tests := []struct {
		o      Object
		octets string
	}{
		{Object{Type: Octets}, "no hint"},
		{Object{Type: Octets, Hint: "255a"}, "caf\xe9"},
		{Object{Type: Octets, Hint: "a"}, "x"},
		{Object{Type: Octets, Hint: "2"}, "x"},
		{Object{Type: Octets, Hint: "1z"}, "x"},
		{Object{Type: Octets, Hint: "*"}, "x"},
		{Object{Type: Octets, Hint: "99999999999a"}, "x"},
		{Object{Type: Octets, Hint: "9d"}, "123456789"},
		{Object{Type: Octets, Hint: "0a"}, "x"},
		{Object{Type: Octets, Hint: strings.Repeat("1a", 200)}, "x"},
		{Object{Type: Octets, Hint: "1x:"}, strings.Repeat("x", maxHinted+1)},
		{Object{Type: Integer, Hint: "d-1"}, "x"},
		{Object{Type: Bits}, "x"},
	}
	for _, tt := range tests {
		if got, ok := Format(tt.o, []byte(tt.octets)); ok {
			t.Errorf("Format(%+v, %q) = %q", tt.o, tt.octets, got)
		}
	}
}

func TestFormatBits(t *testing.T) {
	o := Object{Type: Bits, Enum: map[int64]string{0: "other", 2: "bridge", 9: "router"}}
	for octets, want := range map[string]string{"": "", "\x00": "", "\xa0": "other,bridge", "\x01\x40": "7,router"} {
		if got, ok := Format(o, []byte(octets)); !ok || got != want {
			t.Errorf("bits of %x: %q, %v, want %q", octets, got, ok, want)
		}
	}
}

func TestFormatInteger(t *testing.T) {
	tests := []struct {
		hint string
		n    int64
		want string
	}{
		{"d", 42, "42"},
		{"d-0", 42, "42"},
		{"d-1", 235, "23.5"},
		{"d-2", 1234, "12.34"},
		{"d-2", 5, "0.05"},
		{"d-2", -5, "-0.05"},
		{"d-2", 0, "0.00"},
		{"d-3", -9223372036854775808, "-9223372036854775.808"},
		{"x", 255, "ff"},
		{"x", -255, "-ff"},
		{"o", 8, "10"},
		{"b", 5, "101"},
	}
	for _, tt := range tests {
		if got, ok := FormatInteger(Object{Type: Integer, Hint: tt.hint}, tt.n); !ok || got != tt.want {
			t.Errorf("FormatInteger(%q, %d) = %q, %v, want %q", tt.hint, tt.n, got, ok, tt.want)
		}
	}
	for _, hint := range []string{"", "d-", "d--1", "d-x", "x-1", "d-999", "255a", "D"} {
		if got, ok := FormatInteger(Object{Type: Integer, Hint: hint}, 7); ok {
			t.Errorf("FormatInteger(%q) = %q", hint, got)
		}
	}
}

// FuzzFormat: text comes out, and hexadecimal digits tell the octets.
func FuzzFormat(f *testing.F) {
	f.Add("2d-1d-1d,1d:1d:1d.1d,1a1d:1d", []byte{7, 200, 5, 26, 13, 30, 15, 0, '-', 4, 0})
	f.Add("*1x:/1x:", []byte{2, 1, 2, 3})
	f.Add("0a[2x]0a:2d", []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, hint string, octets []byte) {
		text, ok := Format(Object{Type: Octets, Hint: hint}, octets)
		if ok && utf8.ValidString(hint) && !utf8.ValidString(text) {
			t.Errorf("%q of %x is %q", hint, octets, text)
		}
		if length := len(hint)%4 + 1; len(octets) < maxHinted {
			text, ok := Format(Object{Type: Octets, Hint: fmt.Sprintf("%dx:", length)}, octets)
			if got, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); !ok || err != nil || string(got) != string(octets) {
				t.Errorf("%x became %q", octets, text)
			}
		}
	})
}
