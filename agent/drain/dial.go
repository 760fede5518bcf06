package drain

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long a name may take whose last address is known.
const patience = 2 * time.Second

// dialer dials, and remembers where each name last led: a site whose name
// server fails still reaches its environment.
type dialer struct {
	net.Dialer
	traffic  *traffic
	patience time.Duration

	mu   sync.Mutex
	good map[string]string // host:port as asked for -> as reached
}

func newDialer() *dialer {
	return &dialer{
		Dialer: net.Dialer{
			Timeout:         10 * time.Second,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
		},
		traffic:  newTraffic(),
		patience: patience,
		good:     map[string]string{},
	}
}

// DialContext is for an http.Transport.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.reach(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return d.traffic.wrap(conn), nil
}

func (d *dialer) reach(ctx context.Context, network, address string) (net.Conn, error) {
	last := d.last(address)
	conn, named, err := d.byName(ctx, network, address, last != "")
	if err == nil {
		d.remember(address, conn.RemoteAddr().String())
		return conn, nil
	}
	if named || last == "" || ctx.Err() != nil {
		return nil, err
	}
	direct := d.Dialer
	direct.Control = setUserTimeout
	if conn, again := direct.DialContext(ctx, network, last); again == nil {
		return conn, nil
	}
	return nil, err // the name is what has to be mended
}

// byName dials, and tells whether the name had led to an address. A name is
// not waited for long where there is another way.
func (d *dialer) byName(ctx context.Context, network, address string, hurry bool) (net.Conn, bool, error) {
	var named atomic.Bool
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if hurry {
		timer := time.AfterFunc(d.patience, func() {
			if !named.Load() {
				cancel()
			}
		})
		defer timer.Stop()
	}
	dialer := d.Dialer
	dialer.Control = func(network, address string, raw syscall.RawConn) error {
		named.Store(true)
		return setUserTimeout(network, address, raw)
	}
	conn, err := dialer.DialContext(ctx, network, address)
	return conn, named.Load(), err
}

func (d *dialer) last(address string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.good[address]
}

func (d *dialer) remember(address, reached string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.good[address] = reached
}
