package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// The files in the folder of an authority.
const (
	certName   = "ca.pem"
	keyName    = "ca.key"
	recordName = "issued.json"
	crlName    = "ca.crl"
	denyName   = "deny.json"
)

const recordFormat = 1

// Record is what an authority has issued.
type Record struct {
	Format       int     `json:"format"`
	CRLNumber    int64   `json:"crl_number"`  // of the last list; 0: none yet
	DenyNumber   int64   `json:"deny_number"` // of the last list; 0: none yet
	Certificates []Entry `json:"certificates"`
}

// Entry is one certificate that was issued.
type Entry struct {
	Serial      string    `json:"serial"` // hex, lower case
	Name        string    `json:"name"`
	Category    string    `json:"category"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the certificate, hex
	Key         string    `json:"key"`         // SHA-256 of the public key, hex
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Renews      string    `json:"renews,omitempty"`     // serial of the one before
	RenewedBy   string    `json:"renewed_by,omitempty"` // serial of the one after
	Revoked     time.Time `json:"revoked,omitzero"`
	Reason      string    `json:"reason,omitempty"` // of the revocation
}

func entryOf(c *x509.Certificate) Entry {
	e := Entry{
		Serial: serialText(c), Name: c.Subject.CommonName,
		Fingerprint: fingerprint(c.Raw), Key: fingerprint(c.RawSubjectPublicKeyInfo),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	if units := c.Subject.OrganizationalUnit; len(units) > 0 {
		e.Category = units[0]
	}
	return e
}

func serialText(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// find is the entry with a serial, nil where there is none.
func (r *Record) find(serial string) *Entry {
	for i := range r.Certificates {
		if r.Certificates[i].Serial == serial {
			return &r.Certificates[i]
		}
	}
	return nil
}

// findOrAdd is the entry of c, which this authority has signed but may not have
// recorded.
func (r *Record) findOrAdd(c *x509.Certificate) *Entry {
	if e := r.find(serialText(c)); e != nil {
		return e
	}
	r.Certificates = append(r.Certificates, entryOf(c))
	return &r.Certificates[len(r.Certificates)-1]
}

// checkKey refuses the key of a revoked certificate.
func (r *Record) checkKey(j job) error {
	spki, err := x509.MarshalPKIXPublicKey(j.public)
	if err != nil {
		return fmt.Errorf("encode public key: %w", err)
	}
	mend := "make a new key"
	if j.renews != nil {
		mend = "make a new key with --new-key"
	}
	key := fingerprint(spki)
	for _, e := range r.Certificates {
		if e.Key == key && !e.Revoked.IsZero() {
			return fmt.Errorf("the key is the one of certificate %s (%s), which was revoked on %s; %s",
				e.Serial, e.Name, e.Revoked.Format(time.DateOnly), mend)
		}
	}
	return nil
}

func readRecord(dir string) (*Record, error) {
	path := filepath.Join(dir, recordName)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(`%s is missing: bring it back from a backup; for a root that another tool made, begin one with: echo '{"format":1}' > %s`, path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	r := new(Record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read record %s: %w; bring it back from a backup", path, err)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("record %s has format %d, this program knows %d; use the program that wrote it", path, r.Format, recordFormat)
	}
	return r, nil
}

func (r *Record) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, recordName), append(data, '\n'), privateFile)
}
