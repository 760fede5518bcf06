package ca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// reasons are those of RFC 5280 that fit a developer certificate, by openssl's
// names.
var reasons = map[string]int{
	"unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5,
}

// Reasons are the names of the reasons for which a certificate is revoked.
func Reasons() []string { return slices.Sorted(maps.Keys(reasons)) }

// Revocation says what to revoke. Without certificate and serial number the
// list is only written again, with a later end.
type Revocation struct {
	CertFile string
	Serial   string // hex, also with colons
	Reason   string // one of Reasons
	Days     int    // until a next list is due
	Out      string // a copy of the list for the machines; empty: none
}

// Revoked is a list that was written. Entry is nil where nothing was revoked.
type Revoked struct {
	Entry   *Entry
	Already bool // the certificate was on the list before
	Number  int64
	Next    time.Time
	File    string
}

// Revoke puts a certificate on the authority's list (CRL) and writes the list,
// under a higher number than the one before.
func (a *Authority) Revoke(v Revocation) (*Revoked, error) {
	if a.key == nil {
		return nil, errors.New("the key of the authority is closed")
	}
	if _, ok := reasons[v.Reason]; !ok {
		return nil, fmt.Errorf("reason %q: want one of %s", v.Reason, strings.Join(Reasons(), ", "))
	}
	if err := checkDays(v.Days); err != nil {
		return nil, err
	}
	if a.Certificate.KeyUsage != 0 && a.Certificate.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, errors.New("the root may not sign a CRL (its key usage lacks cRLSign); use `edgehold ext deny`")
	}
	if err := a.checkCRLTarget(v.Out); err != nil {
		return nil, err
	}
	done := &Revoked{File: filepath.Join(a.dir, crlName)}
	err := a.update(func(r *Record) error {
		if err := a.revoke(r, v, done); err != nil || v.Out == "" {
			return err
		}
		return copyOut(done.File, v.Out)
	})
	return done, err
}

func (a *Authority) checkCRLTarget(out string) error {
	switch {
	case out == "":
		return nil
	case filepath.Ext(out) != ".crl":
		return fmt.Errorf("%s: agents look for revocation lists by their names; give one like %s.crl", out, a.FileName())
	}
	return checkTarget(out, a.hasCRL)
}

func (a *Authority) revoke(r *Record, v Revocation, done *Revoked) (err error) {
	now := a.now().UTC().Truncate(time.Second)
	if done.Entry, err = a.chosen(r, v); err != nil {
		return err
	}
	if e := done.Entry; e != nil {
		if done.Already = !e.Revoked.IsZero(); !done.Already {
			e.Revoked, e.Reason = now, v.Reason
		}
	}
	r.CRLNumber++
	done.Number, done.Next = r.CRLNumber, now.Add(time.Duration(v.Days)*day)
	list := &x509.RevocationList{Number: big.NewInt(r.CRLNumber), ThisUpdate: now, NextUpdate: done.Next}
	for _, e := range r.Certificates {
		if e.Revoked.IsZero() {
			continue
		}
		serial, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok {
			return fmt.Errorf("record %s: serial %q is not hex", recordName, e.Serial)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.Revoked, ReasonCode: reasons[e.Reason]})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.key)
	if err != nil {
		return fmt.Errorf("sign CRL: %w", err)
	}
	if err := r.write(a.dir); err != nil { // before the list, so that no number is used twice
		return err
	}
	return replace(done.File, pem.EncodeToMemory(&pem.Block{Type: labelCRL, Bytes: der}), privateFile)
}

// chosen is the entry that is to be revoked, nil for none.
func (a *Authority) chosen(r *Record, v Revocation) (*Entry, error) {
	if v.CertFile != "" {
		c, err := a.ownCertificate(v.CertFile)
		if err != nil {
			return nil, err
		}
		return r.findOrAdd(c), nil
	}
	if v.Serial == "" {
		return nil, nil
	}
	serial, err := parseSerial(v.Serial)
	if err != nil {
		return nil, err
	}
	e := r.find(serial)
	if e == nil {
		return nil, fmt.Errorf("no certificate with the serial number %s was issued here; `edgehold ext ca list` shows those that were, `edgehold ext deny` takes any", serial)
	}
	return e, nil
}

// parseSerial reads hex as openssl and browsers write it and gives it as the
// record has it.
func parseSerial(text string) (string, error) {
	hex := strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(text), ":", ""), "0x")
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok || n.Sign() <= 0 || len(hex) > 64 {
		return "", fmt.Errorf("serial number %q: want hex, as `edgehold ext ca list` shows it", text)
	}
	return n.Text(16), nil
}

// checkTarget refuses to write a list over anything but an older one of the same
// authority.
func checkTarget(path string, isOwn func([]byte) bool) error {
	old, err := readFile(path)
	if err == nil && !isOwn(old) {
		return fmt.Errorf("%s exists and is no list of this authority; give another name", path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy list: %w", err)
	}
	return nil
}

// copyOut copies a list to where machines get it from.
func copyOut(from, to string) error {
	path, err := resolve(to)
	if err != nil {
		return fmt.Errorf("copy list: %w", err)
	}
	data, err := readFile(from)
	if err != nil {
		return fmt.Errorf("copy list: %w", err)
	}
	return replace(path, data, publicFile)
}

// hasCRL tells whether data is a list of this authority.
func (a *Authority) hasCRL(data []byte) bool {
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	list, err := x509.ParseRevocationList(data)
	return err == nil && list.CheckSignatureFrom(a.Certificate) == nil
}
