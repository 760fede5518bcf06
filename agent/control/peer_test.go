package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// as opens the socket as another user. Only root can do that.
func as(t *testing.T, uid int, path string) net.Conn {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can speak as another user")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid int) { // this thread alone: what others of the process are does not change
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	become(uid)
	defer become(0)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends a request on conn.
func request(t *testing.T, conn net.Conn, line string) (code int, body string) {
	t.Helper()
	if _, err := io.WriteString(conn, line+" HTTP/1.1\r\nHost: edgehold\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// The group of the socket reads, and changes nothing.
func TestOnlyTheOwnerChanges(t *testing.T) {
	changed := 0
	change := func(context.Context, url.Values, io.Writer) error { changed++; return nil }
	s := &Server{
		Path: path(t), Status: func() any { return "well" }, Reload: func(context.Context) error { changed++; return nil },
		Tools: []Tool{
			{Method: "POST", Path: "/v1/purge", Serve: change},
			{Method: "DELETE", Path: "/v1/letter", Serve: change},
			{Method: "GET", Path: "/v1/stat", Serve: func(_ context.Context, _ url.Values, w io.Writer) error {
				_, err := io.WriteString(w, "8 points")
				return err
			}},
		},
	}
	start(t, s)
	for _, dir := range []string{filepath.Dir(s.Path), filepath.Dir(filepath.Dir(s.Path))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const technician = 54321 // in the group of root here, which the test runs as
	for _, r := range []struct {
		line string
		code int
		body string
	}{
		{"GET /v1/status", 200, "well"},
		{"GET /v1/stat", 200, "8 points"},
		{"POST /v1/reload", 403, "run the command with sudo"},
		{"POST /v1/purge", 403, "needs root or the agent's own user (root)"},
		{"DELETE /v1/letter", 403, "sudo"},
		{"PUT /nowhere", 403, "sudo"},
	} {
		code, body := request(t, as(t, technician, s.Path), r.line)
		if code != r.code || !strings.Contains(body, r.body) {
			t.Errorf("%s as another user: %d %s, want %d %s", r.line, code, body, r.code, r.body)
		}
	}
	if changed != 0 {
		t.Fatalf("%d changes by another user", changed)
	}
	if code, body := request(t, as(t, 0, s.Path), "POST /v1/purge"); code != 200 || changed != 1 {
		t.Errorf("as root: %d %s", code, body)
	}
}

func TestMayChange(t *testing.T) {
	own := uint32(os.Geteuid())
	if !mayChange(0) || !mayChange(own) || mayChange(own+1) {
		t.Error("root and the own user may change something, others not")
	}
}

// The command tells a refusal as it is, not as a bad configuration.
func TestClientTellsARefusal(t *testing.T) {
	p := path(t)
	l, err := listen(p)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{}
	server := &http.Server{Handler: s.guard(http.NotFoundHandler()), ReadHeaderTimeout: time.Second} // knows no peer
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	err = Client{Path: p}.Reload(t.Context())
	var refused *Refused
	if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "run the command with sudo") {
		t.Errorf("reload: %v", err)
	}
	if _, err := (Client{Path: p}).Ask(t.Context(), "POST", "/v1/purge", nil); err == nil || !strings.Contains(err.Error(), "run the command with sudo") {
		t.Errorf("purge: %v", err)
	}
}

// A user outside of the group hears which one it is, though the folder of the
// socket is closed to it.
func TestStrangersHearOfTheGroup(t *testing.T) {
	p := path(t)
	dir := filepath.Dir(p)
	if os.Geteuid() != 0 {
		t.Skip("only root can speak as another user")
	}
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chown(dir, -1, 54321), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, id := range []uintptr{54322, 0} {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), id, ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
		if id == 0 {
			return
		}
		if got := permissionMend(p); got != "use sudo, or join its group: sudo usermod -aG 54321 $USER, then log in again" {
			t.Errorf("got %s", got)
		}
	}
}
