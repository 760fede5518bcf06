// Package cms reads, verifies and writes the signatures of extension packages
// (CMS SignedData, RFC 5652) and reads their timestamps (RFC 3161).
//
// It is strict: DER only, nothing left over anywhere, no weak digests or keys,
// every signer good. Whether a certificate is to be trusted is not decided
// here: no chain, no validity and no key usage of a signer is looked at.
package cms

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// The bounds of what is read. The largest signature known has three
// certificates and 4 KB; a timestamp with its chain has 7 KB.
const (
	maxBytes        = 256 << 10 // of a signature or timestamp, as PEM or DER
	maxCertificates = 32
	maxSigners      = 16
	maxAttributes   = 64
	maxKeyBits      = 16384 // of an RSA modulus, as openssl has it
	minKeyBits      = 2048  // of an RSA modulus
	minCurveBits    = 256
)

// Rule names what a signature or timestamp breaks. The words are stable.
type Rule string

// The rules.
const (
	RuleTooLarge     Rule = "too_large"         // more bytes, certificates, signers or attributes than any real one has
	RuleNotCMS       Rule = "not_cms"           // not PEM or DER of CMS SignedData
	RuleNotDER       Rule = "not_der"           // BER with indefinite lengths, or a set out of order
	RuleTrailingData Rule = "trailing_data"     // something follows where an element must end
	RuleVersion      Rule = "version"           // a version that does not fit its content
	RuleUnsupported  Rule = "unsupported"       // valid CMS that no tool for packages writes
	RuleDuplicate    Rule = "duplicate"         // the same certificate, digest or attribute twice
	RuleCertificate  Rule = "certificate"       // an embedded certificate cannot be read
	RuleNoSigner     Rule = "no_signer"         // nobody signed
	RuleSigner       Rule = "signer_missing"    // the certificate of a signer is not embedded, or is ambiguous
	RuleDetached     Rule = "not_detached"      // the content lies in the signature
	RuleContentType  Rule = "content_type"      // signs something other than what is asked for
	RuleDigestWeak   Rule = "digest_weak"       // MD5, SHA-1 and other digests that are not SHA-256, SHA-384 or SHA-512
	RuleDigests      Rule = "digest_set"        // the digests announced are not the digests used
	RuleAlgorithm    Rule = "algorithm"         // a signature algorithm that is not known or does not fit key or digest
	RuleKeyWeak      Rule = "key_weak"          // RSA under 2048 bits, a curve under 256 bits
	RuleKeySize      Rule = "key_too_large"     // RSA over 16384 bits
	RuleAttributes   Rule = "signed_attributes" // a required signed attribute is missing or malformed
	RuleTampered     Rule = "tampered"          // content, attributes or signature were changed
	RuleStatus       Rule = "timestamp_refused" // the authority granted no timestamp
	RuleTimestamp    Rule = "timestamp_invalid" // a timestamp that is malformed or carries what is not understood
	RuleImprint      Rule = "timestamp_imprint" // the timestamp belongs to other bytes
	RuleUsage        Rule = "timestamp_usage"   // the signer of a timestamp is not made for timestamps alone
)

// Error is a refusal: the rule and one sentence.
type Error struct {
	Rule Rule
	Text string
}

// Error is the sentence.
func (e *Error) Error() string { return e.Text }

func refuse(rule Rule, format string, args ...any) *Error {
	return &Error{Rule: rule, Text: fmt.Sprintf(format, args...)}
}

// SignedData is a signature as parsed. Nothing in it is proved before Verify.
type SignedData struct {
	Certificates []*x509.Certificate // in the order of the blob
	Signers      []SignerInfo
	EContentType asn1.ObjectIdentifier
	EContent     []byte // nil: the content is detached

	digests []algorithm
}

// SignerInfo is one signer as parsed: either Issuer and Serial or SubjectKeyID
// name its certificate.
type SignerInfo struct {
	Issuer       []byte // DER of the name
	Serial       *big.Int
	SubjectKeyID []byte

	digest      algorithm
	signature   algorithm
	value       []byte
	signedBytes []byte // the signed attributes as the SET that is signed; nil: none
	attributes  []attribute
}

// Verified is a signer whose signature holds. SigningTime is what the signer
// says, zero where it says nothing; it proves nothing.
type Verified struct {
	Certificate *x509.Certificate
	Hash        crypto.Hash
	SigningTime time.Time
}

type algorithm struct {
	oid        asn1.ObjectIdentifier
	parameters []byte // DER of one element; nil: absent
}

type attribute struct {
	oid    asn1.ObjectIdentifier
	values [][]byte // DER of each
}
