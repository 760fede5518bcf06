package cms_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

var stamped = []byte("-----BEGIN CMS-----\nthe signature that is stamped\n")

const authority = `[t]
dir = .
serial = DIR/serial
default_policy = 1.2.3.4.1
digests = sha1, sha256, sha384, sha512
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ordering = yes
tsa_name = yes
ess_cert_id_chain = CHAIN
ess_cert_id_alg = ESS
signer_digest = DIGEST
`

// stamping says how openssl makes a timestamp.
type stamping struct {
	by, hash, ess, digest string // tsa, sha256, sha256, sha256
	chain                 bool   // the chain is named as well
	noCerts               bool
	policy                string
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (s stamping) make(t testing.TB, data []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	chain := "no"
	if s.chain {
		chain = "yes"
	}
	config := strings.NewReplacer("DIR", dir, "CHAIN", chain, "ESS", or(s.ess, "sha256"), "DIGEST", or(s.digest, "sha256")).Replace(authority)
	for name, text := range map[string]string{"serial": "01", "conf": config, "data": string(data)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	query := []string{"ts", "-query", "-data", at("data"), "-" + or(s.hash, "sha256"), "-out", at("tsq")}
	if !s.noCerts {
		query = append(query, "-cert")
	}
	if s.policy != "" {
		query = append(query, "-tspolicy", s.policy)
	}
	openssl(t, query...)
	by := or(s.by, "tsa")
	openssl(t, "ts", "-reply", "-config", at("conf"), "-section", "t", "-queryfile", at("tsq"),
		"-signer", by+".pem", "-inkey", by+".key", "-chain", "ca.pem", "-out", at("tsr"))
	tsr, err := os.ReadFile(at("tsr"))
	if err != nil {
		t.Fatal(err)
	}
	return tsr
}

func opensslStamp(t testing.TB, tsr, data []byte) error {
	t.Helper()
	_, err := tryOpenssl(t, "ts", "-verify", "-data", file(t, data), "-in", file(t, tsr), "-CAfile", "ca.pem")
	return err
}

func verifyStamp(tsr, data []byte) (*cms.Timestamp, error) {
	stamp, err := cms.ParseTimestamp(tsr)
	if err != nil {
		return nil, err
	}
	return stamp, stamp.Verify(data)
}

func TestTimestampsOfOpenssl(t *testing.T) {
	for name, c := range map[string]struct {
		s    stamping
		rule cms.Rule
	}{
		"RSA":                         {stamping{}, ""},
		"ECDSA":                       {stamping{by: "tsaec", digest: "sha384"}, ""},
		"SHA-512":                     {stamping{hash: "sha512", digest: "sha512", ess: "sha512"}, ""},
		"the first form of the names": {stamping{ess: "sha1"}, ""},
		"the chain named too":         {stamping{chain: true}, ""},
		"imprint by SHA-1":            {stamping{hash: "sha1"}, cms.RuleDigestWeak},
		"signed by SHA-1":             {stamping{digest: "sha1"}, cms.RuleDigestWeak},
		"no certificates":             {stamping{noCerts: true}, cms.RuleSigner},
		"refused by the authority":    {stamping{policy: "1.2.3.4.9"}, cms.RuleStatus},
	} {
		t.Run(name, func(t *testing.T) {
			tsr := c.s.make(t, stamped)
			stamp, err := verifyStamp(tsr, stamped)
			wantRule(t, err, c.rule)
			if err != nil {
				return
			}
			if err := opensslStamp(t, tsr, stamped); err != nil {
				t.Errorf("openssl refuses what is accepted here: %v", err)
			}
			if time.Since(stamp.Time).Abs() > time.Hour || stamp.Time.Location() != time.UTC {
				t.Errorf("time %v", stamp.Time)
			}
			if len(stamp.Certificates) != 2 || stamp.Certificate == nil || stamp.Certificate.IsCA || stamp.Serial.Sign() == 0 || stamp.Policy.String() != "1.2.3.4.1" {
				t.Errorf("certificates %d, signer %v, serial %v, policy %v", len(stamp.Certificates), stamp.Certificate, stamp.Serial, stamp.Policy)
			}
			wantRule(t, stamp.Verify(append(slices.Clone(stamped), ' ')), cms.RuleImprint)
		})
	}
}

func TestTimestampTrailingData(t *testing.T) {
	tsr := stamping{}.make(t, stamped)
	_, err := cms.ParseTimestamp(append(slices.Clone(tsr), 0))
	wantRule(t, err, cms.RuleTrailingData)
	_, err = cms.ParseTimestamp(make([]byte, 300_000))
	wantRule(t, err, cms.RuleTooLarge)
	_, err = cms.ParseTimestamp(encodePEM("TS", tsr))
	wantRule(t, err, cms.RuleNotCMS)
	root, _ := decode(tsr)
	root.every(nil, func(path []int, n *node) {
		if n.tag&0x20 == 0 {
			return
		}
		tree, _ := decode(tsr)
		at := tree.at(path...)
		at.parts = append(at.parts, zero())
		if _, err := verifyStamp(tree.encode(), stamped); err == nil {
			t.Errorf("an element more in %v passes", path)
		}
	})
}

// Every byte of a timestamp, with the certificate held against its authority.
// What may change: a certificate beside, which proves nothing by being there
// (the caller's roots are its own), and the status from granted to granted with
// changes.
func TestEveryFlipOfATimestampIsRefused(t *testing.T) {
	ca := members(t).ca.cert
	tsr := stamping{}.make(t, stamped)
	beside := extent(tsr, ca.Raw)
	const status = 8
	for i := range tsr {
		for _, mask := range masks(i) {
			bad := slices.Clone(tsr)
			bad[i] ^= mask
			stamp, err := verifyStamp(bad, stamped)
			if err != nil || stamp.Certificate.CheckSignatureFrom(ca) != nil || beside(i) || i == status && bad[i] == 1 {
				continue
			}
			t.Errorf("byte %d changed (%#x to %#x) and accepted; openssl says %v", i, tsr[i], bad[i], opensslStamp(t, bad, stamped))
		}
	}
}

func extent(whole, part []byte) func(int) bool {
	at := bytes.Index(whole, part)
	return func(i int) bool { return at >= 0 && i >= at && i < at+len(part) }
}

func TestTimestampsAgreeWithOpenssl(t *testing.T) {
	enough := mutations()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	ca := members(t).ca.cert
	for _, s := range []stamping{{}, {ess: "sha1", hash: "sha512"}} {
		tsr := s.make(t, stamped)
		accepted := 0
		for n := 0; n < 200*enough && accepted < enough; n++ {
			bad := flips(r, tsr)
			stamp, err := verifyStamp(bad, stamped)
			if err != nil || stamp.Certificate.CheckSignatureFrom(ca) != nil {
				continue
			}
			accepted++
			if err := opensslStamp(t, bad, stamped); err != nil {
				t.Errorf("accepted here, refused by openssl: %v\n%x", err, bad)
			}
		}
		t.Logf("openssl agrees with %d mutations accepted", accepted)
	}
}

// token lets openssl sign a hand-built TSTInfo as CMS, by anybody, and wraps it
// as a granted response.
func token(t testing.TB, info []byte, args ...string) []byte {
	t.Helper()
	all := []string{"cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-econtent_type", oidTST.String(), "-in", file(t, info)}
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "by="); ok {
			all = append(all, "-signer", name+".pem", "-inkey", name+".key")
			continue
		}
		all = append(all, a)
	}
	return tlv(0x30, tlv(0x30, mustMarshal(0)), openssl(t, all...))
}

func tstInfo(version int, at string, rest ...[]byte) []byte {
	parts := [][]byte{mustMarshal(version), mustMarshal(oidUnknown), tlv(0x30, alg(oidSHA256), tlv(0x04, sum256(stamped))), mustMarshal(77), tlv(0x18, []byte(at))}
	return tlv(0x30, append(parts, rest...)...)
}

func TestTimestampsByHand(t *testing.T) {
	const noon = "20261101120000Z"
	plain := tstInfo(1, noon)
	p := members(t)
	everything := func(name []byte) []byte {
		return tstInfo(1, noon, tlv(0x30, mustMarshal(1), tlv(0x80, []byte{5})), tlv(0x01, []byte{0xff}), mustMarshal(12345), tlv(0xa0, name), tlv(0xa1, tlv(0x30, mustMarshal(oidUnknown), tlv(0x04, nullDER))))
	}
	ext := func(critical byte) []byte {
		return tlv(0xa1, tlv(0x30, mustMarshal(oidUnknown), tlv(0x01, []byte{critical}), tlv(0x04, nullDER)))
	}
	for name, c := range map[string]struct {
		info []byte
		args string
		rule cms.Rule
	}{
		"good":                  {plain, "by=tsa -cades", ""},
		"good, ECDSA":           {plain, "by=tsaec -cades", ""},
		"with a fraction":       {tstInfo(1, "20261101120000.25Z"), "by=tsa -cades", ""},
		"with everything":       {everything(tlv(0xa4, p.tsa.cert.RawSubject)), "by=tsa -cades", ""},
		"an alternative name":   {everything(tlv(0x82, []byte("tsa.example"))), "by=tsa -cades", ""},
		"the name of another":   {everything(tlv(0xa4, p.ca.cert.RawSubject)), "by=tsa -cades", cms.RuleTimestamp},
		"another alternative":   {everything(tlv(0x82, []byte("tsb.example"))), "by=tsa -cades", cms.RuleTimestamp},
		"a critical extension":  {tstInfo(1, noon, ext(0xff)), "by=tsa -cades", cms.RuleTimestamp},
		"version 2":             {tstInfo(2, noon), "by=tsa -cades", cms.RuleTimestamp},
		"a local time":          {tstInfo(1, "20261101120000+0100"), "by=tsa -cades", cms.RuleTimestamp},
		"no time":               {tstInfo(1, "noon"), "by=tsa -cades", cms.RuleTimestamp},
		"something left over":   {append(slices.Clone(plain), 0), "by=tsa -cades", cms.RuleTimestamp},
		"not a timestamp":       {nullDER, "by=tsa -cades", cms.RuleTimestamp},
		"authority not named":   {plain, "by=tsa", cms.RuleAttributes},
		"no signed attributes":  {plain, "by=tsa -noattr", cms.RuleAttributes},
		"usage not critical":    {plain, "by=tsasoft -cades", cms.RuleUsage},
		"usage not alone":       {plain, "by=tsatwo -cades", cms.RuleUsage},
		"no usage":              {plain, "by=tsanone -cades", cms.RuleUsage},
		"by a package's signer": {plain, "by=rsa -cades", cms.RuleUsage},
		"key usage too wide":    {plain, "by=tsacrypt -cades", cms.RuleUsage},
		"two signers":           {plain, "by=tsa by=tsaec -cades", cms.RuleTimestamp},
		"weak key":              {plain, "by=weak -cades", cms.RuleKeyWeak},
		"weak digest":           {plain, "by=tsa -cades -md sha1", cms.RuleDigestWeak},
	} {
		t.Run(name, func(t *testing.T) {
			tsr := token(t, c.info, strings.Fields(c.args)...)
			stamp, err := verifyStamp(tsr, stamped)
			wantRule(t, err, c.rule)
			if err != nil {
				return
			}
			if got := stamp.Time.Truncate(time.Second).Format("20060102150405Z"); got != noon {
				t.Errorf("time %s", got)
			}
			if err := opensslStamp(t, tsr, stamped); err != nil {
				t.Errorf("openssl refuses what is accepted here: %v", err)
			}
		})
	}
}

// The signature of a package is no timestamp, and the other way round.
func TestKindsAreNotMixed(t *testing.T) {
	p := members(t)
	wrap := func(blob []byte) []byte { return tlv(0x30, tlv(0x30, mustMarshal(0)), blob) }
	_, err := cms.ParseTimestamp(wrap(form{by: p.tsa}.build(t)))
	wantRule(t, err, cms.RuleTimestamp)
	_, err = cms.ParseTimestamp(wrap(form{by: p.tsa, version: 3, kind: oidTST}.build(t)))
	wantRule(t, err, cms.RuleTimestamp)
	tree, _ := decode(stamping{}.make(t, stamped))
	_, err = verify(tree.at(1).encode(), stamped)
	wantRule(t, err, cms.RuleDetached)
}

// A signed name of another certificate shows that the one in the blob was put
// in the place of the signer's: the same key, certified once more.
func TestCertificateExchanged(t *testing.T) {
	p := members(t)
	twin := p.twin(t, p.tsa)
	for _, ess := range []string{"sha1", "sha256"} {
		tsr := stamping{ess: ess}.make(t, stamped)
		tree, _ := decode(tsr)
		certs := tree.at(1, 1, 0, 3)
		for i, c := range certs.parts {
			if bytes.Equal(c.encode(), p.tsa.cert.Raw) {
				certs.parts[i], _ = decode(twin.Raw)
			}
		}
		bad := tree.encode()
		_, err := verifyStamp(bad, stamped)
		wantRule(t, err, cms.RuleAttributes)
		if opensslStamp(t, bad, stamped) == nil {
			t.Error("openssl takes another certificate")
		}
	}
}

// twin certifies the key of an identity once more, under the same name and number.
func (p *party) twin(t *testing.T, id identity) *x509.Certificate {
	t.Helper()
	m := &maker{ca: &p.ca}
	c := &x509.Certificate{SerialNumber: id.cert.SerialNumber, Subject: id.cert.Subject, NotBefore: time.Now(), NotAfter: time.Now().Add(9 * time.Hour)}
	for _, e := range id.cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) || e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15}) {
			c.ExtraExtensions = append(c.ExtraExtensions, e)
		}
	}
	cert, err := m.issue(c, id.key.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
