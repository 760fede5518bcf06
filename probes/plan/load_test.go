package plan

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// portPlan is the usual load: ten columns of a port, eight of them counters,
// and nine dimensions with the implicit ones.
func portPlan() *Block {
	b := &Block{Table: true, Interval: time.Minute}
	for i := range 4 {
		b.Dims = append(b.Dims, Dim{Key: fmt.Sprint("if.text", i), Source: column(fmt.Sprint("1.3.6.1.2.1.31.1.1.1.", 100+i))})
	}
	b.Dims = append(b.Dims,
		Dim{Key: "if.oper", Source: column(ifOper), Enum: map[int64]string{1: "up(1)"}},
		Dim{Key: "sys.name", Source: scalar(sysName)}, Dim{Key: "device.type", Source: constant("switch")})
	for i := range 10 {
		m := count(fmt.Sprint("com.example.port.metric", i), column(fmt.Sprint("1.3.6.1.2.1.2.2.1.", 100+i)))
		if i > 7 {
			m.Type = probes.Gauge
		}
		b.Metrics = append(b.Metrics, m)
	}
	return b
}

// portReading is what a device with so many ports answers in a round. Nothing
// in it is shared with another reading, as if it had come from the network.
func portReading(b *Block, device, ports int, round uint64) Reading {
	r := Reading{
		Stamp:   probes.Stamp{Uptime: time.Duration(round) * time.Minute},
		Scalars: map[string]Cell{sysName: {Kind: Octets, Text: fmt.Sprint("switch-", device)}},
		Columns: map[string]map[string]Cell{},
	}
	for i, d := range b.Dims {
		if d.Source.Kind != FromColumn {
			continue
		}
		cells := make(map[string]Cell, ports)
		for port := range ports {
			cells[fmt.Sprint(10100+port)] = Cell{Kind: Octets, Text: fmt.Sprintf("GigabitEthernet%d/0/%d", i, port)}
			if d.Enum != nil {
				cells[fmt.Sprint(10100+port)] = integer(1)
			}
		}
		r.Columns[d.Source.OID] = cells
	}
	for i, m := range b.Metrics {
		cells := make(map[string]Cell, ports)
		for port := range ports {
			cells[fmt.Sprint(10100+port)] = c64(round * uint64(i+1) * 1000)
		}
		r.Columns[m.Source.OID] = cells
	}
	return r
}

// TestMemoryOfSeries bounds what a device with ports leaves in memory.
func TestMemoryOfSeries(t *testing.T) {
	const devices, ports, most = 50, 24, 150 // bytes a series; reported below
	b := portPlan()
	states := make([]State, devices)
	before := heap()
	series := 0
	for d := range states {
		id := Identity{Address: fmt.Sprintf("192.0.2.%d", d), Port: 161, Name: fmt.Sprintf("switch-%d.example", d)}
		Points([]*Block{b}, id, portReading(b, d, ports, 1), &states[d])
		points, _ := Points([]*Block{b}, id, portReading(b, d, ports, 2), &states[d])
		series += len(points)
	}
	used := heap() - before
	runtime.KeepAlive(states)
	if series != devices*ports*10 {
		t.Fatalf("%d series, want %d", series, devices*ports*10)
	}
	t.Logf("%d bytes a series", used/series)
	if used/series > most {
		t.Errorf("%d bytes a series, want at most %d", used/series, most)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func BenchmarkPorts(b *testing.B) {
	block := portPlan()
	r := portReading(block, 1, 24, 1)
	s := &State{}
	Points([]*Block{block}, device, r, s)
	points := 0
	b.ReportAllocs()
	for b.Loop() {
		r.Stamp.Uptime += time.Minute
		got, _ := Points([]*Block{block}, device, r, s)
		points += len(got)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
}
