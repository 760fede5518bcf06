package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Voucher is a signature over a text, with the certificates of who made it as
// DER, the leaf first.
type Voucher struct {
	Certificates [][]byte
	Signature    []byte
}

// Vouch signs a text with the key of a client certificate, for who knows its
// authority.
func Vouch(certFile, keyFile string, text []byte) (v Voucher, err error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return v, fmt.Errorf("read the certificate %s and its key: %w", certFile, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return v, fmt.Errorf("the key %s cannot sign", keyFile)
	}
	if _, pure := signer.Public().(ed25519.PublicKey); pure {
		v.Signature, err = signer.Sign(rand.Reader, text, crypto.Hash(0))
	} else {
		digest := sha256.Sum256(text)
		v.Signature, err = signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		return v, fmt.Errorf("sign with %s: %w", keyFile, err)
	}
	v.Certificates = pair.Certificate
	return v, nil
}

// Check tells whose signature the text has: a certificate for clients that leads
// to one of the roots and is valid at a moment.
func (v Voucher) Check(roots *x509.CertPool, text []byte, now time.Time) (*x509.Certificate, error) {
	if len(v.Certificates) == 0 || len(v.Signature) == 0 {
		return nil, errors.New("nobody has signed it")
	}
	chain := make([]*x509.Certificate, 0, len(v.Certificates))
	for _, der := range v.Certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read the certificate of the signature: %w", err)
		}
		chain = append(chain, c)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return nil, fmt.Errorf("the certificate of %q is not trusted: %w", leaf.Subject.CommonName, err)
	}
	var algorithm x509.SignatureAlgorithm
	switch leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		algorithm = x509.ECDSAWithSHA256
	case *rsa.PublicKey:
		algorithm = x509.SHA256WithRSA
	case ed25519.PublicKey:
		algorithm = x509.PureEd25519
	}
	if err := leaf.CheckSignature(algorithm, text, v.Signature); err != nil {
		return nil, fmt.Errorf("the signature of %q does not fit: %w", leaf.Subject.CommonName, err)
	}
	return leaf, nil
}
