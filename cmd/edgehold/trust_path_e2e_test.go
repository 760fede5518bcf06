package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
)

const pathManifest = `name: custom:trust-path
version: 1.0.0
minDynatraceVersion: "1.300"
author: {name: E2E}
snmp:
  - group: device
    interval: {minutes: 1}
    dimensions:
      - {key: sys.name, value: "oid:1.3.6.1.2.1.1.5.0"}
    metrics:
      - {key: e2e.trust.uptime, value: "oid:1.3.6.1.2.1.1.3.0", type: gauge}
`

// TestE2ETrustPath goes the way of a small team: an authority, a developer, a
// package that is built, signed, installed and run; its certificate leaks, what
// it signed stops, is signed again and runs again.
func TestE2ETrustPath(t *testing.T) {
	s := newSite(t)
	in := func(name string) string { return filepath.Join(s.dir, name) }
	ok := func(args ...string) { t.Helper(); edgehold(t, args...).mustSay(t, 0) }
	trust := []string{"--config", s.config}
	developer := func(name string) {
		ok("ext", "cert", "--ca", in("ca"), "--category", "network", "--name", name, "--out", in(name), "--key", "p256", "--plain")
	}

	ok("ext", "ca", "--out", in("ca"), "--name", "Plant root", "--key", "p256", "--plain")
	developer("anna")
	root, err := os.ReadFile(in("ca/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.file("roots/plant.pem", string(root))

	device := newSwitch(t, "127.0.0.1", goodCommunity)
	host, port, _ := strings.Cut(device.Addr(), ":")
	env := newEnvironment(t)
	s.file("devices.json", fmt.Sprintf(`{"enabled": true, "description": "path", "version": "1.0.0", "featureSets": [],
		"snmp": {"devices": [{"ip": %q, "port": %s, "authentication": {"type": "SNMPv2c", "community": %q}}]}}`, host, port, goodCommunity))
	s.yaml(env.URL(), `extensions:
  - {package: "custom:trust-path@1.0.0", configuration: devices.json, interval: 1s}
`)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.file("edgehold.yaml", strings.Replace(string(text), "trust: {allow_unsigned: true}", "trust: {roots: roots}", 1))

	s.file("source/extension.yaml", pathManifest)
	if err := os.Mkdir(in("packages"), 0o700); err != nil {
		t.Fatal(err)
	}
	ok("ext", "build", in("source"), "--out", in("built.zip"))
	ok("ext", "sign", in("built.zip"), "--cert", in("anna/anna.pem"), "--key", in("anna/anna.key"), "--out", in("packages/trust-path.zip"))
	edgehold(t, append([]string{"ext", "verify", in("built.zip")}, trust...)...).mustSay(t, 3, "no signature")
	edgehold(t, append([]string{"ext", "verify", in("packages/trust-path.zip")}, trust...)...).mustSay(t, 0, "anna")
	edgehold(t, append([]string{"ext", "install", in("packages/trust-path.zip")}, trust...)...).mustSay(t, 0, "1.0.0")

	s.start()
	arrived := func() int {
		return len(linesOf(t, env, func(l draintest.Line) bool { return l.Key == "e2e.trust.uptime" }))
	}
	state := func(st control.Status) string {
		for _, p := range st.Packages {
			if strings.HasPrefix(p.Package, "custom:trust-path") {
				return p.State + " " + p.Rule
			}
		}
		return ""
	}
	eventually(t, "points of the signed package", func() bool { return arrived() > 2 })
	runs := state(s.status())

	ok("ext", "revoke", "--ca", in("ca"), "--cert", in("anna/anna.pem"), "--reason", "keyCompromise", "--crl", in("roots/plant.crl"))
	st := s.await("the package to stop", func(st control.Status) bool { return strings.HasSuffix(state(st), " revoked") })
	for _, d := range st.Devices {
		if strings.Contains(d.Label, "trust-path") {
			t.Errorf("%s is still polled", d.Label)
		}
	}
	eventually(t, "the event of the stop", func() bool {
		for _, e := range env.Ledger().Events() {
			if e.Type == "ERROR_EVENT" && strings.Contains(fmt.Sprint(e), "custom:trust-path") {
				return true
			}
		}
		return false
	})
	before := arrived()

	developer("bert")
	ok("ext", "resign", "--old", in("anna/anna.pem"), "--new", in("bert/bert.pem"), "--key", in("bert/bert.key"), in("packages"))
	edgehold(t, append([]string{"ext", "install", in("packages/trust-path.zip")}, trust...)...).mustSay(t, 0)
	ok("reload", "--config", s.config)
	s.await("the package to run again", func(st control.Status) bool { return state(st) == runs })
	eventually(t, "points of the package that was signed again", func() bool { return arrived() > before+2 })
	edgehold(t, append([]string{"ext", "history", "--verify"}, trust...)...).mustSay(t, 0)

	s.file("source/extension.yaml", pathManifest+"      - {key: e2e.trust.more, value: \"const:1\"}\n")
	ok("ext", "build", in("source"), "--out", in("other.zip"))
	ok("ext", "sign", in("other.zip"), "--cert", in("bert/bert.pem"), "--key", in("bert/bert.key"), "--out", in("other-signed.zip"))
	edgehold(t, append([]string{"ext", "install", in("other-signed.zip")}, trust...)...).mustSay(t, 3, "1.0.0")
}
