package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestBill makes the bill of this very test program and holds it against what
// `go version -m` says of it and what go.sum has of its modules.
func TestBill(t *testing.T) {
	t.Chdir("..") // go.sum lies there
	t.Setenv("SOURCE_DATE_EPOCH", "1795311412")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artefact := filepath.Join(t.TempDir(), "edgehold_1.0-1_amd64.deb")
	if err := os.WriteFile(artefact, []byte("a package"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&out, &again} {
		if err := run([]string{artefact, "1.0", program}, w); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("two runs give different bytes")
	}
	var doc document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	main := doc.Metadata.Component
	sum := sha256.Sum256([]byte("a package"))
	if main.Name != "edgehold_1.0-1_amd64.deb" || main.Version != "1.0" || main.Type != "application" || main.Hashes[0].Content != hex.EncodeToString(sum[:]) {
		t.Errorf("the artefact is %+v", main)
	}
	if doc.Metadata.Timestamp != "2026-11-22T01:36:52Z" {
		t.Errorf("the time is %s", doc.Metadata.Timestamp)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(doc.Serial) {
		t.Errorf("the serial number is %s", doc.Serial)
	}
	checkComponents(t, doc, linked(t, program))
}

// linked are the modules in a program, as "path version", and Go itself.
func linked(t *testing.T, program string) (names []string) {
	t.Helper()
	said, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(said), "\n") {
		f := strings.Fields(line)
		if i == 0 {
			names = append(names, "std "+strings.TrimPrefix(f[len(f)-1], "go"))
		} else if len(f) > 2 && f[0] == "dep" {
			names = append(names, f[1]+" "+f[2])
		}
	}
	slices.Sort(names)
	return names
}

func checkComponents(t *testing.T, doc document, want []string) {
	t.Helper()
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	var got, refs []string
	for _, c := range doc.Components {
		got, refs = append(got, c.Name+" "+c.Version), append(refs, c.Ref)
		if known := strings.Contains(string(sums), c.Name+" "+c.Version+" h1:"); known != (len(c.Hashes) == 1) {
			t.Errorf("%s has %d checksums; go.sum knows it: %v", c.Ref, len(c.Hashes), known)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("components are\n%q, want\n%q", got, want)
	}
	if doc.Dependencies[0].Ref != doc.Metadata.Component.Ref || !slices.Equal(doc.Dependencies[0].DependsOn, refs) {
		t.Errorf("the artefact depends on %q, not on its components", doc.Dependencies[0].DependsOn)
	}
}

func TestBillRefuses(t *testing.T) {
	t.Chdir("..")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		date string
		want string
	}{
		"no binary":   {[]string{text, "1.0"}, "1", "usage"},
		"no time":     {[]string{text, "1.0", text}, "", "SOURCE_DATE_EPOCH"},
		"no program":  {[]string{text, "1.0", text}, "1", "build information of " + text},
		"no artefact": {[]string{text + "x", "1.0", text}, "1", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", c.date)
			if err := run(c.args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one on %q", err, c.want)
			}
		})
	}
}
