package snmptest

import (
	"math"
	"time"
)

// power is how a simulated UPS feels just now; each is a function of time.
type power struct {
	inVolt, outVolt, hertz wander
	load                   wander // percent of the rating
	charge, celsius, bus   wander // percent, degrees, volts
}

const ratedWatts = 1350

// NewUPS is a single-phase 1500 VA UPS on mains: the system group, UPS-MIB
// (RFC 1628), the PowerNet objects that APC cards are asked for, and an ifTable
// of two rows that counts in 32 bits only. Seed and clock decide every value; a
// nil clock is time.Now.
func NewUPS(name string, seed uint64, now func() time.Time) *MIB {
	m := newModel(seed, now)
	m.system(name, "Simulated UPS with network management card, software 2.5.0",
		OID{1, 3, 6, 1, 4, 1, 318, 1, 3, 27}, 72)
	m.stack()
	p := power{
		inVolt:  m.wander(226, 236),
		outVolt: m.wander(229, 231),
		hertz:   m.wander(49.9, 50.1),
		load:    m.wander(22, 46),
		charge:  m.wander(96, 100),
		celsius: m.wander(23, 29),
		bus:     m.wander(53.2, 54.8),
	}
	m.upsIdentity(name)
	m.upsBattery(p)
	m.upsLines(p)
	m.powerNetBattery(p)
	m.powerNetLines(p)
	mac := m.macs()
	m.interfaces([]port{
		{
			index: 1, descr: "eth0", kind: 6, mbits: 100, admin: 1, oper: 1, changed: 512, mac: mac(1),
			in: m.load(100, 0.00001, 0.0004), out: m.load(100, 0.00001, 0.0004),
			inErrors: still(0), drops: still(0),
		},
		{
			index: 2, descr: "lo", kind: 24, mbits: 10, admin: 1, oper: 1,
			in: m.load(10, 0, 0), out: m.load(10, 0, 0), inErrors: still(0), drops: still(0),
		},
	})
	return m.mib()
}

// runtime is how long the battery would last, in seconds.
func (p power) runtime(t float64) float64 {
	return 60 * 60 * (p.charge.at(t) / 100) * (25 / p.load.at(t))
}

func (p power) watts(t float64) float64 { return ratedWatts * p.load.at(t) / 100 }

// whole rounds a level that is worked out from others.
func whole(level func(t float64) float64, scale float64) func(t float64) Value {
	return func(t float64) Value { return Integer(int32(math.Round(level(t) * scale))) }
}

func (m *model) upsIdentity(name string) {
	const ups, apc = "1.3.6.1.2.1.33.1.1.", "1.3.6.1.4.1.318.1.1.1.1."
	m.fixed(ups+"1.0", OctetString("Edgehold simulation"))
	m.fixed(ups+"2.0", OctetString("Line-interactive 1500"))
	m.fixed(ups+"3.0", OctetString("UPS 11.3"))
	m.fixed(ups+"4.0", OctetString("2.5.0"))
	m.fixed(ups+"5.0", OctetString(name))
	m.fixed(ups+"6.0", OctetString("Switches of hall 3"))
	m.fixed(apc+"1.1.0", OctetString("Line-interactive 1500"))
	m.fixed(apc+"1.2.0", OctetString(name))
	m.fixed(apc+"2.1.0", OctetString("UPS 11.3"))
	m.fixed(apc+"2.3.0", OctetString("SIM000000001"))
}

func (m *model) upsBattery(p power) {
	const group = "1.3.6.1.2.1.33.1.2."
	m.fixed(group+"1.0", Integer(2)) // battery normal
	m.fixed(group+"2.0", Integer(0)) // seconds on battery
	m.moves(group+"3.0", whole(p.runtime, 1.0/60))
	m.integer(group+"4.0", p.charge, 1)
	m.integer(group+"5.0", p.bus, 10)
	m.integer(group+"6.0", m.wander(0, 0.4), 10)
	m.integer(group+"7.0", p.celsius, 1)
}

func (m *model) upsLines(p power) {
	const in, out = "1.3.6.1.2.1.33.1.3.", "1.3.6.1.2.1.33.1.4."
	inAmps := func(t float64) float64 { return 1.08 * p.watts(t) / p.inVolt.at(t) }
	outAmps := func(t float64) float64 { return p.watts(t) / p.outVolt.at(t) }
	m.fixed(in+"1.0", Counter32(3))
	m.fixed(in+"2.0", Integer(1))
	m.integer(in+"3.1.2.1", p.hertz, 10)
	m.integer(in+"3.1.3.1", p.inVolt, 1)
	m.moves(in+"3.1.4.1", whole(inAmps, 10))
	m.moves(in+"3.1.5.1", whole(p.watts, 1.08))
	m.fixed(out+"1.0", Integer(3)) // source normal
	m.integer(out+"2.0", p.hertz, 10)
	m.fixed(out+"3.0", Integer(1))
	m.integer(out+"4.1.2.1", p.outVolt, 1)
	m.moves(out+"4.1.3.1", whole(outAmps, 10))
	m.moves(out+"4.1.4.1", whole(p.watts, 1))
	m.integer(out+"4.1.5.1", p.load, 1)
	m.fixed("1.3.6.1.2.1.33.1.6.1.0", Gauge32(0)) // alarms present
}

func (m *model) powerNetBattery(p power) {
	const basic, advanced, tenths = "1.3.6.1.4.1.318.1.1.1.2.1.", "1.3.6.1.4.1.318.1.1.1.2.2.", "1.3.6.1.4.1.318.1.1.1.2.3."
	m.fixed(basic+"1.0", Integer(2))   // battery normal
	m.fixed(basic+"2.0", TimeTicks(0)) // time on battery
	m.fixed(basic+"3.0", OctetString("03/14/2024"))
	m.gauge(advanced+"1.0", p.charge, 1)
	m.gauge(advanced+"2.0", p.celsius, 1)
	m.moves(advanced+"3.0", func(t float64) Value { return TimeTicks(uint32(p.runtime(t)) * 100) })
	m.fixed(advanced+"4.0", Integer(1)) // needs no replacing
	m.fixed(advanced+"5.0", Integer(1))
	m.fixed(advanced+"6.0", Integer(0))
	m.fixed(advanced+"7.0", Integer(48))
	m.integer(advanced+"8.0", p.bus, 1)
	m.fixed(advanced+"9.0", Integer(0))
	m.gauge(tenths+"1.0", p.charge, 10)
	m.gauge(tenths+"2.0", p.celsius, 10)
	m.integer(tenths+"4.0", p.bus, 10)
}

func (m *model) powerNetLines(p power) {
	const in, out = "1.3.6.1.4.1.318.1.1.1.3.", "1.3.6.1.4.1.318.1.1.1.4."
	m.fixed(in+"1.1.0", Integer(1)) // phases
	m.gauge(in+"2.1.0", p.inVolt, 1)
	m.fixed(in+"2.2.0", Gauge32(238))
	m.fixed(in+"2.3.0", Gauge32(224))
	m.gauge(in+"2.4.0", p.hertz, 1)
	m.fixed(in+"2.5.0", Integer(9)) // last transfer: self test
	m.gauge(in+"3.1.0", p.inVolt, 10)
	m.gauge(in+"3.4.0", p.hertz, 10)
	m.fixed(out+"1.1.0", Integer(2)) // on line
	m.fixed(out+"1.2.0", Integer(1))
	m.gauge(out+"2.1.0", p.outVolt, 1)
	m.gauge(out+"2.2.0", p.hertz, 1)
	m.gauge(out+"2.3.0", p.load, 1)
	m.moves(out+"2.4.0", func(t float64) Value {
		return Gauge32(uint32(math.Round(p.watts(t) / p.outVolt.at(t))))
	})
	m.gauge(out+"3.1.0", p.outVolt, 10)
	m.gauge(out+"3.2.0", p.hertz, 10)
	m.gauge(out+"3.3.0", p.load, 10)
	m.moves(out+"3.4.0", func(t float64) Value {
		return Gauge32(uint32(math.Round(10 * p.watts(t) / p.outVolt.at(t))))
	})
	m.fixed("1.3.6.1.4.1.318.1.1.1.7.2.3.0", Integer(1)) // self test passed
	m.fixed("1.3.6.1.4.1.318.1.1.1.8.1.0", Integer(1))   // card talks to the UPS
}
