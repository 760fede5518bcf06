package arc

import (
	"math"
	"math/rand/v2"
)

// The mix stands for what a poll of switches brings: for each port octets and
// packets in and out, errors, discards, broadcasts and a status, and for each
// device a few gauges. Counters come as differences. Each sample also says
// what it would cost a coder that knows the very distribution it was drawn
// from; given packets follow octets. The sum of that is the floor.
type mix struct {
	r      *rand.Rand
	series []*sample
	polls  int
}

type sample struct {
	draw   func(m *mix, s *sample) int64
	value  Form
	scale  float64 // of what is drawn to the value
	mean   float64
	now    int64
	wander float64
	of     *sample // octets, of packets
	bits   float64
}

type mixOptions struct {
	devices, ports int
	active, idle   float64 // shares of the ports
}

var (
	normalMix = mixOptions{devices: 40, ports: 24, active: 0.35, idle: 0.30}
	busyMix   = mixOptions{devices: 40, ports: 24, active: 0.90, idle: 0.05}
)

func newMix(o mixOptions) *mix {
	m := &mix{r: rand.New(rand.NewPCG(7, 11))}
	for range o.devices {
		m.device(o)
	}
	return m
}

func (m *mix) add(s sample) *sample {
	m.series = append(m.series, &s)
	return &s
}

func (m *mix) device(o mixOptions) {
	m.add(sample{draw: drawUptime, value: Int, now: m.r.Int64N(1e9)})
	m.add(sample{draw: drawCPU, value: Int, mean: 5 + 40*m.r.Float64()})
	m.add(sample{draw: drawMemory, value: Int, now: 200000 + m.r.Int64N(100000)})
	for range 3 {
		m.add(sample{draw: drawTemperature, value: Float, scale: 10, mean: 25 + 30*m.r.Float64()})
	}
	for range 2 {
		m.add(sample{draw: drawStatus, value: Int, now: 1})
	}
	for range o.ports {
		m.port(o)
	}
}

func (m *mix) port(o mixOptions) {
	u := m.r.Float64()
	active, idle := u < o.active, u >= o.active && u < o.active+o.idle
	for range 2 {
		mean := 0.0
		if active {
			mean = math.Pow(10, 3.9+6*m.r.Float64())
		} else if idle {
			mean = 300 + 3000*m.r.Float64()
		}
		octets := m.add(sample{draw: drawOctets, value: Uint, mean: mean})
		m.add(sample{draw: drawPackets, value: Uint, mean: mean / (100 + 900*m.r.Float64()), of: octets})
		errors := 0.0
		if active && m.r.Float64() < 0.05 {
			errors = 0.2
		}
		m.add(sample{draw: drawEvents, value: Uint, mean: errors})
		if active && m.r.Float64() < 0.1 {
			errors = 2
		}
		m.add(sample{draw: drawEvents, value: Uint, mean: errors})
	}
	status, broadcasts := int64(2), 0.0
	if active || idle {
		status, broadcasts = 1, 12
	}
	m.add(sample{draw: drawStatus, value: Int, now: status})
	m.add(sample{draw: drawEvents, value: Uint, mean: broadcasts})
}

// poll puts the next value of every series into values.
func (m *mix) poll(values []Value) {
	m.polls++
	for i, s := range m.series {
		n := s.draw(m, s)
		if s.value == Float {
			values[i] = float(float64(n) / s.scale)
			continue
		}
		values[i] = Value{Form: s.value, Bits: uint64(n)}
	}
}

// floor is bytes a point.
func (m *mix) floor() float64 {
	sum := 0.0
	for _, s := range m.series {
		sum += s.bits
	}
	return sum / 8 / float64(m.polls*len(m.series))
}

// normal draws z and adds the cost of a rounded normal of that deviation.
func (s *sample) normal(m *mix, deviation float64) float64 {
	z := m.r.NormFloat64()
	s.bits += max(0.01, math.Log2(deviation*math.Sqrt(2*math.Pi))+z*z/2/math.Ln2)
	return z
}

func (s *sample) poisson(m *mix, mean float64) int64 {
	if mean == 0 {
		return 0
	}
	n := int64(0)
	if mean > 200 {
		n = max(0, int64(math.Round(mean+math.Sqrt(mean)*m.r.NormFloat64())))
	} else {
		for p := m.r.Float64(); p > math.Exp(-mean); n++ {
			p *= m.r.Float64()
		}
	}
	g, _ := math.Lgamma(float64(n) + 1)
	s.bits += (mean - float64(n)*math.Log(mean) + g) / math.Ln2
	return n
}

func drawOctets(m *mix, s *sample) int64 {
	if s.mean == 0 {
		return 0
	}
	s.wander = 0.95*s.wander + 0.1*m.r.NormFloat64()
	mean := s.mean * math.Exp(s.wander) * (1 + 0.5*math.Sin(2*math.Pi*float64(m.polls)/1440))
	z := m.r.NormFloat64()
	s.now = int64(max(mean, 100) * math.Exp(0.25*z))
	s.bits += max(0.01, math.Log2(0.25*float64(s.now+1)*math.Sqrt(2*math.Pi))+z*z/2/math.Ln2)
	return s.now
}

func drawPackets(m *mix, s *sample) int64 {
	if s.mean == 0 {
		return 0
	}
	mean := float64(s.of.now) * s.mean / s.of.mean
	if mean < 400 {
		return s.poisson(m, mean)
	}
	return int64(mean * (1 + 0.05*s.normal(m, 0.05*mean)))
}

func drawEvents(m *mix, s *sample) int64 { return s.poisson(m, s.mean) }

func drawStatus(m *mix, s *sample) int64 {
	s.bits += 0.001
	if m.r.Float64() < 0.0001 {
		s.now = 3 - s.now
		s.bits += 13.3
	}
	return s.now
}

func drawUptime(m *mix, s *sample) int64 {
	s.now += 6000 + int64(math.Round(3*s.normal(m, 3)))
	return s.now
}

func drawCPU(m *mix, s *sample) int64 {
	s.wander = 0.8*s.wander + 2.4*s.normal(m, 2.4)
	return max(0, min(100, int64(math.Round(s.mean+s.wander))))
}

func drawTemperature(m *mix, s *sample) int64 {
	s.wander += 0.03*m.r.NormFloat64() - 0.01*s.wander
	s.bits += 1.91
	return int64(math.Round((s.mean + s.wander + 0.05*m.r.NormFloat64()) * 10))
}

func drawMemory(m *mix, s *sample) int64 {
	s.now += int64(math.Round(40 * s.normal(m, 40)))
	return s.now
}
