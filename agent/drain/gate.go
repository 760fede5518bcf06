package drain

import (
	"slices"
	"time"
)

// gate bars what has failed until its next try.
type gate struct {
	failures int       // in a row
	next     time.Time // not before this
	held     bool      // waits for a person
	silent   bool      // the last failure was no answer: it may have been the link
	cause    string
	causeAt  time.Time
}

// turnedBack is how far in the future a gate must have been shut for the clock
// to have gone back since.
const turnedBack = time.Minute

// wait is how long the gate stays shut. One that a clock shut which was ahead
// does not wait until the true time comes there.
func (g *gate) wait(now time.Time) time.Duration {
	if g.causeAt.Sub(now) > turnedBack {
		return 0
	}
	return max(0, g.next.Sub(now))
}

func (g *gate) open(now time.Time) bool { return g.wait(now) == 0 }

// shut notes a failure and gives the time of the next try.
func (g *gate) shut(o outcome, now time.Time, wait time.Duration) {
	g.failures++
	g.held = o.verdict == hold
	g.silent = o.unreached || o.ambiguous
	g.cause, g.causeAt, g.next = o.cause, now, now.Add(wait)
}

// taken notes that something went through; what was wrong before stays to be
// read.
func (g *gate) taken() {
	g.failures, g.held, g.silent, g.next = 0, false, false, time.Time{}
}

// soon lets the next try come now.
func (g *gate) soon() { g.next = time.Time{} }

// state is the gate in the words of status.
func (g *gate) state(s CargoState) CargoState {
	s.State, s.LastError, s.LastErrorAt = Idle, g.cause, g.causeAt
	if g.failures > 0 {
		s.State, s.NextTry = Backoff, g.next
	}
	if g.held {
		s.State = Hold
	}
	return s
}

// tripped is the number of failures in a row, over all cargos, that trips the
// breaker. A hold is none: the others go on.
const tripped = 5

// gates are the link's and those of the cargos, with the breaker.
type gates struct {
	link  gate
	cargo [cargos]gate
	row   int       // failures in a row of link and servers
	since time.Time // of the first of them
	moved time.Time // the last change of the link that was told
}

// halfOpen reports that only small posts are to be tried.
func (g *gates) halfOpen() bool { return g.row >= tripped }

func (g *gates) breaker() string {
	if g.halfOpen() {
		return HalfOpen
	}
	return Closed
}

// failed shuts the gate that a failure is about: that of the link where no
// server was reached, else that of the cargo. random is in [0, 1).
func (g *gates) failed(c cargo, o outcome, now time.Time, random float64) {
	at := &g.cargo[c]
	if o.unreached {
		at = &g.link
	}
	if o.verdict != hold {
		if g.row == 0 {
			g.since = now
		}
		g.row++
	}
	at.shut(o, now, max(o.wait, paceOf(c, o).delay(at.failures+1, random)))
}

// passed opens the gates of a cargo that was taken. It tells for how long the
// server was gone: 0 where it was not, or where the link was what had failed.
func (g *gates) passed(c cargo, now time.Time) (gone time.Duration) {
	if g.row > 0 && now.Sub(g.moved) > linkFresh {
		gone = now.Sub(g.since)
	}
	g.link.taken()
	g.cargo[c].taken()
	g.row = 0
	return gone
}

// linkFresh is how long after a change of the link a success is put down to it.
const linkFresh = 10 * time.Second

// changed lets all that may have failed by the link be tried now.
func (g *gates) changed(now time.Time) {
	g.moved = now
	g.link.failures, g.link.next = 0, time.Time{}
	for i := range g.cargo {
		if g.cargo[i].silent {
			g.cargo[i].soon()
		}
	}
}

// token lets what waits for a person be tried now, if the token has changed.
func (g *gates) token(now time.Time, changed func() bool) {
	waits := func(x gate) bool { return x.held && !x.open(now) }
	if !slices.ContainsFunc(g.cargo[:], waits) || !changed() {
		return
	}
	for i := range g.cargo {
		if g.cargo[i].held {
			g.cargo[i].soon()
		}
	}
}

// wake lets everything be tried now.
func (g *gates) wake() {
	g.link.soon()
	for i := range g.cargo {
		g.cargo[i].soon()
	}
}
