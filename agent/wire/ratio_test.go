package wire

import (
	"testing"

	"github.com/edgehold/edgehold/probes"
)

func header() Header {
	return Header{Lane: Backlog, Site: "plant-4", Epoch: 0x1122334455667788, Seq: 7}
}

// tally is what a run of blocks came to.
type tally struct {
	blocks, points, bytes int
	least                 int // bytes of the smallest block but the last, of those below MaxPoints
}

func (t tally) ratio() float64 { return float64(t.bytes) / float64(t.points) }

// ship makes blocks of the points until none is left, and reads each again.
func ship(t testing.TB, points []probes.Point, h Header, o Naming) (sum tally) {
	w, r := NewWriter(), NewReader()
	known := make(map[uint32]*probes.Series)
	if o.Numbering != nil {
		for i := range points {
			known[o.Numbering.ID(points[i].Series)] = points[i].Series
		}
	}
	sum.least = MaxBlock
	for len(points) > 0 {
		h.Seq++
		block, n, err := w.AppendPoints(nil, h, points, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Points(block, func(id uint32) *probes.Series { return known[id] })
		if err != nil {
			t.Fatal(err)
		}
		if diff := differ(got, points[:n], h.Codec == Text); diff != "" {
			t.Fatalf("block %d: %s", h.Seq, diff)
		}
		points = points[n:]
		if len(points) > 0 && n < MaxPoints {
			sum.least = min(sum.least, len(block))
		}
		sum.blocks++
		sum.points += n
		sum.bytes += len(block)
	}
	return sum
}

// TestRatio holds blocks to the bars that a link is planned with.
func TestRatio(t *testing.T) {
	backlog := func(devices, polls int, active, idle float64) (points []probes.Point) {
		m := newMix(devices, active, idle)
		for range polls {
			points = append(points, m.poll()...)
		}
		return points
	}
	known := func(uint32) bool { return true }
	for _, c := range []struct {
		name           string
		devices, polls int
		active, idle   float64
		codec          Codec
		named          bool
		most           float64 // bytes a point
	}{
		{"backlog", 40, 14, 0.35, 0.30, Packed, true, 4},
		{"backlog of busy ports", 40, 14, 0.90, 0.05, Packed, true, 4},
		{"backlog of one switch", 1, 300, 0.35, 0.30, Packed, true, 1},
		{"backlog with all names", 40, 7, 0.35, 0.30, Packed, false, 4},
		{"live, one minute", 40, 1, 0.35, 0.30, Packed, true, 4},
		{"live, one minute of busy ports", 40, 1, 0.90, 0.05, Packed, true, 8},
		{"live, one minute of one switch", 1, 1, 0.35, 0.30, Packed, true, 4},
		{"live, one minute with all names", 40, 1, 0.35, 0.30, Packed, false, 8},
		{"backlog as text", 40, 3, 0.35, 0.30, Text, false, 10},
		{"live, one minute as text", 40, 1, 0.35, 0.30, Text, false, 10},
	} {
		h, o := header(), Naming{}
		h.Codec = c.codec
		if c.named {
			o.Numbering, o.Known = NewNumbering(), known
		}
		got := ship(t, backlog(c.devices, c.polls, c.active, c.idle), h, o)
		t.Logf("%s: %.3f bytes a point, %d points in %d blocks", c.name, got.ratio(), got.points, got.blocks)
		if got.ratio() > c.most {
			t.Errorf("%s: %.3f bytes a point, want at most %.1f", c.name, got.ratio(), c.most)
		}
		if got.blocks > 2 && got.least < DefaultBlock*3/4 {
			t.Errorf("%s: a block of %d bytes was followed by another", c.name, got.least)
		}
	}
}
