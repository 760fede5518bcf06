// Package relay is the hub's side of the way over MQTT: it takes custody of the
// blocks that sites publish, acknowledges them once they are on its disk, offers
// them to a drain, and tells each site what became of its own.
//
// Nothing is stored that cannot be read: a block is decoded when it comes, and
// rejected for good where it is malformed, speaks for another site, or has times
// that are guesses. What the broker acknowledges means nothing; a relay
// acknowledges to the broker only to bound what is under way.
package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// Conn is a connection to a broker. *mqtt.Conn is one.
type Conn interface {
	Publish(ctx context.Context, m mqtt.Message) error
	Subscribe(ctx context.Context, filter string, qos byte, handle func(mqtt.Incoming)) error
	Closed() <-chan struct{}
	Err() error
	Close(ctx context.Context) error
	CertExpires() time.Time
}

// Call is what a connection is made with. Messages are acknowledged by hand.
type Call struct {
	Broker string
	Will   mqtt.Message
}

// Network is where sites are met. It may change while a relay runs.
type Network struct {
	Brokers []string // all of them at once
	Prefix  string   // of all topics; "": edgehold
	Dial    func(ctx context.Context, c Call) (Conn, error)
}

// Options are the settings of a relay and what it works with.
type Options struct {
	Network
	ID      string
	Version string
	// Dimensions are of the relay's own points and events, its site among them.
	Dimensions []probes.Dimension

	Store  *custody.Store
	Clock  probes.Clock
	Window time.Duration // how old a point may be when it is delivered; one hour if 0
	// SilentAfter is how long a site may say nothing until that is an event;
	// 0: for ever.
	SilentAfter time.Duration
	DenyFile    string // a signed deny list for all sites, with its .sig; "": none
	Log         zerolog.Logger

	Now    func() time.Time // the best that is known of the time; nil: time.Now
	Random func() float64   // in [0, 1), for jitter; nil: the runtime's
	Ticks  Ticks
}

// Ticks are how often things are looked at; zero fields are the usual ones.
type Ticks struct {
	Ack   time.Duration // an acknowledgement waits so long for others; 50 ms
	Watch time.Duration // silent sites, the deny list; 15 s
	Slow  time.Duration // pressure of the store; 1 s
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, x := range []struct {
		tick  *time.Duration
		usual time.Duration
	}{{&o.Ticks.Ack, 50 * time.Millisecond}, {&o.Ticks.Watch, 15 * time.Second}, {&o.Ticks.Slow, time.Second}} {
		if *x.tick == 0 {
			*x.tick = x.usual
		}
	}
	return o
}

// Relay takes blocks of sites into its store.
type Relay struct {
	opts  Options
	names *names
	shelf *Shelf
	sites *sites
	acks  *acks
	own   *own
	taken chan taken
	deny  denyList

	readers sync.Pool // of *wire.Reader
	counts  counts
	slow    atomic.Int64 // of the whole store, ms
	state   atomic.Pointer[string]

	looking sync.Mutex // for silent sites

	mu      sync.Mutex // guards what follows
	network Network
	brokers map[string]*broker
	work    context.Context // of the brokers; nil: Run has not begun, or is over
	running sync.WaitGroup  // brokers
}

// counts are of this run.
type counts struct {
	blocks, probes, stored, duplicates, done, rejected, names, full, garbled, dropped atomic.Int64
}

// mostTaken bounds the blocks that wait for their commit, so that a broker
// without a window of its own cannot fill the memory.
const mostTaken = 1024

// New makes a relay. It does nothing until Run.
func New(o Options) *Relay {
	o = o.withDefaults()
	r := &Relay{opts: o, network: o.Network, brokers: make(map[string]*broker), taken: make(chan taken, mostTaken)}
	r.names = newNames(o.Store)
	r.shelf = newShelf(o, r.names)
	r.sites = newSites(o.Store, o.SilentAfter)
	r.acks = newAcks()
	r.own = newOwn(o)
	r.readers.New = func() any { return wire.NewReader() }
	r.say(wire.StateOnline)
	return r
}

// Shelf offers the blocks to a drain.
func (r *Relay) Shelf() *Shelf { return r.shelf }

// say sets the word that the relay tells of itself.
func (r *Relay) say(word string) { r.state.Store(&word) }

// farewell is how long an orderly stop may take.
const farewell = 5 * time.Second

// Run takes blocks until ctx ends. Then sites hear that the relay stops, and what
// has come already is stored and acknowledged.
func (r *Relay) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){r.answerTaken, r.flushAcks, r.tellFinished, r.watch, r.watchPressure} {
		parts.Go(func() { part(work) })
	}
	brokerWork, stopBrokers := context.WithCancel(work)
	defer stopBrokers()
	r.mu.Lock()
	r.work = brokerWork
	r.mu.Unlock()
	r.Change(r.network)
	<-ctx.Done()

	r.say(wire.StateDraining)
	r.announce()
	r.drainTaken(farewell)
	r.say(wire.StateStopped)
	r.announce()
	r.mu.Lock()
	r.work = nil
	r.mu.Unlock()
	stopBrokers()
	r.running.Wait()
	cancel()
	parts.Wait()
	r.sites.save()
	return nil
}

// drainTaken waits until all that has come is stored and acknowledged.
func (r *Relay) drainTaken(most time.Duration) {
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(r.taken) > 0 || r.acks.waiting() > 0 {
		select {
		case <-deadline.C:
			return
		case <-tick.C:
		}
	}
}

// Change makes n the network: brokers that are no longer in it are left, new
// ones are joined. A connection that stands is kept where its broker stays;
// Reconnect ends it.
func (r *Relay) Change(n Network) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moved := n.Prefix != r.network.Prefix
	r.network = n
	for url, b := range r.brokers {
		if moved || !slices.Contains(n.Brokers, url) {
			b.leave()
			delete(r.brokers, url)
		}
	}
	if r.work == nil {
		return
	}
	for _, url := range n.Brokers {
		if r.brokers[url] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(r.work)
		b := newBroker(r, url, cancel)
		r.brokers[url] = b
		r.running.Go(func() { b.run(ctx) })
	}
}

// Reconnect makes all connections anew, with what certificates and passwords are
// in their files now.
func (r *Relay) Reconnect() {
	for _, b := range r.all() {
		b.hangUp(errReconnect)
	}
}

var errReconnect = errors.New("the configuration has changed")

// all are the brokers, in the order of the configuration.
func (r *Relay) all() []*broker {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*broker
	for _, url := range r.network.Brokers {
		if b := r.brokers[url]; b != nil {
			list = append(list, b)
		}
	}
	return list
}

func (r *Relay) topics() wire.Topics {
	r.mu.Lock()
	defer r.mu.Unlock()
	return wire.Topics{Prefix: r.network.Prefix}
}
