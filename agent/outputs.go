package agent

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/board"
)

// factsEvery is how often the facts of the lights are looked at.
const factsEvery = 5 * time.Second

// lamp is one light.
type lamp interface{ Set(on bool) error }

// hardware opens what the outputs drive.
type hardware struct {
	lamp  func(name string) (lamp, error)
	timer func(device string, timeout time.Duration) (timer, error)
}

// thisMachine is the hardware that the agent runs on.
func thisMachine() *hardware {
	paths := board.Paths{}
	return &hardware{
		lamp:  func(name string) (lamp, error) { return paths.OpenLED(name) },
		timer: func(device string, timeout time.Duration) (timer, error) { return paths.OpenWatchdog(device, timeout) },
	}
}

// outputs drive the lights and feed the watchdog of the machine, from the begin of
// the start, which may take long, to the end of the stop. nil drives nothing.
type outputs struct {
	alive *alive
	log   zerolog.Logger
	begun time.Time
	lamps [lights]lamp  // nil: there is none
	shine [lights]bool  // as it was set last
	news  chan struct{} // something was collected
	stops []func()

	mu     sync.Mutex
	life   *living   // nil: it starts
	ending time.Time // when the stop was seen, zero: it was not
}

// living is what is known once all parts are made.
type living struct {
	ctx   context.Context // ends with the begin of the stop
	line  func() string
	facts func() facts
}

// startOutputs opens what is configured. What is not there, or may not be used, is
// told once, and the agent does without.
func startOutputs(cfg config.Outputs, alive *alive, hw *hardware, log zerolog.Logger) *outputs {
	o := &outputs{alive: alive, log: log.With().Str("part", "outputs").Logger(), begun: time.Now(), news: make(chan struct{}, 1)}
	if o.openLamps(cfg.LEDs, hw) {
		o.stops = append(o.stops, inBackground(o.light))
	}
	if cfg.Watchdog.Device != "" {
		o.openTimer(cfg.Watchdog, hw)
	}
	if len(o.stops) == 0 {
		return nil
	}
	return o
}

func (o *outputs) openLamps(cfg config.LEDs, hw *hardware) (any bool) {
	names := [lights]string{lightPower: cfg.Power, lightCollecting: cfg.Collecting, lightUplink: cfg.Uplink, lightAlarm: cfg.Alarm}
	for i, name := range names {
		if name == "" {
			continue
		}
		l, err := hw.lamp(name)
		if err != nil {
			o.log.Warn().Err(err).Str("light", lightNames[i]).Msg("the agent does without this light")
			continue
		}
		o.lamps[i], any = l, true
	}
	return any
}

func (o *outputs) openTimer(cfg config.Watchdog, hw *hardware) {
	t, err := hw.timer(cfg.Device, cfg.Timeout.Std())
	if err != nil {
		o.log.Warn().Err(err).Msg("the agent does without the watchdog of the machine")
		return
	}
	o.log.Info().Str("device", cfg.Device).Stringer("timeout", t.Timeout()).Msg("the watchdog of the machine runs, and resets it when the agent hangs")
	f := &feeder{timer: t, log: o.log, phase: o.phase}
	o.stops = append(o.stops, inBackground(f.run))
}

// Live tells that all parts are made and run now, until ctx ends.
func (o *outputs) Live(ctx context.Context, line func() string, facts func() facts) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.life = &living{ctx, line, facts}
}

// Collected tells that something was read.
func (o *outputs) Collected() {
	if o == nil {
		return
	}
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// Stop makes the lights dark and stops the watchdog, in order.
func (o *outputs) Stop() {
	if o == nil {
		return
	}
	for _, stop := range o.stops {
		stop()
	}
}

// phase is where in its life the agent is: it starts until all loops run.
func (o *outputs) phase() phase {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := phase{alive: o.alive, since: time.Since(o.begun)}
	if o.life == nil {
		return p
	}
	if o.life.ctx.Err() != nil {
		if o.ending.IsZero() {
			o.ending = time.Now()
		}
		p.ended, p.since = true, time.Since(o.ending)
		return p
	}
	select {
	case <-o.alive.Begun():
		p.line = o.life.line
	default:
	}
	return p
}

// light drives the lights until done, and leaves them dark.
func (o *outputs) light(done <-chan struct{}) {
	defer o.set([lights]bool{})
	var panel panel
	f, next := o.facts(), factsEvery
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Since(o.begun)
		if now >= next {
			f, next = o.facts(), now+factsEvery
		}
		shine, stays := panel.at(now, f)
		o.set(shine)
		wait := next - now
		if stays > 0 {
			wait = min(wait, stays)
		}
		timer.Reset(wait)
		select {
		case <-done:
			return
		case <-o.news:
			panel.collecting.happen()
		case <-timer.C:
		}
	}
}

func (o *outputs) facts() facts {
	p := o.phase()
	if p.line == nil {
		return facts{starting: true}
	}
	if len(o.alive.Stuck()) > 0 { // the locks that the others need may be held
		return facts{hangs: true, alarm: true}
	}
	return o.life.facts()
}

// set changes the lights that are to change. One that fails is left.
func (o *outputs) set(shine [lights]bool) {
	for i, l := range o.lamps {
		if l == nil || shine[i] == o.shine[i] {
			continue
		}
		if err := l.Set(shine[i]); err != nil {
			o.log.Warn().Err(err).Str("light", lightNames[i]).Msg("the agent does without this light from now on")
			o.lamps[i] = nil
		}
	}
	o.shine = shine
}

// newFacts gives what looks at the facts of the agent.
func (a *Agent) newFacts() func() facts {
	begun := time.Now()
	var lost losses
	return func() facts {
		store, account, up := a.store.Stat(), a.store.Account(), a.uplink.sending()
		var oldest time.Duration
		if !store.Oldest.IsZero() {
			oldest = a.uplink.now().Sub(store.Oldest)
		}
		loses := lost.recent(time.Since(begun), account.Evicted+account.Damaged+store.Dropped)
		return facts{
			guess: !a.time.Trusted(),
			link:  linkOf(up, oldest, a.atStart.Buffer.CommitInterval.Std()),
			alarm: loses || store.Alarm != "" || up.State == drain.Hold || a.deviceFails(),
		}
	}
}

// deviceFails tells whether the last poll of a device has failed.
func (a *Agent) deviceFails() bool {
	for _, t := range a.schedule.States() {
		if t.Task.Device != selfDevice && severity(t.Last.Status) > 2 {
			return true
		}
	}
	return false
}
