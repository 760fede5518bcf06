package clock

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: today.AddDate(-10, 0, 0), NotAfter: today.AddDate(10, 0, 0),
	}
	a.cert, a.key = a.sign(template)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// leaf is a server's certificate for 127.0.0.1, or for another name.
func (a *authority) leaf(from, to time.Time, name string) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "environment"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if name == "" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	} else {
		template.DNSNames = []string{name}
	}
	cert, key := a.sign(template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func serve(t *testing.T, cert tls.Certificate, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = quietLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func says(date time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
	}
}

func TestReadDate(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	week := 7 * 24 * time.Hour
	good := a.leaf(today.Add(-week), today.Add(week), "")
	header := func(name string, values ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			says(today)(w, r)
			w.Header()[name] = values
		}
	}
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		answer http.HandlerFunc
		want   time.Time
		err    string
	}{
		{"good", good, says(today), today, ""},
		{"the date decides, not this machine", good, says(today.Add(-6 * 24 * time.Hour)), today.Add(-6 * 24 * time.Hour), ""},
		{"expired at its date", good, says(today.Add(8 * 24 * time.Hour)), time.Time{}, "not valid at the time that it tells itself"},
		{"not yet valid at its date", good, says(today.Add(-8 * 24 * time.Hour)), time.Time{}, "not valid at the time that it tells itself"},
		{"expired, and honest", a.leaf(today.Add(-2*week), today.Add(-week), ""), says(today), time.Time{}, "not valid at the time that it tells itself"},
		{"not yet valid, and honest", a.leaf(today.Add(week), today.Add(2*week), ""), says(today), time.Time{}, "not valid at the time that it tells itself"},
		{"an old key, back in its day", a.leaf(built.Add(-2*week), built.Add(-week), ""), says(built.Add(-10 * 24 * time.Hour)), time.Time{}, "before 2026-03-01"},
		{"another's name", a.leaf(today.Add(-week), today.Add(week), "elsewhere.example"), says(today), time.Time{}, "is not trusted"},
		{"another authority", other.leaf(today.Add(-week), today.Add(week), ""), says(today), time.Time{}, "unknown authority"},
		{"no date", good, header("Date"), time.Time{}, "0 Date headers"},
		{"two dates", good, header("Date", today.Format(http.TimeFormat), today.Format(http.TimeFormat)), time.Time{}, "2 Date headers"},
		{"junk", good, header("Date", "yesterday"), time.Time{}, "yesterday"},
		{"year one", good, header("Date", "Mon, 01 Jan 0001 00:00:00 GMT"), time.Time{}, "Date header is"},
		{"from a cache", good, header("Age", "300"), time.Time{}, "comes from a cache"},
		{"redirect", good, func(w http.ResponseWriter, r *http.Request) {
			says(today)(w, r)
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, today, ""},
		{"unauthorized", good, func(w http.ResponseWriter, r *http.Request) { says(today)(w, r); w.WriteHeader(401) }, today, ""},
		{"broken", good, func(w http.ResponseWriter, r *http.Request) { says(today)(w, r); w.WriteHeader(503) }, today, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadDate(t.Context(), DateOptions{URL: serve(t, c.cert, c.answer), RootCAs: a.pool, Floor: built})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "https://127.0.0.1") || got.Verified {
					t.Fatalf("got %+v, %v; want an error with %q", got, err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if off := got.Time.Sub(c.want); off < 0 || off >= time.Second || got.Source != Environment || !got.Verified {
				t.Errorf("got %+v, want %v", got, c.want)
			}
			if got.Error < time.Second || got.Error > 6*time.Second {
				t.Errorf("error %v", got.Error)
			}
		})
	}
}

// TestReadDateGivesNothingAway: what reaches a stranger tells nothing.
func TestReadDateGivesNothingAway(t *testing.T) {
	a := newAuthority(t)
	var seen atomic.Pointer[http.Request]
	var length atomic.Int64
	address := serve(t, a.leaf(today.Add(-time.Hour), today.Add(time.Hour), ""), func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		length.Store(n)
		seen.Store(r)
		says(today)(w, r)
	})
	address = strings.Replace(address, "https://", "https://user:secret@", 1) + "/e/0a1b/api/v2/metrics/ingest?token=secret#secret"
	if _, err := ReadDate(t.Context(), DateOptions{URL: address, RootCAs: a.pool}); err != nil {
		t.Fatal(err)
	}
	r := seen.Load()
	if r.Method != http.MethodHead || r.RequestURI != "/" || length.Load() != 0 {
		t.Errorf("%s %s with %d bytes", r.Method, r.RequestURI, length.Load())
	}
	for name := range r.Header {
		if name != "User-Agent" && name != "Cache-Control" && name != "Connection" {
			t.Errorf("header %s: %q", name, r.Header[name])
		}
	}
}

func TestReadDateOverHTTP(t *testing.T) {
	s := httptest.NewServer(says(today))
	t.Cleanup(s.Close)
	poisoned := func(*http.Request) (*url.URL, error) { return nil, errors.New("a proxy was asked for loopback") }
	if r, err := ReadDate(t.Context(), DateOptions{URL: s.URL, Proxy: poisoned, Floor: built}); err != nil || !r.Verified {
		t.Errorf("loopback: %+v, %v", r, err)
	}
	for _, address := range []string{"http://192.0.2.1", "http://environment.example", "ftp://127.0.0.1", "127.0.0.1:1", "", "http://[::1"} {
		if _, err := ReadDate(t.Context(), DateOptions{URL: address}); err == nil || !strings.Contains(err.Error(), "uplink") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestReadDateTooSlow: an answer that was long under way says too little.
func TestReadDateTooSlow(t *testing.T) {
	a := newAuthority(t)
	cert := a.leaf(today.Add(-time.Hour), today.Add(time.Hour), "")
	for _, c := range []struct {
		trip time.Duration
		ok   bool
	}{{0, true}, {9 * time.Second, true}, {10*time.Second + 1, false}, {time.Hour, false}} {
		var uptime time.Duration
		address := serve(t, cert, says(today))
		calls := 0
		clock := func() time.Duration {
			if calls++; calls > 1 {
				uptime = time.Minute + c.trip
			} else {
				uptime = time.Minute
			}
			return uptime
		}
		r, err := ReadDate(t.Context(), DateOptions{URL: address, RootCAs: a.pool, Uptime: clock})
		if c.ok != (err == nil) {
			t.Errorf("%v: %v", c.trip, err)
		}
		if c.ok && (r.Error != time.Second+c.trip/2 || r.Uptime != time.Minute+c.trip/2) {
			t.Errorf("%v: %+v", c.trip, r)
		}
	}
}

func TestReadDateStalled(t *testing.T) {
	a := newAuthority(t)
	release := make(chan struct{})
	address := serve(t, a.leaf(today.Add(-time.Hour), today.Add(time.Hour), ""), func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := ReadDate(ctx, DateOptions{URL: address, RootCAs: a.pool}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// proxy is an HTTP proxy: it answers CONNECT with a status of its own, or
// joins the caller with the address to (the one asked for if "").
func proxy(t *testing.T, status int, to string) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(today.AddDate(1, 0, 0))(w, r) // a date that must not be taken
		if r.Method != http.MethodConnect || status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		address := to
		if address == "" {
			address = r.Host
		}
		far, err := net.Dial("tcp", address)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer far.Close()
		w.WriteHeader(http.StatusOK)
		near, early, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer near.Close()
		go func() {
			_, _ = io.Copy(far, early) // may hold the first bytes already
			far.Close()
		}()
		_, _ = io.Copy(near, far)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestReadDateThroughProxy(t *testing.T) {
	a := newAuthority(t)
	address := serve(t, a.leaf(today.Add(-time.Hour), today.Add(time.Hour), ""), says(today))
	impostor := serve(t, newAuthority(t).leaf(today.Add(-time.Hour), today.Add(time.Hour), ""), says(today))
	secret := &url.URL{Scheme: "https", Host: "127.0.0.1:1", User: url.UserPassword("u", "hunter2")}
	for _, c := range []struct {
		name  string
		proxy *url.URL
		err   string
	}{
		{"joins", proxy(t, http.StatusOK, ""), ""},
		{"wants a password", proxy(t, http.StatusProxyAuthRequired, ""), "Proxy Authentication Required"},
		{"is a portal", proxy(t, http.StatusFound, ""), "Found"},
		{"joins with another", proxy(t, http.StatusOK, strings.TrimPrefix(impostor, "https://")), "is not trusted"},
		{"https with a password", secret, "an https proxy with a password"},
	} {
		r, err := ReadDate(t.Context(), DateOptions{URL: address, RootCAs: a.pool, Proxy: http.ProxyURL(c.proxy)})
		if c.err == "" {
			if err != nil || !r.Time.Equal(today.Add(time.Second/2)) {
				t.Errorf("%s: %+v, %v", c.name, r, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
