package drain

import (
	"fmt"
	"slices"
	"time"
)

// spreadAfter is how long a server must have been gone for its sites to come
// back one after the other.
const spreadAfter = time.Minute

// journal is what the log knows already.
type journal struct {
	downAs string // the state of the uplink, "" while it is up
	downAt time.Time
	reason string         // the last refusal
	cargo  [cargos]string // the states of events and logs, "" while they flow
}

// State returns the current state. It may be called from any goroutine.
func (d *Drain) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state
	s.Lanes, s.Cargos, s.Late = slices.Clone(s.Lanes), slices.Clone(s.Cargos), slices.Clone(d.ages[:])
	return s
}

// update changes the state under its lock.
func (d *Drain) update(change func(s *State)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.state)
}

// enter moves to a state; Since stays where it is the same already.
func (s *State) enter(word string, now time.Time) {
	if s.State != word {
		s.State, s.Since = word, now
	}
}

// publish shows what the loop knows.
func (d *Drain) publish() {
	now := d.opts.Now()
	var cargos []CargoState
	if d.sender != nil {
		for _, l := range []lane{laneLive, laneEvents, laneLogs} {
			c := l.cargo(d.sender.target.Protocol)
			word := CargoState{Cargo: c.String()}
			if l == laneEvents {
				word.Cargo = events.String() // over OTLP they share the gate of logs
			}
			cargos = append(cargos, d.gates.cargo[c].state(word))
		}
	}
	usage := d.budget.usage(now)
	perDay, full := d.meter.perDay(now)
	d.update(func(s *State) {
		s.Cargos, s.Breaker, s.Budget = cargos, d.gates.breaker(), usage
		s.PointsPerDay, s.PointsPerDayAll = perDay, full
		s.Rate, s.Batch = d.shaper.rate(), d.shaper.size()
		s.SpreadUntil = time.Time{}
		if now.Before(d.spreadUntil) {
			s.SpreadUntil = d.spreadUntil
		}
	})
}

// main is the gate that keeps metrics back, nil while none does, and the word
// for that.
func (d *Drain) main() (*gate, string) {
	own := &d.gates.cargo[laneLive.cargo(d.sender.target.Protocol)]
	switch {
	case own.held:
		return own, Hold
	case d.store.failures > 0:
		return &d.store, Backoff
	case d.gates.link.failures > 0:
		return &d.gates.link, Backoff
	case own.failures > 0:
		return own, Backoff
	}
	return nil, ""
}

// sending notes that a post leaves.
func (d *Drain) sending() {
	if at, _ := d.main(); at == nil {
		d.update(func(s *State) { s.enter(Sending, d.opts.Now()) })
	}
}

// rest notes that there is nothing to do for now. An uplink that is down stays
// so: only a post that is taken shows that it is up.
func (d *Drain) rest(now time.Time) {
	at, word := d.main()
	d.update(func(s *State) {
		if at == nil {
			s.enter(Idle, now)
			return
		}
		s.enter(word, now)
		if s.NextTry = at.next; !now.Before(at.next) {
			s.NextTry = now.Add(idleTick)
		}
	})
}

// clockless notes that nothing can be sent for lack of time.
func (d *Drain) clockless(now time.Time, cause string) {
	d.update(func(s *State) {
		s.enter(Clock, now)
		s.UpSince = time.Time{}
		s.LastError, s.LastErrorAt, s.NextTry = cause, now, d.gates.link.next
	})
	d.down(Clock, cause, now)
}

// count notes a post, whatever came of it.
func (d *Drain) count(x *load, e exchange, o outcome, text int) {
	now := d.opts.Now()
	if e.wire > 0 { // a handshake that fails costs too
		d.budget.spent(now, e.wire, x.lane == laneLive)
		d.opts.Store.Keep(noteBudget, d.budget.marshal())
	}
	d.update(func(s *State) {
		s.BytesWire += e.wire
		s.Lanes[x.lane].Wire += e.wire
		if !e.begun && e.status == 0 {
			return // it did not leave
		}
		s.Posts++
		s.BytesText += int64(text)
		s.BytesSent += int64(e.packed)
		s.AmbiguousPosts += one(o.ambiguous)
		s.ThrottledPosts += one(o.throttled)
		s.Lanes[x.lane].Posts++
	})
	fromAPI := o.verdict == accepted || o.verdict == partly
	if fromAPI && !e.date.IsZero() && d.opts.OnDate != nil {
		d.opts.OnDate(e.date, e.took+time.Second)
	}
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// taken notes that the server took a post, with what it brought.
func (d *Drain) taken(x *load, o outcome, g gain) {
	now := d.opts.Now()
	if d.gates.passed(x.cargo, now) > spreadAfter {
		d.spreadUntil = now.Add(spread(d.opts.Site))
	}
	if x.cargo == metrics || x.cargo == otlpMetrics {
		d.meter.add(now, g.lines)
	}
	at, _ := d.main()
	firstUnnamed := false
	d.update(func(s *State) {
		firstUnnamed = o.unnamed > 0 && s.LinesUnnamed == 0
		if at == nil {
			s.enter(Sending, now)
			s.NextTry = time.Time{}
		}
		s.LinesAccepted += g.lines
		s.LinesUnnamed += int64(o.unnamed)
		s.Lanes[x.lane].Lines += g.lines
		s.Lanes[x.lane].Points += g.points
		if g.lines > int64(o.unnamed) {
			s.LastSuccess = now
		}
		if at == nil && s.UpSince.IsZero() && (x.lane == laneLive || x.lane == laneWindow) {
			s.UpSince = now
		}
	})
	if firstUnnamed {
		d.opts.Log.Warn().Int("lines", o.unnamed).Str("cause", o.cause).Msg("the server refused lines without saying which; such lines count as delivered, and in lines_unnamed")
	}
	if d.log.cargo[x.cargo] != "" {
		d.log.cargo[x.cargo] = ""
		d.opts.Log.Info().Stringer("cargo", x.cargo).Msg("this cargo is taken again")
	}
	if at == nil && d.log.downAs != "" {
		d.opts.Log.Info().Stringer("down_for", now.Sub(d.log.downAt).Round(time.Second)).Int64("backlog", d.opts.Store.Account().Buffered).Msg("uplink is up again")
		d.log.downAs = ""
	}
}

// refusedOf notes what was refused of a load; the log hears of a reason once as
// long as no other comes.
func (d *Drain) refusedOf(x *load) {
	now := d.opts.Now()
	if x.lane == laneLate {
		d.update(func(*State) { d.ages.count(x, now) })
	}
	if x.refused == 0 {
		return
	}
	d.update(func(s *State) {
		s.LinesRefused += x.refused
		s.Lanes[x.lane].Refused += x.refused
		s.LastError, s.LastErrorAt = "lines were refused and are dead letters: "+x.reason, now
	})
	if x.reason != d.log.reason {
		d.opts.Log.Warn().Int64("lines", x.refused).Str("reason", x.reason).Msg("lines were refused and are dead letters")
		d.log.reason = x.reason
	}
}

// failed notes a failure of a cargo, or of the link.
func (d *Drain) failed(c cargo, o outcome) {
	now := d.opts.Now()
	d.gates.failed(c, o, now, d.opts.Random())
	d.update(func(s *State) { s.LastError, s.LastErrorAt = o.cause, now })
	if own := laneLive.cargo(d.sender.target.Protocol); c != own && !o.unreached {
		d.cargoDown(c, o.cause)
		return
	}
	d.mainDown(o.cause, now)
}

// storeFailed notes that the buffer does not give or take.
func (d *Drain) storeFailed(what string, err error) {
	now := d.opts.Now()
	o := outcome{verdict: later, cause: fmt.Sprintf("%s: %v", what, err)}
	d.store.shut(o, now, paceOf(0, o).delay(d.store.failures+1, d.opts.Random()))
	d.update(func(s *State) { s.LastError, s.LastErrorAt = o.cause, now })
	d.mainDown(o.cause, now)
}

// mainDown shows that no metrics leave, and why.
func (d *Drain) mainDown(cause string, now time.Time) {
	at, word := d.main()
	d.update(func(s *State) {
		s.enter(word, now)
		s.NextTry, s.UpSince = at.next, time.Time{}
	})
	d.down(word, cause, now)
}

// down tells the log, once for each state.
func (d *Drain) down(word, cause string, now time.Time) {
	if d.log.downAs == "" {
		d.log.downAt = now
	}
	if d.log.downAs != word {
		d.log.downAs = word
		d.opts.Log.Warn().Str("state", word).Str("cause", cause).Msg("uplink is down; points are kept")
	}
}

// cargoDown tells the log that events or log records wait, once for each state.
func (d *Drain) cargoDown(c cargo, cause string) {
	word := d.gates.cargo[c].state(CargoState{}).State
	if d.log.cargo[c] != word {
		d.log.cargo[c] = word
		d.opts.Log.Warn().Stringer("cargo", c).Str("state", word).Str("cause", cause).Msg("this cargo is not taken; it is kept, and the others go on")
	}
}
