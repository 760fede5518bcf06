package sign

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// oidDistribution is the extension that says which certificates a CRL is about.
var oidDistribution = asn1.ObjectIdentifier{2, 5, 29, 28}

// crl is a list of revoked certificates. Its signature is checked when its
// issuer is met in a chain.
type crl struct {
	file string
	list *x509.RevocationList
}

// readCRLs reads PEM, any number of them, or DER.
func readCRLs(file string, data []byte) (out []*crl, err error) {
	add := func(der []byte) {
		list, fault := x509.ParseRevocationList(der)
		if fault == nil {
			fault = complete(list)
		} else if first, err := parseFirstCRL(der); err == nil {
			list, fault = first, nil
		}
		if fault != nil {
			err = fmt.Errorf("the CRL is ignored: %w; get it again from the CA", fault)
			return
		}
		out = append(out, &crl{file: file, list: list})
	}
	if len(data) > 0 && data[0] == 0x30 {
		add(data)
		return out, err
	}
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		found = true
		if block.Type != "X509 CRL" {
			err = fmt.Errorf("a block %q is ignored; put the CRL here, as PEM or DER", block.Type)
			continue
		}
		add(block.Bytes)
	}
	if !found {
		err = errors.New("it holds no CRL; put PEM or DER here")
	}
	return out, err
}

// complete refuses CRLs that say only what changed since another, or that speak
// in a way that is not known.
func complete(list *x509.RevocationList) error {
	for _, e := range list.Extensions {
		if e.Critical && !e.Id.Equal(oidDistribution) {
			return fmt.Errorf("it has the critical extension %v, so it is a part of a list or of a kind that is not known", e.Id)
		}
	}
	return nil
}

// by says whether issuer made the CRL.
func (l *crl) by(issuer *x509.Certificate) bool {
	if !bytes.Equal(l.list.RawIssuer, issuer.RawSubject) {
		return false
	}
	if l.list.AuthorityKeyId != nil && issuer.SubjectKeyId != nil && !bytes.Equal(l.list.AuthorityKeyId, issuer.SubjectKeyId) {
		return false
	}
	// Whether the key usage has cRLSign does not matter: no one else has the key,
	// and some tools make CAs without it.
	return issuer.CheckSignature(l.list.SignatureAlgorithm, l.list.RawTBSRevocationList, l.list.Signature) == nil
}

// checkCRLs holds each certificate of a chain against the CRLs of its issuer. A
// CRL that has run out still revokes what it lists, whenever that was and
// whatever the reason. ofSigner: it is the signer's own certificate.
func checkCRLs(chain []*x509.Certificate, crls []*crl) (refused *Refusal, ofSigner bool) {
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		for _, l := range crls {
			at, listed := l.lists(c)
			if !listed || !l.by(issuer) {
				continue
			}
			return refuse(RuleRevoked, fmt.Sprintf("the certificate %q (serial %x) was revoked on %s by the CRL %s", c.Subject, c.SerialNumber, day(at), l.file),
				"sign the package again with another certificate"), i == 0
		}
	}
	return nil, false
}

func (l *crl) lists(c *x509.Certificate) (at time.Time, listed bool) {
	for i := range l.list.RevokedCertificateEntries {
		if e := &l.list.RevokedCertificateEntries[i]; e.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return e.RevocationTime, true
		}
	}
	return time.Time{}, false
}

// stale says in words that a CRL has run out.
func (l *crl) stale(now time.Time) string {
	if l.list.NextUpdate.IsZero() || now.Before(l.list.NextUpdate) {
		return ""
	}
	return fmt.Sprintf("the CRL %s of %q ran out on %s; what it revokes stays revoked, what was revoked since is not known: get it again from the CA",
		l.file, l.list.Issuer, day(l.list.NextUpdate))
}

// warnForged warns of CRLs that bear the name of a CA at hand, yet are not its
// work. The issuer of others may still travel with a package.
func (f *rootFolder) warnForged() {
	for _, l := range f.crls {
		namesake, made := false, false
		for _, c := range slices.Concat(f.roots, f.helpers) {
			namesake = namesake || bytes.Equal(l.list.RawIssuer, c.RawSubject)
			made = made || l.by(c)
		}
		if namesake && !made {
			f.warn(l.file, fmt.Errorf("the CRL is ignored: it names %q as its issuer, whose key did not sign it; get it again from the CA", l.list.Issuer))
		}
	}
}
