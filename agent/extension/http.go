package extension

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// HTTPNode is the http part of a manifest.
type HTTPNode struct{ groups []httpGroup }

// httpGroup is a group: what it asks for, its own level and its subgroups.
type httpGroup struct {
	httpLevel
	request   httpRequest
	subgroups []httpLevel
}

// httpLevel is a group without its subgroups, or a subgroup.
type httpLevel struct {
	name, featureSet string
	interval         time.Duration // 0: inherited
	items            plan.DocPath
	dims             []httpDim
	metrics          []httpMetric
	events           []httpEvent
	carrier          plan.DocCarrier
}

type httpDim struct {
	plan.DocDim
	filterVar string
}

type httpMetric struct {
	plan.DocMetric
	featureSet string
	interval   time.Duration // 0: inherited
}

type httpEvent struct {
	plan.DocEvent
	featureSet string
}

var (
	httpLevelKeys    = []string{"interval", "featureSet", "items", "dimensions", "metrics", "events", "carrier", "properties", "endpoints"}
	httpGroupKeys    = append([]string{"group", "request", "subgroups"}, httpLevelKeys...)
	httpSubgroupKeys = append([]string{"subgroup"}, httpLevelKeys...)
	httpDimKeys      = append([]string{"enum"}, dimensionKeys...)
	httpNumberKeys   = []string{"parse", "multiplier", "divisor", "offset", "na"}
	httpMetricKeys   = []string{"key", "value", "type", "featureSet", "interval", "optional"}
	httpStateKeys    = []string{"states", "enum", "all", "dimension"}
	httpStatKeys     = []string{"min", "max", "sum", "count"}
)

// The most that one level may have.
const (
	maxHTTPEvents     = 20
	maxHTTPProperties = 20
	maxEventFields    = 50
	maxPropertyKey    = 100
)

var httpTypes = map[string]plan.DocType{
	"": plan.DocGauge, "gauge": plan.DocGauge, "count": plan.DocCount, "count,delta": plan.DocDelta,
	"rate": plan.DocRate, "state": plan.DocState, "stat": plan.DocStat,
}

// httpManifest reads the groups of http. It is a data source of ours: what is
// wrong is an error, nobody else takes it for right.
func httpManifest(p *manifestParser, o object, m *Manifest) {
	m.HTTP = &HTTPNode{}
	total := 0
	p.httpTwice(o, httpNode, "group")
	for _, v := range p.items(o, "http") {
		group := p.object(v, httpGroupKeys)
		g := httpGroup{httpLevel: p.httpLevel(group, "group"), request: p.httpRequest(group)}
		total += len(g.metrics)
		p.httpLine(v, &g.httpLevel, nil)
		p.httpTwice(group, "subgroups", "subgroup")
		for _, sub := range p.items(group, "subgroups") {
			level := p.httpLevel(p.object(sub, httpSubgroupKeys), "subgroup")
			p.httpLine(sub, &level, &g.httpLevel)
			total += len(level.metrics)
			g.subgroups = append(g.subgroups, level)
		}
		p.limit(v, "subgroups", len(g.subgroups), maxSubgroups)
		m.HTTP.groups = append(m.HTTP.groups, g)
	}
	at, _ := o.get("http")
	p.limit(at, "groups", len(m.HTTP.groups), maxGroups)
	p.limit(at, "metrics in all", total, maxMetrics)
}

func (p *manifestParser) httpLevel(o object, nameKey string) httpLevel {
	l := httpLevel{name: o.text(nameKey), featureSet: p.featureSet(o), interval: p.interval(o)}
	if l.name == "" {
		l.name = o.at.path
	}
	l.items = p.docPath(o, "items")
	for _, v := range p.items(o, "dimensions") {
		l.dims = append(l.dims, p.httpDim(v))
	}
	for _, v := range p.items(o, "metrics") {
		l.metrics = append(l.metrics, p.httpMetric(v))
	}
	for _, v := range p.items(o, "events") {
		l.events = append(l.events, p.httpEvent(v))
	}
	l.carrier = p.httpCarrier(o)
	p.limit(o.at, "dimensions", len(l.dims), maxLevelDims)
	p.limit(o.at, "metrics", len(l.metrics), maxLevelMetrics)
	p.limit(o.at, "events", len(l.events), maxHTTPEvents)
	p.httpTwice(o, "dimensions", "key")
	p.httpTwice(o, "events", "event")
	p.httpTwice(o, "properties", "key")
	return l
}

// maxLineDims is how many dimensions the environment takes in a line.
const maxLineDims = 50

// httpImplicit are the dimensions that every line has, unless it has them already.
var httpImplicit = []string{"device.address", "device.name", "activation_endpoint"}

// httpLine refuses a level whose lines would have more dimensions than one may
// have: none of them would be taken.
func (p *manifestParser) httpLine(at value, l, above *httpLevel) {
	var keys []string
	add := func(key string) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	levels := []*httpLevel{l, above}
	for _, level := range levels {
		for i := 0; level != nil && i < len(level.dims); i++ {
			add(level.dims[i].Key)
		}
	}
	declared := slices.Clone(keys)
	for i := range l.metrics {
		m := &l.metrics[i]
		if m.Type == plan.DocState && slices.Contains(declared, m.Dimension) {
			p.fail(at.node, at.path, "the metric "+m.Key+" puts its state into the dimension "+m.Dimension+", which the item has already; write dimension: and another key")
		}
	}
	if slices.ContainsFunc(l.metrics, func(m httpMetric) bool { return m.Type == plan.DocState }) {
		add("state")
	}
	for _, key := range httpImplicit {
		add(key)
	}
	most := len(keys)
	if l.carrier.Metric != "" {
		for _, f := range slices.Concat(l.carrier.Properties, l.carrier.Endpoints) {
			add(f.Key)
		}
		most = max(most, len(keys))
	}
	p.limit(at, "dimensions in one line, those of its group and those that every line has among them", most, maxLineDims)
}

// httpTwice refuses two entries of one name.
func (p *manifestParser) httpTwice(o object, list, nameKey string) {
	var seen []string
	for _, v := range o.list(list) {
		at := v.field(nameKey)
		if name := at.scalar(); name != "" && slices.Contains(seen, name) {
			p.fail(at, join(v.path, nameKey), "found "+strconv.Quote(name)+" twice in one level; give it another name")
		} else {
			seen = append(seen, name)
		}
	}
}

// docPath reads a path; path: before it is optional where nothing else can stand.
func (p *manifestParser) docPath(o object, key string) plan.DocPath {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	path, err := plan.ParseDocPath(strings.TrimSpace(strings.TrimPrefix(o.text(key), "path:")))
	if err != nil && v.kind == kindText {
		p.fail(v.node, v.path, err.Error())
	}
	return path
}

// docValue reads a value, the zero one where it is missing, which is an error if
// it is required.
func (p *manifestParser) docValue(o object, key string, required bool) plan.DocValue {
	v, ok := o.get(key)
	if !ok {
		if required && o.at.kind == kindMap {
			o.missing(key, "path:, size:, const:, var: or this:")
		}
		return plan.DocValue{}
	}
	text := o.label(key)
	if v.kind != kindText && v.kind != kindNumber {
		return plan.DocValue{}
	}
	made, err := plan.ParseDocValue(text)
	if err != nil {
		p.fail(v.node, v.path, err.Error())
		return plan.DocValue{}
	}
	p.docDeclared(v, made)
	return made
}

// docDeclared refuses variables that the package does not have.
func (p *manifestParser) docDeclared(at value, values ...plan.DocValue) {
	for _, v := range values {
		if v.Kind == plan.DocFromVar && !p.declared[v.Text] {
			p.fail(at.node, at.path, "variable "+strconv.Quote(v.Text)+" is not declared in vars")
		}
	}
}

func (p *manifestParser) httpDim(v value) httpDim {
	o := p.object(v, httpDimKeys)
	d := httpDim{DocDim: plan.DocDim{Key: p.key(o), Value: p.docValue(o, "value", true), Enum: p.docEnum(o)}}
	var filtered dimension
	p.filter(o, &filtered)
	d.Filter, d.filterVar = filtered.filter, filtered.filterVar
	return d
}

// docEnum reads texts for values.
func (p *manifestParser) docEnum(o object) map[string]string {
	v, ok := o.get("enum")
	if !ok {
		return nil
	}
	names := p.object(v, nil)
	texts := make(map[string]string)
	for _, f := range v.fields {
		texts[f.key] = names.label(f.key)
	}
	return texts
}

func (p *manifestParser) httpMetric(v value) httpMetric {
	word := v.field("type").plain()
	typ, known := httpTypes[word]
	keys := slices.Concat(httpMetricKeys, httpNumberKeys)
	switch typ {
	case plan.DocState:
		keys = slices.Concat(httpMetricKeys, httpStateKeys)
	case plan.DocStat:
		keys = append(keys, httpStatKeys...)
	}
	o := p.object(v, keys)
	if at, given := o.get("type"); !known && given {
		p.fail(at.node, at.path, "found "+strconv.Quote(word)+", expected gauge, count, rate, state, stat or count,delta"+suggest(word, []string{"gauge", "count", "rate", "state", "stat"}))
	}
	m := httpMetric{
		DocMetric: plan.DocMetric{
			Key: o.text("key"), Type: typ, Optional: o.flag("optional", false),
			Value: p.docValue(o, "value", v.field("min") == nil || typ != plan.DocStat),
		},
		featureSet: p.featureSet(o), interval: p.interval(o),
	}
	if m.Key == "" && v.kind == kindMap {
		o.missing("key", "a key")
	}
	switch typ {
	case plan.DocState:
		p.httpState(o, &m)
	case plan.DocStat:
		p.httpStat(o, &m)
	default:
		p.httpSingle(o, &m)
	}
	if typ != plan.DocState {
		m.Number = p.docNumber(o)
	}
	return m
}

// docNumber reads how a value becomes a number. A text of na that is a number
// stands for both.
func (p *manifestParser) docNumber(o object) plan.Conversion {
	c := p.conversion(o)
	for _, text := range c.NAText {
		if n, ok := plan.DocNumber(text); ok {
			f, _ := strconv.ParseFloat(n, 64)
			c.NA = append(c.NA, f)
		}
	}
	return c
}

// httpSingle refuses a path that is made to find many where one number counts.
func (p *manifestParser) httpSingle(o object, m *httpMetric) {
	at, _ := o.get("value")
	if m.Value.Kind == plan.DocFromPath && m.Value.Path.Several() {
		p.fail(at.node, at.path, "[] finds many values and a "+word(m.Type)+" is one; write it as items of a subgroup, type: stat, or [0]")
	}
	if m.Value.Kind == plan.DocFromConst {
		if _, ok := plan.DocNumber(m.Value.Text); !ok {
			p.fail(at.node, at.path, "found "+strconv.Quote(m.Value.Text)+", expected a number")
		}
	}
	offset, given := o.get("offset")
	if counts := m.Type == plan.DocCount || m.Type == plan.DocDelta || m.Type == plan.DocRate; counts && given {
		p.fail(offset.node, offset.path, "a growth has no offset, leave it out")
	}
}

func word(t plan.DocType) string {
	for word, typ := range httpTypes {
		if typ == t && word != "" {
			return word
		}
	}
	return "metric"
}

func (p *manifestParser) httpState(o object, m *httpMetric) {
	m.States, m.Enum, m.All = o.texts("states"), p.docEnum(o), o.flag("all", false)
	if m.Dimension = o.text("dimension"); m.Dimension == "" {
		m.Dimension = "state"
	}
	p.httpDimKey(o, "dimension", m.Dimension)
	p.httpStatesTwice(o, m.States)
	if m.All && len(m.States) == 0 {
		o.missing("states", "the list of all states, of which each gets a line")
	}
	p.limit(o.at, "states", len(m.States), maxLevelMetrics)
	at, _ := o.get("value")
	if m.Value.Kind == plan.DocFromPath && m.Value.Path.Several() {
		p.fail(at.node, at.path, "[] finds many values and a state is one; write it as items of a subgroup, or [0]")
	}
}

// httpDimKey warns of a key that is sent in another spelling.
func (p *manifestParser) httpDimKey(o object, field, key string) {
	if at, ok := o.get(field); ok && key != "" && !dimKeyPattern.MatchString(key) {
		p.remark(ruleKey, at.node, at.path, "the key "+strconv.Quote(key)+" has capitals or characters that are not kept as they are; use small letters, digits, and . - _ :")
	}
}

// httpStatesTwice refuses states that differ in case alone, which counts for
// nothing.
func (p *manifestParser) httpStatesTwice(o object, states []string) {
	at, _ := o.get("states")
	for i, s := range states {
		if slices.ContainsFunc(states[:i], func(before string) bool { return strings.EqualFold(before, s) }) {
			p.fail(at.node, at.path, "found "+strconv.Quote(s)+" twice, and case does not matter; leave one out")
		}
	}
}

// httpStat reads the four parts, which come together or not at all.
func (p *manifestParser) httpStat(o object, m *httpMetric) {
	given := 0
	for _, key := range httpStatKeys {
		if _, ok := o.get(key); ok {
			given++
		}
	}
	if given == 0 {
		return
	}
	m.Parts = true
	m.Min, m.Max = p.docValue(o, "min", true), p.docValue(o, "max", true)
	m.Sum, m.Count = p.docValue(o, "sum", true), p.docValue(o, "count", true)
	if at, ok := o.get("offset"); ok {
		p.fail(at.node, at.path, "min, max and sum cannot be moved by one offset, leave it out")
	}
	if at, both := o.get("value"); both {
		p.fail(at.node, at.path, "value and min, max, sum, count are both given; leave out one of them")
	}
}
