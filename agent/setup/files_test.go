package setup

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes"
)

var when = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

// entry is what the tests need of the options of snmp.
type entry struct {
	Devices     []string `yaml:"devices"`
	Credentials []string `yaml:"credentials"`
	Profile     string   `yaml:"profile"`
}

func kinds() []probes.Kind {
	return []probes.Kind{{Name: "snmp", Options: func() any { return &entry{} }}}
}

func load(path string) error {
	_, _, err := config.Load(path, kinds())
	return err
}

func full() Answers {
	return Answers{
		Site:     `Werk "Süd" # 2`,
		Uplink:   Uplink{Kind: Dynatrace, URL: "https://abc12345.live.dynatrace.com", Token: probes.NewSecret(testToken), Proxy: "http://proxy.example.com:3128"},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Credentials: []probes.Credential{
			{Name: "snmp-v2c", Version: probes.SNMPv2c, Community: probes.NewSecret("c0mmunity: #x")},
			{Name: "snmp-v1", Version: probes.SNMPv1, Community: probes.NewSecret("old")},
			{Name: "snmp-v3", Version: probes.SNMPv3, User: "edge: #", Auth: "SHA256", AuthPass: probes.NewSecret("auth-secret"), Priv: "AES", PrivPass: probes.NewSecret("priv-secret"), Context: "ctx"},
		},
		Devices: []discover.Device{
			{Addresses: []string{"192.0.2.10"}, Port: 161, Name: "core\n#1", Credential: "snmp-v3"},
			{Addresses: []string{"192.0.2.11"}, Port: 1161, Name: "edge", Credential: "snmp-v2c"},
			{Addresses: []string{"192.0.2.12"}, Port: 161, Credential: "snmp-v1"},
		},
		StateDir: "state", Socket: "control.sock",
	}
}

func planFor(t *testing.T, a Answers, path string, o Owner) *Plan {
	t.Helper()
	p, err := NewPlan(a, path, o, when)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tree lists all files below a folder with their modes.
func tree(t *testing.T, folder string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		all = append(all, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "edgehold.yaml")
	a := full()
	p := planFor(t, a, path, Owner{-1, -1, 0o600, 0o700})
	if err := p.Write(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := config.Load(path, kinds())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v\n%s", err, warnings, p.YAML())
	}
	token, err := cfg.Uplink.Token()
	if err != nil || token.Reveal() != testToken {
		t.Errorf("the token is %q (%v)", token.Reveal(), err)
	}
	if cfg.Site != a.Site || cfg.Uplink.URL != a.Uplink.URL || cfg.Uplink.Proxy != a.Uplink.Proxy || cfg.StateDir != filepath.Join(filepath.Dir(path), "state") {
		t.Errorf("%+v", cfg)
	}
	for _, c := range a.Credentials {
		got := cfg.Credentials[c.Name]
		if got.Version != c.Version || got.User != c.User || got.Context != c.Context || got.Auth != c.Auth || got.Priv != c.Priv ||
			got.Community.Reveal() != c.Community.Reveal() || got.AuthPass.Reveal() != c.AuthPass.Reveal() || got.PrivPass.Reveal() != c.PrivPass.Reveal() {
			t.Errorf("%s is read as %+v", c.Name, got)
		}
	}
	if len(cfg.Probes) != 3 {
		t.Errorf("%d entries of probes, want one for each credential", len(cfg.Probes))
	}
	for _, secret := range []string{testToken, "c0mmunity", "auth-secret", "priv-secret"} {
		if strings.Contains(string(p.YAML()), secret) {
			t.Errorf("%q stands in the configuration", secret)
		}
	}
	want := []string{"edgehold.yaml", "secrets/snmp-v1.community", "secrets/snmp-v2c.community", "secrets/snmp-v3.auth", "secrets/snmp-v3.priv", "secrets/token"}
	if got := tree(t, filepath.Dir(path)); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if _, err := os.ReadFile(filepath.Join(filepath.Dir(path), "secrets/token")); err != nil {
		t.Error(err)
	}
}

func TestOwnersAndModes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root gives files away")
	}
	path := filepath.Join(t.TempDir(), "edgehold", "edgehold.yaml")
	if err := planFor(t, full(), path, Owner{0, 4242, 0o640, 0o750}).Write(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"": 0o750, "edgehold.yaml": 0o640, "secrets": 0o750, "secrets/token": 0o640, "secrets/snmp-v3.priv": 0o640} {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		sys := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != mode || sys.Uid != 0 || sys.Gid != 4242 {
			t.Errorf("%q: mode %04o of %d:%d, want %04o of 0:4242", name, info.Mode().Perm(), sys.Uid, sys.Gid, mode)
		}
	}
}

func TestOldConfigurationIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edgehold.yaml")
	if err := os.WriteFile(path, []byte("site: old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if site, written := Configured(path); site != "old" || !written {
		t.Errorf("%q, %v", site, written)
	}
	if err := planFor(t, full(), path, Owner{-1, -1, 0o600, 0o700}).Write(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(path + ".bak")
	if err != nil || string(kept) != "site: old\n" {
		t.Errorf("kept %q, %v", kept, err)
	}
	if info, err := os.Stat(path + ".bak"); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

// Nothing is left of a try that ends before its end, and what was there stays.
func TestHalfIsNothing(t *testing.T) {
	old := map[string]string{"edgehold.yaml": "site: old\n", "secrets/token": "old-token\n"}
	for name, c := range map[string]struct {
		answers func(*Answers)
		check   func(cancel context.CancelFunc, path string) error
		words   string
	}{
		"refused": {nil, func(context.CancelFunc, string) error { return errors.New("no good") }, "no good"},
		"interrupted": {nil, func(cancel context.CancelFunc, path string) error {
			cancel()
			return load(path)
		}, "canceled"},
		"bad configuration": {func(a *Answers) { a.Uplink.Kind, a.Uplink.URL = MQTT, "mqtts://hub.example.com:8883" }, func(_ context.CancelFunc, path string) error { return load(path) }, "/edgehold.yaml:8"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, text := range old {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a := full()
			if c.answers != nil {
				c.answers(&a)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := planFor(t, a, filepath.Join(folder, "edgehold.yaml"), Owner{-1, -1, 0o600, 0o700}).Write(ctx, func(path string) error { return c.check(cancel, path) })
			if err == nil || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), ".new") {
				t.Errorf("%v, want %q", err, c.words)
			}
			for file, text := range old {
				if data, err := os.ReadFile(filepath.Join(folder, file)); err != nil || string(data) != text {
					t.Errorf("%s holds %q (%v)", file, data, err)
				}
			}
			if got := tree(t, folder); len(got) != len(old) {
				t.Errorf("these are left: %q", got)
			}
		})
	}
}

// What a killed try has left is no hindrance, and is gone afterwards.
func TestLeftoversAreTakenAway(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".edgehold.yaml.new", "secrets/.token.new", ".edgehold.yaml.try.new"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := planFor(t, full(), filepath.Join(folder, "edgehold.yaml"), Owner{-1, -1, 0o600, 0o700}).Write(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	for _, name := range tree(t, folder) {
		if strings.HasSuffix(name, ".new") {
			t.Errorf("%s is left", name)
		}
	}
}

// Root may be at work in a folder of another user, who has put a link there: what
// it leads to keeps its rights.
func TestLinkKeepsWhatItLeadsTo(t *testing.T) {
	folder, other := t.TempDir(), t.TempDir()
	if err := os.Chmod(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(folder, "secrets")); err != nil {
		t.Fatal(err)
	}
	if err := planFor(t, full(), filepath.Join(folder, "edgehold.yaml"), Owner{-1, -1, 0o600, 0o700}).Write(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(other)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o755 {
		t.Errorf("mode %04o, want 0755 as before", info.Mode().Perm())
	}
}

// A file in the folder of the configuration stays where it is; another is copied.
func TestFilesThatWereGiven(t *testing.T) {
	folder := t.TempDir()
	_, _, ca := startTLS(t, draintest.Options{})
	inside := filepath.Join(folder, "mine", "ca.pem")
	data, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(inside), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inside, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{ca: filepath.Join(folder, "ca.pem"), inside: inside} {
		a := full()
		a.Uplink.CAFile = given
		path := filepath.Join(folder, "edgehold.yaml")
		if err := planFor(t, a, path, Owner{-1, -1, 0o600, 0o700}).Write(t.Context(), load); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := config.Load(path, kinds())
		if err != nil || cfg.Uplink.CAFile != want {
			t.Errorf("%s is named %s (%v), want %s", given, cfg.Uplink.CAFile, err, want)
		}
	}
}

func TestConfigured(t *testing.T) {
	folder := t.TempDir()
	for text, want := range map[string]bool{
		"":                               false,
		"# site: plant\n\n  # more\n":    false,
		"state_dir: /var/lib/edgehold\n": false,
		"site: \"\"\nuplink:\n":          false,
		"site: plant\n":                  true,
		"uplink: {dynatrace: {url: https://x.example.com}}\n": true,
		"site: [\n": true,
		"{}}\n":     true,
	} {
		path := filepath.Join(folder, "edgehold.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, written := Configured(path); written != want {
			t.Errorf("%q: %v, want %v", text, written, want)
		}
	}
	if _, written := Configured(filepath.Join(folder, "none")); written {
		t.Error("a file that is not there is told to be written")
	}
	shipped := filepath.Join("..", "..", "packaging", "edgehold.yaml")
	if _, written := Configured(shipped); written {
		t.Error("the file that the package brings is told to be somebody's own")
	}
}
