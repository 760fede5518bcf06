package extension

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// compilePrometheus makes the blocks of the groups of prometheus. Beyond the cap
// of the data source the metrics that come last are left out.
func compilePrometheus(k *compiler, made *plan.Plan) {
	if k.manifest.Prometheus == nil {
		return
	}
	c := exposedCompiler{compiler: k, made: &plan.Exposition{}}
	groups := k.manifest.Prometheus.groups
	for i := range groups {
		g := &groups[i]
		c.level(g, nil)
		for j := range g.subgroups {
			c.level(g, &g.subgroups[j])
		}
	}
	if len(c.made.Blocks) > 0 {
		made.Exposition = c.made
	}
}

type exposedCompiler struct {
	*compiler
	made *plan.Exposition
	keys int
}

// exposedKeys is how many metric keys a metric makes.
func exposedKeys(t plan.ExposedType) int {
	if t == plan.ExposedHistogram || t == plan.ExposedSummary {
		return 3
	}
	return 1
}

// level makes the blocks of a group's own metrics or, with sub, of a subgroup:
// one for every interval. The most specific feature set and interval count.
func (c *exposedCompiler) level(g *exposedGroup, sub *exposedLevel) {
	l, path := &g.exposedLevel, g.name
	if sub != nil {
		l, path = sub, g.name+"/"+sub.name
	}
	first := len(c.made.Blocks)
	for i := range l.metrics {
		m := &l.metrics[i]
		if !c.runs(cmp.Or(m.featureSet, l.featureSet, g.featureSet)) {
			continue
		}
		if c.keys += exposedKeys(m.typ); c.keys > plan.MaxExposed {
			c.made.LeftOut++
			continue
		}
		every := cmp.Or(c.options.Interval, m.interval, l.interval, g.interval, defaultInterval)
		own := c.made.Blocks[first:]
		at := slices.IndexFunc(own, func(b plan.ExposedBlock) bool { return b.Interval == every })
		if at < 0 {
			at = len(own)
			c.made.Blocks = append(c.made.Blocks, plan.ExposedBlock{Path: path, Interval: every, Dims: c.dims(g, sub)})
		}
		b := &c.made.Blocks[first+at]
		b.Metrics = append(b.Metrics, plan.ExposedMetric{Key: m.key, Name: m.name, Type: m.typ})
		c.describeExposed(m)
	}
}

// describeExposed asks for what the package says of the keys of a metric.
func (c *exposedCompiler) describeExposed(m *exposedMetric) {
	switch m.typ {
	case plan.ExposedGauge:
		c.describe(m.key, probes.Gauge)
		return
	case plan.ExposedCount:
		c.describe(m.key, probes.Count)
		return
	case plan.ExposedSummary:
		c.describe(m.key, probes.Gauge)
	}
	for _, suffix := range []string{"_count", "_sum.count", "_bucket.count"} {
		c.describe(m.key+suffix, probes.Count)
	}
}

// dims puts the group's dimensions before those of the subgroup, without those
// that the subgroup declares anew.
func (c *exposedCompiler) dims(g *exposedGroup, sub *exposedLevel) []plan.LabelDim {
	var dims []plan.LabelDim
	for i := range g.dims {
		d := &g.dims[i]
		if sub == nil || !slices.ContainsFunc(sub.dims, func(own exposedDim) bool { return own.key == d.key }) {
			dims = append(dims, c.dim(d))
		}
	}
	if sub != nil {
		for i := range sub.dims {
			dims = append(dims, c.dim(&sub.dims[i]))
		}
	}
	return dims
}

func (c *exposedCompiler) dim(d *exposedDim) plan.LabelDim {
	made := plan.LabelDim{Key: d.key, Source: d.source, Text: d.text, Metric: d.metric, Filter: d.filter}
	if d.source == 0 {
		made.Source, made.Text = plan.LabelText, c.vars[d.text]
	}
	if d.filterVar != "" {
		made.Filter = c.filter(d.filterVar)
	}
	return made
}
