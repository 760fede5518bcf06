package probes

import "net/netip"

// Traffic is told of each datagram that left or came, by several goroutines,
// and returns at once. host is the name or address as it was configured.
type Traffic interface {
	Sent(to netip.AddrPort, host string, bytes int)
	Received(from netip.AddrPort, host string, bytes int)
}
