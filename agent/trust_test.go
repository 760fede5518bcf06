package agent

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
	"github.com/edgehold/edgehold/sign/cms"
	"github.com/edgehold/edgehold/sign/store"
)

// trustSite is a root in a folder of its own, a folder of roots that trusts it,
// and a device's monitoring configuration.
type trustSite struct {
	t                    *testing.T
	dir, roots, activate string
	device               string
	root                 *ca.Authority
	issued               int
}

// signer is a developer certificate with its key.
type signer struct {
	file string
	cert *x509.Certificate
	key  crypto.Signer
}

func newTrustSite(t *testing.T, device string) *trustSite {
	t.Helper()
	s := &trustSite{t: t, dir: t.TempDir()}
	s.roots = filepath.Join(s.dir, "roots")
	s.root = s.authority("root", 3650)
	s.trustRoot(s.root)
	s.device = device
	s.pin("1.2.3")
	return s
}

// pin writes the monitoring configuration for a version, or for any.
func (s *trustSite) pin(version string) {
	text := strings.ReplaceAll(activationJSON(s.device, "SNMPv2c", "public"), `"version": "%VERSION%"`, fmt.Sprintf(`"version": %q`, version))
	if version == "" {
		text = strings.Replace(text, `"version": "",`, "", 1)
	}
	s.activate = write(s.t, filepath.Join(s.dir, "rack.json"), text)
}

func (s *trustSite) authority(name string, days int) *ca.Authority {
	s.t.Helper()
	a, err := ca.Create(ca.RootOptions{Dir: filepath.Join(s.dir, name), Name: name, Kind: ca.P256, Days: days, Now: time.Now})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *trustSite) rootFile() string { return filepath.Join(s.roots, "root.pem") }

func (s *trustSite) trustRoot(a *ca.Authority) {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(a.Dir(), "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, s.rootFile(), string(pem))
}

// signer makes a developer certificate of a category.
func (s *trustSite) signer(a *ca.Authority, category string, days int) signer {
	s.t.Helper()
	s.issued++
	dir := filepath.Join(s.dir, fmt.Sprint("developer", s.issued))
	made, err := a.Issue(ca.Request{Name: fmt.Sprint("Developer ", s.issued), Category: category, Output: ca.Output{Dir: dir, Kind: ca.P256, Days: days}})
	if err != nil {
		s.t.Fatal(err)
	}
	cert, key, err := ca.LoadSigner(made.CertFile, made.KeyFile, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return signer{file: made.CertFile, cert: cert, key: key}
}

// bundle signs a package folder; change may alter its manifest.
func (s *trustSite) bundle(by signer, change func(manifest string) string) string {
	s.t.Helper()
	manifest, err := os.ReadFile("testdata/rack/extension.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(manifest)
	if change != nil {
		text = change(text)
	}
	folder := s.t.TempDir()
	write(s.t, filepath.Join(folder, "extension.yaml"), text)
	inner, err := sign.Build(folder, sign.DefaultLimits())
	if err != nil {
		s.t.Fatal(err)
	}
	signature, err := cms.SignDetached(inner, by.cert, by.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return write(s.t, filepath.Join(folder, "bundle.zip"), string(sign.WriteBundle(inner, signature)))
}

// folder is a package without a signature.
func (s *trustSite) folder(name, version string) string {
	s.t.Helper()
	manifest, err := os.ReadFile("testdata/rack/extension.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	folder := s.t.TempDir()
	write(s.t, filepath.Join(folder, "extension.yaml"), strings.NewReplacer("custom:rack", name, "1.2.3", version).Replace(string(manifest)))
	return folder
}

func (s *trustSite) revoke(by signer) {
	s.t.Helper()
	if _, err := s.root.Revoke(ca.Revocation{CertFile: by.file, Reason: "keyCompromise", Days: 30, Out: filepath.Join(s.roots, "root.crl")}); err != nil {
		s.t.Fatal(err)
	}
}

// deny signs a list that denies a version of the package.
func (s *trustSite) deny(version string) {
	s.t.Helper()
	list := sign.DenyList{Number: 1, Issued: time.Now().UTC().Truncate(time.Second), Versions: []sign.DeniedVersion{{Name: "custom:rack", Version: version}}}
	data, err := list.Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	cert, key, err := ca.LoadSigner(filepath.Join(s.root.Dir(), "ca.pem"), filepath.Join(s.root.Dir(), "ca.key"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	signature, err := cms.SignDetached(data, cert, key)
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, filepath.Join(s.roots, "deny.json.sig"), string(signature))
	write(s.t, filepath.Join(s.roots, "deny.json"), string(data))
}

func (s *trustSite) config(pkg string) *config.Config {
	cfg := config.Default()
	cfg.StateDir = filepath.Join(s.dir, "state")
	cfg.Trust.Roots = s.roots
	cfg.Extensions = []config.Extension{{Package: pkg, Configuration: s.activate, Where: "test.yaml:7:1"}}
	return cfg
}

// entriesAt builds cfg as the agent does at a moment.
func entriesAt(cfg *config.Config, at sign.Moment) []entryState {
	b := builder{deps: probes.Deps{}, warden: newWarden(cfg, wardenOptions{at: at, state: cfg.StateDir})}
	return b.Build(cfg)
}

func TestASignedPackageRuns(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	by := s.signer(s.root, "network", 90)
	cfg := s.config(s.bundle(by, nil))
	cfg.Trust.RequireCategory = true
	cfg.Trust.Categories = map[string]config.Category{"network": {
		DataSources: []string{"snmp"}, OIDs: []string{"1.3.6.1"}, Addresses: []config.Network{config.Network(netip.MustParsePrefix("192.0.2.0/24"))},
	}}
	at := sign.Moment{Time: time.Now(), Trusted: true}
	got := entriesAt(cfg, at)
	if len(got) != 1 || got[0].Err != nil || len(got[0].Tasks) != 2 || got[0].Unsigned != "" {
		t.Fatalf("%+v", got)
	}
	p := packageStatuses(got, at)[0]
	if p.State != "trusted" || p.Name != "custom:rack" || p.Version != "1.2.3" || !strings.Contains(p.Signer, "Developer 1") || !strings.Contains(p.Root, "root") ||
		!slices.Equal(p.Categories, []string{"network"}) || len(p.Digest) != 64 || p.DaysLeft == nil || *p.DaysLeft < 88 || *p.DaysLeft > 90 {
		t.Errorf("status %+v", p)
	}
}

// What is refused, by which rule, and with which words.
func TestPackagesThatAreRefused(t *testing.T) {
	now := time.Now()
	at := sign.Moment{Time: now, Trusted: true}
	network := func(c config.Category) func(*config.Config) {
		return func(cfg *config.Config) {
			c.Where = "test.yaml:3:9"
			cfg.Trust.Categories, cfg.Trust.RequireCategory = map[string]config.Category{"network": c}, true
		}
	}
	for _, tt := range []struct {
		name   string
		at     sign.Moment
		make   func(s *trustSite) string // the package
		change func(*config.Config)
		rule   sign.Rule
		words  string
	}{
		{"unsigned", at, func(*trustSite) string { return "testdata/rack" }, nil, sign.RuleUnsigned, "allow_unsigned"},
		{"tampered, and unsigned ones allowed", at, func(s *trustSite) string {
			good, bad := s.bundle(s.signer(s.root, "network", 90), nil), s.bundle(s.signer(s.root, "network", 90), func(m string) string { return m + "# x\n" })
			return mixed(s.t, good, bad)
		}, func(cfg *config.Config) { cfg.Trust.AllowUnsigned = true }, "tampered", ""},
		{"another root", at, func(s *trustSite) string { return s.bundle(s.signer(s.authority("other", 100), "network", 90), nil) }, nil, sign.RuleWrongRoot, ""},
		{"expired", sign.Moment{Time: now.Add(91 * 24 * time.Hour), Trusted: true}, signedFor(90), nil, sign.RuleExpired, ""},
		{"expired for sure, the clock unknown", sign.Moment{Time: now.Add(91 * 24 * time.Hour)}, signedFor(90), nil, sign.RuleExpired, ""},
		{"not yet valid", sign.Moment{Time: now.Add(-72 * time.Hour), Trusted: true}, signedFor(90), nil, sign.RuleNotYetValid, ""},
		{"not yet valid, the clock unknown", sign.Moment{Time: now.Add(-72 * time.Hour)}, signedFor(90), nil, "", ""},
		{"revoked", at, func(s *trustSite) string {
			by := s.signer(s.root, "network", 90)
			s.revoke(by)
			return s.bundle(by, nil)
		}, nil, sign.RuleRevoked, ""},
		{"denied", at, func(s *trustSite) string { s.deny("1.2.3"); return signedFor(90)(s) }, nil, sign.RuleDenied, "custom:rack"},
		{"denied, without a signature", at, func(s *trustSite) string { s.deny("1.2.3"); return "testdata/rack" }, func(cfg *config.Config) { cfg.Trust.AllowUnsigned = true }, sign.RuleDenied, "custom:rack"},
		{"another version denied", at, func(s *trustSite) string { s.deny("1.2.2"); return signedFor(90)(s) }, nil, "", ""},
		{"of no category", at, signedFor(90), network(config.Category{Units: []string{"others"}}), sign.RuleCategory, "trust.categories"},
		{"a data source beyond", at, signedFor(90), network(config.Category{DataSources: []string{"prometheus"}}), sign.RuleCategory, "extension.yaml:21:1: the data source snmp"},
		{"an OID beyond", at, signedFor(90), network(config.Category{OIDs: []string{"1.3.6.1.2"}}), sign.RuleCategory, "extension.yaml:"},
		{"a device beyond", at, signedFor(90), network(config.Category{Addresses: []config.Network{config.Network(netip.MustParsePrefix("192.0.2.128/25"))}}), sign.RuleCategory, "rack.json:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTrustSite(t, "192.0.2.1:161")
			cfg := s.config(tt.make(s))
			if tt.change != nil {
				tt.change(cfg)
			}
			got := entriesAt(cfg, tt.at)
			if len(got) != 1 {
				t.Fatalf("%d entries", len(got))
			}
			r := got[0].refusal()
			switch {
			case tt.rule == "" && (got[0].Err != nil || len(got[0].Tasks) != 2):
				t.Errorf("does not run: %v", got[0].Err)
			case tt.rule != "" && (r == nil || r.Rule != tt.rule || len(got[0].Tasks) > 0 || !strings.Contains(got[0].Err.Error(), tt.words)):
				t.Errorf("%+v\n%v", r, got[0].Err)
			case tt.rule != "" && probes.StatusOf(got[0].Err) != probes.StatusInvalidConfigError:
				t.Errorf("status %s", probes.StatusOf(got[0].Err))
			}
		})
	}
}

func signedFor(days int) func(s *trustSite) string {
	return func(s *trustSite) string { return s.bundle(s.signer(s.root, "network", days), nil) }
}

// mixed is a bundle with the content of one and the signature of another.
func mixed(t *testing.T, content, signature string) string {
	t.Helper()
	var parts [2]sign.Parts
	for i, path := range []string{content, signature} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if parts[i], err = sign.Split(data, sign.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, filepath.Join(t.TempDir(), "mixed.zip"), string(sign.WriteBundle(parts[0].Inner, parts[1].Signature)))
}

// The bytes that a version had first are the only ones that it may have.
func TestAVersionKeepsItsBytes(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	by := s.signer(s.root, "network", 90)
	at := sign.Moment{Time: time.Now(), Trusted: true}
	if got := entriesAt(s.config(s.bundle(by, nil)), at); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	other := s.config(s.bundle(by, func(m string) string { return m + "# other\n" }))
	if r := entriesAt(other, at)[0].refusal(); r == nil || r.Rule != store.RuleSameVersion {
		t.Errorf("other bytes of one version: %+v", r)
	}
	s.pin("1.2.4")
	look := builder{warden: newWarden(s.config(s.bundle(by, func(m string) string { return strings.Replace(m, "1.2.3", "1.2.4", 1) })), wardenOptions{at: at})}
	if got := look.Build(look.warden.cfg); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	if got := entriesAt(s.config(s.bundle(by, func(m string) string { return strings.Replace(m, "1.2.3", "1.2.4", 1) + "# other\n" })), at); got[0].Err != nil {
		t.Errorf("a look has left its mark: %v", got[0].Err)
	}
}

// A package that a configuration names by its path is held against what was here
// before: no lower version, and nothing unsigned where a signature was.
func TestPackagesByPathAreHeldAgainstHistory(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	s.pin("")
	by := s.signer(s.root, "network", 90)
	at := sign.Moment{Time: time.Now(), Trusted: true}
	version := func(number string) func(string) string {
		return func(m string) string { return strings.Replace(m, "1.2.3", number, 1) }
	}
	lower, higher := s.bundle(by, version("1.2.2")), s.bundle(by, version("1.2.3"))
	for _, pkg := range []string{lower, higher} {
		if got := entriesAt(s.config(pkg), at); got[0].Err != nil {
			t.Fatal(got[0].Err)
		}
	}
	refused := func(what string, cfg *config.Config, rule sign.Rule, words string) {
		t.Helper()
		for _, got := range [][]entryState{entriesAt(cfg, at), build(cfg)} { // the agent and a look
			if r := got[0].refusal(); r == nil || r.Rule != rule || len(got[0].Tasks) > 0 || !strings.Contains(got[0].Err.Error(), words) {
				t.Errorf("%s: %v", what, got[0].Err)
			}
		}
	}
	refused("a lower version", s.config(lower), store.RuleDowngrade, "--allow-downgrade")
	unsigned := s.config(s.folder("custom:rack", "1.2.4"))
	unsigned.Trust.AllowUnsigned = true
	refused("unsigned, where a signature was", unsigned, store.RuleUnsigned, "version 1.2.2 was here with one")
	trial := s.config(s.folder("custom:trial", "1.0.0"))
	trial.Trust.AllowUnsigned = true
	if got := entriesAt(trial, at); got[0].Err != nil || got[0].Unsigned == "" {
		t.Fatalf("unsigned: %v", got[0].Err)
	}
	write(t, filepath.Join(trial.Extensions[0].Package, "more.txt"), "other bytes")
	refused("other bytes of an unsigned version", trial, store.RuleSameVersion, "new version")
}

// Of one extension one version runs at a time.
func TestOneVersionAtATime(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	s.pin("")
	by := s.signer(s.root, "network", 90)
	at := sign.Moment{Time: time.Now(), Trusted: true}
	two := s.config(s.bundle(by, nil))
	two.Extensions = append(two.Extensions, two.Extensions[0])
	two.Extensions[1].Where = "test.yaml:8:1"
	if got := entriesAt(two, at); got[0].Err != nil || got[1].Err != nil {
		t.Errorf("one package twice: %v, %v", got[0].Err, got[1].Err)
	}
	two.Extensions[1].Package = s.bundle(by, func(m string) string { return strings.Replace(m, "1.2.3", "1.2.4", 1) })
	got := entriesAt(two, at)
	if r := got[1].refusal(); got[0].Err != nil || r == nil || r.Rule != ruleSecondVersion || len(got[1].Tasks) > 0 {
		t.Fatalf("two versions: %v, %v", got[0].Err, got[1].Err)
	}
	for _, words := range []string{"test.yaml:8:1: ", "test.yaml:7:1", "1.2.3", "1.2.4"} {
		if !strings.Contains(got[1].Err.Error(), words) {
			t.Errorf("%q lacks %q", got[1].Err, words)
		}
	}
}

// What leaves in an event is the rule and the limit, none of the words that hold
// addresses and paths of the site.
func TestEventsOfRefusalsKeepAddressesAndPaths(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	cfg := s.config(s.bundle(s.signer(s.root, "network", 90), nil))
	cfg.Trust.Categories = map[string]config.Category{"network": {Where: "test.yaml:3:9", Addresses: []config.Network{config.Network(netip.MustParsePrefix("192.0.2.128/25"))}}}
	entries := entriesAt(cfg, sign.Moment{Time: time.Now(), Trusted: true})
	refused, _ := outcomeOf(entries, cfg.Extensions[0].Package)
	if refused == nil || !strings.Contains(refused.Error(), "192.0.2.1") || !strings.Contains(refused.Error(), "none of the devices of this configuration") {
		t.Fatalf("refusal %v", refused)
	}
	c := trustChange{pkg: packagesOf(entries)[0], refused: refused, limits: limitsOf(entries, cfg.Extensions[0].Package)}
	e, got := c.event(probes.Stamp{}), map[string]string{}
	for _, p := range e.Properties {
		got[p.Key] = p.Value
	}
	if got["edgehold.rule"] != "category" || got["edgehold.limit"] != "network.addresses" || got["edgehold.extension"] != "custom:rack" {
		t.Errorf("properties %q", got)
	}
	if text := fmt.Sprint(e); strings.Contains(text, "192.0.2") || strings.Contains(text, s.dir) || strings.Contains(text, filepath.Dir(cfg.Extensions[0].Package)) || strings.Contains(text, "rack.json") {
		t.Errorf("the event tells of this site: %s", text)
	}
	if r := c.record(); !strings.Contains(r.Detail, "192.0.2.1") {
		t.Errorf("the history lacks the words: %+v", r)
	}
}

func TestInstalledPackages(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	by := s.signer(s.root, "network", 90)
	at := sign.Moment{Time: time.Now(), Trusted: true}
	cfg := s.config("")
	installed, err := store.Open(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.2.3", "1.2.4"} {
		bundle, err := os.ReadFile(s.bundle(by, func(m string) string { return strings.Replace(m, "1.2.3", version, 1) }))
		if err != nil {
			t.Fatal(err)
		}
		w := newWarden(cfg, wardenOptions{at: at})
		_, verdict, err := w.trust.OpenBytes("b", bundle, sign.DefaultLimits(), at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := installed.Install(store.Candidate{Bundle: bundle, Name: "custom:rack", Version: version, Verdict: verdict}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, version, pin, want string }{
		{"custom:rack", "", "", "1.2.4"},
		{"custom:rack", "", "1.2.4", "1.2.4"},
		{"custom:rack", "", "1.2.3", "1.2.3"},
		{"custom:rack", "", "9.9.9", ""},
		{"custom:rack", "1.2.3", "1.2.3", "1.2.3"},
		{"custom:rack", "1.2.3", "1.2.4", ""},
		{"custom:rack", "9", "", ""},
		{"custom:none", "", "", ""},
	} {
		s.pin(tt.pin)
		cfg.Extensions[0].Package, cfg.Extensions[0].Name, cfg.Extensions[0].Version = strings.TrimSuffix(tt.name+"@"+tt.version, "@"), tt.name, tt.version
		got := entriesAt(cfg, at)[0]
		if tt.want == "" {
			if got.Err == nil || !strings.Contains(got.Err.Error(), "install") || tt.name == "custom:none" && !strings.Contains(got.Err.Error(), "as ./custom:none") {
				t.Errorf("%+v: %v", tt, got.Err)
			}
			continue
		}
		if got.Err != nil || got.Judged.Version != tt.want || len(got.Tasks) == 0 {
			t.Errorf("%+v: %v, version %s", tt, got.Err, got.Judged.Version)
		}
	}
	path := func() string { _, p, _ := installed.Find("custom:rack", "1.2.3"); return p }()
	data, err := os.ReadFile(s.bundle(by, func(m string) string { return m + "# changed behind the store\n" }))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data))
	cfg.Extensions[0].Version = "1.2.3"
	cfg.Extensions[0].Name = "custom:rack"
	if r := entriesAt(cfg, at)[0].refusal(); r == nil || r.Rule != store.RuleSameVersion {
		t.Errorf("an installed package that was exchanged: %+v", r)
	}
}

// A deny list that was in force stays so when its file is gone, also for a look.
func TestADenyListIsRemembered(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	cfg := s.config(signedFor(90)(s))
	at := sign.Moment{Time: time.Now(), Trusted: true}
	s.deny("1.2.3")
	if r := entriesAt(cfg, at)[0].refusal(); r == nil || r.Rule != sign.RuleDenied {
		t.Fatalf("%+v", r)
	}
	for _, name := range []string{"deny.json", "deny.json.sig"} {
		if err := os.Remove(filepath.Join(s.roots, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := entriesAt(cfg, at)[0].refusal(); r == nil || r.Rule != sign.RuleDenied {
		t.Errorf("forgotten by the agent: %+v", r)
	}
	if r := build(cfg)[0].refusal(); r == nil || r.Rule != sign.RuleDenied {
		t.Errorf("unknown to a look: %+v", r)
	}
}

// A person who names a package may run it unverified, and is told so.
func TestNamedPackagesRunAloud(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	by := s.signer(s.root, "network", 90)
	good := s.bundle(by, nil)
	for _, tt := range []struct {
		pkg   string
		words string
	}{{good, ""}, {"testdata/rack", "UNVERIFIED"}, {s.bundle(s.signer(s.authority("other", 100), "network", 90), nil), "UNVERIFIED"}} {
		cfg := s.config(tt.pkg)
		w := newWarden(cfg, wardenOptions{at: MachineMoment(time.Time{}), named: true})
		got := builder{warden: w}.Build(cfg)[0]
		if got.Err != nil || len(got.Tasks) == 0 || !strings.Contains(strings.Join(got.Warnings, "\n"), tt.words) || tt.words == "" && got.Judged.Verdict == nil {
			t.Errorf("%s: %v, warnings %q", tt.pkg, got.Err, got.Warnings)
		}
	}
}

// A package against which something is known does not run because a person named
// it, unless that person says so.
func TestNamedPackagesThatAreRefused(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	gone := s.signer(s.root, "network", 90)
	revoked := s.bundle(gone, nil)
	tampered := mixed(t, s.bundle(s.signer(s.root, "network", 90), nil), s.bundle(s.signer(s.root, "network", 90), func(m string) string { return m + "# x\n" }))
	s.revoke(gone)
	s.deny("1.2.4")
	for _, tt := range []struct {
		pkg  string
		rule sign.Rule
	}{{revoked, sign.RuleRevoked}, {tampered, "tampered"}, {s.folder("custom:rack", "1.2.4"), sign.RuleDenied}} {
		s.pin("")
		cfg := s.config(tt.pkg)
		got := builder{warden: newWarden(cfg, wardenOptions{at: MachineMoment(time.Time{}), named: true})}.Build(cfg)[0]
		if r := got.refusal(); r == nil || r.Rule != tt.rule || len(got.Tasks) > 0 {
			t.Errorf("want %s: %v", tt.rule, got.Err)
		}
		got = builder{warden: newWarden(cfg, wardenOptions{at: MachineMoment(time.Time{}), named: true, anyway: true})}.Build(cfg)[0]
		if got.Err != nil || len(got.Tasks) == 0 || tt.rule != sign.RuleDenied && !strings.Contains(strings.Join(got.Warnings, "\n"), "UNVERIFIED") {
			t.Errorf("%s all the same: %v, warnings %q", tt.rule, got.Err, got.Warnings)
		}
	}
}

func TestExpiryAlarms(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	entries := entriesAt(s.config(signedFor(90)(s)), sign.Moment{Time: time.Now(), Trusted: true})
	end := entries[0].Judged.Verdict.Expires
	for _, tt := range []struct {
		left time.Duration
		mark int
		want string
	}{
		{31*24*time.Hour + time.Minute, 0, ""},
		{30*24*time.Hour + time.Minute, 30, "in 30 days"},
		{8 * 24 * time.Hour, 30, "in 8 days"},
		{7 * 24 * time.Hour, 7, "in 7 days"},
		{36 * time.Hour, 1, "within 48 hours"},
		{time.Minute, 1, "within 48 hours"},
	} {
		at := sign.Moment{Time: end.Add(-tt.left), Trusted: true}
		days, ok := entries[0].Judged.daysLeft(at)
		if !ok || expiryMark(days) != tt.mark {
			t.Errorf("%v left: %d days, mark %d", tt.left, days, expiryMark(days))
		}
		st := statusOf(entries, at)
		if got := strings.Join(trustAlarms(st), "\n"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%v left: alarms %q, want %q", tt.left, got, tt.want)
		}
	}
}

func TestPackageStatusIsJSON(t *testing.T) {
	s := newTrustSite(t, "192.0.2.1:161")
	at := sign.Moment{Time: time.Now(), Trusted: true}
	st := statusOf(entriesAt(s.config("testdata/rack"), at), at)
	data, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"packages":[{"package":"testdata/rack","state":"refused","rule":"unsigned","message":"`, `"trust":{"allow_unsigned":false,"roots":[],"warnings":[]}`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func statusOf(entries []entryState, at sign.Moment) control.Status {
	return control.Status{Packages: packageStatuses(entries, at)}
}

// The agent tells how long packages are trusted; two versions by one signer are
// one series, of the shorter life.
func TestPointsOfCertificates(t *testing.T) {
	var points selfPoints
	points.lives([]certificateLife{{"custom:a", "x", "", 40}, {"custom:b", "x", "", 5}, {"custom:a", "x", "", 7}, {"custom:a", "y", "net", 9}})
	var got []string
	for _, p := range points.list {
		got = append(got, fmt.Sprint(p.Series.Key(), " ", p.Series.Type(), " ", p.Series.Dim("extension"), " ", p.Series.Dim("signer"), " ", p.Series.Dim("category"), " ", p.Value.Float64()))
	}
	const key = "edgehold.extension.certificate_days_left gauge "
	if want := []string{key + "custom:a x  7", key + "custom:b x  5", key + "custom:a y net 9"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
