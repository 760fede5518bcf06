package extension

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// compileHTTP makes the blocks of the groups of http.
func compileHTTP(k *compiler, made *plan.Plan) {
	if k.manifest.HTTP == nil {
		return
	}
	c := httpCompiler{compiler: k, made: &plan.Documents{Here: k.options.Site}}
	if k.options.Identity == IdentitySite {
		c.made.Site = k.options.Site
	}
	groups := k.manifest.HTTP.groups
	for i := range groups {
		g := &groups[i]
		c.group, c.asked = g, k.request(&g.request, g.items)
		c.level(nil)
		for j := range g.subgroups {
			c.level(&g.subgroups[j])
		}
	}
	if len(c.made.Blocks) > 0 {
		made.Documents = c.made
	}
}

type httpCompiler struct {
	*compiler
	made  *plan.Documents
	group *httpGroup
	asked plan.DocRequest
}

// level makes the blocks of the group's own level or, with sub, of a subgroup:
// one for every interval. The most specific feature set and interval count.
func (c *httpCompiler) level(sub *httpLevel) {
	l := &c.group.httpLevel
	if sub != nil {
		l = sub
	}
	first := len(c.made.Blocks)
	set := cmp.Or(l.featureSet, c.group.featureSet)
	every := cmp.Or(c.options.Interval, l.interval, c.group.interval, defaultInterval)
	for i := range l.metrics {
		m := &l.metrics[i]
		if c.runs(cmp.Or(m.featureSet, set)) {
			b := c.block(first, cmp.Or(c.options.Interval, m.interval, every), sub)
			b.Metrics = append(b.Metrics, c.metric(m))
		}
	}
	for i := range l.events {
		if e := &l.events[i]; c.runs(cmp.Or(e.featureSet, set)) {
			b := c.block(first, every, sub)
			b.Events = append(b.Events, c.event(e, every))
		}
	}
	if l.carrier.Given() && c.runs(set) {
		c.block(first, every, sub).Carrier = c.carrier(&l.carrier)
	}
}

// block finds or makes the block of a level at an interval.
func (c *httpCompiler) block(first int, every time.Duration, sub *httpLevel) *plan.DocBlock {
	own := c.made.Blocks[first:]
	if at := slices.IndexFunc(own, func(b plan.DocBlock) bool { return b.Interval == every }); at >= 0 {
		return &own[at]
	}
	g := c.group
	b := plan.DocBlock{Path: g.name, Interval: every, Request: c.asked, Outer: g.items}
	if sub == nil {
		b.Dims = c.dims(g.dims, nil)
	} else {
		b.Path += "/" + sub.name
		b.Inner, b.OuterDims, b.Dims = sub.items, c.dims(g.dims, sub.dims), c.dims(sub.dims, nil)
	}
	c.made.Blocks = append(c.made.Blocks, b)
	return &c.made.Blocks[len(c.made.Blocks)-1]
}

// dims are the dimensions of a level. Those that the level below declares anew
// stay for their filter alone.
func (c *httpCompiler) dims(declared, below []httpDim) []plan.DocDim {
	var dims []plan.DocDim
	for i := range declared {
		d := declared[i].DocDim
		d.Value = d.Value.Resolve(c.vars)
		if id := declared[i].filterVar; id != "" {
			d.Filter = c.filter(id)
		}
		if slices.ContainsFunc(below, func(b httpDim) bool { return b.Key == d.Key }) {
			d.Key = ""
		}
		if d.Key != "" || d.Filter != nil {
			dims = append(dims, d)
		}
	}
	return dims
}

func (c *httpCompiler) metric(m *httpMetric) plan.DocMetric {
	made := m.DocMetric
	for _, v := range []*plan.DocValue{&made.Value, &made.Min, &made.Max, &made.Sum, &made.Count} {
		*v = v.Resolve(c.vars)
	}
	typ := probes.Gauge
	if m.Type == plan.DocCount || m.Type == plan.DocDelta {
		typ = probes.Count
	}
	c.describe(m.Key, typ)
	return made
}

func (c *httpCompiler) event(e *httpEvent, every time.Duration) plan.DocEvent {
	made := e.DocEvent
	var err error
	if made.Condition, err = e.Condition.Resolve(c.vars); err != nil {
		c.fail(nil, c.configuration.path("vars"), "event "+e.Name+": "+err.Error())
	}
	made.Title, made.Text, made.Entity = e.Title.Resolve(c.vars), e.Text.Resolve(c.vars), e.Entity.Resolve(c.vars)
	made.Properties = c.fields(e.Properties)
	made.Timeout = min(max(e.Timeout, 3*every), maxEventMinutes*time.Minute)
	return made
}

func (c *httpCompiler) fields(fields []plan.DocField) []plan.DocField {
	var made []plan.DocField
	for _, f := range fields {
		made = append(made, plan.DocField{Key: f.Key, Value: f.Value.Resolve(c.vars)})
	}
	return made
}

func (c *httpCompiler) carrier(from *plan.DocCarrier) plan.DocCarrier {
	made := plan.DocCarrier{Metric: from.Metric, Log: from.Log, Properties: c.fields(from.Properties), Endpoints: c.fields(from.Endpoints)}
	if made.Metric != "" {
		c.describe(made.Metric, probes.Gauge)
	}
	return made
}
