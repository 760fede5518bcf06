package main_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// At a terminal `ext adopt` shows its review and asks; only yes signs.
func TestE2EExtAdoptAsks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	edgehold(t, "ext", "ca", "--out", in("ca"), "--name", "root", "--key", "p256", "--plain").mustSay(t, 0)
	edgehold(t, "ext", "cert", "--ca", in("ca"), "--category", "network", "--name", "anna", "--out", in("anna"), "--key", "p256", "--plain").mustSay(t, 0)
	if err := os.Mkdir(in("src"), 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := "name: custom:asks\nversion: 1.0.0\nminDynatraceVersion: \"1.256\"\nauthor: {name: me}\nsnmp:\n" +
		"  - {group: g, interval: {minutes: 1}, metrics: [{key: asks.uptime, value: \"oid:1.3.6.1.2.1.1.3.0\", type: gauge}]}\n"
	if err := os.WriteFile(in("src/extension.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	edgehold(t, "ext", "build", in("src"), "--out", in("unsigned.zip")).mustSay(t, 0)
	for _, c := range []struct {
		keys string
		code int
	}{{"no\n", 1}, {"\x03", 1}, {"yes\n", 0}} {
		master, slave := terminal(t)
		cmd := exec.Command(program(t), "ext", "adopt", in("unsigned.zip"), "--cert", in("anna/anna.pem"), "--key", in("anna/anna.key"),
			"--out", in("signed.zip"), "--state-dir", in("state"))
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := &said{}
		go func() { _, _ = io.Copy(out, master) }() // ends with the terminal
		eventually(t, "the question", func() bool { return out.has("Type yes to sign it: ") })
		if !out.has("NOBODY") || !out.has("1.3.6.1.2.1.1.3.0") {
			t.Error("it asks before it shows the review")
		}
		if _, err := master.WriteString(c.keys); err != nil {
			t.Fatal(err)
		}
		over := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // the exit code is looked at
		over.Stop()
		if code := cmd.ProcessState.ExitCode(); code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.keys, code, c.code)
		}
		if _, err := os.Stat(in("signed.zip")); (err == nil) != (c.code == 0) {
			t.Errorf("%q: %v", c.keys, err)
		}
	}
}
