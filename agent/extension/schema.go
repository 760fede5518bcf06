package extension

import "slices"

// The keys of the vendor's schema. Those that only the environment uses are
// known too, so that they give no warning.
var (
	manifestKeys = append([]string{
		"name", "version", "minDynatraceVersion", "minEECVersion", "author", "vars", "metrics",
		"featureSetsMetadata", "topology", "screens", "dashboards", "alerts", "documents", "logMetrics",
		"logEvents", "logProcessingRules", "openpipeline", "openPipeline", "smartscape", "smartscapeTopology",
		"snmp", "prometheus", "snmptraps", "http",
	}, notHere()...)
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

// The limits of the vendor's environment. A package beyond them would not be
// accepted there.
const (
	maxGroups, maxSubgroups       = 10, 10
	maxLevelMetrics, maxLevelDims = 100, 25
	maxMetrics                    = 500
	maxDevices                    = 20_000
	maxConfigurations             = 100
	maxDescription                = 500 // characters
)
