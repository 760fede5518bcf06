package snmptest

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

func TestParseOID(t *testing.T) {
	for text, want := range map[string]string{
		"1.3.6.1":        "1.3.6.1",
		".1.3.6.1":       "1.3.6.1",
		"2.999.3":        "2.999.3",
		"0.0":            "0.0",
		"1.3.4294967295": "1.3.4294967295",
	} {
		oid, err := ParseOID(text)
		if err != nil || oid.String() != want {
			t.Errorf("ParseOID(%q) = %v, %v; want %s", text, oid, err, want)
		}
	}
	for _, text := range []string{"", ".", "1", "1.", "1..3", "1.3.x", "1.40", "3.1", "1.3.4294967296", "1.3.-1", "..1.3", "10.xx.1"} {
		if oid, err := ParseOID(text); err == nil {
			t.Errorf("ParseOID(%q) = %v, want an error", text, oid)
		}
	}
}

func TestOIDBody(t *testing.T) {
	tests := []struct{ oid, body string }{
		{"1.3.6.1.2.1", "2b06010201"},
		{"1.3.6.1.4.1.2680.1.2.7.3.2.0", "2b06010401947801020703 0200"},
		{"2.999.3", "883703"},
		{"0.39", "27"},
		{"1.39", "4f"},
		{"1.3.127.128.16383.16384.4294967295", "2b7f8100ff7f8180008fffffff7f"},
	}
	for _, tt := range tests {
		want, _ := hex.DecodeString(string(bytes.ReplaceAll([]byte(tt.body), []byte(" "), nil)))
		if got := appendOIDBody(nil, MustOID(tt.oid)); !bytes.Equal(got, want) {
			t.Errorf("%s is encoded as %x, want %x", tt.oid, got, want)
		}
		if got, err := parseOIDBody(want); err != nil || got.String() != tt.oid {
			t.Errorf("%x is decoded as %v, %v; want %s", want, got, err, tt.oid)
		}
	}
	for _, bad := range []string{"", "80", "2b80", "2b8001", "2b81", "2bffffffff7f", "2b9080808000"} {
		body, _ := hex.DecodeString(bad)
		if oid, err := parseOIDBody(body); err == nil {
			t.Errorf("body %s is decoded as %v, want an error", bad, oid)
		}
	}
}

func TestOIDOrder(t *testing.T) {
	sorted := []string{"1.3", "1.3.1", "1.3.1.16383", "1.3.1.16384", "1.3.2", "1.3.10", "2.0"}
	var oids []OID
	for _, text := range sorted {
		oids = append(oids, MustOID(text))
	}
	if !slices.IsSortedFunc(oids, OID.Compare) {
		t.Errorf("%v are not in order", sorted)
	}
	if !MustOID("1.3.1").HasPrefix(MustOID("1.3")) || MustOID("1.30").HasPrefix(MustOID("1.3")) {
		t.Error("HasPrefix does not go by whole arcs")
	}
	base := make(OID, 2, 8)
	copy(base, OID{1, 3})
	a, b := base.Append(1), base.Append(2)
	if a.String() != "1.3.1" || b.String() != "1.3.2" {
		t.Errorf("Append shares memory: %v, %v", a, b)
	}
}
