package extension

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

const defaultInterval = time.Minute

// compileSNMP makes the blocks of the groups of snmp.
func compileSNMP(k *compiler, made *plan.Plan) {
	groups := k.manifest.groups
	for i := range groups {
		g := &groups[i]
		made.Blocks = append(made.Blocks, k.level(g, nil)...)
		for j := range g.subgroups {
			made.Blocks = append(made.Blocks, k.level(g, &g.subgroups[j])...)
		}
	}
}

// level makes the blocks of a group's own metrics or, with sub, of a subgroup:
// one for every interval. The most specific feature set and interval count.
func (k *compiler) level(g *group, sub *level) []plan.Block {
	l, path := &g.level, g.name
	if sub != nil {
		l, path = sub, g.name+"/"+sub.name
	}
	var blocks []plan.Block
	var dims []plan.Dim
	for i := range l.metrics {
		m := &l.metrics[i]
		if !k.runs(cmp.Or(m.featureSet, l.featureSet, g.featureSet)) {
			continue
		}
		made, o, ok := k.source(&m.source, l.table)
		if !ok {
			continue
		}
		k.wholeTable(m, made, o)
		k.describe(m.key, m.typ)
		if dims == nil {
			dims = k.dims(g, sub, l.table)
		}
		every := cmp.Or(k.options.Interval, m.interval, l.interval, g.interval, defaultInterval)
		at := slices.IndexFunc(blocks, func(b plan.Block) bool { return b.Interval == every })
		if at < 0 {
			at = len(blocks)
			blocks = append(blocks, plan.Block{
				Path: path, Interval: every, Table: l.table, Dims: dims,
				Rows: l.rows, HighSpeed: l.highSpeed, Discontinuity: l.discontinuity, Identity: l.identity,
			})
		}
		blocks[at].Metrics = append(blocks[at].Metrics,
			plan.Metric{Key: m.key, Type: m.typ, Source: made, Number: m.number})
	}
	return blocks
}

// dims puts the group's dimensions before those of the subgroup, without those
// that the subgroup declares anew.
func (k *compiler) dims(g *group, sub *level, table bool) []plan.Dim {
	declared := g.dims
	if sub != nil {
		declared = overlay(g.dims, sub.dims)
	}
	dims := make([]plan.Dim, 0, len(declared))
	for i := range declared {
		d := &declared[i]
		made := plan.Dim{Key: d.key, Filter: d.filter, Enum: d.enum}
		var o managed
		var ok bool
		if made.Source, o, ok = k.source(&d.source, table); !ok {
			if d.filterVar != "" || d.filter != nil {
				k.ofPackage(ruleFilter, d.source.node, "the filter goes with the dimension "+d.key+": all rows are kept")
			}
			continue
		}
		k.show(&made, o)
		if d.filterVar != "" {
			made.Filter = k.filter(d.filterVar)
		}
		if d.unless != "" && k.runs(d.unless) {
			made.Filter = nil
		}
		unset := made.Source.Kind == plan.FromConst && made.Source.Text == ""
		if !unset || made.Filter != nil {
			dims = append(dims, made)
		}
	}
	dims = k.ofSite(dims)
	k.crowded(declared, dims)
	return dims
}

// lineDims is how many dimensions the environment takes in a line.
const lineDims = 50

// crowded warns of more dimensions than a line has room for: those of each line
// (device.address, device.name and site) are among them.
func (k *compiler) crowded(declared []dimension, dims []plan.Dim) {
	keys := map[string]bool{deviceAddress: true, "device.name": true, "site": true}
	for i := range dims {
		keys[dims[i].Key] = true
	}
	if delete(keys, ""); len(keys) > lineDims {
		k.ofPackage(ruleLimit, declared[len(declared)-1].source.node, fmt.Sprintf(
			"%d dimensions with device.address, device.name and site; the environment refuses lines with more than %d: leave some out of the group or subgroup", len(keys), lineDims))
	}
}

// overlay puts dimensions before others, without those that the others declare
// anew.
func overlay(dims, others []dimension) []dimension {
	kept := slices.DeleteFunc(slices.Clone(dims), func(d dimension) bool {
		return d.key != "" && slices.ContainsFunc(others, func(o dimension) bool { return o.key == d.key })
	})
	return append(kept, others...)
}
