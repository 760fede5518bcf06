package tenant_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/tenant"
)

// Of every public package it is said whether it runs, with a reason wherever it
// does not do so whole.
func TestJudgePublicPackages(t *testing.T) {
	root := os.Getenv("EDGEHOLD_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	corpus := os.DirFS(filepath.Join(root, "extensions"))
	if _, err := fs.Stat(corpus, "."); err != nil {
		t.Skipf("SKIPPED: no public packages at %s, set EDGEHOLD_CORPUS", root)
	}
	counts := map[tenant.Runs]int{}
	err := fs.WalkDir(corpus, ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || path.Base(file) != "extension.yaml" {
			return err
		}
		folder, err := fs.Sub(corpus, path.Dir(file))
		if err != nil {
			return err
		}
		j := tenant.JudgePackage(folder, file, nil)
		if (j.Runs == tenant.RunsYes) != (len(j.Why) == 0) {
			t.Errorf("%s: %+v", file, j)
		}
		m, _, err := extension.ParseManifest(folder, file)
		if collects := err == nil && len(m.Metrics) > 0; collects && j.Runs == tenant.RunsNo {
			t.Errorf("%s has metrics and is said not to run: %v", file, j.Why)
		}
		counts[j.Runs]++
		t.Log(file, j.Runs, j.Why)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if counts[tenant.RunsYes] < 5 || counts[tenant.RunsNo] == 0 {
		t.Errorf("%v", counts)
	}
}
