package draintest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// Certificate is what a stand-in shows in a handshake.
type Certificate string

// The certificates. Their times go by the server's clock at SetCertificate.
const (
	Valid       Certificate = "valid"         // for a year from yesterday on
	Expired     Certificate = "expired"       // an hour ago
	NotYetValid Certificate = "not-yet-valid" // from in a day on
	WrongName   Certificate = "wrong-name"    // for another host
	OtherCA     Certificate = "other-ca"      // of an authority that CAPEM is not of
)

// papers are a stand-in's authority and the certificate that it shows.
type papers struct {
	mu    sync.Mutex
	names []string
	ca    *authority
	shown *tls.Certificate
}

func (p *papers) prepare(names []string, now time.Time) error {
	ca, err := newAuthority(now)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.names, p.ca = names, ca
	p.mu.Unlock()
	_, err = p.show(Valid, now)
	return err
}

// show puts a certificate of the kind in the place of the one before. The key
// is a new one for session tickets.
func (p *papers) show(c Certificate, now time.Time) (key [32]byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const day = 24 * time.Hour
	ca, names, from, to := p.ca, p.names, now.Add(-day), now.Add(365*day)
	switch c {
	case Valid:
	case Expired:
		from, to = now.Add(-30*day), now.Add(-time.Hour)
	case NotYetValid:
		from = now.Add(day)
	case WrongName:
		names = []string{"other.example"}
	case OtherCA:
		if ca, err = newAuthority(now); err != nil {
			return key, err
		}
	default:
		return key, fmt.Errorf("set certificate: %q is unknown", c)
	}
	leaf, err := ca.issue(names, from, to)
	if err != nil {
		return key, err
	}
	p.shown = leaf
	_, _ = rand.Read(key[:]) // never fails
	return key, nil
}

func (p *papers) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown
}

func (p *papers) caPEM() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ca == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.ca.cert.Raw})
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes one whose certificate holds for decades around now, so
// that it never is what a test of the clock fails on.
func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of an authority: %w", err)
	}
	form := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "stand-in authority"},
		NotBefore: now.AddDate(-80, 0, 0), NotAfter: now.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := sign(form, &authority{form, key}, key)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

func (a *authority) issue(names []string, from, to time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a certificate: %w", err)
	}
	form := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: names[0]}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			form.IPAddresses = append(form.IPAddresses, ip)
		} else {
			form.DNSNames = append(form.DNSNames, name)
		}
	}
	cert, err := sign(form, a, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// sign makes the certificate of key, signed by a.
func sign(form *x509.Certificate, a *authority, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read signed certificate: %w", err)
	}
	return cert, nil
}

func serial() *big.Int {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return new(big.Int).SetBytes(b[:])
}
