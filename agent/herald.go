package agent

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// heraldTick is how often the state is told at most.
	heraldTick = 10 * time.Second
	// extendBy is what is asked for each time while a start or a stop goes on.
	extendBy = 3 * heraldTick
	// mostStarting bounds a start: a large store on a slow card is opened, or a
	// damaged one is set aside.
	mostStarting = 10 * time.Minute
	// mostStopping bounds a stop: polls end, the last commit is made.
	mostStopping = 5 * time.Minute
)

// herald tells the service manager how the process fares. It feeds the watchdog
// as long as alive has nothing to complain of, and as long as the line of the
// state can be had: that takes the locks that everybody takes.
type herald struct {
	send     func(lines ...string) error
	watchdog time.Duration
	alive    *alive
	line     func() string
	log      zerolog.Logger

	ready  atomic.Bool // READY=1 was told, and the stop not yet
	silent bool        // telling failed, which the log has
	stuck  string      // what the log was told to be stuck
}

// newHerald gives nil, which tells nothing, where nobody listens.
func newHerald(n Notify, alive *alive, log zerolog.Logger) *herald {
	if n.Socket == "" {
		return nil
	}
	return &herald{send: n.send, watchdog: n.Watchdog, alive: alive, log: log}
}

func (h *herald) tell(lines ...string) {
	err := h.send(lines...)
	if err != nil && !h.silent {
		h.log.Warn().Err(err).Msg("the state of the service is not told")
	}
	h.silent = err != nil
}

// pace is how often something is told.
func (h *herald) pace() time.Duration {
	if h.watchdog > 0 {
		return min(heraldTick, h.watchdog/3)
	}
	return heraldTick
}

// Starting asks for more time until the function that it returns is called.
func (h *herald) Starting(what string) (begun func()) {
	if h == nil {
		return func() {}
	}
	return inBackground(func(done <-chan struct{}) { h.hold(done, mostStarting, what) })
}

// Run tells of the life from the start to the stop, which ctx begins and which
// the function that it returns ends. line is a short text on the state.
func (h *herald) Run(ctx context.Context, line func() string) (stopped func()) {
	if h == nil {
		return func() {}
	}
	h.line = line
	return inBackground(func(done <-chan struct{}) { h.live(ctx, done) })
}

// inBackground runs f until the function that it returns is called, which waits
// for its end.
func inBackground(f func(done <-chan struct{})) func() {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { f(done) })
	return sync.OnceFunc(func() {
		close(done)
		running.Wait()
	})
}

func (h *herald) live(ctx context.Context, done <-chan struct{}) {
	select {
	case <-h.alive.Begun():
		h.ready.Store(true) // who has heard READY and reloads is told of it
		h.tell("READY=1", statusLine(h.line()))
		h.watch(ctx, done)
	case <-ctx.Done():
	case <-done:
	}
	h.ready.Store(false)
	h.tell("STOPPING=1", statusLine("stops"))
	h.hold(done, mostStopping, "stops: polls end and the store makes its last commit")
}

// watch tells the state and feeds the watchdog until the stop.
func (h *herald) watch(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(h.pace())
	defer tick.Stop()
	var last string
	var told time.Time
	for {
		var lines []string
		text, well := h.state()
		if text != last && (time.Since(told) >= heraldTick || told.IsZero()) {
			lines, last, told = append(lines, statusLine(text)), text, time.Now()
		}
		if well && h.watchdog > 0 {
			lines = append(lines, "WATCHDOG=1")
		}
		if len(lines) > 0 {
			h.tell(lines...)
		}
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// state is the line of the state, and whether all loops are well.
func (h *herald) state() (text string, well bool) {
	stuck := strings.Join(h.alive.Stuck(), ", ")
	if (stuck == "") != (h.stuck == "") {
		if stuck != "" {
			h.log.Error().Str("loops", stuck).Msg("parts of the agent hang; the watchdog is not fed, and ends the process if this lasts")
		} else {
			h.log.Warn().Str("loops", h.stuck).Msg("what hung goes on")
		}
	}
	if h.stuck = stuck; stuck != "" {
		return "hangs: " + stuck, false
	}
	return h.line(), true
}

// hold asks for more time, and feeds the watchdog, until done or for at most so
// long.
func (h *herald) hold(done <-chan struct{}, most time.Duration, what string) {
	tick := time.NewTicker(h.pace())
	defer tick.Stop()
	for end := time.Now().Add(most); time.Now().Before(end); {
		lines := []string{extendLine(extendBy), statusLine(what)}
		if h.watchdog > 0 {
			lines = append(lines, "WATCHDOG=1")
		}
		h.tell(lines...)
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
	<-done
}

// Reloading tells that a reload begins, and by the function that it returns
// that it has ended.
func (h *herald) Reloading() (ended func()) {
	if h == nil || !h.ready.Load() {
		return func() {}
	}
	report := func(lines ...string) {
		if err := h.send(lines...); err != nil {
			h.log.Debug().Err(err).Msg("a reload is not told")
		}
	}
	report(reloadingLines()...)
	return func() { report("READY=1") }
}
