package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
)

var (
	oidMD5    = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}

	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidMGF1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidPSS         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidSHA256RSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidSHA384RSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidSHA512RSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidECDSASHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSASHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSASHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}

	derNull = []byte{0x05, 0x00}
)

// digests are the digests that are accepted, with the signature algorithms
// that name them.
var digests = []struct {
	hash            crypto.Hash
	oid, rsa, ecdsa asn1.ObjectIdentifier
}{
	{crypto.SHA256, oidSHA256, oidSHA256RSA, oidECDSASHA256},
	{crypto.SHA384, oidSHA384, oidSHA384RSA, oidECDSASHA384},
	{crypto.SHA512, oidSHA512, oidSHA512RSA, oidECDSASHA512},
}

// plain says whether the parameters are absent or NULL: both are in use.
func (a algorithm) plain() bool {
	return a.parameters == nil || bytes.Equal(a.parameters, derNull)
}

// hash is the digest that the algorithm names.
func (a algorithm) hash() (crypto.Hash, *Error) {
	for _, d := range digests {
		if !a.oid.Equal(d.oid) {
			continue
		}
		if !a.plain() {
			return 0, refuse(RuleAlgorithm, "the digest %v carries parameters", d.hash)
		}
		return d.hash, nil
	}
	name := a.oid.String()
	switch {
	case a.oid.Equal(oidSHA1):
		name = "SHA-1"
	case a.oid.Equal(oidMD5):
		name = "MD5"
	}
	return 0, refuse(RuleDigestWeak, "signed with the digest %s; SHA-256, SHA-384 and SHA-512 are accepted", name)
}

// checkKey holds that a key is strong, and small enough to be computed with.
func checkKey(key crypto.PublicKey) *Error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < minKeyBits:
			return refuse(RuleKeyWeak, "the key of the signer is RSA of %d bits, at least %d are needed", bits, minKeyBits)
		case bits > maxKeyBits:
			return refuse(RuleKeySize, "the key of the signer is RSA of %d bits, at most %d are read", bits, maxKeyBits)
		case k.N.Bit(0) == 0 || k.E < 3 || k.E%2 == 0:
			return refuse(RuleKeyWeak, "the key of the signer is no RSA key: its modulus or exponent is unusable")
		}
		return nil
	case *ecdsa.PublicKey:
		if bits := k.Curve.Params().BitSize; bits < minCurveBits {
			return refuse(RuleKeyWeak, "the key of the signer is on a curve of %d bits, at least %d are needed", bits, minCurveBits)
		}
		return nil
	}
	return refuse(RuleAlgorithm, "the key of the signer is neither RSA nor ECDSA")
}

// signed is one signature with what it must fit.
type signed struct {
	hash      crypto.Hash
	algorithm algorithm
	digest    []byte
	value     []byte
}

// check holds that the key made the signature.
func (s signed) check(key crypto.PublicKey) *Error {
	if refused := checkKey(key); refused != nil {
		return refused
	}
	good := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		if s.algorithm.oid.Equal(oidPSS) {
			return s.checkPSS(k)
		}
		if !s.fitsRSA() {
			return s.unfit()
		}
		good = rsa.VerifyPKCS1v15(k, s.hash, s.digest, s.value) == nil
	case *ecdsa.PublicKey:
		if !s.fitsECDSA() {
			return s.unfit()
		}
		good = ecdsa.VerifyASN1(k, s.digest, s.value)
	}
	if !good {
		return tampered()
	}
	return nil
}

func tampered() *Error {
	return refuse(RuleTampered, "the signature does not fit: the content or the signature was changed, or another key signed")
}

func (s signed) unfit() *Error {
	return refuse(RuleAlgorithm, "the signature algorithm %v does not fit the key or the digest %v", s.algorithm.oid, s.hash)
}

func (s signed) fitsRSA() bool {
	if !s.algorithm.plain() {
		return false
	}
	for _, d := range digests {
		if d.hash == s.hash && s.algorithm.oid.Equal(d.rsa) {
			return true
		}
	}
	return s.algorithm.oid.Equal(oidRSA)
}

func (s signed) fitsECDSA() bool {
	for _, d := range digests {
		if d.hash == s.hash && s.algorithm.oid.Equal(d.ecdsa) {
			return s.algorithm.plain()
		}
	}
	return false
}

func (s signed) checkPSS(key *rsa.PublicKey) *Error {
	salt, refused := s.pssSalt()
	if refused != nil {
		return refused
	}
	options := &rsa.PSSOptions{SaltLength: salt, Hash: s.hash}
	if rsa.VerifyPSS(key, s.hash, s.digest, s.value, options) != nil {
		return tampered()
	}
	return nil
}

// pssSalt reads RSASSA-PSS-params (RFC 4055): the digest and MGF1 with the
// digest of the signer, a salt, no trailer but the usual one.
func (s signed) pssSalt() (int, *Error) {
	r := newReader(s.algorithm.parameters)
	seq := r.into(tagSequence, "the PSS parameters")
	r.end("PSS parameters")
	outer := seq.into(tagContext0, "the PSS digest")
	hash := outer.algorithm("the PSS digest")
	outer.end("PSS digest")
	outer = seq.into(tagContext1, "the PSS mask")
	mask := outer.algorithm("the PSS mask")
	outer.end("PSS mask")
	outer = seq.into(tagContext2, "the PSS salt")
	salt := outer.small("the PSS salt")
	outer.end("PSS salt")
	if seq.at(tagContext3) { // DER leaves out the only trailer there is
		seq.fail(s.unfit())
	}
	seq.end("PSS parameters")
	inner := newReader(mask.parameters)
	maskHash := inner.algorithm("the PSS mask")
	inner.end("PSS mask")
	if r.err() != nil || inner.err() != nil {
		return 0, s.unfit()
	}
	for _, a := range []algorithm{hash, maskHash} {
		if h, refused := a.hash(); refused != nil {
			return 0, refused
		} else if h != s.hash {
			return 0, s.unfit()
		}
	}
	if !mask.oid.Equal(oidMGF1) || salt < 1 { // 0 would ask crypto/rsa to take any salt
		return 0, s.unfit()
	}
	return salt, nil
}
