// Package ca is a certificate authority for a small team: a root, developer
// certificates of categories, their renewal and revocation, and the signed deny
// list. A root lives in a folder of its own, with a record of what it issued.
package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/edgehold/edgehold/sign"
)

// maxFile is far above any key, certificate or record.
const maxFile = 4 << 20

// The labels of PEM blocks.
const (
	labelCertificate = "CERTIFICATE"
	labelRequest     = "CERTIFICATE REQUEST"
	labelOldRequest  = "NEW CERTIFICATE REQUEST"
	labelPKCS8       = "PRIVATE KEY"
	labelEncrypted   = "ENCRYPTED PRIVATE KEY"
	labelPKCS1       = "RSA PRIVATE KEY"
	labelSEC1        = "EC PRIVATE KEY"
	labelCRL         = "X509 CRL"
	minRSABits       = 2048
	maxIterations    = 10_000_000
	toPKCS8          = "openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 -in %s -out NEW.key"
)

// ErrPassPhrase is a pass phrase that does not open the key.
var ErrPassPhrase = errors.New("wrong pass phrase")

// LoadSigner reads a certificate and its private key, from two files or, where
// keyFile is empty, from one that holds both. pass is asked for the pass phrase
// of an encrypted key only; it may be nil. The key is RSA of 2048 bits and more
// or ECDSA on P-256, P-384 or P-521, in the form of PKCS#1, SEC 1 or PKCS#8.
func LoadSigner(certFile, keyFile string, pass func() ([]byte, error)) (*x509.Certificate, crypto.Signer, error) {
	certificates, err := readCertificates(certFile)
	if err != nil {
		return nil, nil, err
	}
	if keyFile == "" {
		keyFile = certFile
	}
	key, err := readKey(keyFile, pass)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range certificates {
		if sameKey(c.PublicKey, key.Public()) {
			return c, key, nil
		}
	}
	return nil, nil, fmt.Errorf("the key in %s is not the one of the certificate in %s; give the two that were made together", keyFile, certFile)
}

// readFile reads a whole file of sane size, and never waits.
func readFile(path string) ([]byte, error) { return sign.ReadRegular(path, maxFile) }

func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	list, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", path, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----); from DER: openssl x509 -inform DER -in %s -out NEW.pem", path, path)
	}
	return list, nil
}

// parseCertificates are the certificates among the PEM blocks of data.
func parseCertificates(data []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != labelCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func readKey(path string, pass func() ([]byte, error)) (crypto.Signer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	reader := keyReader{name: path, pass: pass, iterations: maxIterations}
	key, err := reader.parse(data)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return key, checkPrivate(path)
}

// checkPrivate refuses the file of a key that others than its owner and group
// may reach, encrypted or not, as the agent does with secrets.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("check permissions of the key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("the key %s is readable by others (mode %04o); if it leaked revoke its certificate, else run: chmod o-rwx %s", path, mode, path)
	}
	return nil
}

// keyReader finds the private key in a file.
type keyReader struct {
	name       string // for the commands that an error proposes
	pass       func() ([]byte, error)
	iterations int // at most, of a key derivation
}

// parse wants exactly one private key; certificates and the parameters that
// openssl puts before an EC key may stand beside it.
func (r keyReader) parse(data []byte) (crypto.Signer, error) {
	var found *pem.Block
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if !isKeyLabel(block.Type) {
			continue
		}
		if found != nil {
			return nil, errors.New("holds more than one private key; leave the one that is meant")
		}
		found = block
	}
	if found == nil {
		return nil, fmt.Errorf("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----); from DER: openssl pkey -inform DER -in %s -out NEW.key; from PKCS#12: openssl pkcs12 -in %s -nocerts -out NEW.key",
			r.name, r.name)
	}
	key, err := r.block(found)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("holds a key that cannot sign; %s", wantedKeys)
	}
	return signer, checkPublic(signer.Public())
}

func isKeyLabel(label string) bool {
	switch label {
	case labelPKCS8, labelEncrypted, labelPKCS1, labelSEC1:
		return true
	}
	return false
}

func (r keyReader) block(b *pem.Block) (any, error) {
	if b.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("is encrypted in the old form of openssl, whose key derivation is weak; convert it with: "+toPKCS8, r.name)
	}
	switch b.Type {
	case labelPKCS1:
		return x509.ParsePKCS1PrivateKey(b.Bytes)
	case labelSEC1:
		return x509.ParseECPrivateKey(b.Bytes)
	case labelEncrypted:
		return r.encrypted(b.Bytes)
	}
	return x509.ParsePKCS8PrivateKey(b.Bytes)
}

func (r keyReader) encrypted(der []byte) (any, error) {
	box, err := parseBox(der, r.iterations)
	if err != nil {
		return nil, fmt.Errorf("%w; convert it with: "+toPKCS8, err, r.name)
	}
	if r.pass == nil {
		return nil, errors.New("is encrypted and no pass phrase is given")
	}
	phrase, err := r.pass()
	if err != nil {
		return nil, fmt.Errorf("ask for the pass phrase: %w", err)
	}
	plain, err := box.open(phrase)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil { // one in 256 wrong phrases leaves a padding that looks right
		return nil, ErrPassPhrase
	}
	return key, nil
}

const wantedKeys = "an RSA key of at least 2048 bits or an ECDSA key on P-256, P-384 or P-521 is needed"

// checkPublic refuses keys whose signatures no agent takes.
func checkPublic(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("the RSA key has %d bits; %s", bits, wantedKeys)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return fmt.Errorf("the curve %s is too small; %s", k.Curve.Params().Name, wantedKeys)
		}
		return nil
	}
	return fmt.Errorf("a key of type %T does not fit; %s", public, wantedKeys)
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
