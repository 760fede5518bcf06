package drain

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quiet drops the server's lines on handshakes that are meant to fail.
var quiet = log.New(io.Discard, "", 0)

func TestProxy(t *testing.T) {
	const password = "proxy-canary"
	asked := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		if _, given, _ := r.BasicAuth(); given != "" {
			t.Error("proxy credentials in the wrong header")
		}
		if r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer proxy.Close()
	with := strings.Replace(proxy.URL, "http://", "http://user:"+password+"@", 1)
	s := testSender(t, "http://env.invalid", ClientOptions{Proxy: with})
	if o := classify(send(t, s, lines("one\n")), time.Now()); o.verdict != accepted || asked != "POST http://env.invalid/api/v2/metrics/ingest" {
		t.Errorf("outcome %+v, proxy was asked %q", o, asked)
	}
	s = testSender(t, "http://env.invalid", ClientOptions{Proxy: proxy.URL})
	if o := classify(send(t, s, lines("one\n")), time.Now()); o.verdict != hold || !strings.Contains(o.cause, "407") {
		t.Errorf("outcome %+v", o)
	}
	s = testSender(t, "https://env.invalid", ClientOptions{Proxy: proxy.URL})
	if o := classify(send(t, s, lines("one\n")), time.Now()); o.verdict != later || o.ambiguous || !strings.Contains(o.cause, "user and password: put them into the proxy URL") {
		t.Errorf("outcome %+v", o)
	}
	proxy.Close()
	s = testSender(t, "https://env.invalid", ClientOptions{Proxy: with})
	if o := classify(send(t, s, lines("one\n")), time.Now()); o.ambiguous || strings.Contains(o.cause, password) || !strings.Contains(o.cause, "proxyconnect") {
		t.Errorf("outcome %+v", o)
	}
	for _, bad := range []string{"proxy.example:3128", "http://", "ftp://user:" + password + "@proxy", "http://user:" + password + "@pro xy", "://" + password} {
		_, err := NewClient(ClientOptions{Proxy: bad})
		if err == nil || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "http://proxy.example:3128") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

// TestProxyFromEnvironment runs itself, since Go reads the environment once.
func TestProxyFromEnvironment(t *testing.T) {
	if os.Getenv("EDGEHOLD_PROXY_TEST") != "" {
		client, err := NewClient(ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"https://env.example/", "https://inside.example/", "http://127.0.0.1/"} {
			u, err := client.Transport.(*transport).Proxy(httptest.NewRequest(http.MethodPost, target, nil))
			t.Logf("%s by %v, %v", target, u, err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProxyFromEnvironment$", "-test.v")
	cmd.Env = append(os.Environ(), "EDGEHOLD_PROXY_TEST=1", "HTTPS_PROXY=http://proxy.example:3128", "https_proxy=", "HTTP_PROXY=http://other.example", "http_proxy=",
		"NO_PROXY=inside.example", "no_proxy=")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"https://env.example/ by http://proxy.example:3128, <nil>", "https://inside.example/ by <nil>, <nil>", "http://127.0.0.1/ by <nil>, <nil>"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", want, err, out)
		}
	}
}

func TestCAFile(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "bad.pem")
	write(t, good, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	write(t, bad, []byte("no certificate"))

	if o := classify(send(t, testSender(t, server.URL, ClientOptions{CAFile: good}), lines("one\n")), time.Now()); o.verdict != accepted {
		t.Errorf("with the file: %+v", o)
	}
	if o := classify(send(t, testSender(t, server.URL, ClientOptions{}), lines("one\n")), time.Now()); o.verdict != later || !strings.Contains(o.cause, "CA file") || o.ambiguous {
		t.Errorf("without it: %+v", o)
	}
	other := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	if o := classify(send(t, testSender(t, other, ClientOptions{CAFile: good}), lines("one\n")), time.Now()); o.verdict != later || !strings.Contains(o.cause, "check the host") {
		t.Errorf("another host: %+v", o)
	}
	for file, want := range map[string]string{bad: "no certificate in PEM form", filepath.Join(dir, "none.pem"): "no such file"} {
		if _, err := NewClient(ClientOptions{CAFile: file}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v", file, err)
		}
	}
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEchoingProxy has a proxy say in its status line what it was told.
func TestEchoingProxy(t *testing.T) {
	const password = "proxy canary/1"
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		told := r.Header.Get("Proxy-Authorization")
		if told == "" {
			t.Error("the proxy was not told a password")
		}
		fmt.Fprintf(conn, "HTTP/1.1 407 not with %s or %s\r\nContent-Length: 0\r\n\r\n", told, password)
	}))
	defer proxy.Close()
	user := url.UserPassword("user", password)
	with := strings.Replace(proxy.URL, "http://", "http://"+user.String()+"@", 1)
	s := testSender(t, "https://env.invalid", ClientOptions{Proxy: with})
	cause := classify(send(t, s, lines("one\n")), time.Now()).cause
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	for _, secret := range []string{password, basic, url.PathEscape(password)} {
		if strings.Contains(cause, secret) {
			t.Errorf("the cause shows %q: %s", secret, cause)
		}
	}
	if !strings.Contains(cause, "not with") {
		t.Errorf("cause %q does not hold the proxy's words", cause)
	}
}
