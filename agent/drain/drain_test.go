package drain

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

const secret = "dt0c01.EXAMPLE.CANARY"

// answers is a server in memory: it gets the lines of each post.
type answers func(lines []string) (status int, body string, err error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) {
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	status, body, err := f(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// sequence answers with each status once and with the last one from then on,
// and notes when it was asked and for how many lines.
type sequence struct {
	statuses []int
	mu       sync.Mutex
	at       []time.Duration // since the first
	lines    []int
	first    time.Time
	text     []string
}

func (s *sequence) answer(lines []string) (int, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	s.at = append(s.at, time.Since(s.first))
	s.lines = append(s.lines, len(lines))
	s.text = append(s.text, lines...)
	status := s.statuses[0]
	if len(s.statuses) > 1 {
		s.statuses = s.statuses[1:]
	}
	if status == 0 {
		return 0, "", errors.New("the link is down")
	}
	return status, "", nil
}

// rig runs a drain in a synctest bubble until the test function returns.
type rig struct {
	*Drain
	store *fakeStore
	log   *bytes.Buffer
	stop  func()
}

func run(t *testing.T, store *fakeStore, f answers, change ...func(*Options)) *rig {
	log := &bytes.Buffer{}
	o := Options{
		Target: Target{
			URL:    "https://env.example/",
			Token:  func() (probes.Secret, error) { return probes.NewSecret(secret), nil },
			Client: &http.Client{Transport: f},
		},
		Store: store, Log: zerolog.New(log), Version: "1.2.3", Site: "plant 7",
		Random: func() float64 { return 0.5 },
	}
	for _, c := range change {
		c(&o)
	}
	d := New(o)
	d.heed()
	// The link is fast, and known to be.
	d.shaper = &shaper{limit: mostSize, cap: mostSize, pack: 0.1, perByte: 1e-7}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			t.Errorf("run ended with %v", err)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return &rig{d, store, log, stop}
}

func TestAllTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{202}}
		r := run(t, newStore(t, samples(2500, time.Now())...), seq.answer)
		synctest.Wait()
		r.store.expect(2500, 0, 0)
		if fmt.Sprint(seq.lines) != "[1000 1000 500]" {
			t.Errorf("posts of %v lines", seq.lines)
		}
		s := r.State()
		if s.State != Idle || s.Posts != 3 || s.LinesAccepted != 2500 || s.BytesText < 2500*40 || s.BytesSent >= s.BytesText/4 || s.LastSuccess.IsZero() || s.LastError != "" {
			t.Errorf("state %+v", s)
		}
		r.store.add(samples(1, time.Now().Add(time.Second))...)
		synctest.Wait() // the commit wakes it: no time passes
		r.store.expect(2501, 0, 0)
		if r.log.Len() != 0 {
			t.Errorf("log says %s", r.log)
		}
	})
}

// TestBackoff follows one outage: when it tries, what it says, and that live
// points come first when it is over.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		seq := &sequence{statuses: []int{0, 503, 429, 202}}
		r := run(t, newStore(t, samples(3, start)...), seq.answer)
		synctest.Wait()
		s := r.State()
		if s.State != Backoff || !strings.Contains(s.LastError, "the link is down") || s.NextTry.Sub(start) != 500*time.Millisecond {
			t.Errorf("state %+v", s)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if s = r.State(); s.State != Backoff || s.Since != start || s.Posts != 2 || s.ThrottledPosts != 1 {
			t.Errorf("state %+v", s)
		}
		r.store.add(samples(2, time.Now())...)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.store.expect(5, 0, 0)
		if got := fmt.Sprint(seq.at); got != "[0s 500ms 1s 2s]" {
			t.Errorf("tried at %s", got)
		}
		if s = r.State(); s.State != Idle || !s.NextTry.IsZero() {
			t.Errorf("state %+v", s)
		}
		if n := strings.Count(r.log.String(), "\n"); n != 2 || !strings.Contains(r.log.String(), `"backlog":5`) {
			t.Errorf("log says %s", r.log)
		}
	})
}

func TestLiveBeforeBacklogOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		store := newStore(t, samples(1, now.Add(-70*time.Minute))...)
		for _, age := range []time.Duration{50, 40, 30} {
			store.add(samples(1000, now.Add(-age*time.Minute))...)
		}
		store.add(samples(10, now.Add(-time.Minute))...)
		store.add(samples(1, now.Add(9*time.Minute))...)
		seq := &sequence{statuses: []int{202}}
		run(t, store, seq.answer)
		synctest.Wait()
		store.expect(3010, 0, 2)
		var ages []string
		for _, at := range store.leasedFrom() {
			ages = append(ages, now.Sub(at).String())
		}
		if got := strings.Join(ages, " "); got != "1m0s 50m0s 40m0s 30m0s" {
			t.Errorf("leases of age %s", got)
		}
		time.Sleep(2 * time.Minute) // what lay ahead has come near
		synctest.Wait()
		store.expect(3011, 0, 1)
	})
}

func TestWakeTriesNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{401, 401, 202}}
		r := run(t, newStore(t, samples(1, time.Now())...), seq.answer)
		synctest.Wait()
		if s := r.State(); s.State != Hold || !strings.Contains(s.LastError, "token") {
			t.Errorf("state %+v", s)
		}
		r.store.add(samples(1, time.Now().Add(1))...)
		synctest.Wait() // a commit is no reason to try
		r.Wake()
		synctest.Wait()
		r.Wake()
		synctest.Wait()
		r.store.expect(2, 0, 0)
		if got := fmt.Sprint(seq.at, seq.lines); got != "[0s 0s 0s] [1 2 2]" {
			t.Errorf("tried at %s", got)
		}
	})
}

// TestHoldIsProbedSlowly holds that a hold lasts, is tried at least each five
// minutes and rarely, and is said once.
func TestHoldIsProbedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{403}}
		r := run(t, newStore(t, samples(1, time.Now())...), seq.answer, func(o *Options) { o.Window = 1000 * time.Hour; o.Random = rand.Float64 })
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		r.store.expect(0, 0, 1)
		if n := len(seq.at); n < 5*12 || n > 1000 {
			t.Errorf("%d tries in five hours", n)
		}
		for i := range seq.at[1:] {
			if gap := seq.at[i+1] - seq.at[i]; gap > 5*time.Minute {
				t.Errorf("gap of %v", gap)
			}
		}
		if n := strings.Count(r.log.String(), "\n"); n != 1 {
			t.Errorf("log says %s", r.log)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{429, 202}}
		asking := answers(seq.answer)
		store := newStore(t, samples(1, time.Now())...)
		run(t, store, nil, func(o *Options) {
			o.Client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := asking.RoundTrip(r)
				resp.Header.Set("Retry-After", "42")
				return resp, err
			})
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		store.expect(1, 0, 0)
		if got := fmt.Sprint(seq.at); got != "[0s 42s]" {
			t.Errorf("tried at %s", got)
		}
	})
}

// leavesOpen has a request find a connection and its headers leave.
func leavesOpen(r *http.Request) {
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GotConn(httptrace.GotConnInfo{})
	trace.WroteHeaders()
}

// leaves has a request leave as a whole.
func leaves(r *http.Request) {
	leavesOpen(r)
	_, _ = io.Copy(io.Discard, r.Body)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPartlyTaken holds that the refused lines become dead letters with the
// server's words and nothing is sent again.
func TestPartlyTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		body := `{"linesOk":7,"linesInvalid":3,"error":{"invalidLines":[{"line":1,"error":"first"},{"line":10,"error":"last"}]}}`
		r := run(t, newStore(t, samples(10, time.Now())...), func([]string) (int, string, error) {
			posts++
			return 400, body, nil
		})
		synctest.Wait()
		r.store.expect(8, 2, 0)
		first, last := r.store.points[0], r.store.points[9]
		if first.reason != "first" || last.reason != "last" || !strings.HasPrefix(last.line, `test.sample.n00009,site=plant\ 7 gauge,9 `) {
			t.Errorf("dead letters %+v and %+v", first, last)
		}
		s := r.State()
		if posts != 1 || s.LinesAccepted != 8 || s.LinesUnnamed != 1 || s.LinesRefused != 2 || !strings.Contains(s.LastError, "first") {
			t.Errorf("%d posts, state %+v", posts, s)
		}
	})
}

// TestSplit finds poisoned lines by halving, and no line twice.
func TestSplit(t *testing.T) {
	for status, want := range map[int]string{413: "too large (HTTP 413)", 400: "without naming an item (HTTP 400); the server says: poison"} {
		synctest.Test(t, func(t *testing.T) {
			taken, posts := map[string]int{}, 0
			r := run(t, newStore(t, samples(1000, time.Now())...), func(lines []string) (int, string, error) {
				posts++
				for _, l := range lines {
					if strings.Contains(l, "n00123") || strings.Contains(l, "n00877") {
						return status, `{"error":{"message":"poison"}}`, nil
					}
				}
				for _, l := range lines {
					taken[l]++
				}
				return 202, "", nil
			})
			synctest.Wait()
			r.store.expect(998, 2, 0)
			if len(taken) != 998 || posts > 2*maxPosts {
				t.Errorf("%d lines taken in %d posts", len(taken), posts)
			}
			for l, n := range taken {
				if n != 1 {
					t.Errorf("%s taken %d times", l, n)
				}
			}
			if k := r.store.points[123]; !strings.Contains(k.reason, want) || !strings.Contains(k.line, "n00123") {
				t.Errorf("dead letter %+v", k)
			}
		})
	}
}

// TestAllRefusedWithoutAWord has something on the way refuse whatever comes.
// Nothing is given up for that, and once it is gone all arrives.
func TestAllRefusedWithoutAWord(t *testing.T) {
	for _, lines := range []int{1, 1000} {
		for _, status := range []int{400, 413} {
			synctest.Test(t, func(t *testing.T) {
				var gone atomic.Bool
				r := run(t, newStore(t, samples(lines, time.Now())...), func([]string) (int, string, error) {
					if gone.Load() {
						return 202, "", nil
					}
					return status, "Bad Request", nil
				})
				synctest.Wait()
				r.store.expect(0, 0, lines)
				if s := r.State(); s.State != Backoff || s.LinesRefused != 0 || !strings.Contains(s.LastError, "no line is taken, so all are kept") || s.Posts > 20 {
					t.Errorf("state %+v", s)
				}
				gone.Store(true)
				time.Sleep(time.Minute)
				synctest.Wait()
				r.store.expect(lines, 0, 0)
			})
		}
	}
}

// TestChange has a new environment named while a post to the old one is under
// way: that one is not cut off, and the counts go on.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func([]string) (int, string, error) { time.Sleep(20 * time.Second); return 202, "", nil }
		r := run(t, newStore(t, samples(1000, time.Now())...), slow)
		time.Sleep(time.Second)
		var hosts []string
		next := roundTripper(func(req *http.Request) (*http.Response, error) {
			hosts = append(hosts, req.Host+" "+req.Header.Get("Authorization")+" "+req.Header.Get("User-Agent"))
			return answers(func([]string) (int, string, error) { return 202, "", nil }).RoundTrip(req)
		})
		r.Change(Target{
			URL: "https://other.example", Client: &http.Client{Transport: next},
			Token: func() (probes.Secret, error) { return probes.NewSecret("other"), nil },
		})
		r.store.add(samples(10, time.Now())...)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		r.store.expect(1010, 0, 0)
		if s := r.State(); s.Posts != 2 || s.LinesAccepted != 1010 || s.AmbiguousPosts != 0 {
			t.Errorf("state %+v", s)
		}
		if fmt.Sprint(hosts) != "[other.example Api-Token other edgehold/1.2.3]" {
			t.Errorf("posts after the change: %v", hosts)
		}
	})
}

// TestUnrenderable holds that a point without a line is refused with the
// reason, and the rest goes on.
func TestUnrenderable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		points := samples(3, time.Now())
		points[0].Value = probes.Float(math.NaN())
		points[2].Series = probes.NewSeries("dt.reserved", probes.Gauge)
		r := run(t, newStore(t, points...), func(lines []string) (int, string, error) { return 202, "", nil })
		synctest.Wait()
		r.store.expect(1, 2, 0)
		if k := r.store.points[2]; !strings.Contains(k.reason, "reserved") || k.line != "dt.reserved" {
			t.Errorf("dead letter %+v", k)
		}
		if s := r.State(); s.LinesRefused != 2 || s.LinesAccepted != 1 {
			t.Errorf("state %+v", s)
		}
	})
}

// TestOnlyUnrenderable sends nothing at all.
func TestOnlyUnrenderable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		points := samples(1, time.Now())
		points[0].Value = probes.Value{}
		r := run(t, newStore(t, points...), func(lines []string) (int, string, error) { return 202, "", nil })
		synctest.Wait()
		r.store.expect(0, 1, 0)
		if s := r.State(); s.Posts != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

// TestPostsStayUnderOneMegabyte has lines of 12 kB.
func TestPostsStayUnderOneMegabyte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dims []probes.Dimension
		for i := range 48 {
			dims = append(dims, probes.Dimension{Key: fmt.Sprintf("d%02d", i), Value: strings.Repeat("v", 250)})
		}
		points := samples(200, time.Now())
		for i := range points {
			points[i].Series = probes.NewSeries(points[i].Series.Key(), points[i].Series.Type(), append(dims, points[i].Series.Dims()...)...)
		}
		var sizes []int
		r := run(t, newStore(t, points...), func(lines []string) (int, string, error) {
			sizes = append(sizes, len(strings.Join(lines, "\n"))+1)
			return 202, "", nil
		})
		synctest.Wait()
		r.store.expect(200, 0, 0)
		if len(sizes) != 3 || sizes[0] >= maxBytes || sizes[0] < maxBytes-13_000 {
			t.Errorf("posts of %v bytes", sizes)
		}
	})
}

// TestStopWaitsForAnswer holds that a stop leaves a post on its way two seconds
// for its answer, and gives the points back without one.
func TestStopWaitsForAnswer(t *testing.T) {
	for _, test := range []struct {
		takes             time.Duration
		delivered, opened int
	}{{time.Second, 5, 0}, {time.Hour, 0, 5}} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t, samples(5, time.Now())...)
			r := run(t, store, nil, func(o *Options) {
				o.Client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					leaves(r)
					select {
					case <-time.After(test.takes):
						return &http.Response{StatusCode: 202, Body: http.NoBody, Request: r}, nil
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				})
			})
			synctest.Wait()
			begin := time.Now()
			r.stop()
			if took := time.Since(begin); took > grace {
				t.Errorf("stop took %v", took)
			}
			store.expect(test.delivered, 0, test.opened)
		})
	}
}

func TestTokenTrouble(t *testing.T) {
	for name, token := range map[string]func() (probes.Secret, error){
		"read token_file /etc/edgehold/token: permission denied": func() (probes.Secret, error) {
			return probes.Secret{}, errors.New("read token_file /etc/edgehold/token: permission denied")
		},
		"no token: it is empty": func() (probes.Secret, error) { return probes.Secret{}, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			seq := &sequence{statuses: []int{202}}
			r := run(t, newStore(t, samples(1, time.Now())...), seq.answer, func(o *Options) { o.Token = token })
			synctest.Wait()
			if s := r.State(); s.State != Hold || !strings.Contains(s.LastError, name) || s.Posts != 0 || len(seq.at) != 0 {
				t.Errorf("state %+v after %d posts", s, len(seq.at))
			}
			r.store.expect(0, 0, 1)
		})
	}
}

func TestClockUnset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot := time.Unix(60, 0)
		r := run(t, newStore(t, samples(1, boot)...), (&sequence{statuses: []int{202}}).answer, func(o *Options) {
			o.Now = func() time.Time { return boot }
		})
		synctest.Wait()
		if s := r.State(); s.State != Clock || !strings.Contains(s.LastError, "clock") {
			t.Errorf("state %+v", s)
		}
		r.store.expect(0, 0, 1)
	})
}

func TestStoreTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, samples(1, time.Now())...)
		store.fail = errors.New("disk is gone")
		r := run(t, store, (&sequence{statuses: []int{202}}).answer)
		synctest.Wait()
		if s := r.State(); s.State != Backoff || !strings.Contains(s.LastError, "disk is gone") {
			t.Errorf("state %+v", s)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		store.expect(1, 0, 0)
	})
}

func TestSettleTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, samples(1, time.Now())...)
		store.failSettle = errors.New("disk is gone")
		r := run(t, store, (&sequence{statuses: []int{202}}).answer)
		synctest.Wait()
		if s := r.State(); s.State != Backoff || s.LinesAccepted != 1 || !strings.Contains(s.LastError, "settle points in the buffer: disk is gone") {
			t.Errorf("state %+v", s)
		}
	})
}

// TestDownWithNothingToSend holds that an uplink is not called idle because its
// points got too old, and that the next ones are tried as they come.
func TestDownWithNothingToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{503}}
		store := newStore(t, samples(1, time.Now())...)
		r := run(t, store, seq.answer)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		tries := len(seq.at)
		if s := r.State(); s.State != Backoff || s.NextTry.Before(time.Now()) {
			t.Errorf("state %+v", s)
		}
		store.add(samples(1, time.Now())...)
		synctest.Wait()
		if len(seq.at) != tries+1 {
			t.Errorf("%d tries, then %d", tries, len(seq.at))
		}
	})
}

// TestExpiredOnTheWay holds that what has waited behind slow halves until it is
// nearly too old is given back and not sent.
func TestExpiredOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts []int
		r := run(t, newStore(t, samples(4, time.Now().Add(-57*time.Minute))...), func(lines []string) (int, string, error) {
			posts = append(posts, len(lines))
			time.Sleep(29 * time.Second)
			if len(lines) > 1 {
				return 413, "", nil
			}
			return 202, "", nil
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		r.store.expect(2, 0, 2)
		if fmt.Sprint(posts) != "[4 2 1 1 2]" {
			t.Errorf("posts of %v lines", posts)
		}
	})
}
