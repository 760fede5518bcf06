package clock

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

func TestKernelIsTrustedFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, true), Options{})
		if len(r.anchors) != 1 || r.anchors[0].Source != Kernel || r.anchors[0].Boot != r.m.boot || r.anchors[0].Offset != today.UnixMilli() {
			t.Fatalf("anchors %+v", r.anchors)
		}
		s := r.Now()
		if s.Guess || s.Boot != r.m.boot || s.Uptime != 10*time.Second || s.Wall != today.Add(10*time.Second).UnixMilli() {
			t.Errorf("stamp %+v", s)
		}
		if got := r.Time(); !got.Equal(r.m.now()) || !r.TLSTime().Equal(got) {
			t.Errorf("time %v, TLS %v", got, r.TLSTime())
		}
		if st := r.State(); !st.Trusted || st.Source != Kernel || st.Kernel != "synced" || st.SystemOff != 0 || !st.Since.Equal(r.m.now()) {
			t.Errorf("state %+v", st)
		}
	})
}

// TestUntrusted: on a clock that nobody vouches for, stamps are guesses over
// one base, and no guess is before the floor.
func TestUntrusted(t *testing.T) {
	in1970 := -today.Sub(time.Unix(0, 0))
	for name, off := range map[string]time.Duration{"1970": in1970, "slow": -2 * time.Hour, "fast": 2 * time.Hour, "right": 0} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, newFake(off, false), Options{})
			r.run()
			var guesses []probes.Stamp
			for range 20 {
				guesses = append(guesses, r.Now())
				time.Sleep(time.Duration(rand.Int64N(int64(10 * time.Minute))))
				synctest.Wait()
			}
			r.m.set(off+time.Hour, false) // by hand: moves no guess
			synctest.Wait()
			guesses = append(guesses, r.Now())
			if r.Trusted() || !r.Time().IsZero() || len(r.anchors) > 0 {
				t.Fatalf("trusted: %+v", r.State())
			}
			if best, trusted := r.Best(); trusted || best.Before(built) || r.TLSTime().Before(built) {
				t.Errorf("best guess %v, %t", best, trusted)
			}
			if err := r.Offer(r.date(false, 0)); err == nil || r.Trusted() {
				t.Fatalf("an answer that proves nothing was believed: %v", err)
			}
			if err := r.Ask(t.Context()); err != nil || !r.Trusted() {
				t.Fatal(err)
			}
			if len(r.anchors) != 1 || r.anchors[0].Source != Environment {
				t.Fatalf("anchors %+v", r.anchors)
			}
			checkRestamped(t, r.m, r.anchors[0], guesses)
			if got := r.State().SystemOff; (got - off - time.Hour).Abs() > 2*time.Second {
				t.Errorf("the system's clock is off by %v, want %v", got, off+time.Hour)
			}
			r.near(0, time.Second)
			r.warned()
		})
	}
}

// checkRestamped holds guesses, shifted the way the store does, against true
// time, and that they have one base.
func checkRestamped(t *testing.T, m *fake, a probes.Anchor, guesses []probes.Stamp) {
	t.Helper()
	base := guesses[0].Wall - guesses[0].Uptime.Milliseconds()
	for i, g := range guesses {
		if !g.Guess || g.Boot != a.Boot || g.Wall-g.Uptime.Milliseconds() != base {
			t.Fatalf("guess %d is %+v, base %d", i, g, base)
		}
		if wall := g.Wall + a.Offset - base; wall != a.Offset+g.Uptime.Milliseconds() {
			t.Fatalf("guess %d: shifted to %d", i, wall)
		}
		wall := time.UnixMilli(g.Wall + a.Offset - base)
		drifted := (guesses[len(guesses)-1].Uptime - g.Uptime) / drift
		if off := wall.Sub(m.at(g.Uptime)); off.Abs() > a.Error+drifted+2*time.Millisecond {
			t.Fatalf("guess %d restamped is off by %v, more than %v", i, off, a.Error)
		}
	}
}

func TestGuessesStartAtTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(-today.Sub(time.Unix(0, 0)), true), Options{})
		if s := r.Now(); !s.Guess || s.Wall != built.UnixMilli() {
			t.Errorf("stamp %+v", s)
		}
		r.warned("kernel says that it is 1970-01-01", "before 2026-03-01") // synced, and yet not believed
		r.m.ntp.Synced = false
		r.look()
		r.warned() // it claims nothing any more
		r.m.set(0, true)
		r.run()
		if !r.Trusted() || r.Now().Guess {
			t.Error("a step to true time by the daemon was not seen at once")
		}
		r.warned()
		if s := r.State(); s.Steps != 1 {
			t.Errorf("%d steps", s.Steps)
		}
	})
}

// TestEnvironmentDecides: a kernel that is synced and wrong is trusted until
// the environment, proved, contradicts it.
func TestEnvironmentDecides(t *testing.T) {
	for name, off := range map[string]time.Duration{"slow": -2 * time.Hour, "fast": 2 * time.Hour} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, newFake(off, true), Options{})
			r.near(off, 10*time.Millisecond)
			if err := r.Offer(r.date(false, 0)); err == nil {
				t.Error("the contradiction is not told")
			}
			r.warned("differs by 2h0m0s")
			r.near(off, 10*time.Millisecond) // an ordinary answer only raises a doubt
			r.run()
			if n := r.asked.Load(); n != 1 {
				t.Fatalf("asked %d times", n)
			}
			r.near(0, time.Second)
			if s := r.State(); s.Source != Environment || (s.SystemOff-off).Abs() > time.Second {
				t.Errorf("state %+v", s)
			}
			r.warned("the time of kernel differs by 2h0m0s")
			if len(r.anchors) != 2 || r.anchors[1].Source != Environment {
				t.Errorf("anchors %+v", r.anchors)
			}
			r.m.set(90*time.Second, true) // better, not good enough
			time.Sleep(time.Minute)
			synctest.Wait()
			r.near(0, time.Second)
			r.m.set(5*time.Second, true)
			time.Sleep(time.Minute)
			synctest.Wait()
			r.near(5*time.Second, 10*time.Millisecond) // believed again, and followed
			r.warned()
			if s := r.State(); s.Source != Kernel || s.Steps != 2 || r.asked.Load() != 1 {
				t.Errorf("state %+v, asked %d times", s, r.asked.Load())
			}
		})
	}
}

// TestDoubt: one word is enough to have the environment asked, at most once a
// minute.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(365*24*time.Hour, true), Options{}) // certificates do not hold there
		r.run()
		for range 100 {
			r.Doubt()
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := r.asked.Load(); n != 2 {
			t.Errorf("asked %d times in 100 s", n)
		}
		r.near(0, time.Second)
	})
}

func TestStepWhileTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, true), Options{})
		r.run()
		r.m.set(3*time.Hour, false) // by hand
		synctest.Wait()
		if s := r.State(); s.Steps != 1 || s.SystemOff != 3*time.Hour || !s.Trusted || s.Kernel != "unsynced" {
			t.Errorf("state %+v", s)
		}
		r.near(0, 10*time.Millisecond)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		r.near(0, 10*time.Millisecond)
		if s := r.State(); s.Error < 8*time.Second || s.Error > 9*time.Second { // 100 ppm
			t.Errorf("the error after a day without sync is %v", s.Error)
		}
		r.m.set(0, true)
		synctest.Wait()
		if s := r.State(); s.Steps != 2 || s.Error > 10*time.Millisecond || len(r.anchors) != 1 {
			t.Errorf("state %+v, anchors %+v", s, r.anchors)
		}
		r.m.set(time.Minute, true) // the daemon says so
		synctest.Wait()
		r.near(time.Minute, 10*time.Millisecond)
		if len(r.anchors) != 2 {
			t.Errorf("anchors %+v", r.anchors)
		}
	})
}

// TestDateGoesBack: no proof leads back below what the environment has said.
func TestDateGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, false), Options{})
		if err := r.Offer(r.date(true, 0)); err != nil {
			t.Fatal(err)
		}
		if lag := r.m.now().Sub(r.Floor()); lag < apart || lag > apart+2*time.Second {
			t.Errorf("the floor lags by %v", lag)
		}
		if err := r.Offer(r.date(true, -10*time.Minute)); err == nil || !strings.Contains(err.Error(), "before") {
			t.Errorf("taken: %v", err)
		}
		r.near(0, time.Second)
		r.warned("environment says that it is")
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := r.Offer(r.date(false, 0)); err != nil {
			t.Fatal(err)
		}
		r.warned()
		next := newRig(t, newFake(0, false), Options{Floor: r.Floor()})
		if err := next.Offer(next.date(true, -10*time.Minute)); err == nil || next.Trusted() {
			t.Errorf("the saved floor did not hold: %v", err)
		}
	})
}

func TestSavedAnchor(t *testing.T) {
	saved := probes.Anchor{Boot: probes.BootID{1}, Offset: today.UnixMilli(), Error: time.Second, Source: Environment}
	other, early := saved, saved
	other.Boot = probes.BootID{2}
	early.Offset = built.Add(-time.Hour).UnixMilli()
	for _, c := range []struct {
		name    string
		saved   probes.Anchor
		trusted bool
		warning []string
	}{
		{"of this boot", saved, true, nil},
		{"of another boot", other, false, nil},
		{"none", probes.Anchor{}, false, nil},
		{"below the floor", early, false, []string{"saved earlier in this boot"}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			r := newRig(t, newFake(-2*time.Hour, false), Options{Saved: c.saved})
			if r.Trusted() != c.trusted || r.Now().Guess == c.trusted || len(r.anchors) != 0 {
				t.Fatalf("state %+v", r.State())
			}
			r.warned(c.warning...)
			if !c.trusted {
				return
			}
			r.near(0, 10*time.Millisecond)
			r.m.set(-2*time.Hour, true) // the environment has spoken in this boot: it still decides
			r.run()
			time.Sleep(time.Minute)
			synctest.Wait()
			r.near(0, 10*time.Millisecond)
			r.warned("the time of kernel differs by 2h0m0s")
		})
	}
}

// TestSmallCorrectionsAreSpread: stamps never run backwards for them.
func TestSmallCorrectionsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, false), Options{})
		if err := r.Offer(r.date(true, 900*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Microsecond) // the correction does not start with a millisecond
		last := r.Now().Wall
		if err := r.Offer(r.ntp(0)); err != nil {
			t.Fatal(err)
		}
		for range 40_000 {
			time.Sleep(537 * time.Microsecond)
			wall := r.Now().Wall
			if wall < last {
				t.Fatalf("stamps ran back from %d to %d", last, wall)
			}
			last = wall
			if off := r.off().Abs(); off > r.State().Error+2*time.Millisecond {
				t.Fatalf("off by %v, said %v", off, r.State().Error)
			}
		}
		r.near(0, 2*time.Millisecond)
		if s := r.State(); s.Source != NTP || len(r.anchors) != 2 {
			t.Errorf("state %+v, anchors %+v", s, r.anchors)
		}
	})
}

// TestNoiseIsNotFollowed: readings that are as coarse as what is known move
// nothing while both can be true; where they cannot, the newer counts.
func TestNoiseIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		saved := probes.Anchor{Boot: probes.BootID{1}, Offset: today.UnixMilli(), Error: time.Second, Source: Kernel}
		r := newRig(t, newFake(0, false), Options{Saved: saved})
		for _, off := range []time.Duration{500, -500, 900} {
			if err := r.Offer(r.date(false, off*time.Millisecond)); err != nil {
				t.Error(err)
			}
			r.near(0, 2*time.Millisecond)
		}
		if err := r.Offer(r.date(false, 30*time.Second)); err != nil {
			t.Error(err)
		}
		r.near(30*time.Second, 2*time.Millisecond)
		if len(r.anchors) != 1 || r.State().Source != Environment {
			t.Errorf("anchors %+v, state %+v", r.anchors, r.State())
		}
	})
}

func TestRefusedReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(0, false), Options{})
		good := r.ntp(0)
		for name, spoil := range map[string]func(*Reading){
			"nobody":        func(g *Reading) { g.Source = "fortune teller" },
			"too uncertain": func(g *Reading) { g.Error = 2 * time.Minute },
			"negative":      func(g *Reading) { g.Error = -1 },
			"below":         func(g *Reading) { g.Time = built.Add(-time.Second) },
			"1970":          func(g *Reading) { g.Time = time.Unix(5, 0) },
			"unproved":      func(g *Reading) { g.Source = Environment },
		} {
			bad := good
			spoil(&bad)
			if err := r.Offer(bad); err == nil || r.Trusted() {
				t.Errorf("%s was believed", name)
			}
		}
		if err := r.Offer(good); err != nil || !r.Trusted() {
			t.Error(err)
		}
	})
}

func TestKernelUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFake(0, true)
		m.refused = true
		r := newRig(t, m, Options{})
		if s := r.State(); s.Trusted || s.Kernel != "unknown" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestAskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("no route")
		r := newRig(t, newFake(0, false), Options{Ask: func(_ context.Context, floor time.Time) (Reading, error) {
			if !floor.Equal(built) {
				t.Errorf("asked with floor %v", floor)
			}
			return Reading{}, boom
		}})
		if err := r.Ask(t.Context()); !errors.Is(err, boom) || r.Trusted() {
			t.Errorf("got %v", err)
		}
		r.opts.Ask = nil
		if err := r.Ask(t.Context()); err == nil || !strings.Contains(err.Error(), "NTP") {
			t.Errorf("got %v", err)
		}
	})
}

// TestOfThisMachine runs on the real clocks.
func TestOfThisMachine(t *testing.T) {
	c, err := New(Options{Floor: built, Log: zerolog.Nop()})
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	a, b := c.Now(), c.Now()
	if a.Boot != b.Boot || b.Uptime < a.Uptime || a.Guess == c.Trusted() {
		t.Errorf("stamps %+v, %+v", a, b)
	}
	// Neither of the two clocks is far from the other right now.
	if off := time.Until(b.Time()); off.Abs() > 10*time.Second && !time.Now().Before(built) {
		t.Errorf("a stamp is off by %v", off)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
