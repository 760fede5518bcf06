package main

import (
	"fmt"
	"math"
	"math/rand"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// mixOptions says which site is simulated. The defaults of the study are 24
// ports, of which 35 % are active and 30 % idle (busy: 90 % and 5 %).
type mixOptions struct {
	Devices, Ports int
	Active, Idle   float64
	Slots          int // commits in a minute, each with the devices whose turn it is; 0 and 1: all in step
}

func normal(devices int) mixOptions {
	return mixOptions{Devices: devices, Ports: 24, Active: 0.35, Idle: 0.30}
}

func busy(devices int) mixOptions {
	return mixOptions{Devices: devices, Ports: 24, Active: 0.90, Idle: 0.05}
}

func (o mixOptions) series() int { return o.Devices * (8 + 10*o.Ports) }

type quantity uint8

const (
	octets quantity = iota
	packets
	events
	status
	uptime
	load
	celsius
	memory
)

// channel is one series and what its next value depends on.
type channel struct {
	kind   quantity
	series *probes.Series
	mean   float64 // of a minute
	spread float64
	pair   int // of packets: the octets they carry
	drift  float64
	level  int64
	last   int64
}

// mix makes the polls of switches: counters as deltas, states, loads and
// temperatures. The same options give the same values, whenever it runs.
type mix struct {
	options  mixOptions
	random   *rand.Rand // the first generation of math/rand: its seed 7 gives the values of the study
	channels []channel
	minute   int
	slot     int
	values   []probes.Value
}

const (
	mixSeed  = 7
	mixStart = 1_767_225_600_000 // Unix milliseconds
)

func newMix(o mixOptions) *mix {
	o.Slots = max(o.Slots, 1)
	m := &mix{options: o, random: rand.New(rand.NewSource(mixSeed))}
	for d := range o.Devices {
		m.device(d)
	}
	m.values = make([]probes.Value, len(m.channels))
	return m
}

func (m *mix) add(c channel, dims ...probes.Dimension) int {
	typ := probes.Gauge
	if c.kind <= events {
		typ = probes.Count
	}
	name := []string{"octets", "packets", "errors", "status", "uptime", "cpu", "temperature", "memory"}[c.kind]
	c.series = probes.NewSeries("com.example.snmp."+name, typ, dims...)
	m.channels = append(m.channels, c)
	return len(m.channels) - 1
}

func (m *mix) device(d int) {
	dims := func(more ...probes.Dimension) []probes.Dimension {
		return append(more,
			probes.Dimension{Key: "device.address", Value: fmt.Sprintf("192.0.2.%d", d)},
			probes.Dimension{Key: "device.name", Value: fmt.Sprintf("switch-%d.site-%d.example", 1000+d, d%7)})
	}
	part := func(n int) []probes.Dimension { return dims(probes.Dimension{Key: "part", Value: fmt.Sprint(n)}) }
	m.add(channel{kind: uptime, mean: 6000, spread: 3, level: m.random.Int63n(1e9)}, dims()...)
	m.add(channel{kind: load, mean: 5 + 40*m.random.Float64(), spread: 4}, dims()...)
	m.add(channel{kind: memory, spread: 40, level: 200000 + m.random.Int63n(100000)}, dims()...)
	for i := range 3 {
		m.add(channel{kind: celsius, mean: 25 + 30*m.random.Float64()}, part(i)...)
	}
	for i := range 2 {
		m.add(channel{kind: status, level: 1}, part(i)...)
	}
	for p := range m.options.Ports {
		m.port(func(what string) []probes.Dimension {
			return dims(probes.Dimension{Key: "if.name", Value: fmt.Sprintf("GigabitEthernet1/0/%d", p+1)},
				probes.Dimension{Key: "if.index", Value: fmt.Sprint(10100 + p)},
				probes.Dimension{Key: "what", Value: what})
		})
	}
}

// port draws from the dice in the order of the study, also what deltas have no
// use for.
func (m *mix) port(dims func(what string) []probes.Dimension) {
	u, state := m.random.Float64(), 2
	if u < m.options.Active {
		state = 0
	} else if u < m.options.Active+m.options.Idle {
		state = 1
	}
	for _, way := range []string{"in", "out"} {
		mean := 0.0
		switch state {
		case 0:
			mean = math.Pow(10, 3.9+6*m.random.Float64()) // 1 kbit/s to 1 Gbit/s
		case 1:
			mean = 300 + 3000*m.random.Float64()
		}
		m.random.Int63n(1 << 45)
		o := m.add(channel{kind: octets, mean: mean, spread: 0.25}, dims(way)...)
		mean /= 100 + 900*m.random.Float64()
		m.random.Int63n(1 << 36)
		m.add(channel{kind: packets, mean: mean, spread: 0.05, pair: o}, dims(way)...)
		bad := 0.0
		if state == 0 && m.random.Float64() < 0.05 {
			bad = 0.2
		}
		m.random.Int63n(1000)
		m.add(channel{kind: events, mean: bad}, dims(way+" errors")...)
		if m.random.Float64() < 0.1 && state == 0 {
			bad = 2
		}
		m.random.Int63n(100000)
		m.add(channel{kind: events, mean: bad}, dims(way+" discards")...)
	}
	m.add(channel{kind: status, level: int64(1 + state/2)}, dims("oper")...)
	broadcasts := 0.0
	if state < 2 {
		broadcasts = 12
	}
	m.random.Int63n(1 << 30)
	m.add(channel{kind: events, mean: broadcasts}, dims("broadcasts")...)
}

// next is the points of the next commit, in a slice of their own.
func (m *mix) next() ([]probes.Point, error) {
	if m.slot == 0 {
		for i := range m.channels {
			m.values[i] = m.value(&m.channels[i])
		}
	}
	per := len(m.channels) / m.options.Devices
	points := make([]probes.Point, 0, (m.options.Devices+m.options.Slots-1)/m.options.Slots*per)
	for d := m.slot; d < m.options.Devices; d += m.options.Slots {
		stamp := m.stamp(d)
		for i := d * per; i < (d+1)*per; i++ {
			points = append(points, probes.Point{Series: m.channels[i].series, Value: m.values[i], Stamp: stamp})
		}
	}
	if m.slot++; m.slot == m.options.Slots {
		m.slot = 0
		m.minute++
	}
	return points, nil
}

// stamp is one for all devices where they are in step, else each has its own.
func (m *mix) stamp(device int) probes.Stamp {
	after := int64(m.minute) * 60_000
	if m.options.Slots > 1 {
		after += int64(device%m.options.Slots)*60_000/int64(m.options.Slots) + int64(device)*7919%9_000
	}
	return probes.Stamp{
		Boot: probes.BootID{1, 2, 3}, Wall: mixStart + after,
		Uptime: 1000*time.Second + time.Duration(after)*time.Millisecond,
	}
}

func (m *mix) value(c *channel) probes.Value {
	switch c.kind {
	case octets:
		return probes.Uint(uint64(m.traffic(c)))
	case packets:
		return probes.Uint(uint64(m.packets(c)))
	case events:
		if c.mean == 0 {
			return probes.Uint(0)
		}
		return probes.Uint(uint64(m.poisson(c.mean)))
	case status:
		if m.random.Float64() < 0.0001 {
			c.level = 3 - c.level
		}
	case uptime:
		c.level += 6000 + int64(math.Round(c.spread*m.random.NormFloat64()))
	case load:
		c.drift = 0.8*c.drift + 0.6*c.spread*m.random.NormFloat64()
		c.level = max(0, min(100, int64(math.Round(c.mean+c.drift))))
	case celsius:
		c.drift += 0.03*m.random.NormFloat64() - 0.01*c.drift
		return probes.Float(math.Round((c.mean+c.drift+0.05*m.random.NormFloat64())*10) / 10)
	case memory:
		c.level += int64(math.Round(c.spread * m.random.NormFloat64()))
	}
	return probes.Int(c.level)
}

func (m *mix) traffic(c *channel) int64 {
	if c.mean == 0 {
		return 0
	}
	c.drift = 0.95*c.drift + 0.1*m.random.NormFloat64()
	mean := c.mean * math.Exp(c.drift) * (1 + 0.5*math.Sin(2*math.Pi*float64(m.minute+1)/1440))
	c.last = int64(max(mean, 100) * math.Exp(c.spread*m.random.NormFloat64()))
	return c.last
}

func (m *mix) packets(c *channel) int64 {
	if c.mean == 0 {
		return 0
	}
	pair := &m.channels[c.pair]
	mean := float64(pair.last) * c.mean / pair.mean
	if mean < 400 {
		return m.poisson(mean)
	}
	return max(int64(mean*(1+c.spread*m.random.NormFloat64())), 0)
}

func (m *mix) poisson(mean float64) int64 {
	if mean > 200 {
		return int64(max(0, math.Round(mean+math.Sqrt(mean)*m.random.NormFloat64())))
	}
	limit, product := math.Exp(-mean), 1.0
	for k := int64(0); ; k++ {
		if product *= m.random.Float64(); product <= limit {
			return k
		}
	}
}
