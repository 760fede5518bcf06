package mqtt

import (
	"fmt"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// A broker holds back what is not acknowledged, mosquitto after 20 messages by
// default and AWS after 100. These are for one without such a limit.
const (
	mostWaiting      = 4096
	mostWaitingBytes = 64 << 20
)

// inbox is what has come and is not handled yet, and who handles it.
type inbox struct {
	wake chan struct{} // has room for one

	mu      sync.Mutex // guards what follows
	waiting []paho.Message
	bytes   int // of the payloads
	routes  []route
}

type route struct {
	filter string
	handle func(Incoming)
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// add starts a subscription; one to the same filter is replaced.
func (i *inbox) add(filter string, handle func(Incoming)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.routes {
		if i.routes[n].filter == filter {
			i.routes[n].handle = handle
			return
		}
	}
	i.routes = append(i.routes, route{filter, handle})
}

func (i *inbox) remove(filter string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.routes {
		if i.routes[n].filter == filter {
			i.routes = append(i.routes[:n], i.routes[n+1:]...)
			return
		}
	}
}

// put takes a message in; false: there are too many already.
func (i *inbox) put(m paho.Message) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.waiting) >= mostWaiting || i.bytes+len(m.Payload()) > mostWaitingBytes {
		return false
	}
	i.waiting = append(i.waiting, m)
	i.bytes += len(m.Payload())
	select {
	case i.wake <- struct{}{}:
	default:
	}
	return true
}

// next is the oldest message, nil if none waits, and its handler, nil if there
// is none.
func (i *inbox) next() (paho.Message, func(Incoming)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.waiting) == 0 {
		i.waiting = nil
		return nil, nil
	}
	m := i.waiting[0]
	i.waiting[0] = nil
	i.waiting = i.waiting[1:]
	i.bytes -= len(m.Payload())
	for _, r := range i.routes {
		if fits(r.filter, m.Topic()) {
			return m, r.handle
		}
	}
	return m, nil
}

// receive is for the library's reader: it never waits.
func (c *Conn) receive(_ paho.Client, m paho.Message) {
	if !c.inbox.put(m) {
		c.pipe.wire.fail(fmt.Errorf("the broker sent more than %d messages or %d MiB that are not acknowledged yet; limit what it sends at a time (max_inflight_messages)",
			mostWaiting, mostWaitingBytes>>20))
	}
}

// handle hands messages to their handlers until the connection has ended and
// all are handled: an answer that came before the end counts.
func (c *Conn) handle() {
	for {
		m, handler := c.inbox.next()
		if m != nil {
			c.deliver(m, handler)
			continue
		}
		select {
		case <-c.inbox.wake:
		case <-c.ended:
			if m, handler = c.inbox.next(); m == nil {
				return
			}
			c.deliver(m, handler)
		}
	}
}

func (c *Conn) deliver(m paho.Message, handler func(Incoming)) {
	if handler == nil {
		c.options.Log.Debug().Str("topic", m.Topic()).Msg("message that nobody subscribed to")
		c.acks.add(m)
		return
	}
	handler(Incoming{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Ack: func() { c.acks.add(m) }})
	if !c.options.ManualAck {
		c.acks.add(m)
	}
}

// acks are the acknowledgements to be written. There are never more than
// messages that came.
type acks struct {
	wake chan struct{} // has room for one

	mu      sync.Mutex
	waiting []paho.Message
}

func newAcks() *acks { return &acks{wake: make(chan struct{}, 1)} }

func (a *acks) add(m paho.Message) {
	if m.Qos() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, m)
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// send hands them to the library, which sends one for a message only once.
func (a *acks) send() {
	a.mu.Lock()
	waiting := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	for _, m := range waiting {
		m.Ack()
	}
}
