package sign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"testing"
	"time"
)

// agreement is one certificate variant with one signature variant. Where openssl
// and we disagree, why says the reason.
type agreement struct {
	name    string
	root    *paper
	signers []*paper
	between []*paper // certificates that travel along
	options []string // of openssl when it signs; nil: our own tools sign
	spoil   func(content, sig []byte) ([]byte, []byte)
	after   time.Duration // the moment, from now

	want    Rule // ours; "" is trusted
	openssl bool // trusted by openssl
	why     string
}

func usage(u x509.KeyUsage) change { return func(c *x509.Certificate) { c.KeyUsage = u } }
func ends(in time.Duration) change { return func(c *x509.Certificate) { c.NotAfter = now.Add(in) } }

func begins(in time.Duration) change { return func(c *x509.Certificate) { c.NotBefore = now.Add(in) } }

func pathLength(n int) change {
	return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
}
func notCA(c *x509.Certificate)        { c.BasicConstraintsValid, c.IsCA = false, false }
func deniedCA(c *x509.Certificate)     { c.IsCA = false }
func signedBySHA1(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }

func extended(u ...x509.ExtKeyUsage) change {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

// withExtension adds an extension that the standard library does not write so.
func withExtension(critical bool, value any, oid ...int) change {
	return func(c *x509.Certificate) {
		der, ok := value.([]byte)
		if !ok {
			der, _ = asn1.Marshal(value)
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: der})
	}
}

func TestOpensslAgrees(t *testing.T) {
	content := zipOf(t, content)
	for _, c := range agreements(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := content
			var sig []byte
			if c.options == nil {
				sig = signature(t, data, c.signers[0])
			} else {
				sig = opensslSigns(t, data, c.signers, c.between, c.options...)
			}
			if c.spoil != nil {
				data, sig = c.spoil(bytes.Clone(data), bytes.Clone(sig))
			}
			dir := rootsOf(t, c.root)
			at := now.Add(c.after)
			theirs := opensslTrusts(t, filepath.Join(dir, "root0.pem"), data, sig, at)
			trust, _ := load(t, TrustOptions{Roots: dir})
			p, v, ours := trust.OpenBytes("b.zip", bundleWith(t, data, sig), DefaultLimits(), Moment{Time: at, Trusted: true})
			if r := wantRule(t, ours, c.want); r.Rule != "" && testing.Verbose() {
				t.Log(r.Error())
			}
			if (p == nil) != (ours != nil) || (v == nil) != (ours != nil) {
				t.Error("content or verdict beside a refusal, or none without")
			}
			if (theirs == nil) != c.openssl {
				t.Errorf("openssl says %v", theirs)
			}
			switch agree := (ours == nil) == (theirs == nil); {
			case theirs != nil && ours == nil:
				t.Errorf("trusted here, while openssl refuses: %v", theirs)
			case agree != (c.why == ""):
				t.Errorf("agreement is %v, and the table explains: %q", agree, c.why)
			}
		})
	}
}

func agreements(t *testing.T) []agreement {
	root := issue(t, caOf("Root"), nil, nil)
	rsaRoot := issue(t, caOf("RSA Root"), nil, rsaKey(t, 2048))
	leaf := func(changes ...change) []*paper { return []*paper{issue(t, leafOf("Dev", changes...), root, nil)} }
	rsaLeaf := []*paper{issue(t, leafOf("RSA Dev"), rsaRoot, rsaKey(t, 2048))}
	plain := leaf()
	recipe := []string{} // as the vendor documents: -binary and nothing else
	list := []agreement{
		{name: "our own signature", root: root, signers: plain, openssl: true},
		{name: "our own RSA signature", root: rsaRoot, signers: rsaLeaf, openssl: true},
		{name: "recipe", root: root, signers: plain, options: recipe, openssl: true},
		{name: "RSA recipe", root: rsaRoot, signers: rsaLeaf, options: recipe, openssl: true},
		{name: "no attributes", root: rsaRoot, signers: rsaLeaf, options: []string{"-noattr"}, openssl: true},
		{name: "key identifier", root: root, signers: leaf(func(c *x509.Certificate) { c.SubjectKeyId = []byte("developer") }), options: []string{"-keyid"}, openssl: true},
		{name: "SHA-512", root: root, signers: plain, options: []string{"-md", "sha512"}, openssl: true},
		{name: "RSA-PSS", root: rsaRoot, signers: rsaLeaf, options: []string{"-keyopt", "rsa_padding_mode:pss"}, openssl: true},
		{
			name: "SHA-1", root: rsaRoot, signers: rsaLeaf, options: []string{"-md", "sha1"}, openssl: true, want: RuleDigestWeak,
			why: "openssl verifies SHA-1 in signatures of content; collisions can be bought",
		},
		{
			name: "MD5", root: rsaRoot, signers: rsaLeaf, options: []string{"-md", "md5"}, openssl: true, want: RuleDigestWeak,
			why: "openssl verifies MD5 in signatures of content; collisions are made in seconds",
		},
		{name: "another root", root: issue(t, caOf("Other"), nil, nil), signers: plain, want: RuleWrongRoot},
		{name: "another root of the same name", root: issue(t, caOf("Root"), nil, nil), signers: plain, want: RuleWrongRoot},
		{name: "tampered content", root: root, signers: plain, want: "tampered", spoil: flip(-30, true)},
		{name: "tampered signature", root: root, signers: plain, options: recipe, want: "tampered", spoil: spoilValue},
		{name: "content of another package", root: root, signers: plain, want: "tampered", spoil: func(_, sig []byte) ([]byte, []byte) {
			return zipOf(t, map[string]string{manifestName: "name: custom:other\n"}), sig
		}},
		{name: "two good signers", root: root, signers: []*paper{plain[0], leaf()[0]}, options: recipe, openssl: true},
		{name: "two signers, one of another root", root: root, signers: []*paper{plain[0], rsaLeaf[0]}, options: recipe, want: RuleWrongRoot},
		{
			name: "the root signs", root: issue(t, caOf("Root", usage(x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature)), nil, nil), options: recipe, openssl: true, want: RuleSelfSigned,
			why: "the root's key stays locked away: packages are signed with certificates that it issued, as the vendor advises",
		},
	}
	list = append(list, timeAgreements(t, root, leaf)...)
	list = append(list, usageAgreements(t, root, leaf)...)
	list = append(list, chainAgreements(t, root)...)
	list = append(list, constraintAgreements(t)...)
	for i := range list {
		if c := &list[i]; c.signers == nil {
			c.signers = []*paper{c.root}
		}
	}
	return list
}

func timeAgreements(t *testing.T, root *paper, leaf func(...change) []*paper) []agreement {
	short := issue(t, caOf("Short", ends(oneDay)), nil, nil)
	return []agreement{
		{name: "expired leaf", root: root, signers: leaf(ends(oneDay)), after: 2 * oneDay, want: RuleExpired},
		{name: "the last second", root: root, signers: leaf(ends(oneDay)), after: oneDay - time.Second, openssl: true},
		{name: "the second it ends", root: root, signers: leaf(ends(oneDay)), after: oneDay, want: RuleExpired},
		{name: "signed while valid, expired now", root: root, signers: leaf(ends(oneDay)), options: []string{}, after: 2 * oneDay, want: RuleExpired},
		{name: "not yet valid", root: root, signers: leaf(begins(oneDay)), want: RuleNotYetValid},
		{name: "the first second", root: root, signers: leaf(begins(oneDay)), after: oneDay, openssl: true},
		{name: "expired root", root: short, signers: []*paper{issue(t, leafOf("Dev"), short, nil)}, after: 2 * oneDay, want: RuleRootExpired},
	}
}

func usageAgreements(t *testing.T, root *paper, leaf func(...change) []*paper) []agreement {
	weakKey, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mailRoot := issue(t, caOf("Mail", extended(x509.ExtKeyUsageEmailProtection)), nil, nil)
	codeRoot := issue(t, caOf("Code", extended(x509.ExtKeyUsageCodeSigning)), nil, nil)
	return []agreement{
		{name: "no extensions", root: root, signers: leaf(usage(0)), openssl: true},
		{name: "nonRepudiation", root: root, signers: leaf(usage(x509.KeyUsageContentCommitment)), openssl: true},
		{name: "keyEncipherment only", root: root, signers: leaf(usage(x509.KeyUsageKeyEncipherment)), want: RuleKeyUsage},
		{name: "empty key usage", root: root, signers: leaf(usage(0), withExtension(true, asn1.BitString{}, 2, 5, 29, 15)), options: []string{}, want: "certificate"},
		{name: "keyEncipherment and digitalSignature", root: root, signers: leaf(usage(x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature)), openssl: true},
		{name: "emailProtection", root: root, signers: leaf(extended(x509.ExtKeyUsageEmailProtection)), openssl: true},
		{name: "codeSigning only", root: root, signers: leaf(extended(x509.ExtKeyUsageCodeSigning)), want: RuleExtKeyUsage},
		{name: "codeSigning and emailProtection", root: root, signers: leaf(extended(x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageEmailProtection)), openssl: true},
		{name: "any extended usage", root: root, signers: leaf(extended(x509.ExtKeyUsageAny)), want: RuleExtKeyUsage},
		{name: "serverAuth", root: root, signers: leaf(extended(x509.ExtKeyUsageServerAuth)), want: RuleExtKeyUsage},
		{name: "root for e-mail", root: mailRoot, signers: []*paper{issue(t, leafOf("Dev"), mailRoot, nil)}, openssl: true},
		{name: "root for code only", root: codeRoot, signers: []*paper{issue(t, leafOf("Dev"), codeRoot, nil)}, want: RuleExtKeyUsage},
		{name: "Netscape S/MIME", root: root, signers: leaf(withExtension(false, asn1.BitString{Bytes: []byte{0x20}, BitLength: 3}, oidNetscapeType...)), openssl: true},
		{name: "Netscape server", root: root, signers: leaf(withExtension(false, asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}, oidNetscapeType...)), want: RuleExtKeyUsage},
		{name: "Netscape type that cannot be read", root: root, signers: leaf(withExtension(false, []byte{}, oidNetscapeType...)), want: RuleExtension},
		{name: "unknown critical extension", root: root, signers: leaf(withExtension(true, "x", 1, 2, 3, 4)), want: RuleExtension},
		{name: "unknown extension", root: root, signers: leaf(withExtension(false, "x", 1, 2, 3, 4)), openssl: true},
		{name: "proxy certificate", root: root, signers: leaf(withExtension(true, []byte{0x30, 0x0c, 0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 0x15, 1}, 1, 3, 6, 1, 5, 5, 7, 1, 14)), want: RuleExtension},
		{
			name: "leaf of a short curve", root: root, signers: []*paper{issue(t, leafOf("Dev"), root, weakKey)}, options: []string{}, openssl: true, want: RuleKeyWeak,
			why: "openssl sets no lower bound for keys in this check",
		},
		{
			name: "RSA of 1024 bits", root: root, signers: []*paper{issue(t, leafOf("Dev"), root, rsaKey(t, 1024))}, options: []string{}, openssl: true, want: RuleKeyWeak,
			why: "openssl sets no lower bound for keys in this check",
		},
		{
			name: "leaf signed with SHA-1", root: root, signers: leaf(signedBySHA1), openssl: true, want: RuleDigestWeak,
			why: "openssl verifies SHA-1 in certificates below its security level 1, which this check does not set",
		},
	}
}

func chainAgreements(t *testing.T, root *paper) []agreement {
	middle := issue(t, caOf("Middle"), root, nil)
	lower := issue(t, caOf("Lower"), middle, nil)
	narrow := issue(t, caOf("Narrow", pathLength(0)), nil, nil)
	underNarrow := issue(t, caOf("Middle", pathLength(0)), narrow, nil)
	developer := issue(t, leafOf("Developer"), root, nil)
	noCA := issue(t, caOf("No CA", deniedCA), root, nil)
	noSign := issue(t, caOf("No sign", usage(x509.KeyUsageCRLSign)), root, nil)
	bare := issue(t, caOf("Bare", notCA), nil, nil)
	ended := issue(t, caOf("Ended", ends(oneDay)), root, nil)
	critical := issue(t, caOf("Critical", withExtension(true, "x", 1, 2, 3, 4)), nil, nil)
	dev := func(by *paper) []*paper { return []*paper{issue(t, leafOf("Dev"), by, nil)} }
	self := issue(t, leafOf("Self"), nil, nil)
	strange := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidAuthorityKey, Value: []byte{0x30, 6, 0x80, 4, 1, 2, 3, 4}}}
	}
	selfIssued := issue(t, caOf("Root"), root, nil) // the standard library leaves out whose key it was signed with
	weak := issue(t, caOf("Weak"), root, rsaKey(t, 1024))
	deep, long := root, []*paper{}
	for i := range maxChain - 1 {
		deep = issue(t, caOf(fmt.Sprint("Deep ", i)), deep, nil)
		long = append(long, deep)
	}
	reencoded := *root.Certificate // the same name, as another kind of string
	reencoded.RawSubject = bytes.ReplaceAll(root.RawSubject, []byte{asn1.TagPrintableString, 4, 'R'}, []byte{asn1.TagUTF8String, 4, 'R'})
	bare509 := &paper{Certificate: withoutKeyID(root), key: root.key}
	list := []agreement{
		{name: "authority key by issuer and serial", root: root, signers: []*paper{issue(t, leafOf("Dev", authorityBySerial(root, root.SerialNumber)), bare509, nil)}, openssl: true},
		{name: "authority key by another serial", root: root, signers: []*paper{issue(t, leafOf("Dev", authorityBySerial(root, big.NewInt(7))), bare509, nil)}, want: RuleWrongRoot},
		{name: "authority key by another issuer", root: root, signers: []*paper{issue(t, leafOf("Dev", authorityBySerial(lower, root.SerialNumber)), bare509, nil)}, want: RuleWrongRoot},
		{name: "intermediate of the root's name", root: root, signers: dev(selfIssued), between: []*paper{selfIssued}, want: RuleWrongRoot},
		{
			name: "weak intermediate", root: root, signers: dev(weak), between: []*paper{weak}, openssl: true, want: RuleKeyWeak,
			why: "openssl sets no lower bound for keys in this check",
		},
		{
			name: "very long chain", root: root, signers: dev(deep), between: long, openssl: true, want: RuleWrongRoot,
			why: "openssl follows a hundred certificates, here it is eight",
		},
		{
			name: "issuer's name as another kind of string", root: root, signers: []*paper{issue(t, leafOf("Dev"), &paper{Certificate: &reencoded, key: root.key}, nil)}, openssl: true, want: RuleWrongRoot,
			why: "openssl compares names without regard to case and kind of string, here the bytes count, as in the standard library",
		},
		{name: "intermediate", root: root, signers: dev(middle), between: []*paper{middle}, openssl: true},
		{name: "two intermediates", root: root, signers: dev(lower), between: []*paper{lower, middle}, openssl: true},
		{name: "missing intermediate", root: root, signers: dev(middle), want: RuleWrongRoot},
		{name: "the root travels along", root: root, signers: dev(root), between: []*paper{root}, openssl: true},
		{name: "a foreign root travels along", root: root, signers: dev(narrow), between: []*paper{narrow}, want: RuleWrongRoot},
		{name: "path length 0", root: narrow, signers: dev(narrow), openssl: true},
		{name: "path length broken", root: narrow, signers: dev(underNarrow), between: []*paper{underNarrow}, want: RulePathLength},
		{name: "leaf used as CA", root: root, signers: dev(developer), between: []*paper{developer}, want: RuleNotCA},
		{name: "CA:false used as CA", root: root, signers: dev(noCA), between: []*paper{noCA}, want: RuleNotCA},
		{name: "CA without keyCertSign", root: root, signers: dev(noSign), between: []*paper{noSign}, want: RuleKeyUsage},
		{name: "expired intermediate", root: root, signers: dev(ended), between: []*paper{ended}, after: 2 * oneDay, want: RuleExpired},
		{name: "intermediate as the only root", root: middle, signers: dev(middle), want: RuleWrongRoot},
		{name: "root with unknown critical extension", root: critical, signers: dev(critical), want: RuleExtension},
		{
			name: "root without basic constraints", root: bare, signers: dev(bare), openssl: true, want: RuleWrongRoot,
			why: "openssl takes a root with keyCertSign and no basic constraints for a CA; a root says CA:true here",
		},
		{
			name: "self-signed leaf as root", root: self, signers: []*paper{self}, openssl: true, want: RuleSelfSigned,
			why: "openssl trusts a self-signed leaf that is listed; here the folder holds CAs only",
		},
		{name: "authority key of another", root: root, signers: []*paper{issue(t, leafOf("Dev", strange), &paper{Certificate: withoutKeyID(root), key: root.key}, nil)}, want: RuleWrongRoot},
	}
	for i := range list {
		list[i].options = []string{}
	}
	return list
}

// authorityBySerial names the issuer as the add-on of VS Code does.
func authorityBySerial(issuer *paper, serial *big.Int) change {
	name := asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: issuer.RawIssuer}
	return withExtension(false, struct {
		Issuer []asn1.RawValue `asn1:"tag:1"`
		Serial *big.Int        `asn1:"tag:2"`
	}{[]asn1.RawValue{name}, serial}, oidAuthorityKey...)
}

// Of two roots of one name the one that signed is found, in whatever order.
// openssl takes the first where key identifiers do not tell them apart, and then
// refuses; whom the site trusts is the same for both.
func TestRootsOfOneName(t *testing.T) {
	first, second := issue(t, caOf("Root"), nil, nil), issue(t, caOf("Root"), nil, nil)
	inner := zipOf(t, content)
	for _, by := range []*paper{first, second} {
		leaf := issue(t, leafOf("Dev"), &paper{Certificate: withoutKeyID(by), key: by.key}, nil)
		trust := quiet(t, TrustOptions{Roots: rootsOf(t, first, second)})
		_, v, err := trust.OpenBytes("b", bundleWith(t, inner, signature(t, inner, leaf)), DefaultLimits(), atNow)
		wantRule(t, err, "")
		if v == nil || v.Chain[1].Fingerprint != fingerprint(by.Certificate) {
			t.Errorf("verdict %+v", v)
		}
	}
}

// withoutKeyID lets a template give the authority key identifier itself.
func withoutKeyID(p *paper) *x509.Certificate {
	c := *p.Certificate
	c.SubjectKeyId = nil
	return &c
}

func constraintAgreements(t *testing.T) []agreement {
	hosts := func(list ...string) change {
		return func(c *x509.Certificate) { c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, list }
	}
	notHosts := func(list ...string) change {
		return func(c *x509.Certificate) { c.ExcludedDNSDomains = list }
	}
	mail := func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"plant.example"} }
	named := func(cn string) change { return func(c *x509.Certificate) { c.Subject.CommonName = cn } }
	alt := func(host string) change { return func(c *x509.Certificate) { c.DNSNames = []string{host} } }
	altMail := func(a string) change { return func(c *x509.Certificate) { c.EmailAddresses = []string{a} } }
	mailbox := func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"dev@plant.example"} }
	mailDomain := func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{".plant.example"} }
	links := func(c *x509.Certificate) { c.PermittedURIDomains = []string{"plant.example"} }
	altLink := func(host string) change {
		return func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: host}} }
	}
	mailName := func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidMail, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("dev@plant.example")}}}
	}
	directory := func(kind int, o string) change {
		name, _ := asn1.Marshal(pkix.Name{Organization: []string{o}}.ToRDNSequence())
		inner := asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: name}
		base, _ := asn1.Marshal([]asn1.RawValue{inner})
		tree := asn1.RawValue{Class: 2, Tag: kind, IsCompound: true, Bytes: base}
		return withExtension(false, []asn1.RawValue{tree}, oidConstraints...)
	}
	unit := func(o string) change {
		return func(c *x509.Certificate) { c.Subject = pkix.Name{Organization: []string{o}, CommonName: "Dev"} }
	}
	other := withExtension(false, []byte{0x30, 8, 0xa0, 6, 0x30, 4, 0x88, 2, 0x2a, 3}, oidConstraints...)
	one := func(name string, ca, dev change, trusted bool) agreement {
		root := issue(t, caOf("Constrained", ca), nil, nil)
		a := agreement{name: name, root: root, signers: []*paper{issue(t, leafOf("Dev", dev), root, nil)}, options: []string{}, openssl: trusted}
		if !trusted {
			a.want = RuleConstraints
		}
		return a
	}
	strict := one("e-mail address in the subject", mail, mailName, false)
	strict.openssl, strict.why = true, "an e-mail address in the subject is not looked into here when a CA constrains such addresses"
	kinds := one("constraint of an unknown kind", other, named("Dev"), false)
	kinds.openssl, kinds.why = true, "openssl judges such a constraint only when it meets a name of its kind; here it is refused in any case"
	return []agreement{
		strict, kinds,
		one("host permitted", hosts("plant.example"), alt("dev.plant.example"), true),
		one("host not permitted", hosts("plant.example"), alt("dev.example"), false),
		one("host excluded", notHosts("plant.example"), alt("dev.plant.example"), false),
		one("no name of that kind", hosts("plant.example"), named("Dev of plant"), true),
		one("host as common name", hosts("plant.example"), named("dev.plant.example"), true),
		one("foreign host as common name", hosts("plant.example"), named("dev.example"), false),
		one("excluded host as common name", notHosts("plant.example"), named("DEV.plant.example"), false),
		one("e-mail permitted", mail, altMail("dev@plant.example"), true),
		one("mailbox permitted", mailbox, altMail("dev@PLANT.example"), true),
		one("mailbox not permitted", mailbox, altMail("Dev@plant.example"), false),
		one("e-mail of a domain", mailDomain, altMail("dev@sub.plant.example"), true),
		one("e-mail of the head of a domain", mailDomain, altMail("dev@plant.example"), false),
		one("e-mail of a sub-domain", mail, altMail("dev@sub.plant.example"), false),
		one("link of the host", links, altLink("plant.example"), true),
		one("link of a sub-domain", links, altLink("sub.plant.example"), false),
		one("e-mail not permitted", mail, altMail("dev@example"), false),
		one("directory permitted", directory(0, "Plant"), unit("Plant"), true),
		one("directory permitted, other case", directory(0, "PLANT"), unit("plant"), true),
		one("directory not permitted", directory(0, "Plant"), unit("Other"), false),
		one("directory excluded, other case", directory(1, "PLANT"), unit("plant"), false),
		one("directory not excluded", directory(1, "Plant"), unit("Other"), true),
	}
}

// flip changes one byte of the content (counted from the end where negative) or
// of the signature.
func flip(at int, inContent bool) func(content, sig []byte) ([]byte, []byte) {
	return func(content, sig []byte) ([]byte, []byte) {
		target := sig
		if inContent {
			target = content
		}
		if at < 0 {
			at += len(target)
		}
		target[at] ^= 1
		return content, sig
	}
}

// spoilValue changes the signature value, the last bytes of what openssl writes.
func spoilValue(content, sig []byte) ([]byte, []byte) {
	der := derOf(sig)
	der[len(der)-1] ^= 1
	return content, pemCMS(der)
}
