// Package egress tells what leaves this machine: to which addresses, how much
// and what of, and which package or probe it comes from. While no audit runs
// nothing is counted.
package egress

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
)

// The purposes of what leaves.
const (
	Uplink     = "uplink"
	UplinkTime = "uplink time" // the time is asked of the other side of the uplink
	NTP        = "ntp"
	DNS        = "dns"
	DevicePoll = "device poll"
	Discovery  = "discovery"
)

// Meter is what all ways to the network count with. It counts while an audit
// runs; otherwise each count is one look at a pointer. The zero Meter is ready.
type Meter struct {
	running atomic.Pointer[Collector]
}

// Resolver looks names up and counts what that takes. It is Go's own, which
// asks the servers itself, through Dial, so that each datagram to them is seen;
// the C library's would ask unseen.
func (m *Meter) Resolver() *net.Resolver {
	line := m.Line(DNS)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return line.Connect(ctx, net.Dialer{}, network, address)
	}}
}

// Running is the audit that runs, nil for none.
func (m *Meter) Running() *Collector { return m.running.Load() }

// Line is the way to the network for one purpose.
type Line struct {
	meter   *Meter
	purpose string
}

// Line makes the way for a purpose.
func (m *Meter) Line(purpose string) *Line { return &Line{m, purpose} }

// Resolver looks names up and counts what that takes.
func (l *Line) Resolver() *net.Resolver { return l.meter.Resolver() }

// Dial connects as a net.Dialer does, and counts.
func (l *Line) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.Connect(ctx, net.Dialer{Resolver: l.meter.Resolver()}, network, address)
}

// Connect implements probes.Traffic.
func (l *Line) Connect(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	if strings.HasPrefix(network, "tcp") {
		d.ControlContext = l.control(host)
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return l.Watch(conn, host), nil
}

// Trying counts an attempt to connect, to an address that a name has led to:
// where nobody answers the attempt has left all the same.
func (l *Line) Trying(network, address, host string) {
	c := l.meter.running.Load()
	if c == nil {
		return
	}
	if to, err := netip.ParseAddrPort(address); err == nil {
		c.move(flow{l.purpose, network, to, host}, Destination{Attempts: 1})
	}
}

// Sent implements probes.Traffic.
func (l *Line) Sent(to netip.AddrPort, host string, bytes int) {
	if c := l.meter.running.Load(); c != nil {
		c.move(flow{l.purpose, protocolOf(to), to, host}, Destination{BytesOut: int64(bytes), DatagramsOut: 1})
	}
}

// Received implements probes.Traffic.
func (l *Line) Received(from netip.AddrPort, host string, bytes int) {
	if c := l.meter.running.Load(); c != nil {
		c.move(flow{l.purpose, protocolOf(from), from, host}, Destination{BytesIn: int64(bytes), DatagramsIn: 1})
	}
}

// protocolOf is the protocol of a datagram: that without ports is ICMP.
func protocolOf(to netip.AddrPort) string {
	if to.Port() == 0 {
		return "icmp"
	}
	return "udp"
}
