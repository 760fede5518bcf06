package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// TestRoots reads what was written as a program with that file would: every root
// without conditions, each once, each an authority that signs for itself.
func TestRoots(t *testing.T) {
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	constrained := 0
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			constrained++
			continue
		}
		want[string(root.Certificate)] = true
	}
	names := map[string]bool{}
	for rest := out.Bytes(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				t.Fatalf("this is no certificate: %q", rest)
			}
			break
		}
		if block.Type != "CERTIFICATE" || !want[string(block.Bytes)] {
			t.Fatalf("a block of the type %s is not wanted, or not twice", block.Type)
		}
		delete(want, string(block.Bytes))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.IsCA || !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			t.Errorf("%s is not a root", cert.Subject)
		}
		names[cert.Subject.CommonName] = true
	}
	if len(want) > 0 {
		t.Errorf("%d roots are missing", len(want))
	}
	for _, name := range []string{"ISRG Root X1", "DigiCert Global Root G2"} {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
	t.Logf("%d roots; %d with conditions were left out", len(names), constrained)
}
