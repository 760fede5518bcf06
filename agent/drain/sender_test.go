package drain

import (
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

	"github.com/klauspost/compress/gzip"

	"github.com/edgehold/edgehold/probes"
)

// canary is a token that must show nowhere.
const canary = "dt0c01.CANARY.0123456789"

func giveToken() (probes.Secret, error) { return probes.NewSecret(canary), nil }

func testSender(t testing.TB, url string, o ClientOptions) *sender {
	t.Helper()
	client, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return newSender(Target{URL: url, Client: client, Token: giveToken}, "1.2.3")
}

func lines(text string) request {
	return request{cargo: metrics, body: []byte(text), items: strings.Count(text, "\n")}
}

// send posts and holds that nothing shows the token.
func send(t *testing.T, s *sender, r request) exchange {
	t.Helper()
	x := s.post(t.Context(), r)
	if x.cargo != r.cargo || x.items != r.items {
		t.Errorf("exchange of another post: %+v", x)
	}
	if strings.Contains(fmt.Sprintf("%s %v %v %+v", x.body, x.err, x.noToken, classify(x, time.Now())), canary) {
		t.Errorf("exchange shows the token: %+v", x)
	}
	return x
}

func taken(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, `{"linesOk":2,"linesInvalid":0}`)
}

// TestRequests has what each cargo is sent as.
func TestRequests(t *testing.T) {
	for name, test := range map[string]struct {
		cargo      cargo
		target     Target
		path, kind string
		auth       string
		plain      bool
	}{
		"metrics":         {cargo: metrics, target: Target{Token: giveToken}, path: "/e/abc/api/v2/metrics/ingest", kind: "text/plain; charset=utf-8", auth: "Api-Token " + canary},
		"events":          {cargo: events, target: Target{Token: giveToken}, path: "/e/abc/api/v2/events/ingest", kind: "application/json; charset=utf-8", auth: "Api-Token " + canary},
		"logs":            {cargo: logs, target: Target{Token: giveToken}, path: "/e/abc/api/v2/logs/ingest", kind: "application/json; charset=utf-8", auth: "Api-Token " + canary},
		"OTLP metrics":    {cargo: otlpMetrics, target: Target{Protocol: OTLP, Token: giveToken, TokenScheme: "Bearer"}, path: "/e/abc/v1/metrics", kind: "application/x-protobuf", auth: "Bearer " + canary},
		"OTLP logs, bare": {cargo: otlpLogs, target: Target{Protocol: OTLP}, path: "/e/abc/v1/logs", kind: "application/x-protobuf"},
		"metrics, no zip": {cargo: metrics, target: Target{Token: giveToken, Plain: true}, path: "/e/abc/api/v2/metrics/ingest", kind: "text/plain; charset=utf-8", auth: "Api-Token " + canary, plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				want := map[string]string{"Content-Type": test.kind, "User-Agent": "edgehold/1.2.3", "Authorization": test.auth, "Content-Encoding": "gzip"}
				body := io.Reader(r.Body)
				if test.plain {
					want["Content-Encoding"] = ""
				} else if z, err := gzip.NewReader(r.Body); err != nil {
					t.Error(err)
				} else {
					body = z
				}
				for name, value := range want {
					if got := r.Header.Get(name); got != value || len(r.Header.Values(name)) > 1 {
						t.Errorf("%s is %q, want %q", name, got, value)
					}
				}
				if r.Method != http.MethodPost || r.URL.String() != test.path || r.ContentLength <= 0 {
					t.Errorf("%s %s with %d bytes", r.Method, r.URL, r.ContentLength)
				}
				if text, err := io.ReadAll(body); err != nil || string(text) != "one\ntwo\n" {
					t.Errorf("body %q, %v", text, err)
				}
				w.Header().Set("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
				taken(w)
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
			server.Start()
			defer server.Close()
			test.target.URL, test.target.Client = server.URL+"/e/abc/", testSender(t, "", ClientOptions{}).client
			s := newSender(test.target, "1.2.3")
			for range 3 {
				x := send(t, s, request{cargo: test.cargo, body: []byte("one\ntwo\n"), items: 2})
				if x.status != http.StatusAccepted || !x.begun || !x.whole || x.zipped == test.plain || x.bare != (test.auth == "") {
					t.Errorf("exchange %+v", x)
				}
				if x.wire <= int64(x.packed+len(x.body)) || x.took <= 0 || x.date.Unix() != 784111777 {
					t.Errorf("exchange %+v", x)
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("three posts took %d connections", n)
			}
		})
	}
}

// TestRedirectIsNotFollowed would let the token reach another host.
func TestRedirectIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("redirect was followed") }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	s := newSender(Target{URL: server.URL, Client: &http.Client{}, Token: giveToken}, "1") // of a client not from NewClient
	if o := classify(send(t, s, lines("one\n")), time.Now()); o.verdict != hold || !strings.Contains(o.cause, other.URL) {
		t.Errorf("outcome %+v", o)
	}
}

// TestGzipRefused has an endpoint that takes no compressed body: its cargo goes
// plain from then on, the others do not.
func TestGzipRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "metrics") && r.Header.Get("Content-Encoding") != "" {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		taken(w)
	}))
	defer server.Close()
	s := testSender(t, server.URL, ClientOptions{})
	if o := classify(send(t, s, lines("one\ntwo\n")), time.Now()); !o.noGzip || o.verdict != later {
		t.Errorf("outcome %+v", o)
	}
	for range 2 {
		x := send(t, s, lines("one\ntwo\n"))
		if o := classify(x, time.Now()); o.verdict != accepted || x.zipped || x.packed != 8 {
			t.Errorf("outcome %+v of %+v", o, x)
		}
	}
	if x := send(t, s, request{cargo: logs, body: []byte("[]"), items: 1}); !x.zipped {
		t.Errorf("logs go plain too: %+v", x)
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
	o := classify(send(t, testSender(t, server.URL, ClientOptions{}), lines("one\n")), time.Now())
	if !strings.HasSuffix(o.cause, "bad: Api-Token ***") {
		t.Errorf("outcome %+v", o)
	}
	inner := errors.New("header " + canary)
	if err := scrub(fmt.Errorf("post: %w", inner), []string{canary}); err.Error() != "post: header ***" || !errors.Is(err, inner) {
		t.Errorf("scrubbed error %v", err)
	}
}

// TestNoToken has what can be wrong with a token; nothing is sent then.
func TestNoToken(t *testing.T) {
	for name, test := range map[string]struct {
		token string
		err   error
		cause string
	}{
		"unreadable": {"", errors.New("read token file: permission denied"), "no token: read token file: permission denied"},
		"empty":      {"", nil, "scope metrics.ingest into the token file"},
		"two lines":  {canary + "\nx", nil, "in one line"},
		"a byte":     {canary + "\x80", nil, "in one line"},
	} {
		s := testSender(t, "http://127.0.0.1:1", ClientOptions{})
		s.target.Token = func() (probes.Secret, error) { return probes.NewSecret(test.token), test.err }
		x := send(t, s, lines("one\n"))
		if o := classify(x, time.Now()); o.verdict != hold || o.ambiguous || o.unreached || !strings.Contains(o.cause, test.cause) || x.wire != 0 {
			t.Errorf("%s: outcome %+v", name, o)
		}
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
	x := send(t, testSender(t, server.URL, ClientOptions{}), lines("one\n"))
	if len(x.body) != maxAnswer {
		t.Errorf("%d bytes of answer were read", len(x.body))
	}
}

// TestBodyIsFreeAfterPost changes the body while the server still reads it: an
// early answer ends the post, not the transport's work.
func TestBodyIsFreeAfterPost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	defer server.Close()
	s := testSender(t, server.URL, ClientOptions{})
	s.target.Plain = true
	body := make([]byte, 8<<20)
	for range 5 { // the race detector is the judge
		s.post(t.Context(), request{cargo: metrics, body: body, items: 1})
		clear(body)
	}
}
