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

	"github.com/edgehold/edgehold/probes"
)

// dialing is a link on which no connection comes about that was begun before
// it was up.
type dialing struct {
	world
	up atomic.Bool
}

func (l *dialing) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.up.Load() {
		return l.world.RoundTrip(r)
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestLinkChangedEndsADial holds that a connection which hangs since before the
// link came back is given up at once, and fresh points leave first.
func TestLinkChangedEndsADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := &dialing{}
		store := newStore(t, samples(3000, time.Now().Add(-30*time.Minute))...)
		r := run(t, store, nil, func(o *Options) { o.Client = &http.Client{Transport: link} })
		time.Sleep(10 * time.Second) // the first try hangs
		store.add(samples(10, time.Now())...)
		link.up.Store(true)
		changed := time.Now()
		r.LinkChanged()
		synctest.Wait()
		store.expect(3010, 0, 0)
		posts := link.seen("metrics")
		if n := strings.Count(posts[0].body, "\n"); n != 10 || posts[0].at.Sub(changed) > 2*time.Second {
			t.Errorf("the first post after %v has %d lines", posts[0].at.Sub(changed), n)
		}
		if s := r.State(); s.AmbiguousPosts != 0 || s.LastError != "" || s.State != Idle {
			t.Errorf("state %+v", s)
		}
	})
}

// TestLinkChangedDuringAPost gives a post on its way one second for its answer.
func TestLinkChangedDuringAPost(t *testing.T) {
	for take, again := range map[time.Duration]int{900 * time.Millisecond: 0, 5 * time.Second: 10} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{take: take}
			store := newStore(t, samples(10, time.Now())...)
			r := run(t, store, nil, w.serve)
			synctest.Wait()
			w.take = 0
			changed := time.Now()
			r.LinkChanged()
			store.add(samples(1, time.Now().Add(time.Millisecond))...)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			store.expect(11, 0, 0)
			posts := w.seen("metrics")
			if n := strings.Count(posts[1].body, "\n"); n != again+1 || posts[1].at.Sub(changed) > 1100*time.Millisecond {
				t.Errorf("an answer that takes %v: %d lines leave after %v", take, n, posts[1].at.Sub(changed))
			}
			if s := r.State(); s.AmbiguousPosts != one(again > 0) || s.LastError != "" {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// TestLinkChangedWhileWaiting holds that no back-off is waited out.
func TestLinkChangedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{0, 0, 0, 0, 0, 0, 202}}
		r := run(t, newStore(t, samples(1, time.Now())...), seq.answer)
		time.Sleep(16 * time.Second) // six tries at half the top: 0, 0.5, 1.5, 3.5, 7.5, 12.5; the next at 17.5
		synctest.Wait()
		r.LinkChanged()
		synctest.Wait()
		r.store.expect(1, 0, 0)
		if got := seq.at[len(seq.at)-1]; len(seq.at) != 7 || got != 16*time.Second {
			t.Errorf("tried at %v", seq.at)
		}
	})
}

// TestSpread lets a server be gone and come back, and asks what leaves when.
func TestSpread(t *testing.T) {
	const site = "plant 7"
	wait := spread(site)
	if wait < 5*time.Second {
		t.Fatalf("the site of this test waits only %v", wait)
	}
	for name, test := range map[string]struct {
		gone    time.Duration
		changed bool // the link of this machine changes before the server is back
		spreads bool
	}{
		"gone for long":      {10 * time.Minute, false, true},
		"gone for a moment":  {40 * time.Second, false, false},
		"the link came back": {10 * time.Minute, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				back := start.Add(test.gone)
				w := &world{answer: func(p post) (int, string) {
					if time.Now().Before(back) {
						return 503, ""
					}
					return p.good()
				}}
				store := newStore(t, samples(20, start.Add(-30*time.Minute))...)
				r := run(t, store, nil, w.serve, func(o *Options) { o.Site = site })
				time.Sleep(test.gone)
				store.add(samples(10, time.Now())...)
				store.add(samples(5, time.Now().Add(-57*time.Minute-40*time.Second))...) // will not be taken any more in a while
				store.enter(anEvent(time.Now(), "one"), aRecord(time.Now(), "two"))
				if test.changed {
					r.LinkChanged()
				}
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if !test.spreads {
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				_, _, open := store.tally()
				// The record waits too, unless it was the one that found the server back.
				spreads := open == 20 || open == 21
				if until := r.State().SpreadUntil; test.spreads && (!spreads || until.IsZero()) || !test.spreads && (open != 0 || !until.IsZero()) {
					t.Errorf("%d points and records wait, until %v", open, until)
				}
				time.Sleep(time.Minute + 10*time.Second)
				synctest.Wait()
				store.expect(20+10+5+2, 0, 0)
			})
		})
	}
}

// TestClockNotTrusted holds that nothing is sent while the time is not known,
// not even a token, and that the environment is asked for it.
func TestClockNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		start, trusted := time.Now(), false
		w := &world{}
		store := newStore(t, samples(3, time.Now())...)
		r := run(t, store, nil, w.serve, func(o *Options) {
			o.Trusted = func() bool { return trusted }
			o.AskTime = func(ctx context.Context) error {
				asked = append(asked, time.Since(start))
				if len(asked) == 4 {
					trusted = true
					return nil
				}
				return errors.New("no way to the server")
			}
			o.Token = func() (probes.Secret, error) { t.Error("the token is read"); return probes.Secret{}, nil }
		})
		synctest.Wait()
		s := r.State()
		if s.State != Clock || !strings.Contains(s.LastError, "no way to the server") || s.NextTry.Sub(start) != 500*time.Millisecond {
			t.Errorf("state %+v", s)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(w.seen("")) != 0 {
			t.Errorf("posts %+v", w.seen(""))
		}
		r.Change(Target{URL: "https://env.example", Client: &http.Client{Transport: w}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		store.expect(3, 0, 0)
		if got := fmt.Sprint(asked); got != "[0s 500ms 1.5s 3s]" {
			t.Errorf("asked at %s", got)
		}
		if s := r.State(); s.State != Idle {
			t.Errorf("state %+v", s)
		}
	})
}

// TestOnDate gives the time of the environment's answers, and of no others.
func TestOnDate(t *testing.T) {
	for status, want := range map[int]int{202: 1, 503: 0, 302: 0} {
		synctest.Test(t, func(t *testing.T) {
			told := 0
			date := time.Now().Add(7 * time.Minute).UTC()
			w := &world{answer: func(post) (int, string) { return status, "" }, take: 2 * time.Second, header: http.Header{"Date": {date.Format(http.TimeFormat)}}}
			run(t, newStore(t, samples(1, time.Now())...), nil, w.serve, func(o *Options) {
				o.OnDate = func(at time.Time, uncertainty time.Duration) {
					told++
					if !at.Equal(date) || uncertainty != 3*time.Second {
						t.Errorf("told %v within %v", at, uncertainty)
					}
				}
			})
			time.Sleep(2100 * time.Millisecond)
			synctest.Wait()
			if told != want {
				t.Errorf("HTTP %d: told %d times", status, told)
			}
		})
	}
}

// TestTokenReplaced puts a good token into the place of one that was revoked:
// it is tried in the same moment.
func TestTokenReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		w := &world{answer: func(p post) (int, string) {
			if p.token != "Api-Token new" {
				return 401, ""
			}
			return p.good()
		}}
		store := newStore(t, samples(3, time.Now())...)
		r := run(t, store, nil, w.serve, func(o *Options) {
			o.Token = func() (probes.Secret, error) {
				if reads++; reads == 1 {
					return probes.NewSecret("old"), nil
				}
				return probes.NewSecret("new"), nil
			}
		})
		synctest.Wait()
		store.expect(3, 0, 0)
		if s := r.State(); s.State != Idle || s.Posts != 2 || s.LastError != "" {
			t.Errorf("state %+v", s)
		}
	})
}

// TestBudget holds that live points and nothing else leave beyond the budget,
// and that what was used outlives a restart.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		store := newStore(t, samples(1000, time.Now().Add(-30*time.Minute))...)
		store.add(samples(10, time.Now())...) // goes first, and uses more than there is
		limit := func(o *Options) { o.Budget = Budget{Daily: 100}; o.Window = 1000 * time.Hour }
		r := run(t, store, nil, w.serve, limit)
		for range 9 {
			time.Sleep(10 * time.Minute)
			store.add(samples(10, time.Now())...)
			synctest.Wait()
		}
		store.expect(100, 0, 1000)
		if s := r.State(); s.Budget.Spent != "day" || s.Budget.Today != s.BytesWire || s.Lanes[laneLive].Wire != s.BytesWire {
			t.Errorf("state %+v", s)
		}
		r.stop()
		r = run(t, store, nil, w.serve, limit)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(100, 0, 1000)
		if s := r.State(); s.Budget.Today == 0 {
			t.Errorf("state %+v", s)
		}
	})
}
