package courier

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const site = "plant-7"

// broker is one in memory. Messages take 10 ms.
type broker struct {
	mu       sync.Mutex
	dead     bool
	conns    map[*fakeConn]bool
	relays   map[*standIn]bool // that are connected
	turn     int
	retained map[string]mqtt.Message
	work     sync.WaitGroup
}

func newBroker() *broker {
	return &broker{conns: make(map[*fakeConn]bool), relays: make(map[*standIn]bool), retained: make(map[string]mqtt.Message)}
}

const way = 10 * time.Millisecond

var errCut = errors.New("the link is cut")

type fakeConn struct {
	b      *broker
	will   mqtt.Message
	mu     sync.Mutex
	routes []func(mqtt.Incoming) bool
	queue  chan mqtt.Message
	closed chan struct{}
	once   sync.Once
}

func (b *broker) dial(_ context.Context, c Call) (Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return nil, fmt.Errorf("dial %s: %w", c.Broker, errCut)
	}
	x := &fakeConn{b: b, will: c.Will, queue: make(chan mqtt.Message, 10_000), closed: make(chan struct{})}
	b.conns[x] = true
	b.work.Go(x.run)
	return x, nil
}

func (x *fakeConn) run() {
	for {
		select {
		case <-x.closed:
			return
		case m := <-x.queue:
			time.Sleep(way)
			x.mu.Lock()
			routes := x.routes
			x.mu.Unlock()
			for _, handle := range routes {
				if handle(mqtt.Incoming{Topic: m.Topic, Payload: m.Payload, Retained: m.Retain}) {
					break
				}
			}
		}
	}
}

func (x *fakeConn) Publish(ctx context.Context, m mqtt.Message) error {
	timer := time.NewTimer(way)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.closed:
		return errCut
	case <-ctx.Done():
		return ctx.Err()
	}
	return x.b.publish(m)
}

func (b *broker) publish(m mqtt.Message) error {
	b.mu.Lock()
	if b.dead {
		b.mu.Unlock()
		return errCut
	}
	if m.Retain {
		b.retained[m.Topic] = m
	}
	var to []*standIn
	for s := range b.relays {
		to = append(to, s)
	}
	if strings.Contains(m.Topic, "/up/") && len(to) > 1 { // shared
		b.turn++
		pick := to[0]
		for _, s := range to {
			if (s.id < pick.id) == (b.turn%2 == 0) {
				pick = s
			}
		}
		to = []*standIn{pick}
	}
	b.mu.Unlock()
	for _, s := range to {
		s.hear(m.Topic, m.Payload)
	}
	return nil
}

// down is for what relays say.
func (b *broker) down(m mqtt.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return
	}
	if m.Retain {
		b.retained[m.Topic] = m
	}
	for x := range b.conns {
		select {
		case x.queue <- mqtt.Message{Topic: m.Topic, Payload: m.Payload}:
		default:
		}
	}
}

func (x *fakeConn) Subscribe(_ context.Context, filter string, _ byte, handle func(mqtt.Incoming)) error {
	x.mu.Lock()
	x.routes = append(x.routes, func(in mqtt.Incoming) bool {
		if !matches(filter, in.Topic) {
			return false
		}
		handle(in)
		return true
	})
	x.mu.Unlock()
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	for topic, m := range x.b.retained {
		if matches(filter, topic) {
			x.queue <- m
		}
	}
	return nil
}

func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if len(f) != len(t) {
		return false
	}
	for i := range f {
		if f[i] != "+" && f[i] != t[i] {
			return false
		}
	}
	return true
}

func (x *fakeConn) Closed() <-chan struct{} { return x.closed }
func (x *fakeConn) Err() error              { return errCut }
func (x *fakeConn) CertExpires() time.Time  { return time.Time{} }
func (x *fakeConn) Close(context.Context) error {
	x.once.Do(func() { close(x.closed) })
	x.b.mu.Lock()
	defer x.b.mu.Unlock()
	delete(x.b.conns, x)
	return nil
}

// cut ends all connections.
func (b *broker) cut() {
	b.mu.Lock()
	conns := b.conns
	b.conns = make(map[*fakeConn]bool)
	b.mu.Unlock()
	for x := range conns {
		x.once.Do(func() { close(x.closed) })
		b.retain(x.will)
	}
}

func (b *broker) retain(m mqtt.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retained[m.Topic] = m
}

func (b *broker) setDead(dead bool) {
	b.mu.Lock()
	b.dead = dead
	b.mu.Unlock()
	if dead {
		b.cut()
	}
}

// join connects a relay.
func (b *broker) join(s *standIn) {
	s.say = b.down
	b.mu.Lock()
	b.relays[s] = true
	b.mu.Unlock()
	s.tell(wire.StateOnline, false)
}

// leave disconnects a relay; its will is told.
func (b *broker) leave(s *standIn) {
	b.mu.Lock()
	delete(b.relays, s)
	b.mu.Unlock()
	s.tell(wire.StateLost, false)
}

// world is a site with its store, a broker and a hub.
type world struct {
	t       *testing.T
	path    string
	store   *buffer.Store
	broker  *broker
	hub     *hub
	relay   *standIn
	courier *Courier
	cancel  func()
	done    chan struct{}
	opts    Options
	fed     int
	trusted bool
	starts  uint64
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "site.db"), broker: newBroker(), hub: newHub(), trusted: true}
	w.relay = newStandIn(t, "hub-1", "00000000000000aa", w.hub)
	w.opts = Options{
		Target: Target{Brokers: []string{"mqtt://127.0.0.1:1883"}, Dial: w.broker.dial, BlockSize: 4 << 10},
		Site:   site, Log: zerolog.Nop(), Random: func() float64 { return 0.5 }, Trusted: func() bool { return w.trusted },
	}
	w.openStore()
	return w
}

func (w *world) openStore() {
	w.t.Helper()
	var err error
	if w.store, err = buffer.Open(buffer.Options{Path: w.path, CommitInterval: time.Second, Window: time.Hour, Log: zerolog.Nop()}); err != nil {
		w.t.Fatal(err)
	}
}

// start starts a courier over the store.
func (w *world) start() {
	w.starts++
	o := w.opts
	o.Store, o.Epoch = w.store, w.starts
	w.courier = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		if err := w.courier.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.cancel = cancel
}

// look does something in the goroutine of the courier.
func (w *world) look(at func()) {
	done := make(chan struct{})
	w.courier.leave(func() { at(); close(done) })
	<-done
}

func (w *world) stop() {
	w.cancel()
	<-w.done
}

// crash ends the courier as a killed process would: with no further word, and
// nothing given back.
func (w *world) crash() {
	w.broker.cut()
	w.courier.leave(func() {
		w.courier.table = newTable()
		w.courier.opts.Store = dumb{w.store}
	})
	w.stop()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.openStore()
}

// dumb is a store that does nothing any more.
type dumb struct{ *buffer.Store }

func (d dumb) Lease(buffer.Query) (*buffer.Lease, error)             { return nil, nil }
func (d dumb) Settle(*buffer.Lease, []buffer.Settlement) error       { return nil }
func (d dumb) SettleElsewhere(*buffer.Lease, buffer.Elsewhere) error { return nil }

func (w *world) close() {
	w.stop()
	if _, err := w.store.Verify(); err != nil {
		w.t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
	w.broker.setDead(true)
	w.broker.work.Wait()
}

// feed appends points of some series, measured now.
func (w *world) feed(n int) {
	w.t.Helper()
	points := make([]probes.Point, n)
	for i := range points {
		w.fed++
		s := probes.NewSeries("test.points", probes.Gauge, probes.Dimension{Key: "n", Value: fmt.Sprint(i % 50)})
		points[i] = probes.Point{Series: s, Value: probes.Int(int64(w.fed)), Stamp: probes.Stamp{Wall: time.Now().UnixMilli()}}
	}
	if err := w.store.Append(context.Background(), points); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for a condition, in the time of the bubble.
func (w *world) until(most time.Duration, what string, yes func() bool) {
	w.t.Helper()
	for end := time.Now().Add(most); !yes(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: not after %v; account %+v, state %+v, custody %+v", what, most, w.store.Account(), w.courier.State(), w.courier.Relay())
		}
	}
}

// all waits until all that was fed is delivered, and checks that nothing is
// lost and nothing came twice.
func (w *world) all(most time.Duration) {
	w.t.Helper()
	w.until(most, "all delivered", func() bool {
		a := w.store.Account()
		return a.Delivered == int64(w.fed) && a.Buffered == 0
	})
	w.exactly(0)
}

func (w *world) exactly(twice int) {
	w.t.Helper()
	synctest.Wait()
	if n, again := w.hub.arrived(); n != w.fed || again != twice {
		w.t.Errorf("%d of %d points arrived, %d of them twice, want %d", n, w.fed, again, twice)
	}
	if a := w.store.Account(); a.Accepted != a.Buffered+a.Delivered+a.Late+a.DeadLetter+a.Evicted+a.Damaged+a.Purged {
		w.t.Errorf("the account does not add up: %+v", a)
	}
}

func run(t *testing.T, story func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.close() }()
		story(t, w)
	})
}
