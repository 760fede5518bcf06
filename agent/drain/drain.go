package drain

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// idleTick looks for points whose time has come without a commit.
const idleTick = 30 * time.Second

const (
	// longestTurn is far above what the limits of its requests let a turn take.
	longestTurn = 10 * time.Minute
	// beatGrace is how late the end of a pause may be told.
	beatGrace = 30 * time.Second
)

// mostCuts is how many posts in a row changes of the link may end.
const mostCuts = 3

// noteBudget is the name under which the store keeps what the budget has used.
const noteBudget = "drain.budget"

// Drain sends what the buffer holds. One goroutine, that of Run, does all the
// work, with one post in flight.
type Drain struct {
	opts Options
	wake chan struct{}

	mu     sync.Mutex
	state  State
	ages   ages
	next   *Target                 // takes over before the next post
	woken  bool                    // Wake was called
	moved  bool                    // LinkChanged was called
	flight context.CancelCauseFunc // of the post or question under way
	cuts   int                     // posts in a row that LinkChanged has ended

	described described

	// Of the goroutine of Run alone:
	sender  *sender
	sent    probes.Secret // the token of the last post
	gates   gates
	store   gate // of the store: nothing goes while it fails
	shaper  *shaper
	budget  *budget
	meter   meter
	cadence *cadence // nil: nothing is folded
	loads   [lanes]load
	sorting sorting
	scratch []byte
	choice  []lane
	row     int  // turns in a row that had work
	favour  lane // that went first by its turn
	// Measured, to lease about as much as one post takes.
	perLine   [cargos]float64 // bytes of text of a line
	packed    float64         // bytes on the wire of a byte of text
	perFold   float64         // points of a folded line
	perRecord float64         // points of a log record of late points

	spreadUntil time.Time
	log         journal
}

// New makes a drain. It does nothing until Run.
func New(o Options) *Drain {
	o = o.withDefaults()
	d := &Drain{
		opts: o, wake: make(chan struct{}, 1), next: &o.Target,
		ages: newAges(), budget: newBudget(o.Budget, o.Store.Kept(noteBudget)),
		perLine: [cargos]float64{metrics: smallLine, events: 500, logs: 400, otlpMetrics: smallLine, otlpLogs: 400},
		favour:  laneLogs, packed: 0.2, perFold: 6, perRecord: 10,
	}
	if o.Resolution == Minute {
		d.cadence = newCadence()
	}
	d.state = State{State: Idle, Since: o.Now(), Breaker: Closed, Lanes: make([]LaneState, lanes)}
	for l := range lanes {
		d.loads[l].lane, d.state.Lanes[l].Lane = l, l.String()
	}
	return d
}

// Change gives the drain another target from the next post on, and makes it
// try again now. A post that is under way keeps the old one: cut off, it might
// arrive twice.
func (d *Drain) Change(t Target) {
	d.mu.Lock()
	d.next = &t
	d.mu.Unlock()
	d.signal()
}

// Wake makes a drain that waits try again now.
func (d *Drain) Wake() {
	d.mu.Lock()
	d.woken = true
	d.mu.Unlock()
	d.signal()
}

// LinkChanged tells that a carrier, an address or a route of this machine has
// changed. A connection that is being made is given up, a post that is under
// way gets one more second for its answer, and live points are tried at once.
// Where one post after the other ends so, it is not the way of the posts that
// comes and goes: the next one may go on.
func (d *Drain) LinkChanged() {
	d.mu.Lock()
	d.moved = true
	if d.flight != nil && d.cuts < mostCuts {
		d.flight(errLinkChanged)
	}
	d.mu.Unlock()
	d.signal()
}

func (d *Drain) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, and then returns nil. A post that is under way
// then has two seconds for its answer; without one its points are given back.
func (d *Drain) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		d.opts.Beat(longestTurn)
		if wait := d.turn(ctx); wait > 0 {
			d.publish()
			wait = min(wait, idleTick)
			d.opts.Beat(wait + beatGrace)
			d.pause(ctx, wait)
		}
	}
	for l := range lanes {
		d.finish(&d.loads[l])
	}
	return nil
}

// pause waits, at most until one of the reasons to go on comes.
func (d *Drain) pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-d.wake:
	case <-d.opts.Store.Committed():
	}
}

// turn does the most urgent thing. It tells how long to wait before the next
// turn, 0 for not at all.
func (d *Drain) turn(ctx context.Context) time.Duration {
	d.heed()
	if wait := d.clock(ctx); wait > 0 {
		return wait
	}
	now := d.opts.Now()
	if wait := d.store.wait(now); wait > 0 {
		return wait
	}
	d.gates.token(now, d.tokenChanged)
	try, opens := choose(d.choice[:0], d.view(now))
	d.choice = try
	if d.row++; d.row > mostInRow {
		d.favour = laneEvents + laneLogs - d.favour
		favour(try, d.favour)
		d.row = 0
	}
	for _, l := range try {
		if d.step(ctx, l) {
			return 0
		}
	}
	d.row = 0
	for l := range lanes {
		d.giveUpOld(&d.loads[l]) // nothing lets it go
	}
	if wait := d.store.wait(now); wait > 0 {
		return wait
	}
	d.rest(now)
	return d.idle(now, opens)
}

// heed takes up what other goroutines have told.
func (d *Drain) heed() {
	d.mu.Lock()
	next, woken, moved := d.next, d.woken, d.moved
	d.next, d.woken, d.moved = nil, false, false
	d.mu.Unlock()
	if next != nil {
		d.takeOver(*next)
	}
	if woken {
		d.gates.wake()
		d.store.soon()
	}
	if moved {
		d.gates.changed(d.opts.Now())
		d.sender.closeIdle()
	}
}

// takeOver makes t the target. Failures are the old one's, and so is what was
// learned of the way there.
func (d *Drain) takeOver(t Target) {
	if d.sender != nil {
		d.sender.closeIdle()
	}
	for l := range lanes {
		d.finish(&d.loads[l])
	}
	if token := t.Token; token != nil {
		t.Token = func() (probes.Secret, error) {
			secret, err := token()
			d.sent = secret
			return secret, err
		}
	}
	d.sender, d.shaper = newSender(t, d.opts.Version), newShaper()
	d.gates = gates{moved: d.gates.moved}
	d.store = gate{}
}

// clock waits until the time is known.
func (d *Drain) clock(ctx context.Context) time.Duration {
	now := d.opts.Now()
	switch {
	case d.opts.Trusted == nil && clockUnset(now):
		d.clockless(now, fmt.Sprintf("the clock of this machine says %s, so no point is sent: set it", now.Format(time.DateOnly)))
		return idleTick
	case d.opts.Trusted == nil || d.opts.Trusted():
		return 0
	case !d.gates.link.open(now):
		return d.gates.link.wait(now)
	}
	cause := "the time is not known yet, so no point is sent; a server for clock.ntp, or an RTC, would tell it"
	if d.opts.AskTime != nil {
		if err := d.ask(ctx); err != nil && ctx.Err() == nil {
			cause = fmt.Sprintf("the time is not known yet, so no point is sent, and the environment does not tell it: %s", networkCause(err))
		}
	}
	switch {
	case ctx.Err() != nil:
		return idleTick
	case d.opts.Trusted():
		d.gates.link.taken()
		return 0
	}
	now = d.opts.Now()
	o := outcome{verdict: later, unreached: true, cause: cause}
	d.gates.link.shut(o, now, paceOf(metrics, o).delay(d.gates.link.failures+1, d.opts.Random()))
	d.clockless(now, cause)
	return d.gates.link.next.Sub(now)
}

// ask has the environment tell the time.
func (d *Drain) ask(ctx context.Context) error {
	ctx, cancel := d.fly(ctx, defaultTimeout)
	defer cancel()
	return d.opts.AskTime(ctx)
}

// fly gives a context that LinkChanged can end.
func (d *Drain) fly(ctx context.Context, most time.Duration) (context.Context, func()) {
	ctx, stop := context.WithTimeout(ctx, most)
	ctx, cancel := context.WithCancelCause(ctx)
	d.mu.Lock()
	d.flight = cancel
	if d.moved && d.cuts < mostCuts {
		cancel(errLinkChanged) // since heed: kept connections may be dead
	}
	d.mu.Unlock()
	return ctx, func() {
		d.mu.Lock()
		d.flight = nil
		d.mu.Unlock()
		cancel(nil)
		stop()
	}
}

// view is what the choice of a lane depends on.
func (d *Drain) view(now time.Time) view {
	wire := int64(float64(d.shaper.size()) * d.packed)
	if d.spreadUntil.Sub(now) > spreadOver {
		d.spreadUntil = time.Time{} // the clock has gone back
	}
	return view{
		now: now, protocol: d.sender.target.Protocol, gates: &d.gates, late: d.opts.Late, spread: d.spreadUntil,
		frugal: d.budget.wait(now, wire, d.shaper.rate()),
	}
}

// idle is how long there is nothing to do: until a lane opens, or a minute can
// be folded.
func (d *Drain) idle(now time.Time, opens time.Duration) time.Duration {
	wait := idleTick
	if opens > 0 {
		wait = min(wait, opens)
	}
	if d.cadence != nil {
		d.cadence.prune(now)
		next := now.Add(-d.opts.Settle).Truncate(time.Minute).Add(time.Minute + d.opts.Settle)
		wait = min(wait, next.Sub(now))
	}
	return max(wait, time.Millisecond)
}
