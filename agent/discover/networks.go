// Package discover finds the devices in networks that answer to SNMP, tells
// which of their addresses are one device, and writes a configuration for them.
package discover

import (
	"fmt"
	"iter"
	"math/bits"
	"net/netip"
	"strings"
)

// MaxAddresses is how many addresses are scanned without being told so twice:
// those of a /16.
const MaxAddresses = 1 << 16

// ParseNetwork reads a network (192.0.2.0/24) or one address.
func ParseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is not a network, expected one such as 192.0.2.0/24, or an address", text)
	}
	return p.Masked(), nil
}

// Size is how many addresses of the networks are asked, at most 1 << 62.
func Size(networks []netip.Prefix) (n uint64) {
	for _, p := range networks {
		free := p.Addr().BitLen() - p.Bits()
		if free > 60 {
			return 1 << 62
		}
		hosts := uint64(1) << free
		if free >= 2 {
			hosts -= uint64(edges(p))
		}
		sum, carry := bits.Add64(n, hosts, 0)
		if carry != 0 || sum > 1<<62 {
			return 1 << 62
		}
		n = sum
	}
	return n
}

// edges counts the addresses at both ends of a network that are no hosts.
func edges(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 2 // network and broadcast
	}
	return 1 // the anycast address of the routers
}

// addresses gives the hosts of networks, each once.
func addresses(networks []netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for i, p := range networks {
			for addr := range hosts(p) {
				if !covered(networks[:i], addr) && !yield(addr) {
					return
				}
			}
		}
	}
}

func covered(networks []netip.Prefix, addr netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func hosts(p netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		small := p.Addr().BitLen()-p.Bits() < 2
		for addr := p.Addr(); p.Contains(addr); addr = addr.Next() {
			next := addr.Next()
			last := addr.Is4() && !p.Contains(next)
			if !small && (addr == p.Addr() || last) {
				continue
			}
			if !yield(addr) {
				return
			}
		}
	}
}

// texts joins networks for people.
func texts(networks []netip.Prefix) string {
	all := make([]string, len(networks))
	for i, p := range networks {
		all[i] = p.String()
	}
	return strings.Join(all, ", ")
}
