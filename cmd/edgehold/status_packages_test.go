package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
	"github.com/edgehold/edgehold/sign/cms"
)

func TestPackagesTable(t *testing.T) {
	days := 12
	packages := []control.Package{
		{
			Package: "/x/a.zip", Name: "custom:a", Version: "1.0.0", State: "trusted", Signer: "CN=Dev", Root: "CN=Root", Categories: []string{"network"},
			Expires: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC), DaysLeft: &days,
		},
		{Package: "/x/b.zip", State: "refused", Rule: "revoked", Message: "e.yaml:3:1: package /x/b.zip: revoked\x1b[2J\ne.yaml:9:9: two"},
		{Package: "/x/c", Name: "custom:c", Version: "2.0", State: "unsigned"},
	}
	var out strings.Builder
	printPackages(&out, packages)
	const want = `  trusted    custom:a 1.0.0: signed by CN=Dev, root CN=Root, category network, until 2027-01-02 (12 days)
  refused    /x/b.zip
  revoked      e.yaml:3:1: package /x/b.zip: revoked`
	if !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "\x1b") || !strings.HasSuffix(out.String(), "e.yaml:9:9: two\n  unsigned   custom:c 2.0\n") {
		t.Errorf("got\n%s", out.String())
	}
}

// signedPackage is a bundle of a package of the tests, and a folder with the
// root that signed it.
func signedPackage(t *testing.T) (bundle, roots string) {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := ca.Create(ca.RootOptions{Dir: filepath.Join(dir, "root"), Name: "Plant root", Kind: ca.P256, Days: 3650, Now: time.Now})
	must(err)
	made, err := root.Issue(ca.Request{Name: "Dev", Category: "network", Output: ca.Output{Dir: filepath.Join(dir, "dev"), Kind: ca.P256, Days: 90}})
	must(err)
	cert, key, err := ca.LoadSigner(made.CertFile, made.KeyFile, nil)
	must(err)
	inner, err := sign.Build("../../agent/testdata/rack", sign.DefaultLimits())
	must(err)
	signature, err := cms.SignDetached(inner, cert, key)
	must(err)
	bundle, roots = filepath.Join(dir, "bundle.zip"), filepath.Join(dir, "roots")
	must(os.WriteFile(bundle, sign.WriteBundle(inner, signature), 0o600))
	must(os.MkdirAll(roots, 0o700))
	pem, err := os.ReadFile(filepath.Join(root.Dir(), "ca.pem"))
	must(err)
	must(os.WriteFile(filepath.Join(roots, "root.pem"), pem, 0o600))
	return bundle, roots
}

// tamperedPackage is a bundle with other content than what was signed.
func tamperedPackage(t *testing.T, bundle string) string {
	t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := sign.Split(data, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../agent/testdata/rack/extension.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "extension.yaml"), append(manifest, "# other\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	inner, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tampered.zip")
	if err := os.WriteFile(path, sign.WriteBundle(inner, parts.Signature), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// check says what is thought of each package, and what breaks a limit; poll of a
// package by name says aloud that nobody vouches for it.
func TestCheckAndPollTellOfSignatures(t *testing.T) {
	bundle, roots := signedPackage(t)
	mib, _, err := snmptest.LoadRecording("../../agent/testdata/rack.snmprec")
	if err != nil {
		t.Fatal(err)
	}
	device, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	dir := t.TempDir()
	host, port, _ := strings.Cut(device.Addr(), ":")
	configuration := filepath.Join(dir, "c.json")
	text := fmt.Sprintf(`{"version": "1.2.3", "featureSets": ["all"], "snmp": {"devices": [{"ip": %q, "port": %s, "authentication": {"type": "SNMPv2c", "community": "public"}}]}}`, host, port)
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "e.yaml")
	configure := func(trust string) {
		text := fmt.Sprintf("site: s\nstate_dir: %s/state\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\ntrust:\n%s\nextensions: [{package: %s, configuration: %s}]\n", dir, trust, bundle, configuration)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("  roots: " + roots)
	run("check", "--config", file).want(t, exitOK, "trusted    custom:rack 1.2.3: signed by", "")
	run("check", "--config", file, "--json").want(t, exitOK, `"state": "trusted"`, "")
	run("poll", "--config", file).want(t, exitOK, "rack.uptime", "is trusted: signed by")
	configure("  roots: " + roots + "\n  categories: {network: {oids: [1.3.6.1.4]}}")
	run("check", "--config", file).want(t, exitConfig, "", "extension.yaml:25:32: reads 1.3.6.1.2.1.1.5.0")
	configure("  roots: " + dir)
	run("check", "--config", file).want(t, exitConfig, "", bundle)
	run("poll", "--config", file).want(t, exitError, "", bundle)
	run("poll", "--package", bundle, "--configuration", configuration).want(t, exitOK, "rack.uptime", "UNVERIFIED")
	tampered := []string{"--package", tamperedPackage(t, bundle), "--configuration", configuration}
	run(append([]string{"poll"}, tampered...)...).want(t, exitCheck, "", "--untrusted")
	run(append([]string{"poll", "--untrusted"}, tampered...)...).want(t, exitOK, "rack.uptime", "UNVERIFIED")
	run("poll", "--untrusted", "--config", file).want(t, exitUsage, "", "--untrusted needs --package")
	tampered = append(tampered, "--recording", "../../agent/testdata/rack.snmprec")
	run(append([]string{"snmp", "test"}, tampered...)...).want(t, exitCheck, "", "refused by the rule tampered")
	run(append([]string{"snmp", "test", "--untrusted"}, tampered...)...).want(t, exitOK, "rack.uptime", "UNVERIFIED")
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("a look has written to state_dir")
	}
}

// Where everything that is configured is refused, nobody is told to configure
// something.
func TestNoDeviceOfRefusedPackages(t *testing.T) {
	for want, packages := range map[string][]control.Package{
		"none: nothing that is configured runs; see `packages`": {{Package: "p", State: control.PackageRefused}},
		"none: add entries under `extensions`":                  nil,
	} {
		var out strings.Builder
		printDevices(&out, control.Status{Packages: packages}, view{})
		if !strings.Contains(out.String(), want) {
			t.Errorf("%d packages: %q", len(packages), out.String())
		}
	}
}

// A warning of an entry is told as what it is: what runs all the same is not
// left out.
func TestWarningsOfConfigurations(t *testing.T) {
	lines := show(func(w *strings.Builder) {
		printStatus(w, control.Status{Configurations: []control.Configuration{{
			Name: "custom:a/a.json", Status: "OK", Message: "Endpoints OK: 1 WARNING: 0 ERROR: 0", Warnings: []string{"the version needs quotes"},
		}}}, view{now: time.Now()})
	})
	mustHave(t, lines, "configurations\n  OK                       custom:a/a.json: Endpoints OK: 1 WARNING: 0 ERROR: 0\n                             warning: the version needs quotes\n")
	if text := strings.Join(lines, "\n"); strings.Contains(text, "left out") {
		t.Error(text)
	}
}

// A device that is asked in two intervals is one device, as its worst part.
func TestDevicesAreCountedOnce(t *testing.T) {
	part := func(label, state string) control.Device {
		return control.Device{Config: "c", Label: label, State: state}
	}
	for want, devices := range map[string][]control.Device{
		"1 silent, 1 ok":  {part("a", "ok"), part("a", "silent"), part("b", "ok"), part("b", "ok")},
		"1 ok":            {part("a", "pending"), part("a", "ok")},
		"1 partial, 1 ok": {part("a", "partial"), part("a", "ok"), {Config: "d", Label: "a", State: "ok"}},
	} {
		if got := countStates(devices); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRequestsAreAskedFor(t *testing.T) {
	p := extension.Permissions{DataSources: []string{"http"}, Requests: []extension.Located{{What: "POST /api/query", File: "p/extension.yaml", Lines: []int{7, 9}}}}
	var out strings.Builder
	printPermissions(&out, p)
	if want := "it asks for\n  data source  http\n  request      POST /api/query  (p/extension.yaml:7 and 1 more line)\n"; out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}
