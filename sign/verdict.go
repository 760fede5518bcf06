package sign

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
)

// Moment is when a signature is judged. Where the clock is not trusted, Time is
// a floor: the true time is that or later, so an end of validity before it has
// passed for sure, while a beginning after it says nothing.
type Moment struct {
	Time    time.Time
	Trusted bool
}

// Certificate is what a person or a status page needs of a certificate.
type Certificate struct {
	Subject, Issuer string
	Serial          string   // hex, lower case
	Fingerprint     string   // SHA-256 of the DER form, hex, lower case
	Units           []string // organizational units of the subject
	NotBefore       time.Time
	NotAfter        time.Time
}

// Describe gives the short form of a certificate.
func Describe(c *x509.Certificate) Certificate {
	return Certificate{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(),
		Serial: c.SerialNumber.Text(16), Fingerprint: fingerprint(c),
		Units:     c.Subject.OrganizationalUnit,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Verdict says who signed a package that this site trusts.
type Verdict struct {
	Digest     string        // SHA-256 of extension.zip, hex
	Chain      []Certificate // of the first signer: its certificate first, the root last
	Vendor     bool          // the root is one of the vendor's
	StampedAt  time.Time     // the chain was good then; zero: without a timestamp, it is good now
	Categories []Category    // that bind the package: it must keep within the limits of each
	Expires    time.Time     // from then on the package is not trusted; zero: never, of a vendor's with a timestamp
}

// Signer is the certificate that signed.
func (v *Verdict) Signer() Certificate { return v.Chain[0] }

// Category is a kind of package with what its packages may do.
type Category struct {
	Name         string
	Certificates []string // SHA-256 fingerprints, of a root, an intermediate or a leaf
	Units        []string // organizational units of a leaf; empty: the name
	Limits       CategoryLimits
}

// CategoryLimits bound what a package may do. An empty list is no limit.
type CategoryLimits struct {
	DataSources  []string       // snmp, prometheus, ...
	Addresses    []netip.Prefix // of the devices that a configuration names
	OIDs         []string       // roots of subtrees
	Hosts        []string       // names of endpoints; a leading *. stands for any sub-domain
	LocalDevices bool           // buses, pins and serial ports of this machine may be used
}

// Rule names what a refusal is about. The words are stable.
type Rule string

// The rules. Those that the signature itself breaks have the names that
// sign/cms gives them: tampered, digest_weak, key_weak, not_cms, ...
const (
	RulePackage  Rule = "package"  // a limit or form of packages, apart from those below
	RuleUnsigned Rule = "unsigned" // no signature at all

	RuleZipTrailing Rule = "zip_trailing_data"
	RuleZipHidden   Rule = "zip_hidden_data"
	RuleZipOverlap  Rule = "zip_overlap"
	RuleZip64       Rule = "zip64"
	RuleZipForm     Rule = "zip_form"
	RuleZipName     Rule = "zip_name"      // leaves the package, absolute, control characters, two names of one entry
	RuleZipTwice    Rule = "zip_duplicate" // also names that differ in case only
	RuleZipLink     Rule = "zip_link"
	RuleZipBomb     Rule = "zip_bomb"

	RuleWrongRoot     Rule = "wrong_root"
	RuleSelfSigned    Rule = "self_signed" // the root itself signed, or nobody issued the signer
	RuleExpired       Rule = "expired"
	RuleNotYetValid   Rule = "not_yet_valid"
	RuleRootExpired   Rule = "root_expired"
	RuleRevoked       Rule = "revoked" // by a CRL
	RuleDenied        Rule = "denied"  // by a deny list
	RuleKeyUsage      Rule = "key_usage"
	RuleExtKeyUsage   Rule = "extended_key_usage"
	RuleNotCA         Rule = "not_a_ca"
	RulePathLength    Rule = "path_length"
	RuleConstraints   Rule = "name_constraints"
	RuleExtension     Rule = "certificate_extension" // critical and unknown, or of a kind that is refused
	RuleDigestWeak    Rule = "digest_weak"
	RuleKeyWeak       Rule = "key_weak"
	RuleChain         Rule = "chain"               // the standard library refuses what the rules above let pass
	RuleTimestamp     Rule = "timestamp"           // damaged, of another signature, from the future
	RuleTimestampRoot Rule = "timestamp_authority" // not one that this site trusts
	RuleCategory      Rule = "category"
)

// Refusal is a package that is not trusted: the rule it breaks, what was found
// and what to do about it.
type Refusal struct {
	Rule Rule
	Text string
	Mend string
}

// Error is one sentence with the mend.
func (r *Refusal) Error() string {
	if r.Mend == "" {
		return r.Text
	}
	return r.Text + "; " + r.Mend
}

func refuse(rule Rule, text, mend string) *Refusal {
	return &Refusal{Rule: rule, Text: text, Mend: mend}
}

// Mends that several refusals share.
const (
	mendZip   = "build it again with `edgehold ext build`"
	mendZip64 = "a package of this size needs none; build it again with `edgehold ext build`"
	mendAgain = "sign it again with a certificate that is fit, or ask its author to"
)

// plainHex brings fingerprints and serial numbers to one form.
func plainHex(s string) string {
	s = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	return strings.TrimPrefix(s, "0x")
}
