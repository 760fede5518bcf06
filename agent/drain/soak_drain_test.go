package drain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

const (
	netDevices = 200
	netPolls   = 10 * time.Second
)

// soak skips a measurement that was not asked for.
func soak(t *testing.T) {
	t.Helper()
	if word := os.Getenv("EDGEHOLD_SOAK"); word == "" || word == "short" {
		t.Skip("SKIPPED: a measurement of some minutes; set EDGEHOLD_SOAK=1")
	}
}

// waysOf are the ways to measure: EDGEHOLD_WAYS names some of them.
func waysOf(all ...string) []string {
	if only := strings.Fields(os.Getenv("EDGEHOLD_WAYS")); len(only) > 0 {
		return only
	}
	return all
}

// benchEnv is a stand-in with TLS whose clock can be set.
type benchEnv struct {
	*draintest.Server
	ca string
}

func newBenchEnv(t *testing.T, now func() time.Time) *benchEnv {
	t.Helper()
	e := &benchEnv{ca: filepath.Join(t.TempDir(), "ca.pem")}
	e.Server = draintest.New(draintest.Options{Token: drainToken, Now: now})
	if _, err := e.StartTLS("127.0.0.1:0", draintest.TLS{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	write(t, e.ca, e.CAPEM())
	return e
}

// backlog is a store that was filled by polls, to be drained again and again.
type backlog struct {
	path   string
	now    time.Time // five minutes after the last poll
	points int64
}

func newBacklog(t testing.TB, mix mixture, devices, polls int) backlog {
	t.Helper()
	n := newNetwork(mix, devices, netPolls)
	b := backlog{path: filepath.Join(t.TempDir(), "backlog.db"), now: netStart.Add(time.Duration(polls)*netPolls + 5*time.Minute)}
	s := openAt(t, b.path, 0, func() time.Time { return b.now })
	for range polls {
		if err := s.Append(t.Context(), n.poll()); err != nil {
			t.Fatal(err)
		}
	}
	b.points = s.Account().Buffered
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// copyTo gives a store of its own to drain.
func (b backlog) copyTo(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, data)
}

// process is a child that drains.
type process struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// sending is a process that drains a copy of a backlog to a stand-in of its
// own.
type sending struct {
	*process
	backlog
	errand
	env *benchEnv
}

// send starts one. With down the stand-in refuses connections until Restore.
func (b backlog) send(t *testing.T, e errand, down bool) *sending {
	t.Helper()
	dir, begun := t.TempDir(), time.Now()
	env := newBenchEnv(t, func() time.Time { return b.now.Add(time.Since(begun)) })
	e.Store, e.URL, e.CA, e.Now = filepath.Join(dir, "edgehold.db"), env.URL(), env.ca, b.now
	b.copyTo(t, e.Store)
	if down {
		env.Refuse()
	}
	return &sending{b.start(t, e), b, e, env}
}

// result waits for its end.
func (s *sending) result(t *testing.T) report {
	t.Helper()
	r := s.wait(t)
	s.check(t, s.env, s.errand, r)
	_ = s.env.Close()
	return r
}

func (b backlog) start(t *testing.T, e errand) *process {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0], "-test.run=^TestDrainChild$")}
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) wait(t *testing.T) (r report) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the process that drains: %v\n%s", err, p.out.String())
	}
	line, _, _ := strings.Cut(p.out.String(), "\n")
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("the process that drains wrote %s: %v", p.out.String(), err)
	}
	return r
}

// check compares what the drain, the store and the stand-in say.
func (b backlog) check(t *testing.T, env *benchEnv, e errand, r report) {
	t.Helper()
	s := openAt(t, e.Store, 0, func() time.Time { return b.now })
	defer s.Close()
	account, err := s.Verify()
	if err != nil {
		t.Error(err)
	}
	if account.Delivered != b.points || r.Points != b.points || account.Buffered != 0 {
		t.Errorf("%s: %d points were to be sent, %d were; account %+v", e.Way, b.points, r.Points, account)
	}
	c := env.Counts()
	want := int(b.points)
	switch e.Way {
	case wayLease:
		want = 0
	case wayMinute:
		want = c.Distinct // folded; the account has told of all points
	}
	if c.Lines != want || c.Distinct != want || c.Refused != 0 || e.Way != wayLease && c.Lines == 0 {
		t.Errorf("%s: %d lines of %d points, counts %+v", e.Way, c.Lines, b.points, c)
	}
}

// TestDrainWays holds that all that is measured does what it says, on a small
// backlog.
func TestDrainWays(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: five processes")
	}
	b := newBacklog(t, steady, 5, 13)
	for _, way := range []string{wayFull, wayMinute, wayOTLP, wayGzip, wayLease} {
		if r := b.send(t, errand{Way: way}, false).result(t); r.CPU <= 0 || r.Posts == 0 {
			t.Errorf("%s: %+v", way, r)
		}
	}
}

// TestSoakDrainCPU measures the processor time of a process that drains, the
// stand-in being another, all ways in turn so that they share what else the
// machine does.
func TestSoakDrainCPU(t *testing.T) {
	soak(t)
	const turns = 3
	ways := waysOf(wayFull, wayGzip, wayMinute, wayOTLP, wayLease)
	for _, mix := range []mixture{steady, bustling} {
		b := newBacklog(t, mix, netDevices, 48)
		cost := map[string][]float64{}
		for range turns {
			for _, way := range ways {
				r := b.send(t, errand{Way: way, Profile: profile(mix.name, way)}, false).result(t)
				cost[way] = append(cost[way], r.CPU/float64(r.Points)*1e6)
				t.Logf("%s %s: %.2f CPU-s a million points, %.0f points/s, %d posts, %.2f B/pt",
					mix.name, way, r.CPU/float64(r.Points)*1e6, float64(r.Points)/r.Elapsed, r.Posts, float64(r.Wire)/float64(r.Points))
			}
		}
		for _, way := range ways {
			slices.Sort(cost[way])
			t.Logf("%s %s: median %.2f CPU-s a million points (%.2f to %.2f), %.2f of gzip", mix.name, way,
				cost[way][turns/2], cost[way][0], cost[way][turns-1], cost[way][turns/2]/middle(cost[wayGzip]))
		}
	}
}

// profile is where a process writes its profile: EDGEHOLD_PROFILE is a folder.
func profile(mix, way string) string {
	dir := os.Getenv("EDGEHOLD_PROFILE")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, mix+"-"+way+".prof")
}

// TestSoakDrainMemory samples the anonymous memory of a process that drains ten
// million points, and of the same process before, in the outage: it tries to
// send now and then, as it always does.
func TestSoakDrainMemory(t *testing.T) {
	soak(t)
	b := newBacklog(t, steady, netDevices, 231)
	for _, way := range waysOf(wayFull, wayMinute, wayOTLP) {
		p := b.send(t, errand{Way: way}, true)
		p.sample(func(n int) bool { return n < 100 }) // it opens its store
		idle := p.sample(func(n int) bool { return n < 500 })
		if err := p.env.Restore(); err != nil {
			t.Fatal(err)
		}
		samples, over := make(chan []float64, 1), make(chan struct{})
		go func() { samples <- p.sample(func(int) bool { return open(over) }) }()
		r := p.result(t)
		close(over)
		busy := <-samples
		t.Logf("%s: %d points; RssAnon idle median %.1f MB, most %.1f; draining median %+.1f MB, most %+.1f",
			way, r.Points, middle(idle), idle[len(idle)-1], middle(busy)-middle(idle), busy[len(busy)-1]-middle(idle))
	}
}

// open reports whether a channel was not closed yet.
func open(c <-chan struct{}) bool {
	select {
	case <-c:
		return false
	default:
		return true
	}
}

// middle is the median of sorted values, 0 of none.
func middle(sorted []float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// sample reads RssAnon of a process, in MB, twenty times a second, and gives
// the values sorted.
func (p *process) sample(more func(n int) bool) (values []float64) {
	for more(len(values)) {
		var kib float64
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if _, rest, found := strings.Cut(string(data), "RssAnon:"); err == nil && found {
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				values = append(values, kib*1024/1e6)
			}
		}
		time.Sleep(50 * time.Millisecond) // between samples
	}
	slices.Sort(values)
	return values
}
