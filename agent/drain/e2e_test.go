package drain_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const (
	series = 120 // points of one batch
	before = 3   // batches in the buffer when the drain starts
	during = 2   // batches that come while the fault is on
)

// site is one real store and one real drain against a stand-in environment.
type site struct {
	t     *testing.T
	env   *draintest.Server
	path  string
	store *buffer.Store
	drain *drain.Drain
	stamp time.Time
	count int
}

func newSite(t *testing.T, timeout time.Duration) *site {
	t.Helper()
	s := &site{t: t, env: draintest.New(draintest.Options{Token: "e2e"}), stamp: time.Now().Add(-30 * time.Minute)}
	url, err := s.env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.env.Close() })
	s.path = filepath.Join(t.TempDir(), "edgehold.db")
	s.open()
	t.Cleanup(func() { _ = s.store.Close() })
	client, err := drain.NewClient(drain.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = timeout
	t.Cleanup(client.CloseIdleConnections)
	s.drain = drain.New(drain.Options{
		Target: drain.Target{
			URL: url, Client: client,
			Token: func() (probes.Secret, error) { return probes.NewSecret("e2e"), nil },
		},
		Store: s.store, Log: zerolog.Nop(), Version: "test",
		Random: func() float64 { return 0 }, // tries again after a tenth of a second
	})
	return s
}

func (s *site) open() {
	s.t.Helper()
	store, err := buffer.Open(buffer.Options{Path: s.path, Log: zerolog.Nop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.store = store
}

// add appends one batch, durably, a minute after the one before.
func (s *site) add() {
	s.t.Helper()
	s.stamp = s.stamp.Add(time.Minute)
	points := make([]probes.Point, series)
	for i := range points {
		p := probes.NewSeries("e2e.bytes.in", probes.Count, probes.Dimension{Key: "If.Name", Value: fmt.Sprintf("Gi 0/%d, \\up", i)})
		points[i] = probes.Point{Series: p, Value: probes.Uint(1<<60 + uint64(i)), Stamp: probes.Stamp{Wall: s.stamp.UnixMilli()}}
	}
	if err := s.store.Append(s.t.Context(), points); err != nil {
		s.t.Fatal(err)
	}
	s.count += series
}

func (s *site) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.drain.Run(ctx) }()
	return func() { cancel(); <-done }
}

// until waits for a condition.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within 20 s: %s; account %+v, state %+v, counts %+v", what, s.store.Account(), s.drain.State(), s.env.Counts())
		}
	}
}

// TestFaults puts each fault of the stand-in in force, lets points come, clears
// it, and asks the ledger: nothing lost, and nothing twice but for answers that
// were lost.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		fault draintest.Fault
		state string // that the uplink must show while the fault is on; "" for any
		dead  bool   // lines are refused for good
		again bool   // lines may be taken twice
	}{
		{fault: draintest.Fault{}},
		{fault: draintest.Fault{Mode: draintest.Down}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.Unavailable}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.ServerError}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.Refuse}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.Hang}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.LoseAnswer, Count: 2}, again: true},
		{fault: draintest.Fault{Mode: draintest.Throttle}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.Throttle, Count: 1, RetryAfter: time.Second}},
		{fault: draintest.Fault{Mode: draintest.PartialInvalid, Lines: 7}, dead: true},
		{fault: draintest.Fault{Mode: draintest.TooLarge, Lines: 50}},
		{fault: draintest.Fault{Mode: draintest.TooLarge, Lines: 1}},
		{fault: draintest.Fault{Mode: draintest.Captive}, state: drain.Backoff},
		{fault: draintest.Fault{Mode: draintest.Unauthorized}, state: drain.Hold},
		{fault: draintest.Fault{Mode: draintest.Forbidden}, state: drain.Hold},
		{fault: draintest.Fault{Mode: draintest.Slow, Delay: 50 * time.Millisecond}},
	} {
		t.Run(fmt.Sprintf("%s-%d-%d", test.fault.Mode, test.fault.Count, test.fault.Lines), func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			if test.fault.Mode == draintest.Hang {
				timeout = 300 * time.Millisecond
			}
			s := newSite(t, timeout)
			for range before {
				s.add()
			}
			if err := s.env.SetFault(test.fault); err != nil {
				t.Fatal(err)
			}
			stop := s.run()
			if test.state != "" {
				s.until("uplink shows "+test.state, func() bool { return s.drain.State().State == test.state })
			}
			for range during {
				s.add()
			}
			if test.state != "" {
				if n := s.env.Counts().Lines; n != 0 {
					t.Errorf("%d lines were taken while the fault was on", n)
				}
				if err := s.env.Restore(); err != nil {
					t.Fatal(err)
				}
			}
			s.until("all is settled", func() bool {
				state := s.drain.State()
				return state.LinesAccepted+state.LinesRefused == int64(s.count)
			})
			stop()
			s.check(test.dead, test.again)
		})
	}
}

// check looks at the store after a restart.
func (s *site) check(dead, again bool) {
	t := s.t
	t.Helper()
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.open()
	account, err := s.store.Verify()
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	c, state := s.env.Counts(), s.drain.State()
	if account.Delivered != int64(c.Distinct) || account.Buffered != 0 || account.Delivered+account.DeadLetter != int64(s.count) {
		t.Errorf("account %+v, the environment took %d of %d points", account, c.Distinct, s.count)
	}
	if (account.DeadLetter > 0) != dead || state.LinesRefused != account.DeadLetter || state.LinesAccepted != account.Delivered {
		t.Errorf("account %+v, state %+v", account, state)
	}
	if twice := c.Lines - c.Distinct; (twice > 0) != again || (state.AmbiguousPosts > 0) != (again || c.Outcomes["hung"] > 0) {
		t.Errorf("%d lines were taken twice, state %+v, counts %+v", twice, state, c)
	}
	if c.Conflicts != 0 {
		t.Errorf("%d lines came again with another payload", c.Conflicts)
	}
}

// TestWrongToken holds that a stand-in that asks for another token takes nothing.
func TestWrongToken(t *testing.T) {
	s := newSite(t, time.Second)
	s.add()
	d := drain.New(drain.Options{
		Target: drain.Target{
			URL: s.env.URL(), Client: http.DefaultClient,
			Token: func() (probes.Secret, error) { return probes.NewSecret("other"), nil },
		},
		Store: s.store, Log: zerolog.Nop(),
	})
	s.drain = d
	stop := s.run()
	s.until("uplink holds", func() bool { return d.State().State == drain.Hold })
	stop()
	if c := s.env.Counts(); c.Lines != 0 || s.store.Account().Buffered != series {
		t.Errorf("counts %+v, account %+v", c, s.store.Account())
	}
}
