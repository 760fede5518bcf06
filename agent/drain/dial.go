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
	watch    Watcher // nil: nobody watches
	patience time.Duration

	mu   sync.Mutex
	good map[string]string // host:port as asked for -> as reached
}

func newDialer(watch Watcher) *dialer {
	d := &dialer{
		Dialer: net.Dialer{
			Timeout:         10 * time.Second,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
		},
		traffic:  newTraffic(),
		watch:    watch,
		patience: patience,
		good:     map[string]string{},
	}
	if watch != nil {
		d.Resolver = watch.Resolver()
	}
	return d
}

// DialContext is for an http.Transport.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.reach(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn = d.traffic.wrap(conn)
	if d.watch != nil {
		conn = d.watch.Watch(conn, hostOf(address))
	}
	return conn, nil
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // what has no port is no address, and nothing was dialed
	return host
}

// control is for each address that is tried for a host.
func (d *dialer) control(host string) func(network, address string, raw syscall.RawConn) error {
	return func(network, address string, raw syscall.RawConn) error {
		if d.watch != nil {
			d.watch.Trying(network, address, host)
		}
		return setUserTimeout(network, address, raw)
	}
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
	direct.Control = d.control(hostOf(address))
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
	dialer, control := d.Dialer, d.control(hostOf(address))
	dialer.Control = func(network, address string, raw syscall.RawConn) error {
		named.Store(true)
		return control(network, address, raw)
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
