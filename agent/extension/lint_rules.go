package extension

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

// maxSeriesPerPoll is from where one device's series are more than one poll
// should give, with the number of interfaces that is assumed everywhere.
const maxSeriesPerPoll = 5000

var (
	metricKeyPattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]*(\.[a-zA-Z0-9_][a-zA-Z0-9_-]*)*$`)
	dimKeyPattern    = regexp.MustCompile(`^[a-z_][a-z0-9_.:-]*$`)
)

// writing are words that would ask for a change. The schema has no key like
// them: what a package asks for is only ever read.
var writing = []string{"set", "snmpset", "setvalue", "write", "put", "post", "execute", "exec", "command", "script", "action", "actions"}

// readingSources only ever read, whatever a package says.
var readingSources = []string{"snmp", "snmptraps", "prometheus", "http"}

// dataSources holds the guarantee that a package only reads.
func (l *linter) dataSources(root *node) {
	l.report.ReadOnly = true
	found := false
	for _, f := range root.mapping() {
		if !isDataSource(f) {
			continue
		}
		found = true
		at := &node{line: f.line, col: f.col}
		switch {
		case slices.Contains(readingSources, f.key):
			l.noWriting(f.value)
			if f.key == httpNode {
				l.posts(f.value)
			}
		case slices.Contains(foreignSources(), f.key):
			l.report.ReadOnly = false
		default:
			l.report.ReadOnly = false
			l.fail(at, ruleDataSource, "the data source "+f.key+" is not known, so nobody can say that it only reads",
				"use one that is known"+suggest(f.key, append(sourceNames(), foreignSources()...)))
		}
		if other, is := foreignAt(f.key); is {
			l.warn(at, ruleDataSource, "the data source "+f.key+" does not run here: "+other.reason, cmp.Or(other.instead, "it runs where the vendor's own agent does"))
		}
	}
	if !found {
		l.warn(root, ruleDataSource, "the package has no data source and so collects nothing", "add snmp with a list of groups")
	}
}

// noWriting looks for keys and values that would ask for a change.
func (l *linter) noWriting(n *node) {
	for _, item := range n.list() {
		l.noWriting(item)
	}
	const mend = "leave it out: packages read, and nothing here sends a SET"
	for _, f := range n.mapping() {
		key := strings.ToLower(f.key)
		if slices.Contains(writing, key) {
			l.report.ReadOnly = false
			l.fail(&node{line: f.line, col: f.col}, ruleReadOnly, "the key "+f.key+" asks for a change, for which there is no construct", mend)
		}
		if word, _, _ := strings.Cut(strings.TrimPrefix(f.value.plain(), "$"), "("); key == "value" && slices.Contains(writing, strings.ToLower(word)) {
			l.report.ReadOnly = false
			l.fail(f.value, ruleReadOnly, "the function $"+word+" asks for a change, for which there is no construct", mend)
		}
		l.noWriting(f.value)
	}
}

// part looks at one group or subgroup.
func (l *linter) part(p *part) {
	l.partLimits(p)
	l.metricKeys(p)
	l.dimensionKeys(p)
	for _, m := range p.metrics {
		l.metricKey(m)
		l.counter(p, m)
	}
	for _, d := range p.dims {
		l.dimensionKey(d)
		l.sensitive(p, d)
	}
	if p.source.name == "snmp" {
		l.table(p)
		l.mixed(p)
		l.crowded(p)
		l.moving(p)
		l.large(p)
	}
}

func (l *linter) limit(n *node, what string, count, most int) {
	if n != nil && most > 0 && count > most {
		l.fail(n, ruleLimit, fmt.Sprintf("%d %s, the environment accepts at most %d", count, what, most), "split it, or leave some out")
	}
}

func (l *linter) partLimits(p *part) {
	l.limit(p.metricsAt, "metrics in "+p.title(), len(p.metrics), maxLevelMetrics)
	l.limit(p.dimsAt, "dimensions in "+p.title(), len(p.dims), p.source.dims)
	l.limit(p.subgroups, "subgroups in "+p.title(), len(p.subgroups.list()), p.source.subgroups)
	if p.source.name != "snmptraps" {
		return
	}
	if len(p.subgroups.list()) > 0 {
		l.fail(p.subgroups, ruleSchema, "groups of snmptraps have no subgroups", "make groups of them")
	}
	l.limit(p.metricsAt, "metrics in "+p.title(), len(p.metrics), 1)
}

func (l *linter) metricKey(m entry) {
	switch {
	case m.key == "":
	case len(m.key) > maxMetricKey:
		l.fail(m.keyAt, ruleLimit, fmt.Sprintf("the metric key has %d characters, more than %d", len(m.key), maxMetricKey), "shorten it")
	case tooLongWithAdded(m.key, m.typ) != "":
		l.warn(m.keyAt, ruleLimit, tooLongWithAdded(m.key, m.typ), "shorten it")
	case len(m.key) < minMetricKey:
		l.fail(m.keyAt, ruleLimit, fmt.Sprintf("the metric key has %d characters, fewer than %d", len(m.key), minMetricKey), "begin it with the name of the package")
	case !metricKeyPattern.MatchString(m.key):
		l.fail(m.keyAt, ruleKey, "the metric key "+strconv.Quote(m.key)+" has characters that are not allowed",
			"use letters, digits, - and _ in parts that are joined with dots; it begins with a letter")
	}
}

func (l *linter) dimensionKey(d entry) {
	switch {
	case d.key == "":
	case len(d.key) > maxDimKey:
		l.fail(d.keyAt, ruleLimit, fmt.Sprintf("the dimension key has %d characters, more than %d", len(d.key), maxDimKey), "shorten it")
	case !dimKeyPattern.MatchString(d.key):
		l.warn(d.keyAt, ruleKey, "the dimension key "+strconv.Quote(d.key)+" has capitals or characters that are not kept as they are",
			"use small letters, digits, and . - _ :")
	}
	if text, isConst := strings.CutPrefix(d.value, "const:"); isConst && utf8.RuneCountInString(text) > maxDimValue {
		l.fail(d.valueAt, ruleLimit, fmt.Sprintf("the value has more than %d characters, the rest would be cut off", maxDimValue), "shorten it")
	}
}

// metricKeys finds keys that come twice in one part. In different feature sets
// they may be meant as one or the other.
func (l *linter) metricKeys(p *part) {
	first := make(map[string]entry)
	for _, m := range p.metrics {
		before, seen := first[m.key]
		switch {
		case m.key == "":
		case !seen:
			first[m.key] = m
		case p.featureSet(before) == p.featureSet(m):
			l.fail(m.keyAt, ruleDuplicateMetric, fmt.Sprintf("the metric %s stands in %s twice, first in line %d", m.key, p.title(), before.keyAt.line),
				"leave one out, or give it a key of its own")
		default:
			l.warn(m.keyAt, ruleDuplicateMetric, fmt.Sprintf("the metric %s stands in %s twice, first in line %d; with both feature sets it is given twice",
				m.key, p.title(), before.keyAt.line), "give it a key of its own")
		}
	}
}

// dimensionKeys finds keys that come twice in one part, and OIDs that are read
// under two keys.
func (l *linter) dimensionKeys(p *part) {
	keys, oids := make(map[string]int), make(map[string]entry)
	if p.group != nil {
		for _, d := range p.group.dims {
			oids[d.value] = d
		}
	}
	for _, d := range p.dims {
		if line := keys[d.key]; d.key != "" && line > 0 {
			l.fail(d.keyAt, ruleDuplicateDimension, fmt.Sprintf("the dimension %s stands in %s twice, first in line %d", d.key, p.title(), line),
				"leave one out, or give it a key of its own")
		}
		keys[d.key] = d.keyAt.line
		if !strings.HasPrefix(d.value, "oid:") {
			continue
		}
		if other, seen := oids[d.value]; seen && other.key != d.key {
			l.warn(d.valueAt, ruleDuplicateOID, fmt.Sprintf("%s is read as %s too, in line %d", d.value, other.key, other.valueAt.line), "leave one out")
		}
		oids[d.value] = d
	}
}

// numericOID is the OID of a value, "" where it has none or has its name.
func (e entry) numericOID() string {
	s, problem, _ := parseSource(e.value)
	if problem != "" || s.kind != plan.FromScalar || isName(s.text) {
		return ""
	}
	return s.text
}

// counter finds counters that are declared as gauges, the reverse, and texts.
func (l *linter) counter(p *part, m entry) {
	isCount := m.typ == "count" || m.typ == "count,delta"
	isGauge := m.typ == "" || m.typ == "gauge"
	oid := ""
	if p.source.name == "snmp" {
		oid = m.numericOID()
	}
	if _, text := known(oid, knownTexts); text {
		l.fail(m.valueAt, ruleTextMetric, m.key+" reads "+oid+", which is a text and gives no number", "make a dimension of it")
	}
	_, grows := known(oid, knownCounters)
	_, level := known(oid, knownGauges)
	switch {
	case grows && isGauge:
		l.warn(m.typeAt, ruleCounter, m.key+" reads "+oid+", a counter that only grows, as a gauge", "write type: count")
	case level && isCount:
		l.warn(m.typeAt, ruleCounter, m.key+" reads "+oid+", a state or a level, as a count", "write type: gauge")
	case isGauge && strings.HasSuffix(m.key, ".count"):
		l.warn(m.typeAt, ruleCounter, m.key+" ends in .count and is a gauge: the environment puts .gauge behind it", "write type: count, or choose another key")
	case isGauge && p.source.name == "prometheus" && strings.HasSuffix(m.value, "_total"):
		l.warn(m.typeAt, ruleCounter, m.key+" reads a metric that is called _total, which is a counter, as a gauge", "write type: count")
	}
}

func (l *linter) sensitive(p *part, d entry) {
	reason := ""
	if oid := d.numericOID(); p.source.name == "snmp" && oid != "" {
		if _, plain := known(oid, plainObjects); plain {
			return
		}
		for _, o := range sensitiveObjects {
			if below(oid, o.root) {
				reason = o.reason
			}
		}
	}
	if reason == "" {
		reason, _ = Sensitive(d.key)
	}
	if reason != "" {
		l.warn(d.keyAt, ruleSensitive, "the dimension "+d.key+" leaves the site with every point, and "+reason,
			"leave it out where it is not needed, or have it dropped or hashed by a privacy file")
	}
}

// table finds scalars in tables, and columns where no table is read.
func (l *linter) table(p *part) {
	columns, scalars, certain := 0, 0, false
	entries := slices.Concat(p.dims, p.metrics)
	for _, e := range entries {
		oid := e.numericOID()
		switch {
		case oid == "":
		case l.isInstance(oid):
			scalars++
		default:
			columns++
			certain = certain || l.isColumn(oid)
		}
	}
	if p.table || columns < 2 || scalars > 0 {
		for _, e := range entries {
			l.form(p, e)
		}
		return
	}
	say := l.warn
	if certain {
		say = l.fail
	}
	say(p.at, ruleTable, fmt.Sprintf("none of the %d OIDs of %s ends in .0, yet it is no table", columns, p.title()),
		"write table: true, or the instance behind each OID")
}

// form looks at one OID. A row may be pinned: a column with an index behind it
// is as good as a scalar.
func (l *linter) form(p *part, e entry) {
	oid := e.numericOID()
	switch {
	case oid == "":
	case p.table && strings.HasSuffix(oid, ".0"):
		l.warn(e.valueAt, ruleTable, oid+" ends in .0, so it is a scalar, but stands in a table", "leave .0 out for a column, or move it to the group")
	case p.table && l.isInstance(oid):
		l.warn(e.valueAt, ruleTable, oid+" is one row of a column, read once and not in each row of the table", "leave the index out for the column, or move it to the group")
	case p.table && !looksLikeColumn(oid):
		l.warn(e.valueAt, ruleTable, oid+" looks like a whole table, not like a column, which ends in .1.N", "name the column")
	case !p.table && l.isColumn(oid):
		l.fail(e.valueAt, ruleTable, oid+" is a column of a table, which has no value of its own", "write table: true in the subgroup, or the index of a row behind it")
	case !p.table && !l.isInstance(oid):
		l.warn(e.valueAt, ruleTable, oid+" does not end in .0, so it is no scalar", "add .0, or write table: true; with the index of a row it is right as it is")
	}
}

// isInstance tells a scalar or one row of a column.
func (l *linter) isInstance(oid string) bool { return isInstance(oid) || l.standards.isRow(oid) }

// isColumn tells a standard column, without an index.
func (l *linter) isColumn(oid string) bool {
	o, arcs, ok := l.standards.objects().At(oid)
	return knownColumn(oid) || ok && o.Kind == mib.Column && arcs == ""
}

// knownColumn tells a column of a common table, without an index.
func knownColumn(oid string) bool {
	o, found := known(oid, knownCounters)
	if !found {
		o, found = known(oid, knownGauges)
	}
	return found && o.table && strings.Count(oid, ".") == strings.Count(o.root, ".")+1
}

// looksLikeColumn tells an OID that ends in .1.N: the rows of a table are its
// first and only child.
func looksLikeColumn(oid string) bool {
	entry := oid[:max(strings.LastIndexByte(oid, '.'), 0)]
	return strings.HasSuffix(entry, ".1")
}

// mixed finds tables whose rows have nothing in common: their indexes are not of
// the same kind.
func (l *linter) mixed(p *part) {
	if !p.table {
		return
	}
	first, table := entry{}, ""
	for _, e := range slices.Concat(p.metrics, p.dims) {
		o, arcs, ok := l.objects.At(e.numericOID())
		if !ok || o.Kind != mib.Column || arcs != "" || len(o.Indexes) == 0 {
			continue
		}
		index := l.indexOf(o)
		switch {
		case table == "":
			first, table = e, index
		case index != table:
			l.warn(e.valueAt, ruleTable, fmt.Sprintf("%s has rows by %s, while %s in line %d has them by %s: they are joined only where both happen to have the same number",
				e.numericOID(), index, first.numericOID(), first.valueAt.line, table), "make a subgroup of its own of each table")
			return
		}
	}
}

// sameIndex are index objects that hold the number of another one.
var sameIndex = map[string]string{
	"dot3StatsIndex": "ifIndex", "ipv6IfIndex": "ifIndex", "dot1dStpPort": "dot1dBasePort", "dot1dTpPort": "dot1dBasePort",
}

func (l *linter) indexOf(o mib.Object) string {
	names := slices.Clone(o.Indexes)
	for i, name := range names {
		names[i] = cmp.Or(sameIndex[name], name)
	}
	return strings.Join(names, ", ")
}

// crowded finds more dimensions than a line has room for.
func (l *linter) crowded(p *part) {
	keys := map[string]bool{deviceAddress: true, "device.name": true, "site": true}
	for q := p; q != nil; q = q.group {
		for _, d := range q.dims {
			keys[d.key] = true
		}
	}
	if delete(keys, ""); len(keys) > lineDims && len(p.metrics) > 0 && p.dimsAt != nil {
		l.warn(p.dimsAt, ruleLimit, fmt.Sprintf("%d dimensions in %s with those of its group, device.address, device.name and site; a line has at most %d", len(keys), p.title(), lineDims),
			"leave some out of the group or the subgroup")
	}
}

// moving finds dimensions that differ at each poll and so begin a new series
// each time.
func (l *linter) moving(p *part) {
	for _, d := range p.dims {
		oid := d.numericOID()
		_, counts := known(oid, knownCounters)
		_, ticks := known(oid, clocks)
		if counts || ticks {
			l.warn(d.valueAt, ruleSeries, "the dimension "+d.key+" reads "+oid+", which differs at each poll: every poll begins new series", "make a metric of it")
		}
	}
}

// large finds tables whose rows are many.
func (l *linter) large(p *part) {
	if !p.table || len(p.metrics) == 0 {
		return
	}
	for _, e := range slices.Concat(p.metrics, p.dims) {
		for _, t := range largeTables {
			if below(e.numericOID(), t.root) {
				l.warn(e.valueAt, ruleSeries, fmt.Sprintf("%s reads %s, which may have thousands of rows, each a series of its own", p.title(), t.name),
					"filter the rows, or read a scalar that counts them")
				return
			}
		}
	}
}

// total looks at all parts of each data source together.
func (l *linter) total(root *node, parts []*part) {
	for _, g := range grouped {
		at := root.field(g.name)
		l.limit(at, "groups", len(at.list()), g.groups)
		metrics, series := 0, 0
		oids := make(map[string]entry)
		for _, p := range parts {
			if p.source.name != g.name {
				continue
			}
			metrics += len(p.metrics)
			rows := 1
			if p.table {
				rows = AssumedInterfaces
			}
			series += rows * len(p.metrics)
			l.twice(p, oids)
		}
		l.limit(at, "metrics in all", metrics, g.metrics)
		if series > maxSeriesPerPoll {
			l.warn(at, ruleSeries, fmt.Sprintf("a device with %d interfaces gives %d series in one poll", AssumedInterfaces, series), "put metrics into feature sets, or leave some out")
		}
	}
}

// twice finds OIDs that two metrics read.
func (l *linter) twice(p *part, oids map[string]entry) {
	for _, m := range p.metrics {
		oid := m.numericOID()
		if oid == "" {
			continue
		}
		if other, seen := oids[oid]; seen {
			l.warn(m.valueAt, ruleDuplicateOID, fmt.Sprintf("%s is read for the metric %s too, in line %d", oid, other.key, other.valueAt.line), "leave one out")
			continue
		}
		oids[oid] = m
	}
}
