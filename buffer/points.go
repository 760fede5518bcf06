package buffer

import (
	"math"
	"slices"
	"sort"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// group puts points of one stamp together, of those that are kin, with
// ascending numbers of series, and the groups in the order of their wall times.
func group(names *dictionary, tickets []*Ticket, st *stamper, of kin) []arc.Group {
	g := grouping{names: names, open: make(map[arc.Stamp]int)}
	for _, t := range tickets {
		for rest := t.points; len(rest) > 0; {
			run := sameStamp(rest)
			rest = rest[len(run):]
			if stamp, k := st.stamp(run[0].Stamp); k == of {
				g.add(stamp, run)
			}
		}
	}
	names.renew()
	var out []arc.Group
	var order sorter
	for i := range g.groups {
		out = append(out, ascend(&g.groups[i], &order)...)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Stamp.Wall < out[j].Stamp.Wall })
	return out
}

type grouping struct {
	names  *dictionary
	groups []arc.Group
	open   map[arc.Stamp]int // the group that has room
}

// add puts points of one stamp into its group, and into a new one where that
// is full.
func (x *grouping) add(stamp arc.Stamp, run []probes.Point) {
	for len(run) > 0 {
		i, ok := x.open[stamp]
		if !ok || len(x.groups[i].IDs) == maxRecordPoints {
			i = len(x.groups)
			x.open[stamp] = i
			x.groups = append(x.groups, arc.Group{Stamp: stamp})
		}
		run = fillGroup(&x.groups[i], x.names, run)
	}
}

// sameStamp is the points at the front that have one stamp: mostly a poll.
func sameStamp(points []probes.Point) []probes.Point {
	n := 1
	for n < len(points) && points[n].Stamp == points[0].Stamp {
		n++
	}
	return points[:n]
}

// fillGroup adds as many of the points as the group has room for, and gives the
// others.
func fillGroup(g *arc.Group, names *dictionary, run []probes.Point) (rest []probes.Point) {
	n := min(len(run), maxRecordPoints-len(g.IDs))
	g.IDs = names.numbers(slices.Grow(g.IDs, n), run[:n])
	g.Values = slices.Grow(g.Values, n)
	for i := range run[:n] {
		g.Values = append(g.Values, toValue(run[i].Value))
	}
	return run[n:]
}

// sorter sorts groups. A number of a series and a place together are one number,
// which is sorted without asking an interface; and what it works in serves for
// all groups of a commit.
type sorter struct {
	keys   []uint64
	values []arc.Value
}

// byID sorts a group, those of one number in the order they have.
func (s *sorter) byID(g *arc.Group) {
	if slices.IsSorted(g.IDs) {
		return
	}
	s.keys, s.values = s.keys[:0], append(s.values[:0], g.Values...)
	for i, id := range g.IDs {
		s.keys = append(s.keys, uint64(id)<<32|uint64(i))
	}
	slices.Sort(s.keys)
	for i, key := range s.keys {
		g.IDs[i], g.Values[i] = uint32(key>>32), s.values[uint32(key)]
	}
}

// twice reports whether sorted numbers have one twice.
func twice(sorted []uint32) bool {
	for i := range sorted[1:] {
		if sorted[i] == sorted[i+1] {
			return true
		}
	}
	return false
}

// ascend sorts the group by series. A series that is there several times makes
// as many groups.
func ascend(g *arc.Group, order *sorter) []arc.Group {
	order.byID(g)
	if !twice(g.IDs) {
		return []arc.Group{*g}
	}
	var rounds []arc.Group
	round := 0
	for i, id := range g.IDs {
		if round++; i == 0 || g.IDs[i-1] != id {
			round = 0
		}
		if round == len(rounds) {
			rounds = append(rounds, arc.Group{Stamp: g.Stamp})
		}
		r := &rounds[round]
		r.IDs, r.Values = append(r.IDs, id), append(r.Values, g.Values[i])
	}
	return rounds
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

func toPoint(g arc.Group, i int, series []*probes.Series, d dating) probes.Point {
	return probes.Point{
		Series: series[g.IDs[i]],
		Value:  fromValue(g.Values[i]),
		Stamp:  fromStamp(g.Stamp, d),
	}
}
