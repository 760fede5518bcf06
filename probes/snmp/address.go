package snmp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

const (
	addressTTL    = 3 * time.Minute
	addressLookup = 5 * time.Second // of one look-up
	otherWayEvery = 4               // polls of a device that was never heard
)

// route is what is known of the address of a device and of where its answers
// come from. Some devices answer from another address than the one that was
// asked, and a connected socket does not hear them.
type route struct {
	mu        sync.Mutex
	last      netip.Addr // of a name: the one in use
	fresh     bool       // last was looked up at resolved, and it answers
	resolved  time.Duration
	heard     bool           // the device has answered
	elsewhere netip.AddrPort // where its answers come from; zero: from where it was asked
	polls     int            // without an answer
	refused   bool           // the last poll found the port closed
}

// address is where to send to. A name is looked up every few minutes; while
// that fails the last good address is kept.
func (p *peer) address(ctx context.Context, d plan.Device) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(d.Host); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), d.Port), nil
	}
	r, now := &p.route, p.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fresh && now-r.resolved < addressTTL {
		return netip.AddrPortFrom(r.last, d.Port), nil
	}
	ctx, cancel := context.WithTimeout(ctx, addressLookup)
	defer cancel()
	found, err := p.lookup(ctx, d.Host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: d.Host, IsNotFound: true}
	}
	switch {
	case err == nil:
		r.choose(found)
		r.fresh, r.resolved = true, now
	case !r.last.IsValid():
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(r.last, d.Port), nil
}

// choose stays with the address in use while the name has it, and goes on to
// the next one where that never answered.
func (r *route) choose(found []netip.Addr) {
	for i := range found {
		found[i] = found[i].Unmap()
	}
	at := slices.Index(found, r.last)
	if at >= 0 && !r.heard {
		at = (at + 1) % len(found)
	}
	r.last = found[max(at, 0)]
}

// silent notes a poll without any answer: the name may have moved.
func (r *route) silent(refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh, r.refused = false, refused
	r.polls++
}

// anyWay tells whether to hear answers from anywhere right from the start: those
// of a device that is known for it, and now and then of one that was never heard.
func (r *route) anyWay() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.elsewhere.IsValid() || !r.heard && !r.refused && r.polls%otherWayEvery == 1
}

func (r *route) everHeard() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard
}

// answered notes where an answer came from; news: it is from another address
// than before.
func (r *route) answered(from, asked netip.AddrPort) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = true
	if !from.IsValid() || from == asked {
		return false
	}
	news = r.elsewhere.Addr() != from.Addr() || !r.elsewhere.IsValid()
	r.elsewhere = from
	return news
}

// socket is a UDP socket for one device.
type socket struct {
	*net.UDPConn
	to        netip.AddrPort
	connected bool
}

// connect opens a socket that takes datagrams from one address alone.
func connect(to netip.AddrPort) (socket, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return socket{}, fmt.Errorf("open socket: %w", err)
	}
	return socket{conn, to, true}, nil
}

// listen opens a socket that takes datagrams from anywhere; port 0 is any.
func listen(to netip.AddrPort, port uint16) (socket, error) {
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, &net.UDPAddr{Port: int(port)})
	if err != nil {
		return socket{}, fmt.Errorf("open socket: %w", err)
	}
	return socket{conn, to, false}, nil
}

func (s *socket) port() uint16 {
	return s.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func (s *socket) send(packet []byte) (err error) {
	if s.connected {
		_, err = s.Write(packet)
	} else {
		_, err = s.WriteToUDPAddrPort(packet, s.to)
	}
	return err
}

// receive gives where a datagram came from, the zero address where it can only
// be the device.
func (s *socket) receive(b []byte) (n int, from netip.AddrPort, err error) {
	if s.connected {
		n, err = s.Read(b)
		return n, from, err
	}
	n, from, err = s.ReadFromUDPAddrPort(b)
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}
