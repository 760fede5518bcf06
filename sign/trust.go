package sign

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/sign/cms"
)

// TrustOptions say whom a site trusts. A folder without a name, or one that is
// missing, is empty.
type TrustOptions struct {
	Roots           string // *.pem, *.crt, *.cer: CAs; *.crl; deny*.json with deny*.json.sig
	VendorRoots     string // CAs whose packages may prove by a timestamp that they were valid when signed; CRLs
	TimestampRoots  string // CAs of the authorities that make such timestamps; CRLs
	State           string // folder that remembers deny lists and CRLs; "": none are remembered
	Categories      []Category
	RequireCategory bool // a package that no category binds is refused
}

// Trust judges packages by what was in its folders when it was loaded. It may be
// used by several goroutines.
type Trust struct {
	options              TrustOptions
	site, vendor, stamps *rootFolder
	crls                 []*crl // of all three folders
	denials              []*denial
	warnings             []string
}

// maxAhead is how far the clock of a timestamp authority may be ahead of ours.
const maxAhead = 5 * time.Minute

// LoadTrust reads the folders. Files that cannot be used are warnings and never
// stop the others; the error is of a folder that cannot be listed, or of a
// category.
func LoadTrust(options TrustOptions) (*Trust, []string, error) {
	t := &Trust{options: options}
	if err := t.plainCategories(); err != nil {
		return nil, nil, err
	}
	var err [3]error
	t.site, err[0] = readRoots(options.Roots)
	t.vendor, err[1] = readRoots(options.VendorRoots)
	t.stamps, err[2] = readRoots(options.TimestampRoots)
	if err := errors.Join(err[:]...); err != nil {
		return nil, nil, err
	}
	for _, folder := range []*rootFolder{t.site, t.vendor, t.stamps} {
		t.crls = append(t.crls, folder.crls...)
		t.warnings = append(t.warnings, folder.warnings...)
		for _, d := range folder.denials {
			if folder != t.site {
				t.warn("deny list %s is ignored; put it into the folder trust.roots", d.file)
			}
		}
	}
	t.loadCRLs()
	t.loadDenials()
	return t, t.warnings, nil
}

func (t *Trust) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// plainCategories brings fingerprints to one form.
func (t *Trust) plainCategories() error {
	t.options.Categories = slices.Clone(t.options.Categories)
	for i := range t.options.Categories {
		c := &t.options.Categories[i]
		c.Certificates = slices.Clone(c.Certificates)
		for j, f := range c.Certificates {
			if !isFingerprint(f) {
				return fmt.Errorf("category %s: certificates[%d]: %q is no fingerprint; give the SHA-256 of the certificate in hex", c.Name, j, f)
			}
			c.Certificates[j] = plainHex(f)
		}
	}
	return nil
}

// Roots are those that packages may lead to, the site's own first.
func (t *Trust) Roots() []Certificate {
	var out []Certificate
	for _, c := range slices.Concat(t.site.roots, t.vendor.roots) {
		out = append(out, Describe(c))
	}
	return out
}

// Warnings are those that depend on the moment: CRLs that have run out.
func (t *Trust) Warnings(at Moment) []string {
	var out []string
	for _, l := range t.crls {
		if text := l.stale(at.Time); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// Fingerprint stands for all files that were loaded: it changes when one of them
// does.
func (t *Trust) Fingerprint() string {
	sum := sha256.New()
	for _, f := range []*rootFolder{t.site, t.vendor, t.stamps} {
		sum.Write(f.sum[:])
	}
	for _, d := range t.denials {
		list := sha256.Sum256(d.List)
		sum.Write(list[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Changed says whether files were added, removed or written since. It looks at
// sizes and times only.
func (t *Trust) Changed() (bool, error) {
	for _, f := range []*rootFolder{t.site, t.vendor, t.stamps} {
		now, err := listRoots(f.path)
		if err != nil {
			return false, err
		}
		if !slices.Equal(now, f.files) {
			return true, nil
		}
	}
	return false, nil
}

// Open reads the package at path and judges it: a bundle, or an extension.zip
// with its signature in a file of the same name and .sig at the end. Content is
// given only of what is trusted, and of the very bytes that were verified. The
// error is a *Refusal, or one of reading the file.
func (t *Trust) Open(path string, limits Limits, at Moment) (*Package, *Verdict, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open package: %w; give the path of a bundle.zip", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, about(path, refuse(RuleUnsigned, "it is no file, so it carries no signature",
			"build and sign it with `edgehold ext build` and `edgehold ext sign`"))
	}
	data, err := ReadRegular(path, limits.PackageBytes)
	if err != nil {
		return nil, nil, about(path, err)
	}
	return t.openParts(path, data, limits, at)
}

// OpenBytes is Open for a bundle in memory. The name is for messages.
func (t *Trust) OpenBytes(name string, bundle []byte, limits Limits, at Moment) (*Package, *Verdict, error) {
	if int64(len(bundle)) > limits.PackageBytes {
		return nil, nil, about(name, fmt.Errorf("larger than %d bytes, the most a package may have", limits.PackageBytes))
	}
	p, err := readParts(bundle, limits)
	if err != nil {
		return nil, nil, about(name, err)
	}
	return t.openJudged(name, p, limits, at)
}

func (t *Trust) openParts(path string, data []byte, limits Limits, at Moment) (*Package, *Verdict, error) {
	p, err := readParts(data, limits)
	if err != nil {
		return nil, nil, about(path, err)
	}
	if p.form == Zip {
		if p.signature, err = beside(path + ".sig"); err == nil {
			p.timestamp, err = beside(path + ".sig.tsr")
		}
		if err != nil {
			return nil, nil, about(path, err)
		}
	}
	return t.openJudged(path, p, limits, at)
}

// beside reads a file that need not be there.
func beside(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", path, errSpecial)
	}
	return ReadRegular(path, signatureMost)
}

func (t *Trust) openJudged(name string, p *parts, limits Limits, at Moment) (*Package, *Verdict, error) {
	v, refused := t.judge(p, at)
	if refused != nil {
		return nil, nil, about(name, refused)
	}
	pkg, err := p.open(limits)
	if err != nil {
		return nil, nil, about(name, err)
	}
	pkg.Name, pkg.Signed = name, true
	return pkg, v, nil
}

// about makes every failure a refusal that names the package.
func about(name string, err error) *Refusal {
	out := Refusal{Rule: RulePackage}
	var inner *Refusal
	if errors.As(err, &inner) {
		out.Rule = inner.Rule
	}
	out.Text = fmt.Sprintf("package %s: %v", name, err)
	if inner != nil && inner.Mend != "" {
		out.Text, out.Mend = strings.TrimSuffix(out.Text, "; "+inner.Mend), inner.Mend
	} else if at := strings.LastIndex(out.Text, "; "); at > 0 {
		out.Text, out.Mend = out.Text[:at], out.Text[at+2:]
	} else {
		out.Mend = "get the package again from its author"
	}
	return &out
}

// judge says whether the site trusts who signed the package.
func (t *Trust) judge(p *parts, at Moment) (*Verdict, *Refusal) {
	if len(p.signature) == 0 {
		return nil, refuse(RuleUnsigned, "it has no signature", "sign it with `edgehold ext sign`, or get the bundle.zip from its author")
	}
	signature, err := cms.Parse(p.signature)
	if err != nil {
		return nil, broken(err)
	}
	signers, err := signature.Verify(p.data)
	if err != nil {
		return nil, broken(err)
	}
	chains, refused := t.chains(t.site, signers, signature, at)
	v := &Verdict{Digest: digestOf(p.data)}
	if refused != nil && (refused.Rule == RuleRevoked || refused.Rule == RuleDenied) {
		return nil, refused // whoever else stands behind the signer
	}
	if refused != nil {
		if chains, refused = t.vendorChains(signed{p, signature, signers, v}, at, refused); refused != nil {
			return nil, refused
		}
		v.Vendor = true
	}
	if err := t.Denied(v.Digest, "", ""); err != nil {
		errors.As(err, &refused)
		return nil, refused
	}
	return t.finish(v, chains)
}

// broken makes a refusal of what sign/cms found.
func broken(err error) *Refusal {
	var e *cms.Error
	if !errors.As(err, &e) {
		return refuse(RulePackage, err.Error(), mendAgain)
	}
	mend := "sign it again with `edgehold ext sign`, or ask its author to"
	if e.Rule == cms.RuleTampered {
		mend = "get the package again from its author; if it is changed there too, someone changed it after it was signed"
	}
	return refuse(Rule(e.Rule), e.Text, mend)
}

// chains finds one for each signer. All must hold.
func (t *Trust) chains(folder *rootFolder, signers []cms.Verified, signature *cms.SignedData, at Moment) (chains [][]*x509.Certificate, refused *Refusal) {
	for _, signer := range signers {
		chain, refused := folder.chain(signer.Certificate, signature.Certificates, t.search(forPackages, at))
		if refused != nil {
			return nil, refused
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

// JudgeSigner says whether packages that the certificate signs would be trusted
// here, apart from their content and their category. The error is a *Refusal.
func (t *Trust) JudgeSigner(cert *x509.Certificate, at Moment) error {
	_, refused := t.site.chain(cert, nil, t.search(forPackages, at))
	if refused != nil && refused.Rule == RuleWrongRoot {
		if _, other := t.vendor.chain(cert, nil, t.search(forPackages, at)); other == nil || other.Rule != RuleWrongRoot {
			refused = other
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

func (t *Trust) search(why purpose, at Moment) search {
	return search{why: why, at: at, revoked: func(chain []*x509.Certificate) (*Refusal, bool) {
		refused, ofSigner := checkCRLs(chain, t.crls)
		if ofSigner {
			return refused, true
		}
		if denied, ofSigner := t.checkDenied(chain); refused == nil || ofSigner {
			return denied, ofSigner
		}
		return refused, false
	}}
}

// chain searches with the roots of the folder. The certificates that come with
// the signature are not trusted; they only lead to a root.
func (f *rootFolder) chain(signer *x509.Certificate, embedded []*x509.Certificate, s search) ([]*x509.Certificate, *Refusal) {
	s.roots, s.helpers = f.roots, slices.Concat(f.helpers, embedded)
	return s.run(signer)
}

// finish names categories and the end.
func (t *Trust) finish(v *Verdict, chains [][]*x509.Certificate) (*Verdict, *Refusal) {
	for _, c := range chains[0] {
		v.Chain = append(v.Chain, Describe(c))
	}
	for _, chain := range chains {
		for _, c := range chain {
			if v.StampedAt.IsZero() && (v.Expires.IsZero() || c.NotAfter.Before(v.Expires)) {
				v.Expires = c.NotAfter
			}
		}
	}
	for _, category := range t.options.Categories {
		if slices.ContainsFunc(chains, category.binds) {
			v.Categories = append(v.Categories, category)
		}
	}
	if len(v.Categories) == 0 && t.options.RequireCategory {
		return nil, refuse(RuleCategory, fmt.Sprintf("the signer %q with the units %q belongs to no category of this site", v.Chain[0].Subject, v.Chain[0].Units),
			"name its unit, or the fingerprint of it or of its root "+v.Chain[len(v.Chain)-1].Fingerprint+", under trust.categories")
	}
	return v, nil
}

// binds says whether the category is that of the signer of a chain.
func (c *Category) binds(chain []*x509.Certificate) bool {
	units := c.Units
	if len(units) == 0 {
		units = []string{c.Name}
	}
	for _, unit := range chain[0].Subject.OrganizationalUnit {
		if slices.Contains(units, unit) {
			return true
		}
	}
	for _, one := range chain {
		if slices.Contains(c.Certificates, fingerprint(one)) {
			return true
		}
	}
	return false
}
