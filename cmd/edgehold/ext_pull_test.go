package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/tenant"
	"github.com/edgehold/edgehold/agent/tenant/tenanttest"
)

const plantValue = `{"enabled": true, "description": "Plant 7, hall", "version": "1.2.0", "featureSets": ["all"], "snmp": {"devices": [
  {"ip": "192.0.2.1", "port": 161, "authentication": {"type": "SNMPv2c", "community": "red house"}},
  {"ip": "192.0.2.2", "port": 161, "authentication": {"type": "SNMPv3", "userName": "edge", "securityLevel": "AUTH_PRIV",
    "authProtocol": "SHA256", "authPassword": "green house", "privProtocol": "AES", "privPassword": "blue house"}}]}}`

// plantTenant holds extensions of several kinds, one of them with two
// configurations.
func plantTenant(t *testing.T, o tenanttest.Options) *tenanttest.Server {
	t.Helper()
	s := newTenant(t, o)
	partly := switchManifest("3.0.0") + `      - {key: site.odd, value: "oid:1.3.6.1.2.1.1.8.0", type: histogram}` + "\n"
	for _, manifest := range []string{
		switchManifest("1.2.0"), switchManifest("1.10.0"),
		strings.Replace(partly, "custom:site.switch", "custom:site.partly", 1),
		"name: com.vendor.script\nversion: 7.0.0\npython: {}\n",
		"name: com.vendor.both\nversion: 1.0.0\npython: {}\n" + strings.SplitAfterN(switchManifest("1.0.0"), "\n", 3)[2],
	} {
		if err := s.Add(tenanttest.Bundle(manifest)); err != nil {
			t.Fatal(err)
		}
	}
	s.Activate("custom:site.switch", "1.2.0")
	var value map[string]any
	if err := json.Unmarshal([]byte(plantValue), &value); err != nil {
		t.Fatal(err)
	}
	s.Configure("custom:site.switch", tenanttest.Configuration{ID: "id-1", Scope: "ag_group-plant", Value: value})
	s.Configure("custom:site.switch", tenanttest.Configuration{ID: "id-2", Scope: "ag_group-yard", Value: map[string]any{
		"enabled": false, "version": "1.10.0", "snmp": map[string]any{"devices": []any{}},
	}})
	return s
}

func TestExtPullList(t *testing.T) {
	s := plantTenant(t, tenanttest.Options{PageSize: 2})
	folder(t, map[string]string{"plugin_upload.token": tenantToken})
	list := run("ext", "pull", "--url", s.URL)
	list.want(t, exitOK, "", "")
	var rows []string
	for line := range strings.Lines(list.out) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"EXTENSION VERSION ACTIVE RUNS HERE WHY",
		"com.vendor.both 1.0.0 no partly python: its code needs the vendor's Python engine",
		"com.vendor.script 7.0.0 no no python: its code needs the vendor's Python engine",
		"custom:site.partly 3.0.0 no yes its data source is snmp",
		"custom:site.switch 1.2.0 yes yes its data source is snmp",
	}
	if strings.Join(rows, "\n") != strings.Join(want, "\n") {
		t.Errorf("list:\n%s", list.out)
	}
	var found []listed
	some := run("ext", "pull", "--url", s.URL, "--name", "switch", "--json")
	if err := json.Unmarshal([]byte(some.out), &found); err != nil || len(found) != 1 || !found[0].Active || found[0].Runs != tenant.RunsYes {
		t.Errorf("%+v, %v", found, err)
	}
	run("ext", "pull", "--url", s.URL, "--name", "nothing", "--json").want(t, exitOK, "[]\n", "")
	run("ext", "pull", "--url", s.URL, "--name", "x", "custom:site.switch").want(t, exitUsage, "", "--name is for the list")
	run("ext", "pull", "--url", s.URL, "../x").want(t, exitUsage, "", "is not the name of an extension")

	s.Fail(tenanttest.Fault{Path: "com.vendor.both/1.0.0", Status: 404})
	run("ext", "pull", "--url", s.URL).want(t, exitError, "custom:site.switch  1.2.0", "did not tell enough")
}

// TestCredentialLine: each kind of credential is written with the key that the
// agent's configuration has for it.
func TestCredentialLine(t *testing.T) {
	for want, c := range map[string]tenant.Credential{
		"a-1: {community_file: /etc/edgehold/a-1.community}":             {Name: "a-1", Version: "2c"},
		"a-2: {password_file: /etc/edgehold/a-2.password}":               {Name: "a-2", Web: "password"},
		"a-3: {token_file: /etc/edgehold/a-3.token}":                     {Name: "a-3", Web: "token"},
		`a-4: {user: "u", auth: SHA, auth_file: /etc/edgehold/a-4.auth}`: {Name: "a-4", Version: "3", User: "u", Auth: "SHA"},
	} {
		if got := credentialLine(c); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// What is pulled is a package and configurations that the agent takes, once the
// credentials are there that the command asks for.
func TestExtPull(t *testing.T) {
	s := plantTenant(t, tenanttest.Options{Prefix: "/e/abc", PageSize: 1})
	dir := folder(t, map[string]string{"token": tenantToken})
	pull := func(args ...string) said {
		return run(append([]string{"ext", "pull", "--url", s.URL, "--token-file", "token", "--out", "got"}, args...)...)
	}
	first := pull("custom:site.switch")
	for _, words := range []string{
		"custom:site.switch 1.2.0: got/custom_site.switch-1.2.0.zip\n  runs here: yes\n",
		"configuration got/custom_site.switch-1.2.0-plant-7-hall.json (ag_group-plant)",
		"[0].value.snmp.devices[0].authentication.community: {{custom-site.switch-1}}",
		"[0].value.snmp.devices[1].authentication.privPassword: {{custom-site.switch-2}}",
		"custom-site.switch-1: {community_file: /etc/edgehold/custom-site.switch-1.community} # devices: 1",
		`custom-site.switch-2: {user: "edge", auth: SHA256, auth_file: /etc/edgehold/custom-site.switch-2.auth, priv: AES, priv_file: /etc/edgehold/custom-site.switch-2.priv}`,
		"cannot be used here: custom_site.switch-1.2.0-yard.json:", // the second one has no devices
		"edgehold ext verify got/custom_site.switch-1.2.0.zip",
	} {
		first.want(t, exitOK, words, "")
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "got", "custom_site.switch-1.2.0.zip"))
	if err != nil || !bytes.Equal(bundle, tenanttest.Bundle(switchManifest("1.2.0"))) {
		t.Errorf("%d bytes, %v", len(bundle), err)
	}
	path := filepath.Join(dir, "got", "custom_site.switch-1.2.0-plant-7-hall.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	checkPulled(t, dir, path)

	// Nothing is replaced, and nothing is half written.
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "got", "custom_site.switch-1.2.0.zip")); err != nil {
		t.Fatal(err)
	}
	pull("custom:site.switch").want(t, exitError, "", "hall.json is there already; --force replaces it")
	data, err := os.ReadFile(path)
	if left := names(t, filepath.Join(dir, "got")); err != nil || string(data) != "mine" || len(left) != 2 {
		t.Errorf("it holds %q, beside %v, %v", data, left, err)
	}
	pull("--force", "custom:site.switch").want(t, exitOK, "runs here: yes", "")
	if data, err = os.ReadFile(path); err != nil || !strings.Contains(string(data), "{{custom-site.switch-1}}") {
		t.Errorf("it holds %q, %v", data, err)
	}
	if left := names(t, filepath.Join(dir, "got")); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// checkPulled loads the configuration that the command proposed.
func checkPulled(t *testing.T, dir, path string) {
	t.Helper()
	for name, secret := range map[string]string{"c": "red house", "a": "green house", "p": "blue house", "token": tenantToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "e.yaml")
	yaml := `site: s
uplink: {dynatrace: {url: "http://127.0.0.1:9", token_file: token}}
trust: {allow_unsigned: true}
credentials:
  custom-site.switch-1: {community_file: c}
  custom-site.switch-2: {user: "edge", auth: SHA256, auth_file: a, priv: AES, priv_file: p}
extensions:
  - {package: got/custom_site.switch-1.2.0.zip, configuration: "` + path + `"}
`
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(file, kinds())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := extension.ParseConfiguration(data, path)
	if err != nil || len(all) != 1 || all[0].HoldsSecrets() {
		t.Fatalf("%+v, %v", all, err)
	}
	devices, err := all[0].Devices(cfg.Credentials)
	if err != nil || len(devices) != 2 || devices[0].Credentials[0].Community.Reveal() != "red house" || devices[1].Credentials[0].PrivPass.Reveal() != "blue house" {
		t.Errorf("%+v, %v", devices, err)
	}
}

func TestExtPullVersions(t *testing.T) {
	s := plantTenant(t, tenanttest.Options{})
	folder(t, map[string]string{"plugin_upload.token": tenantToken})
	answer := run("ext", "pull", "--url", s.URL, "--json", "custom:site.switch@1.10.0", "custom:site.partly", "com.vendor.both", "com.vendor.script@7.0.0")
	var all []pulled
	if err := json.Unmarshal([]byte(answer.out), &all); err != nil || answer.code != exitOK || len(all) != 4 {
		t.Fatalf("%+v, %v", answer, err)
	}
	for i, want := range []struct {
		file           string
		runs           tenant.Runs
		configurations int
		why            string
	}{
		{"custom_site.switch-1.10.0.zip", tenant.RunsYes, 1, ""},
		{"custom_site.partly-3.0.0.zip", tenant.RunsPartly, 0, "site.odd left out"},
		{"com.vendor.both-1.0.0.zip", tenant.RunsPartly, 0, "Python engine"},
		{"com.vendor.script-7.0.0.zip", tenant.RunsNo, 0, "Python engine"},
	} {
		p := all[i]
		if p.File != want.file || p.Runs != want.runs || len(p.Configurations) != want.configurations || !strings.Contains(strings.Join(p.Why, ";"), want.why) {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
	run("ext", "pull", "--url", s.URL, "custom:none").want(t, exitError, "", "the environment has no extension custom:none")
	run("ext", "pull", "--url", s.URL, "custom:site.switch@9.9.9").want(t, exitError, "", "check the name and the version")
}

// What arrives must be what was asked for.
func TestExtPullDamaged(t *testing.T) {
	s := plantTenant(t, tenanttest.Options{})
	dir := folder(t, map[string]string{"plugin_upload.token": tenantToken})
	type fault struct {
		path, body, want string
	}
	for _, f := range []fault{
		{"site.switch/1.2.0", `{"extensionName":"custom:site.switch","version":"1.10.0"}`, "the environment tells of custom:site.switch 1.10.0"},
		{"site.switch/1.2.0", `{"extensionName":"custom:site.switch","version":"1.2.0","fileHash":"00ff"}`, "arrived damaged"},
		{"site.switch/1.2.0", `not JSON`, "not as documented"},
		{"site.switch/monitoringConfigurations", `{"items":[{"value":{},"scope":1}]}`, "not as documented"},
	} {
		s.Fail(tenanttest.Fault{Path: f.path, Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(f.body)})
		run("ext", "pull", "--url", s.URL, "--out", "got", "custom:site.switch").want(t, exitError, "", f.want)
	}
	// The second question for the version is the one for the file.
	meta := `{"extensionName":"custom:site.switch","version":"1.2.0","dataSources":["snmp"]}`
	for _, f := range []fault{
		{"", "PK\x03\x04 and no more", "the environment's file of custom:site.switch 1.2.0"},
		{"", string(tenanttest.Bundle(switchManifest("1.10.0"))), "gave the package of custom:site.switch 1.10.0"},
		{"", "<html>", "gave no zip file"},
	} {
		s.Fail(tenanttest.Fault{Path: "site.switch/1.2.0", Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(meta)})
		s.Fail(tenanttest.Fault{Path: "site.switch/1.2.0", Status: 200, Header: http.Header{"Content-Type": {"application/octet-stream"}}, Body: []byte(f.body)})
		run("ext", "pull", "--url", s.URL, "--out", "got", "custom:site.switch").want(t, exitError, "", f.want)
	}
	if left := names(t, filepath.Join(dir, "got")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestExtPullScopes(t *testing.T) {
	s := plantTenant(t, tenanttest.Options{})
	folder(t, map[string]string{"token": writeToken, "wide": tenantToken})
	run("ext", "pull", "--url", s.URL, "--token-file", "token").want(t, exitError, "", "the token needs the scope extensions.read")
	if err := os.Chmod("wide", 0o604); err != nil {
		t.Fatal(err)
	}
	run("ext", "pull", "--url", s.URL, "--token-file", "wide").want(t, exitError, "", "chmod o-rwx wide")
	run("ext", "pull", "--url", "http://192.0.2.1", "--token-file", "token").want(t, exitError, "", "clear text")
}
