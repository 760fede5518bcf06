package agent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// trustFolder is where the state directory remembers deny lists.
const trustFolder = "trust"

// mostBreaches is how many breaches of limits a refusal names.
const mostBreaches = 10

// ruleFolder refuses all packages while the trust folders cannot be read.
const ruleFolder sign.Rule = "trust_folder"

// ruleSecondVersion refuses a version of an extension beside another one.
const ruleSecondVersion sign.Rule = "second_version"

// warden decides which packages run: by their signature, by the categories of
// its signer, and by what has run here before. It judges each package once.
type warden struct {
	cfg      *config.Config
	trust    *sign.Trust  // nil: no signed package runs
	store    *store.Store // nil: no installed package runs
	at       sign.Moment
	admits   bool // what runs is remembered, so that its version cannot become another
	named    bool // a person named the packages: they need no signature, and no root that is known
	anyway   bool // with named: they run whatever is wrong with their signature
	warnings []string
	mibs     *MIBShelf
	err      error // why trust is nil
	storeErr error // why store is nil, or does not remember
	known    map[string]judged
}

// wardenOptions say for whom a warden works.
type wardenOptions struct {
	at    sign.Moment
	state string // folder that may be written; "": none

	named, anyway bool
}

func newWarden(cfg *config.Config, o wardenOptions) *warden {
	w := &warden{cfg: cfg, at: o.at, admits: o.state != "", named: o.named, anyway: o.anyway, known: map[string]judged{}}
	folder := cmp.Or(o.state, cfg.StateDir)
	options := TrustOptions(cfg, folder)
	if _, err := os.Stat(options.State); err != nil && !w.admits {
		options.State = "" // a look makes no folders
	}
	w.trust, w.warnings, w.err = sign.LoadTrust(options)
	w.store, w.storeErr = store.Open(folder)
	w.mibs = NewMIBShelf(MIBShelfOptions{State: folder, Writes: w.admits, Site: cfg.MIBs})
	if w.store != nil && w.admits {
		w.store.By = "agent"
	}
	return w
}

// again is a warden of the same trust at another moment.
func (w *warden) again(at sign.Moment) *warden {
	next := *w
	next.at, next.known = at, map[string]judged{}
	if next.store != nil {
		next.storeErr = nil
	}
	return &next
}

// forget lets go of the packages, which are large.
func (w *warden) forget() {
	clear(w.known)
	w.mibs.Forget()
}

// key tells what a package was judged by.
func (w *warden) key() string {
	if w.trust == nil {
		return ""
	}
	t := w.cfg.Trust
	return w.trust.Fingerprint() + fmt.Sprint(w.at.Trusted, t.AllowUnsigned, t.RequireCategory, categories(t))
}

// TrustOptions are what packages are held against. State is the folder of the
// agent's state, where deny lists are remembered.
func TrustOptions(cfg *config.Config, state string) sign.TrustOptions {
	return sign.TrustOptions{
		State: filepath.Join(state, trustFolder),
		Roots: cfg.Trust.Roots, VendorRoots: cfg.Trust.VendorRoots, TimestampRoots: cfg.Trust.TimestampRoots,
		Categories: categories(cfg.Trust), RequireCategory: cfg.Trust.RequireCategory,
	}
}

func categories(t config.Trust) []sign.Category {
	var out []sign.Category
	for _, name := range slices.Sorted(maps.Keys(t.Categories)) {
		c := t.Categories[name]
		out = append(out, sign.Category{
			Name: name, Certificates: c.Certificates, Units: c.Units,
			Limits: sign.CategoryLimits{
				DataSources: c.DataSources, Addresses: c.Prefixes(), OIDs: c.OIDs, Hosts: c.Hosts, LocalDevices: c.LocalDevices,
			},
		})
	}
	return out
}

// judged is a package and what was found about it.
type judged struct {
	Package  string // as the configuration names it
	Name     string // "" where its content was not read
	Version  string
	Digest   string
	Verdict  *sign.Verdict // who signed it; nil: nobody who is trusted
	Unsigned bool          // it may run without a signature
	Err      error         // why it does not run
	from     config.Extension
	version  string // of an installed package, also where its content was not read
	key      string // of the warden

	manifest *extension.Manifest
	mibs     *mib.Set
	warnings []string
}

// told is what is kept of a package: its content is large.
func (j judged) told() *judged {
	j.manifest, j.mibs = nil, nil
	return &j
}

// share names whose polling slots the tasks of a package take.
func (j *judged) share() string { return cmp.Or(j.Name, j.Package) }

// refusal is why a package is not trusted, nil where it is, or where it cannot
// even be read.
func refusal(err error) *sign.Refusal {
	var r *sign.Refusal
	errors.As(err, &r)
	return r
}

// expired tells whether what was trusted no longer is.
func (j *judged) expired(at sign.Moment) bool {
	return j.Verdict != nil && !j.Verdict.Expires.IsZero() && !at.Time.Before(j.Verdict.Expires)
}

// open reads a package and judges it.
func (w *warden) open(e config.Extension) judged {
	if j, ok := w.known[e.Package]; ok {
		return j
	}
	j := w.judge(e)
	j.key, j.from = w.key(), e
	w.known[e.Package] = j
	return j
}

// pinned gives the package for a configuration that is written for a version.
// That decides where the entry leaves it open, whichever version is the active
// one.
func (w *warden) pinned(e config.Extension, active judged, version string) judged {
	if e.Name == "" || e.Version != "" || version == "" || active.version == version {
		return active
	}
	e.Package, e.Version = e.Name+"@"+version, version
	j := w.open(e)
	if j.Err == nil || !errors.Is(j.Err, store.ErrNotInstalled) {
		return j
	}
	text := "install that version with `edgehold ext install`"
	if active.version != "" {
		text += fmt.Sprintf(", or write %q there, which is the active one", active.version)
	}
	j.Err = fmt.Errorf("%s: version: found %q, which decides what runs: %w; %s", e.Configuration, version, j.Err, text)
	return j
}

func (w *warden) judge(e config.Extension) judged {
	j := judged{Package: e.Package}
	path, entry, err := w.find(e)
	if err != nil {
		j.Err = err
		return j
	}
	if entry != nil {
		j.version = entry.Version
	}
	pkg, err := w.read(&j, path, entry)
	if err != nil {
		j.Err = err
		return j
	}
	defer pkg.Close()
	j.Digest = pkg.Digest
	manifest, warnings, err := extension.ParseManifest(pkg.FS, e.Package)
	if err != nil {
		j.Err = err // it names the file within the package
		return j
	}
	j.Name, j.Version = manifest.Name, manifest.Version
	j.warnings = append(j.warnings, texts(warnings)...)
	mibs, more := w.mibs.Of(pkg.FS, pkg.Digest)
	j.mibs = mibs
	if j.Err = w.bounds(&j, manifest, entry); j.Err == nil {
		j.manifest, j.warnings = manifest, append(j.warnings, more...)
	}
	return j
}

// find gives the file of a package, and what was noted of an installed one.
func (w *warden) find(e config.Extension) (path string, entry *store.Entry, err error) {
	if e.Name == "" {
		return e.Package, nil, nil
	}
	if w.store == nil {
		return "", nil, fmt.Errorf("find installed package %s: %w", e.Package, w.storeErr)
	}
	found, path, err := w.store.Find(e.Name, e.Version)
	if errors.Is(err, store.ErrNotInstalled) {
		err = fmt.Errorf("%w; a file of this name is written with its folder, as ./%s", err, e.Package)
	}
	if err != nil {
		return "", nil, fmt.Errorf("find installed package %s: %w", e.Package, err)
	}
	return path, &found, nil
}

// read opens a package, verified where it is signed.
func (w *warden) read(j *judged, path string, entry *store.Entry) (*sign.Package, error) {
	if w.trust == nil && !w.named {
		return nil, &sign.Refusal{
			Rule: ruleFolder, Text: fmt.Sprintf("package %s: who is trusted cannot be read: %v", j.Package, w.err),
			Mend: "let the agent's user read the folders under `trust`",
		}
	}
	var err error
	if w.trust != nil {
		var pkg *sign.Package
		if pkg, j.Verdict, err = w.verified(path, entry); err == nil {
			return pkg, nil
		}
	}
	broken := refusal(err)
	if broken != nil && broken.Rule == sign.RuleUnsigned {
		broken.Mend += ", or look the package over and set `trust: {allow_unsigned: true}`"
	}
	switch {
	case w.named && (w.trust == nil || broken != nil && (w.anyway || harmless(broken.Rule))):
		return w.readNamed(j, path, errors.Join(err, w.err))
	case w.named && broken != nil:
		broken.Mend += "; --untrusted runs it all the same"
		return nil, broken
	case broken == nil || broken.Rule != sign.RuleUnsigned || !w.cfg.Trust.AllowUnsigned:
		return nil, err // it names the package
	}
	pkg, err := plain(path, entry)
	if err != nil {
		return nil, err
	}
	if pkg.Signed { // it came just now
		pkg.Close()
		return nil, broken
	}
	j.Unsigned = true
	return pkg, nil
}

// verified opens a package that is trusted. What is said of an installed one
// names it as people know it, not the file of the store.
func (w *warden) verified(path string, entry *store.Entry) (*sign.Package, *sign.Verdict, error) {
	limits := sign.DefaultLimits()
	if entry == nil {
		return w.trust.Open(path, limits, w.at)
	}
	bundle, err := sign.ReadRegular(path, limits.PackageBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("open package %s: %w; install it again", entry.Name, err)
	}
	return w.trust.OpenBytes(entry.Name+" "+entry.Version, bundle, limits, w.at)
}

// plain opens a package without looking at a signature.
func plain(path string, entry *store.Entry) (*sign.Package, error) {
	limits := sign.DefaultLimits()
	if entry == nil {
		return sign.Open(path, limits)
	}
	bundle, err := sign.ReadRegular(path, limits.PackageBytes)
	if err != nil {
		return nil, fmt.Errorf("open package %s: %w; install it again", entry.Name, err)
	}
	return sign.Read(entry.Name+" "+entry.Version, bundle, limits)
}

// harmless tells whether nothing is known against a package but that nobody who
// is trusted here has signed it.
func harmless(rule sign.Rule) bool {
	return rule == sign.RuleUnsigned || rule == sign.RuleWrongRoot || rule == sign.RuleSelfSigned
}

// readNamed opens a package that a person named, and says aloud that it is not
// trusted.
func (w *warden) readNamed(j *judged, path string, why error) (*sign.Package, error) {
	pkg, err := sign.Open(path, sign.DefaultLimits())
	if err != nil {
		return nil, err
	}
	j.Unsigned = true
	j.warnings = append(j.warnings, fmt.Sprintf("runs UNVERIFIED, since it was named on the command line: %v", why))
	return pkg, nil
}

// bounds holds the content of a package against the deny lists, its categories
// and what has run here before.
func (w *warden) bounds(j *judged, m *extension.Manifest, entry *store.Entry) error {
	if w.anyway || w.trust == nil {
		return nil
	}
	if err := w.trust.Denied(j.Digest, j.Name, j.Version); err != nil {
		return err
	}
	if w.named {
		return nil
	}
	if err := w.within(j, m, nil); err != nil {
		return err
	}
	if entry != nil && (entry.Name != j.Name || entry.Version != j.Version || entry.Digest != j.Digest) {
		return &sign.Refusal{
			Rule: store.RuleSameVersion,
			Text: fmt.Sprintf("%s: the installed package is no longer the one that was installed", j.Package),
			Mend: "install it again",
		}
	}
	if entry == nil && w.store != nil {
		return w.admit(j)
	}
	return nil
}

// admit holds a package that is used from where it lies against what has run
// here before, and remembers it.
func (w *warden) admit(j *judged) error {
	a := store.Admission{Name: j.Name, Version: j.Version, Digest: j.Digest}
	if j.Verdict != nil {
		a.Signer = j.Verdict.Signer().Fingerprint
	}
	do := w.store.Admissible
	if w.admits {
		do = w.store.Admit
	}
	err := do(a)
	if refusal(err) != nil {
		return fmt.Errorf("package %s: %w", j.Package, err)
	}
	if err != nil { // it runs all the same: a full disk must not stop it
		w.storeErr = fmt.Errorf("hold package %s against the history of packages: %w", j.Package, err)
	}
	return nil
}

// within holds a package, with the devices that it would poll, against the
// limits of its categories. The error has a line for each breach.
func (w *warden) within(j *judged, m *extension.Manifest, targets []extension.Target) error {
	if j.Verdict == nil {
		return nil
	}
	var lines, limits []string
	for _, c := range j.Verdict.Categories {
		l := extension.Limits(c.Limits)
		for _, v := range extension.PermissionsOf(m).Resolve(mib.Join(j.mibs, mib.BuiltIn())).Beyond(l, targets) {
			lines = append(lines, fmt.Sprintf("%s (category %s, %s)", v, c.Name, w.cfg.Trust.Categories[c.Name].Where))
			if limit := c.Name + "." + v.Limit; !slices.Contains(limits, limit) {
				limits = append(limits, limit)
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if more := len(lines) - mostBreaches; more > 0 {
		lines = append(lines[:mostBreaches], fmt.Sprintf("and %d more of this kind", more))
	}
	mend := "change what it does, or trust.categories." + j.Verdict.Categories[0].Name
	if len(targets) > 0 {
		mend += "; until then none of the devices of this configuration is polled"
	}
	return beyond{&sign.Refusal{Rule: sign.RuleCategory, Text: strings.Join(lines, "\n"), Mend: mend}, limits}
}

// beyond is the refusal of what leaves the limits of a category, with their
// names: CATEGORY.LIMIT.
type beyond struct {
	*sign.Refusal
	limits []string
}

func (b beyond) Unwrap() error { return b.Refusal }

// MachineMoment is now as the machine's own clock has it, for looks that are no
// part of the agent. A clock before the time of the build is plainly wrong.
func MachineMoment(built time.Time) sign.Moment {
	now := time.Now()
	return sign.Moment{Time: later(now, built), Trusted: !now.Before(built)}
}

// moment is now as the agent's clock knows it. Until that is trusted it is the
// newest time that is surely past.
func moment(c *clock.Clock) sign.Moment {
	if t := c.Time(); !t.IsZero() {
		return sign.Moment{Time: t, Trusted: true}
	}
	return sign.Moment{Time: c.Floor()}
}
