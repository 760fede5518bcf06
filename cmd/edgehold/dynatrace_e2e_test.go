package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestE2EShownPackage builds and signs the package for Dynatrace with the
// commands of the manual, as they stand there.
func TestE2EShownPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "packaging/dynatrace"), os.DirFS("../../packaging/dynatrace")); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	edgehold(t, "ext", "ca", "--out", in("ca"), "--name", "root", "--key", "p256", "--plain").mustSay(t, 0)
	edgehold(t, "ext", "cert", "--ca", in("ca"), "--category", "site", "--name", "anna", "--out", in("anna"), "--key", "p256", "--plain").mustSay(t, 0)
	page, err := os.ReadFile("../../packaging/manual/dynatrace.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n## 1.")
	text, _, _ = strings.Cut(text, "\n## 2.")
	commands := 0
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "edgehold" {
			continue
		}
		cmd := exec.Command(program(t), words[1:]...)
		cmd.Dir = dir
		finish(t, cmd).mustSay(t, 0)
		commands++
	}
	if commands != 3 {
		t.Errorf("%d commands, want lint, build and sign", commands)
	}
	edgehold(t, "ext", "verify", in("custom_edgehold-1.0.0.zip"), "--roots", in("ca")).mustSay(t, 0, "custom:edgehold", "anna")
}
