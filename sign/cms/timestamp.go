package cms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"time"
)

var (
	oidExtKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 15}
)

// Timestamp is a granted RFC 3161 response as parsed. Nothing in it is proved
// before Verify; then it says that the stamped bytes existed at Time, if
// Certificate is trusted for that moment, which is for the caller to find out.
type Timestamp struct {
	Time         time.Time // UTC
	Policy       asn1.ObjectIdentifier
	Serial       *big.Int
	Certificate  *x509.Certificate   // of the authority; nil: it is not embedded
	Certificates []*x509.Certificate // all that are embedded

	signature *SignedData
	hash      algorithm
	imprint   []byte
	authority []byte // DER of the GeneralName that the token says; nil: none
}

// ParseTimestamp reads a TimeStampResp in DER, which must grant the timestamp.
// The error is an *Error.
func ParseTimestamp(tsr []byte) (*Timestamp, error) {
	if len(tsr) > maxBytes {
		return nil, refuse(RuleTooLarge, "the timestamp has %d bytes, at most %d are read", len(tsr), maxBytes)
	}
	r := newReader(tsr)
	response := r.into(tagSequence, "the timestamp")
	r.end("timestamp")
	response.status()
	s := response.signedData()
	response.end("timestamp")
	if refused := r.err(); refused != nil {
		return nil, refused
	}
	if !s.EContentType.Equal(oidTSTInfo) || s.EContent == nil {
		return nil, refuse(RuleTimestamp, "the response carries no timestamp but content of type %v", s.EContentType)
	}
	if len(s.Signers) != 1 {
		return nil, refuse(RuleTimestamp, "the timestamp has %d signers, not one", len(s.Signers))
	}
	t := &Timestamp{Certificates: s.Certificates, signature: s}
	info := newReader(s.EContent)
	info.stamp(t)
	if refused := info.err(); refused != nil {
		return nil, refuse(RuleTimestamp, "the timestamp cannot be read: %s", refused.Text)
	}
	t.Certificate, _ = s.certificate(&s.Signers[0])
	return t, nil
}

// status reads PKIStatusInfo: granted or granted with changes.
func (r *reader) status() {
	info := r.into(tagSequence, "the status of the timestamp")
	status := info.small("the status of the timestamp")
	if info.at(tagSequence) {
		texts := info.into(tagSequence, "the words of the authority")
		for texts.more() {
			texts.element(tagUTF8, "the words of the authority")
		}
	}
	if info.at(tagBits) {
		info.any("the failure")
	}
	info.end("status")
	if info.err() == nil && status != 0 && status != 1 {
		info.fail(refuse(RuleStatus, "the authority granted no timestamp (status %d)", status))
	}
}

// stamp reads TSTInfo.
func (r *reader) stamp(t *Timestamp) {
	seq := r.into(tagSequence, "the content")
	r.end("content")
	if version := seq.small("the version"); seq.err() == nil && version != 1 {
		seq.fail(refuse(RuleVersion, "version %d is not known", version))
	}
	t.Policy = seq.oid("the policy")
	imprint := seq.into(tagSequence, "the imprint")
	t.hash = imprint.algorithm("the digest of the imprint")
	t.imprint = imprint.octets("the imprint")
	imprint.end("imprint")
	t.Serial = seq.integer("the serial number")
	at := seq.element(tagTime, "the time")
	if seq.err() == nil && !parseStampTime(at, &t.Time) {
		seq.fail(refuse(RuleTimestamp, "the time is not one of UTC"))
	}
	if seq.at(tagSequence) {
		seq.any("the accuracy")
	}
	if seq.at(tagBoolean) {
		var ordering bool
		seq.scalar(tagBoolean, "the ordering", &ordering)
	}
	if seq.at(tagInteger) {
		seq.integer("the nonce")
	}
	if seq.at(tagContext0) {
		name := seq.into(tagContext0, "the name of the authority")
		t.authority = name.any("the name of the authority").FullBytes
		name.end("name of the authority")
	}
	if seq.at(tagContext1) {
		seq.into(tagContext1, "the extensions").extensions()
	}
	seq.end("content")
}

func parseStampTime(v asn1.RawValue, at *time.Time) bool {
	if !bytes.HasSuffix(v.Bytes, []byte("Z")) {
		return false
	}
	_, err := asn1.Unmarshal(v.FullBytes, at)
	return err == nil
}

// extensions skips those that may be skipped: none is known here.
func (r *reader) extensions() {
	for r.more() {
		if e := r.extension(); e.Critical {
			r.fail(refuse(RuleTimestamp, "the critical extension %v is not known", e.Id))
		}
	}
}

// Verify holds the timestamp against the bytes that it is said to stamp, its
// signature, and the authority's certificate against the usage that RFC 3161
// demands. The error is an *Error.
func (t *Timestamp) Verify(stamped []byte) error {
	if refused := t.verify(stamped); refused != nil {
		return refused
	}
	return nil
}

func (t *Timestamp) verify(stamped []byte) *Error {
	hash, refused := t.hash.hash()
	if refused != nil {
		return refused
	}
	if !bytes.Equal(digest(hash, stamped), t.imprint) {
		return refuse(RuleImprint, "the timestamp was made for other bytes")
	}
	signers, refused := t.signature.verify(t.signature.EContent, oidTSTInfo)
	if refused != nil {
		return refused
	}
	if info := &t.signature.Signers[0]; !info.has(oidESS) && !info.has(oidESSv2) {
		return refuse(RuleAttributes, "the timestamp does not name the certificate of its authority in a signed attribute")
	}
	c := signers[0].Certificate
	if t.authority != nil && !answersTo(c, t.authority) {
		return refuse(RuleTimestamp, "the timestamp names another authority than its certificate")
	}
	return checkAuthority(c)
}

// answersTo says whether a GeneralName is the subject of the certificate or one
// of its alternative names.
func answersTo(c *x509.Certificate, name []byte) bool {
	r := newReader(name)
	if r.at(tagContext4) {
		return bytes.Equal(r.into(tagContext4, "the name").rest, c.RawSubject)
	}
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		list := newReader(e.Value).into(tagSequence, "the names")
		for list.more() {
			if bytes.Equal(list.any("a name").FullBytes, name) {
				return true
			}
		}
	}
	return false
}

func (info *SignerInfo) has(oid asn1.ObjectIdentifier) bool {
	for _, a := range info.attributes {
		if a.oid.Equal(oid) {
			return true
		}
	}
	return false
}

// checkAuthority holds that a certificate is for timestamps alone, and says so
// in an extension that is critical (RFC 3161, section 2.3).
func checkAuthority(c *x509.Certificate) *Error {
	only := len(c.ExtKeyUsage) == 1 && c.ExtKeyUsage[0] == x509.ExtKeyUsageTimeStamping && len(c.UnknownExtKeyUsage) == 0
	critical, limited := false, false
	for _, e := range c.Extensions {
		critical = critical || e.Id.Equal(oidExtKeyUsage) && e.Critical
		limited = limited || e.Id.Equal(oidKeyUsage)
	}
	if !only || !critical {
		return refuse(RuleUsage, "the certificate of the authority is not for timestamps alone (extended key usage timeStamping, critical)")
	}
	const signs = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if limited && (c.KeyUsage&signs == 0 || c.KeyUsage&^signs != 0) {
		return refuse(RuleUsage, "the key usage of the authority's certificate is not digital signature alone")
	}
	return nil
}
