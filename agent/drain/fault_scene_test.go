package drain_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/proxytest"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const (
	sceneSeries = 240 // points of one batch
	sceneWindow = time.Hour
	sceneMargin = 3 * time.Minute // of the window, in which a point may go either way
	postLines   = 1000            // at most, of one post
)

// scene is one site, with a real store and a real drain, and its environment,
// with a proxy between them. All go by one clock, which can be moved.
type scene struct {
	t     *testing.T
	env   *draintest.Server
	proxy *proxytest.Proxy
	store *buffer.Store
	drain *drain.Drain
	path  string
	halt  func() // ends the drain

	shift atomic.Int64           // of the clock, in nanoseconds
	token atomic.Pointer[string] // that the site has

	random *rand.Rand // of the values
	last   int64      // stamp of the newest batch
	stamps []int64    // of all batches
	early  int64      // points that were delivered before anything happened
}

// sceneOptions are what rows differ in from the start on.
type sceneOptions struct {
	secure *draintest.TLS // nil: without encryption
	change func(*drain.Options)
}

func newScene(t *testing.T, o sceneOptions) *scene {
	t.Helper()
	s := &scene{t: t, random: rand.New(rand.NewPCG(1, 2)), path: filepath.Join(t.TempDir(), "edgehold.db")}
	s.setToken("first")
	s.env = draintest.New(draintest.Options{Token: "first", Now: s.now})
	url, ca := s.startEnv(o.secure)
	t.Cleanup(func() { _ = s.env.Close() })
	_, address, _ := strings.Cut(url, "://")
	s.proxy = proxytest.New(t, address, 1)
	s.open()
	t.Cleanup(func() { _ = s.store.Close() })
	client, err := drain.NewClient(drain.ClientOptions{CAFile: ca, Time: s.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	options := drain.Options{
		Target: drain.Target{
			URL:    strings.Replace(url, address, s.proxy.Addr(), 1),
			Token:  func() (probes.Secret, error) { return probes.NewSecret(*s.token.Load()), nil },
			Client: client,
		},
		Store: s.store, Log: zerolog.Nop(), Version: "test", Site: "scene", Window: sceneWindow, Now: s.now,
		Random: func() float64 { return 0 }, // tries again after a tenth of a second
	}
	if o.change != nil {
		o.change(&options)
	}
	s.drain = drain.New(options)
	return s
}

// startEnv gives the environment's URL and the file of its authority.
func (s *scene) startEnv(secure *draintest.TLS) (url, ca string) {
	s.t.Helper()
	var err error
	if secure == nil {
		url, err = s.env.Start("127.0.0.1:0")
	} else {
		url, err = s.env.StartTLS("127.0.0.1:0", *secure)
		ca = filepath.Join(filepath.Dir(s.path), "ca.pem")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if ca != "" {
		if err := os.WriteFile(ca, s.env.CAPEM(), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return url, ca
}

func (s *scene) open() {
	s.t.Helper()
	store, err := buffer.Open(buffer.Options{Path: s.path, Log: zerolog.Nop(), Window: sceneWindow, Now: s.now, CommitInterval: 10 * time.Millisecond})
	if err != nil {
		s.t.Fatal(err)
	}
	s.store = store
}

func (s *scene) now() time.Time { return time.Now().Add(time.Duration(s.shift.Load())) }

// setToken changes the site's token file.
func (s *scene) setToken(token string) { s.token.Store(&token) }

// must stops the test at an error of its own means.
func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// add appends so many batches of this moment, durably. No two of a scene have
// the same stamp.
func (s *scene) add(batches int) {
	s.t.Helper()
	for range batches {
		s.last = max(s.last+1, s.now().UnixMilli())
		s.must(s.store.Append(s.t.Context(), sceneBatch(s.random, s.last)))
		s.stamps = append(s.stamps, s.last)
	}
}

// sceneBatch is what one poll gives, with values that do not compress.
func sceneBatch(random *rand.Rand, stamp int64) []probes.Point {
	points := make([]probes.Point, sceneSeries)
	for i := range points {
		series := probes.NewSeries("scene.bytes.in", probes.Count, probes.Dimension{Key: "port", Value: fmt.Sprintf("Gi 0/%d", i)})
		points[i] = probes.Point{Series: series, Value: probes.Uint(random.Uint64() >> 8), Stamp: probes.Stamp{Wall: stamp}}
	}
	return points
}

// pass lets time go by, with a batch at every step.
func (s *scene) pass(total, step time.Duration) {
	s.t.Helper()
	for end := s.shift.Load() + int64(total); s.shift.Load() < end; {
		s.shift.Add(min(int64(step), end-s.shift.Load()))
		s.add(1)
	}
}

// run starts the drain; the scene's end, or stop, ends it.
func (s *scene) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.drain.Run(ctx) }()
	s.halt = func() { cancel(); <-done }
	s.t.Cleanup(s.halt)
}

// begin delivers some points, and leaves a drain that rests on a connection
// that is kept.
func (s *scene) begin() {
	s.t.Helper()
	s.add(2)
	s.run()
	s.early = s.points()
	s.until("the first points are delivered", func() bool {
		state := s.drain.State()
		return state.LinesAccepted == s.early && state.State == drain.Idle
	})
}

// until waits for a condition.
func (s *scene) until(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("never came: %s; state %+v, counts %+v, account %+v, proxy %+v",
				what, s.drain.State(), s.env.Counts(), s.store.Account(), s.proxy.Counts())
		}
	}
}

func (s *scene) points() int64 { return int64(len(s.stamps)) * sceneSeries }

// between counts the points whose stamps lie from one age to another, by now.
func (s *scene) between(youngest, oldest time.Duration) (n int64) {
	now := s.now()
	for _, stamp := range s.stamps {
		if age := now.Sub(time.UnixMilli(stamp)); age >= youngest && age < oldest {
			n += sceneSeries
		}
	}
	return n
}

// sceneOutcome is what the oracles say at the end of a scene.
type sceneOutcome struct {
	account buffer.Account
	counts  draintest.Counts
	state   drain.State
	resent  int   // lines that the environment took more than once
	cuts    int64 // of connections, by the proxy
}

// settle stops the drain, opens the store again, and holds what is true
// whatever has happened: each point is in exactly one state, the store's own
// recount and the environment agree, and nothing came twice but by posts whose
// answer was lost.
func (s *scene) settle() sceneOutcome {
	t := s.t
	t.Helper()
	s.halt()
	s.must(s.store.Close())
	s.open()
	account, err := s.store.Verify()
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	if err := account.Check(); err != nil {
		t.Error(err)
	}
	o := sceneOutcome{account: account, counts: s.env.Counts(), state: s.drain.State(), cuts: s.proxy.Counts().Cut}
	o.resent = o.counts.Lines - o.counts.Distinct
	if account.Accepted != s.points() {
		t.Errorf("%d points were added, the account says %d", s.points(), account.Accepted)
	}
	// Of a post whose answer was lost the points may be there, and past the
	// window before they could be sent again.
	if unsure := o.state.AmbiguousPosts * postLines; account.Delivered > int64(o.counts.Distinct) || account.Delivered < int64(o.counts.Distinct)-unsure {
		t.Errorf("the account says that %d points were delivered, the environment has %d", account.Delivered, o.counts.Distinct)
	}
	if o.counts.Conflicts != 0 {
		t.Errorf("%d lines came again with another payload", o.counts.Conflicts)
	}
	if lost := int(o.state.AmbiguousPosts); o.resent > lost*postLines {
		t.Errorf("%d lines came twice, with %d posts whose answer was lost", o.resent, lost)
	}
	if account.Evicted+account.Damaged+account.Purged != 0 {
		t.Errorf("points went other ways: %+v", account)
	}
	return o
}
