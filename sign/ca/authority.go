package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is a kind of key.
type Kind string

// The kinds of keys that are made here. The vendor's tools take RSA only.
const (
	RSA4096 Kind = "rsa4096"
	P256    Kind = "p256"
)

// Validity where none is asked for, in days.
const (
	RootDays      = 3650
	DeveloperDays = 1095
	CRLDays       = 365
)

const (
	maxDays  = 36500
	maxName  = 64             // characters of a name in a certificate, by X.520
	backdate = 24 * time.Hour // for machines whose clock is behind
	day      = 24 * time.Hour
)

// Authority is a root in its folder. What it issues is recorded there.
type Authority struct {
	Certificate *x509.Certificate
	dir         string // absolute, without links
	key         crypto.Signer
	now         func() time.Time
}

// RootOptions say what root to make.
type RootOptions struct {
	Dir    string // new or empty
	Name   string // common name
	Kind   Kind
	Days   int    // of validity
	Phrase []byte // protects the key; nil: the key is not encrypted
	Now    func() time.Time
}

// Check tells what is wrong with the options, apart from the pass phrase.
func (o RootOptions) Check() error {
	if err := checkKind(o.Kind); err != nil {
		return err
	}
	if err := checkName("name", o.Name); err != nil {
		return err
	}
	return checkDays(o.Days)
}

// Create makes a root in a folder of its own, which keeps others out.
func Create(o RootOptions) (*Authority, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if err := checkPhrase(o.Phrase); err != nil {
		return nil, err
	}
	dir, err := resolve(o.Dir)
	if err == nil {
		err = checkHome(dir)
	}
	if err == nil {
		err = os.MkdirAll(dir, privateFolder)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare folder of the root: %w", err)
	}
	release, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := checkEmpty(dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, privateFolder); err != nil {
		return nil, fmt.Errorf("prepare folder of the root: %w", err)
	}
	a := &Authority{dir: dir, now: o.Now}
	if err := a.found(o); err != nil {
		for _, name := range []string{keyName, certName, recordName} {
			os.Remove(filepath.Join(dir, name))
		}
		return nil, err
	}
	return a, nil
}

func (a *Authority) found(o RootOptions) (err error) {
	if a.key, err = makeKey(o.Kind); err != nil {
		return err
	}
	now := a.now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: o.Name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(time.Duration(o.Days) * day),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	if template.SubjectKeyId, err = keyID(a.key.Public()); err != nil {
		return err
	}
	template.AuthorityKeyId = template.SubjectKeyId
	if a.Certificate, err = signCertificate(template, template, a.key.Public(), a.key); err != nil {
		return err
	}
	key, err := EncodeKey(a.key, o.Phrase)
	if err != nil {
		return err
	}
	if err := writeNew(filepath.Join(a.dir, keyName), key); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(a.dir, certName), encodeCertificate(a.Certificate)); err != nil {
		return err
	}
	return (&Record{Format: recordFormat, Certificates: []Entry{}}).write(a.dir)
}

// Open reads the authority in a folder. Its key stays closed until Unlock.
func Open(dir string, now func() time.Time) (*Authority, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	list, err := readCertificates(filepath.Join(dir, certName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no %s; give the folder that `edgehold ext ca` made", dir, certName)
	}
	if err != nil {
		return nil, err
	}
	if !list[0].IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an authority (basicConstraints CA:true)", filepath.Join(dir, certName))
	}
	return &Authority{Certificate: list[0], dir: dir, now: now}, nil
}

// Dir is the folder of the authority, an absolute path.
func (a *Authority) Dir() string { return a.dir }

// FileName is the name of the root, fit for the name of a file.
func (a *Authority) FileName() string { return fileName(a.Certificate.Subject.CommonName) }

// Unlock reads the authority's key; pass is asked where it is encrypted.
func (a *Authority) Unlock(pass func() ([]byte, error)) error {
	path := filepath.Join(a.dir, keyName)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read the root key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("the root key %s can be read by others (mode %04o); if it leaked make a new root, else run: chmod 600 %s", path, mode, path)
	}
	_, key, err := LoadSigner(filepath.Join(a.dir, certName), path, pass)
	a.key = key
	return err
}

// update changes the record while other commands wait.
func (a *Authority) update(change func(*Record) error) error {
	release, err := lock(a.dir)
	if err != nil {
		return err
	}
	defer release()
	r, err := readRecord(a.dir)
	if err != nil {
		return err
	}
	return change(r)
}

func makeKey(kind Kind) (crypto.Signer, error) {
	switch kind {
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, checkKind(kind)
}

func checkKind(kind Kind) error {
	if kind != RSA4096 && kind != P256 {
		return fmt.Errorf("key %q: want %s or %s", kind, RSA4096, P256)
	}
	return nil
}

// newSerial is a positive number of 127 random bits, never short.
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// signCertificate makes a certificate and reads it back.
func signCertificate(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: labelCertificate, Bytes: c.Raw})
}

// EncodeKey is a key in PEM, in the form of PKCS#8, encrypted where there is a
// phrase.
func EncodeKey(key crypto.Signer, phrase []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	if phrase == nil {
		return pem.EncodeToMemory(&pem.Block{Type: labelPKCS8, Bytes: der}), nil
	}
	if der, err = sealKey(der, phrase); err != nil {
		return nil, fmt.Errorf("encrypt key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: labelEncrypted, Bytes: der}), nil
}

func checkName(what, name string) error {
	switch {
	case strings.TrimSpace(name) != name || name == "":
		return fmt.Errorf("%s %q: is empty or begins or ends with a space; give a name", what, name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%s %q: holds control characters or is not UTF-8; give a plain name", what, name)
	case utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("%s %q: has more than %d characters, which certificates do not hold; give a shorter one", what, name, maxName)
	}
	return nil
}

func checkDays(days int) error {
	if days < 1 || days > maxDays {
		return fmt.Errorf("%d days: want 1 to %d", days, maxDays)
	}
	return nil
}

func checkPhrase(phrase []byte) error {
	if phrase != nil && utf8.RuneCount(phrase) < minPhrase {
		return fmt.Errorf("the pass phrase has fewer than %d characters; choose a longer one", minPhrase)
	}
	return nil
}
