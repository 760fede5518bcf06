package clock

import (
	"fmt"
	"maps"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Who tells the time.
const (
	Kernel      = "kernel"
	NTP         = "ntp"
	Environment = "environment"
)

// Reading is what a source says: it was Time when this machine had been up for
// Uptime.
type Reading struct {
	Source string // Kernel, NTP or Environment
	Time   time.Time
	Uptime time.Duration
	Error  time.Duration // how far Time may be off, at most
	// Verified says that the environment's certificate, its chain and its name
	// held at Time itself, as ReadDate proves. Without it a reading of the
	// environment can confirm trusted time and start nothing.
	Verified bool
}

const (
	drift          = 10_000                 // a clock without a daemon is off by at most one part in so many (100 ppm)
	apart          = 2 * time.Minute        // what the environment may differ by before it decides
	together       = 10 * time.Second       // what a source that was wrong must come back to
	useless        = time.Minute            // readings that may be off by more tell nothing
	stale          = time.Minute            // a better source that is silent for so long may be replaced
	slewMost       = 2 * time.Second        // smaller corrections are spread, so that stamps never run backwards
	slewShare      = 20                     // by at most one part in so many
	anchorWorth    = 100 * time.Millisecond // corrections from here on are told
	stepWorth      = 100 * time.Millisecond // the wall clock was set
	belowFloorHint = "check the clock of that source; this agent keeps the newest time that the environment told, and goes back to no earlier one"
)

// estimate is one source's word: true time = offset + uptime.
type estimate struct {
	source string
	saved  bool  // comes from an earlier process of this boot
	offset int64 // milliseconds since 1970 at uptime zero
	error  time.Duration
	at     time.Duration // uptime of the reading
}

func (r Reading) estimate() estimate {
	return estimate{source: r.Source, offset: r.Time.UnixMilli() - r.Uptime.Milliseconds(), error: r.Error, at: r.Uptime}
}

// errorAt grows with the age of the reading.
func (e estimate) errorAt(uptime time.Duration) time.Duration {
	return e.error + max(uptime-e.at, 0)/drift
}

func (e estimate) time(uptime time.Duration) time.Time {
	return time.UnixMilli(e.offset).Add(uptime)
}

func (e estimate) rank() int {
	switch {
	case e.saved:
		return 0
	case e.source == Environment:
		return 1
	case e.source == NTP:
		return 2
	}
	return 3
}

// apartFrom is how far two sources differ.
func (e estimate) apartFrom(other estimate) time.Duration {
	return (time.Duration(e.offset-other.offset) * time.Millisecond).Abs()
}

// belief is what is held true, and why. A published one does not change.
type belief struct {
	trusted  bool
	current  estimate      // where stamps go to
	slewFrom int64         // the offset of the stamps when current was taken
	slewAt   time.Duration // uptime of that moment
	heard    bool          // judge is set
	judge    estimate      // the environment's last word
	floor    time.Time
	doubted  map[string]bool // sources that the environment has proved wrong
	warnings map[string]string
	anchor   probes.Anchor // the last one told
	told     bool
	since    time.Duration // uptime at which time became trusted
	steps    int64
	kernel   string // what the kernel says of its clock, one word
}

// clone is a copy that may be changed.
func (b *belief) clone() *belief {
	c := *b
	c.doubted, c.warnings = maps.Clone(b.doubted), maps.Clone(b.warnings)
	return &c
}

// offset is that of a stamp at this uptime, milliseconds: on the way to the
// current estimate by at most one part in slewShare.
func (b *belief) offset(uptime time.Duration) int64 {
	way := b.current.offset - b.slewFrom
	// Whole milliseconds of uptime, as in the stamp: their sum then never falls.
	gone := max(uptime.Milliseconds()-b.slewAt.Milliseconds(), 0) / slewShare
	return b.slewFrom + min(max(way, -gone), gone)
}

func (b *belief) time(uptime time.Duration) time.Time {
	return time.UnixMilli(b.offset(uptime)).Add(uptime)
}

// error bounds what a stamp at this uptime is off by.
func (b *belief) error(uptime time.Duration) time.Duration {
	left := time.Duration(b.current.offset-b.offset(uptime)) * time.Millisecond
	return b.current.errorAt(uptime) + left.Abs()
}

// verdict is what became of a reading.
type verdict struct {
	taken  bool          // stamps follow it
	moved  time.Duration // by so much
	doubt  bool          // the environment has to be asked whether that is so
	reason error         // why it was refused
}

// weigh judges a reading and takes it where it should be followed.
func (b *belief) weigh(r Reading, now time.Duration) verdict {
	e := r.estimate()
	if r.Source != Environment && r.Source != Kernel && r.Source != NTP {
		return verdict{reason: fmt.Errorf("nobody named %q tells the time here", r.Source)}
	}
	if r.Error < 0 || r.Error > useless {
		return verdict{reason: fmt.Errorf("the time of %s may be off by %v, which is too much to use", r.Source, r.Error)}
	}
	if differs, wrong := b.contradicts(e, now); wrong {
		return verdict{reason: b.disbelieve(e.source, differs)}
	}
	if at := e.time(now); at.Add(r.Error).Before(b.floor) {
		err := fmt.Errorf("%s says that it is %s, which is before %s: %s", r.Source, text(at), text(b.floor), belowFloorHint)
		b.warnings["floor "+r.Source] = err.Error()
		return verdict{reason: err}
	}
	delete(b.warnings, "floor "+r.Source)
	if r.Source == Environment {
		return b.weighEnvironment(e, r.Verified, now)
	}
	if b.heard { // and agrees
		delete(b.doubted, e.source)
		delete(b.warnings, "doubt "+e.source)
	}
	if !b.trusted || b.prefers(e, now) {
		return b.follow(e, now)
	}
	return verdict{}
}

// contradicts says whether the environment has shown that a source is wrong.
func (b *belief) contradicts(e estimate, now time.Duration) (differs time.Duration, wrong bool) {
	if !b.heard || e.source == Environment {
		return 0, false
	}
	limit := apart
	if b.doubted[e.source] {
		limit = together
	}
	differs = e.apartFrom(b.judge)
	return differs, differs > limit+b.judge.errorAt(now)
}

// weighEnvironment: its word decides, once it is proved where it matters.
func (b *belief) weighEnvironment(e estimate, verified bool, now time.Duration) verdict {
	if !b.trusted {
		if !verified {
			return verdict{reason: fmt.Errorf("the environment's time is not proved by its certificate, and nothing else is trusted yet")}
		}
		b.hear(e)
		return b.follow(e, now)
	}
	differs := e.apartFrom(b.current)
	if differs <= apart {
		delete(b.warnings, Environment)
		if !b.heard || better(e, b.judge, now) {
			b.hear(e)
		}
		b.raise(e)
		if b.prefers(e, now) {
			return b.follow(e, now)
		}
		return verdict{}
	}
	if !verified {
		err := fmt.Errorf("the environment's clock differs by %v from what %s says; it is asked again", differs.Round(time.Second), b.current.source)
		b.warnings[Environment] = err.Error()
		return verdict{doubt: true, reason: err}
	}
	delete(b.warnings, Environment)
	if b.current.source != Environment {
		_ = b.disbelieve(b.current.source, differs) // said in the warnings; the reading itself is taken
	}
	b.hear(e)
	return b.follow(e, now)
}

// hear makes an estimate of the environment the judge of the others.
func (b *belief) hear(e estimate) {
	b.heard, b.judge = true, e
	b.raise(e)
}

// raise lifts the floor. The environment alone does: its time is proved by its
// certificate, while a false time of an NTP server would shut out the true one
// for good. Sources that it does not contradict must stay above the floor.
func (b *belief) raise(e estimate) {
	if t := e.time(e.at).Add(-e.error - apart); t.After(b.floor) {
		b.floor = t
	}
}

func (b *belief) disbelieve(source string, differs time.Duration) error {
	b.doubted[source] = true
	err := fmt.Errorf("the time of %s differs by %v from the environment's, which counts; %s is believed again when it agrees within %v: check the time servers of this machine",
		source, differs.Round(time.Second), source, together)
	b.warnings["doubt "+source] = err.Error()
	return err
}

// better says that e is the more exact, or that both cannot be true, in which
// case the newer counts.
func better(e, than estimate, now time.Duration) bool {
	old := than.errorAt(now)
	return e.error*4 < old*3 || e.apartFrom(than) > e.error+old
}

// prefers says whether e shall replace the current estimate.
func (b *belief) prefers(e estimate, now time.Duration) bool {
	switch {
	case e.source == Kernel:
		return true
	case e.rank() >= b.current.rank():
		return better(e, b.current, now)
	}
	return e.error < b.current.errorAt(now) && now-b.current.at > stale
}

// follow makes e the current estimate.
func (b *belief) follow(e estimate, now time.Duration) verdict {
	from := e.offset
	if b.trusted {
		from = b.offset(now)
	} else {
		b.trusted, b.since = true, now
	}
	moved := time.Duration(e.offset-from) * time.Millisecond
	b.current, b.slewFrom, b.slewAt = e, from, now
	if moved.Abs() > slewMost {
		b.slewFrom = e.offset
	}
	return verdict{taken: true, moved: moved}
}

// due gives the anchor to be told, if it says something new.
func (b *belief) due(boot probes.BootID, now time.Duration) (probes.Anchor, bool) {
	moved := time.Duration(b.current.offset-b.anchor.Offset) * time.Millisecond
	if !b.trusted || b.told && moved.Abs() < anchorWorth {
		return probes.Anchor{}, false
	}
	b.told = true
	b.anchor = probes.Anchor{Boot: boot, Offset: b.current.offset, Error: b.current.errorAt(now), Source: b.current.source}
	return b.anchor, true
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339) }
