package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStateDirOf(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"state_dir: /srv/eh\nbroken: [":  Default().StateDir,
		"state_dir: /srv/eh\nunknown: 1": "/srv/eh",
		"state_dir: eh":                  filepath.Join(dir, "eh"),
		"site: x":                        Default().StateDir,
		"state_dir: [a]":                 Default().StateDir,
	} {
		path := filepath.Join(dir, "edgehold.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := StateDirOf(path); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := StateDirOf(filepath.Join(dir, "nothing.yaml")); got != Default().StateDir {
		t.Errorf("no file: %s", got)
	}
}
