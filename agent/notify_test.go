package agent

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is the socket of a service manager.
type manager struct {
	conn *net.UnixConn
	seen []string // all lines
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{conn: conn}
}

// until reads messages until one has a line with that beginning.
func (m *manager) until(t *testing.T, start string) string {
	t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		b := make([]byte, 4096)
		n, err := m.conn.Read(b)
		if err != nil {
			t.Fatalf("no message with %s, only %q: %v", start, m.seen, err)
		}
		lines := strings.Split(string(b[:n]), "\n")
		m.seen = append(m.seen, lines...)
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, start) }); i >= 0 {
			return string(b[:n])
		}
	}
}

func socketFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestNotifySends(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(socketFolder(t), "n"),
		"abstract": "@edgehold-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, socket)
			n := NotifyOf(func(key string) string { return map[string]string{"NOTIFY_SOCKET": socket}[key] })
			if err := n.send("READY=1", statusLine("a\nb  c")); err != nil {
				t.Fatal(err)
			}
			if got := m.until(t, "READY=1"); got != "READY=1\nSTATUS=a b c" {
				t.Errorf("got %q", got)
			}
		})
	}
	if err := (Notify{Socket: filepath.Join(t.TempDir(), "gone")}).send("READY=1"); err == nil {
		t.Error("a socket that is not there took a message")
	}
	if err := (Notify{}).send("READY=1"); err != nil {
		t.Error(err)
	}
}

func TestNotifyOf(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		socket, usec, pid string
		want              Notify
	}{
		{"/run/n", "6000000", own, Notify{"/run/n", 6 * time.Second}},
		{"@n", "6000000", "", Notify{"@n", 6 * time.Second}},
		{"/run/n", "6000000", "1", Notify{"/run/n", 0}},
		{"/run/n", "often", own, Notify{"/run/n", 0}},
		{"/run/n", "-1", own, Notify{"/run/n", 0}},
		{"vsock:2:1234", "6000000", own, Notify{}},
		{"", "6000000", own, Notify{}},
	} {
		env := map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := NotifyOf(func(key string) string { return env[key] }); got != c.want {
			t.Errorf("%v: got %v, want %v", env, got, c.want)
		}
	}
}

func TestNotifyLines(t *testing.T) {
	lines := reloadingLines()
	usec, err := strconv.ParseInt(strings.TrimPrefix(lines[len(lines)-1], "MONOTONIC_USEC="), 10, 64)
	if len(lines) != 2 || lines[0] != "RELOADING=1" || err != nil || usec <= 0 {
		t.Errorf("got %q, %v", lines, err)
	}
	if got := extendLine(30 * time.Second); got != "EXTEND_TIMEOUT_USEC=30000000" {
		t.Errorf("got %q", got)
	}
}
