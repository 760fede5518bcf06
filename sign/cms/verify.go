package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"time"
)

var (
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
)

// Verify holds the detached signature against the content: there is a signer,
// and every signer is good. It gives the signers in the order of the blob.
// Whether a certificate may be trusted is for the caller to find out. The
// error is an *Error.
func (s *SignedData) Verify(content []byte) ([]Verified, error) {
	if s.EContent != nil {
		return nil, refuse(RuleDetached, "the signature carries its own content; a package needs a detached signature")
	}
	list, refused := s.verify(content, oidData)
	if refused != nil {
		return nil, refused
	}
	return list, nil
}

func (s *SignedData) verify(content []byte, kind asn1.ObjectIdentifier) ([]Verified, *Error) {
	if !s.EContentType.Equal(kind) {
		return nil, refuse(RuleContentType, "the signature is for content of type %v, not %v", s.EContentType, kind)
	}
	if len(s.Signers) == 0 {
		return nil, refuse(RuleNoSigner, "nobody signed: the signature has no signer")
	}
	if refused := s.checkDigests(); refused != nil {
		return nil, refused
	}
	list := make([]Verified, 0, len(s.Signers))
	sums := map[crypto.Hash][]byte{}
	for i := range s.Signers {
		v, refused := s.verifySigner(&s.Signers[i], content, sums)
		if refused != nil {
			return nil, refused
		}
		list = append(list, v)
	}
	return list, nil
}

// checkDigests holds that the digests announced are those that the signers
// use, no fewer and no others.
func (s *SignedData) checkDigests() *Error {
	for _, d := range s.digests {
		if _, refused := d.hash(); refused != nil {
			return refused
		}
		if !s.uses(d.oid) {
			return refuse(RuleDigests, "the digest %v is announced and no signer uses it", d.oid)
		}
	}
	for i := range s.Signers {
		if !s.announces(s.Signers[i].digest.oid) {
			return refuse(RuleDigests, "a signer uses the digest %v, which is not announced", s.Signers[i].digest.oid)
		}
	}
	return nil
}

func (s *SignedData) uses(oid asn1.ObjectIdentifier) bool {
	for i := range s.Signers {
		if s.Signers[i].digest.oid.Equal(oid) {
			return true
		}
	}
	return false
}

func (s *SignedData) announces(oid asn1.ObjectIdentifier) bool {
	for _, d := range s.digests {
		if d.oid.Equal(oid) {
			return true
		}
	}
	return false
}

func (s *SignedData) verifySigner(info *SignerInfo, content []byte, sums map[crypto.Hash][]byte) (v Verified, refused *Error) {
	if v.Hash, refused = info.digest.hash(); refused != nil {
		return v, refused
	}
	if v.Certificate, refused = s.certificate(info); refused != nil {
		return v, refused
	}
	sum, ok := sums[v.Hash]
	if !ok {
		sum = digest(v.Hash, content)
		sums[v.Hash] = sum
	}
	if info.signedBytes == nil {
		refused = s.checkBare(content)
	} else {
		v.SigningTime, refused = s.checkAttributes(info, sum)
		sum = digest(v.Hash, info.signedBytes)
	}
	if refused != nil {
		return v, refused
	}
	one := signed{hash: v.Hash, algorithm: info.signature, digest: sum, value: info.value}
	if refused = one.check(v.Certificate.PublicKey); refused != nil {
		return v, refused
	}
	return v, s.checkESS(info, v.Certificate)
}

func digest(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

// certificate finds the certificate of a signer among those of the blob.
func (s *SignedData) certificate(info *SignerInfo) (found *x509.Certificate, refused *Error) {
	for _, c := range s.Certificates {
		if !info.names(c) {
			continue
		}
		if found != nil {
			return nil, refuse(RuleSigner, "two certificates of the signature answer to one signer")
		}
		found = c
	}
	if found == nil {
		return nil, refuse(RuleSigner, "the certificate of the signer is not in the signature; sign with the certificate included")
	}
	return found, nil
}

func (info *SignerInfo) names(c *x509.Certificate) bool {
	if info.SubjectKeyID != nil {
		return len(info.SubjectKeyID) > 0 && bytes.Equal(info.SubjectKeyID, c.SubjectKeyId)
	}
	return bytes.Equal(info.Issuer, c.RawIssuer) && info.Serial.Cmp(c.SerialNumber) == 0
}

// checkBare guards a signature without attributes: type data only (RFC 5652,
// section 5.3), and no content that is itself a set of signed attributes, or
// the signature of something else could be passed off as one over them.
func (s *SignedData) checkBare(content []byte) *Error {
	if !s.EContentType.Equal(oidData) {
		return refuse(RuleAttributes, "the signed attributes are missing, which content of type %v needs", s.EContentType)
	}
	r := newReader(content)
	if !r.at(tagSet) {
		return nil
	}
	list := r.into(tagSet, "the content").attributes(true)
	for _, a := range list {
		if r.err() == nil && a.oid.Equal(oidMessageDigest) {
			return refuse(RuleAttributes, "the content is a set of signed attributes")
		}
	}
	return nil
}

// checkAttributes holds the signed attributes against the content's digest and
// gives the signer's time.
func (s *SignedData) checkAttributes(info *SignerInfo, sum []byte) (at time.Time, refused *Error) {
	var kind asn1.ObjectIdentifier
	if found, refused := info.attribute(oidContentType, "content type", &kind); refused != nil {
		return at, refused
	} else if !found || !kind.Equal(s.EContentType) {
		return at, refuse(RuleAttributes, "the signed attribute content type is missing or names another type")
	}
	if found, refused := info.attribute(oidSigningTime, "signing time", &at); refused != nil {
		return at, refused
	} else if found {
		at = at.UTC()
	}
	var got []byte
	if found, refused := info.attribute(oidMessageDigest, "message digest", &got); refused != nil {
		return at, refused
	} else if !found {
		return at, refuse(RuleAttributes, "the signed attribute message digest is missing")
	}
	if !bytes.Equal(got, sum) {
		return at, refuse(RuleTampered, "the content is not what was signed: its digest differs")
	}
	return at, nil
}

// attribute reads a signed attribute that has one value.
func (info *SignerInfo) attribute(oid asn1.ObjectIdentifier, name string, value any) (found bool, refused *Error) {
	for _, a := range info.attributes {
		if !a.oid.Equal(oid) {
			continue
		}
		if len(a.values) != 1 {
			return false, refuse(RuleAttributes, "the signed attribute %s has %d values, not one", name, len(a.values))
		}
		if rest, err := asn1.Unmarshal(a.values[0], value); err != nil || len(rest) > 0 {
			return false, refuse(RuleAttributes, "the signed attribute %s cannot be read", name)
		}
		return true, nil
	}
	return false, nil
}
