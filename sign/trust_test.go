package sign

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// site is a root, a developer and a package.
type site struct {
	root, leaf *paper
	inner, sig []byte
	bundle     []byte
	dir        string // of roots
}

func newSite(t testing.TB) *site {
	s := &site{root: issue(t, caOf("Root"), nil, nil), inner: zipOf(t, content)}
	s.leaf = issue(t, leafOf("Dev"), s.root, nil)
	s.sig = signature(t, s.inner, s.leaf)
	s.bundle = bundleWith(t, s.inner, s.sig)
	s.dir = rootsOf(t, s.root)
	return s
}

func TestVerdict(t *testing.T) {
	s := newSite(t)
	trust := quiet(t, TrustOptions{Roots: s.dir})
	p, v, err := trust.Open(writeFile(t, "bundle.zip", s.bundle), DefaultLimits(), atNow)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Form != Bundle || !p.Signed || p.Digest != digestOf(s.inner) || v.Digest != p.Digest {
		t.Errorf("package %+v", p)
	}
	for name, want := range content {
		if got, err := fs.ReadFile(p.FS, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if len(v.Chain) != 2 || v.Vendor || !v.StampedAt.IsZero() || !v.Expires.Equal(s.leaf.NotAfter) {
		t.Errorf("verdict %+v", v)
	}
	who := v.Signer()
	if who.Subject != "CN=Dev,OU=network" || who.Issuer != "CN=Root,O=Plant" || who.Serial != s.leaf.SerialNumber.Text(16) ||
		who.Fingerprint != fingerprint(s.leaf.Certificate) || !slices.Equal(who.Units, []string{"network"}) {
		t.Errorf("signer %+v", who)
	}
	if roots := trust.Roots(); len(roots) != 1 || roots[0].Fingerprint != v.Chain[1].Fingerprint {
		t.Errorf("roots %+v", roots)
	}
}

func TestOpenTrusted(t *testing.T) {
	s := newSite(t)
	trust := quiet(t, TrustOptions{Roots: s.dir})
	beside := func(sig []byte) string {
		path := writeFile(t, "extension.zip", s.inner)
		if sig != nil {
			put(t, path+".sig", sig)
		}
		return path
	}
	folderBeside := beside(nil)
	if err := os.Mkdir(folderBeside+".sig", 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := issue(t, leafOf("Stranger"), issue(t, caOf("Strange"), nil, nil), nil)
	slip := with(t, named("../x")...)
	small := DefaultLimits()
	small.PackageBytes = 100
	for _, c := range []struct {
		name, path string
		limits     Limits
		want       Rule
	}{
		{name: "bundle", path: writeFile(t, "b.zip", s.bundle)},
		{name: "zip with signature beside", path: beside(s.sig)},
		{name: "DER", path: beside(derOf(s.sig))},
		{name: "label PKCS7", path: beside(bytes.ReplaceAll(s.sig, []byte("CMS"), []byte("PKCS7")))},
		{name: "zip alone", path: beside(nil), want: RuleUnsigned},
		{name: "empty signature", path: beside([]byte{}), want: RuleUnsigned},
		{name: "signature is a folder", path: folderBeside, want: RulePackage},
		{name: "large signature", path: beside(make([]byte, signatureMost+1)), want: RulePackage},
		{name: "bundle without signature", path: writeFile(t, "b.zip", bundleOf(t, map[string]string{innerName: string(s.inner)})), want: RuleUnsigned},
		{name: "folder", path: folderOf(t, content), want: RuleUnsigned},
		{name: "stranger", path: beside(signature(t, s.inner, stranger)), want: RuleWrongRoot},
		{name: "rubbish for a signature", path: beside([]byte("rubbish")), want: "not_cms"},
		{name: "something behind the signature", path: beside(append(bytes.Clone(s.sig), "x"...)), want: "trailing_data"},
		{name: "no zip", path: writeFile(t, "b.zip", []byte("rubbish")), want: RulePackage},
		{name: "large", path: writeFile(t, "b.zip", s.bundle), limits: small, want: RulePackage},
		{name: "signed, yet not sound", path: writeFile(t, "b.zip", bundleWith(t, slip, signature(t, slip, s.leaf))), want: RuleZipName},
		{name: "neither sound nor signed by one known", path: writeFile(t, "b.zip", bundleWith(t, slip, signature(t, slip, stranger))), want: RuleWrongRoot},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.limits == (Limits{}) {
				c.limits = DefaultLimits()
			}
			p, v, err := trust.Open(c.path, c.limits, atNow)
			r := wantRule(t, err, c.want)
			if (p == nil) != (c.want != "") || (v == nil) != (c.want != "") {
				t.Errorf("package %v, verdict %v", p, v)
			}
			if r.Rule != "" && !strings.Contains(r.Text, c.path) {
				t.Errorf("%q does not name the package", r.Text)
			}
			if c.limits.PackageBytes < 1000 {
				_, _, err = trust.OpenBytes("b", s.bundle, c.limits, atNow)
				wantRule(t, err, RulePackage)
			}
		})
	}
	if _, _, err := trust.Open(filepath.Join(s.dir, "missing"), DefaultLimits(), atNow); err == nil {
		t.Error("a missing file opened")
	}
}

// Where the clock is not trusted its time is a floor: what ended before it has
// ended, what begins after it may have begun.
func TestMoments(t *testing.T) {
	root := issue(t, caOf("Root", begins(-5*oneDay), ends(50*oneDay)), nil, nil)
	leaf := issue(t, leafOf("Dev", begins(0), ends(10*oneDay)), root, nil)
	never := issue(t, leafOf("Never", begins(60*oneDay), ends(70*oneDay)), root, nil)
	trust := quiet(t, TrustOptions{Roots: rootsOf(t, root)})
	inner := zipOf(t, content)
	for _, c := range []struct {
		name    string
		by      *paper
		at      time.Duration
		trusted bool
		want    Rule
	}{
		{"within", leaf, oneDay, true, ""},
		{"within, floor", leaf, oneDay, false, ""},
		{"before", leaf, -oneDay, true, RuleNotYetValid},
		{"before, floor", leaf, -oneDay, false, ""},
		{"long before the root, floor", leaf, -20000 * oneDay, false, ""},
		{"after", leaf, 11 * oneDay, true, RuleExpired},
		{"after, floor", leaf, 11 * oneDay, false, RuleExpired},
		{"after the root, floor", leaf, 51 * oneDay, false, RuleRootExpired},
		{"leaf begins when the root has ended", never, 60 * oneDay, true, RuleRootExpired},
		{"leaf begins when the root has ended, floor", never, 0, false, RuleChain},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := trust.OpenBytes("b", bundleWith(t, inner, signature(t, inner, c.by)), DefaultLimits(), Moment{now.Add(c.at), c.trusted})
			wantRule(t, err, c.want)
		})
	}
}

func TestCategories(t *testing.T) {
	s := newSite(t)
	print := func(p *paper) string { return fingerprint(p.Certificate) }
	spelled := strings.ToUpper(print(s.root)[:2]) + ":" + print(s.root)[2:]
	names := func(v *Verdict) (out []string) {
		for _, c := range v.Categories {
			out = append(out, c.Name)
		}
		return out
	}
	for _, c := range []struct {
		name       string
		categories []Category
		want       []string
	}{
		{"none", nil, nil},
		{"by unit, named as the category", []Category{{Name: "network"}, {Name: "power"}}, []string{"network"}},
		{"by unit", []Category{{Name: "a", Units: []string{"x", "network"}}, {Name: "b", Units: []string{"x"}}}, []string{"a"}},
		{"by root", []Category{{Name: "a", Certificates: []string{spelled}}}, []string{"a"}},
		{"by leaf", []Category{{Name: "a", Certificates: []string{print(s.leaf)}}}, []string{"a"}},
		{"several", []Category{{Name: "a", Certificates: []string{print(s.leaf)}}, {Name: "network"}}, []string{"a", "network"}},
		{"unit of another name only", []Category{{Name: "network", Units: []string{"x"}}}, nil},
		{"unit of the root", []Category{{Name: "Plant"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := TrustOptions{Roots: s.dir, Categories: c.categories}
			_, v, err := quiet(t, options).OpenBytes("b", s.bundle, DefaultLimits(), atNow)
			wantRule(t, err, "")
			if v == nil || !slices.Equal(names(v), c.want) {
				t.Errorf("verdict %+v", v)
			}
			options.RequireCategory = true
			_, _, err = quiet(t, options).OpenBytes("b", s.bundle, DefaultLimits(), atNow)
			if c.want == nil {
				r := wantRule(t, err, RuleCategory)
				if !strings.Contains(r.Mend, print(s.root)) {
					t.Errorf("%q does not name the root", r.Mend)
				}
			} else {
				wantRule(t, err, "")
			}
		})
	}
	if _, _, err := LoadTrust(TrustOptions{Categories: []Category{{Name: "a", Certificates: []string{"12"}}}}); err == nil {
		t.Error("a fingerprint of two digits was taken")
	}
}

// Every signer must be trusted, and each binds the package.
func TestCategoriesOfTwoSigners(t *testing.T) {
	s := newSite(t)
	second := issue(t, leafOf("Second", func(c *certificate) { c.Subject.OrganizationalUnit = []string{"power"} }, ends(oneDay)), s.root, nil)
	bundle := bundleWith(t, s.inner, opensslSigns(t, s.inner, []*paper{s.leaf, second}, nil))
	trust := quiet(t, TrustOptions{Roots: s.dir, Categories: []Category{{Name: "network"}, {Name: "power"}}})
	_, v, err := trust.OpenBytes("b", bundle, DefaultLimits(), atNow)
	wantRule(t, err, "")
	if v == nil || len(v.Categories) != 2 || !v.Expires.Equal(second.NotAfter) {
		t.Errorf("verdict %+v", v)
	}
}

func TestFolderOfRoots(t *testing.T) {
	s := newSite(t)
	middle := issue(t, caOf("Middle"), s.root, nil)
	notRoot := issue(t, caOf("Loose"), issue(t, caOf("Absent"), nil, nil), nil)
	text := append([]byte("some words\n"), pemOf(s.root)...)
	for _, c := range []struct {
		name     string
		files    map[string][]byte
		fifo     bool
		roots    int
		warnings []string
	}{
		{name: "one", files: map[string][]byte{"a.pem": text}, roots: 1},
		{name: "DER", files: map[string][]byte{"a.cer": s.root.Raw}, roots: 1},
		{name: "several in a file", files: map[string][]byte{"a.crt": pemOf(s.root, middle, issue(t, caOf("B"), nil, nil))}, roots: 2},
		{name: "twice", files: map[string][]byte{"a.pem": text, "B.PEM": text}, roots: 1},
		{name: "other files", files: map[string][]byte{"a.pem": text, "README": []byte("x"), ".b.pem": []byte("x"), "c.key": []byte("x")}, roots: 1},
		{name: "empty file", files: map[string][]byte{"a.pem": text, "b.pem": nil}, roots: 1, warnings: []string{"b.pem: it holds no certificate"}},
		{name: "damaged PEM", files: map[string][]byte{"a.pem": text, "b.pem": append(bytes.Replace(pemOf(s.root), []byte("MII"), []byte("M=I"), 1), pemOf(middle)...)}, roots: 1, warnings: []string{"1 of 2 PEM blocks"}},
		{name: "damaged DER", files: map[string][]byte{"a.pem": text, "b.cer": s.root.Raw[:50]}, roots: 1, warnings: []string{"b.cer: the certificate cannot be read"}},
		{name: "bad certificate in PEM", files: map[string][]byte{"a.pem": append(pemOf(&paper{Certificate: &certificate{Raw: []byte("x")}}), text...)}, roots: 1, warnings: []string{"certificate 1 cannot be read"}},
		{name: "leaf", files: map[string][]byte{"a.pem": pemOf(s.root, s.leaf)}, roots: 1, warnings: []string{`"CN=Dev,OU=network" is no CA`}},
		{name: "private key", files: map[string][]byte{"a.pem": append(pemOf(s.root), keyPEM(t, s.root)...)}, roots: 1, warnings: []string{"holds a private key"}},
		{name: "loose intermediate", files: map[string][]byte{"a.pem": pemOf(s.root, notRoot)}, roots: 1, warnings: []string{`its issuer "CN=Absent,O=Plant" is missing`}},
		{name: "too large", files: map[string][]byte{"a.pem": text, "b.pem": make([]byte, maxRootBytes+1)}, roots: 1, warnings: []string{"b.pem is larger than"}},
		{name: "fifo", files: map[string][]byte{"a.pem": text}, fifo: true, roots: 1, warnings: []string{"links and special files"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range c.files {
				put(t, filepath.Join(dir, name), data)
			}
			if c.fifo {
				if err := syscall.Mkfifo(filepath.Join(dir, "f.pem"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			trust, warnings := load(t, TrustOptions{Roots: dir})
			if len(trust.Roots()) != c.roots || len(warnings) != len(c.warnings) {
				t.Errorf("%d roots, warnings %q", len(trust.Roots()), warnings)
			}
			for i, want := range c.warnings {
				if i < len(warnings) && !strings.Contains(warnings[i], want) {
					t.Errorf("warning %q, want %q", warnings[i], want)
				}
			}
			_, _, err := trust.OpenBytes("b", s.bundle, DefaultLimits(), atNow)
			wantRule(t, err, "")
		})
	}
}

// An intermediate of the folder leads to its root, as with openssl.
func TestIntermediateInTheFolder(t *testing.T) {
	s := newSite(t)
	middle := issue(t, caOf("Middle"), s.root, nil)
	leaf := issue(t, leafOf("Dev"), middle, nil)
	put(t, filepath.Join(s.dir, "middle.pem"), pemOf(middle))
	_, v, err := quiet(t, TrustOptions{Roots: s.dir}).OpenBytes("b", bundleWith(t, s.inner, signature(t, s.inner, leaf)), DefaultLimits(), atNow)
	wantRule(t, err, "")
	if v == nil || len(v.Chain) != 3 {
		t.Errorf("verdict %+v", v)
	}
}

func TestTrustOfNothing(t *testing.T) {
	s := newSite(t)
	trust := quiet(t, TrustOptions{Roots: filepath.Join(t.TempDir(), "missing")})
	_, _, err := trust.OpenBytes("b", s.bundle, DefaultLimits(), atNow)
	wantRule(t, err, RuleWrongRoot)
	if _, _, err := LoadTrust(TrustOptions{Roots: writeFile(t, "file", nil)}); err == nil {
		t.Error("a file passed for a folder")
	}
}

func TestChanged(t *testing.T) {
	s := newSite(t)
	options := TrustOptions{Roots: s.dir, VendorRoots: t.TempDir(), TimestampRoots: filepath.Join(t.TempDir(), "later")}
	trust := quiet(t, options)
	print := trust.Fingerprint()
	extra := issue(t, caOf("Extra"), nil, nil)
	target := writeFile(t, "target", pemOf(extra))
	for _, step := range []struct {
		name   string
		do     func() error
		counts bool
	}{
		{"nothing", func() error { return nil }, false},
		{"a file that does not matter", func() error { return os.WriteFile(filepath.Join(s.dir, "README"), nil, 0o600) }, false},
		{"a new root", func() error { return os.WriteFile(filepath.Join(s.dir, "b.pem"), pemOf(extra), 0o600) }, true},
		{"another of the same size", func() error {
			return os.WriteFile(filepath.Join(s.dir, "b.pem"), bytes.Replace(pemOf(extra), []byte("M"), []byte("N"), 1), 0o600)
		}, true},
		{"it goes", func() error { return os.Remove(filepath.Join(s.dir, "b.pem")) }, true},
		{"a CRL", func() error { return os.WriteFile(filepath.Join(s.dir, "b.crl"), nil, 0o600) }, true},
		{"a deny list", func() error { return os.WriteFile(filepath.Join(s.dir, "deny-1.json"), nil, 0o600) }, true},
		{"its signature", func() error { return os.WriteFile(filepath.Join(s.dir, "deny-1.json.sig"), nil, 0o600) }, true},
		{"a vendor's root by a link", func() error { return os.Symlink(target, filepath.Join(options.VendorRoots, "v.pem")) }, true},
		{"where the link leads", func() error { return os.WriteFile(target, pemOf(extra, s.root), 0o600) }, true},
		{"a folder that was missing", func() error {
			if err := os.Mkdir(options.TimestampRoots, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(options.TimestampRoots, "t.pem"), pemOf(extra), 0o600)
		}, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		changed, err := trust.Changed()
		if err != nil || changed != step.counts {
			t.Errorf("%s: changed %v, %v", step.name, changed, err)
		}
		trust, _ = load(t, options)
		if next := trust.Fingerprint(); (next != print) != step.counts {
			t.Errorf("%s: fingerprint changed: %v", step.name, next != print)
		} else {
			print = next
		}
	}
}

// Not one byte of content or signature may change. Of the bundle around them
// only what is neither may, such as times.
func TestEveryByteCounts(t *testing.T) {
	s := newSite(t)
	rsaLeaf := issue(t, leafOf("RSA"), s.root, rsaKey(t, 2048))
	trust := quiet(t, TrustOptions{Roots: s.dir})
	refused := func(what string, content, sig []byte) {
		t.Helper()
		if _, _, err := trust.OpenBytes("b", bundleWith(t, content, sig), DefaultLimits(), atNow); err == nil {
			t.Errorf("trusted with %s changed", what)
		}
	}
	for i := range s.inner {
		changed := bytes.Clone(s.inner)
		changed[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("byte %d of the content", i), changed, s.sig)
	}
	for name, sig := range map[string][]byte{"ECDSA": s.sig, "RSA": signature(t, s.inner, rsaLeaf), "attributes": opensslSigns(t, s.inner, []*paper{rsaLeaf}, nil)} {
		der := derOf(sig)
		for i := range der {
			changed := bytes.Clone(der)
			changed[i] ^= 1 << (i % 8)
			refused(fmt.Sprintf("byte %d of the signature (%s)", i, name), s.inner, pemCMS(changed))
		}
	}
	for i := range s.bundle {
		changed := bytes.Clone(s.bundle)
		changed[i] ^= 1 << (i % 8)
		p, _, err := trust.OpenBytes("b", changed, DefaultLimits(), atNow)
		if err == nil && p.Digest != digestOf(s.inner) {
			t.Errorf("other content with byte %d of the bundle changed", i)
		}
	}
}
