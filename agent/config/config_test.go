package config

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// pingOptions stand for the options of a kind.
type pingOptions struct {
	Devices     []string        `yaml:"devices"`
	Credentials []string        `yaml:"credentials"`
	Profile     string          `yaml:"profile"`
	Interval    probes.Duration `yaml:"interval"`
	Port        uint16          `yaml:"port"`
	Factor      float64         `yaml:"factor"`
	Labels      map[string]int  `yaml:"labels"`
	Nested      *struct {
		Deep bool `yaml:"deep"`
	} `yaml:"nested"`
}

func (o *pingOptions) Check() []error {
	var errs []error
	if len(o.Devices) == 0 {
		errs = append(errs, errors.New("devices: empty, expected at least one"))
	}
	for i, d := range o.Devices {
		if strings.Contains(d, " ") {
			errs = append(errs, fmt.Errorf("devices[%d]: not an address", i))
		}
	}
	if o.Interval.Std() < time.Second {
		errs = append(errs, errors.New("too often: wait a second"))
	}
	return errs
}

func testKinds() []probes.Kind {
	return []probes.Kind{
		{Name: "snmp", Options: func() any { return &pingOptions{Interval: probes.Duration(time.Minute), Profile: "auto"} }},
		{Name: "http_check", Options: func() any { return &struct{}{} }},
	}
}

// folder makes files in an empty folder and goes there, so that errors name
// them without their folder.
func folder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		write(t, name, text)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, path string) (*Config, []Warning) {
	t.Helper()
	cfg, warnings, err := Load(path, testKinds())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return cfg, warnings
}

func errorsOf(t *testing.T, path string) Errors {
	t.Helper()
	cfg, _, err := Load(path, testKinds())
	var list Errors
	if err == nil || !errors.As(err, &list) || cfg != nil {
		t.Fatalf("Load: config %v and error %v, want no config and Errors", cfg, err)
	}
	return list
}

const good = `site: plant-7
uplink:
  dynatrace: {url: "https://abc12345.live.dynatrace.com/", token_file: token}
`

func TestLoadDefaults(t *testing.T) {
	folder(t, map[string]string{"edgehold.yaml": good})
	cfg, warnings := mustLoad(t, "edgehold.yaml")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Uplink.TokenWhere = "edgehold.yaml:3:72"
	want.Path, want.Site = "edgehold.yaml", "plant-7"
	want.Dimensions = []probes.Dimension{{Key: "site", Value: "plant-7"}}
	want.Uplink.Kind = "dynatrace"
	want.Uplink.Endpoint = Endpoint{
		URL: "https://abc12345.live.dynatrace.com", TokenFile: filepath.Join(here, "token"),
		Compression: "gzip", Resolution: "1m",
	}
	want.Credentials = map[string]probes.Credential{}
	want.Hash = cfg.Hash
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings %v", warnings)
	}
	if want := probes.Size(1 << 30); bits.UintSize == 64 && cfg.Buffer.MaxSize != want {
		t.Errorf("max_size %v, want %v", cfg.Buffer.MaxSize, want)
	}
}

func TestLoadEverything(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml": `
site: &name "7"
site_dimension: false
dimensions: {site: elsewhere, building: *name}
state_dir: state
socket: ./control.sock
uplink: {dynatrace: {url: "http://LocalHost:8080/e/ABC-1/api/v2/metrics/ingest", token_env: EH_TOKEN, proxy: "http://proxy:3128"}}
buffer: {max_size: 64MiB, commit_interval: 0}
trust:
  roots: roots
  vendor_roots: vendor
  timestamp_roots: /ts
  allow_unsigned: true
  categories:
    network: {certificates: ["AB:CD:` + strings.Repeat("00", 30) + `"], addresses: [192.0.2.7/24, "2001:db8::1"], oids: [.1.3.6.1, 1.3.7]}
    sensors: {units: [Plant 7], local_devices: true}
credentials:
  a: {community_file: secrets/a}
  b: {community_env: EH_COMMUNITY, version: 1}
  c: {community_credential: eh-c, version: 2c}
extensions:
  - {package: pkg.zip, configuration: /x/c.json, interval: 10s}
  - {package: "custom:rack@1.2.3", configuration: /x/c.json, identity: site}
probes:
  - &first {kind: snmp, devices: [192.0.2.1], credentials: [a], interval: 30s, port: 162, factor: 2, labels: {x: 1}, nested: {deep: true}}
  - {<<: *first, devices: [192.0.2.2], factor: -0.5e1}
polling: {max_in_flight: 3}
mibs: mibs
log: {level: debug, format: json}
`,
		"secrets/a":     "alpha\n",
		"credentials/c": "",
	})
	write(t, "creds/eh-c", "gamma")
	here, _ := os.Getwd()
	t.Setenv("EH_TOKEN", " dt0c01.AB.CD\n")
	t.Setenv("EH_COMMUNITY", "beta")
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(here, "creds"))
	cfg, warnings := mustLoad(t, "edgehold.yaml")

	if cfg.Site != "7" || cfg.SiteDimension || !slices.Equal(cfg.Dimensions, []probes.Dimension{{Key: "building", Value: "7"}, {Key: "site", Value: "elsewhere"}}) {
		t.Errorf("site %q, dimension %v, dimensions %v", cfg.Site, cfg.SiteDimension, cfg.Dimensions)
	}
	if cfg.StateDir != filepath.Join(here, "state") || cfg.Socket != filepath.Join(here, "control.sock") || cfg.Trust.Roots != filepath.Join(here, "roots") {
		t.Errorf("relative paths: %q %q %q", cfg.StateDir, cfg.Socket, cfg.Trust.Roots)
	}
	if d := cfg.Uplink; d.URL != "http://localhost:8080/e/ABC-1" || d.Proxy != "http://proxy:3128" {
		t.Errorf("uplink %+v", d)
	}
	if token, err := cfg.Uplink.Token(); err != nil || token.Reveal() != "dt0c01.AB.CD" {
		t.Errorf("token %q, %v", token.Reveal(), err)
	}
	if cfg.Buffer.MaxSize != 64<<20 || cfg.Buffer.CommitInterval != 0 || cfg.Buffer.Late != "archive" || !cfg.Trust.AllowUnsigned {
		t.Errorf("buffer %+v, trust %+v", cfg.Buffer, cfg.Trust)
	}
	for name, want := range map[string]probes.Credential{
		"a": {Name: "a", Version: probes.SNMPv2c, Community: probes.NewSecret("alpha")},
		"b": {Name: "b", Version: probes.SNMPv1, Community: probes.NewSecret("beta")},
		"c": {Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("gamma")},
	} {
		got := cfg.Credentials[name]
		if got.Name != want.Name || got.Version != want.Version || got.Community.Reveal() != want.Community.Reveal() {
			t.Errorf("credential %s: version %d, community %q", name, got.Version, got.Community.Reveal())
		}
	}
	wantExt := []Extension{
		{Package: filepath.Join(here, "pkg.zip"), Configuration: "/x/c.json", Interval: probes.Duration(10 * time.Second), Where: "edgehold.yaml:22:5"},
		{Package: "custom:rack@1.2.3", Name: "custom:rack", Version: "1.2.3", Configuration: "/x/c.json", Identity: "site", Where: "edgehold.yaml:23:5"},
	}
	wantTrust := Trust{
		Roots: filepath.Join(here, "roots"), VendorRoots: filepath.Join(here, "vendor"), TimestampRoots: "/ts",
		AllowUnsigned: true, RequireCategory: true,
		Categories: map[string]Category{
			"network": {
				Certificates: []string{"abcd" + strings.Repeat("00", 30)}, OIDs: []string{"1.3.6.1", "1.3.7"},
				Addresses: []Network{Network(netip.MustParsePrefix("192.0.2.0/24")), Network(netip.MustParsePrefix("2001:db8::1/128"))},
				Where:     "edgehold.yaml:15:14",
			},
			"sensors": {Units: []string{"Plant 7"}, LocalDevices: true, Where: "edgehold.yaml:16:14"},
		},
	}
	if want := filepath.Join(here, "mibs"); cfg.MIBs != want {
		t.Errorf("mibs %q, want %q", cfg.MIBs, want)
	}
	if !reflect.DeepEqual(cfg.Trust, wantTrust) {
		t.Errorf("trust %+v, want %+v", cfg.Trust, wantTrust)
	}
	if !slices.Equal(cfg.Extensions, wantExt) {
		t.Errorf("extensions %+v", cfg.Extensions)
	}
	second, ok := cfg.Probes[1].Options.(*pingOptions)
	if len(cfg.Probes) != 2 || !ok || second.Devices[0] != "192.0.2.2" || second.Factor != -5 || second.Port != 162 ||
		second.Interval.Std() != 30*time.Second || second.Labels["x"] != 1 || !second.Nested.Deep || second.Profile != "auto" {
		t.Errorf("probes %+v, second %+v", cfg.Probes, second)
	}
	if cfg.Polling.MaxInFlight != 3 || cfg.Log != (Log{Level: "debug", Format: "json"}) {
		t.Errorf("polling %+v, log %+v", cfg.Polling, cfg.Log)
	}
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.String())
	}
	want := []string{
		"edgehold.yaml:7:93: uplink.dynatrace.token_env: an environment is easily shown to others (process listings, crash reports); token_file is safer",
		"edgehold.yaml:19:22: credentials.b.community_env: an environment is easily shown to others (process listings, crash reports); community_file is safer",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("warnings:\n%s", strings.Join(texts, "\n"))
	}
}

func TestLoadFolder(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml":          good + "dimensions: {a: x}\nprobes:\n  - {kind: snmp, devices: [h0]}\n",
		"config.d/20-b.yaml":     "probes: [{kind: snmp, devices: [h2]}]\n",
		"config.d/10-a.yaml":     "probes: [{kind: snmp, devices: [h1]}]\ndimensions: {b: y}\nuplink: {dynatrace: {proxy: 'http://p:1'}}\n",
		"config.d/30-empty.yaml": "# nothing\n",
		"config.d/notes.txt":     "not: read: at: all",
		"config.d/.hidden.yaml":  "nor: [this",
	})
	cfg, warnings := mustLoad(t, "edgehold.yaml")
	var hosts, wheres []string
	for _, p := range cfg.Probes {
		hosts = append(hosts, p.Options.(*pingOptions).Devices...)
		wheres = append(wheres, p.Where)
	}
	if want := []string{"h0", "h1", "h2"}; !slices.Equal(hosts, want) {
		t.Errorf("hosts %v, want %v", hosts, want)
	}
	if want := []string{"edgehold.yaml:6:5", "config.d/10-a.yaml:1:10", "config.d/20-b.yaml:1:10"}; !slices.Equal(wheres, want) {
		t.Errorf("places %v, want %v", wheres, want)
	}
	if len(cfg.Dimensions) != 3 || cfg.Uplink.Proxy != "http://p:1" || cfg.Uplink.URL == "" {
		t.Errorf("dimensions %v, uplink %+v", cfg.Dimensions, cfg.Uplink)
	}
	if len(warnings) != 1 || warnings[0].String() != "config.d/notes.txt: is not read; the name of a configuration file ends with .yaml" {
		t.Errorf("warnings %v", warnings)
	}
	before := cfg.Hash
	write(t, "config.d/20-b.yaml", "probes: [{kind: snmp, devices: [h3]}]\n")
	if cfg, _ = mustLoad(t, "edgehold.yaml"); cfg.Hash == before || len(cfg.Hash) != 64 {
		t.Errorf("hash %s does not tell a changed file", cfg.Hash)
	}
}

func TestSocketOf(t *testing.T) {
	folder(t, map[string]string{
		"edgehold.yaml":     "wrong: [1\n",
		"set/any.yaml":      "socket: run/x.sock\nunknown: 1\n",
		"abs/any.yaml":      "socket: /tmp/y.sock\nsocket: /tmp/z.sock\n",
		"list/any.yaml":     "socket: [a]\n",
		"broken/any.yaml":   "site: x\nsocket: 'run/b.sock' # here\n - {kind: snmp\n",
		"d/edgehold.yaml":   "site: x\n",
		"d/config.d/s.yaml": "socket: /tmp/d.sock\n",
	})
	here, _ := os.Getwd()
	for path, want := range map[string]string{
		"edgehold.yaml": "/run/edgehold/control.sock", "none.yaml": "/run/edgehold/control.sock", "list/any.yaml": "/run/edgehold/control.sock",
		"set/any.yaml": filepath.Join(here, "set/run/x.sock"), "broken/any.yaml": filepath.Join(here, "broken/run/b.sock"), "abs/any.yaml": "/tmp/y.sock", "d/edgehold.yaml": "/tmp/d.sock",
	} {
		if got := SocketOf(path); got != want {
			t.Errorf("SocketOf(%s) = %s, want %s", path, got, want)
		}
	}
}

// What names an installed package, and what is the path of a file.
func TestInstalledPackages(t *testing.T) {
	for _, tt := range []struct{ text, name, version string }{
		{"custom:rack", "custom:rack", ""},
		{"custom:rack@1.2.3", "custom:rack", "1.2.3"},
		{"com.dynatrace.extension.snmp-generic", "com.dynatrace.extension.snmp-generic", ""},
		{"rack@1.0", "rack", "1.0"},
		{"rack", "", ""},
		{"rack.zip", "", ""},
		{"custom:rack.zip", "", ""},
		{"switch@1.0.zip", "", ""},
		{"./rack@1", "", ""},
		{"/etc/custom:rack", "", ""},
		{"custom:rack@", "", ""},
		{"custom:rack@1 2", "", ""},
		{"a@b@c", "", ""},
		{"", "", ""},
	} {
		name, version, ok := installed(tt.text)
		if name != tt.name || version != tt.version || ok != (tt.name != "") {
			t.Errorf("%q: %q at %q, %v", tt.text, name, version, ok)
		}
	}
}

// A file of that name is a path, whatever its name looks like.
func TestAFileIsNoInstalledPackage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("switch@1.0", "x")
	path := write("e.yaml", "site: s\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\nextensions:\n- {package: switch@1.0, configuration: c.json}\n- {package: rack@1.0, configuration: c.json}\n")
	cfg, _, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := cfg.Extensions[0]; e.Name != "" || e.Package != filepath.Join(dir, "switch@1.0") {
		t.Errorf("a file: %+v", e)
	}
	if e := cfg.Extensions[1]; e.Name != "rack" || e.Version != "1.0" {
		t.Errorf("no file: %+v", e)
	}
}
