package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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

// tutorialStep is a block of commands of the tutorial with what it says they
// answer.
type tutorialStep struct {
	line           int
	commands, says string
}

// tutorialSteps reads the fenced blocks sh, each with the block text behind it.
func tutorialSteps(t *testing.T) (steps []tutorialStep) {
	t.Helper()
	page, err := os.ReadFile("../../packaging/manual/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	fence, line := "", 0
	for text := range strings.Lines(string(page)) {
		line++
		opens, isFence := strings.CutPrefix(strings.TrimSpace(text), "```")
		switch {
		case isFence && fence != "":
			fence = ""
		case isFence:
			if fence = opens; fence == "sh" {
				steps = append(steps, tutorialStep{line: line})
			}
		case fence == "sh":
			steps[len(steps)-1].commands += text
		case fence == "text":
			steps[len(steps)-1].says += text
		}
	}
	return steps
}

// shows tells whether the lines stand in a text in their order, with anything
// for each "…". It gives the first line that is missing.
func shows(text, says string) (missing string, ok bool) {
	lines := strings.Split(text, "\n")
	for want := range strings.Lines(says) {
		want = strings.TrimRight(want, "\n")
		at := slices.IndexFunc(lines, func(l string) bool { return fitsLine(l, strings.Split(want, "…")) })
		if at < 0 {
			return want, false
		}
		lines = lines[at+1:]
	}
	return "", true
}

// fitsLine tells whether a line begins with the first part, ends with the last
// and has the others between.
func fitsLine(line string, parts []string) bool {
	line, ok := strings.CutPrefix(line, parts[0])
	if !ok || len(parts) == 1 {
		return ok && line == ""
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(line, part)
		if !found {
			return false
		}
		line = rest
	}
	return strings.HasSuffix(line, last)
}

func TestShows(t *testing.T) {
	for _, c := range []struct {
		text, says string
		want       bool
	}{
		{"a\nb c d\ne", "b … d\n", true},
		{"a\nb c d\ne", "b … d\ne\n", true},
		{"a\nb c d\ne", "e\na\n", false},
		{"a b", "a\n", false},
		{"a b", "b\n", false},
		{"x=12,y=3", "x=…,y=…\n", true},
		{"x=12", "x=…,y=…\n", false},
		{"abc", "a…c\n", true},
		{"abc", "a…b\n", false},
	} {
		if _, ok := shows(c.text, c.says); ok != c.want {
			t.Errorf("%q in %q: %v", c.says, c.text, ok)
		}
	}
}

// tutorial is the tutorial while it is walked.
type tutorial struct {
	t     *testing.T
	dir   string // where the next commands run
	home  string
	env   *draintest.Server
	proxy *recorder
	url   string // of the proxy
	app   *process
	agent *process
	began int // answers before the agent ran
}

// walk runs one step.
func (w *tutorial) walk(s tutorialStep) {
	w.t.Helper()
	switch {
	case strings.HasPrefix(s.commands, "edgehold demo-app"):
		w.restart(s)
	case strings.HasPrefix(s.commands, "edgehold run"):
		w.began = len(w.proxy.from(0))
		w.agent = launch(w.t, w.shell("exec "+s.commands), filepath.Join(w.home, "agent.log"))
	case onlyLooks(s.commands):
		w.lookFor(s)
	default:
		r := finish(w.t, w.shell(s.commands+"pwd > "+w.home+"/here\n"))
		if missing, ok := shows(w.plain(r.all()), s.says); !ok || r.code != 0 {
			w.t.Fatalf("line %d: exit code %d; %q is not in:\n%s", s.line, r.code, missing, r.all())
		}
		here, err := os.ReadFile(filepath.Join(w.home, "here"))
		if err != nil {
			w.t.Fatal(err)
		}
		w.dir = strings.TrimSpace(string(here))
	}
}

// lookFor gives commands until they say what they are to say.
func (w *tutorial) lookFor(s tutorialStep) {
	w.t.Helper()
	var r result
	said := false
	defer func() {
		if !said {
			w.t.Logf("the last time they said:\n%s", r.all())
		}
	}()
	eventually(w.t, fmt.Sprintf("the commands of line %d to say:\n%s", s.line, s.says), func() bool {
		r = finish(w.t, w.shell(s.commands))
		_, said = shows(w.plain(r.all()), s.says)
		said = said && r.code == 0
		return said
	})
}

// onlyLooks tells commands that may be given again until they show what they
// are to show.
func onlyLooks(commands string) bool {
	for line := range strings.Lines(commands) {
		if !strings.HasPrefix(line, "edgehold status ") && !strings.HasPrefix(line, "edgehold history ") {
			return false
		}
	}
	return true
}

// restart ends the demo application as Ctrl-C does and starts it anew.
func (w *tutorial) restart(s tutorialStep) {
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

func (w *tutorial) shell(commands string) *exec.Cmd {
	cmd := exec.Command("sh", "-eu", "-c", "exec 2>&1\n"+commands)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program(w.t))+":"+os.Getenv("PATH"), "DT_URL="+w.env.URL(), "DT_TOKEN="+goodToken)
	return cmd
}

// plain has the addresses of the tutorial in place of those of the test.
func (w *tutorial) plain(text string) string {
	text = strings.ReplaceAll(text, strings.TrimPrefix(w.url, "http://"), tutorialAddress)
	return strings.ReplaceAll(text, "every 1s ", "every 10s ")
}

// change edits a file of the tutorial.
func (w *tutorial) change(name, old, now string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		w.t.Fatalf("%q stands %d times in %s", old, strings.Count(string(text), old), name)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, now, 1)), 0o600); err != nil {
		w.t.Fatal(err)
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
	if err := os.CopyFS(filepath.Join(home, "packaging/examples"), os.DirFS("../../packaging/examples")); err != nil {
		t.Fatal(err)
	}
	proxy := &recorder{}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	w := &tutorial{t: t, dir: home, home: home, env: newEnvironment(t), proxy: proxy, url: server.URL}
	steps := tutorialSteps(t)
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
