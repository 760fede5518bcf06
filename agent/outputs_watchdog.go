package agent

import (
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// timer is a watchdog of the machine: it resets it unless Kick comes within
// Timeout. Close stops it.
type timer interface {
	Timeout() time.Duration
	Kick() error
	Close() error
}

// feeder feeds the machine's watchdog by the rule by which the herald feeds the
// service manager's: all loops are well, and the line of the state can be had, which
// takes the locks that everybody takes.
type feeder struct {
	timer timer
	log   zerolog.Logger
	phase func() phase
	stuck string // what the log was told to be stuck
	fails bool   // feeding does, which the log has
}

// phase is where in its life the agent is.
type phase struct {
	alive *alive
	line  func() string // nil: it starts, or stops
	ended bool          // it stops
	since time.Duration // since the begin of the start, or of the stop
}

// pace is how often the watchdog is fed.
func (f *feeder) pace() time.Duration { return min(heraldTick, f.timer.Timeout()/3) }

// run feeds until done, and then stops the timer.
func (f *feeder) run(done <-chan struct{}) {
	tick := time.NewTicker(f.pace())
	defer tick.Stop()
	for {
		if f.well(f.phase()) {
			f.feed()
		}
		select {
		case <-done:
			if err := f.timer.Close(); err != nil {
				f.log.Error().Err(err).Msg("the watchdog of the machine may not be stopped: it resets the machine unless the agent starts again in time")
			}
			return
		case <-tick.C:
		}
	}
}

func (f *feeder) feed() {
	err := f.timer.Kick()
	if err != nil && !f.fails {
		f.log.Error().Err(err).Msg("the watchdog of the machine cannot be fed, and resets the machine if this lasts")
	}
	f.fails = err != nil
}

// well tells whether the watchdog is to be fed. A start and a stop may take as long
// as the herald lets them.
func (f *feeder) well(p phase) bool {
	var stuck string
	switch {
	case p.ended && p.since >= mostStopping:
		stuck = "the stop"
	case !p.ended && p.line == nil && p.since >= mostStarting:
		stuck = "the start"
	case p.line != nil:
		stuck = strings.Join(p.alive.Stuck(), ", ")
	}
	if (stuck == "") != (f.stuck == "") {
		if stuck != "" {
			f.log.Error().Str("loops", stuck).Msg("parts of the agent hang; the watchdog is not fed, and resets the machine if this lasts")
		} else {
			f.log.Warn().Str("loops", f.stuck).Msg("what hung goes on, and the watchdog of the machine is fed")
		}
	}
	f.stuck = stuck
	if stuck == "" && p.line != nil {
		p.line()
	}
	return stuck == ""
}
