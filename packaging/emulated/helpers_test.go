package emulated

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const (
	distVariable = "EDGEHOLD_EMULATED_DIST" // the folder of the binaries; default: dist
	seedVariable = "EDGEHOLD_EMULATED_SEED"
	soakVariable = "EDGEHOLD_SOAK"
	formVariable = "EDGEHOLD_EMULATED" // short, or nothing
)

// patience is for a host that is busy with other things.
const patience = 3 * time.Minute

// memoryLimit is what the agent may need on the smallest gateway, in bytes.
const memoryLimit = 64 << 20

// diskModules are what a disk with ext4 takes on the board virt.
func diskModules() []string { return []string{"virtio_mmio", "virtio_blk", "crc32c_generic", "ext4"} }

// shipped is the agent as it is shipped.
func shipped(t *testing.T, arch string) []byte {
	t.Helper()
	dist := os.Getenv(distVariable)
	if dist == "" {
		dist = filepath.Join(repository, "dist")
	}
	data, err := os.ReadFile(filepath.Join(dist, "edgehold-linux-"+arch))
	if err != nil {
		t.Fatalf("read the binary: %v; packaging/cross.sh %s builds it", err, arch)
	}
	return data
}

// scratch is a new folder with a short path, as sockets want.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "emulated-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newDisk is a file with an ext4 of so many megabytes that holds these files.
func newDisk(t *testing.T, megabytes int64, files map[string][]byte) string {
	t.Helper()
	dir := scratch(t)
	path, content := filepath.Join(dir, "disk"), filepath.Join(dir, "content")
	if err := os.Mkdir(content, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(content, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkfs := "mkfs.ext4"
	if _, err := exec.LookPath(mkfs); err != nil {
		mkfs = "/usr/sbin/mkfs.ext4" // where a user's PATH does not lead
	}
	out, err := exec.Command(mkfs, "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
		"-d", content, path, strconv.FormatInt(megabytes, 10)+"M").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", mkfs, err, out)
	}
	return path
}

// boot starts a machine, and ends it with the test.
func boot(t *testing.T, m Machine) *Guest {
	t.Helper()
	m.Dir = scratch(t)
	began := time.Now()
	g, err := m.Boot(limit(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	t.Logf("booted in %.1f s", time.Since(began).Seconds())
	return g
}

// limit is the test's context, for so long.
func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// must runs a program in the guest, which has to end well.
func must(t *testing.T, g *Guest, args ...string) string {
	t.Helper()
	r, err := g.Run(limit(t, patience), args...)
	if err != nil || r.Exit != 0 {
		t.Fatalf("%q ended with %d (%v): %s\n%s", args, r.Exit, err, r.Out, g.Console())
	}
	return r.Out
}

// begin starts a program in the guest.
func begin(t *testing.T, g *Guest, c Command) *Process {
	t.Helper()
	p, err := g.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// parse reads a line of JSON; one that is not there gives zeros.
func parse[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if text == "" {
		return v
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("read %q: %v", text, err)
	}
	return v
}

// architectures are those of the ARM binaries, the slower one last. In the short
// form the boards alone run the other one.
func architectures() []string {
	if short() {
		return []string{"arm64"}
	}
	return []string{"arm64", "armv7"}
}

func short() bool { return os.Getenv(formVariable) == "short" }

// onlyLong leaves a test out of the short form.
func onlyLong(t *testing.T) {
	t.Helper()
	if short() {
		t.Skipf("%s=%s leaves it out", formVariable, os.Getenv(formVariable))
	}
}

func soak() bool { return os.Getenv(soakVariable) != "" }
