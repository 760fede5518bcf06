package snmp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// subscriber is one who listens to a port, and whom to. What is not immutable
// belongs to the receiver.
type subscriber struct {
	source  *trapSource
	listen  netip.Addr // of this machine; the zero one: all of them
	entries []plan.TrapSource

	port *trapPort
	seen uint32 // losses of the port that are counted
	lost uint32 // those that are not, of ports before
}

// trapPort is one socket. Its goroutine runs while somebody listens; the one who
// leaves last waits for it.
type trapPort struct {
	receiver *TrapReceiver
	conn     *net.UDPConn
	passed   bool           // by systemd
	local    netip.AddrPort // no address: all of them
	seen     uint32         // losses that those who have left have counted
	subs     atomic.Pointer[[]*subscriber]
	done     chan struct{} // of the goroutine; nil: there is none
	err      error         // why it has ended by itself
	pass     sync.Mutex    // held while a datagram is handed out
	informs  recent
	oids     *oidTable
}

// listeners are those who listen.
func (p *trapPort) listeners() []*subscriber {
	if all := p.subs.Load(); all != nil {
		return *all
	}
	return nil
}

func (p *trapPort) add(s *subscriber) {
	all := append(slices.Clone(p.listeners()), s)
	p.subs.Store(&all)
}

func (p *trapPort) remove(s *subscriber) {
	all := slices.DeleteFunc(slices.Clone(p.listeners()), func(o *subscriber) bool { return o == s })
	p.subs.Store(&all)
}

// addressed are the listeners that a datagram is for, by the address that it came
// to. Where the kernel does not tell that, it is for all.
func (p *trapPort) addressed(control []byte) []*subscriber {
	all := p.listeners()
	if !slices.ContainsFunc(all, func(s *subscriber) bool { return s.listen != p.local.Addr() }) {
		return all
	}
	to := p.local.Addr().WithZone("")
	if !to.IsValid() {
		to = destination(control)
	}
	return slices.DeleteFunc(slices.Clone(all), func(s *subscriber) bool {
		return s.listen.IsValid() && to.IsValid() && s.listen.WithZone("") != to
	})
}

func (p *trapPort) start() {
	if p.done != nil && p.lost() == nil {
		return
	}
	_ = p.conn.SetReadDeadline(time.Time{})
	p.done, p.err = make(chan struct{}), nil
	go p.read(p.done)
}

// lost is the error that the goroutine has ended with by itself.
func (p *trapPort) lost() error {
	if p.done == nil {
		return p.err
	}
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

func (p *trapPort) stop() {
	if p.done == nil {
		return
	}
	_ = p.conn.SetReadDeadline(time.Unix(1, 0))
	<-p.done
	p.done = nil
}

// drainTime is how long a socket is read that is about to be closed.
const drainTime = 10 * time.Millisecond

// drain hands out what has come to a socket that nobody reads any more, while the
// kernel gives what is new to the one that is in its place.
func (p *trapPort) drain(to []*subscriber) {
	p.subs.Store(&to)
	deafen(p.conn)
	_ = p.conn.SetReadDeadline(time.Now().Add(drainTime))
	p.read(make(chan struct{}))
}

// read hands datagrams out until the deadline passes.
func (p *trapPort) read(done chan struct{}) {
	defer close(done)
	buffer, control := make([]byte, maxDatagram), make([]byte, 128)
	for {
		n, with, _, from, err := p.conn.ReadMsgUDPAddrPort(buffer, control)
		var timeout interface{ Timeout() bool }
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return
		case err != nil:
			p.err = fmt.Errorf("receive SNMP traps on UDP port %d: %w", p.local.Port(), err)
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if t := p.receiver.traffic; t != nil {
			t.Received(from, from.Addr().String(), n)
		}
		if reply := p.hand(buffer[:n], from, control[:with]); reply != nil {
			p.send(reply, control[:with], from)
		}
	}
}

// hand hands one datagram out. Whatever it holds, the next one is read.
func (p *trapPort) hand(b []byte, from netip.AddrPort, control []byte) (reply []byte) {
	p.pass.Lock()
	defer p.pass.Unlock()
	defer func() {
		if fault := recover(); fault != nil {
			p.receiver.log.Error().Stringer("device", from).Interface("fault", fault).Msg("a message could not be read as an SNMP trap, please report this")
			refuse(candidates(p.listeners(), from.Addr()), refusedMalformed)
			reply = nil
		}
	}()
	return p.take(b, from, control)
}

// settle waits for the datagram that is being handed out.
func (p *trapPort) settle() {
	p.pass.Lock()
	defer p.pass.Unlock()
}

// send answers from the address that was sent to.
func (p *trapPort) send(reply, control []byte, to netip.AddrPort) {
	_, _, err := p.conn.WriteMsgUDPAddrPort(reply, control, to)
	if err != nil && len(control) > 0 {
		_, err = p.conn.WriteToUDPAddrPort(reply, to)
	}
	if err != nil {
		p.receiver.log.Debug().Err(err).Stringer("device", to).Msg("an SNMP inform could not be answered")
		return
	}
	if t := p.receiver.traffic; t != nil {
		t.Sent(to, to.Addr().String(), len(reply))
	}
}

// recent remembers the informs of the last while: one that is sent again is
// answered again and not counted twice.
type recent struct {
	young, old map[recentKey]bool
	since      time.Duration
}

type recentKey struct {
	from netip.AddrPort
	id   int64
	oid  string
}

const (
	recentSpan = 30 * time.Second
	maxRecent  = 1024
)

// has tells whether k came before.
func (r *recent) has(k recentKey, now time.Duration) bool {
	if r.young == nil || len(r.young) >= maxRecent || now-r.since > recentSpan {
		r.old = r.young
		if now-r.since > 2*recentSpan {
			r.old = nil
		}
		r.young, r.since = map[recentKey]bool{}, now
	}
	return r.young[k] || r.old[k]
}

// note remembers k; has was asked before.
func (r *recent) note(k recentKey) { r.young[k] = true }
