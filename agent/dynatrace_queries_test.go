package agent

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

var (
	queryText   = regexp.MustCompile(`"[^"]*"`)
	queryDotted = regexp.MustCompile(`\b[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+`)
	queryKey    = regexp.MustCompile(`\b(?:sum|avg|min|max|count)\(\s*([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+)`)
	queryBy     = regexp.MustCompile(`by: \{([^}]*)\}`)
	queryIn     = regexp.MustCompile(`in\(([a-z.]+), \$`)
)

// shownQueries are all queries of the dashboards and of the manual, by their
// place.
func shownQueries(t *testing.T) map[string]string {
	t.Helper()
	queries := map[string]string{}
	for _, d := range readShownManifest(t).Documents.Dashboards {
		var board shownDashboard
		readShown(t, d.Path, &board, false)
		for id, tile := range board.Tiles {
			if tile.Type == "data" {
				queries[d.Path+" tile "+id+" "+tile.Title] = tile.Query
			}
		}
		for _, v := range board.Variables {
			queries[d.Path+" variable "+v.Key] = v.Input
		}
	}
	for i, text := range shownBlocks(t, "dql") {
		queries[fmt.Sprintf("%s query %d", shownPage, i+1)] = text
	}
	return queries
}

// shownBlocks are the blocks of the manual in a language.
func shownBlocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	page, err := os.ReadFile(shownPage)
	if err != nil {
		t.Fatal(err)
	}
	rest := string(page)
	for {
		_, after, found := strings.Cut(rest, "\n```"+language+"\n")
		if !found {
			return blocks
		}
		block, more, _ := strings.Cut(after, "\n```")
		blocks, rest = append(blocks, block), more
	}
}

// Every name in a query is that of a metric, of a dimension that the metrics
// of the query have, of an attribute of a log record or of a field of a node.
func shownNames(t *testing.T, points []probes.Point) {
	pipeline, lines := readShownPipeline(t, "metrics"), linesOf(t, points)
	pipeline.topologyOf(t, lines)
	dims := dimensionsOf(lines)
	nodeFields := map[string]bool{"name": true, "id": true}
	for _, x := range pipeline.processors() {
		if n := x.SmartscapeNode; n != nil {
			nodeFields[n.NodeIDFieldName] = true
			for _, e := range n.FieldsToExtract {
				nodeFields[e.FieldName] = true
			}
		}
	}
	records := logRecords(t)
	for place, query := range shownQueries(t) {
		known := map[string]bool{}
		switch {
		case strings.HasPrefix(query, "fetch logs"):
			for _, f := range records {
				maps.Copy(known, dimensionsOf([]fields{f})[""])
			}
		case strings.HasPrefix(query, "smartscape"):
			known = maps.Clone(nodeFields)
		default:
			known = dimensionsInQuery(t, place, query, dims)
		}
		for _, name := range queryDotted.FindAllString(queryText.ReplaceAllString(query, ""), -1) {
			if !known[name] {
				t.Errorf("%s: nothing has %s", place, name)
			}
		}
	}
}

// dimensionsOf tells the dimensions of each metric.
func dimensionsOf(lines []fields) map[string]map[string]bool {
	dims := map[string]map[string]bool{}
	for _, f := range lines {
		key := f["metric.key"]
		if dims[key] == nil {
			dims[key] = map[string]bool{}
		}
		for name := range f {
			dims[key][name] = true
		}
	}
	return dims
}

// dimensionsInQuery checks what a timeseries is split and filtered by, and tells
// which names may stand in the query.
func dimensionsInQuery(t *testing.T, place, query string, dims map[string]map[string]bool) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	keys := queryKey.FindAllStringSubmatch(query, -1)
	if !strings.HasPrefix(query, "timeseries") || len(keys) == 0 {
		t.Errorf("%s: no metric in %s", place, query)
	}
	var split []string
	for _, by := range queryBy.FindAllStringSubmatch(query, -1) {
		split = append(split, strings.Split(strings.ReplaceAll(by[1], " ", ""), ",")...)
	}
	for _, in := range queryIn.FindAllStringSubmatch(query, -1) {
		split = append(split, in[1])
	}
	for _, match := range keys {
		key := match[1]
		known[key] = true
		if dims[key] == nil {
			t.Errorf("%s: no line of the test has the metric %s", place, key)
			continue
		}
		for _, name := range split {
			if known[name] = true; !dims[key][name] {
				t.Errorf("%s: %s has no dimension %s", place, key, name)
			}
		}
	}
	return known
}

var selectorForm = regexp.MustCompile(`^([a-z0-9_.]+)(?::filter\(eq\("([a-z.]+)","([A-Z_]+)"\)\))?:splitBy\(([^)]*)\)(?::(?:max|min))?(?::default\(0\))?$`)

// An alert selects a gauge that is sent, is split by dimensions that it has and
// by entities that the package declares.
func shownAlerts(t *testing.T, points []probes.Point) {
	m := readShownManifest(t)
	dims := dimensionsOf(linesOf(t, points))
	ids := map[string]bool{}
	for _, file := range m.Alerts {
		var a shownAlert
		readShown(t, file.Path, &a, true)
		match := selectorForm.FindStringSubmatch(a.MetricSelector)
		if match == nil {
			t.Errorf("%s: the selector %s is not understood", file.Path, a.MetricSelector)
			continue
		}
		key := match[1]
		at := slices.IndexFunc(points, func(p probes.Point) bool { return p.Series.Key() == key })
		if at < 0 || points[at].Series.Type() != probes.Gauge { // the key of a count differs in the classic store
			t.Errorf("%s: %s is no gauge that is sent", file.Path, key)
		}
		if match[2] != "" && (!dims[key][match[2]] || match[3] != string(probes.StatusDeviceConnectionError)) {
			t.Errorf("%s: nothing fits the filter %s of %s", file.Path, match[2], match[3])
		}
		split := strings.Split(strings.ReplaceAll(match[4], `"`, ""), ",")
		for _, name := range split {
			kind, isEntity := strings.CutPrefix(name, "dt.entity.")
			declared := slices.ContainsFunc(m.Topology.Types, func(x shownType) bool { return x.Name == kind })
			if isEntity && !declared || !isEntity && !dims[key][name] {
				t.Errorf("%s: %s has no dimension %s", file.Path, key, name)
			}
		}
		if !slices.Contains(split, a.PrimaryDimensionKey) || ids[a.ID] || len(a.ID) != 36 || a.Name == "" || a.Description == "" || !a.Enabled {
			t.Errorf("%s: not sound: %+v", file.Path, a)
		}
		ids[a.ID] = true
		checkThreshold(t, file.Path, a)
	}
}

func checkThreshold(t *testing.T, place string, a shownAlert) {
	t.Helper()
	s := a.MonitoringStrategy
	if s.Type != "STATIC_THRESHOLD" || s.shownThreshold != a.shownThreshold || a.EventType != a.Severity {
		t.Errorf("%s: said twice, and not the same: %+v", place, a)
	}
	if s.ViolatingSamples < 1 || s.ViolatingSamples > s.Samples || s.DealertingSamples > s.Samples || s.Samples > 60 {
		t.Errorf("%s: %d of %d samples, %d to end", place, s.ViolatingSamples, s.Samples, s.DealertingSamples)
	}
	if s.AlertCondition != "ABOVE" && s.AlertCondition != "BELOW" {
		t.Errorf("%s: condition %q", place, s.AlertCondition)
	}
}

var placeholder = regexp.MustCompile(`\{([a-z.]+)\}`)

// The rules of the classic entities take lines that are sent, with all that
// their patterns need; relations are between known types.
func shownClassicTopology(t *testing.T, points []probes.Point) {
	lines := linesOf(t, points)
	topology := readShownManifest(t).Topology
	known := []string{"network:device"} // of SNMP Autodiscovery
	for _, kind := range topology.Types {
		known = append(known, kind.Name)
		entities := map[string]bool{}
		for _, r := range kind.Rules {
			for _, s := range r.Sources {
				for _, f := range s.lines(t, lines) {
					id := placeholder.ReplaceAllStringFunc(r.IDPattern, func(p string) string { return f[p[1:len(p)-1]] })
					entities[id] = true
					for _, a := range r.Attributes {
						if f[strings.Trim(a.Pattern, "{}")] == "" {
							t.Errorf("%s: no %s in %v", kind.Name, a.Pattern, f)
						}
					}
				}
			}
			if !strings.Contains(r.InstanceNamePattern, "{site}") || len(r.RequiredDimensions) != 1 || r.RequiredDimensions[0].Key != "site" {
				t.Errorf("%s: a line without site would make an entity: %+v", kind.Name, r)
			}
		}
		want := "edgehold_" + strings.TrimPrefix(kind.Name, "edgehold:") + "_" + shownSite
		if len(entities) != 1 || !entities[want] || !kind.Enabled {
			t.Errorf("%s: entities %v, want %s", kind.Name, entities, want)
		}
	}
	for _, r := range topology.Relationships {
		if !slices.Contains(known, r.FromType) || !slices.Contains(known, r.ToType) || !r.Enabled || r.TypeOfRelation != "CHILD_OF" {
			t.Errorf("relation %+v", r)
		}
		for _, s := range r.Sources {
			s.lines(t, lines)
		}
	}
}

// lines are those that a source takes. One that takes none is an error.
func (s shownSource) lines(t *testing.T, all []fields) (taken []fields) {
	t.Helper()
	prefix, is := strings.CutPrefix(s.Condition, "$prefix(")
	for _, f := range all {
		if is && strings.HasPrefix(f["metric.key"], strings.TrimSuffix(prefix, ")")) {
			taken = append(taken, f)
		}
	}
	if len(taken) == 0 || s.SourceType != "Metrics" {
		t.Errorf("%+v takes no line", s)
	}
	return taken
}

// The routing entries of the manual take what a gateway sends, and leave what
// others send.
func shownRouting(t *testing.T, points []probes.Point) {
	blocks := shownBlocks(t, "matcher")
	if len(blocks) != 2 {
		t.Fatalf("%s has %d matchers, want one for metrics and one for logs", shownPage, len(blocks))
	}
	metrics, logs := mustMatcher(t, blocks[0]), mustMatcher(t, blocks[1])
	for _, f := range linesOf(t, points) {
		if !metrics.fits(f) {
			t.Errorf("%v is not routed", f)
		}
		delete(f, "site")
		if strings.HasPrefix(f["metric.key"], "com.") && metrics.fits(f) {
			t.Errorf("%v of somebody else is routed", f)
		}
	}
	for _, f := range []fields{
		{"metric.key": "cpu.load", "site": "x"},
		{"metric.key": "com.dynatrace.extension.snmp-generic-device.if.in", "site": "x"},
	} {
		if metrics.fits(f) {
			t.Errorf("%v of somebody else is routed", f)
		}
	}
	for _, f := range logRecords(t) {
		if !logs.fits(f) {
			t.Errorf("the record %v is not routed", f)
		}
	}
	for _, f := range []fields{{"log.source": "syslog", "site": "x"}, {"log.source": "snmptraps"}} { // the last is of the vendor's own
		if logs.fits(f) {
			t.Errorf("the record %v of somebody else is routed", f)
		}
	}
}
