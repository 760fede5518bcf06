package sign

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// vendorSite is a site with a vendor's root and a timestamp authority.
type vendorSite struct {
	root, middle, leaf *paper
	stampRoot, stamper *paper
	inner, sig, stamp  []byte
}

func stampLeaf(c *x509.Certificate) {
	// The extension must be critical, which the standard library does not write.
	c.ExtraExtensions = nil
	withExtension(true, []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8}, oidExtKeyUsage...)(c)
}

// vendor makes a package as the vendor does: three certificates, attributes, a
// leaf for code and e-mail, which ends in a day, and a timestamp of today.
func vendor(t testing.TB) *vendorSite {
	s := &vendorSite{inner: zipOf(t, content)}
	s.root = issue(t, caOf("Vendor Root"), nil, nil)
	s.middle = issue(t, caOf("Vendor Intermediate", pathLength(0), ends(10*oneDay)), s.root, nil)
	s.leaf = issue(t, leafOf("Vendor", ends(oneDay), extended(x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageEmailProtection)), s.middle, nil)
	s.stampRoot = issue(t, caOf("Stamp Root"), nil, nil)
	s.stamper = issue(t, leafOf("Stamper", stampLeaf, ends(20*oneDay)), s.stampRoot, nil)
	s.sig = opensslSigns(t, s.inner, []*paper{s.leaf}, []*paper{s.middle, s.root})
	s.stamp = stampBy(t, s.sig, s.stamper, s.stampRoot)
	return s
}

// stampBy is an RFC 3161 authority made of openssl.
func stampBy(t testing.TB, data []byte, by, root *paper) []byte {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		put(t, path, data)
		return path
	}
	conf := file("tsa.cnf", []byte("[tsa]\ndefault_tsa=a\n[a]\nserial="+dir+"/serial\ndefault_policy=1.2.3.4.1\ndigests=sha256\nsigner_digest=sha256\ness_cert_id_alg=sha256\n"))
	mustOpenssl(t, "ts", "-query", "-data", file("sig", data), "-sha256", "-cert", "-no_nonce", "-out", dir+"/query")
	mustOpenssl(t, "ts", "-reply", "-config", conf, "-section", "a", "-queryfile", dir+"/query", "-signer", file("cert", pemOf(by)),
		"-inkey", file("key", keyPEM(t, by)), "-chain", file("chain", pemOf(root)), "-out", dir+"/tsr")
	out, err := os.ReadFile(dir + "/tsr")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *vendorSite) bundle(t testing.TB, stamp []byte) []byte {
	parts := map[string]string{innerName: string(s.inner), signatureName: string(s.sig)}
	if stamp != nil {
		parts[timestampName] = string(stamp)
	}
	return bundleOf(t, parts)
}

func TestVendorPackages(t *testing.T) {
	s := vendor(t)
	otherRoot := issue(t, caOf("Other Stamp Root"), nil, nil)
	otherStamper := issue(t, leafOf("Stamper", stampLeaf), otherRoot, nil)
	endedStamper := issue(t, leafOf("Stamper", stampLeaf, begins(-3*oneDay), ends(-2*oneDay)), s.stampRoot, nil)
	spoiled := bytes.Clone(s.stamp)
	spoiled[len(spoiled)-1] ^= 1
	later := func(d time.Duration) Moment { return Moment{Time: now.Add(d), Trusted: true} }
	for _, c := range []struct {
		name     string
		stamp    []byte
		at       Moment
		noStamps bool // the site trusts no timestamp authority
		want     Rule
		words    string
	}{
		{name: "stamped", stamp: s.stamp, at: later(0)},
		{name: "leaf expired since", stamp: s.stamp, at: later(2 * oneDay)},
		{name: "intermediate expired since", stamp: s.stamp, at: later(15 * oneDay)},
		{name: "authority expired since", stamp: s.stamp, at: later(30 * oneDay)},
		{name: "root expired since", stamp: s.stamp, at: later(4000 * oneDay)},
		{name: "clock behind and not trusted", stamp: s.stamp, at: Moment{Time: now.Add(-100 * oneDay)}},
		{name: "timestamp from the future", stamp: s.stamp, at: later(-100 * oneDay), want: RuleTimestamp, words: "set the clock"},
		{name: "no timestamp, valid", at: later(0)},
		{name: "no timestamp, expired", at: later(2 * oneDay), want: RuleExpired, words: "with the timestamp that belongs in it"},
		{name: "no authority is trusted, valid", stamp: s.stamp, at: later(0), noStamps: true},
		{name: "no authority is trusted, expired", stamp: s.stamp, at: later(2 * oneDay), noStamps: true, want: RuleExpired, words: "trust.timestamp_roots"},
		{name: "of another signature", stamp: stampBy(t, append(bytes.Clone(s.sig), '\n'), s.stamper, s.stampRoot), at: later(0), want: RuleTimestamp, words: "other bytes"},
		{name: "of another authority", stamp: stampBy(t, s.sig, otherStamper, otherRoot), at: later(0), want: RuleTimestampRoot, words: "trust.timestamp_roots"},
		{name: "of an authority that had expired", stamp: stampBy(t, s.sig, endedStamper, s.stampRoot), at: later(0), want: RuleTimestampRoot, words: "expired"},
		{name: "damaged", stamp: spoiled, at: later(0), want: RuleTimestamp},
		{name: "rubbish", stamp: []byte("rubbish"), at: later(0), want: RuleTimestamp},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := TrustOptions{Roots: t.TempDir(), VendorRoots: rootsOf(t, s.root), TimestampRoots: rootsOf(t, s.stampRoot)}
			if c.noStamps {
				options.TimestampRoots = filepath.Join(t.TempDir(), "missing")
			}
			_, v, err := quiet(t, options).OpenBytes("vendor.zip", s.bundle(t, c.stamp), DefaultLimits(), c.at)
			if r := wantRule(t, err, c.want); r.Rule != "" && !strings.Contains(r.Error(), c.words) {
				t.Errorf("%q lacks %q", r.Error(), c.words)
			}
			if v == nil {
				return
			}
			stamped := c.stamp != nil && !c.noStamps
			if !v.Vendor || len(v.Chain) != 3 || stamped == v.StampedAt.IsZero() || stamped != v.Expires.IsZero() {
				t.Errorf("verdict %+v", v)
			}
			if stamped && v.StampedAt.Sub(now).Abs() > time.Hour {
				t.Errorf("stamped at %s, made at %s", v.StampedAt, now)
			}
		})
	}
}

// The vendor's root in the blob is worth nothing, and a root of the site's own
// does not make use of timestamps.
func TestVendorRootIsPinned(t *testing.T) {
	s := vendor(t)
	stamps := rootsOf(t, s.stampRoot)
	none := quiet(t, TrustOptions{VendorRoots: rootsOf(t, issue(t, caOf("Vendor Root"), nil, nil)), TimestampRoots: stamps})
	_, _, err := none.OpenBytes("b", s.bundle(t, s.stamp), DefaultLimits(), atNow)
	wantRule(t, err, RuleWrongRoot)
	site := quiet(t, TrustOptions{Roots: rootsOf(t, s.root), TimestampRoots: stamps})
	_, v, err := site.OpenBytes("b", s.bundle(t, s.stamp), DefaultLimits(), atNow)
	wantRule(t, err, "")
	if v == nil || v.Vendor || !v.StampedAt.IsZero() || !v.Expires.Equal(s.leaf.NotAfter) {
		t.Errorf("verdict %+v", v)
	}
	_, _, err = site.OpenBytes("b", s.bundle(t, s.stamp), DefaultLimits(), Moment{Time: now.Add(2 * oneDay), Trusted: true})
	wantRule(t, err, RuleExpired)
}

// A certificate of the site that expired is not saved by a vendor's folder, and
// a vendor's package can be revoked.
func TestVendorAndSite(t *testing.T) {
	s := vendor(t)
	own := issue(t, caOf("Site"), nil, nil)
	dev := issue(t, leafOf("Dev", ends(oneDay)), own, nil)
	options := TrustOptions{Roots: rootsOf(t, own), VendorRoots: rootsOf(t, s.root), TimestampRoots: rootsOf(t, s.stampRoot)}
	sig := signature(t, s.inner, dev)
	bundle := bundleOf(t, map[string]string{innerName: string(s.inner), signatureName: string(sig), timestampName: string(stampBy(t, sig, s.stamper, s.stampRoot))})
	_, _, err := quiet(t, options).OpenBytes("b", bundle, DefaultLimits(), Moment{Time: now.Add(2 * oneDay), Trusted: true})
	wantRule(t, err, RuleExpired)
	put(t, filepath.Join(options.VendorRoots, "v.crl"), crlOf(t, s.middle, s.leaf))
	_, _, err = quiet(t, options).OpenBytes("b", s.bundle(t, s.stamp), DefaultLimits(), atNow)
	wantRule(t, err, RuleRevoked)
}

func TestTimestampAuthorityRevoked(t *testing.T) {
	s := vendor(t)
	options := TrustOptions{VendorRoots: rootsOf(t, s.root), TimestampRoots: rootsOf(t, s.stampRoot)}
	put(t, filepath.Join(options.TimestampRoots, "t.crl"), crlOf(t, s.stampRoot, s.stamper))
	_, _, err := quiet(t, options).OpenBytes("b", s.bundle(t, s.stamp), DefaultLimits(), atNow)
	if r := wantRule(t, err, RuleTimestampRoot); !strings.Contains(r.Text, "revoked") {
		t.Error(r.Error())
	}
}
