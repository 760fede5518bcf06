package wire

import (
	"testing"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// work is a backlog as it is shipped: points that are one block each.
type work struct {
	points [][]probes.Point
	blocks [][]byte
	known  map[uint32]*probes.Series
	o      Naming
	h      Header
	sum    int
	bytes  int
}

func newWork(b *testing.B, h Header, o Naming, polls int) *work {
	x := &work{h: h, o: o, known: make(map[uint32]*probes.Series)}
	m := newMix(40, 0.35, 0.30)
	var points []probes.Point
	for range polls {
		points = append(points, m.poll()...)
	}
	w := NewWriter()
	for len(points) > 0 {
		block, n, err := w.AppendPoints(nil, h, points, o)
		if err != nil {
			b.Fatal(err)
		}
		x.points, x.blocks = append(x.points, points[:n]), append(x.blocks, block)
		x.sum, x.bytes = x.sum+n, x.bytes+len(block)
		points = points[n:]
	}
	if o.Numbering != nil {
		for _, s := range m.series {
			x.known[o.Numbering.ID(s.series)] = s.series
		}
	}
	return x
}

func (x *work) report(b *testing.B) {
	b.ReportMetric(float64(x.sum)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpoints/s")
	b.ReportMetric(float64(x.bytes)/float64(x.sum), "B/point")
	b.ReportMetric(float64(len(x.blocks)), "blocks")
}

// eachWork runs the benchmark on each sort of work.
func eachWork(b *testing.B, bench func(b *testing.B, x *work)) {
	known := func(uint32) bool { return true }
	text := header()
	text.Codec = Text
	for _, c := range []struct {
		name  string
		h     Header
		o     Naming
		polls int
	}{
		{"backlog", header(), Naming{Numbering: NewNumbering(), Known: known}, 30},
		{"live", header(), Naming{Numbering: NewNumbering(), Known: known}, 1},
		{"named", header(), Naming{}, 1},
		{"text", text, Naming{}, 3},
	} {
		b.Run(c.name, func(b *testing.B) { bench(b, newWork(b, c.h, c.o, c.polls)) })
	}
}

func BenchmarkWrite(b *testing.B) {
	eachWork(b, func(b *testing.B, x *work) {
		w := NewWriter()
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			for _, points := range x.points {
				rest := points
				for len(rest) > 0 {
					block, n, err := w.AppendPoints(buf[:0], x.h, rest, x.o)
					if err != nil {
						b.Fatal(err)
					}
					buf, rest = block, rest[n:]
				}
			}
		}
		x.report(b)
	})
}

// BenchmarkSplit also has to find how many points fit.
func BenchmarkSplit(b *testing.B) {
	eachWork(b, func(b *testing.B, x *work) {
		var all []probes.Point
		for _, points := range x.points {
			all = append(all, points...)
		}
		w := NewWriter()
		var buf []byte
		for b.Loop() {
			for rest := all; len(rest) > 0; {
				block, n, err := w.AppendPoints(buf[:0], x.h, rest, x.o)
				if err != nil {
					b.Fatal(err)
				}
				buf, rest = block, rest[n:]
			}
		}
		x.report(b)
	})
}

func BenchmarkRead(b *testing.B) {
	eachWork(b, func(b *testing.B, x *work) {
		r := NewReader()
		b.ReportAllocs()
		for b.Loop() {
			for _, block := range x.blocks {
				if _, err := r.Points(block, func(id uint32) *probes.Series { return x.known[id] }); err != nil {
					b.Fatal(err)
				}
			}
		}
		x.report(b)
	})
}

// BenchmarkArc is the codec within alone, on the groups of the backlog.
func BenchmarkArc(b *testing.B) {
	x := newWork(b, header(), Naming{Numbering: NewNumbering(), Known: func(uint32) bool { return true }}, 30)
	var all [][]arc.Group
	var series []int
	for _, points := range x.points {
		g := newGrouping()
		g.extend(points)
		groups, n := g.cut(len(points))
		all, series = append(all, groups), append(series, n)
	}
	e, d := arc.NewEncoder(), arc.NewDecoder()
	var payloads [][]byte
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			payloads = payloads[:0]
			for _, groups := range all {
				e.Reset()
				payload, err := e.Encode(nil, groups)
				if err != nil {
					b.Fatal(err)
				}
				payloads = append(payloads, payload)
			}
		}
		x.report(b)
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			for i, payload := range payloads {
				d.Reset(series[i])
				if _, err := d.Decode(payload); err != nil {
					b.Fatal(err)
				}
			}
		}
		x.report(b)
	})
}
