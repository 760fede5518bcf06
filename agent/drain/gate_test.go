package drain

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGatesFailed holds which gate a failure shuts, and what trips the breaker.
func TestGatesFailed(t *testing.T) {
	broken, away, held := outcome{verdict: later}, outcome{verdict: later, unreached: true}, outcome{verdict: hold}
	for name, test := range map[string]struct {
		fails []outcome
		link  bool
		cargo bool
		half  bool
	}{
		"one answer of trouble":        {[]outcome{broken}, false, true, false},
		"no server reached":            {[]outcome{away}, true, false, false},
		"five in a row, of both kinds": {[]outcome{broken, away, broken, away, broken}, true, true, true},
		"four":                         {[]outcome{broken, away, broken, away}, true, true, false},
		"holds trip nothing":           {[]outcome{held, held, held, held, held, held}, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var g gates
			for i, o := range test.fails {
				g.failed(logs, o, noon.Add(time.Duration(i)*time.Second), 0.5)
			}
			if shut := !g.link.open(noon); shut != test.link {
				t.Errorf("link shut: %v", shut)
			}
			if shut := !g.cargo[logs].open(noon); shut != test.cargo {
				t.Errorf("cargo shut: %v", shut)
			}
			if !g.cargo[metrics].open(noon) || !g.cargo[events].open(noon) {
				t.Error("another cargo is shut")
			}
			if g.halfOpen() != test.half {
				t.Errorf("breaker %s", g.breaker())
			}
			g.passed(logs, noon)
			if g.halfOpen() || !g.link.open(noon) || !g.cargo[logs].open(noon) {
				t.Errorf("after a success %+v", g)
			}
		})
	}
}

// TestGatesPassed tells how long the server was gone, 0 where the link was.
func TestGatesPassed(t *testing.T) {
	after := func(d time.Duration) time.Time { return noon.Add(d) }
	for name, test := range map[string]struct {
		do   func(g *gates)
		gone time.Duration
	}{
		"no failure": {func(*gates) {}, 0},
		"failures":   {func(g *gates) { g.failed(metrics, outcome{verdict: later}, after(time.Minute), 0) }, 4 * time.Minute},
		"a hold":     {func(g *gates) { g.failed(metrics, outcome{verdict: hold}, after(time.Minute), 0) }, 0},
		"the link just changed": {func(g *gates) {
			g.failed(metrics, outcome{verdict: later}, noon, 0)
			g.changed(after(4*time.Minute + 55*time.Second))
		}, 0},
		"it changed long ago": {func(g *gates) { g.failed(metrics, outcome{verdict: later}, noon, 0); g.changed(after(time.Minute)) }, 5 * time.Minute},
	} {
		var g gates
		test.do(&g)
		if gone := g.passed(metrics, after(5*time.Minute)); gone != test.gone {
			t.Errorf("%s: gone for %v, want %v", name, gone, test.gone)
		}
	}
}

// TestGatesChanged holds what a change of the link lets be tried at once.
func TestGatesChanged(t *testing.T) {
	var g gates
	g.failed(metrics, outcome{verdict: later, unreached: true}, noon, 0.9)
	g.failed(metrics, outcome{verdict: later, ambiguous: true}, noon, 0.9)
	g.failed(events, outcome{verdict: later, throttled: true}, noon, 0.9)
	g.failed(logs, outcome{verdict: hold}, noon, 0.9)
	g.changed(noon)
	for what, test := range map[string]struct {
		gate gate
		open bool
	}{
		"the link": {g.link, true}, "what had no answer": {g.cargo[metrics], true},
		"a server that had enough": {g.cargo[events], false}, "a hold": {g.cargo[logs], false},
	} {
		if test.gate.open(noon) != test.open {
			t.Errorf("%s: open %v", what, !test.open)
		}
	}
	g.wake()
	for c := range cargos {
		if !g.cargo[c].open(noon) {
			t.Errorf("%v is shut though a person asked for a try", c)
		}
	}
}

// TestBreaker holds that a server that fails again and again gets small posts
// only, and full ones once it has taken one.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := &sequence{statuses: []int{503, 503, 503, 503, 503, 503, 503, 202}}
		r := run(t, newStore(t, samples(2500, time.Now())...), seq.answer)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if s := r.State(); s.Breaker != HalfOpen {
			t.Errorf("breaker %s after %d posts", s.Breaker, s.Posts)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r.store.expect(2500, 0, 0)
		for i, n := range seq.lines {
			if small := n < 200; small != (i >= 5 && i <= 7) {
				t.Errorf("post %d has %d lines: %v", i, n, seq.lines)
			}
		}
		if s := r.State(); s.Breaker != Closed || s.State != Idle {
			t.Errorf("state %+v", s)
		}
		for i := range seq.at[1:8] {
			if gap := seq.at[i+1] - seq.at[i]; gap > 10*time.Second {
				t.Errorf("gap of %v before live points are tried again", gap)
			}
		}
	})
}

// TestGatesAreIndependent refuses one cargo for good and holds that the others
// go on.
func TestGatesAreIndependent(t *testing.T) {
	for _, status := range []int{403, 404, 503} {
		for path, word := range map[string]string{"metrics": "metrics", "events": "events", "logs": "logs"} {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: func(p post) (int, string) {
					if strings.Contains(p.path, path) {
						return status, ""
					}
					return p.good()
				}}
				store := newStore(t, samples(10, time.Now())...)
				store.enter(anEvent(time.Now(), "one"), aRecord(time.Now(), "two"), anEvent(time.Now(), "three"))
				r := run(t, store, nil, w.serve)
				for range 20 {
					time.Sleep(time.Minute)
					store.add(samples(10, time.Now())...)
					store.enter(anEvent(time.Now(), "more"), aRecord(time.Now(), "more"))
				}
				synctest.Wait()
				left := map[string]int{"metrics": 210, "events": 22, "logs": 21}
				open := left[word]
				store.expect(210+22+21-open, 0, open)
				for _, c := range r.State().Cargos {
					bad := c.Cargo == word
					if bad != (c.State != Idle) || bad && (c.LastError == "" || c.NextTry.IsZero()) {
						t.Errorf("HTTP %d for %s: %+v", status, word, c)
					}
				}
				if s := r.State(); (word == "metrics") != (s.State != Idle) || (word == "metrics") != s.UpSince.IsZero() {
					t.Errorf("HTTP %d for %s: state %s, up since %v", status, word, s.State, s.UpSince)
				}
				if n := strings.Count(r.log.String(), "\n"); n != 1 {
					t.Errorf("HTTP %d for %s: log says %s", status, word, r.log)
				}
			})
			if t.Failed() {
				t.Fatal(fmt.Sprint(status, " ", word))
			}
		}
	}
}
