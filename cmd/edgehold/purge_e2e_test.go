package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// terminal makes a pseudoterminal and gives both of its ends.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudoterminal here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// said collects what a process writes to a terminal.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) has(words string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), words)
}

func bufferedIn(t *testing.T, path string) int64 {
	t.Helper()
	r, err := buffer.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return r.Account().Buffered
}

// A purge at a terminal asks; Ctrl-C is an answer. While it asks, the store is
// free for an agent to start.
func TestE2EPurgeAsks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edgehold.db")
	s, err := buffer.Open(buffer.Options{Path: path, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	stamp := probes.Stamp{Wall: 1_900_000_000_000}
	if err := s.Append(t.Context(), []probes.Point{{Series: probes.NewSeries("k", probes.Gauge), Value: probes.Int(1), Stamp: stamp}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys string
		code int
		left int64
	}{{"\x03", 1, 1}, {"no\n", 1, 1}, {"\x04", 1, 1}, {"yes\n", 0, 0}} {
		master, slave := terminal(t)
		cmd := exec.Command(program(t), "buffer", "purge", "--all", "--file", path)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := &said{}
		go func() { _, _ = io.Copy(out, master) }() // ends with the terminal
		eventually(t, "the question", func() bool { return out.has("Type yes to go on: ") })
		free, err := buffer.Open(buffer.Options{Path: path, Log: zerolog.Nop()})
		if err != nil {
			t.Fatalf("while it asks: %v", err)
		}
		if err := free.Close(); err != nil {
			t.Fatal(err)
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
		if c.left > 0 {
			eventually(t, "the word that nothing was purged", func() bool { return out.has("nothing was purged") })
		}
		if left := bufferedIn(t, path); left != c.left {
			t.Errorf("%q: %d points are left, want %d", c.keys, left, c.left)
		}
	}
}
