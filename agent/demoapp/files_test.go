package demoapp

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrite gives the files that lie under packaging/examples, byte for byte.
func TestWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "tutorial")
	if err := Write(folder); err != nil {
		t.Fatal(err)
	}
	examples := os.DirFS("../../packaging/examples")
	for _, name := range []string{"demo-app/extension.yaml", "demo-app.json", "edgehold.yaml"} {
		want, err := fs.ReadFile(examples, name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from packaging/examples: copy one over the other (%v)", name, err)
		}
	}
	if err := Write(folder); err == nil || !strings.Contains(err.Error(), "name a folder that is not there yet") {
		t.Errorf("a second time: %v", err)
	}
}
