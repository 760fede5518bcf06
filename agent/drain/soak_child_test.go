package drain

import (
	"context"
	"encoding/json"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// The ways to send a backlog that are measured side by side.
const (
	wayFull   = "full"   // as it is shipped, every point a line
	wayMinute = "1m"     // the same, folded to minutes
	wayOTLP   = "otlp"   // as OTLP data points
	wayGzip   = "gzip"   // what one would write in an afternoon
	wayLease  = "leased" // points are leased and settled, and sent nowhere
)

// drainToken is what the stand-in asks for.
const drainToken = "dt0c01.BENCH.not-a-token"

// childVariable names the process that drains a store, to measure it alone.
const childVariable = "EDGEHOLD_DRAIN_CHILD"

// errand is what such a process is to do.
type errand struct {
	Way, Store, URL, CA string
	Now                 time.Time // of its start
	Profile             string    // of its processor time; "": none
}

// report is what it found.
type report struct {
	CPU     float64 // seconds of user and system time, from the first lease to the last settlement
	Elapsed float64 // seconds
	Points  int64   // delivered
	Posts   int64
	Wire    int64 // bytes both ways, where the drain counts them
}

// TestDrainChild is that process; it runs only as a child.
func TestDrainChild(t *testing.T) {
	var e errand
	if text := os.Getenv(childVariable); text == "" {
		return
	} else if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	debug.SetGCPercent(50) // as the agent runs
	begun := time.Now()
	now := func() time.Time { return e.Now.Add(time.Since(begun)) }
	store := openAt(t, e.Store, 10*time.Second, now)
	c := child{errand: e, store: store, now: now}
	c.client(t)
	if e.Profile != "" {
		f, err := os.Create(e.Profile)
		if err != nil {
			t.Fatal(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			t.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	cpu, start := processorTime(t), time.Now()
	r := c.drain(t)
	r.Elapsed = time.Since(start).Seconds()
	if err := store.Close(); err != nil { // the last settlements
		t.Error(err)
	}
	r.CPU, r.Points = processorTime(t)-cpu, store.Account().Delivered
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		t.Fatal(err)
	}
}

// openAt opens a store with a clock of its own.
func openAt(t testing.TB, path string, commit time.Duration, now func() time.Time) *buffer.Store {
	t.Helper()
	s, err := buffer.Open(buffer.Options{Path: path, CommitInterval: commit, Log: zerolog.Nop(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// processorTime is the user and system time of this process, in seconds.
func processorTime(t *testing.T) float64 {
	t.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}

type child struct {
	errand
	store  *buffer.Store
	now    func() time.Time
	target Target
}

func (c *child) client(t *testing.T) {
	t.Helper()
	client, err := NewClient(ClientOptions{CAFile: c.CA, Time: c.now})
	if err != nil {
		t.Fatal(err)
	}
	c.target = Target{URL: c.URL, Client: client, Token: func() (probes.Secret, error) { return probes.NewSecret(drainToken), nil }}
	if c.Way == wayOTLP {
		c.target.Protocol = OTLP
		c.target.URL += "/api/v2/otlp"
	}
}

func (c *child) drain(t *testing.T) report {
	t.Helper()
	var r report
	switch c.Way {
	case wayGzip:
		r.Posts = naiveDrain(t, c)
	case wayLease:
		r.Posts = leaseAll(t, c.store)
	default:
		state := c.run(t)
		r.Posts, r.Wire = state.Posts, state.BytesWire
	}
	return r
}

// run lets a drain empty the store.
func (c *child) run(t *testing.T) State {
	t.Helper()
	o := Options{Target: c.target, Store: c.store, Log: zerolog.Nop(), Version: "bench", Site: "plant-7", Now: c.now}
	if c.Way == wayMinute {
		o.Resolution = Minute
	}
	d := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	deadline := time.Now().Add(10 * time.Minute)
	for want := c.store.Account().Buffered; carried(d.State()) < want && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond) // between looks
	}
	cancel()
	<-done
	return d.State()
}

// carried is how many points have left.
func carried(s State) (points int64) {
	for _, l := range s.Lanes {
		points += l.Points
	}
	return points
}

// leaseAll is the store's part of a drain.
func leaseAll(t *testing.T, s *buffer.Store) (leases int64) {
	t.Helper()
	for ; ; leases++ {
		lease, err := s.Lease(buffer.Query{Max: maxLines})
		if err != nil {
			t.Fatal(err)
		}
		if lease == nil {
			return leases
		}
		if err := s.Settle(lease, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
			t.Fatal(err)
		}
	}
}
