package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The file that the packages bring, before somebody has filled it in: one line
// says what to do, and the exit code keeps the service from being started again.
func TestFirstStartSaysWhatToDo(t *testing.T) {
	text, err := os.ReadFile("../../packaging/edgehold.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "edgehold.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	want := "edgehold: " + path + ":1:1: nothing is configured yet; run `sudo edgehold init`, or write at least `site:` and `uplink:`\n"
	for _, command := range [][]string{{"run"}, {"relay"}} {
		s := run(append(command, "--config", path)...)
		if s.code != exitConfig || s.err != want || s.out != "" {
			t.Errorf("%v: exit code %d, %q and %q", command, s.code, s.out, s.err)
		}
	}
	// And filled in as its words say, it is in order.
	filled := strings.NewReplacer("\n#site:", "\nsite:", "\n#uplink:", "\nuplink:", "\n#  dynatrace", "\n  dynatrace",
		"\n#    url:", "\n    url:", "\n#    token_file: /etc/edgehold/secrets/token", "\n    token_file: token").Replace(string(text))
	if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "token"), []byte("dt0c01.X"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "--config", path).want(t, exitOK, ": good", "")
}
