package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
)

// TestReloadOfWhatNeedsAStart changes where the store is: until the next start
// status goes on to name the one in use, and each reload says so again.
func TestReloadOfWhatNeedsAStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "edgehold.yaml")
	write := func(state string) {
		t.Helper()
		text := "site: x\nstate_dir: " + filepath.Join(dir, state) + "\nuplink: {dynatrace: {url: \"http://127.0.0.1:9\", token_file: " +
			filepath.Join(dir, "token") + "}}\n"
		for name, content := range map[string]string{path: text, filepath.Join(dir, "token"): "t"} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("one")
	var log strings.Builder
	a, err := New(Options{Path: path, NewLog: func(config.Log) zerolog.Logger { return zerolog.New(&log) }})
	if err != nil {
		t.Fatal(err)
	}
	defer a.store.Close()
	write("two")
	for range 2 {
		var part *control.Incomplete
		if err := a.Reload(t.Context()); !errors.As(err, &part) || len(part.Problems) != 1 || !strings.HasPrefix(part.Problems[0], "state_dir: ") {
			t.Errorf("Reload: %v", err)
		}
	}
	if got, want := a.Status().Buffer.Path, filepath.Join(dir, "one", StoreFile); got != want {
		t.Errorf("status names the store %s, want %s", got, want)
	}
	if n := strings.Count(log.String(), "takes effect at the next start"); n != 2 {
		t.Errorf("%d of 2 reloads said that state_dir needs a start:\n%s", n, &log)
	}
}
