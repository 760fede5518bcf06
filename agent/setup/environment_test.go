package setup

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes"
)

const testToken = "dt0c01.TEST.NOT-A-SECRET"

// wants fails unless the findings have these grades, say these words in their
// order, and show no token.
func wants(t *testing.T, found []Finding, grades string, words ...string) {
	t.Helper()
	got, text := "", ""
	for _, f := range found {
		got += string("GNF"[f.Grade])
		text += f.Text + "; " + f.Mend + "\n"
	}
	if got != grades {
		t.Errorf("grades %s, want %s:\n%s", got, grades, text)
	}
	rest := text
	for _, w := range words {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Errorf("%q is not said (in this order):\n%s", w, text)
			return
		}
		rest = after
	}
	if strings.Contains(text, testToken) || strings.Contains(text, "NOT-A-SECRET") {
		t.Errorf("the token is shown:\n%s", text)
	}
}

func environmentAt(u Uplink) *Environment {
	u.Token = probes.NewSecret(testToken)
	if u.Kind == "" {
		u.Kind = Dynatrace
	}
	return &Environment{Uplink: u, Version: "test", Floor: time.Unix(1_700_000_000, 0), Now: time.Now}
}

func startTLS(t *testing.T, o draintest.Options) (env *draintest.Server, url, ca string) {
	t.Helper()
	env = draintest.New(o)
	url, err := env.StartTLS("127.0.0.1:0", draintest.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, env.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return env, url, ca
}

func TestReach(t *testing.T) {
	env, url, ca := startTLS(t, draintest.Options{})
	url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	reach := func(u Uplink) []Finding { return environmentAt(u).Reach(t.Context()) }
	wants(t, reach(Uplink{URL: url, CAFile: ca}), "GGG", "localhost leads to", "certificate of localhost:"+port+" is trusted", "clock of this machine is right")
	wants(t, reach(Uplink{URL: url}), "GF", "unknown authority", "CA file")
	wants(t, reach(Uplink{URL: url, CAFile: "/nowhere"}), "GF", "read CA file")
	wants(t, reach(Uplink{URL: "https://no-such-host.invalid"}), "F", "the name no-such-host.invalid does not lead", "check")
	wants(t, reach(Uplink{URL: "https://127.0.0.1:1"}), "F", "nothing listens there")
	wants(t, reach(Uplink{URL: "http://localhost:" + port}), "GF", "") // TLS is spoken there

	for _, c := range []struct {
		shows draintest.Certificate
		words string
	}{
		{draintest.Expired, "not valid at the time"},
		{draintest.WrongName, "another name"},
		{draintest.OtherCA, "unknown authority"},
	} {
		if err := env.SetCertificate(c.shows); err != nil {
			t.Fatal(err)
		}
		wants(t, reach(Uplink{URL: url, CAFile: ca}), "GF", c.words)
	}
	if err := env.SetCertificate(draintest.Valid); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		off   time.Duration
		words string
	}{{3 * time.Hour, "behind"}, {-3 * time.Hour, "ahead"}} {
		e := environmentAt(Uplink{URL: url, CAFile: ca})
		e.Now = func() time.Time { return time.Now().Add(-c.off) }
		wants(t, e.Reach(t.Context()), "GGN", "the clock of this machine is 3h0m0s "+c.words, "NTP")
	}
}

func TestReachThroughProxy(t *testing.T) {
	_, url, ca := startTLS(t, draintest.Options{Token: testToken})
	proxy := httptest.NewServer(http.HandlerFunc(tunnel))
	defer proxy.Close()
	e := environmentAt(Uplink{URL: url, CAFile: ca, Proxy: proxy.URL})
	wants(t, e.Reach(t.Context()), "GGG", "through the proxy 127.0.0.1", "trusted")
	wants(t, e.Token(t.Context()), "GGG")
}

func TestToken(t *testing.T) {
	all := []string{draintest.ScopeMetrics, draintest.ScopeEvents, draintest.ScopeLogs}
	for name, c := range map[string]struct {
		options draintest.Options
		fault   draintest.Fault
		path    string
		grades  string
		words   []string
	}{
		"all scopes":         {draintest.Options{Token: testToken, Scopes: all}, draintest.Fault{}, "", "GGG", []string{"metrics.ingest", "events.ingest", "logs.ingest"}},
		"metrics alone":      {draintest.Options{Token: testToken, Scopes: all[:1]}, draintest.Fault{}, "", "GNN", []string{"may send metrics", "may not send events", "events.ingest", "may not send log records", "logs.ingest"}},
		"no metrics":         {draintest.Options{Token: testToken, Scopes: all[1:]}, draintest.Fault{}, "", "F", []string{"may not send metrics", "metrics.ingest"}},
		"another token":      {draintest.Options{Token: "dt0c01.OTHER.X"}, draintest.Fault{}, "", "F", []string{"not accepted (HTTP 401)", "metrics.ingest"}},
		"sign-in page":       {draintest.Options{}, draintest.Fault{Mode: draintest.Captive}, "", "F", []string{"a page answers", "sign-in"}},
		"out of order":       {draintest.Options{}, draintest.Fault{Mode: draintest.Unavailable}, "", "F", []string{"HTTP 503", "try again"}},
		"busy":               {draintest.Options{}, draintest.Fault{Mode: draintest.Throttle}, "", "F", []string{"HTTP 429"}},
		"wrong path":         {draintest.Options{}, draintest.Fault{}, "/nowhere", "F", []string{"no API for metrics", "/e/ENVIRONMENT"}},
		"logs are not there": {draintest.Options{}, draintest.Fault{Mode: draintest.ServerError, Only: draintest.ScopeLogs}, "", "GGN", []string{"HTTP 500", "metrics flow"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := draintest.New(c.options)
			url, err := env.Start("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer env.Close()
			if err := env.SetFault(c.fault); err != nil {
				t.Fatal(err)
			}
			wants(t, environmentAt(Uplink{URL: url + c.path}).Token(t.Context()), c.grades, c.words...)
			if n := env.Counts(); n.Lines+n.Events+n.Records != 0 {
				t.Errorf("something was stored: %+v", n)
			}
		})
	}
}

func TestTokenOfReceivers(t *testing.T) {
	env := draintest.New(draintest.Options{Token: testToken})
	url, err := env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	wants(t, environmentAt(Uplink{Kind: OTLP, URL: url + "/api/v2/otlp"}).Token(t.Context()), "GG", "metrics.ingest", "logs.ingest")
	wants(t, environmentAt(Uplink{Kind: OTLP, URL: url}).Token(t.Context()), "GG", "the token may send metrics")
	bare := environmentAt(Uplink{Kind: OTLP, URL: url})
	bare.Uplink.Token = probes.Secret{}
	wants(t, bare.Token(t.Context()), "F", "wants a token")
}

// A redirect is told and not followed, since the token would go along.
func TestTokenIsNotRedirected(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other server was asked: %s", r.URL)
	}))
	defer other.Close()
	s := httptest.NewServer(http.RedirectHandler(other.URL+"/?token=x", http.StatusFound))
	defer s.Close()
	wants(t, environmentAt(Uplink{URL: s.URL}).Token(t.Context()), "F", "leads on to "+strings.TrimPrefix(other.URL, "http://")+" (HTTP 302)")
}

func TestCheckToken(t *testing.T) {
	for token, words := range map[string]string{
		testToken: "", "anything": "", "dt0c01.ABC": "only a part", "a b": "blank", "ä": "blank",
	} {
		err := CheckToken(token)
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", token, err, words)
		}
	}
}

// tunnel is a proxy that knows CONNECT.
func tunnel(w http.ResponseWriter, r *http.Request) {
	to, err := net.Dial("tcp", r.Host)
	if err != nil || r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(to, from); _ = to.Close() }() // ends with the connection
	_, _ = io.Copy(from, to)
}
