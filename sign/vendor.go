package sign

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

// signed is a package whose signature holds, with its verdict in the making.
type signed struct {
	*parts
	signature *cms.SignedData
	signers   []cms.Verified
	verdict   *Verdict
}

// vendorChains tries the roots of the vendor where the site's own did not do:
// because of what before says. A timestamp moves the moment of the judgement to
// when it was made; one that is there and does not hold is a refusal.
func (t *Trust) vendorChains(s signed, at Moment, before *Refusal) ([][]*x509.Certificate, *Refusal) {
	if len(t.vendor.roots) == 0 || !t.leads(s) {
		return nil, before
	}
	stamped := len(s.timestamp) > 0 && len(t.stamps.roots) > 0
	if stamped {
		when, refused := t.stampedAt(s, at)
		if refused != nil {
			return nil, refused
		}
		s.verdict.StampedAt, at = when, Moment{Time: when, Trusted: true}
	}
	chains, refused := t.chains(t.vendor, s.signers, s.signature, at)
	if refused != nil && refused.Rule == RuleExpired && !stamped {
		mend := "get the bundle.zip again from the vendor, with the timestamp that belongs in it"
		if len(s.timestamp) > 0 {
			mend = "put the root of its timestamp authority into the folder trust.timestamp_roots"
		}
		refused = refuse(RuleExpired, refused.Text+", and no timestamp proves that it was valid when the package was signed", mend)
	}
	return chains, refused
}

// leads says whether the signers lead to the vendor at all, by whatever rules.
func (t *Trust) leads(s signed) bool {
	for _, signer := range s.signers {
		_, refused := t.vendor.chain(signer.Certificate, s.signature.Certificates, search{why: forPackages, revoked: func([]*x509.Certificate) (*Refusal, bool) { return nil, false }})
		if refused != nil && (refused.Rule == RuleWrongRoot || refused.Rule == RuleSelfSigned) {
			return false
		}
	}
	return true
}

// stampedAt verifies the timestamp over the bytes of the signature file, and
// that its authority was trusted then.
func (t *Trust) stampedAt(s signed, at Moment) (time.Time, *Refusal) {
	const mend = "get the bundle.zip again from the vendor"
	stamp, err := cms.ParseTimestamp(s.timestamp)
	if err == nil {
		err = stamp.Verify(s.parts.signature)
	}
	if err != nil {
		return time.Time{}, refuse(RuleTimestamp, fmt.Sprintf("its timestamp does not hold: %v", err), mend)
	}
	if at.Trusted && stamp.Time.After(at.Time.Add(maxAhead)) {
		return time.Time{}, refuse(RuleTimestamp, fmt.Sprintf("its timestamp is of %s, and now it is %s", day(stamp.Time), day(at.Time)), "set the clock of this machine, or "+mend)
	}
	_, refused := t.stamps.chain(stamp.Certificate, stamp.Certificates, t.search(forStamps, Moment{Time: stamp.Time, Trusted: true}))
	if refused != nil {
		return time.Time{}, refuse(RuleTimestampRoot, fmt.Sprintf("the authority of its timestamp is not trusted: %s", refused.Text),
			"put the root of the authority into the folder trust.timestamp_roots if you trust it, or "+mend)
	}
	return stamp.Time, nil
}
