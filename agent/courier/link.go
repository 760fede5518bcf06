package courier

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

const (
	// farewell is how long the last words to a broker may take.
	farewell = 3 * time.Second
	// noRelay is how long a broker may know of no relay before another one is
	// tried.
	noRelay = time.Minute
	// refusedPause is how long to wait at least where a person has to mend
	// something.
	refusedPause = 10 * time.Second
	mostRefused  = 5 * time.Minute
)

// link is the connection to a broker, or the next try.
type link struct {
	ctx      context.Context // of all connections
	conn     Conn            // nil: there is none
	up       bool            // it is subscribed to all it needs
	dialing  bool
	number   int // of the try: words of an earlier one mean nothing
	cancel   context.CancelFunc
	broker   int // in use, or the next to be tried
	next     time.Time
	backoff  mqtt.Backoff
	failures int // in a row
	refused  bool
	expires  time.Time // of the certificate
}

func (l *link) soon() {
	l.next = time.Time{}
	l.backoff.Reset()
}

// counter counts bytes on the wire.
type counter struct{ sent, received atomic.Int64 }

func (x *counter) add(sent, received int) {
	x.sent.Add(int64(sent))
	x.received.Add(int64(received))
}

// broker is the URL of that in use, or the next.
func (c *Courier) broker() string {
	if len(c.target.Brokers) == 0 {
		return ""
	}
	return c.target.Brokers[c.link.broker%len(c.target.Brokers)]
}

// connect sees to it that there is a connection, or a try at one. A broker that
// no relay is at is left for the next in the list.
func (c *Courier) connect(now time.Time) {
	l := &c.link
	if l.up && len(c.target.Brokers) > 1 && !c.gates.alone.IsZero() && now.Sub(later(c.gates.alone, c.gates.joined)) >= noRelay {
		c.hangUp("no relay is online there; another broker is tried")
		l.broker++
	}
	if l.conn != nil || l.dialing || now.Before(l.next) || len(c.target.Brokers) == 0 {
		return
	}
	l.number++
	l.dialing = true
	number, target, topics := l.number, c.target, c.topics
	call := Call{Broker: c.broker(), Will: c.stateMessage(wire.StateLost), Traffic: c.moved.add}
	ctx, cancel := context.WithCancel(l.ctx)
	l.cancel = cancel
	c.work.Go(func() {
		conn, err := c.dial(ctx, dialing{target, topics, call, number})
		c.leave(func() { c.dialed(number, conn, err) })
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// dialing is one try.
type dialing struct {
	target Target
	topics wire.Topics
	call   Call
	number int
}

// dial connects and subscribes. What comes is left for the goroutine of Run.
func (c *Courier) dial(ctx context.Context, d dialing) (Conn, error) {
	conn, err := d.target.Dial(ctx, d.call)
	if err != nil {
		return nil, err
	}
	hear := func(in mqtt.Incoming) {
		c.leave(func() {
			if d.number == c.link.number {
				c.hear(in.Topic, in.Payload)
			}
		})
	}
	for _, filter := range []string{d.topics.Down(c.opts.Site), d.topics.AllRelayStates(), d.topics.Deny()} {
		if filter == d.topics.Deny() && c.opts.OnDeny == nil {
			continue
		}
		if err := conn.Subscribe(ctx, filter, 1, hear); err != nil {
			hangUp(conn)
			return nil, err
		}
	}
	return conn, nil
}

func hangUp(conn Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = conn.Close(ctx) // it ends in any case
}

// dialed takes up how a try has ended.
func (c *Courier) dialed(number int, conn Conn, err error) {
	l := &c.link
	if number != l.number {
		if conn != nil {
			c.work.Go(func() { hangUp(conn) })
		}
		return
	}
	l.dialing = false
	now := time.Now()
	if err != nil {
		l.cancel()
		c.failed(now, err)
		return
	}
	l.conn, l.up, l.expires, l.failures, l.refused = conn, true, conn.CertExpires(), 0, false
	c.gates.joined, c.gates.tell, c.gates.ask = now, now, now.Add(settleIn)
	for _, b := range c.table.active {
		if b.phase == sent { // its answer may have been lost with the connection
			b.next = now.Add(c.window.patience(c.opts.Random()))
		}
	}
	c.log.linkUp(c)
	c.work.Go(func() {
		<-conn.Closed()
		err := conn.Err()
		c.leave(func() { c.ended(number, err) })
	})
}

// settleIn is how long after the connection to a broker its retained messages
// are awaited.
const settleIn = time.Second

// ended takes up that the connection has ended by itself.
func (c *Courier) ended(number int, err error) {
	if number != c.link.number || c.link.conn == nil {
		return
	}
	conn := c.link.conn
	c.work.Go(func() { hangUp(conn) })
	now := time.Now()
	if now.Sub(c.gates.joined) >= noRelay {
		c.link.backoff.Reset()
	}
	c.disconnected(now)
	c.failed(now, err)
}

// failed chooses when and where to try next.
func (c *Courier) failed(now time.Time, err error) {
	l := &c.link
	l.failures++
	l.refused = errors.Is(err, mqtt.ErrRefused)
	wait := l.backoff.Next()
	if n := len(c.target.Brokers); n > 1 {
		if l.broker = (l.broker + 1) % n; l.failures%n != 0 {
			wait = min(wait, time.Second)
		}
	}
	if l.refused {
		wait = max(wait, min(refusedPause<<min(l.failures-1, 5), mostRefused))
	}
	l.next = now.Add(wait)
	word := drain.Backoff
	if l.refused {
		word = drain.Hold
	}
	c.down(word, err.Error())
}

// hangUp gives up the connection, or the try at one.
func (c *Courier) hangUp(reason string) {
	l := &c.link
	l.number++ // from here on nothing counts of what it says
	if l.dialing {
		l.cancel()
		l.dialing = false
	}
	if conn := l.conn; conn != nil {
		c.opts.Log.Info().Str("broker", c.broker()).Str("reason", reason).Msg("the broker is left")
		c.work.Go(func() { hangUp(conn) })
		c.disconnected(time.Now())
	}
}

// disconnected forgets what only a connection tells. What is under way may have
// arrived.
func (c *Courier) disconnected(now time.Time) {
	l := &c.link
	l.cancel()
	l.conn, l.up = nil, false
	c.relays.disconnected()
	c.rate.broken()
	c.mark(now)
	for _, b := range c.table.active {
		b.flying = false
		if b.phase == sent {
			b.next = time.Time{}
		}
	}
}

// mark notes whether there is a relay.
func (c *Courier) mark(now time.Time) {
	switch {
	case c.relays.online() > 0:
		c.gates.alone = time.Time{}
	case c.gates.alone.IsZero():
		c.gates.alone = now
	}
}

// send publishes a message without waiting for the broker's word.
func (c *Courier) send(m mqtt.Message, done func(err error, took time.Duration)) {
	conn, number, ctx := c.link.conn, c.link.number, c.link.ctx
	c.work.Go(func() {
		began := time.Now()
		err := conn.Publish(ctx, m)
		took := time.Since(began)
		c.leave(func() {
			if number == c.link.number && done != nil {
				done(err, took)
			}
		})
	})
}

// stateMessage is the own state for the broker to keep.
func (c *Courier) stateMessage(word string) mqtt.Message {
	about := c.opts.About()
	s := wire.SiteState{State: word, Boot: c.boot, Version: about.Version, Config: about.Config}
	if word != wire.StateLost {
		now := c.opts.Now()
		s.Backlog, s.Late, s.CertExpires, s.At = max(0, about.Backlog), max(0, about.Late), c.link.expires, now.UTC().Round(0)
		s.Epochs = c.table.epochs(c.opts.Epoch)
		if !about.Oldest.IsZero() {
			s.OldestS = max(0, now.Sub(about.Oldest).Seconds())
		}
	}
	payload, err := json.Marshal(s)
	if err != nil {
		payload = nil // a time beyond the year 9999: the message is empty, and nobody is told
	}
	return mqtt.Message{Topic: c.topics.State(c.opts.Site), Payload: payload, Retain: true, QoS: 1}
}

const tellTick = time.Minute

// tell publishes the own state each minute.
func (c *Courier) tell(now time.Time) {
	if c.link.up && !now.Before(c.gates.tell) {
		c.gates.tell = now.Add(tellTick)
		c.send(c.stateMessage(wire.StateOnline), nil)
	}
}

const askTick = time.Minute

// ask asks relays what became of blocks whose answers may be lost: those that
// are doubtful or were under way, and those that have been stored for long.
func (c *Courier) ask(now time.Time) {
	if !c.link.up || c.gates.ask.IsZero() || now.Before(c.gates.ask) || c.relays.online() == 0 {
		return
	}
	c.gates.ask = now.Add(askTick)
	if believed := c.gates.joined.Add(c.grace); c.table.blocks[doubtful] > 0 && believed.After(now) {
		c.gates.ask = believed
	}
	c.recallRest(now)
	c.judge(now)
	joined := c.gates.joined
	want := func(b *block) bool {
		switch b.phase {
		case doubtful:
			return true
		case sent:
			return b.since.Before(joined)
		case stored:
			return now.Sub(b.since) >= askTick || b.since.Before(joined)
		}
		return false
	}
	for _, a := range append(c.table.asks(now, want, c.opts.Epoch, c.seq+1), c.table.ended(c.opts.Epoch)...) {
		for _, part := range parted(a) {
			payload, err := json.Marshal(part)
			if err != nil {
				continue // numbers and text only: it never fails
			}
			c.send(mqtt.Message{Topic: c.topics.Ask(c.opts.Site), Payload: payload, QoS: 1}, nil)
		}
	}
}

// mostRanges bounds one message.
const mostRanges = 1000

// parted divides a question that is too long for one message.
func parted(a wire.Ask) (parts []wire.Ask) {
	for len(a.Seq) > mostRanges {
		part := a
		part.Seq = a.Seq[:mostRanges]
		parts, a.Seq = append(parts, part), a.Seq[mostRanges:]
	}
	return append(parts, a)
}
