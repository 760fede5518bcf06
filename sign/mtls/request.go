package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
)

// KeyRequest asks for a key and a request (CSR) for its certificate, made where
// the key is used.
type KeyRequest struct {
	Name  string
	Dir   string
	Renew bool // a request for the key that is there
	Force bool // replace files
}

// MakeRequest writes NAME.key and NAME.csr and returns the two paths.
func MakeRequest(o KeyRequest) (keyFile, csrFile string, err error) {
	base := filepath.Join(o.Dir, o.Name)
	keyFile, csrFile = base+".key", base+".csr"
	if err := os.MkdirAll(o.Dir, privateFolder); err != nil {
		return "", "", fmt.Errorf("make folder: %w", err)
	}
	force := o.Force || o.Renew // an older request is of no use
	var key crypto.Signer
	if o.Renew {
		key, err = readKey(keyFile)
	} else {
		if !force {
			err = free(csrFile)
		}
		if err == nil {
			key, err = newKey(keyFile, o.Force)
		}
	}
	if err != nil {
		return "", "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: o.Name}}, key)
	if err != nil {
		return "", "", fmt.Errorf("make request: %w", err)
	}
	return keyFile, csrFile, write(csrFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), force)
}

// newKey makes a key in a file of its own.
func newKey(path string, force bool) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	text, err := ca.EncodeKey(key, nil) // a broker's client has nobody to ask for a pass phrase
	if err != nil {
		return nil, err
	}
	return key, write(path, text, force)
}

func readKey(path string) (crypto.Signer, error) {
	data, err := sign.ReadRegular(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read key: %w; without --renew a new one is made", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no plain private key (-----BEGIN PRIVATE KEY-----); convert it with: openssl pkcs8 -topk8 -nocrypt -in %s -out NEW.key", path, path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key %s cannot sign; make a new one without --renew", path)
	}
	return signer, nil
}

// CSR is a request that was checked: its sender has the key.
type CSR struct {
	Name   string // as it asks for; whether it may have it, is for a person to say
	public crypto.PublicKey
}

// ReadCSR reads a request, PEM or DER.
func ReadCSR(path string) (*CSR, error) {
	data, err := sign.ReadRegular(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	csr, err := parseCSR(data)
	if err != nil {
		return nil, fmt.Errorf("read request %s: %w", path, err)
	}
	return csr, nil
}

func parseCSR(data []byte) (*CSR, error) {
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, fmt.Errorf("it is a %s; make a request with `edgehold relay cert request NAME`", block.Type)
		}
		data = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(data)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("its signature is not by its key, so it was changed or is not its sender's: %w", err)
	}
	switch k := csr.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("its RSA key has %d bits, at least 2048 are needed; make a new key", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return nil, fmt.Errorf("its curve %s is too small; make a key on P-256", k.Curve.Params().Name)
		}
	default:
		return nil, fmt.Errorf("its key is a %T; make one with ECDSA on P-256 or RSA", csr.PublicKey)
	}
	return &CSR{Name: csr.Subject.CommonName, public: csr.PublicKey}, nil
}
