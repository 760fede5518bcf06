package draintest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const token = "dt0c01.TEST.SECRET"

var now = time.UnixMilli(1_700_000_000_000)

func fixed() time.Time { return now }

// start runs a server that keeps lines, closed at the end of the test.
func start(t *testing.T, change ...func(*Options)) *Server {
	t.Helper()
	o := Options{Token: token, Now: fixed, KeepLines: true}
	for _, f := range change {
		f(&o)
	}
	s := New(o)
	if _, err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type answered struct {
	status int
	header http.Header
	body   string
}

// request builds a good ingest request; change spoils it.
func request(t *testing.T, s *Server, body string, change ...func(*http.Request)) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.URL()+"/api/v2/metrics/ingest", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Api-Token "+token)
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	for _, f := range change {
		f(r)
	}
	return r
}

func do(client *http.Client, r *http.Request) (answered, error) {
	resp, err := client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, string(data)}, err
}

// plain is a client without kept connections.
func plain() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
}

func send(t *testing.T, s *Server, body string, change ...func(*http.Request)) answered {
	t.Helper()
	a, err := do(plain(), request(t, s, body, change...))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func at(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixMilli(), 10) }

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // a buffer takes everything
	w.Close()
	return b.String()
}

// eventually waits until ok, or fails.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

func TestIngestTakes(t *testing.T) {
	s := start(t)
	const all = `{"linesOk":2,"linesInvalid":0,"error":null,"warnings":null}`
	body := "cpu.load,site=a 5 " + at(0) + "\n#cpu.load gauge dt.meta.unit=\"%\"\n"
	for _, path := range []string{"/api/v2/metrics/ingest", "/e/abc-1/api/v2/metrics/ingest"} {
		a := send(t, s, body, func(r *http.Request) { r.URL.Path = path })
		if a.status != 202 || a.body != all {
			t.Errorf("%s: got %d %s", path, a.status, a.body)
		}
	}
	a := send(t, s, zipped(strings.TrimSuffix(body, "\n")), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
	if a.status != 202 || a.body != all {
		t.Errorf("gzip: got %d %s", a.status, a.body)
	}
	c := s.Counts()
	want := Counts{
		Requests: 3, Outcomes: map[string]int{"202": 3}, Lines: 3, Distinct: 1, Duplicates: 1, Metadata: 3,
		WireBytes: int64(2*len(body) + len(zipped(strings.TrimSuffix(body, "\n")))), PlainBytes: int64(3*len(body) - 1),
	}
	if fmt.Sprint(c) != fmt.Sprint(want) {
		t.Errorf("counts\n got %+v\nwant %+v", c, want)
	}
	if m := s.Ledger().Metadata(); len(m) != 3 || m[0].Properties[0] != (Dim{"dt.meta.unit", "%"}) {
		t.Errorf("metadata: %+v", m)
	}
}

func TestIngestTakesGoodLinesBesideBadOnes(t *testing.T) {
	s := start(t)
	body := strings.Join([]string{
		"good.one 1 " + at(0), "dt.bad 1 " + at(0), "good.two 2 " + at(-time.Hour), "old.one 1 " + at(-time.Hour-time.Millisecond),
		"", "good.three 3 " + at(10*time.Minute), "far.one 1 " + at(10*time.Minute+time.Millisecond), "no.stamp 1", "#bad",
	}, "\n")
	a := send(t, s, body)
	want := `{"linesOk":3,"linesInvalid":6,"error":{"code":400,"message":"6 invalid lines","invalidLines":[` +
		`{"line":2,"error":"metric key \"dt.bad\" has the reserved prefix \"dt.\""},` +
		`{"line":4,"error":"timestamp is more than 1 hour in the past"},` +
		`{"line":5,"error":"line is empty"},` +
		`{"line":7,"error":"timestamp is more than 10 minutes in the future"},` +
		`{"line":8,"error":"timestamp is missing"},` +
		`{"line":9,"error":"metadata type \"\" is unknown"}]},"warnings":null}`
	if a.status != 400 || a.body != want {
		t.Errorf("got %d\n%s\nwant\n%s", a.status, a.body, want)
	}
	if c := s.Counts(); c.Lines != 3 || c.Distinct != 3 || c.Refused != 6 {
		t.Errorf("counts: %+v", c)
	}
	if r := s.Ledger().Refusals(); len(r) != 6 || r[0] != (Refusal{"dt.bad 1 " + at(0), `metric key "dt.bad" has the reserved prefix "dt."`}) {
		t.Errorf("refusals: %+v", r)
	}
}

func TestIngestRefusesRequests(t *testing.T) {
	good := "cpu.load 5 " + at(0)
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	for _, c := range []struct {
		name, body string
		change     func(*http.Request)
		status     int
		message    string
	}{
		{"method", "", func(r *http.Request) { r.Method = "GET" }, 405, "HTTP 405 Method Not Allowed"},
		{"path", good, path("/api/v2/metrics"), 404, "HTTP 404 Not Found"},
		{"slash behind path", good, path("/api/v2/metrics/ingest/"), 404, "HTTP 404 Not Found"},
		{"no environment id", good, path("/e//api/v2/metrics/ingest"), 404, "HTTP 404 Not Found"},
		{"control is off", good, path("/_ledger"), 404, "HTTP 404 Not Found"},
		{"no token", good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "Token Authentication failed"},
		{"wrong token", good, header("Authorization", "Api-Token "+token+"x"), 401, "Token Authentication failed"},
		{"bearer", good, header("Authorization", "Bearer "+token), 401, "Token Authentication failed"},
		{"two tokens", good, func(r *http.Request) { r.Header.Add("Authorization", "Api-Token "+token) }, 401, "Token Authentication failed"},
		{"no content type", good, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "content type is not text/plain; charset=utf-8"},
		{"json", good, header("Content-Type", "application/json"), 415, "content type is not text/plain; charset=utf-8"},
		{"charset", good, header("Content-Type", "text/plain; charset=latin1"), 415, "content type is not text/plain; charset=utf-8"},
		{"encoding", good, header("Content-Encoding", "zstd"), 415, "content encoding is not gzip"},
		{"not gzip", good, header("Content-Encoding", "gzip"), 400, "decompress request: gzip: invalid header"},
		{"cut gzip", zipped(good)[:20], header("Content-Encoding", "gzip"), 400, "decompress request: unexpected EOF"},
		{"no body", "", header("X", "y"), 400, "request has no body"},
		{"too large", strings.Repeat("x", maxBody+1), header("X", "y"), 413, "request is larger than 1000000 bytes before compression"},
		{"far too large", strings.Repeat("x", 4*maxBody), header("X", "y"), 413, "request is larger than 1000000 bytes before compression"},
		{"gzip bomb", zipped(strings.Repeat("x", 5*maxBody)), header("Content-Encoding", "gzip"), 413, "request is larger than 1000000 bytes before compression"},
		{"too many lines", strings.Repeat(good+"\n", maxLines+1), header("X", "y"), 413, "request has 1001 lines, more than 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			a := send(t, s, c.body, c.change)
			want := fmt.Sprintf(`{"error":{"code":%d,"message":%q}}`, c.status, c.message)
			if a.status != c.status || a.body != want {
				t.Errorf("got %d %s\nwant %d %s", a.status, a.body, c.status, want)
			}
			counts := s.Counts()
			if counts.Lines != 0 || counts.Requests != 1 || counts.Outcomes[strconv.Itoa(c.status)] != 1 {
				t.Errorf("counts: %+v", counts)
			}
		})
	}
}

// 1,000 lines of 1,000 bytes are the most in both ways.
func TestIngestAtTheLimits(t *testing.T) {
	s := start(t)
	const size = maxBody / maxLines
	full := strings.Repeat("x", 240)
	var b strings.Builder
	for i := range maxLines {
		head := fmt.Sprintf("cpu.load,a=%[1]s,b=%[1]s,c=%[1]s,n=%04d,d=", full, i)
		tail := " 5 " + at(0) + "\n"
		b.WriteString(head + strings.Repeat("y", size-len(head)-len(tail)) + tail)
	}
	if b.Len() != maxBody {
		t.Fatalf("the test sends %d bytes", b.Len())
	}
	if a := send(t, s, b.String()); a.status != 202 || s.Counts().Distinct != maxLines {
		t.Errorf("got %d %.200s, %d taken", a.status, a.body, s.Counts().Distinct)
	}
}

func TestIngestAnyToken(t *testing.T) {
	good := "cpu.load 5 " + at(0)
	header := func(v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Authorization", v) } }
	s := start(t, func(o *Options) { o.Token = "" })
	if a := send(t, s, good, header("Api-Token other")); a.status != 202 {
		t.Errorf("got %d", a.status)
	}
	if a := send(t, s, good, header("Api-Token ")); a.status != 401 {
		t.Errorf("empty token: got %d", a.status)
	}
}

func TestLedgerCounts(t *testing.T) {
	s := start(t)
	l := s.Ledger()
	line := `net.in,device="a b",if=1 count,delta=5 ` + at(0)
	other := `net.in,if=1,device=a\ b count,delta=6 ` + at(0) // the same pair
	for i, body := range []string{line, line, other, "net.in,if=2 count,delta=5 " + at(0), line + "\n" + line} {
		if a := send(t, s, body); a.status != 202 {
			t.Fatalf("%d: %d %s", i, a.status, a.body)
		}
	}
	c := l.Counts()
	if c.Lines != 6 || c.Distinct != 2 || c.Duplicates != 1 || c.Conflicts != 1 {
		t.Errorf("counts: %+v", c)
	}
	for text, want := range map[string]int{line: 5, other: 5, "net.in,if=2 count,delta=9 " + at(0): 1, "net.in,if=2 5 " + at(0): 0, "net.in,if=2 count,delta=5 " + at(time.Millisecond): 0} {
		if got, err := l.Times(text); err != nil || got != want {
			t.Errorf("Times(%s) = %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := l.Times("dt.x 1 1"); err == nil {
		t.Error("Times took a bad line")
	}
	got, ok := l.Find("net.in", map[string]string{"if": "1", "device": "a b"}, now)
	if !ok || got.Delta != 5 || got.Payload != "count,delta=5" {
		t.Errorf("Find: %+v, %v", got, ok)
	}
	if _, ok := l.Find("net.in", map[string]string{"if": "1"}, now); ok {
		t.Error("Find found a series with fewer dimensions")
	}
	want := []string{`net.in,device="a b",if="1" count,delta=5 ` + at(0), `net.in,if="2" count,delta=5 ` + at(0)}
	if lines := l.Lines(); fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("lines: %q", lines)
	}
}

func TestLedgerWithoutLines(t *testing.T) {
	s := start(t, func(o *Options) { o.KeepLines = false })
	line := "cpu.load 5 " + at(0)
	send(t, s, line)
	if n, err := s.Ledger().Times(line); n != 1 || err != nil {
		t.Errorf("Times: %d, %v", n, err)
	}
	if lines := s.Ledger().Lines(); len(lines) != 0 {
		t.Errorf("kept %q", lines)
	}
	var b strings.Builder
	if err := s.Ledger().WritePairs(&b); err != nil || len(b.String()) != 32+len(" 1\n") {
		t.Errorf("pairs: %q, %v", b.String(), err)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	s := start(t)
	for range 2 {
		send(t, s, strings.Repeat("bad\n", maxLines))
	}
	if c := s.Counts(); c.Refused != 2*maxLines || len(s.Ledger().Refusals()) != maxKept {
		t.Errorf("%d refused, %d remembered", c.Refused, len(s.Ledger().Refusals()))
	}
}

func TestConcurrentIngest(t *testing.T) {
	s := start(t)
	const workers, requests, each = 8, 20, 10
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := range requests {
				var b strings.Builder
				for n := range each {
					fmt.Fprintf(&b, "load,w=%d,n=%d gauge,%d %s\n", w/2, n, i, at(time.Duration(i)*time.Millisecond))
				}
				a, err := do(client, request(t, s, b.String()))
				if err != nil || a.status != 202 {
					t.Errorf("got %d, %v", a.status, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			s.Counts()
			s.Ledger().Lines()
			if err := s.SetFault(Fault{}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	const pairs = workers / 2 * requests * each // two workers send the same
	if c := s.Counts(); c.Lines != 2*pairs || c.Distinct != pairs || c.Duplicates != pairs || c.Conflicts != 0 || c.Outcomes["202"] != workers*requests {
		t.Errorf("counts: %+v", c)
	}
}

func TestControl(t *testing.T) {
	s := start(t, func(o *Options) { o.Control = true })
	call := func(method, path string) answered {
		r, err := http.NewRequest(method, s.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := do(plain(), r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := call("POST", "/_fault?mode=throttle&count=1&retry_after=3s"); a.status != 204 {
		t.Fatalf("fault: %d %s", a.status, a.body)
	}
	body := "cpu.load 5 " + at(0)
	if a := send(t, s, body); a.status != 429 || a.header.Get("Retry-After") != "3" {
		t.Errorf("got %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if a := send(t, s, body); a.status != 202 {
		t.Errorf("the fault outlived its count: %d", a.status)
	}
	call("POST", "/_fault?mode=too-large&lines=1")
	if a := send(t, s, body+"\n"+body); a.status != 413 {
		t.Errorf("too-large: got %d", a.status)
	}
	call("POST", "/_fault?mode=none")
	if a := send(t, s, body); a.status != 202 {
		t.Errorf("after none: %d", a.status)
	}
	var c Counts
	a := call("GET", "/_ledger")
	if err := json.Unmarshal([]byte(a.body), &c); err != nil || c.Distinct != 1 || c.Duplicates != 1 || !maps.Equal(c.Outcomes, map[string]int{"202": 2, "413": 1, "429": 1}) {
		t.Errorf("ledger: %s (%v)", a.body, err)
	}
	if a := call("GET", "/_ledger?pairs=1"); a.status != 200 || !strings.HasSuffix(a.body, " 2 cpu.load gauge,5 "+at(0)+"\n") {
		t.Errorf("pairs: %d %q", a.status, a.body)
	}
	for _, bad := range []struct{ method, path, want string }{
		{"POST", "/_fault", "mode is missing"},
		{"POST", "/_fault?mode=explode", `mode "explode" is unknown`},
		{"POST", "/_fault?mode=refuse", "would close this port"},
		{"POST", "/_fault?mode=down&count=x", `count "x" is not a number`},
		{"POST", "/_fault?mode=down&count=-1", "count is negative"},
		{"POST", "/_fault?mode=slow&delay=2", `delay "2" is not a duration`},
		{"POST", "/_fault?mode=slow", "slow needs a delay"},
		{"POST", "/_fault?mode=partial-invalid", "needs a number of lines"},
		{"GET", "/_fault?mode=down", "control knows"},
		{"GET", "/_else", "control knows"},
	} {
		if a := call(bad.method, bad.path); a.status/100 != 4 || !strings.Contains(a.body, bad.want) {
			t.Errorf("%s %s: %d %s", bad.method, bad.path, a.status, a.body)
		}
	}
}

func TestServerLife(t *testing.T) {
	s := New(Options{Token: token})
	if s.URL() != "" {
		t.Errorf("URL %q before the start", s.URL())
	}
	if _, err := s.Start("not an address"); err == nil {
		t.Fatal("started on no address")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("started after Close")
	}
	if err := New(Options{}).Close(); err != nil {
		t.Errorf("close of what never started: %v", err)
	}
}

// As a handler in somebody else's server, with the real clock.
func TestHandler(t *testing.T) {
	s := New(Options{Token: token})
	web := httptest.NewTLSServer(s)
	defer web.Close()
	r := request(t, s, "cpu.load 5 "+strconv.FormatInt(time.Now().UnixMilli(), 10), func(r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.Host = "https", web.Listener.Addr().String(), ""
	})
	if a, err := do(web.Client(), r); err != nil || a.status != 202 {
		t.Errorf("got %+v, %v", a, err)
	}
}
