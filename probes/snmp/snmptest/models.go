package snmptest

import (
	"math"
	"math/rand/v2"
	"time"
)

// model builds a simulated device. All that moves is a function of the clock
// and the seed alone, so two readings at one time are equal and counters never
// go back while the clock does not.
type model struct {
	dice *rand.Rand
	now  func() time.Time
	boot time.Time
	rows []row
}

// newModel starts a device that has been up for some days already.
func newModel(seed uint64, now func() time.Time) *model {
	if now == nil {
		now = time.Now
	}
	dice := rand.New(rand.NewPCG(seed, 0x6564676568))
	up := 3*24*time.Hour + time.Duration(dice.IntN(60*24*3600))*time.Second
	return &model{dice: dice, now: now, boot: now().Add(-up)}
}

func (m *model) mib() *MIB {
	mib := NewMIB()
	mib.load(m.rows)
	return mib
}

// seconds is the time since boot in whole milliseconds: steps large enough
// that rounding of the sums below cannot turn a counter back.
func (m *model) seconds() float64 {
	return float64(max(m.now().Sub(m.boot).Milliseconds(), 0)) / 1000
}

func (m *model) fixed(oid string, v Value) {
	m.rows = append(m.rows, newRow(MustOID(oid), v, nil))
}

// moves adds a value that is a function of the seconds since boot.
func (m *model) moves(oid string, at func(t float64) Value) {
	m.rows = append(m.rows, newRow(MustOID(oid), Value{}, func() Value { return at(m.seconds()) }))
}

func (m *model) counter32(oid string, f flow) {
	m.moves(oid, func(t float64) Value { return Counter32(uint32(f.at(t))) })
}

func (m *model) counter64(oid string, f flow) {
	m.moves(oid, func(t float64) Value { return Counter64(f.at(t)) })
}

func (m *model) integer(oid string, w wander, scale float64) {
	m.moves(oid, func(t float64) Value { return Integer(int32(math.Round(w.at(t) * scale))) })
}

func (m *model) gauge(oid string, w wander, scale float64) {
	m.moves(oid, func(t float64) Value { return Gauge32(uint32(math.Round(w.at(t) * scale))) })
}

// between is a number from low to high.
func (m *model) between(low, high float64) float64 {
	return low + (high-low)*m.dice.Float64()
}

// wave is one swing of a rate or a level around its middle.
type wave struct{ size, period, phase float64 }

// waves gives a swing over half a minute, which a watcher sees, and one over
// hours. The sizes add up to less than 1.
func (m *model) waves() [2]wave {
	return [2]wave{
		{m.between(0.2, 0.45), m.between(20, 60), m.between(0, 2*math.Pi)},
		{m.between(0.2, 0.45), m.between(2, 20) * 3600, m.between(0, 2*math.Pi)},
	}
}

// flow is what a counter counts: a rate per second that swings but never turns
// negative, on top of a start.
type flow struct {
	start float64
	rate  float64
	waves [2]wave
}

func (m *model) flow(rate float64) flow { return flow{rate: rate, waves: m.waves()} }

// at is the integral of the rate over t seconds.
func (f flow) at(t float64) uint64 {
	sum := t
	for _, w := range f.waves {
		turn := 2 * math.Pi / w.period
		sum += w.size / turn * (math.Cos(w.phase) - math.Cos(t*turn+w.phase))
	}
	return uint64(f.start + f.rate*max(sum, 0))
}

// per is the flow of packets of the given size that make up a flow of octets.
func (f flow) per(size float64) flow {
	f.start, f.rate = f.start/size, f.rate/size
	return f
}

// still is a counter that stands.
func still(n float64) flow {
	return flow{start: math.Floor(n), waves: [2]wave{{period: 1}, {period: 1}}}
}

// wander is a level that moves between two bounds.
type wander struct {
	low, high float64
	waves     [2]wave
}

func (m *model) wander(low, high float64) wander { return wander{low, high, m.waves()} }

func (w wander) at(t float64) float64 {
	level := 0.0
	for _, v := range w.waves {
		level += v.size * math.Sin(2*math.Pi*t/v.period+v.phase)
	}
	return w.low + (w.high-w.low)*(1+level)/2
}

// system adds the group of the same name (RFC 3418).
func (m *model) system(name, descr string, object OID, services int32) {
	const group = "1.3.6.1.2.1.1."
	m.fixed(group+"1.0", OctetString(descr))
	m.fixed(group+"2.0", ObjectID(object))
	m.moves(group+"3.0", func(t float64) Value { return TimeTicks(uint32(uint64(t * 100))) })
	m.fixed(group+"4.0", OctetString("Plant maintenance, ext. 4711"))
	m.fixed(group+"5.0", OctetString(name))
	m.fixed(group+"6.0", OctetString("Hall 3, cabinet B2"))
	m.fixed(group+"7.0", Integer(services))
	m.fixed(group+"8.0", TimeTicks(214))
}

// stack adds scalars of TCP, UDP and SNMP that count the device's own
// management traffic.
func (m *model) stack() {
	rates := []struct {
		oid  string
		rate float64
	}{
		{"1.3.6.1.2.1.6.5.0", 0.002},
		{"1.3.6.1.2.1.6.6.0", 0.02},
		{"1.3.6.1.2.1.6.7.0", 0.001},
		{"1.3.6.1.2.1.6.8.0", 0.001},
		{"1.3.6.1.2.1.6.10.0", 0.6},
		{"1.3.6.1.2.1.6.11.0", 0.6},
		{"1.3.6.1.2.1.6.12.0", 0.004},
		{"1.3.6.1.2.1.6.14.0", 0},
		{"1.3.6.1.2.1.6.15.0", 0.003},
		{"1.3.6.1.2.1.7.1.0", 8},
		{"1.3.6.1.2.1.7.2.0", 0.01},
		{"1.3.6.1.2.1.7.3.0", 0},
		{"1.3.6.1.2.1.7.4.0", 8},
		{"1.3.6.1.2.1.11.1.0", 7},
		{"1.3.6.1.2.1.11.2.0", 7},
		{"1.3.6.1.2.1.11.3.0", 0},
		{"1.3.6.1.2.1.11.4.0", 0.005},
		{"1.3.6.1.2.1.11.5.0", 0},
		{"1.3.6.1.2.1.11.6.0", 0},
		{"1.3.6.1.2.1.11.31.0", 0},
		{"1.3.6.1.2.1.11.32.0", 0},
	}
	for _, r := range rates {
		m.counter32(r.oid, m.flow(r.rate))
	}
	m.gauge("1.3.6.1.2.1.6.9.0", m.wander(1, 4), 1)
}
