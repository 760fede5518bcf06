package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/sign"
)

const recordFormat = 1

// soon is when the end of a certificate is worth a word.
const soon = 30 * day

// record is what an authority has issued, in the order of issue.
type record struct {
	Format       int     `json:"format"`
	CRLNumber    int64   `json:"crl_number"`
	Certificates []Entry `json:"certificates"`
}

// Entry is one certificate that was issued.
type Entry struct {
	Serial      string    `json:"serial"` // hex, lower case
	Role        Role      `json:"role"`
	Name        string    `json:"name"`
	Hosts       []string  `json:"hosts,omitempty"` // of a broker
	Fingerprint string    `json:"fingerprint"`     // SHA-256 of the certificate, hex
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Key         string    `json:"key"` // SHA-256 of the public key, hex
	Revoked     time.Time `json:"revoked,omitzero"`
	Reason      string    `json:"reason,omitempty"`
}

// Issued is a certificate as it stands now.
type Issued struct {
	Entry
	DaysLeft int    `json:"days_left"` // negative: ended
	State    string `json:"state"`     // valid, ends soon, expired, revoked
}

// Summary is an authority with what it has issued, in the order of issue.
type Summary struct {
	Dir          string    `json:"dir"`
	Name         string    `json:"name"`
	Fingerprint  string    `json:"fingerprint"` // SHA-256 of the certificate, hex
	NotAfter     time.Time `json:"not_after"`
	DaysLeft     int       `json:"days_left"`
	CRLNumber    int64     `json:"crl_number"`
	Certificates []Issued  `json:"certificates"`
}

// Summary needs no key.
func (a *Authority) Summary() (*Summary, error) {
	r, err := a.read()
	if err != nil {
		return nil, err
	}
	now := a.now()
	s := &Summary{
		Dir: a.Dir, Name: a.Certificate.Subject.CommonName, Fingerprint: digest(a.Certificate.Raw),
		NotAfter: a.Certificate.NotAfter, DaysLeft: daysLeft(a.Certificate.NotAfter, now),
		CRLNumber: r.CRLNumber, Certificates: make([]Issued, 0, len(r.Certificates)),
	}
	for _, e := range r.Certificates {
		s.Certificates = append(s.Certificates, e.judge(now))
	}
	return s, nil
}

// Show is what a certificate is, in the file that is named: for people who have
// the file alone.
func Show(path string, now time.Time) (Issued, error) {
	c, err := readCertificate(path)
	if err != nil {
		return Issued{}, err
	}
	return entryOf(c).judge(now), nil
}

func entryOf(c *x509.Certificate) Entry {
	e := Entry{
		Serial: c.SerialNumber.Text(16), Name: c.Subject.CommonName, Hosts: slices.Clone(c.DNSNames),
		Fingerprint: digest(c.Raw), Key: digest(c.RawSubjectPublicKeyInfo), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	for _, ip := range c.IPAddresses {
		e.Hosts = append(e.Hosts, ip.String())
	}
	for _, unit := range c.Subject.OrganizationalUnit {
		if role, ok := strings.CutPrefix(unit, unitPrefix); ok {
			e.Role = Role(role)
		}
	}
	return e
}

func (e Entry) judge(now time.Time) Issued {
	state := "valid"
	switch {
	case !e.Revoked.IsZero():
		state = "revoked"
	case now.After(e.NotAfter):
		state = "expired"
	case e.NotAfter.Sub(now) < soon:
		state = "ends soon"
	}
	return Issued{e, daysLeft(e.NotAfter, now), state}
}

// daysLeft counts whole days: 0 on the last one, -1 on the first after the end.
func daysLeft(end, now time.Time) int {
	left := end.Sub(now)
	if left < 0 {
		return int(left/day) - 1
	}
	return int(left / day)
}

func digest(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// latest is the newest certificate of a role and name that was not revoked.
func (r *record) latest(role Role, name string) *Entry {
	for i := range slices.Backward(r.Certificates) {
		if e := &r.Certificates[i]; e.Role == role && e.Name == name && e.Revoked.IsZero() {
			return e
		}
	}
	return nil
}

func (a *Authority) read() (*record, error) {
	path := filepath.Join(a.Dir, recordName)
	data, err := sign.ReadRegular(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read what was issued: %w; bring %s back from a backup", err, path)
	}
	r := new(record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read %s: %w; bring it back from a backup", path, err)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("%s has format %d, this program knows %d; use the program that wrote it", path, r.Format, recordFormat)
	}
	return r, nil
}

func (a *Authority) write(r *record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what was issued: %w", err)
	}
	return write(filepath.Join(a.Dir, recordName), append(data, '\n'), true)
}
