package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Conn is a connection to a broker. Its methods may be used from everywhere.
type Conn struct {
	options Options
	client  paho.Client
	pipe    *pipe
	expires time.Time // of the client certificate

	inbox *inbox
	slots chan struct{} // one for each message in flight
	calls chan *call    // to the goroutine that writes
	acks  *acks         // to the goroutine that writes

	mu    sync.Mutex     // guards what follows
	err   error          // why it has ended
	work  sync.WaitGroup // goroutines; none is added once it has ended
	ended chan struct{}
}

// Dial connects. It tries once, for at most 30 s.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o = o.withDefaults()
	to, err := o.check()
	if err != nil {
		return nil, fmt.Errorf("MQTT: %w", err)
	}
	c := &Conn{
		options: o, inbox: newInbox(),
		slots: make(chan struct{}, o.MaxInFlight), calls: make(chan *call), acks: newAcks(),
		ended: make(chan struct{}),
	}
	if err := c.connect(ctx, to); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.Broker, explain(err, c.expires, &o))
	}
	c.work.Go(c.write)
	c.work.Go(c.handle)
	return c, nil
}

// connect makes the client and waits for the broker's greeting.
func (c *Conn) connect(ctx context.Context, to *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	opened := make(chan error, 1)
	settings, err := c.settings()
	if err != nil {
		return err
	}
	settings.Servers = []*url.URL{to}
	settings.CustomOpenConnectionFn = func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		var err error
		c.pipe, err = c.open(ctx, to)
		opened <- err
		if err != nil {
			return nil, err // a nil pipe in an interface is not nil
		}
		return c.pipe, nil
	}
	c.client = paho.NewClient(settings)
	token := c.client.Connect()
	if err := <-opened; err != nil {
		<-token.Done()
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.pipe.wire.fail(context.Cause(ctx)) })
	defer stop()
	<-token.Done()
	return token.Error()
}

// settings are those of the library, which does nothing by itself with them.
func (c *Conn) settings() (*paho.ClientOptions, error) {
	o := &c.options
	s := paho.NewClientOptions()
	s.SetClientID(o.ClientID)
	s.SetProtocolVersion(4) // else each failure is tried again with 3.1
	s.SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false)
	s.SetConnectTimeout(connectTimeout)
	s.SetKeepAlive(o.KeepAlive).SetPingTimeout(o.WriteTimeout).SetWriteTimeout(o.WriteTimeout)
	// In order, with handlers that only take note, and acknowledge later: neither
	// the reader nor a handler ever waits for the other.
	s.SetOrderMatters(true).SetAutoAckDisabled(true).SetDefaultPublishHandler(c.receive)
	s.SetConnectionLostHandler(func(_ paho.Client, cause error) {
		c.end(fmt.Errorf("%w: %w", ErrLost, explain(cause, c.expires, o)))
	})
	if o.Will != nil {
		s.SetBinaryWill(o.Will.Topic, o.Will.Payload, o.Will.QoS, o.Will.Retain)
	}
	s.SetUsername(o.User)
	if o.Password != nil {
		password, err := o.Password()
		if err != nil {
			return nil, fmt.Errorf("read the password of user %s: %w", o.User, err)
		}
		s.SetPassword(password.Reveal())
	}
	return s, nil
}

// open makes the stream that packets go over.
func (c *Conn) open(ctx context.Context, to *url.URL) (*pipe, error) {
	o := &c.options
	var config *tls.Config
	if to.Scheme == "mqtts" || to.Scheme == "wss" {
		var err error
		if config, err = o.tlsConfig(to.Hostname()); err != nil {
			return nil, err
		}
		c.expires = expiry(config)
	}
	var w *wire
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := o.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w = newWire(conn, o.WriteTimeout, o.Traffic)
		return w, nil
	}
	through, err := stream(ctx, to, config, dial)
	if err != nil {
		return nil, err
	}
	return newPipe(through, w, o.MaxMessage), nil
}

func stream(ctx context.Context, to *url.URL, config *tls.Config, dial dialFunc) (net.Conn, error) {
	if to.Scheme == "ws" || to.Scheme == "wss" {
		return dialWebSocket(ctx, to, config, dial)
	}
	if config != nil {
		return dialTLS(ctx, to.Host, config, dial)
	}
	return dial(ctx, "tcp", to.Host)
}

// end notes why the connection has ended; the first reason counts.
func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.ended)
	}
}

// run starts a goroutine, unless the connection has ended.
func (c *Conn) run(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.work.Go(f)
	}
}

// Closed is closed when the connection has ended, by whomever.
func (c *Conn) Closed() <-chan struct{} { return c.ended }

// Err tells why the connection has ended; nil while it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// CertExpires is the end of the client certificate that the connection was made
// with; zero if there is none.
func (c *Conn) CertExpires() time.Time { return c.expires }

// Close waits until all messages in flight are acknowledged and ends the
// connection in order, so that no will is published, and waits for handlers.
// When ctx ends before, the connection is cut. Not to be called by a handler.
func (c *Conn) Close(ctx context.Context) error {
	err := c.drain(ctx)
	if err == nil && c.Err() == nil {
		c.client.Disconnect(uint(farewell.Milliseconds()))
		c.end(ErrClosed)
	}
	c.end(ErrClosed)
	c.pipe.wire.fail(ErrClosed) // what has not ended yet ends now
	done := make(chan struct{})
	go func() { // ends when the handler that runs returns
		c.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("close the connection to the broker: %w", ctx.Err())
	}
}

// farewell is how long the last packet may take.
const farewell = 2 * time.Second

// drain waits until nothing is in flight; a connection that has ended has
// nothing.
func (c *Conn) drain(ctx context.Context) error {
	for range cap(c.slots) {
		select {
		case c.slots <- struct{}{}:
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("close the connection to the broker with messages in flight: %w", ctx.Err())
		}
	}
	return c.flush(ctx)
}
