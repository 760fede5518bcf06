package mtls

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"
)

// FuzzRequest: what is taken as a request is one for the standard library, and
// proves that its sender has the key.
func FuzzRequest(f *testing.F) {
	_, csrFile, err := MakeRequest(KeyRequest{Name: "plant-7", Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(csrFile)
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(text)
	f.Add(text)
	f.Add(block.Bytes)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseCSR(data)
		if err != nil {
			return
		}
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		csr, err := x509.ParseCertificateRequest(data)
		if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != got.Name {
			t.Errorf("%+v is taken: %v", got, err)
		}
	})
}
