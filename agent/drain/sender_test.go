package drain

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func testSender(t *testing.T, url string, o ClientOptions) *sender {
	t.Helper()
	client, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	token := func() (probes.Secret, error) { return probes.NewSecret(secret), nil }
	return newSender(Options{URL: url, Client: client, Version: "1.2.3", Token: token})
}

func post(t *testing.T, s *sender, text string) exchange {
	t.Helper()
	x, size, err := s.post(t.Context(), []byte(text), strings.Count(text, "\n"))
	if err != nil || size == 0 {
		t.Fatalf("post of %d bytes: %v", size, err)
	}
	if strings.Contains(fmt.Sprintf("%s %v %+v", x.body, x.err, classify(x, time.Now())), secret) {
		t.Errorf("exchange shows the token: %+v", x)
	}
	return x
}

func TestRequest(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"Authorization": "Api-Token " + secret, "Content-Type": "text/plain; charset=utf-8",
			"Content-Encoding": "gzip", "User-Agent": "edgehold/1.2.3",
		} {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if r.Method != http.MethodPost || r.URL.String() != "/e/abc/api/v2/metrics/ingest" || r.ContentLength <= 0 {
			t.Errorf("%s %s with %d bytes", r.Method, r.URL, r.ContentLength)
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		if body, err := io.ReadAll(z); err != nil || string(body) != "one\ntwo\n" {
			t.Errorf("body %q, %v", body, err)
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"linesOk":2,"linesInvalid":0}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	s := testSender(t, server.URL+"/e/abc/", ClientOptions{})
	for range 3 {
		if o := classify(post(t, s, "one\ntwo\n"), time.Now()); o.verdict != accepted {
			t.Errorf("outcome %+v", o)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("three posts took %d connections", n)
	}
}

// TestRedirectIsNotFollowed would let the token reach another host.
func TestRedirectIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("redirect was followed") }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	s := testSender(t, server.URL, ClientOptions{})
	s.client.CheckRedirect = newSender(Options{Client: &http.Client{}}).client.CheckRedirect // of a client not from NewClient
	if o := classify(post(t, s, "one\n"), time.Now()); o.verdict != hold || !strings.Contains(o.cause, other.URL) {
		t.Errorf("outcome %+v", o)
	}
}

// TestAmbiguity tells "nothing was sent" from "the answer was lost".
func TestAmbiguity(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/cut" + ingestPath:
			panic(http.ErrAbortHandler)
		case "/hang" + ingestPath:
			<-release
		case "/short" + ingestPath:
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"linesOk":1,`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	defer close(release)
	for name, test := range map[string]struct {
		url       string
		ambiguous bool
		cause     string
	}{
		"refused":    {"http://" + closed.Addr().String(), false, "nothing listens there"},
		"no TLS":     {strings.Replace(server.URL, "http:", "https:", 1), false, ""},
		"cut":        {server.URL + "/cut", true, "cut before the answer"},
		"hang":       {server.URL + "/hang", true, "did not answer in time"},
		"short":      {server.URL + "/short", true, "broke off"},
		"not a URL":  {"http://a b", false, "not valid"},
		"not a host": {"http://[::1", false, "not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testSender(t, test.url, ClientOptions{Timeout: 300 * time.Millisecond})
			o := classify(post(t, s, "one\n"), time.Now())
			if o.verdict != later || o.ambiguous != test.ambiguous || !strings.Contains(o.cause, test.cause) || o.cause == "" {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// TestServerEchoesToken holds that not even the server can put the token into
// a log.
func TestServerEchoesToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "bad: %s", r.Header.Get("Authorization"))
	}))
	defer server.Close()
	o := classify(post(t, testSender(t, server.URL, ClientOptions{}), "one\n"), time.Now())
	if !strings.HasSuffix(o.cause, "bad: Api-Token ***") {
		t.Errorf("outcome %+v", o)
	}
	inner := errors.New("header " + secret)
	if err := scrub(fmt.Errorf("post: %w", inner), []string{secret}); err.Error() != "post: header ***" || !errors.Is(err, inner) {
		t.Errorf("scrubbed error %v", err)
	}
}

// TestTokenOfTwoLines is what a careless file holds; the header is refused
// before anything is sent.
func TestTokenOfTwoLines(t *testing.T) {
	s := testSender(t, "http://127.0.0.1:1", ClientOptions{})
	s.token = func() (probes.Secret, error) { return probes.NewSecret(secret + "\nx"), nil }
	if o := classify(post(t, s, "one\n"), time.Now()); o.verdict != later || o.ambiguous {
		t.Errorf("outcome %+v", o)
	}
}

// TestLargeAnswer holds that an endless answer ends.
func TestLargeAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	x := post(t, testSender(t, server.URL, ClientOptions{}), "one\n")
	if len(x.body) != maxAnswer {
		t.Errorf("%d bytes of answer were read", len(x.body))
	}
}

func TestLinger(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	longer, stop := linger(ctx)
	cancel()
	if longer.Err() != nil {
		t.Error("ended with its parent")
	}
	stop()
	if longer.Err() == nil {
		t.Error("did not end when stopped")
	}
}
