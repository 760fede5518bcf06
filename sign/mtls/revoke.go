package mtls

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"time"
)

// Revocation says what to take back: by name or by serial number. Neither: the
// list is only written again.
type Revocation struct {
	Role   Role   // of Name; empty: a site or relay
	Name   string // all its certificates
	Serial string // hex, also with colons
	Reason string // in words that the list has: see Reasons
	Days   int    // until a next list is due; 0: when the authority ends
}

// Reasons are the names of the reasons for which a certificate is revoked, in
// the order of their codes, with "" for those that do not fit.
var Reasons = [...]string{"unspecified", "keyCompromise", "", "affiliationChanged", "superseded", "cessationOfOperation"}

// Revoked is a list that was written.
type Revoked struct {
	Entries []Entry // that were taken back now
	Number  int64
	Next    time.Time // when a broker stops to take the list, and all clients with it
	File    string
}

// Revoke takes certificates back and writes the list (CRL) under a higher
// number than the one before.
func (a *Authority) Revoke(v Revocation) (*Revoked, error) {
	if a.key == nil {
		return nil, errors.New("the key of the authority is closed")
	}
	if v.Days != 0 {
		if err := checkDays(v.Days); err != nil {
			return nil, err
		}
	}
	if reasonCode(v.Reason) < 0 {
		return nil, fmt.Errorf("reason %q: want one of unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation", v.Reason)
	}
	release, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := a.read()
	if err != nil {
		return nil, err
	}
	done := &Revoked{File: filepath.Join(a.Dir, CRLName)}
	if err := r.revoke(v, a.now().UTC().Truncate(time.Second), done); err != nil {
		return nil, err
	}
	if err := a.writeList(r, v.Days); err != nil {
		return nil, err
	}
	done.Number, done.Next = r.CRLNumber, a.listEnd(v.Days)
	return done, nil
}

func (r *record) revoke(v Revocation, now time.Time, done *Revoked) error {
	if v.Name == "" && v.Serial == "" {
		return nil
	}
	serial := strings.TrimLeft(strings.ReplaceAll(strings.ToLower(v.Serial), ":", ""), "0")
	known := false
	for i := range r.Certificates {
		e := &r.Certificates[i]
		fits := v.Serial != "" && e.Serial == serial
		if v.Name != "" {
			fits = e.Name == v.Name && (e.Role == v.Role || v.Role == "" && e.Role != Broker)
		}
		known = known || fits
		if fits && e.Revoked.IsZero() {
			e.Revoked, e.Reason = now, v.Reason
			done.Entries = append(done.Entries, *e)
		}
	}
	if !known {
		return fmt.Errorf("no certificate %q was issued here; `edgehold relay cert ls` shows those that were", v.Name+v.Serial)
	}
	return nil
}

// writeList writes the record and the list.
func (a *Authority) writeList(r *record, days int) error {
	r.CRLNumber++
	now := a.now().UTC().Truncate(time.Second)
	list := &x509.RevocationList{Number: big.NewInt(r.CRLNumber), ThisUpdate: now.Add(-backdate), NextUpdate: a.listEnd(days)}
	for _, e := range r.Certificates {
		if e.Revoked.IsZero() {
			continue
		}
		serial, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok {
			return fmt.Errorf("%s: serial number %q is not hex; bring the file back from a backup", recordName, e.Serial)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.Revoked, ReasonCode: max(0, reasonCode(e.Reason))})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.key)
	if err != nil {
		return fmt.Errorf("sign revocation list: %w", err)
	}
	if err := a.write(r); err != nil { // before the list, so that no number is used twice
		return err
	}
	return write(filepath.Join(a.Dir, CRLName), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), true)
}

// listEnd is when a list stops to count: a broker refuses everybody then, so
// late, unless it is wanted otherwise.
func (a *Authority) listEnd(days int) time.Time {
	if days == 0 {
		return a.Certificate.NotAfter
	}
	return a.now().UTC().Truncate(time.Second).Add(time.Duration(days) * day)
}

func reasonCode(reason string) int {
	for code, name := range Reasons {
		if name == reason && name != "" {
			return code
		}
	}
	return -1
}
