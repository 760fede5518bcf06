// Package courier is a site's way out over MQTT: it makes blocks of what the
// store holds, hands them to relays, and keeps what it has handed over until a
// relay says what became of it.
//
// A block goes through these steps. Its lease is claimed, durably, before it
// leaves for the first time. A relay that has it on its disk says stored: then
// it is not sent again, unless that relay loses its store. Once everything in
// it is settled, a relay says delivered, with counts: then the lease is settled
// by them and the claim is gone. A process that starts finds the claims of its
// predecessors, and asks relays what became of them.
package courier

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// Store is what a courier needs of the buffer. *buffer.Store is one.
type Store interface {
	drain.Store
	Trim(l *buffer.Lease, keep func(i int) bool)
	Claim(l *buffer.Lease, id buffer.ClaimID) *buffer.Ticket
	Claims() []buffer.ClaimID
	Reclaim(id buffer.ClaimID) (*buffer.Lease, error)
	Reload(l *buffer.Lease) error
	SettleElsewhere(l *buffer.Lease, e buffer.Elsewhere) error
}

// Conn is a connection to a broker. *mqtt.Conn is one.
type Conn interface {
	Publish(ctx context.Context, m mqtt.Message) error
	Subscribe(ctx context.Context, filter string, qos byte, handle func(mqtt.Incoming)) error
	Closed() <-chan struct{}
	Err() error
	Close(ctx context.Context) error
	CertExpires() time.Time
}

// Call is what a connection is made with.
type Call struct {
	Broker  string
	Will    mqtt.Message
	Traffic func(sent, received int) // to be told of bytes that moved
}

// Target is where blocks go, and how. It may change while a courier runs.
type Target struct {
	Brokers   []string // tried in this order
	Prefix    string   // of all topics; "": edgehold
	BlockSize int      // bytes at most; 0: wire.DefaultBlock
	Codec     wire.Codec
	Dial      func(ctx context.Context, c Call) (Conn, error)
}

// About is what a site tells of itself beside what the courier knows.
type About struct {
	Version, Config string
	Backlog, Late   int64     // points
	Oldest          time.Time // of the backlog; zero: there is none
}

// Options are the settings of a courier and what it works with.
type Options struct {
	Target
	Site   string
	Store  Store
	Log    zerolog.Logger
	Window time.Duration // how old a point may be when it is delivered; one hour if 0
	Budget drain.Budget  // of all that is not live

	Late           drain.LateMode
	LateResolution time.Duration // folds late points that leave as log records; 0 is one minute

	About   func() About      // nil: nothing
	OnDeny  func(list []byte) // gets the deny list that relays hand on; nil: nobody does
	Trusted func() bool       // whether the time is known; nil: always. While it is not, nothing leaves

	// Beat is called by the loop of Run: it is well, and says so again within
	// that time. nil: nobody asks.
	Beat func(within time.Duration)

	Now    func() time.Time // the best that is known of the time; nil: time.Now
	Random func() float64   // in [0, 1), for jitter; nil: math/rand
	Epoch  uint64           // of the blocks; 0: a random one, as it must be outside of tests
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = time.Hour
	}
	if o.LateResolution == 0 {
		o.LateResolution = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = mathrand.Float64
	}
	if o.Beat == nil {
		o.Beat = func(time.Duration) {}
	}
	if o.About == nil {
		o.About = func() About { return About{} }
	}
	for o.Epoch == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		o.Epoch = binary.LittleEndian.Uint64(b[:])
	}
	return o
}

// Courier hands on what the buffer holds. One goroutine, that of Run, owns all
// of its state; others leave word for it.
type Courier struct {
	opts  Options
	wake  chan struct{} // has room for one
	moved counter       // bytes on the wire

	mu    sync.Mutex // guards what follows
	state drain.State
	relay Relay
	words []func() // to be done by the goroutine of Run

	// Of the goroutine of Run alone:
	target    Target
	topics    wire.Topics
	boot      uint64
	seq       uint64 // the last that was given
	link      link
	relays    relays
	table     table
	window    window
	rate      rate
	allowance *drain.Allowance
	writer    *wire.Writer
	numbers   *wire.Numbering
	sizes     [lanes]float64 // bytes of a point or an entry in a block
	turns     int            // leases, so that log records have their turn
	claims    []claimed      // on their way to the disk, without one who waits
	waiting   bool           // somebody waits for claims
	hungry    bool           // there may be something to lease
	grace     time.Duration  // after the connection, until the word of relays is believed to be that of all
	work      sync.WaitGroup // goroutines that wait for the network or the disk
	count     counts
	gates     gates
	log       journal
}

// counts are sums since the start.
type counts struct {
	resends, twice, again, adjusted, rejected, malformed int64
}

// gates are when things are done next.
type gates struct {
	store  time.Time // nothing is leased before: the store fails or waits
	fails  int       // of the store, in a row
	ask    time.Time // about what is doubtful or stored; zero: not known
	tell   time.Time // the own state
	spread time.Time // until when the backlog waits, so that sites do not come all at once
	// Since when there is no relay online; zero while there is one.
	alone  time.Time
	joined time.Time // since when the broker is connected
	live   time.Time // when live points are looked for, while relays hold many blocks
	budget time.Time // when the budget lets more leave
}

// New makes a courier. It does nothing until Run.
func New(o Options) *Courier {
	o = o.withDefaults()
	c := &Courier{
		opts: o, wake: make(chan struct{}, 1), relays: newRelays(), table: newTable(),
		allowance: drain.NewAllowance(o.Budget, o.Store), writer: wire.NewWriter(), numbers: wire.NewNumbering(),
	}
	for l := range lanes {
		c.sizes[l] = l.firstSize()
	}
	now := o.Now()
	c.state = drain.State{State: drain.Idle, Since: now, Breaker: drain.Closed}
	for l := range lanes {
		c.state.Lanes = append(c.state.Lanes, drain.LaneState{Lane: l.String()})
	}
	c.hungry = true
	c.grace, c.gates.alone = grace, time.Now()
	c.relay.NoneSince = now
	c.takeOver(o.Target)
	return c
}

// takeOver makes t the target.
func (c *Courier) takeOver(t Target) {
	if t.BlockSize <= 0 {
		t.BlockSize = wire.DefaultBlock
	}
	c.target, c.topics = t, wire.Topics{Prefix: t.Prefix}
}

// Change gives the courier another target: it connects anew at once.
func (c *Courier) Change(t Target) {
	c.leave(func() {
		c.hangUp("the configuration has changed")
		c.takeOver(t)
		c.link.broker = 0
		c.link.soon()
	})
}

// Wake makes a courier that waits for the broker try again now.
func (c *Courier) Wake() { c.leave(c.link.soon) }

// LinkChanged tells that a carrier, an address or a route of this machine has
// changed. A connection on which something has waited for an answer for some
// seconds is given up.
func (c *Courier) LinkChanged() {
	c.leave(func() {
		c.link.soon()
		now := time.Now()
		for _, b := range c.table.active {
			if b.phase == sent && now.Sub(b.since) > stale {
				c.hangUp("the network has changed")
				return
			}
		}
	})
}

// stale is how long an answer may be out when the network changes.
const stale = 5 * time.Second

// leave leaves word for the goroutine of Run.
func (c *Courier) leave(word func()) {
	c.mu.Lock()
	c.words = append(c.words, word)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// heed does what others have left word for.
func (c *Courier) heed() {
	c.mu.Lock()
	words := c.words
	c.words = nil
	c.mu.Unlock()
	for _, word := range words {
		word()
	}
}

// idleTick looks for points whose time has come without a commit.
const idleTick = 30 * time.Second

const (
	longestTurn = 10 * time.Minute // far above what reading the store takes
	beatGrace   = 30 * time.Second // how late the end of a pause may be told
)

// Run hands on until ctx ends, and then returns nil. What has not left then is
// given back; what has stays claimed, for the next start.
func (c *Courier) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer c.work.Wait()
	defer cancel()
	c.link.ctx = work
	c.opts.Beat(longestTurn)
	c.begin(ctx)
	for ctx.Err() == nil {
		c.opts.Beat(longestTurn)
		wait := min(c.turn(), idleTick)
		c.show()
		c.opts.Beat(wait + beatGrace)
		c.pause(ctx, wait)
	}
	c.stop()
	return nil
}

// pause waits, at most until one of the reasons to go on comes.
func (c *Courier) pause(ctx context.Context, wait time.Duration) {
	if wait > idleTick/2 {
		c.writer.Rest()
	}
	timer := time.NewTimer(max(wait, time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		c.hungry = true
	case <-c.wake:
	case <-c.opts.Store.Committed():
		c.hungry = true
	}
}

// turn does all that can be done now, and tells how long nothing else can.
func (c *Courier) turn() time.Duration {
	c.heed()
	now := time.Now()
	c.connect(now)
	c.overdue(now)
	if c.opts.Late == drain.LateDrop && c.trusted() {
		c.dropLate(now)
	}
	if c.mayLeave(now) {
		c.lease(now)
		c.publish(now)
	}
	c.awaitClaims()
	c.ask(now)
	c.tell(now)
	return c.idle(now)
}

// idle is how long there is nothing to do.
func (c *Courier) idle(now time.Time) time.Duration {
	wait := idleTick
	sooner := func(at time.Time) {
		if left := at.Sub(now); !at.IsZero() && left > 0 {
			wait = min(wait, left)
		}
	}
	sooner(c.table.opens())
	sooner(c.link.next)
	sooner(c.gates.store)
	sooner(c.gates.spread)
	sooner(c.gates.budget)
	if c.link.up {
		sooner(c.gates.ask)
		sooner(c.gates.tell)
		if _, slow := c.relays.open(now); slow > 0 {
			wait = min(wait, slow)
		}
	}
	return wait
}
