package drain

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tlsOptions make a TLS server differ from a good one.
type tlsOptions struct {
	http2    bool
	config   func(*tls.Config)
	listener func(net.Listener) net.Listener
	template func(*x509.Certificate)
	handler  http.HandlerFunc // nil: takes everything
}

type testTLS struct {
	*httptest.Server
	ca      string       // its certificate, as a file
	resumed atomic.Int32 // connections that took up an older session
}

// tlsServer is a server whose certificate is its own authority, good for
// 127.0.0.1 and a day.
func tlsServer(t testing.TB, o tlsOptions) *testTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"env.example"}, IsCA: true, BasicConstraintsValid: true,
	}
	if o.template != nil {
		o.template(template)
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := &testTLS{ca: filepath.Join(t.TempDir(), "ca.pem")}
	write(t, s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	handler := o.handler
	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); taken(w) }
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			s.resumed.Add(1)
		}
		handler(w, r)
	}))
	s.Config.ErrorLog, s.EnableHTTP2 = quiet, o.http2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if o.config != nil {
		o.config(s.TLS)
	}
	if o.listener != nil {
		s.Listener = o.listener(s.Listener)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestTLSFaults has each way in which a server is not trusted or not understood.
// Nothing of the request leaves, so nothing is ambiguous.
func TestTLSFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server tlsOptions
		client func(*ClientOptions)
		url    func(string) string
		cause  string
	}{
		"unknown authority":  {client: func(o *ClientOptions) { o.CAFile = "" }, cause: "name its certificate as CA file"},
		"expired":            {server: tlsOptions{template: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }}, cause: "has expired"},
		"not yet valid":      {server: tlsOptions{template: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }}, cause: "not valid yet; check this machine's clock"},
		"judged late":        {client: func(o *ClientOptions) { o.Time = func() time.Time { return time.Now().Add(48 * time.Hour) } }, cause: "has expired"},
		"judged early":       {client: func(o *ClientOptions) { o.Time = func() time.Time { return time.Unix(0, 0) } }, cause: "not valid yet"},
		"another name":       {url: func(u string) string { return strings.Replace(u, "127.0.0.1", "localhost", 1) }, cause: "is for another name; check the host"},
		"old version":        {server: tlsOptions{config: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }}, cause: "no TLS of version 1.2"},
		"client certificate": {server: tlsOptions{config: func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }}, cause: "asks for a client certificate"},
		"client certificate with TLS 1.2": {
			server: tlsOptions{config: func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }},
			cause:  "asks for a client certificate",
		},
		"HTTP for HTTPS": {server: tlsOptions{}, url: func(string) string {
			return "https://" + rawServer(t, listen(t), func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") })
		}, cause: "does not speak TLS"},
		"no TLS": {server: tlsOptions{}, url: func(string) string {
			return "https://" + rawServer(t, listen(t), func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") })
		}, cause: "does not speak TLS"},
		"cut in the handshake": {server: tlsOptions{}, url: func(string) string {
			return "https://" + rawServer(t, listen(t), func(c net.Conn) { _, _ = c.Read(make([]byte, 10)); reset(c) })
		}, cause: "was cut"},
		"silent": {server: tlsOptions{}, url: func(string) string {
			return "https://" + rawServer(t, listen(t), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		}, cause: "no byte moved"},
	} {
		t.Run(name, func(t *testing.T) {
			server := tlsServer(t, test.server)
			options, url := ClientOptions{CAFile: server.ca}, server.URL
			if test.client != nil {
				test.client(&options)
			}
			if test.url != nil {
				url = test.url(url)
			}
			s := testSender(t, url, options)
			s.stall = 300 * time.Millisecond
			o := classify(send(t, s, lines("one\n")), time.Now())
			for tries := 0; name == "client certificate" && tries < 50 && strings.Contains(o.cause, "was cut"); tries++ {
				o = classify(send(t, s, lines("one\n")), time.Now()) // the end of the connection may outrun the alert
			}
			if o.verdict != later || o.ambiguous || !strings.Contains(o.cause, test.cause) {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// TestTimeOfCertificates has a machine whose clock is wrong and whose trusted
// time is right.
func TestTimeOfCertificates(t *testing.T) {
	then := time.Now().Add(-20 * 365 * 24 * time.Hour)
	server := tlsServer(t, tlsOptions{template: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = then.Add(-time.Hour), then.Add(time.Hour) }})
	s := testSender(t, server.URL, ClientOptions{CAFile: server.ca, Time: func() time.Time { return then }})
	if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); o.verdict != accepted {
		t.Errorf("outcome %+v", o)
	}
}

// TestResumption holds that a second connection costs less than the first, by
// the session that it takes up.
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := tlsServer(t, tlsOptions{http2: true, config: func(c *tls.Config) { c.MaxVersion = version }})
		s := testSender(t, server.URL, ClientOptions{CAFile: server.ca})
		first := send(t, s, lines("one\ntwo\n"))
		s.closeIdle()
		second := send(t, s, lines("one\ntwo\n"))
		if classify(second, time.Now()).verdict != accepted || server.resumed.Load() != 1 || second.wire >= first.wire {
			t.Errorf("%s: %d bytes, then %d; %d resumed", tls.VersionName(version), first.wire, second.wire, server.resumed.Load())
		}
	}
}
