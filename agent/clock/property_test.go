package clock

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// TestTruthfulSources: whatever honest sources say in whatever order, stamps
// are as true as the state says, and guesses are restamped as well as the
// anchor says.
func TestTruthfulSources(t *testing.T) {
	for seed := range uint64(60) {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			m := newFake(time.Duration(rnd.Int64N(int64(8*time.Hour)))-4*time.Hour, false)
			m.ppm = rnd.Float64()*180 - 90
			r := newRig(t, m, Options{})
			guesses := []probes.Stamp{r.Now()}
			for range 200 {
				time.Sleep(time.Duration(rnd.ExpFloat64() * float64(5*time.Minute)))
				synctest.Wait()
				if s := r.Now(); s.Guess {
					guesses = append(guesses, s)
				}
				r.honest(rnd)
				if !r.Trusted() {
					continue
				}
				if off, most := r.off(), r.State().Error; off.Abs() > most+2*time.Millisecond {
					t.Fatalf("a stamp is off by %v, the state says %v by %s", off, most, r.State().Source)
				}
			}
			if len(r.anchors) == 0 {
				t.Fatal("no anchor")
			}
			checkRestamped(t, m, r.anchors[0], guesses)
		})
	}
}

// honest lets one source say something true within its error.
func (r *rig) honest(rnd *rand.Rand) {
	within := func(d time.Duration) time.Duration { return time.Duration((rnd.Float64()*2 - 1) * float64(d)) }
	switch rnd.IntN(6) {
	case 0:
		g := r.date(rnd.IntN(2) == 0, 0)
		g.Error = time.Second + time.Duration(rnd.Int64N(int64(5*time.Second)))
		g.Time = g.Time.Add(within(g.Error - 2*time.Millisecond))
		_ = r.Offer(g)
	case 1:
		_ = r.Offer(r.ntp(within(18 * time.Millisecond)))
	case 2:
		r.m.off, r.m.ntp.Synced = within(5*time.Millisecond), true
		r.look()
	case 3: // set by hand
		r.m.off, r.m.ntp.Synced = within(time.Hour), false
		r.look()
	}
}

// TestLiars: once the environment has proved its time, no kernel and no NTP
// server leads stamps further from it than the rule allows.
func TestLiars(t *testing.T) {
	for seed := range uint64(40) {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			r := newRig(t, newFake(0, false), Options{})
			lie := func() time.Duration {
				return time.Duration((rnd.Float64()*2 - 1) * float64([]time.Duration{time.Second, 5 * time.Minute, 300 * 24 * time.Hour}[rnd.IntN(3)]))
			}
			for range 100 {
				time.Sleep(time.Duration(rnd.Int64N(int64(time.Minute))))
				synctest.Wait()
				r.m.off, r.m.ntp.Synced = lie(), true
				r.look()
				_ = r.Offer(r.ntp(lie()))
				if floor := r.Floor(); floor.After(r.m.now()) {
					t.Fatalf("a lie lifted the floor to %v", floor)
				}
				if rnd.IntN(4) == 0 {
					if err := r.Ask(t.Context()); err != nil {
						t.Fatalf("the environment was refused: %v", err)
					}
				}
				if b := r.belief.Load(); b.heard && r.off().Abs() > apart+2*b.judge.errorAt(r.m.Uptime()) {
					t.Fatalf("off by %v", r.off())
				}
			}
		})
	}
}
