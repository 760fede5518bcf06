package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

// said tells whether a text came that is no block.
func (s *session) said(text string, retained bool) bool {
	for _, m := range s.heard {
		if string(m.Payload) == text && m.Retained == retained {
			return true
		}
	}
	return false
}

// retain leaves a text on the topic of the site; none takes it away.
func (p *prober) retain(ctx context.Context, text string) error {
	s, err := p.dial(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	return s.conn.Publish(ctx, mqtt.Message{Topic: p.topic(), Payload: []byte(text), QoS: 1, Retain: true})
}

// mark is a text that only this run leaves.
func (p *prober) mark(what string) string { return what + " " + wire.FormatEpoch(p.epoch) }

// retained is whether a site learns of relays that were there before it: by
// retained messages, asked for with a wildcard.
func (p *prober) retained(ctx context.Context) error {
	if err := p.retain(ctx, p.mark("kept")); err != nil {
		return err
	}
	exact, err := p.remembers(ctx, p.topic())
	if err != nil {
		return err
	}
	wild, err := p.remembers(ctx, p.Topics.Probe("+"))
	var refused bool
	if refused = errors.Is(err, mqtt.ErrRefused); refused {
		err = nil
	}
	if err == nil {
		err = p.retain(ctx, "")
	}
	if err != nil {
		return err
	}
	c := Check{Name: "retained", Status: OK, Found: "retained messages are kept, and found with a wildcard"}
	const use = "sites learn from retained messages which relays are online"
	switch {
	case !exact:
		c.Status, c.Found, c.Mend = Failed, "retained messages are not kept", "allow them: "+use+" (mosquitto: retain_available true)"
	case refused:
		c.Status, c.Found = Skipped, "the access rules refuse a wildcard to try it with; without one, retained messages are kept"
	case !wild:
		c.Status, c.Found = Failed, "retained messages are kept, and not found with a wildcard"
		c.Mend = use + ", and subscribe to " + p.Topics.AllRelayStates() + "; use a broker that does this"
	}
	p.add(c)
	return nil
}

// remembers tells whether a subscription brings what was left.
func (p *prober) remembers(ctx context.Context, filter string) (bool, error) {
	s, err := p.dial(ctx, nil)
	if err != nil {
		return false, err
	}
	defer s.close()
	if err := s.conn.Subscribe(ctx, filter, 1, s.receive); err != nil {
		return false, err
	}
	return s.until(ctx, p.Patience, func() bool { return s.said(p.mark("kept"), true) }), nil
}

// shared is whether several relays can share the work.
func (p *prober) shared(ctx context.Context) error {
	s, err := p.dial(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	c := Check{Name: "shared", Status: OK, Found: "shared subscriptions work: several relays can share the sites"}
	filter := "$share/edgehold-probe/" + p.topic()
	err = s.conn.Subscribe(ctx, filter, 1, s.receive)
	works := err == nil
	if err != nil && !errors.Is(err, mqtt.ErrRefused) && s.conn.Err() == nil {
		return err
	}
	if works {
		seq, err := s.send(ctx, smallest)
		if err != nil {
			return err
		}
		works = s.await(ctx, p.Patience, seq)
	}
	if !works {
		c.Status, c.Found = Failed, "shared subscriptions ($share) do not work"
		c.Mend = "relays subscribe with $share/edgehold/...; allow it, or use a broker that has them for MQTT 3.1.1"
	}
	p.add(c)
	return nil
}

// valve is a connection that can be made dead without either side being told.
type valve struct {
	net.Conn
	mu     sync.Mutex
	shut   bool
	closed chan struct{}
	once   sync.Once
}

func (v *valve) dead() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shut
}

func (v *valve) Read(b []byte) (int, error) {
	n, err := v.Conn.Read(b)
	if v.dead() {
		<-v.closed
		return 0, io.ErrClosedPipe
	}
	return n, err
}

func (v *valve) Write(b []byte) (int, error) {
	if v.dead() {
		return len(b), nil // into a socket whose other side has gone
	}
	return v.Conn.Write(b)
}

// Close keeps the real connection, so that the broker is not told either.
func (v *valve) Close() error {
	v.once.Do(func() { close(v.closed) })
	if v.dead() {
		return nil
	}
	return v.Conn.Close()
}

// halfOpen is how long a dead link goes unnoticed, and whether the broker tells
// others of it.
func (p *prober) halfOpen(ctx context.Context) error {
	alive := 2 * time.Second
	if p.trip > alive/8 {
		alive = 10 * time.Second
	}
	var v *valve
	dial := p.MQTT.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	s, err := p.open(ctx, func(o *mqtt.Options) {
		o.KeepAlive, o.WriteTimeout = alive, alive
		o.Will = &mqtt.Message{Topic: p.topic(), Payload: []byte(p.mark("lost")), QoS: 1, Retain: true}
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			v = &valve{Conn: conn, closed: make(chan struct{})}
			return v, nil
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = v.Conn.Close() }()
	defer s.close()
	v.mu.Lock()
	v.shut = true
	v.mu.Unlock()
	begun := time.Now()
	noticed := s.until(ctx, 4*alive, func() bool { return s.conn.Err() != nil })
	took := time.Since(begun)
	if noticed {
		p.report.NoticedMS = took.Milliseconds()
	}
	will, err := p.awaitWill(ctx, alive)
	if err != nil {
		return err
	}
	p.add(judgeHalfOpen(noticed, will, alive, took))
	return p.retain(ctx, "")
}

func (p *prober) awaitWill(ctx context.Context, alive time.Duration) (bool, error) {
	s, err := p.open(ctx, func(o *mqtt.Options) { o.ClientID += "-watch" })
	if err != nil {
		return false, err
	}
	defer s.close()
	return s.until(ctx, 2*alive+p.Patience, func() bool { return s.said(p.mark("lost"), true) || s.said(p.mark("lost"), false) }), nil
}

func judgeHalfOpen(noticed, will bool, alive, took time.Duration) Check {
	c := Check{Name: "half-open", Status: OK, Found: fmt.Sprintf("with a keep-alive of %v a dead link was noticed here after %v, and the broker told of it (will)", alive, took.Round(100*time.Millisecond))}
	switch {
	case !noticed:
		c.Status, c.Found, c.Mend = Failed, "a dead link was not noticed here", "please report this with the broker's name and version"
	case !will:
		c.Status, c.Found = Warning, "the broker does not publish the will of a client that is gone"
		c.Mend = "`edgehold relay sites` tells of silent sites by their age then; allow wills and their topic in the broker's access rules"
	}
	return c
}

// restart finds out what the broker keeps over a restart.
func (p *prober) restart(ctx context.Context) error {
	if !p.Restart || p.report.Failed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartTime)
	defer cancel()
	if err := p.retain(ctx, p.mark("kept")); err != nil {
		return err
	}
	s, err := p.open(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	p.Tell("restart the broker now")
	select {
	case <-s.conn.Closed():
	case <-ctx.Done():
		p.add(Check{Name: "restart", Status: Skipped, Found: fmt.Sprintf("the broker was not restarted within %v", restartTime)})
		return p.retain(context.WithoutCancel(ctx), "")
	}
	kept, err := p.afterRestart(ctx)
	if err != nil {
		return err
	}
	p.report.Persistent = &kept
	found := "retained messages are gone after a restart (no persistence)"
	if kept {
		found = "retained messages are there after a restart (persistence)"
	}
	p.add(Check{Name: "restart", Status: OK, Found: found + "; sites and relays need none: they tell their states anew"})
	return p.retain(ctx, "")
}

const restartTime = 5 * time.Minute

// afterRestart connects as soon as the broker is there again.
func (p *prober) afterRestart(ctx context.Context) (kept bool, err error) {
	var wait mqtt.Backoff
	for {
		kept, err = p.remembers(ctx, p.topic())
		if err == nil || ctx.Err() != nil {
			return kept, err
		}
		timer := time.NewTimer(min(wait.Next(), 2*time.Second))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
