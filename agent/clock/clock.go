// Package clock tells what time it is, and whether that is to be trusted. A
// gateway without a battery boots in 1970; until a source that can be trusted
// has told the time, stamps are guesses that keep their order.
package clock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

// Options of a Clock.
type Options struct {
	Machine Machine   // nil: this one
	Floor   time.Time // no time before it is believed: the build's, or a later one that was saved
	// Saved is the anchor that was told last, by any process. It counts if it
	// is of this boot: time is then trusted from the start.
	Saved probes.Anchor
	// OnAnchor is called before the first trusted stamp is given, and again
	// when time was corrected by 100 ms or more; the correction takes effect
	// when it returns. New may call it. It must not call Offer or Ask.
	OnAnchor func(probes.Anchor)
	// Ask reads the time from the environment, proved by its certificate, as
	// ReadDate does; floor is the earliest time to accept. Nil: there is none.
	Ask        func(ctx context.Context, floor time.Time) (Reading, error)
	NTPServers []string // host or host:port; asked over SNTP. Empty: none
	// Dial reaches the servers; nil: a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  zerolog.Logger
}

// Clock is the machine's clock with trust. It is a probes.Clock, and is safe
// for use by several goroutines.
type Clock struct {
	opts    Options
	machine Machine
	boot    probes.BootID
	base    int64 // guesses are base + uptime, milliseconds
	belief  atomic.Pointer[belief]
	turn    sync.Mutex // one reading at a time is weighed
	lastOff int64      // wall clock less uptime at the last look; guarded by turn
	doubts  chan struct{}
	query   func(ctx context.Context, server string) (Reading, error)
}

// New looks at the saved anchor and at the kernel once, so that stamps are
// trusted from the first one where that is possible.
func New(o Options) (*Clock, error) {
	if o.Machine == nil {
		id, err := board.BootID()
		if err != nil {
			return nil, err
		}
		o.Machine = boardMachine{boot: id}
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.OnAnchor == nil {
		o.OnAnchor = func(probes.Anchor) {}
	}
	c := &Clock{opts: o, machine: o.Machine, boot: o.Machine.Boot(), doubts: make(chan struct{}, 1)}
	c.query = c.querySNTP
	start := take(c.machine)
	c.lastOff = start.offset()
	if start.wall.Before(o.Floor) {
		start.wall = o.Floor
	}
	c.base = start.offset()
	b := &belief{floor: o.Floor, doubted: map[string]bool{}, warnings: map[string]string{}}
	b.remember(o.Saved, c.boot, start.uptime)
	c.belief.Store(b)
	c.look()
	return c, nil
}

// remember takes up an anchor that an earlier process of this boot has told.
// How old it is was not saved, so it may have drifted since the boot.
func (b *belief) remember(saved probes.Anchor, boot probes.BootID, now time.Duration) {
	if saved.Source == "" || saved.Boot != boot {
		return
	}
	e := estimate{source: saved.Source, saved: true, offset: saved.Offset, error: saved.Error + now/drift, at: now}
	if at := e.time(now); at.Add(e.error).Before(b.floor) {
		b.warnings["saved"] = fmt.Sprintf("the time saved earlier in this boot says %s, which is before %s, and is left aside", text(at), text(b.floor))
		return
	}
	b.follow(e, now)
	b.anchor, b.told = saved, true
	if saved.Source == Environment {
		b.heard, b.judge = true, e
	}
}

// Now stamps this moment.
func (c *Clock) Now() probes.Stamp {
	b := c.belief.Load()
	uptime := c.machine.Uptime()
	s := probes.Stamp{Boot: c.boot, Uptime: uptime, Guess: !b.trusted}
	if b.trusted {
		s.Wall = b.offset(uptime) + uptime.Milliseconds()
	} else {
		s.Wall = c.base + uptime.Milliseconds()
	}
	return s
}

// Trusted says whether a trusted source has told the time. It stays true.
func (c *Clock) Trusted() bool { return c.belief.Load().trusted }

// Time is the true time, the zero time while it is not known.
func (c *Clock) Time() time.Time {
	t, trusted := c.Best()
	if !trusted {
		return time.Time{}
	}
	return t
}

// Best is the true time if it is known, else the best guess, which is not
// before the floor.
func (c *Clock) Best() (t time.Time, trusted bool) {
	b := c.belief.Load()
	uptime := c.machine.Uptime()
	if b.trusted {
		return b.time(uptime), true
	}
	return time.UnixMilli(c.base).Add(uptime), false
}

// TLSTime is for tls.Config.Time: certificates are held against the time that
// is trusted, not against the machine's clock.
func (c *Clock) TLSTime() time.Time {
	t, _ := c.Best()
	return t
}

// Floor is the newest time that is surely past: no time before it will be
// believed. It is to be saved, and to come back as Options.Floor.
func (c *Clock) Floor() time.Time { return c.belief.Load().floor }

// State is for people.
type State struct {
	Trusted bool
	Source  string        // who told: kernel, ntp, environment; "" while untrusted
	Since   time.Time     // when this process came to trust time
	Error   time.Duration // how far Time may be off
	// SystemOff is the machine's wall clock less true time, 0 while untrusted.
	SystemOff time.Duration
	Kernel    string // what the kernel says of its wall clock: synced, unsynced, unknown
	Steps     int64  // how often the machine's wall clock was set
	Floor     time.Time
	Warnings  []string // what needs a person's eye, while it lasts
}

// State tells how things stand.
func (c *Clock) State() State {
	b := c.belief.Load()
	s := State{Trusted: b.trusted, Kernel: b.kernel, Steps: b.steps, Floor: b.floor}
	for _, kind := range slices.Sorted(maps.Keys(b.warnings)) {
		s.Warnings = append(s.Warnings, b.warnings[kind])
	}
	if !b.trusted {
		return s
	}
	now := take(c.machine)
	s.Source, s.Error = b.current.source, b.error(now.uptime)
	s.Since = b.current.time(b.since)
	s.SystemOff = now.wall.Sub(b.time(now.uptime)).Round(time.Millisecond)
	return s
}

// Offer hands in what a source says. An error says why it is not believed; nil
// means that it was taken or agrees with what is trusted. A reading of the
// environment that contradicts trusted time and is not Verified makes Run ask.
func (c *Clock) Offer(r Reading) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.offer(r)
}

// offer is Offer with the turn held.
func (c *Clock) offer(r Reading) error {
	now := c.machine.Uptime()
	old := c.belief.Load()
	b := old.clone()
	v := b.weigh(r, now)
	if v.taken {
		if anchor, due := b.due(c.boot, now); due {
			c.opts.OnAnchor(anchor)
		}
	}
	c.belief.Store(b)
	if v.doubt {
		c.Doubt()
	}
	c.report(r, v, old.trusted)
	return v.reason
}

func (c *Clock) report(r Reading, v verdict, before bool) {
	switch {
	case v.taken && !before:
		c.opts.Log.Info().Str("source", r.Source).Time("it_is", r.Time.UTC()).Stringer("error", r.Error).Msg("time is trusted now")
	case v.taken && v.moved.Abs() > slewMost:
		c.opts.Log.Warn().Str("source", r.Source).Str("by", v.moved.String()).Msg("time was corrected")
	}
}

// Doubt says that something speaks against trusted time, such as a certificate
// of the environment that is not valid at it: Run asks the environment.
func (c *Clock) Doubt() {
	select {
	case c.doubts <- struct{}{}:
	default: // is doubted already
	}
}

var errNobody = errors.New("no environment is configured that could tell the time: set the machine's clock by NTP, or name ntp servers")

// Ask asks the environment for the time and offers what it says. It returns
// nil when time is trusted.
func (c *Clock) Ask(ctx context.Context) error {
	if c.opts.Ask == nil {
		return errNobody
	}
	r, err := c.opts.Ask(ctx, c.Floor())
	if err != nil {
		return fmt.Errorf("ask the environment for the time: %w", err)
	}
	return c.Offer(r)
}
