// Package proxytest is a TCP proxy that spoils what goes through it, on
// command and by a seed: it stalls, delays, trickles, corrupts, slows down and
// cuts, each way by itself, refuses connections and lets them come to nothing.
// It stands on loopback between a client and a server under test.
package proxytest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Direction is one of the two ways through a proxy.
type Direction int

// The directions.
const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
)

// Ending is how a connection is cut, towards both sides.
type Ending int

// The endings.
const (
	RST Ending = iota // reset: what the kernel has not delivered yet is lost
	FIN               // closed in order: what was forwarded arrives, then the end
)

// Counts are the sums of a proxy.
type Counts struct {
	Connections int64 // accepted
	Open        int64 // of them, now
	Cut         int64 // by Cut and CutAfter
	Up, Down    int64 // bytes forwarded
}

// Proxy forwards connections to one server.
type Proxy struct {
	target string
	addr   string
	seed   uint64
	ways   [2]*way
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // connections

	connections, cuts atomic.Int64

	control sync.Mutex // one change of the port at a time; guards door
	door    door

	mu    sync.Mutex // guards what follows
	pairs map[*pair]bool
}

// New starts a proxy on a port of 127.0.0.1 that forwards to the address
// target. It ends with the test. The same seed spoils the same connections, in
// the order of their arrival, in the same way.
func New(t testing.TB, target string, seed uint64) *Proxy {
	t.Helper()
	p := &Proxy{target: target, seed: seed, ways: [2]*way{newWay(), newWay()}, pairs: map[*pair]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.open("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.addr = p.door.listener.Addr().String()
	t.Cleanup(p.Close)
	return p
}

// Addr is the host and port that clients connect to.
func (p *Proxy) Addr() string { return p.addr }

// Counts are the sums of this moment.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	open := len(p.pairs)
	p.mu.Unlock()
	return Counts{
		Connections: p.connections.Load(), Open: int64(open), Cut: p.cuts.Load(),
		Up: p.ways[Up].bytes.Load(), Down: p.ways[Down].bytes.Load(),
	}
}

// Set makes one direction go as w says, for the connections that are open too.
func (p *Proxy) Set(d Direction, w Way) { p.ways[d].set(w) }

// SetBoth makes both directions go as w says.
func (p *Proxy) SetBoth(w Way) {
	p.Set(Up, w)
	p.Set(Down, w)
}

// Cut ends all connections that are open.
func (p *Proxy) Cut(e Ending) {
	for _, x := range p.all() {
		p.cuts.Add(1)
		x.end(e)
	}
}

// CutAfter cuts connections where c says, new ones and those that are open;
// it replaces the order before it.
func (p *Proxy) CutAfter(d Direction, c Cut) { p.ways[d].order(c) }

// Restore ends every fault. What was cut stays so.
func (p *Proxy) Restore() error {
	for _, w := range p.ways {
		w.clear()
	}
	return p.reopen()
}

// Close ends the proxy and resets its connections.
func (p *Proxy) Close() {
	p.cancel()
	p.control.Lock()
	defer p.control.Unlock()
	p.door.shut()
	for _, x := range p.all() {
		x.end(RST)
	}
	p.work.Wait()
}

func (p *Proxy) all() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*pair, 0, len(p.pairs))
	for x := range p.pairs {
		all = append(all, x)
	}
	return all
}

// serve forwards one connection until both directions have ended.
func (p *Proxy) serve(client *net.TCPConn, id int64) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	c, err := dialer.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client) // as a server that is not there
		return
	}
	x := &pair{client: client, server: c.(*net.TCPConn), over: make(chan struct{})}
	p.mu.Lock()
	p.pairs[x] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.pairs, x)
		p.mu.Unlock()
	}()
	if p.ctx.Err() != nil { // Close may not have seen the pair
		x.end(RST)
	}
	var pumps sync.WaitGroup
	for d, ends := range [2][2]*net.TCPConn{{x.client, x.server}, {x.server, x.client}} {
		pipe := newPipe(p, x, Direction(d), uint64(id))
		pumps.Go(func() { pipe.read(ends[0]) })
		pumps.Go(func() { pipe.write(ends[1]) })
	}
	pumps.Wait()
	x.client.Close()
	x.server.Close()
}

// pair is one connection of a client and the one to the server behind it.
type pair struct {
	client, server *net.TCPConn
	once           sync.Once
	over           chan struct{} // closed: nothing is forwarded any more
}

// end stops the forwarding and ends both sides. After FIN what still comes is
// read and dropped, since a close with data unread would be a reset.
func (x *pair) end(e Ending) {
	x.once.Do(func() { close(x.over) })
	for _, c := range []*net.TCPConn{x.client, x.server} {
		if e == RST {
			reset(c)
		} else {
			_ = c.CloseWrite() // an error means that it has ended already
		}
	}
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // as above
	_ = c.Close()
}

func (d Direction) String() string {
	return [...]string{"up", "down"}[d]
}
