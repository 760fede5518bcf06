package wire

import (
	"math"
	"sort"
	"time"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// grouping makes groups of points as arc wants them. A series gets a number
// local to the block when its first point comes; a group ends where the stamp
// changes or the numbers do not ascend, so that points keep their order.
type grouping struct {
	series []*probes.Series // by local number
	first  []int            // position of the first point of each
	after  []uint32         // by local number: who came behind it the last time
	local  map[*probes.Series]uint32
	ids    []uint32 // of each point
	values []arc.Value
	starts []int // of each group
	stamps []arc.Stamp
	epoch  []uint32 // numbers of the series in the epoch
	groups []arc.Group
}

func newGrouping() grouping { return grouping{local: make(map[*probes.Series]uint32)} }

// begin forgets the points of the block before.
func (g *grouping) begin() {
	clear(g.local)
	clear(g.series) // a series that is gone must not be held
	clear(g.values)
	g.series, g.first, g.after = g.series[:0], g.first[:0], g.after[:0]
	g.ids, g.values, g.epoch = g.ids[:0], g.values[:0], g.epoch[:0]
	g.starts, g.stamps = g.starts[:0], g.stamps[:0]
}

// extend takes in those of the points that it does not have yet.
func (g *grouping) extend(points []probes.Point) {
	before := uint32(0) // local number of the point before
	if n := len(g.ids); n > 0 {
		before = g.ids[n-1]
	}
	for i := len(g.ids); i < len(points); i++ {
		p := &points[i]
		id := g.find(p.Series, before)
		if i == 0 || id <= before || p.Stamp != points[i-1].Stamp {
			g.starts = append(g.starts, i)
			g.stamps = append(g.stamps, toStamp(p.Stamp))
		}
		g.ids, g.values = append(g.ids, id), append(g.values, toValue(p.Value))
		before = id
	}
}

// find gives the local number of a series. Points come in the same order at
// each poll, so that mostly no map is asked.
func (g *grouping) find(s *probes.Series, before uint32) uint32 {
	if len(g.series) > 0 {
		if id := g.after[before]; g.series[id] == s {
			return id
		}
	}
	id, ok := g.local[s]
	if !ok {
		id = uint32(len(g.series))
		g.local[s] = id
		g.series, g.after, g.first = append(g.series, s), append(g.after, 0), append(g.first, len(g.ids))
	}
	if len(g.ids) > 0 {
		g.after[before] = id
	}
	return id
}

// cut gives the groups of the first n points, and how many series they have.
func (g *grouping) cut(n int) (groups []arc.Group, series int) {
	g.groups = g.groups[:0]
	for i, from := range g.starts {
		if from >= n {
			break
		}
		to := n
		if i+1 < len(g.starts) {
			to = min(n, g.starts[i+1])
		}
		g.groups = append(g.groups, arc.Group{Stamp: g.stamps[i], IDs: g.ids[from:to], Values: g.values[from:to]})
	}
	return g.groups, sort.SearchInts(g.first, n)
}

// number gives the ids of the first series: local ones without a numbering.
func (g *grouping) number(n *Numbering, series int) []uint32 {
	for i := len(g.epoch); i < series; i++ {
		id := uint32(i)
		if n != nil {
			id = n.ID(g.series[i])
		}
		g.epoch = append(g.epoch, id)
	}
	return g.epoch[:series]
}

// toStamp keeps the uptime to the millisecond.
func toStamp(s probes.Stamp) arc.Stamp {
	return arc.Stamp{Boot: s.Boot, Uptime: s.Uptime.Milliseconds(), Wall: s.Wall}
}

func fromStamp(s arc.Stamp, guess bool) probes.Stamp {
	return probes.Stamp{Boot: s.Boot, Uptime: time.Duration(s.Uptime) * time.Millisecond, Wall: s.Wall, Guess: guess}
}

func toValue(v probes.Value) arc.Value {
	switch v.Form() {
	case probes.FormInt:
		return arc.Value{Form: arc.Int, Bits: uint64(v.Int64())}
	case probes.FormUint:
		return arc.Value{Form: arc.Uint, Bits: v.Uint64()}
	case probes.FormSummary:
		s := arc.Stats(v.Summary())
		return arc.Value{Form: arc.Summary, Stats: &s}
	}
	return arc.Value{Form: arc.Float, Bits: math.Float64bits(v.Float64())}
}

func fromValue(v arc.Value) probes.Value {
	switch v.Form {
	case arc.Int:
		return probes.Int(int64(v.Bits))
	case arc.Uint:
		return probes.Uint(v.Bits)
	case arc.Summary:
		return probes.Summarize(probes.Summary(*v.Stats))
	}
	return probes.Float(math.Float64frombits(v.Bits))
}
