package egress

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

// Watch makes the bytes of a connection count. host is the name that led to it.
// What is given back is a net.PacketConn where conn is a UDP socket: by that
// Go's resolver tells the two apart.
func (l *Line) Watch(conn net.Conn, host string) net.Conn {
	remote := conn.RemoteAddr()
	if remote == nil {
		return conn
	}
	to, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return conn // a local socket: nothing leaves by it
	}
	way := flow{l.purpose, remote.Network(), to, host}
	if udp, ok := conn.(*net.UDPConn); ok {
		return &datagrams{UDPConn: udp, meter: l.meter, flow: way}
	}
	return &stream{Conn: conn, meter: l.meter, flow: way}
}

func (l *Line) control(host string) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		l.Trying(network, address, host)
		return nil
	}
}

// stream is a connection of TCP.
type stream struct {
	net.Conn
	meter *Meter
	flow  flow
	seen  atomic.Pointer[Collector] // the last audit that heard of the connection
}

// count adds what moved; the first of it in an audit counts the connection too.
func (s *stream) count(d Destination) {
	c := s.meter.running.Load()
	if c == nil {
		return
	}
	if s.seen.Swap(c) != c {
		d.Connections = 1
	}
	c.move(s.flow, d)
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.count(Destination{BytesIn: int64(n)})
	}
	return n, err
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if n > 0 {
		s.count(Destination{BytesOut: int64(n)})
	}
	return n, err
}

// datagrams is a UDP socket with one other side.
type datagrams struct {
	*net.UDPConn
	meter *Meter
	flow  flow
}

// Read implements net.Conn.
func (s *datagrams) Read(p []byte) (int, error) {
	n, err := s.UDPConn.Read(p)
	if err == nil {
		s.count(Destination{BytesIn: int64(n), DatagramsIn: 1})
	}
	return n, err
}

// Write implements net.Conn.
func (s *datagrams) Write(p []byte) (int, error) {
	n, err := s.UDPConn.Write(p)
	if err == nil {
		s.count(Destination{BytesOut: int64(n), DatagramsOut: 1})
	}
	return n, err
}

func (s *datagrams) count(d Destination) {
	if c := s.meter.running.Load(); c != nil {
		c.move(s.flow, d)
	}
}
