package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Discovery says where new devices are looked for, each night. Without
// networks none are.
type Discovery struct {
	Networks         []Network `yaml:"networks"`
	Credentials      []string  `yaml:"credentials"` // names, tried in this order
	At               string    `yaml:"at"`          // HH:MM of the local time
	PacketsPerSecond int       `yaml:"packets_per_second"`
}

// On tells whether anything is scanned.
func (d Discovery) On() bool { return len(d.Networks) > 0 }

// Network is a network, or one address.
type Network netip.Prefix

// UnmarshalText reads 192.0.2.0/24 or 192.0.2.1.
func (n *Network) UnmarshalText(b []byte) error {
	if addr, err := netip.ParseAddr(string(b)); err == nil && addr.Zone() == "" {
		*n = Network(netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a network, expected one such as 192.0.2.0/24", b)
	}
	*n = Network(p.Masked())
	return nil
}

const (
	maxScanBits   = 16 // of the address: a /16 of IPv4
	maxScanPerSec = 1000
)

func (c *checker) discovery(doc Discovery, known []string) Discovery {
	if !c.given("discovery") {
		return doc
	}
	c.need("networks: [192.0.2.0/24]", "discovery", "networks")
	c.need("credentials: [plant-v2]", "discovery", "credentials")
	for i, n := range doc.Networks {
		p := netip.Prefix(n)
		if p.IsValid() && p.Addr().BitLen()-p.Bits() > maxScanBits {
			c.fault(Error{
				Found: fmt.Sprintf("%v has more than 65536 addresses", p), Mend: "name smaller networks",
			}, "discovery", "networks", fmt.Sprintf("[%d]", i))
		}
	}
	for i, name := range doc.Credentials {
		if slices.Contains(known, name) {
			continue
		}
		e := Error{Found: "there is no credential of this name", Expected: "a name from the top-level `credentials`", Nearest: nearest(name, known)}
		if e.Nearest != "" { // what resembles no name may be a secret
			e.Found = fmt.Sprintf("there is no credential %q", name)
		}
		c.fault(e, "discovery", "credentials", fmt.Sprintf("[%d]", i))
	}
	if _, err := time.Parse("15:04", doc.At); err != nil {
		c.fault(Error{Found: "not a time of the day", Expected: `one such as "03:00"`, Mend: "put it in quotes"}, "discovery", "at")
	}
	if doc.PacketsPerSecond < 1 || doc.PacketsPerSecond > maxScanPerSec {
		c.fault(Error{Found: fmt.Sprintf("found %d", doc.PacketsPerSecond), Expected: fmt.Sprintf("1 to %d", maxScanPerSec)}, "discovery", "packets_per_second")
	}
	return doc
}

// namesOf lists credentials for messages.
func namesOf[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
