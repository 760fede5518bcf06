package buffer

import (
	"math"
	"slices"
	"time"

	"github.com/edgehold/edgehold/buffer/arc"
	"github.com/edgehold/edgehold/probes"
)

// A new record begins where these are exceeded.
const (
	maxRecordPoints = arc.MaxPoints
	maxRecordSpan   = int64(time.Minute / time.Millisecond)
)

// draft is a record that has no number yet.
type draft struct {
	min, max int64
	count    uint32
	content  []byte
}

// drafts sorts the points by wall time and packs them into records.
func (s *Store) drafts(tickets []*Ticket) ([]draft, error) {
	var out []draft
	groups := s.group(tickets)
	for len(groups) > 0 {
		d, n := draft{min: groups[0].Stamp.Wall}, 0
		for n < len(groups) && int(d.count)+len(groups[n].IDs) <= maxRecordPoints && groups[n].Stamp.Wall-d.min <= maxRecordSpan {
			d.max = groups[n].Stamp.Wall
			d.count += uint32(len(groups[n].IDs))
			n++
		}
		var err error
		if d.content, err = s.codec.Encode(nil, groups[:n]); err != nil {
			return nil, err
		}
		out, groups = append(out, d), groups[n:]
	}
	return out, nil
}

// group puts points of one stamp together, in the order they came, and the
// groups in the order of their wall times.
func (s *Store) group(tickets []*Ticket) []arc.Group {
	var groups []arc.Group
	open := make(map[probes.Stamp]int)
	for _, t := range tickets {
		for _, p := range t.points {
			i, ok := open[p.Stamp]
			if !ok || len(groups[i].IDs) == maxRecordPoints {
				i = len(groups)
				open[p.Stamp] = i
				groups = append(groups, arc.Group{Stamp: toStamp(p.Stamp)})
			}
			groups[i].IDs = append(groups[i].IDs, s.names.number(p.Series))
			groups[i].Values = append(groups[i].Values, toValue(p.Value))
		}
	}
	slices.SortStableFunc(groups, func(a, b arc.Group) int {
		switch {
		case a.Stamp.Wall < b.Stamp.Wall:
			return -1
		case a.Stamp.Wall > b.Stamp.Wall:
			return 1
		}
		return 0
	})
	return groups
}

func toStamp(s probes.Stamp) arc.Stamp {
	return arc.Stamp{Boot: s.Boot, Uptime: int64(s.Uptime), Wall: s.Wall}
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

func toPoint(g arc.Group, i int, series []*probes.Series) probes.Point {
	return probes.Point{
		Series: series[g.IDs[i]],
		Value:  fromValue(g.Values[i]),
		Stamp:  probes.Stamp{Boot: g.Stamp.Boot, Uptime: time.Duration(g.Stamp.Uptime), Wall: g.Stamp.Wall},
	}
}
