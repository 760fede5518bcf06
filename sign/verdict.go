package sign

import (
	"net/netip"
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

// Verdict says who signed a package that this site trusts.
type Verdict struct {
	Digest     string        // SHA-256 of extension.zip, hex
	Chain      []Certificate // the signer first, the root last
	Vendor     bool          // the root is one of the vendor's; the chain was good at StampedAt
	StampedAt  time.Time     // zero without a timestamp
	Categories []Category    // that bind the package
	Expires    time.Time     // from then on the package is not trusted; zero: never, of a vendor's
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
