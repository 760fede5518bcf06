package extension

import "slices"

// part is a group or a subgroup as the file writes it, of any data source that
// is written in groups.
type part struct {
	source    groupedSource
	at        *node
	name      string
	set       string
	table     bool
	group     *part // of a subgroup
	subgroups *node // of a group
	dims      []entry
	metrics   []entry

	dimsAt, metricsAt *node
}

// entry is a dimension or a metric. A key or value that is missing has the
// place of the whole.
type entry struct {
	at                     *node
	key, value, typ, set   string
	keyAt, valueAt, typeAt *node
}

// groupedSource is a data source that is written in groups, with the most that
// the environment takes; 0: no number is known.
type groupedSource struct {
	name              string
	groups, subgroups int // subgroups of one group
	dims              int // of one part
	metrics           int // in all
}

var grouped = []groupedSource{
	{"snmp", maxGroups, maxSubgroups, maxLevelDims, maxMetrics},
	{"snmptraps", maxGroups, 0, 5, maxMetrics},
	{"prometheus", maxGroups, maxSubgroups, maxLevelDims, maxMetrics},
	{"http", maxGroups, maxSubgroups, maxLevelDims, maxMetrics},
}

// isDataSource tells a field of the root that collects something. One that
// nobody knows counts where it looks like one.
func isDataSource(f field) bool {
	if slices.Contains(slices.Concat(sourceNames(), foreignSources()), f.key) {
		return f.value.kind != kindNull
	}
	return !slices.Contains(manifestKeys, f.key) && looksLikeSource(f.value)
}

// looksLikeSource tells a value with groups, metrics or subgroups in it.
func looksLikeSource(n *node) bool {
	for _, item := range n.list() {
		if looksLikeSource(item) {
			return true
		}
	}
	return slices.ContainsFunc(n.mapping(), func(f field) bool {
		return slices.Contains([]string{"group", "groups", "subgroup", "subgroups", "metrics", "interval"}, f.key)
	})
}

// mapping returns the fields of an object, none where n is not one.
func (n *node) mapping() []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// scalar returns the text of a text or number.
func (n *node) scalar() string {
	if n == nil || n.kind != kindText && n.kind != kindNumber {
		return ""
	}
	return n.text
}

// partsOf lists the groups and subgroups in the order of the file.
func partsOf(root *node) []*part {
	var all []*part
	for _, g := range grouped {
		for _, n := range root.field(g.name).list() {
			group := newPart(g, n, "group")
			group.subgroups = n.field("subgroups")
			all = append(all, group)
			for _, sub := range group.subgroups.list() {
				made := newPart(g, sub, "subgroup")
				made.group = group
				all = append(all, made)
			}
		}
	}
	return all
}

func newPart(source groupedSource, n *node, nameKey string) *part {
	p := &part{
		source: source, at: n, table: isTrue(n.field("table")),
		name:   n.field(nameKey).scalar(),
		set:    n.field("featureSet").scalar(),
		dimsAt: n.field("dimensions"), metricsAt: n.field("metrics"),
	}
	for _, d := range p.dimsAt.list() {
		p.dims = append(p.dims, newEntry(d))
	}
	for _, m := range p.metricsAt.list() {
		p.metrics = append(p.metrics, newEntry(m))
	}
	return p
}

func newEntry(n *node) entry {
	e := entry{at: n, keyAt: n, valueAt: n, typeAt: n}
	for _, f := range n.fields {
		switch f.key {
		case "key", "id":
			if e.key == "" || f.key == "key" {
				e.key, e.keyAt = f.value.scalar(), f.value
			}
		case "value":
			e.value, e.valueAt = f.value.scalar(), f.value
		case "type":
			e.typ, e.typeAt = f.value.scalar(), f.value
		case "featureSet":
			e.set = f.value.scalar()
		}
	}
	return e
}

// featureSet is the one that counts for a metric.
func (p *part) featureSet(e entry) string {
	switch {
	case e.set != "":
		return e.set
	case p.set != "" || p.group == nil:
		return p.set
	}
	return p.group.set
}

// title is how messages call the part.
func (p *part) title() string {
	if p.group != nil {
		return "subgroup " + p.name
	}
	return "group " + p.name
}
