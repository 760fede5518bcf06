package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// memoryBroker is a broker in memory: retained messages, wills and shared
// subscriptions.
type memoryBroker struct {
	mu       sync.Mutex
	conns    []*memoryConn
	retained map[string]mqtt.Message
	turn     int
}

func newMemoryBroker() *memoryBroker { return &memoryBroker{retained: make(map[string]mqtt.Message)} }

type memoryConn struct {
	broker *memoryBroker
	will   mqtt.Message
	subs   []memorySub
	inbox  chan func()
	closed chan struct{}
	once   sync.Once
	unread sync.WaitGroup
}

type memorySub struct {
	filter string
	shared bool
	handle func(mqtt.Incoming)
}

func (b *memoryBroker) dial(will mqtt.Message) *memoryConn {
	c := &memoryConn{broker: b, will: will, inbox: make(chan func(), 1<<16), closed: make(chan struct{})}
	b.mu.Lock()
	b.conns = append(b.conns, c)
	b.mu.Unlock()
	c.unread.Go(func() {
		for {
			select {
			case fn := <-c.inbox:
				fn()
			case <-c.closed:
				return
			}
		}
	})
	return c
}

var errClosedConn = errors.New("closed")

func (c *memoryConn) Publish(_ context.Context, m mqtt.Message) error {
	select {
	case <-c.closed:
		return errClosedConn
	default:
	}
	c.broker.publish(m)
	return nil
}

func (b *memoryBroker) publish(m mqtt.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Retain {
		b.retained[m.Topic] = m
	}
	var sharers []func()
	for _, c := range b.conns {
		for _, s := range c.subs {
			if !fits(s.filter, m.Topic) {
				continue
			}
			deliver := c.deliver(s, m, false)
			if s.shared {
				sharers = append(sharers, deliver)
				continue
			}
			deliver()
		}
	}
	if len(sharers) > 0 {
		b.turn++
		sharers[b.turn%len(sharers)]()
	}
}

func (c *memoryConn) deliver(s memorySub, m mqtt.Message, retained bool) func() {
	in := mqtt.Incoming{Topic: m.Topic, Payload: slices.Clone(m.Payload), Retained: retained, Ack: func() {}}
	return func() { c.inbox <- func() { s.handle(in) } }
}

func fits(filter, topic string) bool {
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

func (c *memoryConn) Subscribe(_ context.Context, filter string, _ byte, handle func(mqtt.Incoming)) error {
	b := c.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	plain, shared := strings.CutPrefix(filter, "$share/edgehold/")
	s := memorySub{plain, shared, handle}
	c.subs = append(c.subs, s)
	for topic, m := range b.retained {
		if !shared && fits(plain, topic) {
			c.deliver(s, m, true)()
		}
	}
	return nil
}

func (c *memoryConn) Closed() <-chan struct{} { return c.closed }
func (c *memoryConn) Err() error              { return errClosedConn }
func (c *memoryConn) CertExpires() time.Time  { return time.Time{} }

func (c *memoryConn) Close(context.Context) error {
	c.end(false)
	return nil
}

// end closes a connection, in order or not.
func (c *memoryConn) end(lost bool) {
	c.once.Do(func() {
		b := c.broker
		b.mu.Lock()
		b.conns = slices.DeleteFunc(b.conns, func(x *memoryConn) bool { return x == c })
		b.mu.Unlock()
		if lost && c.will.Topic != "" {
			b.publish(c.will)
		}
		close(c.closed)
	})
	c.unread.Wait()
}

// bench is a relay with what it needs, in memory but for its store.
type bench struct {
	t       testing.TB
	relay   *Relay
	store   *custody.Store
	brokers map[string]*memoryBroker
	folder  string
	options Options

	mu  sync.Mutex
	now time.Time

	stop func()
}

func (b *bench) Now() probes.Stamp {
	b.mu.Lock()
	defer b.mu.Unlock()
	return probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Second, Wall: b.now.UnixMilli()}
}

func (b *bench) time() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

var fastTicks = Ticks{Ack: 2 * time.Millisecond, Watch: 5 * time.Millisecond, Slow: 5 * time.Millisecond}

// newBench starts a relay. With start it is for tests to change the options.
func newBench(t testing.TB, change ...func(*Options, *custody.Options)) *bench {
	t.Helper()
	b := &bench{t: t, brokers: map[string]*memoryBroker{"a": newMemoryBroker()}, folder: t.TempDir(), now: time.Now().Truncate(time.Minute)}
	b.options = Options{
		Network: Network{Brokers: []string{"a"}, Dial: b.dial}, ID: "hub-1", Version: "test", Clock: b, Now: b.time, Log: zerolog.Nop(),
		Dimensions: []probes.Dimension{{Key: "site", Value: "hub"}}, Ticks: fastTicks,
	}
	b.open(change...)
	t.Cleanup(func() { b.close() })
	return b
}

func (b *bench) dial(_ context.Context, c Call) (Conn, error) {
	broker := b.brokers[c.Broker]
	if broker == nil {
		return nil, fmt.Errorf("no broker %s", c.Broker)
	}
	return broker.dial(c.Will), nil
}

func (b *bench) open(change ...func(*Options, *custody.Options)) {
	b.t.Helper()
	o, disk := b.options, custody.Options{Path: filepath.Join(b.folder, "relay.db"), SettleInterval: 2 * time.Millisecond, Now: b.time, Log: zerolog.Nop()}
	for _, fn := range change {
		fn(&o, &disk)
	}
	store, err := custody.Open(disk)
	if err != nil {
		b.t.Fatal(err)
	}
	o.Store = store
	b.store, b.relay = store, New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.relay.Run(ctx)
	}()
	b.stop = func() { cancel(); <-done }
	b.await("the relay is online", func() bool {
		for _, url := range o.Brokers {
			if m := b.brokers[url]; m != nil && b.ownState(url).State != wire.StateOnline {
				return false
			}
		}
		return true
	})
}

func (b *bench) close() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
		if err := b.store.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

// ownState is what the relay has told of itself at a broker.
func (b *bench) ownState(url string) (s wire.RelayState) {
	m := b.brokers[url]
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = json.Unmarshal(m.retained[wire.Topics{}.RelayState("hub-1")].Payload, &s)
	return s
}

// relayConn is the connection of the relay at a broker.
func (b *bench) relayConn(url string) *memoryConn {
	b.t.Helper()
	m := b.brokers[url]
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		if c.will.Topic != "" {
			return c
		}
	}
	b.t.Fatal("the relay is not connected")
	return nil
}

func (b *bench) await(what string, yes func() bool) {
	b.t.Helper()
	await(b.t, what, yes)
}

func await(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !yes() {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// standIn is a site that publishes blocks.
type standIn struct {
	t     testing.TB
	name  string
	conn  Conn
	epoch uint64
	seq   uint64
	names *wire.Numbering
	known map[uint32]bool
	write *wire.Writer

	mu    sync.Mutex
	downs []wire.Down
}

func newStandIn(t testing.TB, name string, conn Conn, epoch uint64) *standIn {
	s := &standIn{t: t, name: name, conn: conn, epoch: epoch, names: wire.NewNumbering(), known: make(map[uint32]bool), write: wire.NewWriter()}
	err := conn.Subscribe(context.Background(), wire.Topics{}.Down(name), 1, func(in mqtt.Incoming) {
		d, err := wire.ParseDown(in.Payload)
		if err != nil {
			t.Errorf("answer %s: %v", in.Payload, err)
			return
		}
		s.mu.Lock()
		s.downs = append(s.downs, d)
		s.mu.Unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bench) site(name string, epoch uint64) *standIn { return b.siteAt("a", name, epoch) }

func (b *bench) siteAt(broker, name string, epoch uint64) *standIn {
	return newStandIn(b.t, name, b.brokers[broker].dial(mqtt.Message{}), epoch)
}

// block makes the next block of points, with all names.
func (s *standIn) block(points []probes.Point) []byte {
	s.t.Helper()
	s.seq++
	h := wire.Header{Lane: wire.Live, Site: s.name, Epoch: s.epoch, Seq: s.seq}
	data, n, err := s.write.AppendPoints(nil, h, points, wire.Naming{Numbering: s.names, Known: func(id uint32) bool { return s.known[id] }, Most: wire.MaxBlock})
	if err != nil || n != len(points) {
		s.t.Fatalf("%d of %d points: %v", n, len(points), err)
	}
	return data
}

func (s *standIn) send(data []byte) { s.say(wire.Topics{}.Up(s.name), data) }

func (s *standIn) say(topic string, data []byte) {
	s.t.Helper()
	if err := s.conn.Publish(context.Background(), mqtt.Message{Topic: topic, Payload: data, QoS: 1}); err != nil {
		s.t.Fatal(err)
	}
}

// put sends points and waits until they are stored.
func (s *standIn) put(points []probes.Point) uint64 {
	s.t.Helper()
	s.send(s.block(points))
	s.expect(s.seq, wire.StatusStored)
	return s.seq
}

// last is what was said of a block last.
func (s *standIn) last(seq uint64) (a wire.Ack, d wire.Down) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, down := range s.downs {
		for _, x := range down.Acks {
			for _, r := range x.Seq {
				if x.Epoch == wire.FormatEpoch(s.epoch) && r[0] <= seq && seq <= r[1] {
					a, d = x, down
				}
			}
		}
	}
	return a, d
}

func (s *standIn) expect(seq uint64, status string) wire.Ack {
	s.t.Helper()
	await(s.t, fmt.Sprintf("%s of block %d of %s", status, seq, s.name), func() bool {
		a, _ := s.last(seq)
		return a.Status == status
	})
	a, _ := s.last(seq)
	return a
}

func (s *standIn) forgetAnswers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.downs = nil
}

// points makes n points of a site at a time, each of another series.
func points(site string, n int, at time.Time) []probes.Point {
	dims := probes.NewDimensions(probes.Dimension{Key: "site", Value: site})
	out := make([]probes.Point, n)
	for i := range out {
		out[i] = probes.Point{
			Series: probes.NewSeriesOf(fmt.Sprintf("m.%d", i), probes.Gauge, dims), Value: probes.Int(int64(i)),
			Stamp: probes.Stamp{Boot: probes.BootID{2}, Uptime: time.Duration(at.UnixNano() % 1e15), Wall: at.UnixMilli()},
		}
	}
	return out
}
