package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCheckShowsPrivacy(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"e.yaml": "site: s\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\nprivacy_file: p.yaml\n",
		"p.yaml": "rules:\n- {dimension: site, action: drop}\n- {dimension: a, metric: \"x.*\", action: drop}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := run("check", "--config", filepath.Join(dir, "e.yaml"))
	s.want(t, exitOK, "privacy policy: 2 rules", "p.yaml:2:15: rules[0].dimension: drops site, without which two sites")
	s.want(t, exitOK, "p.yaml:3:3: drop a of x.*\n", "")
	run("check", "--json", "--config", filepath.Join(dir, "e.yaml")).want(t, exitOK, `"rule": "drop a of x.*"`, "")
}
