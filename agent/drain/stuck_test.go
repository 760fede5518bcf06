package drain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// turnedClock is a wall clock that can be set.
type turnedClock struct{ by atomic.Int64 }

func (c *turnedClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.by.Load())) }

// TestClockGoesBack holds that a gate shut by a clock that was ahead does not
// stay shut until the true time comes there, be it the link's, a cargo's or the
// wait of the backlog for other sites.
func TestClockGoesBack(t *testing.T) {
	for name, status := range map[string]int{"link": 0, "cargo": 503} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := &turnedClock{}
				clock.by.Store(int64(9 * 365 * 24 * time.Hour))
				seq := &sequence{statuses: []int{status, status, 202}}
				store := newStore(t, samples(3, clock.now())...)
				run(t, store, seq.answer, func(o *Options) { o.Now = clock.now })
				synctest.Wait()
				clock.by.Store(0)
				for range 4 {
					time.Sleep(15 * time.Second)
					store.add(samples(3, clock.now())...)
				}
				synctest.Wait()
				store.expect(12, 0, 3)
			})
		})
	}
	d := New(Options{Store: newStore(t), Target: Target{Client: &http.Client{}}})
	d.heed()
	d.spreadUntil = noon.Add(9000 * time.Hour)
	if try, _ := choose(nil, d.view(noon)); len(try) != int(lanes)-1 {
		t.Errorf("tries %v: no backlog waits for years", try)
	}
}

// TestTimeComesAfterFailures holds that a guess of the time that was ahead keeps
// nothing back once the time is known.
func TestTimeComesAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, trusted := &turnedClock{}, atomic.Bool{}
		clock.by.Store(int64(9 * 365 * 24 * time.Hour))
		store := newStore(t)
		seq := &sequence{statuses: []int{202}}
		run(t, store, seq.answer, func(o *Options) {
			o.Now, o.Trusted = clock.now, trusted.Load
			o.AskTime = func(context.Context) error { return errors.New("no way") }
		})
		time.Sleep(5 * time.Minute)
		clock.by.Store(0)
		trusted.Store(true)
		store.add(samples(3, clock.now())...)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(3, 0, 0)
	})
}

// TestOldEventsHoldNoFreshOnes: where log records are not taken, events too old
// to be events wait, however many, and fresh ones do not wait behind them.
func TestOldEventsHoldNoFreshOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(p post) (int, string) {
			if strings.Contains(p.path, "logs") {
				return 403, ""
			}
			return p.good()
		}}
		store := newStore(t)
		for i := range 2 * manyEvents {
			stamp := probes.Stamp{Wall: time.Now().Add(-7*time.Hour + time.Duration(i)*time.Second).UnixMilli()}
			data := record.AppendEvent(nil, probes.Event{Type: "ERROR_EVENT", Title: fmt.Sprint("event ", i), Start: stamp})
			store.enter(buffer.Entry{Kind: buffer.EventEntry, Stamp: stamp, Data: data})
		}
		store.enter(anEvent(time.Now(), "fresh"))
		run(t, store, nil, w.serve)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(1, 0, 2*manyEvents)
	})
}

// TestEventsWaitTooLong holds that events which were leased before an outage
// and are too old for events after it leave as log records.
func TestEventsWaitTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &world{take: time.Second}
		way := roundTripper(func(r *http.Request) (*http.Response, error) {
			if gone := time.Since(start); gone > 3*time.Second && gone < 7*time.Hour {
				return nil, errors.New("no route to host")
			}
			return w.RoundTrip(r)
		})
		store := newStore(t)
		for i := range 10 {
			stamp := probes.Stamp{Wall: start.UnixMilli()}
			data := record.AppendEvent(nil, probes.Event{Type: "ERROR_EVENT", Title: fmt.Sprint("event ", i), Start: stamp})
			store.enter(buffer.Entry{Kind: buffer.EventEntry, Stamp: stamp, Data: data})
		}
		run(t, store, nil, func(o *Options) { o.Client = &http.Client{Transport: way} })
		time.Sleep(3500 * time.Millisecond)
		for range 8 * 60 { // live points meet the link that is down first
			store.add(samples(1, time.Now())...)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		asEvents, asLogs := len(w.seen("events")), 0
		for _, p := range w.seen("logs") {
			asLogs += strings.Count(p.body, `"event `)
		}
		if asEvents > 4 || asEvents+asLogs != 10 {
			t.Errorf("%d left as events, %d as log records", asEvents, asLogs)
		}
	})
}

// TestHeldCargoIsCheap holds that what waits for a person is tried with little.
func TestHeldCargoIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(p post) (int, string) {
			if strings.Contains(p.path, "logs") {
				return 403, ""
			}
			return p.good()
		}}
		store := newStore(t)
		for i := range 3000 {
			store.enter(aRecord(time.Now(), fmt.Sprint("record ", i)))
		}
		run(t, store, nil, w.serve)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		posts := w.seen("logs")
		for i, p := range posts {
			if i > 0 && len(p.body) > smallPost {
				t.Fatalf("post %d of %d, which nobody takes, has %d bytes", i, len(posts), len(p.body))
			}
		}
		store.expect(0, 0, 3000)
	})
}

// headOnly answers that all was taken, and never comes to the end of it.
type headOnly struct{ posts atomic.Int32 }

func (s *headOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	s.posts.Add(1)
	leavesOpen(r)
	return &http.Response{StatusCode: 202, Header: http.Header{}, Body: cutBody{r.Context()}, Request: r}, nil
}

type cutBody struct{ ctx context.Context }

func (b cutBody) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }
func (b cutBody) Close() error             { return nil }

// TestAnswerBeforeLinkChanged: what was taken stays taken, though the link
// changed before the end of the answer.
func TestAnswerBeforeLinkChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &headOnly{}
		store := newStore(t, samples(5, time.Now())...)
		r := run(t, store, nil, func(o *Options) { o.Client = &http.Client{Transport: s} })
		time.Sleep(time.Second)
		r.LinkChanged()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		store.expect(5, 0, 0)
		if n := s.posts.Load(); n != 1 {
			t.Errorf("%d posts", n)
		}
	})
}

// TestNewTokenEndsHold holds that another token in the file is tried soon,
// though nothing else tells of it.
func TestNewTokenEndsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var token atomic.Pointer[string]
		set := func(s string) { token.Store(&s) }
		set("old")
		w := &world{}
		w.answer = func(p post) (int, string) {
			if p.token != "Api-Token new" {
				return 401, ""
			}
			return p.good()
		}
		store := newStore(t, samples(3, time.Now())...)
		run(t, store, nil, w.serve, func(o *Options) {
			o.Token = func() (probes.Secret, error) { return probes.NewSecret(*token.Load()), nil }
		})
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		refused := len(w.posts)
		if refused > 20 {
			t.Errorf("%d posts with a token that is not accepted", refused)
		}
		set("new")
		store.add(samples(3, time.Now())...)
		time.Sleep(time.Second)
		synctest.Wait()
		store.expect(6, 0, 0)
	})
}

// TestTooLargeInTurns: minutes leave two posts a lease; the server's limit is
// learned from the first of them.
func TestTooLargeInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8 << 10
		w := &world{}
		tooLarge := 0
		w.answer = func(p post) (int, string) {
			if len(p.body) > most {
				tooLarge++
				return 413, ""
			}
			return p.good()
		}
		store, start := newStore(t), time.Now().Truncate(time.Minute)
		for m := range 5 {
			store.add(samples(1000, start.Add(time.Duration(m-20)*time.Minute))...)
		}
		run(t, store, nil, w.serve, func(o *Options) { o.Resolution = Minute })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		store.expect(5000, 0, 0)
		if tooLarge > 24 {
			t.Errorf("%d posts were too large", tooLarge)
		}
	})
}

// TestStoreFailsOnce holds that a failure of the store is over when it gives and
// takes again, and that waits after later ones begin small.
func TestStoreFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, samples(3, time.Now())...)
		store.fail = errors.New("disk on fire")
		seq := &sequence{statuses: []int{202}}
		r := run(t, store, seq.answer)
		time.Sleep(time.Minute)
		for range 20 {
			store.mu.Lock()
			store.fail = errors.New("disk on fire")
			store.mu.Unlock()
			store.add(samples(3, time.Now())...)
			time.Sleep(time.Minute)
		}
		before := time.Now()
		store.mu.Lock()
		store.fail = errors.New("disk on fire")
		store.mu.Unlock()
		store.add(samples(3, time.Now())...)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		store.expect(3*22, 0, 0)
		if s := r.State(); s.State != Idle || s.UpSince.IsZero() || s.LastSuccess.Before(before) {
			t.Errorf("state %+v", s)
		}
	})
}

// TestStoreIsBusy: settlements that wait for the disk hold the drain up for a
// moment, and are no failure of the uplink.
func TestStoreIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, samples(3, time.Now())...)
		store.fail = fmt.Errorf("lease: %w", buffer.ErrWaiting)
		r := run(t, store, (&sequence{statuses: []int{202}}).answer)
		time.Sleep(time.Second)
		synctest.Wait()
		store.expect(3, 0, 0)
		if s := r.State(); s.LastError != "" || s.State != Idle || r.log.Len() > 0 {
			t.Errorf("state %+v, log %s", s, r.log)
		}
	})
}

// TestOtherLinkFlaps: a port that comes and goes beside the way of the posts
// does not end each of them.
func TestOtherLinkFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{take: 5 * time.Second}
		store := newStore(t, samples(3, time.Now())...)
		r := run(t, store, nil, w.serve)
		for range 40 {
			time.Sleep(2 * time.Second)
			r.LinkChanged()
		}
		synctest.Wait()
		store.expect(3, 0, 0)
	})
}

// TestFullLinkCarriesEntries: where fresh points are more than the link carries,
// events and log records still leave.
func TestFullLinkCarriesEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{take: time.Second, answer: func(p post) (int, string) {
			if len(p.body) > 4<<10 {
				return 413, ""
			}
			return p.good()
		}}
		store := newStore(t)
		for range 30 {
			store.enter(anEvent(time.Now(), "an event"), aRecord(time.Now(), "a record"))
		}
		run(t, store, nil, w.serve)
		for range 120 {
			store.add(samples(100, time.Now())...)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		events, logs, points := len(w.seen("events")), len(w.seen("logs")), len(w.seen("metrics"))
		if events == 0 || logs == 0 || points < 10*(events+logs) {
			t.Errorf("%d posts of events, %d of log records, %d of points", events, logs, points)
		}
	})
}

// during calls a function while points are leased.
type during struct {
	*fakeStore
	call func()
}

func (s *during) Lease(q buffer.Query) (*buffer.Lease, error) {
	l, err := s.fakeStore.Lease(q)
	if l != nil && s.call != nil {
		s.call()
		s.call = nil
	}
	return l, err
}

// TestLinkChangesBeforePost: a change that comes while a post is prepared does
// not leave it on a connection of before.
func TestLinkChangesBeforePost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moved, fresh := false, false
		way := roundTripper(func(r *http.Request) (*http.Response, error) {
			leavesOpen(r)
			if !fresh { // on a connection that is dead
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 202, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
		store := &during{fakeStore: newStore(t, samples(3, time.Now())...)}
		var d *Drain
		store.call = func() { moved = true; d.LinkChanged() }
		d = New(Options{
			Target: Target{URL: "https://env.example", Client: &http.Client{Transport: closing{way, func() { fresh = moved }}}},
			Store:  store, Random: func() float64 { return 0.5 },
		})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = d.Run(ctx) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		store.expect(3, 0, 0)
		stop()
		<-done
	})
}

// closing tells when idle connections are dropped.
type closing struct {
	http.RoundTripper
	call func()
}

func (c closing) CloseIdleConnections() { c.call() }

// TestCadenceForgets what has not shown for long, and what a clock that was
// ahead has left.
func TestCadenceForgets(t *testing.T) {
	c, s := newCadence(), probes.NewSeries("a.b", probes.Gauge)
	at := func(d time.Duration) probes.Point {
		return probes.Point{Series: s, Stamp: probes.Stamp{Wall: noon.Add(d).UnixMilli()}}
	}
	for name, by := range map[string]time.Duration{"long ago": -2 * time.Hour, "ahead": 9000 * time.Hour} {
		c.learn([]probes.Point{at(by), at(by + 10*time.Second)})
		if !c.fast(s) {
			t.Fatalf("%s: not learned", name)
		}
		c.pruned = noon.Add(by)
		if c.prune(noon); c.fast(s) || len(c.last) > 0 {
			t.Errorf("%s: not forgotten", name)
		}
	}
}

// TestOutageHoldsNoLease holds that what was leased when the link went does not
// stay so: leased points can neither become late nor be evicted.
func TestOutageHoldsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &world{take: time.Second}
		way := roundTripper(func(r *http.Request) (*http.Response, error) {
			if time.Since(start) > 1500*time.Millisecond {
				return nil, errors.New("no route to host")
			}
			return w.RoundTrip(r)
		})
		store := newStore(t)
		for range 10 {
			store.enter(anEvent(start, "an event"))
		}
		r := run(t, store, nil, func(o *Options) { o.Client = &http.Client{Transport: way} })
		time.Sleep(1200 * time.Millisecond)
		for range 10 {
			store.add(samples(1, time.Now())...)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		store.expect(2, 0, 18)
		if s := r.State(); s.State != Backoff {
			t.Errorf("state %+v", s)
		}
	})
}
