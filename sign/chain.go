package sign

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const (
	maxChain  = 8   // certificates from signer to root
	maxChecks = 100 // signatures of certificates that one search may check
)

// search looks for chains from a signer to a root, and takes the first that
// holds. A signer that one of them shows to be taken back has none.
type search struct {
	roots, helpers []*x509.Certificate // helpers are intermediates, trusted for nothing
	revoked        func(chain []*x509.Certificate) (refused *Refusal, ofSigner bool)
	why            purpose
	at             Moment

	checks int
	good   []*x509.Certificate // the first chain that holds
	over   *Refusal            // the signer is revoked or denied: nothing else counts
	first  *Refusal            // of the first chain that does not hold
	weak   *Refusal            // of a link that is signed with a weak digest
	end    *x509.Certificate
}

// run gives the chain, the signer first and the root last.
func (s *search) run(signer *x509.Certificate) ([]*x509.Certificate, *Refusal) {
	if s.rootLike(signer) != nil && s.why != forDenial {
		return nil, refuse(RuleSelfSigned, fmt.Sprintf("the root %q signed itself", signer.Subject),
			"sign with a certificate that the root issued, so that the root's key can stay locked away")
	}
	s.end = signer
	s.from([]*x509.Certificate{signer})
	switch {
	case s.over != nil:
		return nil, s.over
	case s.good != nil:
		return s.good, nil
	case s.first != nil:
		return nil, s.first
	case s.weak != nil:
		return nil, s.weak
	}
	return nil, s.rootless(signer)
}

// rootLike is the root that c is, or that was made anew of c: with its name and
// its key.
func (s *search) rootLike(c *x509.Certificate) *x509.Certificate {
	if slices.ContainsFunc(s.roots, c.Equal) {
		return c
	}
	for _, root := range s.roots {
		if isIssuer(c, c) && sameAuthority(c, root) {
			return root
		}
	}
	return nil
}

// sameAuthority says whether two certificates are of one CA: of one name and one
// key, whenever they were issued.
func sameAuthority(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// authorityKey stands for a CA whenever its certificate was issued, hex.
func authorityKey(c *x509.Certificate) string {
	sum := sha256.Sum256(slices.Concat(c.RawSubjectPublicKeyInfo, c.RawSubject))
	return hex.EncodeToString(sum[:])
}

// keyOf is the SHA-256 of the public key of a certificate, hex.
func keyOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

func (s *search) rootless(signer *x509.Certificate) *Refusal {
	namesake := func(root *x509.Certificate) bool { return bytes.Equal(root.RawSubject, s.end.RawIssuer) }
	madeBy := func(root *x509.Certificate) bool {
		return namesake(root) && root.CheckSignature(s.end.SignatureAlgorithm, s.end.RawTBSCertificate, s.end.Signature) == nil
	}
	switch {
	case slices.ContainsFunc(s.roots, madeBy):
		return refuse(RuleWrongRoot, fmt.Sprintf("the certificate %q names a certificate of its issuer %q by a number that the one trusted here does not have, though the key is the same", s.end.Subject, s.end.Issuer),
			"put the earlier certificate of the CA into the folder of roots too, or sign with a certificate that it issued since")
	case slices.ContainsFunc(s.roots, namesake):
		return refuse(RuleWrongRoot, fmt.Sprintf("the certificate %q names %q as its issuer, but a CA of that name with another key is trusted here", s.end.Subject, s.end.Issuer),
			"sign with a certificate of the trusted CA, or put the CA that issued it into the folder of roots")
	case bytes.Equal(signer.RawSubject, signer.RawIssuer):
		return refuse(RuleSelfSigned, fmt.Sprintf("the signer %q is its own issuer", signer.Subject), "sign with a certificate that a trusted CA issued")
	}
	return refuse(RuleWrongRoot, fmt.Sprintf("the signer %q does not lead to a trusted root: the issuer %q is missing", signer.Subject, s.end.Issuer),
		"put the certificate of its CA into the folder of roots if you trust it")
}

// from extends a chain until it ends in a root.
func (s *search) from(chain []*x509.Certificate) {
	last := chain[len(chain)-1]
	if slices.ContainsFunc(s.roots, last.Equal) {
		s.judge(chain)
		return
	}
	if root := s.rootLike(last); root != nil && s.why == forDenial && len(chain) == 1 {
		s.judge([]*x509.Certificate{root}) // it signed before it was issued anew
		return
	}
	s.end = last
	if len(chain) == maxChain || isIssuer(last, last) {
		return // what names itself as its issuer ends a chain, whoever signed it
	}
	for _, candidate := range slices.Concat(s.roots, s.helpers) {
		if slices.ContainsFunc(chain, candidate.Equal) || !s.issued(candidate, last) {
			continue
		}
		if s.from(append(slices.Clone(chain), candidate)); s.over != nil {
			return
		}
	}
}

func (s *search) issued(parent, child *x509.Certificate) bool {
	if !isIssuer(parent, child) {
		return false
	}
	if s.checks++; s.checks > maxChecks {
		return false
	}
	switch child.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		s.weak = refuse(RuleDigestWeak, fmt.Sprintf("the certificate %q is signed with %v", child.Subject, child.SignatureAlgorithm),
			"have a new certificate made with SHA-256")
		return false
	}
	return parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature) == nil
}

// isIssuer says whether child names parent as its issuer: by name, and by key and
// by serial number where it gives those.
func isIssuer(parent, child *x509.Certificate) bool {
	if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
		return false
	}
	raw := extension(child, oidAuthorityKey)
	if raw == nil {
		return true
	}
	var key struct {
		ID     []byte        `asn1:"optional,tag:0"`
		Issuer asn1.RawValue `asn1:"optional,tag:1"`
		Serial *big.Int      `asn1:"optional,tag:2"`
	}
	if rest, err := asn1.Unmarshal(raw, &key); err != nil || len(rest) > 0 {
		return false
	}
	switch {
	case key.ID != nil && parent.SubjectKeyId != nil && !bytes.Equal(key.ID, parent.SubjectKeyId):
		return false
	case key.Serial != nil && key.Serial.Cmp(parent.SerialNumber) != 0:
		return false
	}
	return namesIssuer(key.Issuer.Bytes, parent.RawIssuer)
}

// namesIssuer looks at the first name of a directory in a list of names; it must
// be the issuer's. Without one all is well.
func namesIssuer(list, issuer []byte) bool {
	for len(list) > 0 {
		var name asn1.RawValue
		var err error
		if list, err = asn1.Unmarshal(list, &name); err != nil {
			return false
		}
		if name.Class == asn1.ClassContextSpecific && name.Tag == tagDirectory {
			return bytes.Equal(name.Bytes, issuer)
		}
	}
	return true
}

// judge keeps the chain if it holds.
func (s *search) judge(chain []*x509.Certificate) {
	gone, ofSigner := s.revoked(chain)
	if ofSigner {
		s.over = gone
		return
	}
	refused := checkUsage(chain, s.why)
	if refused == nil {
		refused = checkConstraints(chain)
	}
	if refused == nil {
		refused = gone
	}
	if refused == nil && s.why != forDenial { // what was denied stays so when its signer has expired
		refused = checkTimes(chain, s.at)
	}
	if refused == nil && s.why != forDenial {
		refused = checkLibrary(chain, s.at)
	}
	if refused == nil && s.good == nil {
		s.good = chain
	}
	if s.first == nil {
		s.first = refused
	}
}

// checkTimes holds the moment against every validity. As openssl has it, a
// certificate has ended in the very second that it names.
func checkTimes(chain []*x509.Certificate, at Moment) *Refusal {
	for i, c := range slices.Backward(chain) {
		rule, what, mend := RuleExpired, "certificate", "sign it again with a valid certificate, or get a newer package"
		if i == len(chain)-1 {
			rule, what, mend = RuleRootExpired, "root certificate", "put the new root into the folder of roots and sign the packages again with a certificate of it"
		}
		if !at.Time.Before(c.NotAfter) {
			return refuse(rule, fmt.Sprintf("the %s %q expired on %s", what, c.Subject, day(c.NotAfter)), mend)
		}
		if at.Trusted && at.Time.Before(c.NotBefore) {
			return refuse(RuleNotYetValid, fmt.Sprintf("the %s %q is valid from %s on, now it is %s", what, c.Subject, day(c.NotBefore), day(at.Time)),
				"wait until then, or set the clock of this machine or of the machine that made the certificate")
		}
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// checkLibrary asks the standard library as well, which also knows the name
// constraints of alternative names. Where the clock is not trusted, it is asked
// about the first moment from then on at which all could be valid.
func checkLibrary(chain []*x509.Certificate, at Moment) *Refusal {
	when := at.Time
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for i, c := range chain {
		if !at.Trusted && c.NotBefore.After(when) {
			when = c.NotBefore
		}
		if i == len(chain)-1 {
			roots.AddCert(c)
		} else if i > 0 {
			between.AddCert(c)
		}
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: when, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.CANotAuthorizedForThisName:
		return refuse(RuleConstraints, fmt.Sprintf("the name constraints of a CA do not allow the certificate %q: %v", chain[0].Subject, err), "use a name that the CA may give")
	}
	return refuse(RuleChain, fmt.Sprintf("the chain of the certificate %q does not hold: %v", chain[0].Subject, err), mendAgain)
}
