package cms

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // names certificates in timestamps of the first form; signs nothing
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
)

var (
	oidESS   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidESSv2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

// checkESS holds that a signing certificate attribute (RFC 5035), where there
// is one, names the signer's certificate first and then none but embedded ones.
func (s *SignedData) checkESS(info *SignerInfo, signer *x509.Certificate) *Error {
	for _, oid := range []asn1.ObjectIdentifier{oidESS, oidESSv2} {
		var raw asn1.RawValue
		found, refused := info.attribute(oid, "signing certificate", &raw)
		if refused != nil {
			return refused
		}
		if !found {
			continue
		}
		r := newReader(raw.FullBytes)
		named := r.essCertificates(oid.Equal(oidESSv2))
		if refused := r.err(); refused != nil {
			return refuse(RuleAttributes, "the signed attribute signing certificate cannot be read: %s", refused.Text)
		}
		if len(named) == 0 || !named[0].names(signer) {
			return refuse(RuleAttributes, "the signed attribute signing certificate names another certificate")
		}
		for _, id := range named[1:] {
			if !id.namesOne(s.Certificates) {
				return refuse(RuleAttributes, "the signed attribute signing certificate names a certificate that is not in the signature")
			}
		}
	}
	return nil
}

// essID names a certificate by its digest and, in some, by issuer and serial.
type essID struct {
	hash   crypto.Hash
	sum    []byte
	issuer []byte // nil: not said
	serial []byte
}

func (id essID) names(c *x509.Certificate) bool {
	if !bytes.Equal(digest(id.hash, c.Raw), id.sum) {
		return false
	}
	if id.issuer == nil {
		return true
	}
	serial, err := asn1.Marshal(c.SerialNumber)
	return err == nil && bytes.Equal(id.issuer, c.RawIssuer) && bytes.Equal(id.serial, serial)
}

func (id essID) namesOne(list []*x509.Certificate) bool {
	for _, c := range list {
		if id.names(c) {
			return true
		}
	}
	return false
}

// essCertificates reads SigningCertificate or SigningCertificateV2.
func (r *reader) essCertificates(v2 bool) (list []essID) {
	seq := r.into(tagSequence, "the signing certificate")
	r.end("signing certificate")
	ids := seq.into(tagSequence, "the list of certificates")
	for ids.more() {
		if len(list) == maxCertificates {
			ids.fail(refuse(RuleTooLarge, "more than %d certificates are named", maxCertificates))
		}
		list = append(list, ids.essID(v2))
	}
	if seq.more() {
		seq.element(tagSequence, "the policies") // of the certificate; they say nothing about the signature
	}
	seq.end("signing certificate")
	return list
}

func (r *reader) essID(v2 bool) essID {
	id := essID{hash: crypto.SHA1}
	seq := r.into(tagSequence, "the name of a certificate")
	if v2 {
		id.hash = crypto.SHA256
		if seq.at(tagSequence) {
			hash, refused := seq.algorithm("the digest of a certificate").hash()
			if refused != nil {
				seq.fail(refused)
				hash = crypto.SHA256
			}
			id.hash = hash
		}
	}
	id.sum = seq.octets("the digest of a certificate")
	if seq.more() {
		pair := seq.into(tagSequence, "the issuer and serial number")
		names := pair.into(tagSequence, "the issuer")
		name := names.into(tagContext4, "the issuer")
		names.end("issuer")
		id.issuer = name.element(tagSequence, "the issuer").FullBytes
		name.end("issuer")
		id.serial = pair.element(tagInteger, "the serial number").FullBytes
		pair.end("serial number")
	}
	seq.end("name of a certificate")
	return id
}
