package collectortest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/probes"
)

const (
	stamp    = int64(1_767_225_600_123)
	protobuf = "application/x-protobuf"
	owner    = ` service.name="edgehold" service.version="1.2.3" site="plant-7"`
)

var options = otlp.Options{Version: "1.2.3", Resource: []probes.Dimension{{Key: "site", Value: "plant-7"}}, Observed: stamp + 7}

// value is a number of any form, edges first.
func value(rng *rand.Rand, typ probes.Type) probes.Value {
	edges := []probes.Value{
		probes.Int(math.MinInt64), probes.Int(-1), probes.Int(0), probes.Uint(math.MaxInt64), probes.Uint(math.MaxUint64),
		probes.Float(math.MaxFloat64), probes.Float(math.SmallestNonzeroFloat64), probes.Float(-0.5), probes.Float(0),
	}
	switch n := rng.IntN(20); {
	case n < len(edges):
		return edges[n]
	case n < 15 || typ == probes.Count && n%2 == 0:
		return probes.Uint(rng.Uint64N(math.MaxInt64))
	case typ == probes.Count:
		return probes.Float(rng.Float64())
	}
	low := rng.NormFloat64()
	return probes.Summarize(probes.Summary{Min: low, Max: low + rng.Float64(), Sum: low * 3, Count: 1 + rng.Uint64N(1e6)})
}

// meant is a point as it should come out, on one line.
func meant(p probes.Point) string {
	var b strings.Builder
	form := map[bool]string{true: "sum delta monotonic", false: "sum delta"}[p.Value.Float64() >= 0]
	switch {
	case p.Value.Form() == probes.FormSummary:
		form = "exponential delta"
	case p.Series.Type() == probes.Gauge:
		form = "gauge"
	}
	fmt.Fprintf(&b, "%s %s", p.Series.Key(), form)
	for _, d := range p.Series.Dims() {
		fmt.Fprintf(&b, " %s=%q", d.Key, d.Value)
	}
	v := p.Value
	switch {
	case v.Form() == probes.FormSummary:
		s := v.Summary()
		fmt.Fprintf(&b, " %v %v %v %d of %d within %v", s.Min, s.Max, s.Sum, s.Count, s.Count, max(math.Abs(s.Min), math.Abs(s.Max)))
	case v.Form() == probes.FormInt:
		fmt.Fprintf(&b, " int %d", v.Int64())
	case v.Form() == probes.FormUint && v.Uint64() <= math.MaxInt64:
		fmt.Fprintf(&b, " int %d", v.Uint64())
	default:
		fmt.Fprintf(&b, " double %v", v.Float64())
	}
	fmt.Fprintf(&b, " at %d000000", p.Stamp.Wall)
	return b.String()
}

// came gives the points of a file, each on one line.
func came(t *testing.T, path string) (lines []string) {
	t.Helper()
	for _, r := range requests(t, path) {
		for _, rm := range r.ResourceMetrics {
			if got := attributes(rm.Resource.Attributes); got != owner {
				t.Errorf("resource is%s", got)
			}
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					lines = append(lines, m.lines(t)...)
				}
			}
		}
	}
	return lines
}

func (m metric) lines(t *testing.T) (lines []string) {
	t.Helper()
	var d *data
	form := "gauge"
	switch {
	case m.Histogram != nil || m.Summary != nil:
		t.Fatalf("%s is of a form that is not sent", m.Name)
	case m.Gauge != nil:
		d = m.Gauge
	case m.Sum != nil:
		d, form = m.Sum, "sum"
	default:
		d, form = m.ExponentialHistogram, "exponential"
	}
	if d.AggregationTemporality == 1 {
		form += " delta"
	}
	if d.IsMonotonic {
		form += " monotonic"
	}
	for _, p := range d.DataPoints {
		if p.StartTimeUnixNano != "" && p.StartTimeUnixNano != "0" {
			t.Errorf("%s starts at %s", m.Name, p.StartTimeUnixNano)
		}
		v := ""
		switch {
		case p.AsInt != nil:
			v = "int " + *p.AsInt
		case p.AsDouble != nil:
			v = "double " + number(p.AsDouble)
		default:
			v = fmt.Sprintf("%s %s %s %s of %s within %s", number(p.Min), number(p.Max), number(p.Sum), p.ZeroCount, p.Count, number(p.ZeroThreshold))
		}
		lines = append(lines, fmt.Sprintf("%s %s%s %s at %s", m.Name, form, attributes(p.Attributes), v, p.TimeUnixNano))
	}
	return lines
}

func TestE2EMetricsThroughTheCollector(t *testing.T) {
	c := start(t, "")
	rng := rand.New(rand.NewPCG(7, 1))
	var series []*probes.Series
	for i := range 200 {
		dims := []probes.Dimension{{Key: "site", Value: "plant-7"}, {Key: "if.name", Value: fmt.Sprint("Gi0/", i)}, {Key: "alias", Value: "Zürich \"€\"\\" + strings.Repeat("x", rng.IntN(200))}}
		series = append(series, probes.NewSeries(fmt.Sprintf("network.metric_%d", i%7), []probes.Type{probes.Gauge, probes.Count}[i%2], dims...))
	}
	var want []string
	for i := range 20 {
		var points []probes.Point
		for range 500 {
			s := series[rng.IntN(len(series))]
			p := probes.Point{Series: s, Value: value(rng, s.Type()), Stamp: probes.Stamp{Wall: stamp + rng.Int64N(1e9)}}
			points, want = append(points, p), append(want, meant(p))
		}
		request, refused := otlp.AppendMetrics(nil, points, options)
		status, body := post(t, c.url+"/v1/metrics", request, i%2 == 0, protobuf)
		rejected, message, err := otlp.ParseMetricsAnswer(body)
		if len(refused) > 0 || status != 200 || rejected != 0 || message != "" || err != nil {
			t.Fatalf("refused %v, status %d, answer %d %q %v", refused, status, rejected, message, err)
		}
	}
	c.stop()
	equal(t, came(t, c.metrics), want)
}

// equal compares two sets of lines, each line counted.
func equal(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if len(got) != len(want) {
		t.Errorf("%d came, %d were sent", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("came\n%s\nsent\n%s", got[i], want[i])
		}
	}
}

func TestE2ELogsThroughTheCollector(t *testing.T) {
	c := start(t, "")
	rng := rand.New(rand.NewPCG(7, 2))
	severities := map[string]int{"": 0, "TRACE": 1, "DEBUG": 5, "INFO": 9, "NOTICE": 10, "WARN": 13, "ERROR": 17, "CRITICAL": 18, "ALERT": 19, "EMERGENCY": 21, "odd": 0}
	var words []string
	for word := range severities {
		words = append(words, word)
	}
	var want []string
	for i := range 10 {
		var records []probes.Record
		for range 200 {
			r := probes.Record{Stamp: probes.Stamp{Wall: stamp + rng.Int64N(1e9)}, Severity: words[rng.IntN(len(words))], Content: strings.Repeat("Zeile \n\t", rng.IntN(30))}
			line := fmt.Sprintf("at %d000000 seen %d000000 %d %q %q", r.Stamp.Wall, options.Observed, severities[r.Severity], r.Severity, r.Content)
			for j := range rng.IntN(5) {
				d := probes.Dimension{Key: fmt.Sprint("key.", j), Value: fmt.Sprint("ü", rng.Uint64())}
				r.Attributes = append(r.Attributes, d)
				line += fmt.Sprintf(" %s=%q", d.Key, d.Value)
			}
			r.Numbers = []probes.Number{{Key: "whole", Value: probes.Int(int64(rng.Uint64()))}, {Key: "part", Value: probes.Float(rng.NormFloat64())}}
			line += fmt.Sprintf(" whole=int %d part=double %v", r.Numbers[0].Value.Int64(), r.Numbers[1].Value.Float64())
			records, want = append(records, r), append(want, line)
		}
		status, body := post(t, c.url+"/v1/logs", otlp.AppendLogs(nil, records, options), i%2 == 0, protobuf)
		if rejected, message, err := otlp.ParseLogsAnswer(body); status != 200 || rejected != 0 || err != nil {
			t.Fatalf("status %d, answer %d %q %v", status, rejected, message, err)
		}
	}
	c.stop()
	var got []string
	for _, r := range requests(t, c.logs) {
		for _, rl := range r.ResourceLogs {
			if got := attributes(rl.Resource.Attributes); got != owner+` log.source="edgehold"` {
				t.Errorf("resource is%s", got)
			}
			for _, l := range rl.ScopeLogs[0].LogRecords {
				text := ""
				if l.Body.StringValue != nil {
					text = *l.Body.StringValue
				}
				got = append(got, fmt.Sprintf("at %s seen %s %d %q %q%s", l.TimeUnixNano, l.ObservedTimeUnixNano, l.SeverityNumber, l.SeverityText, text, attributes(l.Attributes)))
			}
		}
	}
	equal(t, got, want)
}

// TestE2ERefusalsOfTheCollector reads the errors that it answers with.
func TestE2ERefusalsOfTheCollector(t *testing.T) {
	c := start(t, "")
	good, _ := otlp.AppendMetrics(nil, []probes.Point{{Series: probes.NewSeries("some.key", probes.Gauge), Value: probes.Int(1), Stamp: probes.Stamp{Wall: stamp}}}, options)
	if status, body := post(t, c.url+"/v1/metrics", good[:len(good)-3], false, protobuf); status != 400 {
		t.Errorf("a request that is cut: %d %q", status, body)
	} else if code, message, err := otlp.ParseStatus(body); code != 3 || message == "" || err != nil {
		t.Errorf("a request that is cut: %d %q %v", code, message, err)
	}
	if status, _ := post(t, c.url+"/v1/metrics", good, false, "text/plain"); status != 415 {
		t.Errorf("another type: %d", status)
	}
	if status, _ := post(t, c.url+"/v1/nothing", good, false, protobuf); status != 404 {
		t.Errorf("another path: %d", status)
	}
	c.stop()

	// A Collector that has no memory left refuses for now.
	full := start(t, "memory_limiter")
	status, body := 0, []byte(nil)
	for deadline := time.Now().Add(10 * time.Second); status != 503 && time.Now().Before(deadline); {
		status, body = post(t, full.url+"/v1/metrics", good, true, protobuf)
	}
	if code, message, err := otlp.ParseStatus(body); status != 503 || code != 14 || message == "" || err != nil {
		t.Errorf("a full Collector: %d %d %q %v", status, code, message, err)
	}
}
