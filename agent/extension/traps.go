package extension

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// TrapsNode is the snmptraps part of a manifest.
type TrapsNode struct{ groups []trapGroup }

// trapGroup is a group, which has no subgroups.
type trapGroup struct {
	featureSet string
	interval   time.Duration // 0: the default
	dims       []trapDim
	metrics    []trapMetric
}

type trapDim struct {
	key   string
	field plan.TrapField
	text  string
	isVar bool // text is the id of a variable
}

type trapMetric struct {
	key, featureSet string
	interval        time.Duration // 0: that of the group
}

// trapEvents is the feature set that makes a log record of each trap. Every
// package of this data source has it.
const trapEvents = "Events"

// maxTrapDims is how many dimensions a group may have.
const maxTrapDims = 5

var (
	trapGroupKeys  = []string{"group", "interval", "featureSet", "dimensions", "metrics"}
	trapDimKeys    = []string{"key", "id", "value"}
	trapMetricKeys = []string{"key", "id", "value", "type", "featureSet", "interval"}
)

// trapsManifest reads the groups of snmptraps.
func trapsManifest(p *manifestParser, o object, m *Manifest) {
	p.sets[trapEvents] = true
	m.Traps = &TrapsNode{}
	at, _ := o.get("snmptraps")
	items := p.items(o, "snmptraps")
	p.limit(at, "groups", len(items), maxGroups)
	for _, v := range items {
		m.Traps.groups = append(m.Traps.groups, p.trapGroup(v))
	}
}

func (p *manifestParser) trapGroup(v value) trapGroup {
	if sub := v.field("subgroups"); sub != nil {
		p.refuse(ruleSchema, sub, join(v.path, "subgroups"), "groups of snmptraps have no subgroups; make groups of them")
	}
	o := p.object(v, append(trapGroupKeys, "subgroups"))
	g := trapGroup{featureSet: p.featureSet(o), interval: p.interval(o)}
	dims, metrics := p.items(o, "dimensions"), p.items(o, "metrics")
	p.limit(v, "dimensions", len(dims), maxTrapDims)
	p.limit(v, "metrics", len(metrics), 1)
	for _, d := range dims {
		if made, ok := p.trapDim(d); ok && !slices.ContainsFunc(g.dims, func(x trapDim) bool { return x.key == made.key }) {
			g.dims = append(g.dims, made)
		}
	}
	for _, one := range metrics {
		if made, ok := p.trapMetric(one); ok {
			g.metrics = append(g.metrics, made)
		}
	}
	return g
}

func (p *manifestParser) trapDim(v value) (trapDim, bool) {
	o := p.object(v, trapDimKeys)
	d := trapDim{key: p.key(o)}
	at, ok := o.get("value")
	if !ok {
		o.missing("value", "const:sender, const:trapOID, const: and a text, or var:")
		return d, false
	}
	head, rest, _ := strings.Cut(o.label("value"), ":")
	d.text = rest
	switch {
	case head == "var" && p.declared[strings.TrimSpace(rest)]:
		d.isVar, d.text = true, strings.TrimSpace(rest)
	case head == "var":
		p.remark(ruleVariable, at.node, at.path, "variable "+strconv.Quote(rest)+" is not declared in vars, dimension left out")
		return d, false
	case head == "this" && rest == deviceAddress, head == "const" && rest == "sender":
		d.field = plan.TrapSender
	case head == "const" && rest == "trapOID":
		d.field = plan.TrapOID
	case head != "const":
		p.remark(ruleValue, at.node, at.path, fmt.Sprintf("found %q, expected const:sender, const:trapOID, const: and a text, or var:; dimension left out", at.node.text))
		return d, false
	}
	return d, d.key != ""
}

func (p *manifestParser) trapMetric(v value) (trapMetric, bool) {
	o := p.object(v, trapMetricKeys)
	m := trapMetric{key: p.key(o), featureSet: p.featureSet(o), interval: p.interval(o)}
	at, ok := o.get("value")
	if word := o.text("value"); word != "calculated" {
		if !ok {
			o.missing("value", "calculated")
		} else {
			p.remark(ruleValue, at.node, at.path, fmt.Sprintf("found %q, expected calculated, the number of traps, which is all there is; metric left out", word))
		}
		return m, false
	}
	if word := o.text("type"); word != "count" && word != "count,delta" && word != "" {
		typ, _ := o.get("type")
		p.remark(ruleType, typ.node, typ.path, fmt.Sprintf("found %q, expected count: the metric is the number of traps; taken as a count", word))
	}
	return m, m.key != ""
}
