package cms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
)

var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
)

// Parse reads a signature: one PEM block labelled CMS or PKCS7, or DER. It
// checks the form only. The error is an *Error.
func Parse(data []byte) (*SignedData, error) {
	der, refused := unwrap(data)
	if refused != nil {
		return nil, refused
	}
	r := newReader(der)
	s := r.signedData()
	r.end("signature")
	if refused := r.err(); refused != nil {
		return nil, refused
	}
	return s, nil
}

func (r *reader) signedData() *SignedData {
	s := new(SignedData)
	info := r.into(tagSequence, "the signature")
	if kind := info.oid("the type of the signature"); info.err() == nil && !kind.Equal(oidSignedData) {
		info.fail(refuse(RuleNotCMS, "this is CMS of type %v, not signed data", kind))
	}
	wrap := info.into(tagContext0, "the signed data")
	info.end("signature")
	body := wrap.into(tagSequence, "the signed data")
	wrap.end("signed data")

	version := body.small("the version of the signed data")
	s.digests = body.digestSet()
	body.content(s)
	if body.at(tagContext0) {
		s.Certificates = body.into(tagContext0, "the certificates").certificates()
	}
	if body.at(tagContext1) {
		body.fail(refuse(RuleUnsupported, "the signature carries revocation lists, which are not read from there"))
	}
	signers := body.into(tagSet, "the signers")
	for signers.more() {
		if len(s.Signers) == maxSigners {
			signers.fail(refuse(RuleTooLarge, "the signature has more than %d signers", maxSigners))
		}
		s.Signers = append(s.Signers, signers.signer())
	}
	body.end("signed data")
	if want := s.version(); body.err() == nil && version != want {
		body.fail(refuse(RuleVersion, "the signed data has version %d, its content calls for %d", version, want))
	}
	return s
}

// version is what RFC 5652, section 5.1, calls for, with nothing but
// certificates in the set of certificates.
func (s *SignedData) version() int {
	if !s.EContentType.Equal(oidData) {
		return 3
	}
	for i := range s.Signers {
		if s.Signers[i].SubjectKeyID != nil {
			return 3
		}
	}
	return 1
}

func (r *reader) digestSet() (list []algorithm) {
	set := r.into(tagSet, "the set of digests")
	for set.more() {
		a := set.algorithm("a digest")
		for _, other := range list {
			if a.oid.Equal(other.oid) {
				set.fail(refuse(RuleDuplicate, "the digest %v is announced twice", a.oid))
			}
		}
		if list = append(list, a); len(list) > maxSigners {
			set.fail(refuse(RuleTooLarge, "the signature announces more than %d digests", maxSigners))
		}
	}
	return list
}

func (r *reader) content(s *SignedData) {
	encap := r.into(tagSequence, "the content")
	s.EContentType = encap.oid("the type of the content")
	if encap.at(tagContext0) {
		wrap := encap.into(tagContext0, "the content")
		s.EContent = append([]byte{}, wrap.octets("the content")...)
		wrap.end("content")
	}
	encap.end("content")
}

func (r *reader) certificates() (list []*x509.Certificate) {
	for r.more() {
		if len(list) == maxCertificates {
			r.fail(refuse(RuleTooLarge, "the signature carries more than %d certificates", maxCertificates))
			return nil
		}
		if !r.at(tagSequence) {
			r.fail(refuse(RuleUnsupported, "the signature carries a certificate that is not X.509"))
			return nil
		}
		c, err := parseCertificate(r.element(tagSequence, "a certificate").FullBytes)
		if r.err() != nil {
			return nil
		}
		if err != nil {
			r.fail(refuse(RuleCertificate, "certificate %d of the signature cannot be read: %v", len(list)+1, err))
			return nil
		}
		for i, other := range list {
			if c.Equal(other) {
				r.fail(refuse(RuleDuplicate, "certificates %d and %d of the signature are the same", i+1, len(list)+1))
			}
		}
		list = append(list, c)
	}
	return list
}

func (r *reader) signer() (s SignerInfo) {
	info := r.into(tagSequence, "a signer")
	version, want := info.small("the version of a signer"), 1
	if info.at(tagImplicit0) {
		want = 3
		s.SubjectKeyID = append([]byte{}, info.element(tagImplicit0, "the key identifier of a signer").Bytes...)
	} else {
		sid := info.into(tagSequence, "the name of a signer")
		s.Issuer = sid.element(tagSequence, "the issuer of a signer").FullBytes
		s.Serial = sid.integer("the serial number of a signer")
		sid.end("name of a signer")
	}
	if info.err() == nil && version != want {
		info.fail(refuse(RuleVersion, "a signer has version %d, its form calls for %d", version, want))
	}
	s.digest = info.algorithm("the digest of a signer")
	if info.at(tagContext0) {
		set := info.element(tagContext0, "the signed attributes")
		if info.err() == nil {
			s.signedBytes = append([]byte{tagSet}, set.FullBytes[1:]...)
		}
		s.attributes = (&reader{rest: set.Bytes, fault: info.fault}).attributes(true)
	}
	s.signature = info.algorithm("the signature algorithm of a signer")
	s.value = info.octets("the signature of a signer")
	if info.at(tagContext1) {
		info.into(tagContext1, "the unsigned attributes").attributes(false)
	}
	info.end("signer")
	return s
}

// attributes reads a SET OF Attribute. What is signed is signed in DER, so the
// attributes must lie in the order of DER; that the same bytes can be hashed
// as they came then follows, whichever of the two readings a tool prefers.
func (r *reader) attributes(signed bool) (list []attribute) {
	var last []byte
	for r.more() {
		if len(list) == maxAttributes {
			r.fail(refuse(RuleTooLarge, "a signer has more than %d attributes", maxAttributes))
		}
		one := &reader{rest: r.element(tagSequence, "an attribute").FullBytes, fault: r.fault}
		if signed && bytes.Compare(last, one.rest) > 0 {
			r.fail(refuse(RuleNotDER, "the signed attributes are not in the order of DER"))
		}
		last = one.rest
		list = append(list, one.attribute())
	}
	if signed {
		r.unique(list)
	}
	return list
}

func (r *reader) unique(list []attribute) {
	for i, a := range list {
		for _, b := range list[:i] {
			if a.oid.Equal(b.oid) {
				r.fail(refuse(RuleDuplicate, "the signed attribute %v is there twice", a.oid))
			}
		}
	}
}

func (r *reader) attribute() (a attribute) {
	seq := r.into(tagSequence, "an attribute")
	a.oid = seq.oid("the type of an attribute")
	values := seq.into(tagSet, "the values of an attribute")
	for values.more() {
		if len(a.values) == maxAttributes {
			values.fail(refuse(RuleTooLarge, "an attribute has more than %d values", maxAttributes))
		}
		a.values = append(a.values, values.any("a value of an attribute").FullBytes)
	}
	seq.end("attribute")
	if seq.err() == nil && len(a.values) == 0 {
		seq.fail(refuse(RuleAttributes, "the attribute %v has no value", a.oid))
	}
	return a
}
