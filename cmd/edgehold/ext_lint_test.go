package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/extension"
)

const lintedManifest = `name: custom:site.ups
version: 1.0.0
minDynatraceVersion: "1.300.0"
author: {name: Site}
snmp:
  - group: g
    dimensions:
      - {key: sys.contact, value: "oid:1.3.6.1.2.1.1.4.0"}
    metrics:
      - {key: ups.load, value: "oid:1.3.6.1.2.1.33.1.4.4.1.5.1"}
`

// zipped packs one file.
func zipped(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every form of a package gives the same findings, with the path that was given.
func TestExtLint(t *testing.T) {
	for name, text := range map[string]string{"good": lintedManifest, "bad": strings.Replace(lintedManifest, "1.0.0", "1.0", 1)} {
		dir := t.TempDir()
		inner := zipped(t, "extension.yaml", []byte(text))
		for file, content := range map[string][]byte{
			"p/extension.yaml": []byte(text), "extension.zip": inner, "bundle.zip": zipped(t, "extension.zip", inner),
		} {
			file = filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, form := range []string{"p", "extension.zip", "bundle.zip"} {
			form = filepath.Join(dir, form)
			s := run("ext", "lint", form)
			if name == "good" {
				s.want(t, exitOK, "warning "+form+"/extension.yaml:8:15: the dimension sys.contact leaves the site", "")
				s.want(t, exitOK, "0 errors, 1 warning\nread only: ", "")
				continue
			}
			s.want(t, exitCheck, "error   "+form+"/extension.yaml:2:10: the version is \"1.0\", not three numbers; write major.minor.build, such as 1.0.0 [version]\n", "")
			checkLintJSON(t, form)
		}
	}
	run("ext", "lint").want(t, exitUsage, "", "accepts 1 arg(s)")
	run("ext", "lint", filepath.Join(t.TempDir(), "none")).want(t, exitError, "", "give the path of a package folder")
}

func checkLintJSON(t *testing.T, form string) {
	t.Helper()
	s := run("ext", "lint", form, "--json")
	var r extension.Report
	if err := json.Unmarshal([]byte(s.out), &r); err != nil || s.code != exitCheck {
		t.Fatalf("exit %d, %v: %s", s.code, err, s.out)
	}
	if len(r.Errors) != 1 || len(r.Warnings) != 1 || !r.ReadOnly || r.Errors[0].Rule != "version" || r.Errors[0].Line != 2 || r.Errors[0].Column != 10 {
		t.Errorf("%+v", r)
	}
}

// Whoever lints a package hears whether it only reads, and what it would give.
func TestExtLintTellsRequestsAndPoints(t *testing.T) {
	const head = "name: custom:x\nversion: 1.0.0\nminDynatraceVersion: \"1.256\"\nauthor: {name: me}\n"
	for _, tt := range []struct{ name, manifest, want string }{
		{"get", "http: [{group: g, request: {path: /a}, metrics: [{key: x.a, value: path:a}]}]\n", "0 errors, 0 warnings\nread only: the schema of its data sources has no way to change a device, and the agent sends no SET\nabout 1,440 points a day for each device or endpoint, taking 10 items in each list; events come on top\n"},
		{"post", "http: [{group: g, request: {path: /a, method: POST}, metrics: [{key: x.a, value: path:a}]}]\n", "asks with POST, which an application may take as an order to change something; make sure that it only reads, and use GET where the application has it [read_only]\n0 errors, 1 warning\nnot known to be read only: see the findings"},
		{"sets", "prometheus: [{group: g, featureSet: A, metrics: [{key: x.a, value: \"metric:a\", type: gauge}]}]\n", "about 0 points a day for each device or endpoint without feature sets, 1,440 with all, taking 10 series"},
		{"table", "snmp: [{group: g, subgroups: [{subgroup: s, table: true, metrics: [{key: x.a, value: \"oid:1.3.6.1.4.1.9.9.1.1.1\", type: gauge}]}]}]\n", "how many points that is in a day nobody knows before a device was asked"},
		{"broken", "snmp: [\n", "not known to be read only: the package could not be read so far\n"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "extension.yaml"), []byte(head+tt.manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := run("ext", "lint", dir); !strings.Contains(s.out, tt.want) {
			t.Errorf("%s: it says\n%s%s\nnot\n%s", tt.name, s.out, s.err, tt.want)
		}
	}
}
