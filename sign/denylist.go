package sign

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// DenyList takes back what was signed: certificates, packages by their bytes,
// versions by name. A CA certificate signs its JSON form, detached.
type DenyList struct {
	Format       int                 `json:"format"` // 1
	Number       int64               `json:"number"` // from 1 on; a list with a higher one takes its place
	Issued       time.Time           `json:"issued"`
	Reason       string              `json:"reason,omitempty"`
	Certificates []DeniedCertificate `json:"certificates,omitempty"`
	Packages     []string            `json:"packages,omitempty"` // SHA-256 of extension.zip, hex
	Versions     []DeniedVersion     `json:"versions,omitempty"`
}

// DeniedCertificate is a leaf or an intermediate. Issuer and IssuerKey name who
// issued it; one of them is enough. Without both it is one below the root that
// signed the list. A CA that was issued anew with its key and name is the same
// issuer, by either.
type DeniedCertificate struct {
	Serial    string `json:"serial"`               // hex
	Issuer    string `json:"issuer,omitempty"`     // SHA-256 fingerprint of the issuer's certificate
	IssuerKey string `json:"issuer_key,omitempty"` // SHA-256 of the issuer's public key (SubjectPublicKeyInfo), hex
}

// DeniedVersion is one version of an extension, whoever signed it.
type DeniedVersion struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

const (
	denyFormat      = 1
	fingerprintSize = 64 // hex digits
	maxSerial       = 64 // hex digits; certificates have 40 at most
)

// Marshal gives the JSON form, the bytes that are signed.
func (d DenyList) Marshal() ([]byte, error) {
	d.Format = denyFormat
	if err := d.check(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write deny list: %w", err)
	}
	return append(data, '\n'), nil
}

// ParseDenyList reads the JSON form. Whoever signed it is not looked at.
func ParseDenyList(data []byte) (DenyList, error) {
	var d DenyList
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return DenyList{}, fmt.Errorf("read deny list: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return DenyList{}, errors.New("read deny list: something follows its end; copy it again")
	}
	if d.Format != denyFormat {
		return DenyList{}, fmt.Errorf("read deny list: format %d is not known, only %d; update the agent", d.Format, denyFormat)
	}
	return d, d.check()
}

func (d *DenyList) check() error {
	if d.Number < 1 {
		return fmt.Errorf("deny list: number %d; numbers begin with 1", d.Number)
	}
	for i, c := range d.Certificates {
		if _, ok := new(big.Int).SetString(plainHex(c.Serial), 16); !ok || len(c.Serial) > maxSerial {
			return fmt.Errorf("deny list: certificates[%d].serial: %q is no serial number; give it in hex", i, c.Serial)
		}
		if c.Issuer != "" && !isFingerprint(c.Issuer) {
			return fmt.Errorf("deny list: certificates[%d].issuer: %q is no fingerprint; give the SHA-256 of the certificate in hex", i, c.Issuer)
		}
		if c.IssuerKey != "" && !isFingerprint(c.IssuerKey) {
			return fmt.Errorf("deny list: certificates[%d].issuer_key: %q is no digest of a key; give the SHA-256 of the public key in hex", i, c.IssuerKey)
		}
	}
	for i, p := range d.Packages {
		if !isFingerprint(p) {
			return fmt.Errorf("deny list: packages[%d]: %q is no digest; give the SHA-256 of extension.zip in hex", i, p)
		}
	}
	for i, v := range d.Versions {
		if v.Name == "" || v.Version == "" {
			return fmt.Errorf("deny list: versions[%d]: name or version is empty; give both", i)
		}
	}
	return nil
}

func isFingerprint(s string) bool {
	s = plainHex(s)
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == fingerprintSize
}

func sameSerial(a string, b *big.Int) bool {
	return strings.TrimLeft(plainHex(a), "0") == strings.TrimLeft(b.Text(16), "0")
}
