package wire

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// mix is what polls of 24-port switches bring: for each port octets and packets
// in and out, errors, discards, broadcasts and a status, and for each device a
// few gauges. Its distributions are those that the codec of the store is
// measured with; the series have the names that the profiles give.
type mix struct {
	r      *rand.Rand
	active float64
	series []*drawn
	starts []int // of each device
	polls  int
}

type drawn struct {
	series *probes.Series
	draw   func(m *mix, s *drawn) probes.Value
	mean   float64
	now    int64
	wander float64
	of     *drawn
}

const mixPorts = 24

func newMix(devices int, active, idle float64) *mix {
	m := &mix{r: rand.New(rand.NewPCG(7, 11)), active: active}
	for i := range devices {
		m.starts = append(m.starts, len(m.series))
		m.device(i, idle)
	}
	return m
}

func (m *mix) add(key string, typ probes.Type, dims *probes.Dimensions, s drawn) *drawn {
	s.series = probes.NewSeriesOf(key, typ, dims)
	m.series = append(m.series, &s)
	return &s
}

func (m *mix) device(n int, idle float64) {
	own := []probes.Dimension{
		{Key: "device.address", Value: fmt.Sprintf("10.20.%d.%d", n/200, 1+n%200)},
		{Key: "device.name", Value: fmt.Sprintf("sw-%03d.plant-4.example.net", n)},
	}
	dims := probes.NewDimensions(own...)
	m.add("device.uptime", probes.Gauge, dims, drawn{draw: drawUptime, now: m.r.Int64N(1e9)})
	m.add("device.cpu.usage", probes.Gauge, dims, drawn{draw: drawCPU, mean: 5 + 40*m.r.Float64()})
	m.add("device.memory.used", probes.Gauge, dims, drawn{draw: drawMemory, now: 200000 + m.r.Int64N(100000)})
	for i := range 3 {
		of := probes.NewDimensions(append([]probes.Dimension{{Key: "sensor.name", Value: fmt.Sprint("Temp ", i+1)}}, own...)...)
		m.add("device.temperature", probes.Gauge, of, drawn{draw: drawTemperature, mean: 25 + 30*m.r.Float64()})
	}
	for i := range 2 {
		of := probes.NewDimensions(append([]probes.Dimension{{Key: "psu.index", Value: fmt.Sprint(i + 1)}}, own...)...)
		m.add("device.psu.state", probes.Gauge, of, drawn{draw: drawStatus, now: 1})
	}
	for i := range mixPorts {
		m.port(own, i+1, idle)
	}
}

func (m *mix) port(own []probes.Dimension, n int, idleShare float64) {
	dims := probes.NewDimensions(append([]probes.Dimension{
		{Key: "if.index", Value: fmt.Sprint(10100 + n)},
		{Key: "if.name", Value: fmt.Sprint("GigabitEthernet1/0/", n)},
		{Key: "if.alias", Value: fmt.Sprintf("uplink %04x", m.r.IntN(1<<16))},
	}, own...)...)
	u := m.r.Float64()
	active, idle := u < m.active, u >= m.active && u < m.active+idleShare
	for _, way := range []string{"in", "out"} {
		mean := 0.0
		if active {
			mean = math.Pow(10, 3.9+6*m.r.Float64())
		} else if idle {
			mean = 300 + 3000*m.r.Float64()
		}
		octets := m.add("if."+way+".octets", probes.Count, dims, drawn{draw: drawOctets, mean: mean})
		m.add("if."+way+".packets", probes.Count, dims, drawn{draw: drawPackets, mean: mean / (100 + 900*m.r.Float64()), of: octets})
		errors := 0.0
		if active && m.r.Float64() < 0.05 {
			errors = 0.2
		}
		m.add("if."+way+".errors", probes.Count, dims, drawn{draw: drawEvents, mean: errors})
		if active && m.r.Float64() < 0.1 {
			errors = 2
		}
		m.add("if."+way+".discards", probes.Count, dims, drawn{draw: drawEvents, mean: errors})
	}
	status, broadcasts := int64(2), 0.0
	if active || idle {
		status, broadcasts = 1, 12
	}
	m.add("if.state", probes.Gauge, dims, drawn{draw: drawStatus, now: status})
	m.add("if.in.broadcasts", probes.Count, dims, drawn{draw: drawEvents, mean: broadcasts})
}

// poll gives the next point of every series, each device with a stamp of its own.
func (m *mix) poll() []probes.Point {
	m.polls++
	points := make([]probes.Point, 0, len(m.series))
	var stamp probes.Stamp
	for i, s := range m.series {
		if device := len(points) / (len(m.series) / len(m.starts)); m.starts[device] == i {
			up := int64(m.polls)*60000 + int64(device)*1400 + m.r.Int64N(8)
			stamp = probes.Stamp{Boot: probes.BootID{9}, Uptime: time.Duration(up) * time.Millisecond, Wall: 1760000000000 + up}
		}
		points = append(points, probes.Point{Series: s.series, Value: s.draw(m, s), Stamp: stamp})
	}
	return points
}

func (m *mix) poisson(mean float64) int64 {
	if mean > 200 {
		return max(0, int64(math.Round(mean+math.Sqrt(mean)*m.r.NormFloat64())))
	}
	n := int64(0)
	for p := m.r.Float64(); p > math.Exp(-mean); n++ {
		p *= m.r.Float64()
	}
	return n
}

func drawOctets(m *mix, s *drawn) probes.Value {
	if s.mean == 0 {
		return probes.Uint(0)
	}
	s.wander = 0.95*s.wander + 0.1*m.r.NormFloat64()
	mean := s.mean * math.Exp(s.wander) * (1 + 0.5*math.Sin(2*math.Pi*float64(m.polls)/1440))
	s.now = int64(max(mean, 100) * math.Exp(0.25*m.r.NormFloat64()))
	return probes.Uint(uint64(s.now))
}

func drawPackets(m *mix, s *drawn) probes.Value {
	if s.mean == 0 {
		return probes.Uint(0)
	}
	mean := float64(s.of.now) * s.mean / s.of.mean
	if mean < 400 {
		return probes.Uint(uint64(m.poisson(mean)))
	}
	return probes.Uint(uint64(mean * (1 + 0.05*m.r.NormFloat64())))
}

func drawEvents(m *mix, s *drawn) probes.Value {
	if s.mean == 0 {
		return probes.Uint(0)
	}
	return probes.Uint(uint64(m.poisson(s.mean)))
}

func drawStatus(m *mix, s *drawn) probes.Value {
	if m.r.Float64() < 0.0001 {
		s.now = 3 - s.now
	}
	return probes.Int(s.now)
}

func drawUptime(m *mix, s *drawn) probes.Value {
	s.now += 6000 + int64(math.Round(3*m.r.NormFloat64()))
	return probes.Int(s.now)
}

func drawCPU(m *mix, s *drawn) probes.Value {
	s.wander = 0.8*s.wander + 2.4*m.r.NormFloat64()
	return probes.Int(max(0, min(100, int64(math.Round(s.mean+s.wander)))))
}

func drawTemperature(m *mix, s *drawn) probes.Value {
	s.wander += 0.03*m.r.NormFloat64() - 0.01*s.wander
	return probes.Float(math.Round((s.mean+s.wander+0.05*m.r.NormFloat64())*10) / 10)
}

func drawMemory(m *mix, s *drawn) probes.Value {
	s.now += int64(math.Round(40 * m.r.NormFloat64()))
	return probes.Int(s.now)
}
