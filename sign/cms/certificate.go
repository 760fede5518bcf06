package cms

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
)

// Further identifier octets, of certificates.
const (
	tagUTCTime   = 0x17
	tagImplicit1 = 0x81
	tagImplicit2 = 0x82
)

var oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}

// parseCertificate is x509.ParseCertificate and no element more than the form
// has: crypto/x509 skips what it does not look for, openssl refuses it.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	r := newReader(der)
	r.certificate()
	r.end("certificate")
	if refused := r.err(); refused != nil {
		return nil, refused
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidKeyUsage) && c.KeyUsage == 0 {
			return nil, errors.New("its key usage allows nothing")
		}
	}
	return c, nil
}

func (r *reader) certificate() {
	whole := r.into(tagSequence, "the certificate")
	body := whole.into(tagSequence, "its body")
	whole.algorithm("its signature algorithm")
	whole.bits("its signature")
	whole.end("certificate")

	number := 0
	if body.at(tagContext0) {
		version := body.into(tagContext0, "its version")
		number = version.small("its version")
		version.end("version")
	}
	body.integer("its serial number")
	body.algorithm("its signature algorithm")
	body.name("its issuer")
	validity := body.into(tagSequence, "its validity")
	validity.time("its beginning")
	validity.time("its end")
	validity.end("validity")
	body.name("its subject")
	key := body.into(tagSequence, "its key")
	key.algorithm("its key")
	key.bits("its key")
	key.end("key")
	for _, tag := range []byte{tagImplicit1, tagImplicit2} {
		if body.at(tag) {
			body.any("a unique identifier")
		}
	}
	if body.at(tagContext3) {
		if number != 2 { // or crypto/x509 would not look at them
			body.fail(refuse(RuleVersion, "a certificate of version %d has extensions", number+1))
		}
		outer := body.into(tagContext3, "its extensions")
		outer.into(tagSequence, "its extensions").each(func(r *reader) {
			if e := r.extension(); e.Id.Equal(oidAuthorityKey) {
				(&reader{rest: e.Value, fault: r.fault}).authorityKey()
			}
		})
		outer.end("extensions")
	}
	body.end("body of the certificate")
}

func (r *reader) each(read func(*reader)) {
	for r.more() {
		read(r)
	}
}

func (r *reader) bits(what string) {
	var bits asn1.BitString
	r.scalar(tagBits, what, &bits)
}

func (r *reader) time(what string) {
	if r.at(tagUTCTime) {
		r.any(what)
		return
	}
	r.element(tagTime, what)
}

func (r *reader) name(what string) {
	r.into(tagSequence, what).each(func(r *reader) {
		r.into(tagSet, what).each(func(r *reader) {
			pair := r.into(tagSequence, what)
			pair.oid(what)
			pair.any(what)
			pair.end("name")
		})
	})
}

// extension reads one of a certificate or a timestamp.
func (r *reader) extension() (e pkix.Extension) {
	seq := r.into(tagSequence, "an extension")
	e.Id = seq.oid("the type of an extension")
	if seq.at(tagBoolean) {
		seq.scalar(tagBoolean, "the weight of an extension", &e.Critical)
	}
	e.Value = seq.octets("an extension")
	seq.end("extension")
	return e
}

// authorityKey holds the form of the one extension in which crypto/x509 passes
// over what it does not know.
func (r *reader) authorityKey() {
	seq := r.into(tagSequence, "its authority")
	for _, tag := range []byte{tagImplicit0, tagContext1, tagImplicit2} {
		if seq.at(tag) {
			seq.any("its authority")
		}
	}
	seq.end("authority of the certificate")
	r.end("authority of the certificate")
}
