package snmptest

import (
	"fmt"
	"time"
)

// NewSwitch is a managed Ethernet switch: the system group, ifTable and
// ifXTable with the given number of ports, and its own TCP, UDP and SNMP
// scalars. About half of the ports are busy, the others idle, without link or
// switched off; from 8 ports on the last two are 10 Gbit/s uplinks. Seed and
// clock decide every value; a nil clock is time.Now.
func NewSwitch(name string, ports int, seed uint64, now func() time.Time) *MIB {
	m := newModel(seed, now)
	m.system(name, fmt.Sprintf("Simulated managed switch, %d ports, software 4.2.1", ports),
		OID{1, 3, 6, 1, 4, 1, 32473, 1, 24}, 2)
	m.stack()
	mac := m.macs()
	fates := m.fates(ports)
	list := make([]port, ports)
	for i := range list {
		list[i] = m.port(i+1, fates[i])
		list[i].mac = mac(i + 1)
	}
	m.interfaces(list)
	m.highCapacity(list)
	return m.mib()
}

// fate is what a port of a switch is used for.
type fate uint8

const (
	busy fate = iota
	idle
	noLink
	disabled
	uplink
)

// fates deals out the ports, so that 24 of them have every fate.
func (m *model) fates(ports int) []fate {
	hand := []fate{busy, idle, busy, noLink, busy, busy, idle, busy, noLink, busy, idle, disabled}
	fates := make([]fate, ports)
	for i := range fates {
		fates[i] = hand[i%len(hand)]
	}
	access := ports
	if ports >= 8 {
		access = ports - 2
		fates[access], fates[access+1] = uplink, uplink
	}
	m.dice.Shuffle(access, func(i, j int) { fates[i], fates[j] = fates[j], fates[i] })
	return fates
}

func (m *model) port(index int, f fate) port {
	p := port{
		index:       index,
		descr:       fmt.Sprintf("GigabitEthernet1/0/%d", index),
		name:        fmt.Sprintf("Gi1/0/%d", index),
		kind:        6,
		mbits:       1000,
		admin:       1,
		oper:        1,
		changed:     uint32(3000 + m.dice.IntN(500)),
		promiscuous: 2,
		inErrors:    still(0),
		drops:       still(0),
	}
	low, high := 0.0, 0.0 // share of the line rate
	switch f {
	case busy:
		p.alias = m.pick("Camera", "Line PLC", "Robot cell", "Access point", "Server")
		low, high = 0.02, 0.3
		p.drops = m.flow(m.between(0, 0.02))
	case idle:
		p.alias = m.pick("Printer", "Door control", "Spare desk", "Meter gateway")
		low, high = 0.00001, 0.0004
	case noLink, disabled:
		p.oper = 2
		p.changed = uint32(m.dice.IntN(int(3 * 24 * time.Hour / (10 * time.Millisecond))))
	case uplink:
		p.descr, p.name = fmt.Sprintf("TenGigabitEthernet1/0/%d", index), fmt.Sprintf("Te1/0/%d", index)
		p.alias, p.mbits, p.promiscuous = "Uplink to core", 10_000, 1
		low, high = 0.1, 0.4
		p.drops, p.inErrors = m.flow(m.between(0.1, 2)), m.flow(m.between(0.01, 0.1))
	}
	if f == disabled {
		p.admin = 2
	}
	p.in, p.out = m.load(p.mbits, low, high), m.load(p.mbits, low, high)
	return p
}

// load is traffic of a share of the line rate; of none, what has passed before
// the link went.
func (m *model) load(mbits uint32, low, high float64) traffic {
	if high == 0 {
		return m.traffic(still(m.between(0, 1e9)), 300)
	}
	return m.traffic(m.flow(float64(mbits)*1e6/8*m.between(low, high)), m.between(150, 1200))
}

func (m *model) pick(names ...string) string {
	return fmt.Sprintf("%s %d", names[m.dice.IntN(len(names))], 1+m.dice.IntN(40))
}
