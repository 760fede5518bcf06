package linktest

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// inside is set in the environment of a test that is run again.
const inside = "EDGEHOLD_LINKTEST_INSIDE"

// again runs the test alone in a process that is root of a user namespace, and
// ends it here with what came of it there.
func again(t testing.TB) {
	t.Helper()
	if os.Getenv(inside) != "" {
		t.Skip("no root, not even in a user namespace")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run="+pattern(t.Name()))
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, // only from one of its own can it go to others and back
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("no root, and no user namespace: %v", err)
	}
	err := cmd.Wait()
	switch {
	case err != nil:
		t.Fatalf("failed in a user namespace (%v):\n%s", err, out.String())
	case bytes.Contains(out.Bytes(), []byte("--- SKIP")):
		t.Skipf("skipped in a user namespace:\n%s", out.String())
	}
	t.Skip("run as root of a user namespace instead, and passed there")
}

// pattern selects one test, or one test in another.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
