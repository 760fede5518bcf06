package snmptest

import "fmt"

// port is one row of ifTable and ifXTable.
type port struct {
	index           int
	descr, name     string
	alias           string
	kind            int32 // ifType: 6 Ethernet, 24 loopback
	mbits           uint32
	admin, oper     int32  // 1 up, 2 down
	changed         uint32 // ifLastChange, ticks
	promiscuous     int32  // 1 true, 2 false
	mac             string
	in, out         traffic
	inErrors, drops flow
}

// traffic is what passes a port in one direction, packets by kind.
type traffic struct {
	octets, unicast, multicast, broadcast flow
}

// traffic splits a flow of octets into packets of the given mean size and adds
// a trickle of multicast and broadcast.
func (m *model) traffic(octets flow, size float64) traffic {
	chatter := 0.0
	if octets.rate > 0 {
		chatter = 1
	}
	return traffic{
		octets:    octets,
		unicast:   octets.per(size),
		multicast: m.flow(chatter * m.between(0.2, 4)),
		broadcast: m.flow(chatter * m.between(0.05, 1)),
	}
}

// interfaces adds ifNumber and ifTable (RFC 2863), which count in 32 bits.
func (m *model) interfaces(ports []port) {
	m.fixed("1.3.6.1.2.1.2.1.0", Integer(int32(len(ports))))
	for _, p := range ports {
		column := func(n int) string { return fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d.%d", n, p.index) }
		m.fixed(column(1), Integer(int32(p.index)))
		m.fixed(column(2), OctetString(p.descr))
		m.fixed(column(3), Integer(p.kind))
		m.fixed(column(4), Integer(1500))
		m.fixed(column(5), Gauge32(bitRate(p.mbits)))
		m.fixed(column(6), OctetString(p.mac))
		m.fixed(column(7), Integer(p.admin))
		m.fixed(column(8), Integer(p.oper))
		m.fixed(column(9), TimeTicks(p.changed))
		m.counter32(column(10), p.in.octets)
		m.counter32(column(11), p.in.unicast)
		m.counter32(column(12), p.in.multicast)
		m.counter32(column(13), p.drops)
		m.counter32(column(14), p.inErrors)
		m.counter32(column(15), still(0))
		m.counter32(column(16), p.out.octets)
		m.counter32(column(17), p.out.unicast)
		m.counter32(column(18), p.out.multicast)
		m.counter32(column(19), p.drops)
		m.counter32(column(20), still(0))
		m.fixed(column(21), Gauge32(0))
	}
}

// highCapacity adds ifTableLastChange and ifXTable, which count in 64 bits.
func (m *model) highCapacity(ports []port) {
	m.fixed("1.3.6.1.2.1.31.1.5.0", TimeTicks(214))
	for _, p := range ports {
		column := func(n int) string { return fmt.Sprintf("1.3.6.1.2.1.31.1.1.1.%d.%d", n, p.index) }
		m.fixed(column(1), OctetString(p.name))
		m.counter32(column(2), p.in.multicast)
		m.counter32(column(3), p.in.broadcast)
		m.counter32(column(4), p.out.multicast)
		m.counter32(column(5), p.out.broadcast)
		m.direction(column, 6, p.in)
		m.direction(column, 10, p.out)
		m.fixed(column(14), Integer(1))
		m.fixed(column(15), Gauge32(p.mbits))
		m.fixed(column(16), Integer(p.promiscuous))
		m.fixed(column(17), Integer(1))
		m.fixed(column(18), OctetString(p.alias))
		m.fixed(column(19), TimeTicks(0))
	}
}

// direction adds the four 64-bit columns of one direction.
func (m *model) direction(column func(int) string, first int, t traffic) {
	m.counter64(column(first), t.octets)
	m.counter64(column(first+1), t.unicast)
	m.counter64(column(first+2), t.multicast)
	m.counter64(column(first+3), t.broadcast)
}

// bitRate is ifSpeed, which stops at its highest value.
func bitRate(mbits uint32) uint32 {
	return uint32(min(uint64(mbits)*1_000_000, 1<<32-1))
}

// macs gives out locally administered addresses that depend on the seed.
func (m *model) macs() func(index int) string {
	base := m.dice.Uint32()
	return func(index int) string {
		return string([]byte{2, byte(base >> 24), byte(base >> 16), byte(base >> 8), byte(index >> 8), byte(index)})
	}
}
