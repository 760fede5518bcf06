package relay

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

const (
	// publishers of one connection: answers to one site keep their order, and
	// others need not wait for them.
	publishers = 8
	mostQueued = 512 // messages of one publisher
	// patience with a broker that acknowledges nothing.
	patience = 30 * time.Second
)

// broker is one of those over which sites come. Its goroutine makes one
// connection after the other.
type broker struct {
	relay  *Relay
	url    string
	cancel context.CancelFunc
	queues [publishers]chan mqtt.Message

	mu      sync.Mutex // guards what follows
	conn    Conn       // nil: not connected
	hang    context.CancelCauseFunc
	since   time.Time // of the connection, or of its loss
	lastErr string
}

func newBroker(r *Relay, url string, cancel context.CancelFunc) *broker {
	b := &broker{relay: r, url: url, cancel: cancel, since: r.opts.Now()}
	for i := range b.queues {
		b.queues[i] = make(chan mqtt.Message, mostQueued)
	}
	return b
}

// leave ends the broker's goroutine.
func (b *broker) leave() { b.cancel() }

// hangUp ends the connection that stands; another one follows.
func (b *broker) hangUp(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hang != nil {
		b.hang(cause)
	}
}

// run keeps a connection until ctx ends.
func (b *broker) run(ctx context.Context) {
	backoff := mqtt.Backoff{Random: b.relay.opts.Random}
	for ctx.Err() == nil {
		up, err := b.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if up {
			backoff.Reset()
		}
		wait := backoff.Next()
		if errors.Is(err, mqtt.ErrRefused) {
			wait = max(wait, 10*time.Second)
		}
		b.down(err, wait)
		pause(ctx, wait)
	}
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// connect makes one connection and serves it until it ends. up says that it came
// to serve.
func (b *broker) connect(ctx context.Context) (up bool, err error) {
	ctx, hang := context.WithCancelCause(ctx)
	defer hang(nil)
	conn, err := b.relay.dial(ctx, b.url)
	if err != nil {
		return false, err
	}
	defer b.close(conn)
	if err := b.join(ctx, conn); err != nil {
		return false, err
	}
	b.connected(conn, hang)
	defer b.connected(nil, nil)
	served, stop := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	for i := range b.queues {
		workers.Go(func() { b.publish(served, conn, b.queues[i]) })
	}
	defer workers.Wait()
	defer stop()
	b.relay.greet(b)
	select {
	case <-conn.Closed():
		return true, conn.Err()
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
}

// close ends a connection in order where the broker lets it.
func (b *broker) close(conn Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it is over either way
}

// dial connects, with the will that says that this relay is lost.
func (r *Relay) dial(ctx context.Context, url string) (Conn, error) {
	r.mu.Lock()
	n := r.network
	r.mu.Unlock()
	will := r.ownState(wire.StateLost)
	return n.Dial(ctx, Call{Broker: url, Will: mqtt.Message{Topic: wire.Topics{Prefix: n.Prefix}.RelayState(r.opts.ID), Payload: will, Retain: true, QoS: 1}})
}

// join subscribes to what sites say.
func (b *broker) join(ctx context.Context, conn Conn) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, topics := b.relay, b.relay.topics()
	for _, s := range []struct {
		filter string
		handle func(mqtt.Incoming)
	}{
		{topics.AllStates(), func(in mqtt.Incoming) { r.hear(b, topics, in) }},
		{topics.AllAsk(), func(in mqtt.Incoming) { r.answer(b, topics, in) }},
		{"$share/edgehold/" + topics.AllUp(), func(in mqtt.Incoming) { r.take(b, topics, in) }},
	} {
		if err := conn.Subscribe(ctx, s.filter, 1, s.handle); err != nil {
			return err
		}
	}
	return nil
}

func (b *broker) connected(conn Conn, hang context.CancelCauseFunc) {
	b.mu.Lock()
	b.conn, b.hang, b.since = conn, hang, b.relay.opts.Now()
	if conn != nil {
		b.lastErr = ""
	}
	b.mu.Unlock()
	if conn != nil {
		b.relay.opts.Log.Info().Str("broker", b.url).Msg("connected to the broker")
	}
}

// down notes why there is no connection; the log hears of a cause once.
func (b *broker) down(err error, wait time.Duration) {
	text := "the connection has ended"
	if err != nil {
		text = err.Error()
	}
	b.mu.Lock()
	again := b.lastErr == text
	b.lastErr = text
	b.mu.Unlock()
	if !again {
		b.relay.opts.Log.Warn().Str("broker", b.url).Str("cause", text).Stringer("next_try_in", wait.Round(time.Millisecond)).
			Msg("no connection to the broker; sites that use it wait")
	}
}

// up tells whether there is a connection, and since when there is one or none.
func (b *broker) up() (bool, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn != nil, b.since
}

// send queues a message; false: there is no connection, or too much waits.
// Whoever misses it asks.
func (b *broker) send(key string, m mqtt.Message) bool {
	if up, _ := b.up(); !up {
		return false
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // a hash takes everything
	select {
	case b.queues[h.Sum32()%publishers] <- m:
		return true
	default:
		b.relay.counts.dropped.Add(1)
		return false
	}
}

// publish sends what is queued while a connection stands. What waits when it
// ends goes with the next one.
func (b *broker) publish(ctx context.Context, conn Conn, queue chan mqtt.Message) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-queue:
			one, cancel := context.WithTimeout(ctx, patience)
			err := conn.Publish(one, m)
			cancel()
			if err != nil && ctx.Err() == nil {
				b.relay.counts.dropped.Add(1)
			}
		}
	}
}

// now publishes at once.
func (b *broker) now(m mqtt.Message, most time.Duration) {
	b.mu.Lock()
	conn := b.conn
	b.mu.Unlock()
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	if err := conn.Publish(ctx, m); err != nil {
		b.relay.opts.Log.Debug().Str("broker", b.url).Err(err).Msg("the state of this relay was not published")
	}
}

// greet tells a new connection what is kept for all.
func (r *Relay) greet(b *broker) {
	b.now(r.stateMessage(), patience)
	if m, ok := r.denyMessage(); ok {
		b.send("deny", m)
	}
}

// announce tells all brokers the state of this relay.
func (r *Relay) announce() {
	m := r.stateMessage()
	var all sync.WaitGroup
	for _, b := range r.all() {
		all.Go(func() { b.now(m, 2*time.Second) })
	}
	all.Wait()
}

func (r *Relay) stateMessage() mqtt.Message {
	return mqtt.Message{Topic: r.topics().RelayState(r.opts.ID), Payload: r.ownState(*r.state.Load()), Retain: true, QoS: 1}
}

// ownState is what this relay tells of itself.
func (r *Relay) ownState(word string) []byte {
	data, _ := json.Marshal(wire.RelayState{ // it has nothing that JSON cannot hold
		State: word, Store: wire.FormatEpoch(r.opts.Store.Epoch()), Version: r.opts.Version, SlowMS: r.slow.Load(), At: r.opts.Now().UTC().Truncate(time.Millisecond),
	})
	return data
}
