package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// workshop is a folder with an authority, certificates of anna and bert, trusted
// roots and a state folder.
type workshop struct {
	t   *testing.T
	dir string
}

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	w := workshop{t, t.TempDir()}
	w.ok("ext", "ca", "--out", w.in("ca"), "--name", "Plant root", "--key", "p256", "--plain")
	for _, name := range []string{"anna", "bert"} {
		w.ok("ext", "cert", "--ca", w.in("ca"), "--category", "network", "--name", name, "--out", w.in(name), "--key", "p256", "--plain")
	}
	w.file("roots/root.pem", string(w.read("ca/ca.pem")))
	w.file("state/.keep", "")
	return w
}

func (w workshop) in(name string) string { return filepath.Join(w.dir, name) }

func (w workshop) file(name, text string) string {
	w.t.Helper()
	path := w.in(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w workshop) read(name string) []byte {
	w.t.Helper()
	data, err := os.ReadFile(w.in(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// ok runs a command that must succeed.
func (w workshop) ok(args ...string) said {
	w.t.Helper()
	s := run(args...)
	if s.code != exitOK {
		w.t.Fatalf("%q: exit %d\n%s%s", args, s.code, s.out, s.err)
	}
	return s
}

// pack writes the folder of a package; metric tells contents apart.
func (w workshop) pack(folder, version, metric, oid string) string {
	w.file(folder+"/extension.yaml", fmt.Sprintf(`name: custom:plant.switch
version: %s
minDynatraceVersion: "1.256"
author: {name: me}
snmp:
  - group: g
    interval: {minutes: 1}
    metrics:
      - {key: plant.%s, value: "oid:%s", type: gauge}
`, version, metric, oid))
	return w.in(folder)
}

const sysUpTime = "1.3.6.1.2.1.1.3.0"

// bundle builds and signs a package and returns its path.
func (w workshop) bundle(version, metric, signer string) string {
	w.t.Helper()
	folder := "build/" + version + metric + signer
	dir := w.pack(folder+"/src", version, metric, sysUpTime)
	w.ok("ext", "build", dir)
	unsigned := w.in(folder + "/custom_plant.switch-" + version + ".unsigned.zip")
	w.ok("ext", "sign", unsigned, "--cert", w.in(signer+"/"+signer+".pem"), "--key", w.in(signer+"/"+signer+".key"))
	return w.in(folder + "/custom_plant.switch-" + version + ".zip")
}

func (w workshop) install(bundle string, more ...string) said {
	return run(append([]string{"ext", "install", bundle, "--roots", w.in("roots"), "--state-dir", w.in("state")}, more...)...)
}

// opensslVerify is what the vendor's tools do with a bundle.
func (w workshop) opensslVerify(bundle string) {
	w.t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		w.t.Fatal(err)
	}
	parts, err := sign.Split(data, sign.DefaultLimits())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			w.t.Fatal(err)
		}
		w.t.Log("openssl is not installed; it does not verify what was signed")
		return
	}
	content, signature := w.file("openssl.zip", string(parts.Inner)), w.file("openssl.sig", string(parts.Signature))
	out, err := exec.Command("openssl", "cms", "-verify", "-CAfile", w.in("roots/root.pem"), "-in", signature, "-binary", "-content", content, "-inform", "PEM", "-out", os.DevNull).CombinedOutput()
	if err != nil {
		w.t.Errorf("openssl: %v\n%s", err, out)
	}
}

func TestExtBuildAndSign(t *testing.T) {
	w := newWorkshop(t)
	dir := w.pack("switch", "1.0.0", "uptime", sysUpTime)
	unsigned := w.in("custom_plant.switch-1.0.0.unsigned.zip")
	run("ext", "build", dir).want(t, exitOK, "built "+unsigned, "")
	first := w.read("custom_plant.switch-1.0.0.unsigned.zip")
	run("ext", "build", dir).want(t, exitError, "", "exists already and is left as it is; --force replaces it")
	w.ok("ext", "build", dir, "--force")
	if !bytes.Equal(first, w.read("custom_plant.switch-1.0.0.unsigned.zip")) {
		t.Error("the same files gave other bytes")
	}
	run("ext", "build", dir, "--out", dir).want(t, exitUsage, "", "would become part of the package")
	run("ext", "build", dir, "--out", w.in("none/x.zip")).want(t, exitError, "", "none/x.zip")

	cert, key := w.in("anna/anna.pem"), w.in("anna/anna.key")
	run("ext", "sign", unsigned, "--cert", cert, "--key", w.in("bert/bert.key")).want(t, exitError, "", "is not the one of the certificate")
	run("ext", "sign", unsigned, "--cert", w.in("ca/ca.pem"), "--key", w.in("ca/ca.key")).want(t, exitError, "", "it is that of a CA")
	run("ext", "sign", unsigned, "--key", key).want(t, exitUsage, "", "cert")
	run("ext", "sign", dir, "--cert", cert, "--key", key).want(t, exitError, "", "`edgehold ext build`")
	bundle := w.in("custom_plant.switch-1.0.0.zip")
	run("ext", "sign", unsigned, "--cert", cert, "--key", key).want(t, exitOK, "signed "+bundle, "")
	w.opensslVerify(bundle)
	run("ext", "sign", unsigned, "--cert", cert, "--key", key).want(t, exitError, "", "exists already")
	run("ext", "sign", bundle, "--cert", cert, "--key", key).want(t, exitError, "", "is signed already")

	// RSA, in one file, with a pass phrase: what was signed is the same each time.
	w.file("pass", "open sesame")
	w.ok("ext", "cert", "--ca", w.in("ca"), "--category", "network", "--name", "rsa", "--out", w.in("rsa"), "--key-pass-file", w.in("pass"))
	for _, out := range []string{"one.zip", "two.zip"} {
		w.ok("ext", "sign", unsigned, "--cert", w.in("rsa/rsa.pem"), "--key", w.in("rsa/rsa.key"), "--pass-file", w.in("pass"), "--out", w.in(out))
	}
	if !bytes.Equal(w.read("one.zip"), w.read("two.zip")) {
		t.Error("the same package and key gave other bundles")
	}
	w.opensslVerify(w.in("one.zip"))

	w.pack("bad", "1.0", "uptime", "1.3.6.1.2.1.1.3")
	run("ext", "build", w.in("bad")).want(t, exitCheck, "", "so nothing was built")
	if found, _ := filepath.Glob(w.in("*1.0.unsigned.zip")); len(found) > 0 {
		t.Errorf("built %v", found)
	}
}

func TestExtVerify(t *testing.T) {
	w := newWorkshop(t)
	bundle := w.bundle("1.0.0", "uptime", "anna")
	run("ext", "verify", bundle, "--roots", w.in("roots")).want(t, exitOK, "signer     CN=anna,OU=network", "")
	var report verdictReport
	out := w.ok("ext", "verify", bundle, "--roots", w.in("roots"), "--json").out
	if err := json.Unmarshal([]byte(out), &report); err != nil || !report.Trusted || len(report.Chain) != 2 || report.Name != "custom:plant.switch" ||
		*report.DaysLeft < 900 || report.Permissions == nil || report.Permissions.OIDs[0].What != sysUpTime {
		t.Errorf("%+v, %v", report, err)
	}
	pair, err := sign.Split(mustRead(t, bundle), sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	beside := w.file("pair/extension.zip", string(pair.Inner))
	w.file("pair/extension.zip.sig", string(pair.Signature))
	run("ext", "verify", beside, "--roots", w.in("roots")).want(t, exitOK, "CN=anna", "")

	other := newWorkshop(t)
	tampered := bytes.Replace(mustRead(t, bundle), pair.Signature[200:210], []byte("AAAAAAAAAA"), 1)
	for _, c := range []struct {
		name, path, roots, rule string
	}{
		{"wrong root", bundle, other.in("roots"), "wrong_root"},
		{"unsigned", w.file("unsigned.zip", string(pair.Inner)), w.in("roots"), "unsigned"},
		{"tampered", w.file("tampered.zip", string(tampered)), w.in("roots"), ""},
		{"text", w.file("text.zip", "text"), w.in("roots"), ""},
	} {
		s := run("ext", "verify", c.path, "--roots", c.roots)
		s.want(t, exitCheck, "", "refused by the rule "+c.rule)
		s = run("ext", "verify", c.path, "--roots", c.roots, "--json")
		var refused verdictReport
		if err := json.Unmarshal([]byte(s.out), &refused); err != nil || s.code != exitCheck || s.err != "" || refused.Trusted || refused.Rule == "" || refused.Reason == "" || refused.Mend == "" || refused.Name != "" {
			t.Errorf("%s: exit %d, %+v, %v %s", c.name, s.code, refused, err, s.err)
		}
	}
	run("ext", "verify", w.in("none.zip"), "--roots", w.in("roots")).want(t, exitError, "", "none.zip")
	run("ext", "verify", bundle, "--roots", w.in("none")).want(t, exitError, "", "--roots")
	run("ext", "verify", bundle, "--config", w.in("none.yaml")).want(t, exitError, "", "with --roots")
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// configuration writes one of an agent with trust settings.
func (w workshop) configuration(trust string) string {
	w.file("token", "dt0c01.X.NOT-A-SECRET")
	return w.file("edgehold.yaml", fmt.Sprintf(`site: plant
state_dir: state
uplink: {dynatrace: {url: "http://127.0.0.1:1", token_file: token}}
trust: {roots: roots, %s}
`, trust))
}

// The categories of the configuration bound what a package may do.
func TestExtCategories(t *testing.T) {
	w := newWorkshop(t)
	bundle := w.bundle("1.0.0", "uptime", "anna")
	for _, c := range []struct {
		trust     string
		code      int
		out, errs string
	}{
		{"categories: {network: {oids: [1.3.6.1.2.1]}}", exitOK, "category   network", ""},
		{"categories: {network: {oids: [1.3.6.1.4.1]}}", exitCheck, "", "extension.yaml:9"},
		{"categories: {network: {data_sources: [prometheus]}}", exitCheck, "", "refused by the rule category"},
		{"categories: {ups: {}}", exitCheck, "", "refused by the rule category"},
		{"require_category: false, categories: {ups: {}}", exitOK, "category   none", ""},
	} {
		path := w.configuration(c.trust)
		run("ext", "verify", bundle, "--config", path).want(t, c.code, c.out, c.errs)
		run("ext", "install", bundle, "--config", path).want(t, c.code, "", c.errs)
	}
}

func TestExtInstall(t *testing.T) {
	w := newWorkshop(t)
	here := []string{"--roots", w.in("roots"), "--state-dir", w.in("state")}
	with := func(args ...string) said { return run(append(append([]string{"ext"}, args...), here...)...) }
	with("list").want(t, exitOK, "no package is installed", "")
	one, two := w.bundle("1.0.0", "uptime", "anna"), w.bundle("2.0.0", "uptime", "anna")
	w.install(one).want(t, exitOK, "custom:plant.switch 1.0.0 is installed and the active version", "")
	w.install(two).want(t, exitOK, "custom:plant.switch 2.0.0 is installed", "")
	w.install(w.bundle("2.0.0", "changed", "anna")).want(t, exitCheck, "", "refused by the rule same_version")
	w.install(w.bundle("1.5.0", "uptime", "anna")).want(t, exitCheck, "", "--allow-downgrade")
	w.install("custom:plant.switch@1.0.0").want(t, exitCheck, "", "refused by the rule downgrade")
	w.install("custom:plant.switch@1.0.0", "--allow-downgrade").want(t, exitOK, "1.0.0 is installed and the active version", "")
	w.install("custom:plant.switch@3.0.0").want(t, exitError, "", "installed are 1.0.0, 2.0.0")
	w.install(w.in("none.zip")).want(t, exitError, "", "none.zip")
	run("ext", "install", one, "--roots", w.in("roots")).want(t, exitUsage, "", "--state-dir")

	var entries []installedReport
	if err := json.Unmarshal([]byte(with("list", "--json").out), &entries); err != nil || len(entries) != 2 || !entries[0].Active || entries[1].Active || !entries[0].Trusted {
		t.Errorf("%+v, %v", entries, err)
	}
	with("list").want(t, exitOK, "custom:plant.switch  1.0.0    active  CN=anna,OU=network", "")
	with("show", "custom:plant.switch@2.0.0").want(t, exitOK, "not the active version", "")
	var shown shownPackage
	if err := json.Unmarshal([]byte(with("show", "custom:plant.switch", "--json").out), &shown); err != nil || shown.Version != "1.0.0" || shown.Signature != "intact" || len(shown.Records) != 2 || shown.Records[0].Hash == "" {
		t.Errorf("%+v, %v", shown, err)
	}
	with("show", "custom:none").want(t, exitError, "", "is not installed; installed are custom:plant.switch")
	with("show", w.in("build/2.0.0uptimeanna/custom_plant.switch-2.0.0.unsigned.zip")).want(t, exitOK, "signature  none", "")

	// Another root: it is shown as refused, and to be installed refused.
	if err := os.Rename(w.in("roots/root.pem"), w.in("root.pem")); err != nil {
		t.Fatal(err)
	}
	with("list").want(t, exitOK, "REFUSED: wrong_root", "")
	with("show", "custom:plant.switch").want(t, exitOK, "signer     CN=anna", "")
	w.install("custom:plant.switch@2.0.0").want(t, exitCheck, "", "wrong_root")

	run("ext", "remove", "custom:plant.switch", "--state-dir", w.in("state")).want(t, exitUsage, "", "versions 1.0.0, 2.0.0")
	run("ext", "remove", "custom:plant.switch@1.0.0", "--state-dir", w.in("state")).want(t, exitOK, "removed custom:plant.switch 1.0.0", "")
	run("ext", "remove", "custom:plant.switch", "--state-dir", w.in("state")).want(t, exitOK, "removed custom:plant.switch 2.0.0", "")
	run("ext", "remove", "custom:plant.switch", "--state-dir", w.in("state")).want(t, exitError, "", "is not installed")
}

func TestExtInstallUnsigned(t *testing.T) {
	w := newWorkshop(t)
	dir := w.pack("switch", "1.0.0", "uptime", sysUpTime)
	w.ok("ext", "build", dir)
	unsigned := w.in("custom_plant.switch-1.0.0.unsigned.zip")
	run("ext", "install", unsigned, "--config", w.configuration("allow_unsigned: false")).want(t, exitCheck, "", "refused by the rule unsigned")
	path := w.configuration("allow_unsigned: true")
	run("ext", "install", unsigned, "--config", path).want(t, exitOK, "UNSIGNED", "")
	run("ext", "list", "--config", path).want(t, exitOK, "unsigned, allowed", "")
	run("ext", "verify", unsigned, "--config", path).want(t, exitOK, "signer     nobody", "")
}

func TestExtHistory(t *testing.T) {
	w := newWorkshop(t)
	history := func(more ...string) said {
		return run(append([]string{"ext", "history", "--state-dir", w.in("state")}, more...)...)
	}
	history().want(t, exitOK, "nothing is recorded", "")
	history("--verify").want(t, exitCheck, "there is no history here", "")
	if s := run("ext", "history", "--verify", "--json", "--state-dir", w.in("none")); s.code != exitCheck || strings.Contains(s.out, "head") || !strings.Contains(s.out, "there is no history here") {
		t.Errorf("exit %d: %s", s.code, s.out)
	}
	w.install(w.bundle("1.0.0", "uptime", "anna")).want(t, exitOK, "", "")
	var v historyVerdict
	if err := json.Unmarshal([]byte(history("--verify", "--json").out), &v); err != nil || !v.OK || v.Records != 1 || len(v.Head) != 64 {
		t.Fatalf("%+v, %v", v, err)
	}
	w.install(w.bundle("2.0.0", "uptime", "anna")).want(t, exitOK, "", "")
	history("--head", v.Head).want(t, exitOK, "2 records", "")
	history("--head", strings.Repeat("0", 64)).want(t, exitCheck, "no record has the hash", "")
	history("custom:plant.switch").want(t, exitOK, "instead of version 1.0.0", "")
	history("x").want(t, exitOK, "nothing is recorded", "")
	history("x", "--verify").want(t, exitUsage, "", "leave out NAME")
	var records []shownRecord
	if err := json.Unmarshal([]byte(history("--json").out), &records); err != nil || len(records) != 2 || records[0].Hash != v.Head || records[0].Kind != store.KindInstall {
		t.Errorf("%+v, %v", records, err)
	}

	// The end is cut off, and the index with it: only the known head tells.
	log := w.in("state/extensions/history.log")
	whole := mustRead(t, log)
	if err := json.Unmarshal([]byte(history("--verify", "--json").out), &v); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.in("state/extensions/index.json")); err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(whole, []byte("\n"))
	w.file("state/extensions/history.log", string(first)+"\n")
	history("--verify").want(t, exitOK, "1 record, each follows", "")
	history("--head", v.Head).want(t, exitCheck, "the end of the history was cut off", "")
	// A last line that the power cut is no crime; a changed one is.
	w.file("state/extensions/history.log", string(whole[:len(whole)-20]))
	history("--verify").want(t, exitOK, "the next record mends it", "")
	history().want(t, exitOK, "install", "warning: history.log, line 2")
	w.file("state/extensions/history.log", strings.Replace(string(whole), "1.0.0", "1.0.1", 1))
	history("--verify").want(t, exitCheck, "NOT as it was written: history.log, line 1", "")
	history("--verify", "--json").want(t, exitCheck, `"ok": false`, "")
}

// An install tells about how many points come of it; what is no file is told
// what to give instead.
func TestExtInstallTells(t *testing.T) {
	w := newWorkshop(t)
	w.pack("p", "1.0.0", "uptime", "1.3.6.1.2.1.1.3.0")
	w.ok("ext", "build", w.in("p"), "--out", w.in("unsigned.zip"))
	w.ok("ext", "sign", w.in("unsigned.zip"), "--cert", w.in("anna/anna.pem"), "--key", w.in("anna/anna.key"), "--out", w.in("p.zip"))
	trust := []string{"--roots", w.in("roots"), "--state-dir", w.in("state")}
	install := func(what string) said { return run(append([]string{"ext", "install", what}, trust...)...) }
	install("custom:plant.switch").want(t, exitError, "", "custom:plant.switch is no file; give the path of bundle.zip or extension.zip, or NAME@VERSION")
	install(w.in("p.zip")).want(t, exitOK, "points a day for each device or endpoint", "")
	install("custom:plant.switch").want(t, exitError, "", "an installed package is named with its version; give custom:plant.switch@1.0.0")
	install("custom:plant.switch@1.0.0").want(t, exitOK, "is installed and the active version", "")
}
