package agent

import (
	"time"

	"github.com/edgehold/edgehold/agent/drain"
)

// The status lights. What they show is computed: facts become patterns, a pattern
// and the time become light or dark.

// light is what a light is for.
type light int

// The lights.
const (
	lightPower light = iota
	lightCollecting
	lightUplink
	lightAlarm
	lights
)

var lightNames = [lights]string{lightPower: "power", lightCollecting: "collecting", lightUplink: "uplink", lightAlarm: "alarm"}

// facts are what the lights tell of.
type facts struct {
	starting bool // not all loops run yet
	hangs    bool // one of them, or more
	guess    bool // the time is not known
	link     link
	alarm    bool // somebody should look
}

// link is how the uplink fares.
type link int

// The links.
const (
	noLink   link = iota // what was sent last was not taken, or nothing was sent yet
	slowLink             // it is up, and a backlog waits
	goodLink
)

// pattern is how long a light shines and how long it is dark, by turns. Without
// dark it is steady.
type pattern struct{ shines, dark time.Duration }

// The patterns.
var (
	dark      = pattern{}
	steady    = pattern{shines: time.Second}
	slowBlink = pattern{time.Second, time.Second}
	fastBlink = pattern{150 * time.Millisecond, 150 * time.Millisecond}
)

// at tells whether the light shines at a time, and for how long nothing changes;
// 0: it never does.
func (p pattern) at(now time.Duration) (shines bool, stays time.Duration) {
	if p.dark == 0 || p.shines == 0 {
		return p.shines > 0, 0
	}
	into := now % (p.shines + p.dark)
	if into < p.shines {
		return true, p.shines - into
	}
	return false, p.shines + p.dark - into
}

// patterns are those of the facts. That of collecting is not one of them.
func (f facts) patterns() (p [lights]pattern) {
	switch {
	case f.hangs:
		p[lightPower] = fastBlink
	case f.starting, f.guess:
		p[lightPower] = slowBlink
	default:
		p[lightPower] = steady
	}
	p[lightUplink] = [...]pattern{noLink: dark, slowLink: slowBlink, goodLink: steady}[f.link]
	if f.alarm {
		p[lightAlarm] = steady
	}
	return p
}

// A flash, and the dark after it without which two would be one.
const (
	flashShines = 80 * time.Millisecond
	flashDark   = 120 * time.Millisecond
)

// flasher makes flashes of what happens. What happens while one goes on makes one
// more, not several.
type flasher struct {
	from    time.Duration // of the flash that goes on or was last
	begun   bool          // there was one
	pending bool
}

// happen notes that something did.
func (f *flasher) happen() { f.pending = true }

// at is as that of a pattern.
func (f *flasher) at(now time.Duration) (shines bool, stays time.Duration) {
	if f.pending && (!f.begun || now-f.from >= flashShines+flashDark) {
		f.from, f.begun, f.pending = now, true, false
	}
	switch into := now - f.from; {
	case !f.begun:
		return false, 0
	case into < flashShines:
		return true, flashShines - into
	case f.pending:
		return false, flashShines + flashDark - into
	}
	return false, 0
}

// panel is all lights.
type panel struct{ collecting flasher }

// at tells which lights shine, and when the next one changes; 0: none does.
func (p *panel) at(now time.Duration, f facts) (shine [lights]bool, stays time.Duration) {
	for i, pattern := range f.patterns() {
		on, for_ := pattern.at(now)
		if light(i) == lightCollecting {
			on, for_ = p.collecting.at(now)
		}
		if shine[i] = on; for_ > 0 && (stays == 0 || for_ < stays) {
			stays = for_
		}
	}
	return shine, stays
}

// behindAfter is the age of the oldest point that waits, beyond the interval of
// commits, from which on there is a backlog: minutes leave whole.
const behindAfter = 5 * time.Minute

// linkOf is the link of an uplink; oldest is the age of the oldest point that waits.
func linkOf(d drain.State, oldest, commits time.Duration) link {
	switch {
	case d.UpSince.IsZero():
		return noLink
	case oldest > behindAfter+commits:
		return slowLink
	}
	return goodLink
}

// lossShown is for how long a loss is an alarm.
const lossShown = time.Hour

// losses notice when more is lost than before.
type losses struct {
	sum  int64
	at   time.Duration
	seen bool // one was
	base bool // sum is one
}

// recent tells whether something was lost of late. What was lost before the first call
// is not looked at.
func (l *losses) recent(now time.Duration, sum int64) bool {
	if l.base && sum > l.sum {
		l.at, l.seen = now, true
	}
	l.sum, l.base = sum, true
	return l.seen && now-l.at < lossShown
}
