package drain

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// A network of switches with 24 ports, for measurements: nine columns a port
// (eight 64-bit counters as deltas, and the speed) and the uptime of each
// switch, with the keys and dimensions of the built-in package.
const (
	netPorts   = 24
	netColumns = 9
	netPoints  = netPorts*netColumns + 1 // of one poll of a switch
)

// netStart is when the first poll of every network begins.
var netStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// traffic is how the ports of a network are used.
type mixture struct {
	name   string
	active float64 // share of the ports that carry traffic
	idle   float64 // share of those with a trickle; the rest has no link
	jitter float64 // how far a delta is off the mean, as a share of it
	bursts float64 // spread of the logarithm of deltas
	load   bool    // the ninth column is the port's load, which changes, not its speed
}

var (
	// steady is a network whose ports carry what they carried before.
	steady = mixture{name: "steady", active: 0.5, idle: 0.25, jitter: 0.05}
	// bustling is one where nothing stays as it was.
	bustling = mixture{name: "busy", active: 0.9, idle: 0.05, jitter: 0.05, bursts: 0.7, load: true}
)

var netKeys = [netColumns]string{
	"if.bytes_in.count", "if.bytes_out.count", "if.unicast_in.count", "if.unicast_out.count",
	"if.multicast_in.count", "if.multicast_out.count", "if.broadcast_in.count", "if.broadcast_out.count", "if.speed",
}

// netSeries is one column of one port, or an uptime.
type netSeries struct {
	series *probes.Series
	mean   float64 // a second
	noisy  bool    // it counts what comes by itself, such as broadcasts
	total  uint64  // of a counter, as the device shows it
}

// network makes polls. The same arguments give the same points.
type network struct {
	mix      mixture
	interval time.Duration
	random   *rand.Rand
	devices  [][]netSeries
	round    int
	points   []probes.Point
}

func newNetwork(mix mixture, devices int, interval time.Duration) *network {
	n := &network{mix: mix, interval: interval, random: rand.New(rand.NewPCG(7, 24))}
	for d := range devices {
		n.devices = append(n.devices, n.device(d))
	}
	return n
}

func (n *network) device(d int) []netSeries {
	name := fmt.Sprintf("switch-%d", d)
	dims := func(more ...probes.Dimension) []probes.Dimension {
		return append(more,
			probes.Dimension{Key: "sys.name", Value: name}, probes.Dimension{Key: "device.name", Value: name},
			probes.Dimension{Key: "device.address", Value: fmt.Sprintf("10.20.%d.%d", d/200, 1+d%200)},
			probes.Dimension{Key: "device.port", Value: "161"}, probes.Dimension{Key: "device.type", Value: "generic"},
			probes.Dimension{Key: "monitoring.mode", Value: "Extension"}, probes.Dimension{Key: "site", Value: "plant-7"})
	}
	const prefix = "com.dynatrace.extension.network_device."
	uptime := probes.NewSeries(prefix+"sysuptime", probes.Gauge, dims(
		probes.Dimension{Key: "sys.description", Value: "Simulated managed switch, 24 ports, software 4.2.1"},
		probes.Dimension{Key: "sys.objectid", Value: "1.3.6.1.4.1.32473.1.24"},
		probes.Dimension{Key: "sys.contact", Value: "Plant maintenance, ext. 4711"},
		probes.Dimension{Key: "sys.location", Value: fmt.Sprintf("Hall %d, cabinet B2", 1+d%9)})...)
	list := []netSeries{{series: uptime, total: n.random.Uint64N(1e9)}}
	for port := 1; port <= netPorts; port++ {
		means := n.port()
		for c, key := range netKeys {
			typ := probes.Count
			if c == netColumns-1 {
				typ = probes.Gauge
				if n.mix.load {
					key = "if.load"
				}
			}
			s := probes.NewSeries(prefix+key, typ, dims(probes.Dimension{Key: "if.name", Value: fmt.Sprintf("Gi1/0/%d", port)})...)
			list = append(list, netSeries{series: s, mean: means[c], noisy: c >= 4, total: n.random.Uint64N(1 << 38)})
		}
	}
	return list
}

// port draws what passes a port in a second.
func (n *network) port() (means [netColumns]float64) {
	means[netColumns-1] = 1000
	low, high := 4.5, 7.5 // bytes a second, powers of ten
	switch u := n.random.Float64(); {
	case u < n.mix.active:
	case u < n.mix.active+n.mix.idle:
		low, high = 2, 3.5
	default:
		return means
	}
	for way := range 2 {
		bytes := math.Pow(10, low+(high-low)*n.random.Float64())
		means[way] = bytes
		means[2+way] = bytes / (150 + 1050*n.random.Float64())
		means[4+way] = 0.2 + 3.8*n.random.Float64()
		means[6+way] = 0.05 + 0.95*n.random.Float64()
	}
	return means
}

// poll gives the points of the next poll of all devices, each with a stamp of
// its own within the interval. They hold until the next call.
func (n *network) poll() []probes.Point {
	n.points = n.points[:0]
	begin := int64(n.round) * n.interval.Milliseconds()
	n.round++
	for d, list := range n.devices {
		after := begin + int64(d)*n.interval.Milliseconds()/int64(len(n.devices)) + int64(n.random.IntN(40))
		stamp := probes.Stamp{Boot: probes.BootID{1}, Uptime: time.Duration(after)*time.Millisecond + time.Hour, Wall: netStart.UnixMilli() + after}
		for i := range list {
			n.points = append(n.points, probes.Point{Series: list[i].series, Value: n.value(&list[i]), Stamp: stamp})
		}
	}
	return n.points
}

func (n *network) value(s *netSeries) probes.Value {
	seconds := n.interval.Seconds()
	switch {
	case s.mean == 0 && s.series.Type() == probes.Gauge:
		s.total += uint64(100*seconds) + n.random.Uint64N(5)
		return probes.Uint(s.total)
	case s.series.Type() == probes.Gauge && n.mix.load:
		return probes.Float(math.Round(1000*n.random.Float64()) / 10)
	case s.series.Type() == probes.Gauge:
		return probes.Uint(uint64(s.mean))
	}
	delta := s.mean * seconds
	if s.noisy { // about a Poisson distribution
		delta = max(0, delta+math.Sqrt(delta)*n.random.NormFloat64())
	} else {
		delta *= math.Exp(n.mix.bursts*n.random.NormFloat64()) * max(0, 1+n.mix.jitter*n.random.NormFloat64())
	}
	s.total += uint64(delta)
	return probes.Uint(uint64(delta))
}
