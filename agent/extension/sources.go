package extension

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
)

// dataSource is one data source that runs here: a node of extension.yaml, the
// parts of a monitoring configuration that go with it, and what becomes of
// both. All of it is pure.
type dataSource struct {
	name string   // key of the node in extension.yaml
	keys []string // keys of its parts in a monitoring configuration

	// manifest reads the node, which is given, into a field of m. It says what is
	// wrong with p.fail and p.warn. Of p it uses what all sources share: items,
	// object, key, featureSet, interval, filter, and declared for variables.
	manifest func(p *manifestParser, o object, m *Manifest)
	// configuration reads one part, into a field of c. Secrets are taken out of
	// the tree at once, and c.secrets is set where the file holds one itself.
	configuration func(r *reader, part value, c *Configuration)
	// compile fills its field of made. k.runs tells whether a feature set is
	// chosen, k.vars holds the variables, k.filter a variable as a filter. Each
	// metric is given to k.describe.
	compile func(k *compiler, made *plan.Plan)

	// asks says what the node would read, for permissions; nil: hosts and device
	// files are looked for in all of its texts.
	asks func(a *asks, root *node)
	// targets lists what the part of a configuration reaches; nil: nothing.
	targets func(c Configuration) []Target
}

// dataSources are the data sources that run here. To add one: a row here; a
// file of its own with the type of the node (a field of Manifest), that of the
// part (a field of Configuration) and the functions of the row; its type in
// probes/plan (a field of plan.Plan); and the key of the node in manifestKeys.
func dataSources() []dataSource {
	return []dataSource{
		{
			name: "snmp", keys: []string{"snmp"},
			manifest: snmpManifest, configuration: snmpConfiguration, compile: compileSNMP,
			asks: snmpAsks, targets: snmpTargets,
		},
		{
			name: "prometheus", keys: prometheusKeys,
			manifest: prometheusManifest, configuration: prometheusConfiguration, compile: compilePrometheus,
			targets: prometheusTargets,
		},
		{
			name: "snmptraps", keys: []string{"snmptraps"},
			manifest: trapsManifest, configuration: trapsConfiguration, compile: compileTraps,
		},
		{
			name: "http", keys: []string{"http"},
			manifest: httpManifest, configuration: httpConfiguration, compile: compileHTTP,
			asks: httpAsks, targets: httpTargets,
		},
	}
}

// sourceNames lists the data sources that run here.
func sourceNames() []string {
	var names []string
	for _, s := range dataSources() {
		names = append(names, s.name)
	}
	return names
}

// nodesOf lists the data sources that run here and that a manifest has.
func nodesOf(root *node) []dataSource {
	return slices.DeleteFunc(dataSources(), func(s dataSource) bool {
		n := root.field(s.name)
		return n == nil || n.kind == kindNull
	})
}

// sourceAt finds the data source of a node of a manifest.
func sourceAt(node string) (dataSource, bool) {
	all := dataSources()
	at := slices.IndexFunc(all, func(s dataSource) bool { return s.name == node })
	if at < 0 {
		return dataSource{}, false
	}
	return all[at], true
}

// partKeys lists the parts that a configuration may have.
func partKeys() []string {
	var keys []string
	for _, s := range dataSources() {
		keys = append(keys, s.keys...)
	}
	return keys
}

// inWords joins names for a sentence.
func inWords(names []string, last string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	end := len(names) - 1
	return strings.Join(names[:end], ", ") + " " + last + " " + names[end]
}
