package drain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const (
	maxPosts = 32 // for one lease; what is undecided then is given back
	// idleTick looks for points whose time has come without a commit.
	idleTick = 30 * time.Second
)

// Store is what a drain needs of the buffer. *buffer.Store is one.
type Store interface {
	Lease(q buffer.Query) (*buffer.Lease, error)
	Settle(l *buffer.Lease, each []buffer.Settlement) error
	Committed() <-chan struct{}
	Account() buffer.Account
}

// Options are the settings of a drain and what it works with.
type Options struct {
	URL     string                        // of the environment, without /api
	Token   func() (probes.Secret, error) // asked before each post
	Client  *http.Client                  // see NewClient
	Store   Store
	Log     zerolog.Logger
	Window  time.Duration    // how old a point may be when it arrives; one hour if 0
	Version string           // for the User-Agent
	Now     func() time.Time // nil: time.Now
	Random  func() float64   // in [0, 1), for the jitter; nil: math/rand
}

// Drain sends what the buffer holds.
type Drain struct {
	opts Options
	wake chan struct{}

	mu    sync.Mutex
	state State
	next  *sender // takes over before the next post

	// Of the goroutine of Run alone:
	sender   *sender
	load     load
	failures int       // in a row
	downAs   string    // the state of which the log knows, "" while up
	downAt   time.Time // since when it is down
	reason   string    // the last refusal of which the log knows
}

// New makes a drain. It does nothing until Run.
func New(o Options) *Drain {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Drain{
		opts:  o,
		next:  newSender(o),
		wake:  make(chan struct{}, 1),
		state: State{State: Idle, Since: o.Now()},
	}
}

// Change gives the drain the URL, token and client of o from the next post on,
// and makes it try again now. A post that is under way keeps the old ones: cut
// off, it might arrive twice.
func (d *Drain) Change(o Options) {
	o.Version = d.opts.Version
	d.mu.Lock()
	d.next = newSender(o)
	d.mu.Unlock()
	d.Wake()
}

// takeOver puts the sender of the last change in the place of the old one. Its
// failures are its own.
func (d *Drain) takeOver() {
	d.mu.Lock()
	next := d.next
	d.next = nil
	d.mu.Unlock()
	if next == nil {
		return
	}
	if d.sender != nil {
		d.sender.client.CloseIdleConnections()
	}
	d.sender, d.failures = next, 0
}

// Wake makes a drain that waits try again now.
func (d *Drain) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, and then returns nil. A post that is under way
// then has two seconds for its answer; without one its points are given back.
func (d *Drain) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, committed := d.turn(ctx)
		if wait > 0 {
			d.pause(ctx, wait, committed)
		}
	}
	return nil
}

// pause waits, at most until one of the reasons to go on comes.
func (d *Drain) pause(ctx context.Context, wait time.Duration, committed <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-d.wake:
	case <-committed:
	}
}

// turn sends one lease, if there is one. It tells how long to wait before the
// next turn, and whether a commit is a reason not to.
func (d *Drain) turn(ctx context.Context) (wait time.Duration, committed <-chan struct{}) {
	d.takeOver()
	lease, failed := d.take()
	if lease == nil && failed == nil {
		d.rest()
		return idleTick, d.opts.Store.Committed()
	}
	if failed == nil {
		failed = d.deliver(ctx, lease)
	}
	if failed == nil || ctx.Err() != nil {
		return 0, nil
	}
	return d.down(*failed), nil
}

// take leases what is most urgent: nil and nil when there is nothing.
func (d *Drain) take() (*buffer.Lease, *outcome) {
	now := d.opts.Now()
	if clockUnset(now) {
		return nil, &outcome{verdict: later, cause: fmt.Sprintf("the clock of this machine says %s, so no point is sent: set it", now.Format(time.DateOnly))}
	}
	for _, q := range lanes(now, d.opts.Window) {
		lease, err := d.opts.Store.Lease(q)
		if err != nil {
			return nil, &outcome{verdict: later, cause: fmt.Sprintf("take points from the buffer: %v", err)}
		}
		if lease != nil {
			return lease, nil
		}
	}
	return nil, nil
}

// deliver sends a lease and settles it. It returns what stopped it, nil when
// the next lease can follow at once.
func (d *Drain) deliver(ctx context.Context, lease *buffer.Lease) *outcome {
	d.load = newLoad(lease, d.load)
	failed := d.send(ctx)
	err := d.opts.Store.Settle(lease, d.load.each)
	d.noteRefused()
	d.load.lease, d.load.each = nil, nil
	if err != nil && failed == nil {
		failed = &outcome{verdict: later, cause: fmt.Sprintf("settle points in the buffer: %v", err)}
	}
	return failed
}

// send posts the lines of the load, in halves where the whole is refused
// without naming a line.
func (d *Drain) send(ctx context.Context) *outcome {
	parts := []span{{0, len(d.load.lines)}}
	for posts := 0; len(parts) > 0 && posts < maxPosts && ctx.Err() == nil; posts++ {
		part := parts[0]
		parts = parts[1:]
		if part.len() == 0 || tooLate(d.load.oldest(part), d.opts.Now(), d.opts.Window) {
			continue
		}
		o := d.post(ctx, part)
		switch o.verdict {
		case accepted, partly:
			d.load.deliver(part, o.refused)
			d.up(part.len()-len(o.refused), o.unnamed)
		case split:
			parts = append(d.divide(part, o.cause), parts...)
			if d.load.hopeless() {
				return d.load.judge()
			}
		default:
			d.load.judge()
			return &o
		}
	}
	return d.load.judge()
}

// divide gives the halves of a part. A single line has none: it is suspected.
func (d *Drain) divide(part span, cause string) []span {
	if part.len() == 1 {
		d.load.suspects = append(d.load.suspects, refusal{part.from, cause})
		return nil
	}
	first, second := part.halves()
	return []span{first, second}
}

// post sends one part and counts.
func (d *Drain) post(ctx context.Context, part span) outcome {
	text := d.load.slice(part)
	if d.failures == 0 {
		d.update(func(s *State) { s.enter(Sending, d.opts.Now()) })
	}
	x, size, err := d.sender.post(ctx, text, part.len())
	if err != nil {
		return outcome{verdict: hold, cause: err.Error()}
	}
	o := classify(x, d.opts.Now())
	d.update(func(s *State) {
		s.Posts++
		s.BytesText += int64(len(text))
		s.BytesSent += int64(size)
		s.AmbiguousPosts += one(o.ambiguous)
		s.ThrottledPosts += one(o.throttled)
	})
	return o
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// up notes that a post was taken, with so many of its lines.
func (d *Drain) up(lines, unnamed int) {
	now := d.opts.Now()
	d.failures = 0
	firstUnnamed := false
	d.update(func(s *State) {
		firstUnnamed = unnamed > 0 && s.LinesUnnamed == 0
		s.enter(Sending, now)
		s.NextTry = time.Time{}
		s.LinesAccepted += int64(lines)
		s.LinesUnnamed += int64(unnamed)
		if lines > unnamed {
			s.LastSuccess = now
		}
	})
	if firstUnnamed {
		d.opts.Log.Warn().Int("lines", unnamed).Msg("the server refused lines without saying which; such lines count as delivered, and in lines_unnamed")
	}
	if d.downAs != "" {
		d.opts.Log.Info().Dur("down_for", now.Sub(d.downAt)).Int64("backlog", d.opts.Store.Account().Buffered).Msg("uplink is up again")
		d.downAs = ""
	}
}

// noteRefused notes what was refused of the load; the log hears of a reason
// once as long as no other comes.
func (d *Drain) noteRefused() {
	n, reason := d.load.refused, d.load.reason
	if n == 0 {
		return
	}
	d.update(func(s *State) {
		s.LinesRefused += n
		s.LastError, s.LastErrorAt = "lines were refused and are dead letters: "+reason, d.opts.Now()
	})
	if reason != d.reason {
		d.opts.Log.Warn().Int64("lines", n).Str("reason", reason).Msg("lines were refused and are dead letters")
		d.reason = reason
	}
}

// down notes a failure, and tells how long to wait.
func (d *Drain) down(o outcome) time.Duration {
	d.failures++
	now := d.opts.Now()
	wait := max(o.wait, paceOf(o).delay(d.failures, d.opts.Random()))
	word := Backoff
	if o.verdict == hold {
		word = Hold
	}
	d.update(func(s *State) {
		s.enter(word, now)
		s.LastError, s.LastErrorAt, s.NextTry = o.cause, now, now.Add(wait)
	})
	if d.downAs == "" {
		d.downAt = now
	}
	if d.downAs != word {
		d.downAs = word
		d.opts.Log.Warn().Str("state", word).Str("cause", o.cause).Msg("uplink is down; points are kept")
	}
	return wait
}

// rest notes that there is nothing to send. An uplink that is down stays so:
// only a post that is taken shows that it is up.
func (d *Drain) rest() {
	now := d.opts.Now()
	if d.failures > 0 {
		d.update(func(s *State) { s.NextTry = now.Add(idleTick) })
		return
	}
	d.update(func(s *State) { s.enter(Idle, now) })
}
