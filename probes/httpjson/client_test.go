package httpjson

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// serve polls a handler once, with an endpoint that change has set up.
func serve(t *testing.T, b plan.DocBlock, handler http.HandlerFunc, change func(*plan.DocEndpoint)) (probes.Batch, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return pollAt(t, b, server.URL, change)
}

func pollAt(t *testing.T, b plan.DocBlock, url string, change func(*plan.DocEndpoint)) (probes.Batch, error) {
	t.Helper()
	e := endpointOf(t, url)
	if change != nil {
		change(&e)
	}
	p := &plan.Plan{Extension: "custom:x", Documents: &plan.Documents{Blocks: []plan.DocBlock{b}}}
	task := Tasks(p, []plan.DocEndpoint{e}, TaskOptions{}, probes.Deps{Clock: newClock()})[0]
	return task.Probe.Poll(context.Background())
}

func simple(t testing.TB) plan.DocBlock { return block(t, metric(t, "v", plan.DocGauge, "path:v")) }

const one = `[{"name":"a","v":1}]`

func TestAuthentication(t *testing.T) {
	secret := probes.NewSecret("hush-hush")
	for _, c := range []struct {
		name         string
		set          plan.DocEndpoint
		header, want string
	}{
		{"none", plan.DocEndpoint{Auth: plan.DocAuthNone, Secret: secret}, "Authorization", ""},
		{"basic", plan.DocEndpoint{Auth: plan.DocAuthBasic, User: "ruxit", Secret: secret}, "Authorization", "Basic cnV4aXQ6aHVzaC1odXNo"},
		{"bearer", plan.DocEndpoint{Auth: plan.DocAuthBearer, Secret: secret}, "Authorization", "Bearer hush-hush"},
		{"token", plan.DocEndpoint{Auth: plan.DocAuthToken, Secret: secret}, "Authorization", "Api-Token hush-hush"},
		{"header", plan.DocEndpoint{Auth: plan.DocAuthToken, Secret: secret, Header: "X-Api-Key"}, "X-Api-Key", "hush-hush"},
	} {
		for _, status := range []int{200, 401, 403} {
			got := "not asked"
			_, err := serve(t, simple(t), func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get(c.header)
				w.WriteHeader(status)
				fmt.Fprint(w, one)
			}, func(e *plan.DocEndpoint) {
				e.Auth, e.User, e.Secret, e.Header = c.set.Auth, c.set.User, c.set.Secret, c.set.Header
			})
			want := probes.StatusOK
			if status != 200 {
				want = probes.StatusAuthenticationError
			}
			if got != c.want || probes.StatusOf(err) != want {
				t.Errorf("%s %d: sent %q, want %q; %v", c.name, status, got, c.want, err)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%s: the secret is in %v", c.name, err)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	b := simple(t)
	b.Request = plan.DocRequest{Method: "POST", Path: "/q?a=b%20c", Body: `{"x":1}`, Headers: []probes.Dimension{{Key: "X-Tenant", Value: "t1"}, {Key: "accept", Value: "text/json"}}}
	got := ""
	_, err := serve(t, b, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", string(body), " ", r.Header.Get("X-Tenant"), " ", r.Header.Values("Accept"), " ", r.Header.Get("Content-Type"))
		fmt.Fprint(w, one)
	}, func(e *plan.DocEndpoint) { e.URL += "/api" })
	if want := `POST /api/q?a=b%20c {"x":1} t1 [text/json] application/json`; err != nil || got != want {
		t.Errorf("sent %s, want %s; %v", got, want, err)
	}
}

func TestAnswers(t *testing.T) {
	write := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, text)
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		status  probes.Status
		words   string
	}{
		{"created", write(201, one), probes.StatusOK, ""},
		{"missing", write(404, one), probes.StatusGenericError, "GET /x: the answer is 404 Not Found"},
		{"broken", write(503, one), probes.StatusGenericError, "503 Service Unavailable"},
		{"no content", write(204, ""), probes.StatusGenericError, "the answer is empty"},
		{"login page", write(200, "<html>top secret"), probes.StatusGenericError, "GET /x: the answer is HTML or XML, not JSON"},
		{"large", write(200, `["`+strings.Repeat("x", maxBody)+`"]`), probes.StatusGenericError, "larger than 8 MB"},
		{"bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte(`["` + strings.Repeat("x", 3*maxBody) + `"]`))
			_ = z.Close()
			_, _ = w.Write(b.Bytes())
		}, probes.StatusGenericError, "larger than 8 MB"},
		{"packed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(one))
			_ = z.Close()
		}, probes.StatusOK, ""},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, one)
		}, probes.StatusDeviceConnectionError, "GET /x: the connection ended in the middle of the answer"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1/other?token=abc", http.StatusFound)
		}, probes.StatusGenericError, `sends to "http://localhost:1", which is another host or port and refused`},
		{"without a name", write(999, ""), probes.StatusGenericError, "GET /x: the answer is 999"},
		{"no place", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::1%zz]/abc")
			w.WriteHeader(http.StatusFound)
		}, probes.StatusDeviceConnectionError, "GET /x: the answer is none of HTTP that can be read"},
		{"with a user", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://u:p@"+r.Host+"/y", http.StatusFound)
		}, probes.StatusGenericError, "which is another host or port and refused"},
		{"in a circle", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, probes.StatusGenericError, "redirects more than 5 times"},
		{"within", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/x" {
				http.Redirect(w, r, "/y", http.StatusFound)
				return
			}
			fmt.Fprint(w, one)
		}, probes.StatusOK, ""},
	} {
		b := simple(t)
		b.Request.Path = "/x?key=very-secret"
		_, err := serve(t, b, c.handler, nil)
		if probes.StatusOf(err) != c.status || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %s %v, want %s %s", c.name, probes.StatusOf(err), err, c.status, c.words)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "abc")) {
			t.Errorf("%s: the query or the answer is in %v", c.name, err)
		}
	}
}

func TestNoConnection(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	if _, err := pollAt(t, simple(t), url, nil); probes.StatusOf(err) != probes.StatusDeviceConnectionError {
		t.Errorf("%s %v", probes.StatusOf(err), err)
	}
	release := make(chan struct{})
	_, err := serve(t, simple(t), func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}, func(e *plan.DocEndpoint) { e.Timeout = 20 * time.Millisecond })
	close(release)
	if probes.StatusOf(err) != probes.StatusDeviceConnectionError || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("%s %v", probes.StatusOf(err), err)
	}
}

// TestCancelled ends with the poll, and blames nobody.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	p := &plan.Plan{Documents: &plan.Documents{Blocks: []plan.DocBlock{simple(t)}}}
	task := Tasks(p, []plan.DocEndpoint{endpointOf(t, server.URL)}, TaskOptions{}, probes.Deps{Clock: newClock()})[0]
	if _, err := task.Probe.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct{ status, retries, want int }{{503, 2, 3}, {503, 0, 1}, {404, 2, 1}, {401, 2, 1}} {
		asked := 0
		_, err := serve(t, simple(t), func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(c.status)
		}, func(e *plan.DocEndpoint) { e.Retries = c.retries })
		if asked != c.want || err == nil {
			t.Errorf("%d with %d retries: asked %d times, %v", c.status, c.retries, asked, err)
		}
	}
	asked := 0
	_, err := serve(t, simple(t), func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(502)
			return
		}
		fmt.Fprint(w, one)
	}, func(e *plan.DocEndpoint) { e.Retries = 1 })
	if err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, one) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(authority), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*plan.DocEndpoint)
		status probes.Status
		words  string
	}{
		{"unknown authority", func(*plan.DocEndpoint) {}, probes.StatusDeviceConnectionError, "certificate"},
		{"not checked", func(e *plan.DocEndpoint) { e.SkipVerify = true }, probes.StatusOK, ""},
		{"authority", func(e *plan.DocEndpoint) { e.CA = authority }, probes.StatusOK, ""},
		{"authority in a file", func(e *plan.DocEndpoint) { e.CA = file }, probes.StatusOK, ""},
		{"no file", func(e *plan.DocEndpoint) { e.CA = file + "x" }, probes.StatusInvalidConfigError, "authentication.ca: open "},
		{"no certificate", func(e *plan.DocEndpoint) { e.CA = "-----BEGIN NONSENSE-----" }, probes.StatusInvalidConfigError, "there is no certificate in it"},
		{"another name", func(e *plan.DocEndpoint) {
			e.CA, e.URL = authority, strings.Replace(e.URL, "127.0.0.1", "localhost", 1)
		}, probes.StatusDeviceConnectionError, "certificate"},
	} {
		_, err := pollAt(t, simple(t), server.URL, c.change)
		if probes.StatusOf(err) != c.status || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %s %v, want %s %s", c.name, probes.StatusOf(err), err, c.status, c.words)
		}
	}
}

// pages serves 7 items, so many at a time, in some way of paging.
func pages(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	at := 0
	switch r.URL.Path {
	case "/offset":
		_, _ = fmt.Sscan(q.Get("start"), &at)
	case "/page":
		_, _ = fmt.Sscan(q.Get("page"), &at)
		at = (at - 1) * 3
	default:
		_, _ = fmt.Sscan(q.Get("at"), &at)
	}
	var items []string
	for i := at; i < min(at+3, 7); i++ {
		items = append(items, fmt.Sprintf(`{"name":"d%d","v":%d}`, i, i))
	}
	next := "null"
	if at+3 < 7 {
		link := fmt.Sprintf("%s?at=%d", r.URL.Path, at+3)
		switch r.URL.Path {
		case "/link":
			w.Header().Set("Link", `</link?at=0>; rel="first", <http://`+r.Host+link+`>; rel="next"`)
		case "/full":
			link = "http://" + r.Host + link
		case "/away":
			link = "http://localhost" + link
		case "/circle":
			link = "/circle?at=3"
		}
		next = fmt.Sprintf("%q", link)
	} else if r.URL.Path == "/circle" {
		next = `"/circle"`
	}
	if r.URL.Path == "/fails" && at == 3 {
		w.WriteHeader(500)
		return
	}
	fmt.Fprintf(w, `{"items":[%s],"next":%s}`, strings.Join(items, ","), next)
}

func TestPaging(t *testing.T) {
	next := plan.DocPaging{Kind: plan.PageNext, Next: path(t, "next"), Most: 10}
	items := path(t, "items[]")
	for _, c := range []struct {
		path   string
		paging plan.DocPaging
		points int
		asked  int32
		words  string
	}{
		{"/next", next, 7, 3, ""},
		{"/full", next, 7, 3, ""},
		{"/link", plan.DocPaging{Kind: plan.PageLink, Most: 10}, 7, 3, ""},
		{"/offset?x=1", plan.DocPaging{Kind: plan.PageOffset, Parameter: "start", Size: 3, SizeParameter: "limit", Items: items, Most: 10}, 7, 3, ""},
		{"/offset", plan.DocPaging{Kind: plan.PageOffset, Parameter: "start", Items: items, Most: 10}, 7, 4, ""},
		{"/page", plan.DocPaging{Kind: plan.PageNumber, Parameter: "page", First: 1, Size: 3, Items: items, Most: 10}, 7, 3, ""},
		{"/next", plan.DocPaging{Kind: plan.PageNext, Next: path(t, "next"), Most: 2}, 6, 2, "there are more than 2 pages"},
		{"/away", next, 3, 1, "the next page is on another host"},
		{"/circle", next, 6, 2, "the pages lead in a circle"},
		{"/fails", next, 3, 2, "GET /fails: the answer is 500"},
		{"/none", plan.DocPaging{}, 3, 1, ""},
	} {
		b := simple(t)
		b.Outer, b.Request.Path, b.Request.Paging = items, c.path, c.paging
		var asked atomic.Int32
		batch, err := serve(t, b, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.URL.Path == "/offset" && strings.Contains(c.path, "x=1") && (r.URL.Query().Get("x") != "1" || r.URL.Query().Get("limit") != "3") {
				t.Errorf("query %s", r.URL.RawQuery)
			}
			pages(w, r)
		}, nil)
		want := probes.StatusOK
		if c.words != "" {
			want = probes.StatusWarning
		}
		if probes.StatusOf(err) != want || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %s", c.path, err, c.words)
		}
		if len(batch.Points) != c.points || asked.Load() != c.asked {
			t.Errorf("%s: %d points of %d pages, want %d of %d", c.path, len(batch.Points), asked.Load(), c.points, c.asked)
		}
	}
}

// TestPartialForgetsNothing keeps the items of pages that did not come.
func TestPartialForgetsNothing(t *testing.T) {
	b := alarm(t)
	b.Outer, b.Request.Path = path(t, "items[]"), "/x"
	b.Request.Paging = plan.DocPaging{Kind: plan.PageNext, Next: path(t, "next"), Most: 10}
	broken := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/x":
			fmt.Fprint(w, `{"items":[{"name":"a","v":50}],"next":"/y"}`)
		case broken:
			w.WriteHeader(500)
		default:
			fmt.Fprint(w, `{"items":[{"name":"b","v":1}]}`)
		}
	}))
	defer server.Close()
	clock := newClock()
	p := &plan.Plan{Documents: &plan.Documents{Blocks: []plan.DocBlock{b}}}
	task := Tasks(p, []plan.DocEndpoint{endpointOf(t, server.URL)}, TaskOptions{}, probes.Deps{Clock: clock})[0]
	batch, err := task.Probe.Poll(context.Background())
	if err != nil || len(batch.Events) != 1 {
		t.Fatal(batch.Events, err)
	}
	broken = true
	clock.turn(time.Minute)
	if batch, err = task.Probe.Poll(context.Background()); probes.StatusOf(err) != probes.StatusWarning || len(batch.Points) != 1 || len(batch.Events) != 0 {
		t.Errorf("%v, %d points, events %q", err, len(batch.Points), said(batch))
	}
}

// TestSeveralRequests gives what can be had, with a warning.
func TestSeveralRequests(t *testing.T) {
	good, bad := simple(t), simple(t)
	good.Request.Path, bad.Request.Path, bad.Path = "/good", "/bad", "h"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, one)
	}))
	defer server.Close()
	poll := func(blocks ...plan.DocBlock) (probes.Batch, error) {
		p := &plan.Plan{Documents: &plan.Documents{Blocks: blocks}}
		return Tasks(p, []plan.DocEndpoint{endpointOf(t, server.URL)}, TaskOptions{}, probes.Deps{Clock: newClock()})[0].Probe.Poll(context.Background())
	}
	batch, err := poll(good, bad)
	if probes.StatusOf(err) != probes.StatusWarning || len(batch.Points) != 1 || !strings.Contains(err.Error(), "GET /bad: the answer is 401") {
		t.Errorf("%d points, %v", len(batch.Points), err)
	}
	if _, err = poll(bad); probes.StatusOf(err) != probes.StatusAuthenticationError {
		t.Errorf("all failed: %v", err)
	}
}

func TestTooManyPoints(t *testing.T) {
	b := simple(t)
	b.Dims = []plan.DocDim{dim(t, "n", "this:key")}
	text := "[" + strings.Repeat(`{"v":1},`, maxPoints) + `{"v":1}]`
	batch, err := serve(t, b, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }, nil)
	if len(batch.Points) != maxPoints || probes.StatusOf(err) != probes.StatusWarning || !strings.Contains(err.Error(), "more than 100000 measurements") {
		t.Errorf("%d points, %v", len(batch.Points), err)
	}
}

// counted sums what a poll sends and receives.
type counted struct{ sent, received atomic.Int64 }

func (*counted) Sent(netip.AddrPort, string, int)     {}
func (*counted) Received(netip.AddrPort, string, int) {}

func (c *counted) Connect(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	return &countedConn{conn, c}, err
}

type countedConn struct {
	net.Conn
	*counted
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func TestTraffic(t *testing.T) {
	g := newRig(t, simple(t))
	traffic := &counted{}
	g.deps.Traffic = traffic
	g.restart()
	g.want(one, "v,name=a 1")
	if traffic.sent.Load() < 50 || traffic.received.Load() < int64(len(one)) {
		t.Errorf("sent %d, received %d", traffic.sent.Load(), traffic.received.Load())
	}
	stats := g.task.Probe.(probes.Measured).PollStats()
	if stats.Requests != 1 || stats.Rows != 1 || len(stats.Partial) != 0 {
		t.Errorf("stats %+v", stats)
	}
}

func TestNextLink(t *testing.T) {
	for line, want := range map[string]string{
		`<a>; rel="next"`: "a",
		`<a>; rel=prev, <b>; title="x"; rel="last next"`: "b",
		`<a>;rel="prev",<b?x=1,2>;rel=NEXT`:              "b?x=1,2",
		`<a>; rel="prev"`:                                "",
		`a; rel="next"`:                                  "",
		`<a; rel="next"`:                                 "",
		"":                                               "",
	} {
		if got := nextLink(http.Header{"Link": {line}}); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestConnectionsEnd leaves no connection behind a poll.
func TestConnectionsEnd(t *testing.T) {
	var open atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, one) }))
	closed := make(chan struct{}, 10)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	if _, err := pollAt(t, simple(t), server.URL, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}
