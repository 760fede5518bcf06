package extension

import (
	"fmt"
	"slices"
)

// The keys of the vendor's schema. Those that only the environment uses are
// known too, so that they give no warning.
var (
	manifestKeys = append([]string{
		"name", "version", "minDynatraceVersion", "minEECVersion", "author", "vars", "metrics",
		"featureSetsMetadata", "topology", "screens", "dashboards", "alerts", "documents", "logMetrics",
		"logEvents", "logProcessingRules", "openpipeline", "openPipeline", "smartscape", "smartscapeTopology",
		"snmp",
	}, foreignSources()...)
	variableKeys = []string{
		"id", "displayName", "description", "type", "maxLength", "required", "defaultValue", "pattern",
		"availableValues",
	}
	groupKeys     = []string{"group", "interval", "featureSet", "dimensions", "metrics", "subgroups"}
	subgroupKeys  = []string{"subgroup", "table", "interval", "featureSet", "dimensions", "metrics"}
	intervalKeys  = []string{"minutes"}
	dimensionKeys = []string{"key", "id", "value", "filter"}
	metricKeys    = []string{"key", "id", "value", "type", "featureSet", "interval"}
)

// The keys that only profiles may use beside those of the vendor's schema.
var (
	profileFileKeys  = []string{"profile", "dimensions"}
	ownSubgroupKeys  = []string{"rows", "highspeed", "discontinuity", "identity"}
	ownSourceKeys    = []string{"fallback", "join"}
	ownDimensionKeys = append([]string{"enum", "text", "unless"}, ownSourceKeys...)
	ownMetricKeys    = append([]string{
		"signed", "na", "divisor", "multiplier", "offset", "parse", "scale", "precision", "units", "states", "ticks",
	}, ownSourceKeys...)
)

// keys adds the keys that only profiles may use.
func (p *manifestParser) keys(known, own []string) []string {
	if !p.own {
		return known
	}
	return slices.Concat(known, own)
}

// foreign are the data sources that are not run here, and why.
var foreign = []struct{ name, reason string }{
	{"prometheus", later},
	{"snmptraps", later},
	{"python", "its code needs the vendor's Python engine"},
	{"wmi", "it needs Windows"},
	{"jmx", "it needs a Java agent in the monitored process"},
	{"statsd", "it belongs to the vendor's host agent"},
	{"sqlOracle", database},
	{"sqlServer", database},
	{"sqlMySql", database},
	{"sqlPostgres", database},
	{"sqlDb2", database},
	{"sqlHana", database},
	{"sqlSnowflake", database},
	{"sqlJdbc", database},
}

const (
	later    = "not in this version"
	database = "it needs database drivers"
)

func foreignSources() []string {
	names := make([]string, len(foreign))
	for i, f := range foreign {
		names[i] = f.name
	}
	return names
}

// UnsupportedError says that a package is sound but collects with something
// that this agent does not have.
type UnsupportedError struct {
	File       string
	DataSource string
	Reason     string
}

// Error names the data source and why it cannot run.
func (e *UnsupportedError) Error() string {
	if e.Reason == later {
		return fmt.Sprintf("%s: this data source is not in this version: %s; only snmp packages run here", e.File, e.DataSource)
	}
	return fmt.Sprintf("%s: this data source cannot run here: %s (%s); only snmp packages run here",
		e.File, e.DataSource, e.Reason)
}

// checkSource refuses a package that has no snmp part.
func checkSource(root *node, file string) error {
	if root.kind != kindMap {
		return fmt.Errorf("%s:%d:%d: found %s, expected an object with name, version and snmp", file, root.line, root.col, root.what())
	}
	if snmp := root.field("snmp"); snmp != nil && snmp.kind != kindNull {
		return nil
	}
	for _, f := range foreign {
		if root.field(f.name) != nil {
			return &UnsupportedError{File: file, DataSource: f.name, Reason: f.reason}
		}
	}
	return fmt.Errorf("%s: the package has no data source, expected the key snmp with a list of groups", file)
}

// The limits of the vendor's environment. A package beyond them would not be
// accepted there.
const (
	maxGroups, maxSubgroups       = 10, 10
	maxLevelMetrics, maxLevelDims = 100, 25
	maxMetrics                    = 500
)

func (p *manifestParser) checkLimits(m *Manifest) {
	p.limit("snmp", "groups", len(m.groups), maxGroups)
	total := 0
	for i, g := range m.groups {
		path := fmt.Sprintf("snmp[%d]", i)
		p.limit(path, "subgroups", len(g.subgroups), maxSubgroups)
		p.limitLevel(path, &g.level)
		total += len(g.metrics)
		for j := range g.subgroups {
			p.limitLevel(fmt.Sprintf("%s.subgroups[%d]", path, j), &g.subgroups[j])
			total += len(g.subgroups[j].metrics)
		}
	}
	p.limit("snmp", "metrics in all", total, maxMetrics)
}

func (p *manifestParser) limitLevel(path string, l *level) {
	p.limit(path, "metrics", len(l.metrics), maxLevelMetrics)
	p.limit(path, "dimensions", len(l.dims), maxLevelDims)
}

func (p *manifestParser) limit(path, what string, n, most int) {
	if n > most {
		p.warn(nil, path, fmt.Sprintf("%d %s, the environment accepts at most %d", n, what, most))
	}
}
