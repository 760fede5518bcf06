// Package mtls is the certificate authority of a fleet's MQTT: certificates of
// brokers, sites and relays, and the list of those that were taken back. The
// name of a site or relay is the common name of its certificate, by which a
// broker knows what it may do; so no name is ever both.
package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/edgehold/edgehold/sign/ca"
)

// Validity where none is asked for, in days.
const (
	RootDays = 3650
	LeafDays = 730
)

const (
	day      = 24 * time.Hour
	backdate = day // for machines whose clock is behind
	maxDays  = 36500
)

// The files in the folder of an authority.
const (
	RootName   = "ca.pem"
	keyName    = "ca.key"
	CRLName    = "ca.crl"
	recordName = "issued.json"
	issuedName = "issued" // folder of all certificates, by serial number
)

// Authority is a root in its folder. What it issues is recorded there.
type Authority struct {
	Certificate *x509.Certificate
	Dir         string
	key         crypto.Signer
	now         func() time.Time
}

// RootOptions say what root to make.
type RootOptions struct {
	Dir    string // new or empty
	Name   string // common name
	Days   int    // of validity
	Phrase []byte // protects the key; nil: the key is not encrypted
	Now    func() time.Time
}

// Create makes a root with an empty revocation list, which brokers want to be
// there.
func Create(o RootOptions) (*Authority, error) {
	if err := checkDays(o.Days); err != nil {
		return nil, err
	}
	if o.Name == "" || len(o.Name) > 64 {
		return nil, fmt.Errorf("name %q: a certificate holds 1 to 64 characters", o.Name)
	}
	if err := os.MkdirAll(o.Dir, privateFolder); err != nil {
		return nil, fmt.Errorf("make folder of the authority: %w", err)
	}
	if there, err := os.ReadDir(o.Dir); err != nil || len(there) > 0 {
		if err == nil {
			err = fmt.Errorf("the folder %s is not empty (it holds %s); give a new one, an authority is never overwritten", o.Dir, there[0].Name())
		}
		return nil, err
	}
	if err := os.Chmod(o.Dir, privateFolder); err != nil {
		return nil, fmt.Errorf("close folder of the authority: %w", err)
	}
	a := &Authority{Dir: o.Dir, now: o.Now}
	release, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	return a, a.found(o)
}

func (a *Authority) found(o RootOptions) (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return fmt.Errorf("make key: %w", err)
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
	if a.Certificate, err = makeCertificate(template, template, a.key.Public(), a.key); err != nil {
		return err
	}
	key, err := ca.EncodeKey(a.key, o.Phrase)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(a.Dir, keyName), key, false); err != nil {
		return err
	}
	if err := write(filepath.Join(a.Dir, RootName), encode(a.Certificate), false); err != nil {
		return err
	}
	return a.writeList(&record{Format: recordFormat, Certificates: []Entry{}}, 0)
}

// Open reads the authority in a folder. Its key stays closed until Unlock.
func Open(dir string, now func() time.Time) (*Authority, error) {
	c, err := readCertificate(filepath.Join(dir, RootName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no %s; make an authority with `edgehold relay cert ca`, or give its folder with --ca", dir, RootName)
	}
	if err != nil {
		return nil, err
	}
	if !c.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an authority", filepath.Join(dir, RootName))
	}
	return &Authority{Certificate: c, Dir: dir, now: now}, nil
}

// Unlock reads the authority's key; pass is asked where it is encrypted.
func (a *Authority) Unlock(pass func() ([]byte, error)) error {
	path := filepath.Join(a.Dir, keyName)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read the key of the authority: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("the key %s can be read by others (mode %04o); if it leaked make a new authority, else run: chmod 600 %s", path, mode, path)
	}
	_, a.key, err = ca.LoadSigner(filepath.Join(a.Dir, RootName), path, pass)
	return err
}

// newSerial is a positive number of 127 random bits, never short.
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// keyID is the subject key identifier of a key: a hash of it.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// makeCertificate makes a certificate and reads it back.
func makeCertificate(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func checkDays(days int) error {
	if days < 1 || days > maxDays {
		return fmt.Errorf("%d days: want 1 to %d", days, maxDays)
	}
	return nil
}
