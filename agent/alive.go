package agent

import (
	"fmt"
	"sync"
	"time"
)

// Bounds of what the loops do between two signs of life.
const (
	// idleBeat is the longest that a loop waits for work without one.
	idleBeat = 10 * time.Second
	// beatGrace is how late a sign may be on a slow machine.
	beatGrace = 30 * time.Second
)

// alive knows which of the loops that matter are well. Each tells by itself how
// long it may be silent. Whatever feeds a watchdog asks here, systemd's and the
// machine's alike.
//
// What a watchdog cannot mend is not looked at: a broker, a device or a disk
// that refuses is no reason to start anew.
type alive struct {
	mu      sync.Mutex
	pulses  []*pulse
	missing int           // that gave no sign yet
	begun   chan struct{} // closed once all gave one
}

// pulse is the sign of life of one loop.
type pulse struct {
	of    *alive
	name  string
	heard time.Time // zero: not yet
	due   time.Time // the next sign
}

// newAlive watches loops of these names.
func newAlive(names ...string) *alive {
	a := &alive{missing: len(names), begun: make(chan struct{})}
	for _, name := range names {
		a.pulses = append(a.pulses, &pulse{of: a, name: name})
	}
	return a
}

// Beat gives what the loop of that name calls: it is well, and says so again
// within the given time.
func (a *alive) Beat(name string) func(within time.Duration) {
	for _, p := range a.pulses {
		if p.name == name {
			return p.beat
		}
	}
	panic("no loop " + name + " is watched")
}

func (p *pulse) beat(within time.Duration) {
	now := time.Now()
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.heard.IsZero() {
		if p.of.missing--; p.of.missing == 0 {
			close(p.of.begun)
		}
	}
	p.heard, p.due = now, now.Add(within)
}

// Begun is closed once every loop runs.
func (a *alive) Begun() <-chan struct{} { return a.begun }

// Stuck names the loops whose sign of life is overdue, and since when nothing
// was heard of them.
func (a *alive) Stuck() []string {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, p := range a.pulses {
		if !p.heard.IsZero() && now.After(p.due) {
			out = append(out, fmt.Sprintf("%s (silent for %v)", p.name, now.Sub(p.heard).Truncate(time.Second)))
		}
	}
	return out
}
