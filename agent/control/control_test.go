package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// path is a socket in a folder short enough for its address.
func path(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "control.sock")
}

// start runs a server and returns when it answers. stop ends it and returns
// what Run returned.
func start(t *testing.T, s *Server) (stop func() error) {
	t.Helper()
	s.Log = zerolog.Nop()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("unix", s.Path)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("Run: %v", err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer on %s: %v", s.Path, err)
		}
	}
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return stop
}

func TestStatus(t *testing.T) {
	want := Status{
		Version: "1.2.3", Site: "plant-7", Started: time.Unix(1e9, 0).UTC(), UptimeS: 60,
		Config:  ConfigState{Path: "/etc/x.yaml", Hash: "ab", LoadedAt: time.Unix(1e9, 0).UTC()},
		Devices: []Device{{Label: "192.0.2.1 x", Address: "192.0.2.1", Status: "OK", IntervalS: 60, DurationMS: 1.5, Points: 9}},
		Account: Account{Accepted: 3, Buffered: 1, Delivered: 2},
	}
	s := &Server{Path: path(t), Status: func() any { return want }}
	stop := start(t, s)
	var got Status
	if err := (Client{Path: s.Path}).Status(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	want.Alarms, want.UnsignedPackages, want.Configurations = []string{}, []string{}, []Configuration{}
	want.Usage = []Usage{}
	want.Trust, want.Packages = Trust{Roots: []Root{}, Warnings: []string{}}, []Package{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	info, err := os.Stat(s.Path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("socket %v, %v; want mode %o", info.Mode(), err, socketMode)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := os.Lstat(s.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays after the stop: %v", err)
	}
}

// The keys of the document are what scripts hold on to.
func TestStatusKeys(t *testing.T) {
	body, err := json.Marshal(Status{Devices: []Device{{}}, Configurations: []Configuration{{}}})
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"version", "site", "started", "uptime_s", "config", "alarms", "unsigned_packages", "devices", "configurations", "buffer", "clock", "uplink", "account", "memory"} {
		if string(doc[key]) == "" || string(doc[key]) == "null" {
			t.Errorf("%s is %q", key, doc[key])
		}
	}
	want := `{"accepted":0,"buffered":0,"delivered":0,"late":0,"late_archived":0,"late_logged":0,"late_dropped":0,"dead_letter":0,"evicted":0,"damaged":0,"purged":0}`
	if string(doc["account"]) != want {
		t.Errorf("account %s", doc["account"])
	}
	want = `[{"label":"","device":"","config":"","state":"","status":"","message":"","interval_s":0,"duration_ms":0,"late_s":0,"overran_s":0,` +
		`"points":0,"polls":0,"skipped":0,"failures":0,"gaps":0,"requests":0,"retries":0,"timeouts":0,"varbinds":0,"rows":0,"strays":0,"malformed":0,"reports":0}]`
	if string(doc["devices"]) != want {
		t.Errorf("devices %s", doc["devices"])
	}
	want = `{"lateness_p99_ms":0,"overruns":0,"in_flight":0,"max_in_flight":0,"dead":0}`
	if string(doc["polling"]) != want {
		t.Errorf("polling %s", doc["polling"])
	}
}

func TestReload(t *testing.T) {
	var result error
	calls := 0
	s := &Server{Path: path(t), Reload: func(context.Context) error { calls++; return result }}
	start(t, s)
	c := Client{Path: s.Path}
	if err := c.Reload(t.Context()); err != nil || calls != 1 {
		t.Errorf("Reload: %v after %d calls", err, calls)
	}
	result = errors.New("a.yaml:1:1: one\na.yaml:2:1: two")
	err := c.Reload(t.Context())
	var refused *Refused
	if !errors.As(err, &refused) || !reflect.DeepEqual(refused.Errors, []string{"a.yaml:1:1: one", "a.yaml:2:1: two"}) || err.Error() != result.Error() {
		t.Errorf("Reload: %v", err)
	}
}

func TestReloadInPart(t *testing.T) {
	problems := []string{"a.zip: does not run", "buffer: takes effect at the next start"}
	s := &Server{Path: path(t), Reload: func(context.Context) error {
		return fmt.Errorf("reload: %w", &Incomplete{Problems: problems})
	}}
	start(t, s)
	var part *Incomplete
	if err := (Client{Path: s.Path}).Reload(t.Context()); !errors.As(err, &part) || !slices.Equal(part.Problems, problems) {
		t.Errorf("Reload: %v", err)
	}
}

// A reload that was begun ends, even when the one who asked for it has left.
func TestReloadOutlivesItsClient(t *testing.T) {
	begun, left, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s := &Server{Path: path(t), Reload: func(ctx context.Context) error {
		close(begun)
		<-left
		ended <- ctx.Err()
		return nil
	}}
	stop := start(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() { answer <- Client{Path: s.Path}.Reload(ctx) }()
	<-begun
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(left)
	if err := <-ended; err != nil {
		t.Errorf("the reload was cancelled: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestClientErrors(t *testing.T) {
	p := path(t)
	dir := filepath.Dir(p)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stale(t, filepath.Join(dir, "stale"))
	long := "/" + strings.Repeat("x", 107)
	for path, want := range map[string]string{
		"":             "no control socket is named; set `socket:` in the configuration, or --socket",
		long:           "the path of the control socket " + long + " is 108 bytes long and at most 107 are possible; set `socket:` (or --socket) to a shorter one",
		dir + "/none":  "there is no control socket " + dir + "/none: no agent runs, or it uses another one; start it with `edgehold run`, or name its socket with --socket or its file with --config",
		dir + "/stale": "nobody answers on " + dir + "/stale: the agent has stopped; start it with `edgehold run`, or name another socket with --socket or --config",
	} {
		if err := (Client{Path: path}).Reload(t.Context()); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestClientMendsPermissions(t *testing.T) {
	c := Client{Path: filepath.Join(t.TempDir(), "s")}
	if err := os.WriteFile(c.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	denied := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}
	for gid, want := range map[int]string{0: "use sudo", 54321: "use sudo, or join its group: sudo usermod -aG 54321 $USER, then log in again"} {
		if os.Getuid() != 0 {
			t.Skip("only root can give a file to another group")
		}
		if err := os.Chown(c.Path, -1, gid); err != nil {
			t.Fatal(err)
		}
		if got := c.explain(denied, 0).Error(); got != "this user may not use the control socket "+c.Path+"; "+want {
			t.Errorf("got %s", got)
		}
	}
	if got := permissionMend(c.Path + "/gone"); got != "use sudo" {
		t.Errorf("got %s", got)
	}
}

// stale leaves a socket behind on which nobody answers.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestClientTimeout(t *testing.T) {
	release := make(chan struct{})
	s := &Server{Path: path(t), Status: func() any { <-release; return nil }}
	start(t, s)
	defer close(release)
	err := Client{Path: s.Path, Timeout: 20 * time.Millisecond}.Status(t.Context(), new(any))
	if want := "the agent did not answer on " + s.Path + " within 20ms; see its log"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// Another program, or an agent of another version, may answer on the socket.
func TestClientStrangeAnswers(t *testing.T) {
	p := path(t)
	l, err := listen(p)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			_, _ = io.WriteString(conn, <-answers)
			_ = conn.Close()
		}
	}()
	defer func() { _ = l.Close(); <-ended }()
	for answer, want := range map[string]string{
		"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope": `answered 404 "nope"; agent and command may be of different versions`,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[":           "different versions",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{":          "unexpected EOF",
		"SSH-2.0\r\n": "malformed HTTP",
	} {
		c := Client{Path: p}
		for name, ask := range map[string]func() error{
			"status": func() error { return c.Status(t.Context(), new(Status)) },
			"reload": func() error { return c.Reload(t.Context()) },
		} {
			answers <- answer
			if err := ask(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %q: %v", name, answer, err)
			}
		}
	}
}

func TestListen(t *testing.T) {
	p := path(t)
	dir := filepath.Dir(p)
	s := &Server{Path: p}
	start(t, s)
	if err := (&Server{Path: p}).Run(t.Context()); fmt.Sprint(err) != "another agent answers on "+p+"; stop it, or set `socket:` to another path" {
		t.Errorf("second agent: %v", err)
	}

	stale(t, dir+"/stale")
	l, err := listen(dir + "/stale")
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	_ = l.Close()

	file := dir + "/file"
	if err := os.WriteFile(file, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(file); fmt.Sprint(err) != file+" is not a socket and stays as it is; move it away, or set `socket:` to another path" {
		t.Errorf("file: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "keep me" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if _, err := listen(file + "/control.sock"); err == nil || !strings.HasPrefix(err.Error(), "create the folder of the control socket: ") {
		t.Errorf("folder that is a file: %v", err)
	}
	if _, err := listen("/" + strings.Repeat("x", 107)); err == nil || !strings.Contains(err.Error(), "108 bytes long") {
		t.Errorf("long path: %v", err)
	}
}

func TestUnknownRequests(t *testing.T) {
	s := &Server{Path: path(t), Status: func() any { return func() {} }, Reload: func(context.Context) error { t.Error("reloaded by GET"); return nil }}
	start(t, s)
	c := Client{Path: s.Path}
	for path, want := range map[string]int{"/v1/reload": http.StatusMethodNotAllowed, "/": http.StatusNotFound, "/v1/status": http.StatusInternalServerError} {
		if code, _, err := c.do(t.Context(), http.MethodGet, path); err != nil || code != want {
			t.Errorf("GET %s: %d, %v; want %d", path, code, err, want)
		}
	}
}

// Clients that connect and say nothing cannot take more than their slots, and
// leaving gives a slot back.
func TestConnectionsAreBounded(t *testing.T) {
	p := path(t)
	plain, err := listen(p)
	if err != nil {
		t.Fatal(err)
	}
	l := limit(plain, 2, nil)
	accepted := make(chan net.Conn, 4)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 3 {
		conn, err := net.Dial("unix", p)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, second := <-accepted, <-accepted
	if len(l.slots) != 2 {
		t.Errorf("%d slots taken", len(l.slots))
	}
	select {
	case <-accepted:
		t.Error("a third connection was accepted")
	default:
	}
	_ = first.Close()
	_ = first.Close() // gives one slot only
	third := <-accepted
	_ = l.Close() // while Accept waits for a slot
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	_ = second.Close()
	_ = third.Close()
	if len(l.slots) != 0 {
		t.Errorf("%d slots still taken", len(l.slots))
	}
}

// A client that never finishes its request does not hold up the stop.
func TestStopWithIdleClients(t *testing.T) {
	s := &Server{Path: path(t)}
	stop := start(t, s)
	conn, err := net.Dial("unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/st"); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}
