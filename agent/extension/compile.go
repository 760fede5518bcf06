package extension

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes/plan"
)

// CompileOptions are the choices of the agent's own configuration.
type CompileOptions struct {
	Interval time.Duration // in place of all intervals of the package; 0: theirs
	// MIBs are the objects of the package's MIB files and of the site's (marked
	// with OfSite), nil for none: they answer for names in place of OIDs, and tell
	// enumerations and display hints of dimensions. The built-in ones answer for
	// names that are in none of them. What the number of a standard object shows
	// changes with the package's files only.
	MIBs *mib.Set
	// Identity is "site" where device.address is to be Site/ADDRESS in all lines,
	// "" where it stays as it is.
	Identity string
	Site     string
}

// IdentitySite is the one word of CompileOptions.Identity.
const IdentitySite = "site"

// Compile chooses feature sets, fills in variables and resolves inheritance.
// Its errors name the configuration's file and field.
func Compile(m *Manifest, c Configuration, o CompileOptions) (*plan.Plan, []Warning, error) {
	k := compiler{
		reader: reader{file: c.Name}, manifest: m, configuration: &c, options: o,
		filters: make(map[string]*plan.Filter), said: make(map[Warning]bool), described: make(map[described]bool),
	}
	if o.Interval != 0 && o.Interval < time.Second {
		k.errs = append(k.errs, fmt.Errorf("interval: found %s, expected at least 1s", o.Interval))
	}
	k.checkIdentity()
	k.checkVersion()
	k.checkParts()
	k.resolve()
	k.chooseSets()
	p := &plan.Plan{Extension: m.Name, Version: m.Version}
	for _, source := range dataSources() {
		source.compile(&k, p)
	}
	k.describeAll(p)
	if err := k.err(); err != nil {
		return nil, k.warnings, err
	}
	if p.Empty() {
		k.warn(c.place("featureSets"), c.path("featureSets"), nothing(m))
	}
	return p, k.warnings, nil
}

// nothing says why a plan is empty.
func nothing(m *Manifest) string {
	if len(m.FeatureSets) == 0 {
		return "nothing is collected: the package has no metric that this version can read"
	}
	names := slices.DeleteFunc(slices.Clone(m.FeatureSets), func(name string) bool { return name == "all" })
	return "nothing is collected with these feature sets, choose some of: " + strings.Join(append([]string{"all"}, names...), ", ")
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
	said          map[Warning]bool // of the package
	standards     standards
	described     map[described]bool
}

func (k *compiler) checkIdentity() {
	switch o := k.options; {
	case o.Identity != "" && o.Identity != IdentitySite:
		k.errs = append(k.errs, fmt.Errorf("identity: found %q, expected site, or leave it out", o.Identity))
	case o.Identity != "" && o.Site == "":
		k.errs = append(k.errs, errors.New("identity: site: the configuration has no site, give it a name as site"))
	}
}

// checkParts holds the data sources of the configuration against those of the
// package.
func (k *compiler) checkParts() {
	c := k.configuration
	for _, key := range c.parts {
		if !slices.Contains(k.manifest.parts, key) {
			k.warn(c.place(key), c.path(key), "the package does not collect with this, left out; it takes "+inWords(k.manifest.parts, "or"))
		}
	}
	has := func(key string) bool { return slices.Contains(c.parts, key) }
	if len(c.parts) > 0 && !slices.ContainsFunc(k.manifest.parts, has) {
		k.fail(nil, c.path(""), "this is the configuration of another package, expected "+inWords(k.manifest.parts, "or"))
	}
}

// ofPackage warns of a place of the manifest, once.
func (k *compiler) ofPackage(rule string, n *node, text string) {
	w := Warning{File: k.manifest.File, Text: text, rule: rule}
	if n != nil {
		w.Line, w.Column = n.line, n.col
	}
	if k.said[w] || len(k.said) >= maxSaid {
		return
	}
	k.said[w] = true
	k.warnings = append(k.warnings, w)
}

func (k *compiler) checkVersion() {
	c := k.configuration
	if c.Version != "" && c.Version != k.manifest.Version {
		k.fail(c.place("version"), c.path("version"), fmt.Sprintf(
			"found %s, which decides what runs, and the package is version %s; install that version and give the package as %s@%s, or write %s here",
			c.Version, k.manifest.Version, k.manifest.Name, c.Version, k.manifest.Version))
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
		if wrong := v.wrong(c.Vars[v.id]); wrong != "" {
			k.fail(c.place("vars."+v.id), c.path("vars."+v.id), wrong)
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
