package prometheus

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// handClock is turned by hand; certificates are judged by the wall, so it is a
// guess.
type handClock struct{ now time.Duration }

func (c *handClock) Now() probes.Stamp { return probes.Stamp{Uptime: c.now, Wall: 1, Guess: true} }

const canary = "canary-51c9"

// bench is one probe, and what it scrapes.
type bench struct {
	*testing.T
	clock    handClock
	endpoint plan.ScrapeEndpoint
	leftOut  int
	metrics  []plan.ExposedMetric
	deps     probes.Deps
	task     probes.Task
}

func newBench(t *testing.T, url string) *bench {
	return &bench{
		T: t, clock: handClock{time.Hour},
		endpoint: plan.ScrapeEndpoint{URL: url, Auth: plan.ScrapeNone, Timeout: 5 * time.Second},
		metrics:  []plan.ExposedMetric{{Key: "k.up", Name: "up", Type: plan.ExposedGauge}, {Key: "k.c", Name: "c_total", Type: plan.ExposedCount}},
	}
}

func (b *bench) plan() *plan.Plan {
	return &plan.Plan{Extension: "custom:test.exporter", Version: "1.0.0", Exposition: &plan.Exposition{
		LeftOut: b.leftOut, Blocks: []plan.ExposedBlock{{Path: "g", Interval: time.Minute, Metrics: b.metrics}},
	}}
}

// poll makes the task, once, and polls a minute later.
func (b *bench) poll() ([]string, error) {
	b.Helper()
	if b.task.Probe == nil {
		b.deps.Clock, b.deps.Log = &b.clock, zerolog.Nop()
		tasks, err := Tasks(b.plan(), []plan.ScrapeEndpoint{b.endpoint}, TaskOptions{Config: "conf"}, b.deps)
		if err != nil || len(tasks) != 1 {
			b.Fatalf("%d tasks, %v", len(tasks), err)
		}
		b.task = tasks[0]
	}
	b.clock.now += time.Minute
	batch, err := b.task.Probe.Poll(b.Context())
	if err != nil && strings.Contains(err.Error(), canary) {
		b.Errorf("a secret shows in %q", err)
	}
	return linesOf(batch.Points), err
}

func linesOf(points []probes.Point) []string {
	var all []string
	for _, p := range points {
		text := p.Series.Key()
		for _, d := range p.Series.Dims() {
			if d.Key != plan.ActivationEndpoint {
				text += " " + d.Key + "=" + d.Value
			}
		}
		all = append(all, fmt.Sprintf("%s %s,%v", text, p.Series.Type(), p.Value.Float64()))
	}
	slices.Sort(all)
	return all
}

func (b *bench) expect(status probes.Status, says string, want ...string) {
	b.Helper()
	got, err := b.poll()
	if probes.StatusOf(err) != status || err != nil && !strings.Contains(err.Error(), says) {
		b.Errorf("status %s: %v; want %s: %s", probes.StatusOf(err), err, status, says)
	}
	if !slices.Equal(got, want) {
		b.Errorf("points %q, want %q", got, want)
	}
}

// serve answers every request as do does.
func serve(t *testing.T, do http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(do)
	t.Cleanup(s.Close)
	return s
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, body)
	}
}

func TestScrape(t *testing.T) {
	var n atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" || !strings.Contains(r.Header.Get("Accept"), "version=0.0.4") {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprintf(z, "up{a=\"1\"} 1\nc_total %d\nother 5\n", 10*n.Add(1))
		_ = z.Close()
	})
	b := newBench(t, server.URL+"/metrics?job="+canary+"&target=1")
	b.expect(probes.StatusOK, "", "k.up a=1 gauge,1")
	b.expect(probes.StatusOK, "", "k.c count,10", "k.up a=1 gauge,1")
	shown := server.URL + "/metrics?job=***&target=1"
	batch, _ := b.task.Probe.Poll(t.Context())
	if got := batch.Points[0].Series.Dim(plan.ActivationEndpoint); got != shown {
		t.Errorf("activation_endpoint is %s, want %s", got, shown)
	}
	if s := b.task.Probe.(probes.Measured).PollStats(); s.Requests != 1 || s.Rows != 2 {
		t.Errorf("stats %+v", s)
	}
	if b.task.Label != shown+" exporter" || strings.Contains(b.task.ID, canary) || b.task.Device != strings.TrimPrefix(server.URL, "http://") {
		t.Errorf("task %+v", b.task)
	}
}

func TestStatuses(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	answer := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for _, tt := range []struct {
		name   string
		do     http.HandlerFunc
		url    string
		status probes.Status
		says   string
		want   []string
	}{
		{name: "nobody there", url: "http://" + dead.Addr().String(), status: probes.StatusDeviceConnectionError, says: "refused"},
		{name: "401", do: answer(401), status: probes.StatusAuthenticationError, says: "401 Unauthorized"},
		{name: "403", do: answer(403), status: probes.StatusAuthenticationError, says: "403 Forbidden"},
		{name: "404", do: answer(404), status: probes.StatusGenericError, says: "404 Not Found"},
		{name: "500", do: answer(500), status: probes.StatusGenericError, says: "500"},
		{name: "a page", do: text("<html>\n<p>hello</p>\n"), status: probes.StatusGenericError, says: "not an exposition"},
		{name: "empty", do: text(""), status: probes.StatusGenericError, says: "none of the 2 metrics"},
		{name: "another exporter", do: text("other 1\n"), status: probes.StatusGenericError, says: "none of the 2 metrics"},
		{name: "no number", do: text("up NaN\n"), status: probes.StatusWarning, says: "none of 1 samples has a number"},
		{name: "bad line", do: text("up 1\n} x\n"), status: probes.StatusWarning, says: "1 of 2 lines cannot be read, the first is line 2: no name", want: []string{"k.up gauge,1"}},
		{name: "twice", do: text("up 1\nup 2\n"), status: probes.StatusWarning, says: "come twice", want: []string{"k.up gauge,1"}},
		{name: "cut", do: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "up 1\nc_to")
		}, status: probes.StatusWarning, says: "the rest is missing", want: []string{"k.up gauge,1"}},
		{name: "openmetrics cut", do: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
			_, _ = io.WriteString(w, "up 1 1700000000.123\n")
		}, status: probes.StatusWarning, says: "# EOF", want: []string{"k.up gauge,1"}},
		{name: "elsewhere", do: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/metrics?"+canary, http.StatusFound)
		}, status: probes.StatusDeviceConnectionError, says: "it redirects to http://192.0.2.1, which is not followed"},
		{name: "a slash more", do: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/metrics/" {
				http.Redirect(w, r, "/metrics/", http.StatusMovedPermanently)
				return
			}
			text("up 3\n")(w, r)
		}, want: []string{"k.up gauge,3"}, status: probes.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := tt.url
			if tt.do != nil {
				url = serve(t, tt.do).URL
			}
			newBench(t, url+"/metrics").expect(tt.status, tt.says, tt.want...)
		})
	}
}

func TestTheCapIsSaid(t *testing.T) {
	b := newBench(t, serve(t, text("up 1\n")).URL)
	b.leftOut = 7
	b.expect(probes.StatusWarning, "more than 1000 metric keys, a histogram or summary three; its last 7 metrics are not collected", "k.up gauge,1")
}

func TestShownURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://h:9100/metrics":                             "http://h:9100/metrics",
		"http://u:" + canary + "@h/m":                       "http://h/m",
		"http://h/m?token=" + canary:                        "http://h/m?token=***",
		"http://h/m?job=" + canary + "&format=json":         "http://h/m?job=***&format=json",
		"http://h/m?" + canary:                              "http://h/m?***",
		"http://h/m?match%5B%5D=%7Bjob=%22x%22%7D&name[]=a": "http://h/m?match%5B%5D=%7Bjob=%22x%22%7D&name[]=a",
		"http://h/probe?module=m&target=192.0.2.1:80":       "http://h/probe?module=m&target=192.0.2.1:80",
		"http://h/p?target=http://u:" + canary + "@x/":      "http://h/p?target=***",
		"http://h/p?target=x%3Fkey=" + canary:               "http://h/p?target=***",
		"http://h/p?TARGET=" + canary:                       "http://h/p?TARGET=***",
		"http://h/p?target=%zz" + canary:                    "http://h/p?target=***",
		"http://h/%zz" + canary:                             "the endpoint",
	} {
		if got := ShownURL(url); got != want || strings.Contains(got, canary) {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}

// Endpoints that are shown alike make series, tasks and lanes of their own.
func TestEndpointsShownAlike(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "up %s\n", r.URL.Query().Get("job")) })
	b := newBench(t, "")
	endpoints := []plan.ScrapeEndpoint{{URL: server.URL + "/?job=2"}, {URL: server.URL + "/?target=x"}, {URL: server.URL + "/?job=1"}}
	deps := probes.Deps{Clock: &b.clock, Log: zerolog.Nop()}
	tasks, err := Tasks(b.plan(), endpoints, TaskOptions{Config: "conf"}, deps)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	ids, lanes := map[string]bool{}, map[string]bool{}
	for i, task := range tasks {
		ids[task.ID], lanes[task.Lane] = true, true
		if task.Device != tasks[0].Device || !strings.HasPrefix(task.Label, server.URL) {
			t.Errorf("task %+v", task)
		}
		batch, _ := task.Probe.Poll(t.Context())
		for _, p := range batch.Points {
			got[strings.TrimPrefix(p.Series.Dim(plan.ActivationEndpoint), server.URL)] = p.Value.Float64()
		}
		if i != 1 && !strings.Contains(task.Label, "/?job=***#") {
			t.Errorf("label %s", task.Label)
		}
	}
	if want := map[string]float64{"/?job=***#1": 1, "/?job=***#2": 2}; len(ids) != 3 || len(lanes) != 3 || !maps.Equal(got, want) {
		t.Errorf("%v of tasks %v and lanes %v, want %v", got, ids, lanes, want)
	}
}

func TestAuthentication(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if ok && user == "u" && password == canary || r.Header.Get("Authorization") == "Bearer "+canary {
			text("up 1\n")(w, r)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	for _, tt := range []struct {
		auth   plan.ScrapeAuth
		secret string
		want   probes.Status
	}{
		{plan.ScrapeNone, canary, probes.StatusAuthenticationError},
		{plan.ScrapeBasic, canary, probes.StatusOK},
		{plan.ScrapeBasic, canary + "x", probes.StatusAuthenticationError},
		{plan.ScrapeBearer, canary, probes.StatusOK},
		{plan.ScrapeBearer, canary + "\n", probes.StatusDeviceConnectionError}, // no header can hold it
	} {
		b := newBench(t, server.URL)
		b.endpoint.Auth, b.endpoint.User, b.endpoint.Secret = tt.auth, "u", probes.NewSecret(tt.secret)
		if _, err := b.poll(); probes.StatusOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.auth, err, tt.want)
		}
		if shown := fmt.Sprintf("%+v", b.task); strings.Contains(shown, canary) {
			t.Errorf("a secret shows in %s", shown)
		}
	}
}

func TestRetriesAndTimeouts(t *testing.T) {
	var asked atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		text("up 1\n")(w, r)
	})
	b := newBench(t, server.URL)
	b.endpoint.Retries = 2
	b.expect(probes.StatusOK, "", "k.up gauge,1")
	if s := b.task.Probe.(probes.Measured).PollStats(); s.Requests != 3 || s.Retries != 2 {
		t.Errorf("stats %+v", s)
	}
	b = newBench(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "up 1\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}).URL)
	b.endpoint.Timeout = 50 * time.Millisecond
	b.expect(probes.StatusWarning, "no whole answer within 50ms", "k.up gauge,1")
	b = newBench(t, serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }).URL)
	b.endpoint.Timeout = 50 * time.Millisecond
	b.expect(probes.StatusDeviceConnectionError, "no whole answer within 50ms")
	if s := b.task.Probe.(probes.Measured).PollStats(); s.Timeouts != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(text("up 1\n"))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	newBench(t, server.URL).expect(probes.StatusDeviceConnectionError, "its certificate is not trusted")
	b := newBench(t, server.URL)
	b.endpoint.CAFile = ca
	b.expect(probes.StatusOK, "", "k.up gauge,1")
	before := b.task.Same
	b = newBench(t, server.URL)
	b.endpoint.SkipVerify = true
	b.expect(probes.StatusOK, "", "k.up gauge,1")
	if b.task.Same == before {
		t.Error("another setting gives the same fingerprint")
	}
	sound := b.endpoint
	for file, says := range map[string]string{ca + "x": "no such file", os.Args[0]: "no certificate in PEM form"} {
		b.endpoint.CAFile = file
		tasks, err := Tasks(b.plan(), []plan.ScrapeEndpoint{b.endpoint, sound}, TaskOptions{}, b.deps)
		if err == nil || !strings.Contains(err.Error(), says) || len(tasks) != 1 {
			t.Errorf("%s: %d tasks, %v", file, len(tasks), err)
		}
	}
}

func TestCheckpointOfATask(t *testing.T) {
	var n atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { text(fmt.Sprintf("c_total %d\n", n.Add(5)))(w, r) })
	before := newBench(t, server.URL)
	before.expect(probes.StatusOK, "")
	data, err := before.task.Probe.(probes.Stateful).Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	after := newBench(t, server.URL)
	after.clock = before.clock
	tasks, _ := Tasks(after.plan(), []plan.ScrapeEndpoint{after.endpoint}, TaskOptions{}, probes.Deps{Clock: &after.clock, Log: zerolog.Nop()})
	after.task = tasks[0]
	stateful := after.task.Probe.(probes.Stateful)
	if err := stateful.Restore(data); err != nil {
		t.Fatal(err)
	}
	after.expect(probes.StatusOK, "", "k.c count,5")
	for n := range len(data) - 1 {
		if stateful.Restore(data[:n+1]) == nil {
			t.Errorf("%d of %d bytes were taken", n+1, len(data))
		}
	}
}

// counted is told of traffic.
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

func TestTrafficIsTold(t *testing.T) {
	var c counted
	b := newBench(t, serve(t, text("up 1\n")).URL)
	b.deps.Traffic = &c
	b.expect(probes.StatusOK, "", "k.up gauge,1")
	if c.sent.Load() < 50 || c.received.Load() < 50 {
		t.Errorf("sent %d, received %d", c.sent.Load(), c.received.Load())
	}
}

// A poll that is called off ends.
func TestPollEndsWithItsContext(t *testing.T) {
	b := newBench(t, serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }).URL)
	b.endpoint.Timeout = time.Hour
	b.deps.Clock = &b.clock
	tasks, _ := Tasks(b.plan(), []plan.ScrapeEndpoint{b.endpoint}, TaskOptions{}, b.deps)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tasks[0].Probe.Poll(ctx); probes.StatusOf(err) != probes.StatusDeviceConnectionError {
		t.Error(err)
	}
}
