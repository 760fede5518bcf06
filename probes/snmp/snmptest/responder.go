package snmptest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options says what a Responder serves.
type Options struct {
	// Addr is the UDP address to listen on; "" is a free port of 127.0.0.1.
	Addr string
	// Communities picks the MIB by the community of the request. A request
	// with another community is not answered.
	Communities map[string]*MIB
	// MaxReply is the longest reply in bytes; 0 is 1472, one Ethernet frame.
	MaxReply int
}

// Requests counts what has come in and what went out.
type Requests struct {
	Get, GetNext, GetBulk uint64
	Unknown               uint64 // of a community that is not served
	Malformed             uint64 // not decoded, or of a type that is not answered
	Replies               uint64 // a duplicate counts twice, junk not at all
	Varbinds              uint64 // in the replies
}

// Responder is one simulated device on one UDP port. It is safe for use by
// several goroutines.
type Responder struct {
	options Options
	conn    *net.UDPConn
	conduct atomic.Pointer[conduct]
	closing sync.Once
	stop    chan struct{}
	done    chan struct{}

	get, getNext, getBulk, unknown, malformed, replies, varbinds atomic.Uint64
}

const defaultMaxReply = 1472

// New makes a responder that does not listen yet.
func New(o Options) *Responder {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.MaxReply == 0 {
		o.MaxReply = defaultMaxReply
	}
	r := &Responder{options: o, stop: make(chan struct{}), done: make(chan struct{})}
	r.conduct.Store(new(conduct))
	return r
}

// Start makes a responder and starts it.
func Start(o Options) (*Responder, error) {
	r := New(o)
	if err := r.Start(); err != nil {
		return nil, err
	}
	return r, nil
}

// Start listens and serves until Close. It is called once.
func (r *Responder) Start() error {
	address, err := net.ResolveUDPAddr("udp", r.options.Addr)
	if err != nil {
		return fmt.Errorf("resolve responder address: %w", err)
	}
	if r.conn, err = net.ListenUDP("udp", address); err != nil {
		return fmt.Errorf("start responder: %w", err)
	}
	go r.serve()
	return nil
}

// Addr is the address and port it listens on, once started.
func (r *Responder) Addr() string { return r.conn.LocalAddr().String() }

// Close ends a started responder and waits for it. The port is then closed, as
// that of a device whose agent is not running; a new responder with the same
// Addr brings it back. A second Close does nothing.
func (r *Responder) Close() (err error) {
	r.closing.Do(func() {
		close(r.stop)
		err = r.conn.Close()
		<-r.done
	})
	if err != nil {
		return fmt.Errorf("close responder: %w", err)
	}
	return nil
}

// SetFaults changes how the device behaves from the next request on. Replies
// held back by LateReply are lost.
func (r *Responder) SetFaults(f Faults) { r.conduct.Store(&conduct{Faults: f}) }

// Requests returns the counts since the start.
func (r *Responder) Requests() Requests {
	return Requests{
		Get:       r.get.Load(),
		GetNext:   r.getNext.Load(),
		GetBulk:   r.getBulk.Load(),
		Unknown:   r.unknown.Load(),
		Malformed: r.malformed.Load(),
		Replies:   r.replies.Load(),
		Varbinds:  r.varbinds.Load(),
	}
}

// parcel is a datagram on its way out.
type parcel struct {
	datagram []byte
	varbinds int
	to       netip.AddrPort
}

// serve is the one goroutine of a responder; Close waits for it.
func (r *Responder) serve() {
	defer close(r.done)
	in := make([]byte, 1<<16)
	var out []byte
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		c := r.conduct.Load()
		answer, ok := r.answer(in[:n], c)
		if !ok {
			continue
		}
		c.disguise(&answer)
		out = appendMessage(out[:0], answer.Header, answer.list)
		r.deliver(parcel{out, answer.count, from}, c)
	}
}

// answer makes the reply to a datagram, if it gets one.
func (r *Responder) answer(datagram []byte, c *conduct) (reply, bool) {
	req, err := Decode(datagram)
	if err != nil || !r.count(req) {
		r.malformed.Add(1)
		return reply{}, false
	}
	mib := r.options.Communities[req.Community]
	if mib == nil {
		r.unknown.Add(1)
		return reply{}, false
	}
	if c.mute(req) {
		return reply{}, false
	}
	mib.mu.RLock()
	defer mib.mu.RUnlock()
	l := lookup{
		mib:     mib,
		version: req.Version,
		faults:  &c.Faults,
		maxSize: r.options.MaxReply,
		maxRows: c.maxRows(),
		spoilt:  &c.spoilt,
	}
	answer := l.answer(req)
	if req.Type != GetRequest {
		c.walked += answer.count
	}
	return answer, true
}

// count notes a request; false: it is none that is answered.
func (r *Responder) count(req *Message) bool {
	switch {
	case req.Type == GetRequest:
		r.get.Add(1)
	case req.Type == GetNextRequest:
		r.getNext.Add(1)
	case req.Type == GetBulkRequest && req.Version != V1:
		r.getBulk.Add(1)
	default:
		return false
	}
	return true
}

func (r *Responder) deliver(p parcel, c *conduct) {
	if c.loses(len(p.datagram)) || !r.wait(c.Delay) {
		return
	}
	if c.LateReply && c.late == nil {
		p.datagram = append([]byte(nil), p.datagram...)
		c.late = &p
		return
	}
	if c.late != nil {
		r.send(*c.late, c)
		c.late = nil
	}
	r.send(p, c)
	if c.Duplicate {
		r.send(p, c)
	}
}

// wait pauses for the time of a Delay; false: the responder is being closed.
func (r *Responder) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stop:
		return false
	}
}

// send puts a parcel on the wire. What cannot be sent is lost, as on any
// network; it shows as a reply that is not counted.
func (r *Responder) send(p parcel, c *conduct) {
	conn := r.conn
	if c.OtherSource != "" {
		other, err := otherSocket(c.OtherSource)
		if err != nil {
			return
		}
		defer other.Close()
		conn = other
	}
	for range c.JunkFirst {
		if _, err := conn.WriteToUDPAddrPort([]byte("no SNMP at all"), p.to); err != nil {
			return
		}
	}
	if _, err := conn.WriteToUDPAddrPort(p.datagram, p.to); err != nil {
		return
	}
	r.replies.Add(1)
	r.varbinds.Add(uint64(p.varbinds))
}

func otherSocket(local string) (*net.UDPConn, error) {
	address, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp", address)
}
