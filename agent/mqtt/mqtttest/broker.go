// Package mqtttest runs real mosquitto brokers on loopback, as a test needs
// them: with TLS, access rules, limits, persistence and WebSocket; stops them,
// kills them and starts them again on the same port. A broker that a test does
// not have fails it where CI=true is set and else skips it aloud.
//
// For faults of the link, put a proxytest.Proxy before Broker.Addr.
package mqtttest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options say what a broker is like. The zero value takes everybody, over TCP
// without TLS, with mosquitto's own limits and without persistence.
type Options struct {
	Server    *Files            // TLS with this certificate; nil: none
	ClientCA  string            // PEM file: clients need a certificate of this authority, whose common name is their user; empty: they need none
	Users     map[string]string // passwords by user; nil: everybody may come
	ACL       string            // access rules, as in a file of mosquitto's; empty: everybody may do everything
	WebSocket bool              // the port speaks WebSocket
	// Persistence keeps sessions and retained messages over a restart.
	Persistence bool
	// Lines are more of mosquitto's configuration, such as
	// "max_queued_messages 1000".
	Lines []string
}

// Files are a certificate and its key in PEM.
type Files struct{ Cert, Key string }

// Broker is a mosquitto that ends with the test.
type Broker struct {
	t      testing.TB
	folder string
	addr   string
	scheme string

	mu  sync.Mutex // guards what follows
	cmd *exec.Cmd  // nil: it does not run
	log *os.File
}

const (
	patience = 10 * time.Second // for a start and an orderly end
	tries    = 5                // for a port that nobody takes in between
)

// Start starts a broker and waits until it accepts connections.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	Need(t, "mosquitto")
	b := &Broker{t: t, folder: t.TempDir(), scheme: o.scheme()}
	t.Cleanup(b.Kill)
	for n := range tries {
		b.addr = freeAddr(t)
		o.write(t, b.folder, b.addr)
		err := b.start()
		if err == nil {
			break
		}
		if n == tries-1 {
			t.Fatalf("start mosquitto: %v\n%s", err, b.Log())
		}
	}
	return b
}

// Need finds a program, also where only root has it in the path. It ends the
// test where it is missing.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	path = filepath.Join("/usr/sbin", program)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: packaging/setup.sh test installs it", program)
	}
	t.Skipf("%s is missing: packaging/setup.sh test installs it", program)
	return ""
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (o *Options) scheme() string {
	scheme := "mqtt"
	if o.WebSocket {
		scheme = "ws"
	}
	if o.Server != nil {
		scheme += "s"
	}
	return scheme
}

// write makes the configuration.
func (o *Options) write(t testing.TB, folder, addr string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"log_dest stderr", "log_type all", "connection_messages true"}
	if os.Geteuid() == 0 {
		lines = append(lines, "user root") // else it changes to one that may not read the folder
	}
	if o.Persistence {
		lines = append(lines, "persistence true", "persistence_location "+folder+"/")
	}
	lines = append(lines, o.Lines...)
	if o.WebSocket {
		lines = append(lines, "listener 0 local") // a Unix socket: it does not start with WebSocket alone
	}
	lines = append(lines, "listener "+port+" "+host, "allow_anonymous "+fmt.Sprint(o.Users == nil))
	if o.WebSocket {
		lines = append(lines, "protocol websockets", "socket_domain ipv4") // else on all addresses
	}
	if o.Server != nil {
		lines = append(lines, "certfile "+o.Server.Cert, "keyfile "+o.Server.Key)
	}
	if o.ClientCA != "" {
		lines = append(lines, "cafile "+o.ClientCA, "require_certificate true", "use_identity_as_username true")
	}
	if o.ACL != "" {
		lines = append(lines, "acl_file "+put(t, folder, "acl", o.ACL))
	}
	if o.Users != nil {
		lines = append(lines, "password_file "+o.passwords(t, folder))
	}
	put(t, folder, "mosquitto.conf", strings.Join(lines, "\n")+"\n")
}

// passwords makes the file of hashed passwords.
func (o *Options) passwords(t testing.TB, folder string) string {
	t.Helper()
	var text strings.Builder
	for user, password := range o.Users {
		fmt.Fprintf(&text, "%s:%s\n", user, password)
	}
	path := put(t, folder, "passwords", text.String())
	if out, err := exec.CommandContext(t.Context(), Need(t, "mosquitto_passwd"), "-U", path).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	return path
}

func put(t testing.TB, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Addr is the host and port.
func (b *Broker) Addr() string { return b.addr }

// URL is how clients name the broker.
func (b *Broker) URL() string { return b.scheme + "://" + b.addr }

// Via is the URL with another host and port, such as those of a proxy.
func (b *Broker) Via(addr string) string { return b.scheme + "://" + addr }

// Log is all that the broker has logged.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(filepath.Join(b.folder, "log"))
	return string(text)
}

// Start starts the broker again after Stop or Kill, on the same port.
func (b *Broker) Start() {
	b.t.Helper()
	if err := b.start(); err != nil {
		b.t.Fatalf("start mosquitto again: %v\n%s", err, b.Log())
	}
}

func (b *Broker) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		return nil
	}
	path := filepath.Join(b.folder, "log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	before, _ := log.Stat()
	cmd := exec.CommandContext(context.WithoutCancel(b.t.Context()), Need(b.t, "mosquitto"), "-c", filepath.Join(b.folder, "mosquitto.conf"))
	cmd.Stderr, cmd.Stdout, cmd.Dir = log, log, b.folder
	if err := cmd.Start(); err != nil {
		log.Close()
		return err
	}
	b.cmd, b.log = cmd, log
	if err := awaitRunning(path, before.Size()); err != nil {
		b.end(syscall.SIGKILL)
		return err
	}
	return nil
}

// awaitRunning waits for the line that mosquitto logs when it listens.
func awaitRunning(path string, from int64) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text = text[from:]
		if bytes.Contains(text, []byte(" running\n")) {
			return nil
		}
		if bytes.Contains(text, []byte("Error")) {
			return fmt.Errorf("it does not start: %s", text)
		}
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
	}
	return fmt.Errorf("it was not running after %v", patience)
}

// Stop ends the broker in order: it saves what it persists.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(syscall.SIGTERM)
}

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(syscall.SIGKILL)
}

// Pause stops the process (SIGSTOP): the kernel still accepts connections and
// bytes for it. Resume lets it go on.
func (b *Broker) Pause() { b.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (b *Broker) Resume() { b.signal(syscall.SIGCONT) }

// Reload makes the broker read its certificates and access rules again.
func (b *Broker) Reload() { b.signal(syscall.SIGHUP) }

func (b *Broker) signal(s syscall.Signal) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		b.t.Fatal("the broker does not run")
	}
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
}

// end ends the process and waits for it.
func (b *Broker) end(s syscall.Signal) {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Signal(s) // one that has ended already is as good
	hard := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
	_ = b.cmd.Wait() // its exit status is that of the signal
	hard.Stop()
	b.log.Close()
	b.cmd = nil
}
