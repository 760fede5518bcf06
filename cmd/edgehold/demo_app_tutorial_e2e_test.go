package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

// tutorialAddress is where the demo application answers in the tutorial.
const tutorialAddress = "127.0.0.1:8769"

// recorder stands before the demo application, so that it may change its port,
// and keeps what it answers.
type recorder struct {
	mu      sync.Mutex
	target  string // host:port
	answers []recorded
}

type recorded struct {
	path string
	body []byte
}

func (p *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, body, err := p.pass(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if status == http.StatusOK {
		p.answers = append(p.answers, recorded{r.URL.Path, body})
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (p *recorder) pass(r *http.Request) (status int, body []byte, err error) {
	on, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+p.target+r.URL.Path, nil)
	if err != nil {
		return 0, nil, err
	}
	on.Header = r.Header.Clone()
	response, err := http.DefaultClient.Do(on)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func (p *recorder) aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// from gives the answers after the first n.
func (p *recorder) from(n int) []recorded {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.answers[n:])
}

// tutorial is the tutorial while it is walked.
type tutorial struct {
	walker
	env   *draintest.Server
	proxy *recorder
	url   string // of the proxy
	app   *process
	began int // answers before the agent ran
}

// walk runs one step.
func (w *tutorial) walk(s manualStep) {
	w.t.Helper()
	switch {
	case strings.HasPrefix(s.commands, "edgehold demo-app --write"):
		w.walker.walk(s)
	case strings.HasPrefix(s.commands, "edgehold demo-app"):
		w.restart(s)
	case strings.HasPrefix(s.commands, "edgehold run"):
		w.began = len(w.proxy.from(0))
		w.walker.walk(s)
	default:
		w.walker.walk(s)
	}
}

// restart ends the demo application as Ctrl-C does and starts it anew.
func (w *tutorial) restart(s manualStep) {
	w.t.Helper()
	if w.app != nil {
		w.app.end(syscall.SIGINT).mustSay(w.t, 0)
	}
	args := strings.Fields(s.commands)[2:]
	app, addr := startDemoApp(w.t, filepath.Join(w.home, fmt.Sprintf("app-%d.log", s.line)), args...)
	w.app = app
	w.proxy.aim(addr)
	if missing, ok := shows(strings.ReplaceAll(app.said(), addr, tutorialAddress), s.says); !ok {
		w.t.Fatalf("line %d: %q is not in:\n%s", s.line, missing, app.said())
	}
}

// TestE2ETutorial walks the tutorial with its own commands. Alone the port of
// the application and the interval are others, every point is sent as a line,
// and the environment is the stand-in.
func TestE2ETutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 20 seconds")
	}
	t.Parallel()
	home, err := os.MkdirTemp("", "eh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	proxy := &recorder{}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	w := &tutorial{env: newEnvironment(t), proxy: proxy, url: server.URL}
	w.walker = walker{t: t, dir: home, home: home, variables: []string{"DT_URL=" + w.env.URL(), "DT_TOKEN=" + goodToken}, plain: func(text string) string {
		text = strings.ReplaceAll(text, strings.TrimPrefix(w.url, "http://"), tutorialAddress)
		return strings.ReplaceAll(text, "every 1s ", "every 10s ")
	}}
	steps := manualSteps(t, "tutorial.md")
	if len(steps) < 15 {
		t.Fatalf("%d steps", len(steps))
	}
	w.walk(steps[0])
	w.change("demo-app.json", tutorialAddress, strings.TrimPrefix(w.url, "http://"))
	w.change("edgehold.yaml", "interval: 10s", "interval: 1s")
	w.change("edgehold.yaml", "    token_file: token", "    resolution: full\n    token_file: token")
	w.change("edgehold.yaml", "trust:\n", "buffer: {commit_interval: 1s}\ntrust:\n")
	for _, s := range steps[1:] {
		if strings.Contains(s.commands, "edgehold reload") && !strings.Contains(s.commands, "demo.password") {
			w.compareFirst()
		}
		w.walk(s)
	}
	w.compareSecond()
	w.agent.end(syscall.SIGTERM).mustSay(t, 0)
	w.app.end(syscall.SIGINT).mustSay(t, 0)
}

// demoPoll is what arrived of one poll.
type demoPoll struct {
	stamp  int64
	lines  []wanted
	second bool // of the package's second version
}

// arrived are the polls of which something has arrived, by time.
func (w *tutorial) arrived() []demoPoll {
	w.t.Helper()
	every := map[string]string{"activation_endpoint": w.url, "device.address": "127.0.0.1", "site": "tutorial"}
	polls := map[int64]*demoPoll{}
	for _, l := range linesOf(w.t, w.env, func(l draintest.Line) bool { return strings.HasPrefix(l.Key, "demo_app.") }) {
		p := polls[l.Timestamp]
		if p == nil {
			p = &demoPoll{stamp: l.Timestamp}
			polls[l.Timestamp] = p
		}
		p.lines = append(p.lines, demoLine(w.t, l, every))
		p.second = p.second || l.Key == "demo_app.random"
	}
	var all []demoPoll
	for _, p := range polls {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b demoPoll) int { return int(a.stamp - b.stamp) })
	return all
}

// compareFirst holds everything that the first version sent against the answers
// of the application.
func (w *tutorial) compareFirst() {
	w.t.Helper()
	eventually(w.t, "enough polls", func() bool { return len(w.proxy.from(w.began)) >= 8 })
	answers := w.proxy.from(w.began)
	var polls []demoPoll
	eventually(w.t, "the points of all polls to arrive", func() bool {
		polls = w.arrived()
		return len(polls) > len(answers) // the one after them too, so that they are whole
	})
	r := newDemoReader("statistics", "battery", "events")
	var told []string
	for i, answer := range answers {
		a := demoAnswer{body: answer.body}
		if i > 0 {
			a.elapsed = time.Duration(polls[i].stamp-polls[i-1].stamp) * time.Millisecond
		}
		sameLines(w.t, fmt.Sprintf("poll %d of %d", i+1, len(answers)), polls[i].lines, r.lines(w.t, a))
		told = append(told, r.events(w.t, a)...)
	}
	w.compareEvents(told)
	w.compareMetadata()
}

// compareEvents wants every event that was to be opened or closed in the
// environment.
func (w *tutorial) compareEvents(told []string) {
	w.t.Helper()
	low := "open RESOURCE_CONTENTION_EVENT The battery of My Device 01 is low of My Group 02: 14.9 % left"
	if !slices.Contains(told, low) {
		w.t.Errorf("%q was not to be told: %q", low, told)
	}
	eventually(w.t, "the events", func() bool {
		var got []string
		for _, e := range w.env.Ledger().Events() {
			what := "open"
			if e.End != 0 {
				what = "close"
			}
			got = append(got, fmt.Sprintf("%s %s %s of %s: %s", what, e.Type, e.Title, e.Properties["group"], e.Properties["dt.event.description"]))
		}
		return !slices.ContainsFunc(told, func(want string) bool { return !slices.Contains(got, want) })
	})
}

// compareMetadata wants the names and units of the metrics.
func (w *tutorial) compareMetadata() {
	w.t.Helper()
	found := map[string]string{}
	for _, m := range w.env.Ledger().Metadata() {
		found[m.Key] = fmt.Sprint(m)
	}
	if text := found["demo_app.device.battery"]; !strings.Contains(text, "Percent") || !strings.Contains(text, "Battery") {
		w.t.Errorf("metadata of the battery: %q among %d", text, len(found))
	}
}

type demoPair struct{ topology, own []byte }

// pairs are the two answers that each whole poll of the second version got.
func (w *tutorial) pairs() (all []demoPair) {
	answers := w.proxy.from(w.began)
	for i, a := range answers[1:] {
		if before := answers[i]; a.path == "/" && before.path == "/topology" {
			all = append(all, demoPair{before.body, a.body})
		}
	}
	return all
}

// compareSecond does the same for the second version, from its second poll on,
// where its counters surely have something to grow from.
func (w *tutorial) compareSecond() {
	w.t.Helper()
	eventually(w.t, "enough polls of the second version", func() bool { return len(w.pairs()) >= 4 })
	pairs := w.pairs()
	var polls []demoPoll
	eventually(w.t, "the points of all polls of the second version to arrive", func() bool {
		polls = slices.DeleteFunc(w.arrived(), func(p demoPoll) bool { return !p.second })
		return len(polls) > len(pairs)
	})
	r := newDemoReader("statistics", "battery", "events")
	r.group = "My Group 01"
	before := 0.0
	for i, pair := range pairs {
		a := demoAnswer{body: pair.topology}
		if i > 0 {
			a.elapsed = time.Duration(polls[i].stamp-polls[i-1].stamp) * time.Millisecond
		}
		want := r.lines(w.t, a)
		own := demoGroups(w.t, []byte("["+string(pair.own)+"]"))[0]
		want = append(want, wanted{key: "demo_app.random", dims: demoDims{}, payload: "gauge," + plain(own["random"].(float64))})
		if counter := own["counter"].(float64); i > 0 && counter >= before {
			want = append(want, wanted{key: "demo_app.requests", dims: demoDims{}, payload: "count,delta=" + plain(counter-before)})
		}
		before = own["counter"].(float64)
		if i > 0 {
			sameLines(w.t, fmt.Sprintf("poll %d of %d of the second version", i+1, len(pairs)), polls[i].lines, want)
		}
	}
}
