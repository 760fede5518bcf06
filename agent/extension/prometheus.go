package extension

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// PrometheusNode is the prometheus part of a manifest.
type PrometheusNode struct{ groups []exposedGroup }

// exposedGroup is a group: its own dimensions and metrics, and its subgroups.
type exposedGroup struct {
	exposedLevel
	subgroups []exposedLevel
}

// exposedLevel is a group without its subgroups, or a subgroup.
type exposedLevel struct {
	name, featureSet string
	interval         time.Duration // 0: inherited
	dims             []exposedDim
	metrics          []exposedMetric
}

type exposedDim struct {
	key       string
	source    plan.LabelSource // 0: the variable that text is the id of
	text      string
	metric    string // of a reference
	filterVar string
	filter    *plan.Filter
}

type exposedMetric struct {
	key, name, featureSet string
	interval              time.Duration // 0: inherited
	typ                   plan.ExposedType
}

var exposedSubgroupKeys = []string{"subgroup", "interval", "featureSet", "dimensions", "metrics"}

// exposedTypes are the words of the data source; a metric without one is a gauge.
var exposedTypes = map[string]plan.ExposedType{
	"": plan.ExposedGauge, "gauge": plan.ExposedGauge, "count": plan.ExposedCount, "count,delta": plan.ExposedCount,
	"histogram": plan.ExposedHistogram, "summary": plan.ExposedSummary,
}

// prometheusManifest reads the groups of prometheus.
func prometheusManifest(p *manifestParser, o object, m *Manifest) {
	m.Prometheus = &PrometheusNode{}
	total := 0
	for _, v := range p.items(o, "prometheus") {
		group := p.object(v, groupKeys)
		g := exposedGroup{exposedLevel: p.exposedLevel(group, "group")}
		p.limitLevel(v, &total)
		for _, sub := range p.items(group, "subgroups") {
			g.subgroups = append(g.subgroups, p.exposedLevel(p.object(sub, exposedSubgroupKeys), "subgroup"))
			p.limitLevel(sub, &total)
		}
		p.limit(v, "subgroups", len(g.subgroups), maxSubgroups)
		m.Prometheus.groups = append(m.Prometheus.groups, g)
	}
	at, _ := o.get("prometheus")
	p.limit(at, "groups", len(m.Prometheus.groups), maxGroups)
	p.limit(at, "metrics in all", total, maxMetrics)
}

func (p *manifestParser) exposedLevel(o object, nameKey string) exposedLevel {
	l := exposedLevel{name: o.text(nameKey), featureSet: p.featureSet(o), interval: p.interval(o)}
	if l.name == "" {
		l.name = o.at.path
	}
	for _, v := range p.items(o, "dimensions") {
		d, ok := p.exposedDim(v)
		switch {
		case !ok:
		case slices.ContainsFunc(l.dims, func(x exposedDim) bool { return x.key == d.key }):
			p.remark(ruleDuplicateDimension, v.node, v.path, "dimension "+d.key+" is declared twice at this level, the first one counts")
		default:
			l.dims = append(l.dims, d)
		}
	}
	for _, v := range p.items(o, "metrics") {
		if m, ok := p.exposedMetric(v); ok {
			l.metrics = append(l.metrics, m)
		}
	}
	return l
}

func (p *manifestParser) exposedDim(v value) (exposedDim, bool) {
	o := p.object(v, dimensionKeys)
	d := exposedDim{key: p.key(o)}
	p.limitKey(o, d.key, "dimension", maxDimKey)
	text := o.label("value")
	at, ok := o.get("value")
	if !ok {
		o.missing("value", "label:, const:, var: or a text")
		return d, false
	}
	problem := d.read(text)
	if d.source == 0 && problem == "" && !p.declared[d.text] {
		problem = "variable " + strconv.Quote(d.text) + " is not declared in vars, dimension left out"
	}
	if problem != "" {
		if _, filtered := o.get("filter"); filtered {
			problem += "; its filter goes with it: all samples are kept"
		}
		p.remark(ruleValue, at.node, at.path, problem)
		return d, false
	}
	var filtered dimension
	p.filter(o, &filtered)
	d.filterVar, d.filter = filtered.filterVar, filtered.filter
	return d, d.key != ""
}

// read reads the value of a dimension, and says what is wrong with it.
func (d *exposedDim) read(text string) (problem string) {
	head, rest, found := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "$"):
		return d.reference(text)
	case found && head == "label":
		if d.source, d.text = plan.LabelOwn, strings.TrimSpace(rest); d.text == "" {
			return "found label: without the name of a label (left out)"
		}
	case found && head == "const":
		d.source, d.text = plan.LabelText, rest
	case found && head == "var":
		d.text = strings.TrimSpace(rest)
	case found && (head == "this" || head == "oid" || head == "metric"):
		return fmt.Sprintf("found %q, expected label:, const:, var: or a text (left out)", text)
	default:
		d.source, d.text = plan.LabelText, text
	}
	return ""
}

// reference reads $reference(metric:NAME, ref:LABEL).
func (d *exposedDim) reference(text string) (problem string) {
	inner, isReference := strings.CutPrefix(text, "$reference(")
	inner, closed := strings.CutSuffix(strings.TrimSpace(inner), ")")
	metric, label, two := strings.Cut(inner, ",")
	metric, hasMetric := strings.CutPrefix(strings.TrimSpace(metric), "metric:")
	label, hasLabel := strings.CutPrefix(strings.TrimSpace(label), "ref:")
	if !isReference || !closed || !two || !hasMetric || !hasLabel || metric == "" || label == "" {
		return fmt.Sprintf("found %q, expected $reference(metric:NAME, ref:LABEL) (left out)", text)
	}
	d.source, d.metric, d.text = plan.LabelReference, strings.TrimSpace(metric), strings.TrimSpace(label)
	return ""
}

func (p *manifestParser) exposedMetric(v value) (exposedMetric, bool) {
	o := p.object(v, metricKeys)
	m := exposedMetric{key: p.key(o), featureSet: p.featureSet(o), interval: p.interval(o)}
	p.limitKey(o, m.key, "metric", maxMetricKey)
	p.shortKey(o, m.key)
	word := o.text("type")
	if text := tooLongWithAdded(m.key, word); text != "" {
		at, _ := o.get("key")
		p.remark(ruleLimit, at.node, at.path, text)
	}
	var known bool
	if m.typ, known = exposedTypes[word]; !known {
		at, _ := o.get("type")
		p.remark(ruleType, at.node, at.path, "found "+strconv.Quote(word)+", expected gauge, count, histogram or summary; metric "+m.key+" left out")
		return m, false
	}
	text := o.text("value")
	if text == "" {
		o.missing("value", "metric: and the name of a metric")
		return m, false
	}
	at, _ := o.get("value")
	name, prefixed := strings.CutPrefix(text, "metric:")
	m.name = strings.TrimSpace(name)
	switch {
	case m.name == "" || strings.HasPrefix(m.name, "$") || !prefixed && strings.Contains(text, ":") && isOtherPrefix(text):
		p.remark(ruleValue, at.node, at.path, "found "+strconv.Quote(text)+", expected metric: and the name of a metric; metric left out")
		return m, false
	case !prefixed:
		p.remark(rulePrefix, at.node, at.path, "taken as the name of a metric, write metric: before it")
	}
	return m, m.key != ""
}

// isOtherPrefix tells a value of another kind from a name with a colon in it.
func isOtherPrefix(text string) bool {
	head, _, _ := strings.Cut(text, ":")
	return slices.Contains([]string{"label", "const", "var", "oid", "this"}, head)
}
