package extension

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// group is a group of the package: its own dimensions and metrics, and its
// subgroups.
type group struct {
	level
	subgroups []level
}

// level is a group without its subgroups, or a subgroup.
type level struct {
	name, featureSet string
	interval         time.Duration // 0: inherited
	table            bool
	dims             []dimension
	metrics          []metric

	// Own keys.
	rows, highSpeed, discontinuity string // columns
	identity                       []string
}

type dimension struct {
	key       string
	source    source
	filterVar string       // id of the variable that holds the filter
	filter    *plan.Filter // a constant filter
	unless    string       // the feature set that lifts the filter
	enum      map[int64]string
}

type metric struct {
	key, featureSet string
	interval        time.Duration // 0: inherited
	typ             probes.Type
	source          source
	number          plan.Conversion
}

// snmpManifest reads the groups of snmp.
func snmpManifest(p *manifestParser, o object, m *Manifest) {
	for _, v := range p.items(o, "snmp") {
		m.groups = append(m.groups, p.group(v))
	}
	if !p.own {
		p.snmpLimits(o, m)
	}
}

func (p *manifestParser) group(v value) group {
	o := p.object(v, groupKeys)
	g := group{level: p.level(o, "group")}
	for _, sub := range p.items(o, "subgroups") {
		so := p.object(sub, p.keys(subgroupKeys, ownSubgroupKeys))
		g.subgroups = append(g.subgroups, p.level(so, "subgroup"))
	}
	return g
}

func (p *manifestParser) level(o object, nameKey string) level {
	l := level{
		name:       o.text(nameKey),
		featureSet: p.featureSet(o),
		interval:   p.interval(o),
		table:      o.flag("table", false),
	}
	if l.name == "" {
		l.name = o.at.path
	}
	l.dims = p.dimensions(o, l.table)
	if p.own {
		p.ownLevel(o, &l)
	}
	for _, v := range p.items(o, "metrics") {
		if m, ok := p.metric(v, l.table); ok {
			l.metrics = append(l.metrics, m)
		}
	}
	return l
}

func (p *manifestParser) dimensions(o object, table bool) []dimension {
	var dims []dimension
	for _, v := range p.items(o, "dimensions") {
		d, ok := p.dimension(v, table)
		switch {
		case !ok:
		case d.key != "" && slices.ContainsFunc(dims, func(x dimension) bool { return x.key == d.key }):
			p.remark(ruleDuplicateDimension, v.node, v.path, "dimension "+d.key+" is declared twice at this level, the first one counts")
		default:
			dims = append(dims, d)
		}
	}
	return dims
}

func (p *manifestParser) dimension(v value, table bool) (dimension, bool) {
	o := p.object(v, p.keys(dimensionKeys, ownDimensionKeys))
	d := dimension{}
	if _, filtered := o.get("filter"); !p.own || !filtered { // without a key it is there for its filter alone
		d.key = p.key(o)
	} else {
		d.key = o.text("key")
	}
	p.limitKey(o, d.key, "dimension", maxDimKey)
	ok := p.source(o, table, &d.source)
	if !ok {
		if _, filtered := o.get("filter"); filtered {
			p.remark(ruleFilter, v.node, v.path, "the filter goes with the dimension "+d.key+": all rows are kept")
		}
		return d, false
	}
	if d.source.kind == 0 && !p.declared[d.source.text] {
		at, _ := o.get("value")
		p.remark(ruleVariable, at.node, at.path, "variable "+strconv.Quote(d.source.text)+" is not declared in vars, dimension left out")
		return d, false
	}
	p.filter(o, &d)
	if p.own {
		p.ownDimension(o, &d)
		return d, d.key != "" || d.filter != nil
	}
	return d, d.key != ""
}

func (p *manifestParser) metric(v value, table bool) (metric, bool) {
	o := p.object(v, p.keys(metricKeys, ownMetricKeys))
	m := metric{key: p.key(o), featureSet: p.featureSet(o), interval: p.interval(o)}
	p.limitKey(o, m.key, "metric", maxMetricKey)
	p.shortKey(o, m.key)
	typ, known := metricType(o.text("type"))
	if m.typ = typ; !known {
		at, _ := o.get("type")
		p.remark(ruleType, at.node, at.path, "found "+strconv.Quote(o.text("type"))+", expected gauge or count; metric "+m.key+" left out")
		return m, false
	}
	if !p.source(o, table, &m.source) {
		return m, false
	}
	at, _ := o.get("value")
	if m.source.kind != plan.FromScalar && m.source.kind != plan.FromConst || m.source.naming.By != "" || m.source.naming.Kind != 0 {
		p.remark(ruleValue, at.node, at.path, "found "+strconv.Quote(at.node.text)+", expected oid: or const:; metric left out")
		return m, false
	}
	if _, ok := plan.Number(m.source.text); m.source.kind == plan.FromConst && !ok {
		p.remark(ruleValue, at.node, at.path, "found "+strconv.Quote(m.source.text)+", expected a number; metric left out")
		return m, false
	}
	if p.own {
		m.number = p.conversion(o)
	}
	return m, m.key != ""
}

func metricType(word string) (probes.Type, bool) {
	switch word {
	case "", "gauge":
		return probes.Gauge, true
	case "count", "count,delta":
		return probes.Count, true
	}
	return 0, false
}

// source reads the value of a dimension or metric; false where it is left out,
// which has been said.
func (p *manifestParser) source(o object, table bool, s *source) bool {
	text := o.label("value")
	v, ok := o.get("value")
	if !ok {
		o.missing("value", "oid:, const:, var: or this:")
		return false
	}
	if v.kind != kindText && v.kind != kindNumber {
		return false
	}
	parsed, problem, remark := p.parseSource(text)
	if problem != "" {
		p.remark(ruleValue, v.node, v.path, problem+" (left out)")
		return false
	}
	if remark != "" {
		p.remark(rulePrefix, v.node, v.path, remark)
	}
	*s = parsed
	s.node = v.node
	if p.own {
		p.ownSource(o, s, table)
	} else {
		p.checkForm(v, s, table)
	}
	return true
}

// checkForm remarks on a scalar in a table and a column outside of one.
func (p *manifestParser) checkForm(v value, s *source, table bool) {
	if s.kind != plan.FromScalar || isName(s.text) {
		return
	}
	s.row = !strings.HasSuffix(s.text, ".0") && p.standards.isRow(s.text)
	switch {
	case table && strings.HasSuffix(s.text, ".0"):
		p.remark(ruleTable, v.node, v.path, s.text+" ends in .0 but stands in a table, read as a scalar")
	case !table && !isInstance(s.text) && !s.row:
		p.remark(ruleTable, v.node, v.path, s.text+" does not end in .0 and stands outside of a table, read as a scalar")
	}
}
