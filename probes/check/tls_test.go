package check

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const year = 365 * day

// serveTLS shakes hands with a certificate, after what talk does in clear.
func serveTLS(t *testing.T, c tls.Certificate, talk func(c net.Conn) bool) string {
	return listenTCP(t, func(conn net.Conn) {
		if talk != nil && !talk(conn) {
			return
		}
		secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{c}})
		if secure.Handshake() == nil {
			silent(secure)
		}
	})
}

func TestTLS(t *testing.T) {
	root := newAuthority(t, like{name: "Plant root", ca: true, end: 10 * year})
	middle := root.issue(like{name: "Plant middle", ca: true, end: 100 * day})
	hosts := []string{"127.0.0.1", "www.plant.example"}
	good := middle.issue(like{name: "www", hosts: hosts, end: year})
	self := newAuthority(t, like{name: "box", hosts: hosts, end: year})
	longMiddle := root.issue(like{name: "Plant middle", ca: true, end: 200 * day, key: middle.key})
	oldMiddle := root.issue(like{name: "Old middle", ca: true, begin: -year, end: -day})
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		change func(o *TLSOptions)
		up     float64
		days   float64
		words  []string // of the error
		status probes.Status
	}{
		{"good", good.served(middle), nil, 1, 100, nil, probes.StatusOK},
		{"with the root", good.served(middle, root), nil, 1, 100, nil, probes.StatusOK},
		{"with one too many", good.served(middle, oldMiddle), nil, 1, 100, nil, probes.StatusOK},
		{"two ways", good.served(middle, longMiddle), nil, 1, 200, nil, probes.StatusOK},
		{"two ways, the other first", good.served(longMiddle, middle), nil, 1, 200, nil, probes.StatusOK},
		{"other name", good.served(middle), func(o *TLSOptions) { o.ServerName = "www.plant.example" }, 1, 100, nil, probes.StatusOK},
		{"wrong name", good.served(middle), func(o *TLSOptions) { o.ServerName = "other.example" }, 0, 100, []string{"is for www.plant.example, 127.0.0.1, not for other.example"}, probes.StatusGenericError},
		{"soon", good.served(middle), func(o *TLSOptions) { o.WarnDays = 101 }, 1, 100, []string{"expires in 100.0 days, on " + time.Now().Add(100*day).UTC().Format(time.DateOnly)}, probes.StatusWarning},
		{"not soon", good.served(middle), func(o *TLSOptions) { o.WarnDays = 99 }, 1, 100, nil, probes.StatusOK},
		{"no certificate in between", good.served(), nil, 0, 365, []string{"the chain of 1 certificates ends at www", "Plant middle", "lacks a certificate in between"}, probes.StatusGenericError},
		{"expired", middle.issue(like{name: "old", hosts: hosts, begin: -year, end: -3 * day}).served(middle), nil, 0, -3, []string{"the certificate of old has expired on " + time.Now().Add(-3*day).UTC().Format(time.DateOnly)}, probes.StatusGenericError},
		{"expired in between", oldMiddle.issue(like{name: "www", hosts: hosts, end: year}).served(oldMiddle), nil, 0, -1, []string{"Old middle has expired"}, probes.StatusGenericError},
		{"too early", middle.issue(like{name: "new", hosts: hosts, begin: 2 * day, end: year}).served(middle), nil, 0, 100, []string{"the certificate of new is valid from"}, probes.StatusGenericError},
		{"self-signed", self.served(), nil, 0, 365, []string{"self-signed"}, probes.StatusGenericError},
		{"self-signed and named", self.served(), func(o *TLSOptions) { o.CAFile = self.file(false) }, 1, 365, nil, probes.StatusOK},
		{"no name", middle.issue(like{name: "nobody", end: year}).served(middle), nil, 0, 100, []string{"is for no name at all"}, probes.StatusGenericError},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := made(t, "tls_check", probes.Deps{}, func(o *TLSOptions) {
				o.Target, o.CAFile = serveTLS(t, c.cert, nil), root.file(false)
				if c.change != nil {
					c.change(o)
				}
			})
			got, err := poll(t, task)
			want(t, got, err, c.up, c.status, c.words...)
			if math.Abs(got["tls.days_left"]-c.days) > 0.1 {
				t.Errorf("%v days left, want %v", got["tls.days_left"], c.days)
			}
			if (got["duration"] > 0) != (c.up == 1) {
				t.Errorf("%v", got)
			}
		})
	}
}

// A machine that does not know the time calls no certificate too old, but sees a
// wrong name and a wrong authority all the same.
func TestTLSWithoutTime(t *testing.T) {
	root := newAuthority(t, like{name: "Plant root", ca: true, end: 10 * year})
	good := serveTLS(t, root.issue(like{name: "www", hosts: []string{"127.0.0.1"}, end: year}).served(), nil)
	self := serveTLS(t, newAuthority(t, like{name: "box", hosts: []string{"127.0.0.1"}, end: year}).served(), nil)
	deps := probes.Deps{Clock: &turnClock{wall: time.Unix(3600, 0), guess: true}}
	at := func(target, name string) (values, error) {
		return poll(t, made(t, "tls_check", deps, func(o *TLSOptions) { o.Target, o.ServerName, o.CAFile = target, name, root.file(false) }))
	}
	got, err := at(good, "")
	want(t, got, err, 1, probes.StatusWarning, "the clock of this machine is not trusted yet")
	if _, told := got["tls.days_left"]; told {
		t.Errorf("%v", got)
	}
	got, err = at(good, "other.example")
	want(t, got, err, 0, probes.StatusGenericError, "not for other.example")
	got, err = at(self, "")
	want(t, got, err, 0, probes.StatusGenericError, "self-signed")
	// With a clock that is trusted and wrong it is too early for all of them.
	deps.Clock = &turnClock{wall: time.Unix(3600, 0)}
	got, err = at(good, "")
	want(t, got, err, 0, probes.StatusGenericError, "is valid from")
}

func TestTLSFaults(t *testing.T) {
	ask := func(target string, starttls string) (values, error) {
		return poll(t, made(t, "tls_check", probes.Deps{}, func(o *TLSOptions) { o.Target, o.StartTLS, o.Timeout = target, starttls, ms(2000) }))
	}
	got, err := ask(closedPort(t), "")
	want(t, got, err, 0, probes.StatusGenericError, "refused")
	got, err = ask(listenTCP(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 hello from a mail server\r\n"); silent(c) }), "")
	want(t, got, err, 0, probes.StatusGenericError, "does not speak TLS")
	got, err = ask(listenTCP(t, func(c net.Conn) {}), "")
	want(t, got, err, 0, probes.StatusGenericError, "ended the connection")
	got, err = ask(listenTCP(t, func(c net.Conn) { _, _ = io.WriteString(c, "550 go away\r\n"); silent(c) }), "smtp")
	want(t, got, err, 0, probes.StatusGenericError, "its greeting")

	task := made(t, "tls_check", probes.Deps{}, func(o *TLSOptions) { o.Target, o.CAFile = "127.0.0.1:1", "/nowhere/ca.pem" })
	b, err := task.Probe.Poll(t.Context())
	if len(b.Points) > 0 || probes.StatusOf(err) != probes.StatusInvalidConfigError || !strings.Contains(err.Error(), "ca_file: open /nowhere/ca.pem") {
		t.Errorf("%v, %v", b, err)
	}
	empty := newAuthority(t, like{name: "x", end: day}).file(false)
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	task = made(t, "tls_check", probes.Deps{}, func(o *TLSOptions) { o.Target, o.CAFile = "127.0.0.1:1", empty })
	if _, err := task.Probe.Poll(t.Context()); probes.StatusOf(err) != probes.StatusInvalidConfigError || !strings.Contains(err.Error(), "no certificate in") {
		t.Errorf("%v", err)
	}
}

// script answers lines with lines; a nil answer begins TLS after what was said.
func script(steps ...string) func(c net.Conn) bool {
	return func(c net.Conn) bool {
		r := bufio.NewReader(c)
		for i, say := range steps {
			if _, err := io.WriteString(c, say); err != nil {
				return false
			}
			if i == len(steps)-1 {
				return true
			}
			if _, err := r.ReadString('\n'); err != nil {
				return false
			}
		}
		return true
	}
}

func TestStartTLS(t *testing.T) {
	root := newAuthority(t, like{name: "Plant root", ca: true, end: year})
	cert := root.issue(like{name: "mail", hosts: []string{"127.0.0.1"}, end: year}).served()
	for _, c := range []struct {
		name, protocol string
		steps          []string
		words          string // "": it works
	}{
		{"smtp", "smtp", []string{"220-mail\r\n220 ready\r\n", "250-mail\r\n250-PIPELINING\r\n250 STARTTLS\r\n", "220 go on\r\n"}, ""},
		{"imap", "imap", []string{"* OK [CAPABILITY IMAP4rev1] ready\r\n", "* CAPABILITY x\r\na OK go on\r\n"}, ""},
		{"smtp without", "smtp", []string{"220 ready\r\n", "250-mail\r\n250 SIZE\r\n", ""}, "does not offer STARTTLS"},
		{"smtp no", "smtp", []string{"220 ready\r\n", "250 STARTTLS\r\n", "454 not now\r\n"}, "does not answer to STARTTLS"},
		{"imap no", "imap", []string{"* OK ready\r\n", "a NO\r\n"}, "does not agree"},
		{"no imap", "imap", []string{"220 ready\r\n"}, "does not greet as one of IMAP"},
		{"injected", "smtp", []string{"220 ready\r\n", "250 STARTTLS\r\n", "220 go on\r\n250 more\r\n"}, "somebody in between"},
		{"endless", "imap", []string{"* OK " + strings.Repeat("x", maxDialogue)}, "ended the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := made(t, "tls_check", probes.Deps{}, func(o *TLSOptions) {
				o.Target, o.CAFile, o.StartTLS = serveTLS(t, cert, script(c.steps...)), root.file(false), c.protocol
			})
			got, err := poll(t, task)
			if c.words == "" {
				want(t, got, err, 1, probes.StatusOK)
				return
			}
			want(t, got, err, 0, probes.StatusGenericError, c.words)
		})
	}
}

// TestE2EOpenSSL asks a server that is not of this language's library.
func TestE2EOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: openssl is not installed")
	}
	root := newAuthority(t, like{name: "Plant root", ca: true, end: 10 * year})
	leaf := root.issue(like{name: "www", hosts: []string{"127.0.0.1"}, end: 30 * day})
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		address := closedPort(t)
		_, port, _ := net.SplitHostPort(address)
		cmd := exec.CommandContext(t.Context(), openssl, "s_server", "-accept", "127.0.0.1:"+port, "-cert", leaf.file(true), version, "-quiet")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		stdin, err := cmd.StdinPipe() // it ends with its input
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		task := made(t, "tls_check", probes.Deps{}, func(o *TLSOptions) { o.Target, o.CAFile = address, root.file(false) })
		var got values
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			if got, err = poll(t, task); err == nil || !strings.Contains(err.Error(), "refused") {
				break
			}
		}
		want(t, got, err, 1, probes.StatusOK)
		if math.Abs(got["tls.days_left"]-30) > 0.1 {
			t.Errorf("%s: %v", version, got)
		}
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// A file of authorities that is not there is told by the check of the
// configuration, before the first poll.
func TestWarningsOfFiles(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "", "/none/ca.pem": "name a file", empty: "there is no certificate in"} {
		o, h := TLSOptions{CAFile: name}, HTTPOptions{CAFile: name, URL: "https://192.0.2.1/", Verify: true}
		for _, got := range [][]string{o.Warnings(nil), h.Warnings(nil)} {
			if all := strings.Join(got, "\n"); (want == "") != (all == "") || !strings.Contains(all, want) {
				t.Errorf("%q: %q, want %q", name, all, want)
			}
		}
	}
}

func TestTLSOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *TLSOptions)
		want   string
	}{
		{"host alone", func(*TLSOptions) {}, ""},
		{"IPv6 alone", func(o *TLSOptions) { o.Target = "2001:db8::1" }, ""},
		{"starttls", func(o *TLSOptions) { o.StartTLS = "ftp" }, "starttls: found \"ftp\""},
		{"days", func(o *TLSOptions) { o.WarnDays = -1 }, "warn_days: "},
		{"server name", func(o *TLSOptions) { o.ServerName = "a b" }, "server_name: "},
		{"URL", func(o *TLSOptions) { o.Target = "https://a.example" }, "target: "},
	} {
		o := tlsKind().Options().(*TLSOptions)
		o.Target = "www.example.com"
		c.change(o)
		checkErrors(t, c.name, o.Check(), c.want)
	}
	for protocol, want := range map[string]string{"": "www.example.com:443", "smtp": "www.example.com:25", "imap": "www.example.com:143"} {
		o := TLSOptions{StartTLS: protocol}
		if _, got, err := splitTarget("www.example.com", o.port()); got != want || err != nil {
			t.Errorf("%s: %s, %v", protocol, got, err)
		}
	}
}
