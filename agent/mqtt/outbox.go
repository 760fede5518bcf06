package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// call is something to be written that has an answer.
type call struct {
	start func() paho.Token // nil: what was asked for before is written
	token paho.Token
	began chan struct{} // closed when token is there, and written or never will be
}

// write is the one goroutine that hands packets to the library. It hands over
// the next when the last is on the wire: handed to a connection that ends, a
// packet holds who brought it for the whole write timeout.
func (c *Conn) write() {
	for {
		select {
		case <-c.ended:
			return
		case <-c.acks.wake:
			c.acks.send()
		case call := <-c.calls:
			c.acks.send()
			c.begin(call)
		}
	}
}

func (c *Conn) begin(call *call) {
	defer close(call.began)
	if call.start == nil {
		return
	}
	select {
	case <-c.pipe.written: // of an earlier one
	default:
	}
	call.token = call.start()
	select {
	case <-c.pipe.written:
	case <-call.token.Done():
	case <-c.ended:
	}
}

// do has something written and waits for the answer. A call whose caller gave
// up keeps its place among those in flight until its answer comes.
func (c *Conn) do(ctx context.Context, start func() paho.Token) (paho.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.ended:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	call := &call{start: start, began: make(chan struct{})}
	select {
	case c.calls <- call:
	case <-c.ended:
		<-c.slots
		return nil, c.Err()
	case <-ctx.Done():
		<-c.slots
		return nil, ctx.Err()
	}
	if c.answered(ctx, call) {
		<-c.slots
		return call.token, c.outcome(ctx, call.token)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	c.run(func() {
		c.answered(context.WithoutCancel(ctx), call)
		<-c.slots
	})
	return nil, ctx.Err()
}

// answered waits for the answer; false: it will not come, or ctx has ended.
func (c *Conn) answered(ctx context.Context, call *call) bool {
	select {
	case <-call.began:
	case <-c.ended:
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case <-call.token.Done():
		return true
	case <-c.ended:
		select {
		case <-call.token.Done(): // its answer came first, or it has failed
			return true
		default:
			return false
		}
	case <-ctx.Done():
		return false
	}
}

// outcome is the error of an answer. The library knows only that the
// connection has ended; why, is known a moment later.
func (c *Conn) outcome(ctx context.Context, token paho.Token) error {
	err := token.Error()
	if err == nil {
		return nil
	}
	moment := time.NewTimer(farewell)
	defer moment.Stop()
	select {
	case <-c.ended:
		return c.Err()
	case <-ctx.Done():
	case <-moment.C:
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// Publish sends a message. With QoS 1 it returns when the broker has
// acknowledged it, which proves nothing beyond the broker: it may drop the
// message all the same. With QoS 0 it returns when the message is written. When
// ctx ends before, or the connection does, the message may arrive all the same.
// The payload must not change until then, and with an error until Closed.
func (c *Conn) Publish(ctx context.Context, m Message) error {
	if err := checkMessage(m, c.options.MaxMessage); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	_, err := c.do(ctx, func() paho.Token { return c.client.Publish(m.Topic, m.QoS, m.Retain, m.Payload) })
	if err != nil {
		return fmt.Errorf("publish to %s: %w", m.Topic, err)
	}
	return nil
}

// Subscribe asks for the messages of a filter, such as a/+/b or $share/g/a/#,
// with QoS 0 or 1. All handlers of a connection run on one goroutine, in the
// order in which the messages came; they may publish. A message goes to the
// first subscription that it fits, so filters should not overlap.
func (c *Conn) Subscribe(ctx context.Context, filter string, qos byte, handle func(Incoming)) error {
	if err := checkFilter(filter); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	c.inbox.add(filter, handle) // messages may come before the answer
	token, err := c.do(ctx, func() paho.Token { return c.client.Subscribe(filter, min(qos, 1), nil) })
	if err == nil {
		err = granted(token)
	}
	if errors.Is(err, ErrLost) { // what came before the end is handled all the same
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	if err != nil {
		c.inbox.remove(filter)
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	return nil
}

// granted is the broker's answer to a subscription to one filter.
func granted(token paho.Token) error {
	t, ok := token.(*paho.SubscribeToken)
	if !ok {
		return fmt.Errorf("%w: the answer is none to a subscription", ErrRefused)
	}
	for _, code := range t.Result() {
		if code <= 1 {
			return nil
		}
	}
	return &failure{kind: ErrRefused, cause: errNotSubscribed, mend: "check the broker's access rules for this client"}
}

// flush waits until the acknowledgements that were asked for are written.
func (c *Conn) flush(ctx context.Context) error {
	call := &call{began: make(chan struct{})}
	select {
	case c.calls <- call:
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	<-call.began // the wire has its deadlines
	return nil
}
