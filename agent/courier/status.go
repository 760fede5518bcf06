package courier

import (
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
)

// RelayInfo is one relay that has told of itself.
type RelayInfo struct {
	ID      string
	State   string // online, draining, stopped, lost; "" not known
	Version string
	Lost    bool // somebody has declared that its store will not come back
	Slow    bool // it wants nothing for now
}

// Relay is how the custody of blocks stands.
type Relay struct {
	Broker    string // in use, or tried next
	Connected bool
	Relays    []RelayInfo
	NoneSince time.Time // that no relay is online; zero while one is

	Waiting  int // blocks that are to leave
	InFlight int // that have left without an answer yet
	Doubtful int // that may have left earlier; relays are asked
	Stored   int // that relays have on their disks
	Points   int64
	LastAck  time.Time

	Resends    int64 // blocks that left again
	Duplicates int64 // answers about blocks that were settled, or told before
	TwoRelays  int64 // blocks that two relays have: they may be delivered twice
	Adjusted   int64 // points that a relay's counts did not fit
	Rejected   int64 // points that relays will never take
	Malformed  int64 // messages that were not understood

	CertExpires time.Time // of the client certificate; zero: there is none, or not known yet
}

// State is what the courier is doing, in the words of a drain.
func (c *Courier) State() drain.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Lanes, s.Cargos = slices.Clone(s.Lanes), slices.Clone(s.Cargos)
	s.BytesWire = c.moved.sent.Load() + c.moved.received.Load()
	return s
}

// Relay is how the custody of blocks stands.
func (c *Courier) Relay() Relay {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.relay
	r.Relays = slices.Clone(r.Relays)
	return r
}

// update changes the state under its lock.
func (c *Courier) update(change func(s *drain.State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.state)
}

func enter(s *drain.State, word string, now time.Time) {
	if s.State != word {
		s.State, s.Since = word, now
	}
}

// down notes why nothing leaves.
func (c *Courier) down(word, cause string) {
	now := c.opts.Now()
	next := now.Add(time.Until(c.link.next))
	c.update(func(s *drain.State) {
		enter(s, word, now)
		s.LastError, s.LastErrorAt, s.NextTry, s.UpSince = cause, now, next, time.Time{}
	})
	if c.log.downAs != word {
		c.log.downAs = word
		c.opts.Log.Warn().Str("state", word).Str("broker", c.broker()).Str("cause", cause).Msg("uplink is down; points are kept")
	}
}

// noted shows an error that does not stop anything.
func (c *Courier) noted(cause string) {
	c.update(func(s *drain.State) { s.LastError, s.LastErrorAt = cause, c.opts.Now() })
}

// storeFailed notes that the buffer does not give or take.
func (c *Courier) storeFailed(what string, err error) {
	cause := fmt.Sprintf("%s: %v", what, err)
	c.noted(cause)
	c.log.once(c, "store", cause, "the buffer does not give or take")
}

// lively notes that a relay has taken something.
func (c *Courier) lively(time.Time) {
	now := c.opts.Now()
	c.update(func(s *drain.State) {
		s.LastSuccess = now
		if s.UpSince.IsZero() {
			s.UpSince = now
		}
	})
	if c.log.downAs != "" {
		c.log.downAs = ""
		c.opts.Log.Info().Str("broker", c.broker()).Msg("uplink is up")
	}
}

// word is what the courier does now. nil cause: what was told before stays.
func (c *Courier) word(mono time.Time) (word, cause string) {
	open, _ := c.relays.open(mono)
	flight, _ := c.table.flight()
	switch {
	case !c.trusted():
		return drain.Clock, c.clockless()
	case !c.link.up && c.link.refused:
		return drain.Hold, ""
	case !c.link.up:
		return drain.Backoff, ""
	case c.relays.online() == 0 && mono.Sub(c.gates.joined) < 2*settleIn:
		return "", ""
	case c.relays.online() == 0:
		return drain.Backoff, "no relay is online at " + c.broker() + "; points are kept until one is: start `edgehold relay` at the hub"
	case flight > 0:
		return drain.Sending, ""
	case len(c.table.all) >= mostStored:
		return drain.Backoff, fmt.Sprintf("relays hold %d blocks that are not delivered; see that they reach the environment", c.table.blocks[stored])
	case !open:
		return drain.Backoff, "the relay asks to wait: it has no room, or is behind"
	}
	return drain.Idle, ""
}

func (c *Courier) clockless() string {
	cause := "the time is not known yet, so no point is sent; a server for clock.ntp, or an RTC, would tell it"
	for _, id := range c.relays.ids() {
		if x := c.relays.all[id]; x.online() && !x.told.IsZero() {
			return cause + fmt.Sprintf(" (relay %s, which cannot prove it, said %s)", id, x.told.UTC().Format("2006-01-02 15:04 MST"))
		}
	}
	return cause
}

// show publishes what the goroutine of Run knows.
func (c *Courier) show() {
	mono, now := time.Now(), c.opts.Now()
	word, cause := c.word(mono)
	usage := c.allowance.Usage(now)
	r := c.custody(now, mono)
	c.mu.Lock()
	defer c.mu.Unlock()
	if word != "" {
		enter(&c.state, word, now)
	}
	if cause != "" && cause != c.state.LastError {
		c.state.LastError, c.state.LastErrorAt = cause, now
	}
	if word != drain.Idle && word != drain.Sending && word != "" {
		c.state.UpSince = time.Time{}
	} else {
		c.state.NextTry = time.Time{}
	}
	c.state.Rate, c.state.Batch, c.state.Budget = c.rate.known, c.target.BlockSize, usage
	c.state.SpreadUntil = time.Time{}
	if mono.Before(c.gates.spread) {
		c.state.SpreadUntil = now.Add(c.gates.spread.Sub(mono))
	}
	own := drain.CargoState{Cargo: "blocks", State: drain.Idle}
	if c.state.State == drain.Backoff || c.state.State == drain.Hold {
		own = drain.CargoState{Cargo: "blocks", State: c.state.State, LastError: c.state.LastError, LastErrorAt: c.state.LastErrorAt, NextTry: c.state.NextTry}
	}
	c.state.Cargos = []drain.CargoState{own}
	if r.LastAck.IsZero() {
		r.LastAck = c.relay.LastAck
	}
	c.relay = r
}

// custody counts the blocks.
func (c *Courier) custody(now, mono time.Time) Relay {
	r := Relay{
		Broker: c.broker(), Connected: c.link.up, CertExpires: c.link.expires,
		Resends: c.count.resends, Duplicates: c.count.twice, TwoRelays: c.count.again,
		Adjusted: c.count.adjusted, Rejected: c.count.rejected, Malformed: c.count.malformed,
	}
	for _, id := range c.relays.ids() {
		x := c.relays.all[id]
		r.Relays = append(r.Relays, RelayInfo{ID: id, State: x.state, Version: x.version, Lost: x.lost, Slow: mono.Before(x.slow)})
	}
	if !c.gates.alone.IsZero() {
		r.NoneSince = now.Add(-mono.Sub(c.gates.alone))
	}
	if !c.table.heard.IsZero() {
		r.LastAck = now.Add(-mono.Sub(c.table.heard))
	}
	n, points := &c.table.blocks, &c.table.points
	r.Waiting, r.InFlight, r.Doubtful, r.Stored = n[claiming]+n[ready], n[sent], n[doubtful], n[stored]
	r.Points = points[sent] + points[doubtful] + points[stored]
	return r
}

// journal is what the log knows already.
type journal struct {
	downAs string
	told   map[string]string
}

// once logs a warning, unless the last one of its kind had the same detail.
func (j *journal) once(c *Courier, kind, detail, message string) {
	if last, known := j.told[kind]; known && last == detail {
		return
	}
	if j.told == nil || len(j.told) > 100 {
		j.told = make(map[string]string)
	}
	j.told[kind] = detail
	c.opts.Log.Warn().Str("detail", detail).Msg(message)
}

func (j *journal) linkUp(c *Courier) {
	c.opts.Log.Info().Str("broker", c.broker()).Msg("connected to the broker")
}
