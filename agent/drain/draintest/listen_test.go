package draintest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// secured runs a server with TLS and gives a client that trusts it.
func secured(t *testing.T, o TLS, change ...func(*Options)) (*Server, *http.Client) {
	t.Helper()
	options := Options{Token: token, Now: fixed, KeepLines: true}
	for _, f := range change {
		f(&options)
	}
	s := New(options)
	if _, err := s.StartTLS("127.0.0.1:0", o); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CAPEM()) {
		t.Fatal("CAPEM is no certificate")
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, Time: fixed}}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, client
}

// proto posts one line and tells the protocol of its answer.
func proto(t *testing.T, s *Server, client *http.Client, d time.Duration) string {
	t.Helper()
	resp, err := client.Do(request(t, s, "cpu.load 5 "+at(d)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // else the connection is not kept
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("answered %d", resp.StatusCode)
	}
	return resp.Proto
}

func TestTLSProtocols(t *testing.T) {
	for _, c := range []struct {
		o    TLS
		want string
	}{{TLS{}, "HTTP/2.0"}, {TLS{HTTP1: true}, "HTTP/1.1"}} {
		s, client := secured(t, c.o)
		if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
			t.Errorf("URL %s", s.URL())
		}
		if got := proto(t, s, client, 0); got != c.want {
			t.Errorf("spoke %s, want %s", got, c.want)
		}
		if _, err := do(plain(), request(t, s, "x")); err == nil {
			t.Error("a client that does not know the authority got an answer")
		}
	}
}

// A certificate that is replaced while the server runs shows in the next
// handshake, and only there.
func TestCertificates(t *testing.T) {
	for _, o := range []TLS{{}, {HTTP1: true}} {
		s, client := secured(t, o)
		proto(t, s, client, 0)
		for _, c := range []struct {
			show Certificate
			is   func(error) bool
		}{
			{Expired, invalid(x509.Expired)},
			{NotYetValid, invalid(x509.Expired)}, // one reason for both ends
			{WrongName, func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) }},
			{OtherCA, func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) }},
		} {
			if err := s.SetCertificate(c.show); err != nil {
				t.Fatal(err)
			}
			proto(t, s, client, time.Second) // over the connection that is kept
			client.CloseIdleConnections()
			if _, err := do(client, request(t, s, "x")); err == nil || !c.is(err) {
				t.Errorf("%s: got %v", c.show, err)
			}
			if err := s.SetCertificate(Valid); err != nil {
				t.Fatal(err)
			}
			proto(t, s, client, 0)
		}
		if err := s.SetCertificate("odd"); err == nil {
			t.Error("took an unknown certificate")
		}
	}
	if err := start(t).SetCertificate(Expired); err == nil {
		t.Error("took a certificate without TLS")
	}
}

func invalid(reason x509.InvalidReason) func(error) bool {
	return func(err error) bool {
		var e x509.CertificateInvalidError
		return errors.As(err, &e) && e.Reason == reason
	}
}

// A session of before a change of the certificate is not resumed.
func TestCertificateEndsSessions(t *testing.T) {
	s, client := secured(t, TLS{})
	config := client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := func() bool {
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// The session comes behind the handshake, with the first read.
		if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().DidResume
	}
	if resumed() || !resumed() {
		t.Fatal("the second handshake does not resume the first")
	}
	if err := s.SetCertificate(Valid); err != nil {
		t.Fatal(err)
	}
	if resumed() {
		t.Error("resumed a session with another certificate")
	}
}

func TestDateFollowsTheClock(t *testing.T) {
	s := start(t)
	date := func() string {
		return send(t, s, "x", func(r *http.Request) { r.Header.Del("Authorization") }).header.Get("Date")
	}
	if want := "Tue, 14 Nov 2023 22:13:20 GMT"; date() != want {
		t.Errorf("Date: %s, want %s", date(), want)
	}
	s.SetNow(func() time.Time { return time.Unix(60, 0) })
	if want := "Thu, 01 Jan 1970 00:01:00 GMT"; date() != want {
		t.Errorf("Date: %s, want %s", date(), want)
	}
	if a := send(t, s, "cpu.load 5 "+at(0)); a.status != 400 || !strings.Contains(a.body, "in the future") {
		t.Errorf("lines are not judged by the new clock: %d %s", a.status, a.body)
	}
	s.SetNow(nil)
	if at, err := http.ParseTime(date()); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("Date: %s, %v", at, err)
	}
}

func TestTokenIsReplaced(t *testing.T) {
	s := start(t)
	line := "cpu.load 5 " + at(0)
	next := func(r *http.Request) { r.Header.Set("Authorization", "Api-Token next") }
	if a := send(t, s, line, next); a.status != 401 {
		t.Errorf("the next token came too early: %d", a.status)
	}
	s.SetToken("next")
	if a := send(t, s, line); a.status != 401 {
		t.Errorf("the old token is still taken: %d", a.status)
	}
	if a := send(t, s, line, next); a.status != 202 {
		t.Errorf("the next token is not taken: %d", a.status)
	}
}

// GOAWAY behind an answer, and GOAWAY instead of one: the lines arrive once,
// each time over a new connection.
func TestGoAway(t *testing.T) {
	for _, c := range []struct {
		mode     Mode
		requests int // that it costs to get one line across
	}{{GoAway, 1}, {GoAwayRefused, 2}} {
		var conns int
		s, client := secured(t, TLS{}, func(o *Options) {
			o.Listen = func(network, address string) (net.Listener, error) {
				l, err := net.Listen(network, address)
				return &countedAccepts{l, &conns}, err
			}
		})
		proto(t, s, client, 0)
		set(t, s, Fault{Mode: c.mode, Count: 1})
		if got := proto(t, s, client, time.Second); got != "HTTP/2.0" {
			t.Errorf("%s: spoke %s", c.mode, got)
		}
		proto(t, s, client, 2*time.Second)
		counts := s.Counts()
		if counts.Requests != c.requests+2 || counts.Lines != 3 || counts.Distinct != 3 {
			t.Errorf("%s: %+v", c.mode, counts)
		}
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if conns != 2 {
			t.Errorf("%s: %d connections, want 2", c.mode, conns)
		}
	}
}

// countedAccepts counts; only its server's goroutine touches the number until
// Close.
type countedAccepts struct {
	net.Listener
	n *int
}

func (l *countedAccepts) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		*l.n++
	}
	return c, err
}

// Refuse ends HTTP/2 connections too, and what comes over them afterwards is
// not taken.
func TestRefuseTLS(t *testing.T) {
	s, client := secured(t, TLS{})
	proto(t, s, client, 0)
	for i := range 3 {
		s.Refuse()
		r := request(t, s, "cpu.load 5 "+at(0))
		r.GetBody = nil
		if a, err := do(client, r); err == nil {
			t.Fatalf("answered while refusing: %+v", a)
		}
		if err := s.Restore(); err != nil {
			t.Fatal(err)
		}
		proto(t, s, client, time.Duration(i+1)*time.Second)
	}
	if c := s.Counts(); c.Lines != 4 || c.Distinct != 4 {
		t.Errorf("%+v", c)
	}
}

func TestWireBytes(t *testing.T) {
	s := start(t)
	client := plain()
	var in, out atomic.Int64
	client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		return &tallied{c, &in, &out}, err
	}}
	if a, err := do(client, request(t, s, "cpu.load 5 "+at(0))); err != nil || a.status != 202 {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := s.Close(); err != nil { // so that all is read
		t.Fatal(err)
	}
	if gotIn, gotOut := s.WireBytes(); gotIn != out.Load() || gotOut != in.Load() || gotIn == 0 || gotOut == 0 {
		t.Errorf("server: %d in, %d out; client: %d in, %d out", gotIn, gotOut, in.Load(), out.Load())
	}
}

type tallied struct {
	net.Conn
	in, out *atomic.Int64
}

func (c *tallied) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(int64(n))
	return n, err
}

func (c *tallied) Write(b []byte) (int, error) {
	c.out.Add(int64(len(b))) // first: its answer may be there before Write returns
	return c.Conn.Write(b)
}

func TestStartTLSRefuses(t *testing.T) {
	s := New(Options{Token: token})
	if _, err := s.StartTLS("nowhere", TLS{}); err == nil {
		t.Error("took an address without a port")
	}
	if s.CAPEM() != nil {
		t.Error("an authority before the start")
	}
	s = start(t)
	if _, err := s.StartTLS("127.0.0.1:0", TLS{}); err == nil {
		t.Error("started twice")
	}
}
