package extension

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A FIFO among a site's profiles is refused, not waited for.
func TestProfilesAreFiles(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "modbus"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() error{
		"a.yaml":        func() error { _, err := OpenProfiles(os.DirFS(folder), folder); return err },
		"modbus/b.yaml": func() error { _, err := OpenModbusProfiles(os.DirFS(folder), folder); return err },
	} {
		path := filepath.Join(folder, name)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
