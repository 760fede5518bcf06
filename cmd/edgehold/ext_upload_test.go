package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/tenant/tenanttest"
)

const (
	tenantToken = "dt0c01.ALL.not-a-secret"
	writeToken  = "dt0c01.WRITE.not-a-secret"
)

// newTenant starts an environment's extensions API, every request to which must
// be as documented.
func newTenant(t *testing.T, o tenanttest.Options) *tenanttest.Server {
	t.Helper()
	o.Tokens = map[string][]string{
		tenantToken: {tenanttest.ScopeRead, tenanttest.ScopeWrite, tenanttest.ScopeConfigurations},
		writeToken:  {tenanttest.ScopeWrite},
	}
	s := tenanttest.Start(o)
	t.Cleanup(func() {
		s.Close()
		for _, b := range s.Broken() {
			t.Error("not as documented: " + b)
		}
	})
	return s
}

func switchManifest(version string) string {
	return "name: custom:site.switch\nversion: " + version + "\nsnmp:\n  - group: g\n    metrics:\n" +
		"      - {key: site.uptime, value: \"oid:1.3.6.1.2.1.1.3.0\"}\n"
}

// folder makes a folder of files that only their owner reads, and goes there.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

func TestExtUpload(t *testing.T) {
	s := newTenant(t, tenanttest.Options{Prefix: "/e/abc"})
	folder(t, map[string]string{"token": tenantToken + "\n", "b.zip": string(tenanttest.Bundle(switchManifest("1.0.0")))})
	upload := func(args ...string) said {
		return run(append([]string{"ext", "upload", "b.zip", "--url", s.URL, "--token-file", "token"}, args...)...)
	}
	upload("--validate-only").want(t, exitOK, "custom:site.switch 1.0.0 is sound; it was not kept\n", "")
	if held := s.Versions("custom:site.switch"); len(held) != 0 {
		t.Errorf("it holds %v", held)
	}
	upload("--activate", "--json").want(t, exitOK, `"activated": true`, "")
	if s.Active("custom:site.switch") != "1.0.0" {
		t.Error("not activated")
	}
	before := len(s.Requests())
	upload().want(t, exitCheck, "", "custom:site.switch 1.0.0 is in the environment already, and a version is never replaced; the next free one is 1.0.1")
	for _, r := range s.Requests()[before:] {
		if strings.HasPrefix(r, "POST") {
			t.Errorf("sent %s for a version that is taken", r)
		}
	}
	if err := s.Add(tenanttest.Bundle(switchManifest("1.4.9"))); err != nil {
		t.Fatal(err)
	}
	upload().want(t, exitCheck, "", "the next free one is 1.4.10: write version: 1.4.10 into extension.yaml")
	upload("--validate-only", "--activate").want(t, exitUsage, "", "validate-only")

	folder(t, map[string]string{"token": tenantToken, "b.zip": string(tenanttest.Bundle(switchManifest("2.0.0")))})
	upload().want(t, exitOK, "custom:site.switch 2.0.0 is uploaded\n", "")
	var checked bool
	for _, r := range s.Requests() {
		if r == "POST /api/v2/extensions?validateOnly=true" {
			checked = true
		} else if strings.HasPrefix(r, "POST") {
			if !checked {
				t.Errorf("uploaded without a check before: %v", s.Requests())
			}
			checked = false
		}
	}
}

// The environment's own words are shown, one line for each, with the mend.
func TestExtUploadRefused(t *testing.T) {
	s := newTenant(t, tenanttest.Options{})
	var held []string
	for i := range 10 {
		held = append(held, fmt.Sprintf("1.%d.0", 9-i))
	}
	for _, version := range held {
		if err := s.Add(tenanttest.Bundle(switchManifest(version))); err != nil {
			t.Fatal(err)
		}
	}
	folder(t, map[string]string{
		"token":        tenantToken,
		"full.zip":     string(tenanttest.Bundle(switchManifest("2.0.0"))),
		"foreign.zip":  string(tenanttest.SignedBundle("name: custom:other\nversion: 1.0.0\npython: {}\n", "not by us")),
		"unsigned.zip": string(tenanttest.SignedBundle(switchManifest("2.0.0"), "")),
		"odd.zip":      string(tenanttest.Bundle("name: custom:../x\nversion: 1.0.0\n")),
	})
	upload := func(bundle string) said {
		return run("ext", "upload", bundle, "--url", s.URL, "--token-file", "token")
	}
	upload("full.zip").want(t, exitCheck, "", "the environment refuses full.zip: Constraints violated.\n  extension.zip: the limit of versions is reached\n"+
		"it holds 10 versions of this extension, and at most 10 are possible: delete one there, the lowest is 1.0.0\n")
	upload("foreign.zip").want(t, exitCheck, "", "extension.zip: Extension signature is not valid\nthe environment knows only signers whose root is in its credential vault")
	upload("unsigned.zip").want(t, exitError, "", "edgehold ext sign")
	upload("odd.zip").want(t, exitError, "", "is not the name of an extension")
	upload("none.zip").want(t, exitError, "", "no such file")
}

// The token is found by itself, and only where others cannot read it.
func TestExtUploadToken(t *testing.T) {
	s := newTenant(t, tenanttest.Options{})
	bundle := string(tenanttest.Bundle(switchManifest("1.0.0")))
	upload := func() said { return run("ext", "upload", "dir/b.zip", "--url", s.URL, "--validate-only") }

	folder(t, map[string]string{"dir/b.zip": bundle})
	upload().want(t, exitUsage, "", "with --token-file, or put it into dir/plugin_upload.token or plugin_upload.token")
	run("ext", "upload", "dir/b.zip", "--token-file", "x").want(t, exitUsage, "", "--url https://abc12345.live.dynatrace.com")

	folder(t, map[string]string{"dir/b.zip": bundle, "plugin_upload.token": tenantToken})
	upload().want(t, exitOK, "is sound", "the token is that of plugin_upload.token")

	dir := folder(t, map[string]string{"dir/b.zip": bundle, "plugin_upload.token": "dt0c01.OTHER", "dir/plugin_upload.token": writeToken})
	upload().want(t, exitOK, "is sound", "the token is that of dir/plugin_upload.token")
	upload().want(t, exitOK, "is sound", "lacks the scope extensions.read")

	beside := filepath.Join(dir, "dir", "plugin_upload.token")
	if err := os.Chmod(beside, 0o644); err != nil {
		t.Fatal(err)
	}
	upload().want(t, exitError, "", "chmod o-rwx dir/plugin_upload.token")
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	bad := upload()
	bad.want(t, exitError, "", "make an access token with the scope extensions.read")
	if strings.Contains(bad.out+bad.err, "dt0c01.OTHER") {
		t.Errorf("shows the token: %s", bad.err)
	}
}

// A busy environment is asked again; one that stays busy is not for ever.
func TestExtUploadBusy(t *testing.T) {
	s := newTenant(t, tenanttest.Options{})
	folder(t, map[string]string{"plugin_upload.token": tenantToken, "b.zip": string(tenanttest.Bundle(switchManifest("1.0.0")))})
	at := http.Header{"Retry-After": {"0"}}
	s.Fail(tenanttest.Fault{Method: "POST", Status: 409, Times: 2, Header: at})
	s.Fail(tenanttest.Fault{Method: "GET", Status: 429, Times: 3, Header: at})
	run("ext", "upload", "b.zip", "--url", s.URL).want(t, exitOK, "is uploaded", "")
	s.Fail(tenanttest.Fault{Status: 429, Times: 99, Header: at})
	run("ext", "upload", "b.zip", "--url", s.URL).want(t, exitError, "", "try again later")
}

func TestExtUploadJSON(t *testing.T) {
	s := newTenant(t, tenanttest.Options{})
	folder(t, map[string]string{"plugin_upload.token": tenantToken, "b.zip": string(tenanttest.Bundle(switchManifest("1.0.0")))})
	answer := run("ext", "upload", "b.zip", "--url", s.URL, "--json")
	var u uploaded
	if err := json.Unmarshal([]byte(answer.out), &u); err != nil || answer.code != exitOK {
		t.Fatalf("%+v, %v", answer, err)
	}
	if len(u.SHA256) != 64 || u != (uploaded{"custom:site.switch", "1.0.0", u.SHA256, true, false}) {
		t.Errorf("%+v", u)
	}
}
