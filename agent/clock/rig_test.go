package clock

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

var (
	built = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) // the floor of the tests
	today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// fake is a machine that lives on the time of a synctest bubble.
type fake struct {
	boot    probes.BootID
	started time.Time     // of the bubble's clock, when the machine was booted
	truth   time.Time     // the true time of the boot
	ppm     float64       // true seconds that the uptime misses in a million
	mu      sync.Mutex    // guards what follows
	off     time.Duration // the wall clock less true time
	ntp     board.NTPState
	refused bool
	stepped chan struct{}
}

func newFake(off time.Duration, synced bool) *fake {
	return &fake{
		boot: probes.BootID{1}, started: time.Now().Add(-10 * time.Second), truth: today,
		off: off, ntp: board.NTPState{Synced: synced, MaxError: 5 * time.Millisecond}, stepped: make(chan struct{}, 1),
	}
}

func (f *fake) Boot() probes.BootID   { return f.boot }
func (f *fake) Uptime() time.Duration { return time.Since(f.started) }
func (f *fake) at(u time.Duration) time.Time {
	return f.truth.Add(u + time.Duration(float64(u)*f.ppm/1e6))
}
func (f *fake) now() time.Time { return f.at(f.Uptime()) }
func (f *fake) Wall() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now().Add(f.off)
}

func (f *fake) NTP() (board.NTPState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused {
		return board.NTPState{}, errors.New("refused")
	}
	return f.ntp, nil
}

func (f *fake) WatchSteps(ctx context.Context, fn func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.stepped:
			fn()
		}
	}
}

// set sets the wall clock; that clears the kernel's NTP state unless a daemon
// does it.
func (f *fake) set(off time.Duration, synced bool) {
	f.mu.Lock()
	f.off, f.ntp.Synced = off, synced
	f.mu.Unlock()
	f.stepped <- struct{}{}
}

// rig is a clock on a fake machine and what it has told.
type rig struct {
	*Clock
	t       *testing.T
	m       *fake
	anchors []probes.Anchor
	asked   atomic.Int64
}

func newRig(t *testing.T, m *fake, o Options) *rig {
	t.Helper()
	r := &rig{t: t, m: m}
	o.Machine, o.Log = m, zerolog.Nop()
	if o.Floor.IsZero() {
		o.Floor = built
	}
	o.OnAnchor = func(a probes.Anchor) {
		if r.Clock != nil && o.Saved.Source == "" && len(r.anchors) == 0 && !r.Now().Guess {
			t.Error("a trusted stamp came before the first anchor")
		}
		r.anchors = append(r.anchors, a)
	}
	if o.Ask == nil {
		o.Ask = func(context.Context, time.Time) (Reading, error) {
			r.asked.Add(1)
			return r.date(true, 0), nil
		}
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Clock = c
	return r
}

// run runs the clock until the test ends.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	synctest.Wait()
}

// date is what the environment says, off by so much.
func (r *rig) date(verified bool, off time.Duration) Reading {
	return Reading{Source: Environment, Time: r.m.now().Add(off), Uptime: r.m.Uptime(), Error: time.Second, Verified: verified}
}

func (r *rig) ntp(off time.Duration) Reading {
	return Reading{Source: NTP, Time: r.m.now().Add(off), Uptime: r.m.Uptime(), Error: 20 * time.Millisecond}
}

// off is how far a stamp taken now is from true time.
func (r *rig) off() time.Duration { return r.Now().Time().Sub(r.m.now()) }

func (r *rig) near(want, within time.Duration) {
	r.t.Helper()
	if got := r.off(); (got - want).Abs() > within {
		r.t.Errorf("a stamp is off by %v, want %v", got, want)
	}
}

func (r *rig) warned(parts ...string) {
	r.t.Helper()
	all := strings.Join(r.State().Warnings, "\n")
	if len(parts) == 0 && all != "" {
		r.t.Errorf("warnings: %s", all)
	}
	for _, p := range parts {
		if !strings.Contains(all, p) {
			r.t.Errorf("no warning with %q in %q", p, all)
		}
	}
}

func bubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}
