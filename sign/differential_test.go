package sign

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// differ counts what a differential test came across.
type differ struct {
	tried, trusted int
	runs           int // of openssl that are left
}

// hold demands that openssl trusts what is trusted here.
func (d *differ) hold(t *testing.T, rootFile string, trust *Trust, content, sig []byte) {
	t.Helper()
	d.tried++
	_, _, err := trust.OpenBytes("b", bundleWith(t, content, sig), DefaultLimits(), atNow)
	if err != nil {
		return
	}
	d.trusted++
	if d.runs == 0 {
		return
	}
	d.runs--
	if err := opensslTrusts(t, rootFile, content, sig, now); err != nil {
		t.Errorf("trusted here, while openssl refuses: %v\n%q", err, sig)
	}
}

// soak is how often the differential tests try and run openssl: a little, some
// more with EDGEHOLD_SOAK=short, or for an hour with EDGEHOLD_SOAK=1.
func soak(short, long int) int {
	switch os.Getenv("EDGEHOLD_SOAK") {
	case "":
		return short
	case "short":
		return 5 * short
	}
	return long
}

func source(t *testing.T) *rand.Rand {
	seed := uint64(1)
	switch os.Getenv("EDGEHOLD_SOAK") {
	case "":
	case "short":
		seed = 2
	default:
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Whatever is done to the bytes of good packages, nothing is trusted here that
// openssl refuses.
func TestMutationsAgainstOpenssl(t *testing.T) {
	s := newSite(t)
	rsaRoot := issue(t, caOf("RSA Root"), nil, rsaKey(t, 2048))
	rsaLeaf := issue(t, leafOf("RSA Dev"), rsaRoot, rsaKey(t, 2048))
	dir := rootsOf(t, s.root, rsaRoot)
	file := writeFile(t, "roots.pem", pemOf(s.root, rsaRoot))
	trust := quiet(t, TrustOptions{Roots: dir})
	sigs := [][]byte{
		s.sig, signature(t, s.inner, rsaLeaf),
		opensslSigns(t, s.inner, []*paper{rsaLeaf}, nil), opensslSigns(t, s.inner, []*paper{s.leaf, rsaLeaf}, []*paper{s.root}),
	}
	r := source(t)
	d := differ{runs: soak(40, 20_000)}
	for _, sig := range sigs {
		d.hold(t, file, trust, s.inner, sig)
	}
	if d.trusted != len(sigs) {
		t.Fatalf("%d of %d good signatures are trusted", d.trusted, len(sigs))
	}
	for range soak(2000, 500_000) {
		content, sig := bytes.Clone(s.inner), bytes.Clone(sigs[r.IntN(len(sigs))])
		switch r.IntN(4) {
		case 0: // the text form
			sig = mutate(r, sig)
		case 1:
			content = mutate(r, content)
		default:
			der := derOf(sig)
			for range 1 + r.IntN(3) {
				der = mutate(r, der)
			}
			sig = pemCMS(der)
		}
		d.hold(t, file, trust, content, sig)
	}
	t.Logf("%d mutations, %d trusted, %d runs left", d.tried, d.trusted, d.runs)
	if d.trusted > d.tried/4 {
		t.Errorf("%d of %d mutations are trusted: the mutations do not fit", d.trusted, d.tried)
	}
}

// mutate changes a place of data.
func mutate(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	if len(data) == 0 {
		return data
	}
	at := r.IntN(len(data))
	n := min(1+r.IntN(8), len(data)-at)
	switch r.IntN(7) {
	case 0:
		data[at] ^= 1 << r.IntN(8)
	case 1:
		data[at] = byte(r.IntN(256))
	case 2:
		return slices.Delete(data, at, at+n)
	case 3:
		return slices.Insert(data, at, bytes.Clone(data[at:at+n])...)
	case 4:
		return data[:at]
	case 5:
		return slices.Insert(data, at, "\n \r\t\x00-"[r.IntN(6)])
	case 6:
		data[at]++
	}
	return data
}

// Whatever certificates a chain is made of, nothing is trusted here that openssl
// refuses.
func TestChainsAgainstOpenssl(t *testing.T) {
	r := source(t)
	inner := zipOf(t, content)
	d := differ{runs: soak(60, 20_000)}
	for range soak(150, 50_000) {
		root := issue(t, randomly(r, caOf("Root")), nil, nil)
		by, between := root, []*paper{}
		for i := range r.IntN(3) {
			by = issue(t, randomly(r, caOf("Middle "+strconv.Itoa(i))), by, nil)
			between = append(between, by)
		}
		leaf := issue(t, randomly(r, leafOf("Dev")), by, nil)
		if r.IntN(20) == 0 { // a root of the name, with another key
			root = issue(t, caOf("Root"), nil, nil)
		}
		dir := t.TempDir()
		file := filepath.Join(dir, "root.pem")
		put(t, file, pemOf(root))
		trust, _ := load(t, TrustOptions{Roots: dir})
		d.hold(t, file, trust, inner, assembled(t, inner, leaf, between))
	}
	t.Logf("%d chains, %d trusted, %d runs left", d.tried, d.trusted, d.runs)
	if d.trusted < d.tried/10 || d.trusted > d.tried*9/10 {
		t.Errorf("%d of %d chains are trusted: the chances do not fit", d.trusted, d.tried)
	}
}

// randomly changes a template here and there.
func randomly(r *rand.Rand, c *x509.Certificate) *x509.Certificate {
	one := func(n int) bool { return r.IntN(n) == 0 }
	if one(12) {
		c.KeyUsage = x509.KeyUsage(1 + r.IntN(256))
	}
	if one(12) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsage(r.IntN(9)), x509.ExtKeyUsage(r.IntN(9))}
	}
	if one(12) {
		c.NotBefore = now.Add(time.Duration(r.IntN(100)-80) * time.Hour)
	}
	if one(12) {
		c.NotAfter = now.Add(time.Duration(r.IntN(100)-20) * time.Hour)
	}
	if c.NotAfter.Before(c.NotBefore) {
		c.NotAfter = c.NotBefore.Add(time.Hour)
	}
	if one(12) {
		c.BasicConstraintsValid, c.IsCA, c.MaxPathLen = true, one(2), -1
	} else if c.IsCA && one(4) {
		pathLength(r.IntN(3))(c)
	}
	if one(10) {
		c.DNSNames = []string{[]string{"a.example", "b.a.example", "xa.example", ".a.example", "*.a.example"}[r.IntN(5)]}
	}
	if one(10) {
		c.EmailAddresses = []string{[]string{"x@a.example", "x@b.a.example", "y@a.example", "x@A.EXAMPLE"}[r.IntN(4)]}
	}
	if one(15) {
		c.URIs = []*url.URL{{Scheme: "https", Host: []string{"a.example", "b.a.example", "a.example:8080"}[r.IntN(3)]}}
	}
	if one(15) {
		c.Subject.CommonName = []string{"a.example", "b.a.example", "Xa.example", "x y.a.example"}[r.IntN(4)]
	}
	if one(15) {
		oid := [][]int{{1, 2, 3}, {1, 3, 6, 1, 5, 5, 7, 1, 14}, {2, 16, 840, 1, 113730, 1, 1}, {2, 5, 29, 18}, {2, 5, 29, 46}, {2, 5, 29, 9}}[r.IntN(6)]
		withExtension(one(2), []any{asn1.BitString{Bytes: []byte{byte(r.IntN(256))}, BitLength: 8}, 5, []byte{}}[r.IntN(3)], oid...)(c)
	}
	if c.IsCA && one(5) {
		randomConstraints(r, c)
	}
	return c
}

func randomConstraints(r *rand.Rand, c *x509.Certificate) {
	one := func(n int) bool { return r.IntN(n) == 0 }
	hosts := []string{"a.example", ".a.example", "example", "b.a.example"}
	c.PermittedDNSDomainsCritical = one(2)
	if one(2) {
		c.PermittedDNSDomains = []string{hosts[r.IntN(4)]}
	}
	if one(4) {
		c.ExcludedDNSDomains = []string{hosts[r.IntN(4)]}
	}
	mails := []string{"a.example", ".a.example", "x@a.example"}
	if one(3) {
		c.PermittedEmailAddresses = []string{mails[r.IntN(3)]}
	}
	if one(5) {
		c.ExcludedEmailAddresses = []string{mails[r.IntN(3)]}
	}
	if one(5) {
		c.PermittedURIDomains = []string{hosts[r.IntN(4)]}
	}
	if one(5) {
		c.ExcludedURIDomains = []string{hosts[r.IntN(4)]}
	}
}

// assembled puts certificates into a signature of our own, which saves a run of
// openssl: they are one implicit set, sorted as DER has it.
func assembled(t testing.TB, content []byte, leaf *paper, between []*paper) []byte {
	t.Helper()
	der := derOf(signature(t, content, leaf))
	if len(between) == 0 {
		return pemCMS(der)
	}
	certs := [][]byte{leaf.Raw}
	for _, c := range between {
		certs = append(certs, c.Raw)
	}
	slices.SortFunc(certs, bytes.Compare)
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	var inner []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		t.Fatal(err)
	}
	rest := outer.Content.Bytes
	if _, err := asn1.Unmarshal(rest, &inner); err != nil {
		t.Fatal(err)
	}
	inner[3] = asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: bytes.Join(certs, nil)}
	data, err := asn1.Marshal(inner)
	if err != nil {
		t.Fatal(err)
	}
	data, err = asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{outer.Type, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: data}})
	if err != nil {
		t.Fatal(err)
	}
	return pemCMS(data)
}
