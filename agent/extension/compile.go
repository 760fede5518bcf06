package extension

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// CompileOptions are the choices of the agent's own configuration.
type CompileOptions struct {
	Interval time.Duration // in place of all intervals of the package; 0: theirs
}

const defaultInterval = time.Minute

// Compile chooses feature sets, fills in variables and resolves inheritance.
// Its errors name the configuration's file and field.
func Compile(m *Manifest, c Configuration, o CompileOptions) (*plan.Plan, []Warning, error) {
	k := compiler{
		reader: reader{file: c.Name}, manifest: m, configuration: &c, options: o,
		filters: make(map[string]*plan.Filter),
	}
	if o.Interval != 0 && o.Interval < time.Second {
		k.errs = append(k.errs, fmt.Errorf("interval: found %s, expected at least 1s", o.Interval))
	}
	k.checkVersion()
	k.resolve()
	k.chooseSets()
	p := &plan.Plan{Extension: m.Name, Version: m.Version}
	for i := range m.groups {
		g := &m.groups[i]
		p.Blocks = append(p.Blocks, k.level(g, nil)...)
		for j := range g.subgroups {
			p.Blocks = append(p.Blocks, k.level(g, &g.subgroups[j])...)
		}
	}
	if err := k.err(); err != nil {
		return nil, k.warnings, err
	}
	if len(p.Blocks) == 0 {
		k.warn(c.place("featureSets"), c.path("featureSets"), nothing(m))
	}
	return p, k.warnings, nil
}

// nothing says why a plan is empty.
func nothing(m *Manifest) string {
	if len(m.FeatureSets) == 0 {
		return "nothing is collected: the package has no metric that this version can read"
	}
	return "nothing is collected with these feature sets, choose some of: all, " + strings.Join(m.FeatureSets, ", ")
}

type compiler struct {
	reader
	manifest      *Manifest
	configuration *Configuration
	options       CompileOptions
	vars          map[string]string
	filters       map[string]*plan.Filter // by variable
	chosen        map[string]bool
	all           bool
}

func (k *compiler) checkVersion() {
	c := k.configuration
	if c.Version != "" && c.Version != k.manifest.Version {
		k.warn(c.place("version"), c.path("version"), fmt.Sprintf("the configuration is for version %s, the package is version %s and runs all the same",
			c.Version, k.manifest.Version))
	}
}

// resolve gives every declared variable its value: from the configuration, else
// its default, else empty.
func (k *compiler) resolve() {
	c := k.configuration
	k.vars = make(map[string]string)
	var ids []string
	for _, v := range k.manifest.vars {
		ids = append(ids, v.id)
		k.vars[v.id] = cmp.Or(c.Vars[v.id], v.otherwise)
		if v.required && k.vars[v.id] == "" {
			k.fail(nil, c.path("vars."+v.id), fmt.Sprintf("missing, the package needs it (%s)", cmp.Or(v.displayName, v.id)))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Vars)) {
		if !slices.Contains(ids, id) {
			k.warn(c.place("vars."+id), c.path("vars."+id), "the package has no such variable"+orOneOf(id, ids))
		}
	}
}

func (k *compiler) chooseSets() {
	c := k.configuration
	k.chosen = make(map[string]bool)
	for i, name := range c.FeatureSets {
		field := fmt.Sprintf("featureSets[%d]", i)
		switch {
		case name == "all":
			k.all = true
		case slices.Contains(k.manifest.FeatureSets, name):
			k.chosen[name] = true
		default:
			k.warn(c.place(field), c.path(field),
				fmt.Sprintf("the package has no feature set %q", name)+orOneOf(name, k.manifest.FeatureSets))
		}
	}
}

// orOneOf ends a message about an unknown name with the one that was probably
// meant, or with all there are.
func orOneOf(name string, known []string) string {
	if near := suggest(name, known); near != "" || len(known) == 0 {
		return near
	}
	return ", it has " + strings.Join(known, ", ")
}

// runs tells whether a metric is collected; one without a feature set always is.
func (k *compiler) runs(set string) bool { return set == "" || k.all || k.chosen[set] }

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
			plan.Metric{Key: m.key, Type: m.typ, Source: m.source.plan(l.table, k.vars), Number: m.number})
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
		made := plan.Dim{Key: d.key, Source: d.source.plan(table, k.vars), Filter: d.filter, Enum: d.enum}
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
	return dims
}

// overlay puts dimensions before others, without those that the others declare
// anew.
func overlay(dims, others []dimension) []dimension {
	kept := slices.DeleteFunc(slices.Clone(dims), func(d dimension) bool {
		return d.key != "" && slices.ContainsFunc(others, func(o dimension) bool { return o.key == d.key })
	})
	return append(kept, others...)
}

// filter parses the value of a variable, once.
func (k *compiler) filter(id string) *plan.Filter {
	f, seen := k.filters[id]
	if seen {
		return f
	}
	f, err := plan.ParseFilter(k.vars[id])
	if err != nil {
		c := k.configuration
		k.fail(c.place("vars."+id), c.path("vars."+id), err.Error())
	}
	k.filters[id] = f
	return f
}
