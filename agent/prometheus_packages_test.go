package agent

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/prometheus"
)

// exposedPackages are public packages with a prometheus part, and one of our own.
var exposedPackages = []string{
	"dynatrace-extensions__haproxy-prometheus/src/extension.yaml",
	"Philipose__extension-hashicorp-vault/src/extension.yaml",
	"vuldin__redpanda-dynatrace-extension/extension/extension.yaml",
	"dynatrace-extensions__prometheus-vscode-example/extension/extension.yaml",
	"Dynatrace__perform-2022-hotday/extensions-as-code/prometheus-demo-extension/extension/extension.yaml",
	"dynatrace-extensions__dynatrace-extensions-vscode/test/unit/test_data/manifests/prometheus_extension.yaml",
}

const ownExposedPackage = `
name: custom:own.exposed
version: 1.0.0
vars: [{id: zone, type: text, displayName: Zone}]
prometheus:
  - group: g
    featureSet: gs
    interval: {minutes: 1}
    dimensions:
      - {key: team, value: plain words}
      - {key: instance.name, value: "label:instance", filter: "const:$or($eq(v1),$suffix(2))"}
    metrics:
      - {key: own.temperature, value: "metric:temperature"}
      - {key: own.requests, value: "metric:requests_total", type: count}
    subgroups:
      - subgroup: s
        dimensions:
          - {key: team, value: "const:other"}
          - {key: z, value: "label:zone", filter: "const:$and($prefix(v),$not($contains(1)))"}
        metrics:
          - {key: own.latency, value: "metric:latency_seconds", type: histogram}
          - {key: own.gc, value: "metric:gc_seconds", type: summary}
`

// exporter is a server of expositions that are made from a manifest by the
// tests' own simple reading of it.
type exporter struct {
	series []exposedSample
	moved  atomic.Bool
}

// exposedSample is one line: its value is first, and first+step once moved.
type exposedSample struct {
	name        string
	labels      map[string]string
	first, step float64
}

func (e *exporter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, s := range e.series {
		value := s.first
		if e.moved.Load() {
			value += s.step
		}
		var labels []string
		for key, text := range s.labels {
			labels = append(labels, fmt.Sprintf("%s=%q", key, text))
		}
		fmt.Fprintf(w, "%s{%s} %s\n", s.name, strings.Join(labels, ","), strconv.FormatFloat(value, 'g', -1, 64))
	}
	_, _ = io.WriteString(w, "unasked_for 1\n")
}

// simpleLevel is a group or subgroup as YAML has it.
type simpleLevel struct {
	Dimensions []struct{ Key, Value, Filter string }
	Metrics    []struct{ Key, ID, Value, Type string }
	Subgroups  []simpleLevel
}

type simpleManifest struct{ Prometheus []simpleLevel }

// labelsOf are the labels that the dimensions of some levels name, with one that
// none does.
func labelsOf(levels ...simpleLevel) []string {
	all := map[string]bool{"undeclared": true}
	for _, l := range levels {
		for _, d := range l.Dimensions {
			if name, ok := strings.CutPrefix(d.Value, "label:"); ok && name != "le" && name != "quantile" {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// series makes four samples of each part of a metric. The values of the first
// labels are 0, those of the others v1, v2 and so on.
func (e *exporter) add(name, typ string, labels []string) {
	parts := []struct{ suffix, label, text string }{{}}
	switch typ {
	case "histogram":
		parts = []struct{ suffix, label, text string }{{"_bucket", "le", "0.5"}, {"_bucket", "le", "+Inf"}, {"_sum", "", ""}, {"_count", "", ""}}
	case "summary":
		parts = []struct{ suffix, label, text string }{{"", "quantile", "0.9"}, {"_sum", "", ""}, {"_count", "", ""}}
	}
	for i, part := range parts {
		for n := range 4 {
			s := exposedSample{name: name + part.suffix, labels: map[string]string{}, first: float64(100*len(name) + 10*n + i), step: float64(n) + 0.25*float64(i+1)}
			for _, l := range labels {
				s.labels[l] = "v" + strconv.Itoa(n)
				if n == 0 {
					s.labels[l] = "0"
				}
			}
			if part.label != "" {
				s.labels[part.label] = part.text
			}
			if !slices.ContainsFunc(e.series, func(o exposedSample) bool { return o.name == s.name && maps.Equal(o.labels, s.labels) }) {
				e.series = append(e.series, s)
			}
		}
	}
}

// fill makes the samples that a manifest asks for.
func (e *exporter) fill(m simpleManifest) {
	for _, g := range m.Prometheus {
		for _, l := range append([]simpleLevel{{Metrics: g.Metrics}}, g.Subgroups...) {
			for _, metric := range l.Metrics {
				e.add(strings.TrimPrefix(metric.Value, "metric:"), metric.Type, labelsOf(g, l))
			}
		}
	}
}

var simpleCall = regexp.MustCompile(`^\$(\w+)\((.*)\)$`)

// passes is a second, simple reading of a filter.
func passes(t *testing.T, filter, value string) bool {
	m := simpleCall.FindStringSubmatch(filter)
	if m == nil {
		t.Fatalf("the simple reader does not know the filter %q", filter)
	}
	var parts []string
	depth, start := 0, 0
	for i, c := range m[2] + "," {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, m[2][start:i])
			start = i + 1
		}
	}
	switch m[1] {
	case "eq":
		return value == m[2]
	case "prefix":
		return strings.HasPrefix(value, m[2])
	case "suffix":
		return strings.HasSuffix(value, m[2])
	case "contains":
		return strings.Contains(value, m[2])
	case "not":
		return !passes(t, m[2], value)
	case "and":
		return !slices.ContainsFunc(parts, func(p string) bool { return !passes(t, p, value) })
	}
	return slices.ContainsFunc(parts, func(p string) bool { return passes(t, p, value) })
}

// lines are those that a manifest asks for of the samples of the exporter.
func (e *exporter) lines(t *testing.T, m simpleManifest, endpoint string, counts bool) []string {
	var all []string
	for _, g := range m.Prometheus {
		for _, l := range append([]simpleLevel{{Metrics: g.Metrics}}, g.Subgroups...) {
			for _, metric := range l.Metrics {
				key := metric.Key + metric.ID
				for _, s := range e.series {
					kind, as := simpleKind(strings.TrimPrefix(metric.Value, "metric:"), metric.Type, key, s)
					if kind == "" || kind == "count" && !counts {
						continue
					}
					dims, ok := simpleDims(t, s, endpoint, g, l)
					if !ok {
						continue
					}
					payload := "gauge," + number(s.first+s.step)
					if !counts {
						payload = "gauge," + number(s.first)
					}
					if kind == "count" {
						payload = "count,delta=" + number(s.step)
					}
					all = append(all, as+dims+" "+payload)
				}
			}
		}
	}
	sort.Strings(all)
	return all
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// simpleKind says what a sample is to a metric, "" where it is nothing.
func simpleKind(name, typ, key string, s exposedSample) (kind, as string) {
	switch typ + " " + strings.TrimPrefix(s.name, name) {
	case "gauge ", " ":
		return "gauge", key
	case "count ":
		return "count", key
	case "histogram _count", "summary _count":
		return "count", key + "_count"
	case "histogram _sum", "summary _sum":
		return "count", key + "_sum.count"
	case "histogram _bucket":
		return "count", key + "_bucket.count"
	case "summary ":
		return "gauge", key
	}
	return "", ""
}

// simpleDims are the dimensions of a line, false where a filter keeps it back.
func simpleDims(t *testing.T, s exposedSample, endpoint string, levels ...simpleLevel) (string, bool) {
	dims := maps.Clone(s.labels)
	dims["activation_endpoint"] = endpoint
	declared := map[string]string{}
	for _, l := range levels {
		for _, d := range l.Dimensions {
			declared[d.Key] = d.Value + "\x00" + d.Filter
		}
	}
	for key, text := range declared {
		value, filter, _ := strings.Cut(text, "\x00")
		if name, ok := strings.CutPrefix(value, "label:"); ok {
			value = s.labels[name]
		}
		value = strings.TrimPrefix(value, "const:")
		if filter != "" && !passes(t, strings.TrimPrefix(filter, "const:"), value) {
			return "", false
		}
		if value != "" {
			dims[key] = value
		}
	}
	text := ""
	for _, key := range slices.Sorted(maps.Keys(dims)) {
		text += "," + key + "=" + strings.ReplaceAll(dims[key], " ", `\ `)
	}
	return text, true
}

// TestE2EExposedPackages runs packages with a prometheus part, unmodified,
// against an exporter whose counters move by known steps, and compares each line
// with one worked out by a second, simple reading of manifest and samples.
func TestE2EExposedPackages(t *testing.T) {
	t.Run("own", func(t *testing.T) { runExposed(t, []byte(ownExposedPackage)) })
	dir := filepath.Join(corpus(t), "extensions")
	for _, name := range exposedPackages {
		t.Run(strings.SplitN(name, "/", 2)[0], func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			runExposed(t, data)
		})
	}
}

func runExposed(t *testing.T, manifest []byte) {
	var simple simpleManifest
	if err := yaml.Unmarshal(manifest, &simple); err != nil {
		t.Fatal(err)
	}
	e := &exporter{}
	e.fill(simple)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	tasks := exposedTasks(t, manifest, server.URL+"/metrics")
	clock := &stepClock{now: probes.Stamp{Uptime: time.Hour, Wall: 1_767_225_600_000}}
	first := pollExposed(t, tasks(clock))
	compareLines(t, first, e.lines(t, simple, server.URL+"/metrics", false))
	e.moved.Store(true)
	clock.now.Uptime += time.Minute
	second := pollExposed(t, tasks(clock))
	want := e.lines(t, simple, server.URL+"/metrics", true)
	compareLines(t, second, want)
	if len(want) < 4 {
		t.Errorf("only %d lines", len(want))
	}
}

type stepClock struct{ now probes.Stamp }

func (c *stepClock) Now() probes.Stamp { return c.now }

// exposedTasks compiles the package with all of its feature sets and makes its
// tasks, once.
func exposedTasks(t *testing.T, manifest []byte, url string) func(probes.Clock) []probes.Task {
	t.Helper()
	m, warnings, err := extension.ParseManifest(fstest.MapFS{"extension.yaml": {Data: manifest}}, "p")
	if err != nil {
		t.Fatal(err)
	}
	configuration := fmt.Sprintf(`[{"scope": "ag_group-x", "value": {"enabled": true, "featureSets": ["all"], "prometheusRemote": {"endpoints": [
		{"url": %q, "authentication": {"scheme": "none"}, "advanced": {"collectHistogramBuckets": true, "timeoutSecs": 50}}]}}}]`, url) // a busy machine may take longer than the usual ten
	all, err := extension.ParseConfiguration([]byte(configuration), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	p, more, err := extension.Compile(m, all[0], extension.CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range append(warnings, more...) {
		t.Errorf("a remark on a public package: %s", w)
	}
	endpoints, err := all[0].ScrapeEndpoints(nil)
	if err != nil {
		t.Fatal(err)
	}
	var tasks []probes.Task
	return func(clock probes.Clock) []probes.Task {
		if tasks == nil {
			if tasks, err = prometheus.Tasks(p, endpoints, prometheus.TaskOptions{Config: "c"}, probes.Deps{Clock: clock, Log: zerolog.Nop()}); err != nil {
				t.Fatal(err)
			}
		}
		return tasks
	}
}

func pollExposed(t *testing.T, tasks []probes.Task) []string {
	t.Helper()
	var lines []string
	for _, task := range tasks {
		began := time.Now()
		batch, err := task.Probe.Poll(t.Context())
		if err != nil {
			t.Errorf("%s after %s: %s: %v; %+v", task.Label, time.Since(began), probes.StatusOf(err), err, task.Probe.(*prometheus.Probe).PollStats())
		}
		for _, p := range batch.Points {
			line, err := mint.AppendLine(nil, p)
			if err != nil {
				t.Error(err)
			}
			lines = append(lines, string(line[:strings.LastIndexByte(string(line), ' ')]))
		}
	}
	sort.Strings(lines)
	return lines
}

func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	for _, line := range want {
		if _, found := slices.BinarySearch(got, line); !found {
			t.Errorf("missing  %s", line)
		}
	}
	for _, line := range got {
		if _, found := slices.BinarySearch(want, line); !found {
			t.Errorf("unwanted %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}
