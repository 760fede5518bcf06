package probes

import (
	"context"
	"net"
	"net/netip"
)

// Traffic is told of what leaves and comes, by several goroutines. Sent and Received
// return at once.
type Traffic interface {
	// Sent and Received are told of datagrams. host is the name or address as it was
	// configured. Port 0 is ICMP, which has none.
	Sent(to netip.AddrPort, host string, bytes int)
	Received(from netip.AddrPort, host string, bytes int)

	// Connect dials as d does. It counts the tries, and what the connection carries.
	Connect(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error)
}
