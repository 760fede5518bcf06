package oracle

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/edgehold/edgehold/agent/otlp"
	"github.com/edgehold/edgehold/probes"
)

const stamp = int64(1_767_225_600_123)

var options = otlp.Options{Version: "1.2.3", Resource: []probes.Dimension{{Key: "site", Value: "plant-7"}}, Observed: stamp + 7}

func dim(k, v string) probes.Dimension { return probes.Dimension{Key: k, Value: v} }

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func attributes(dims []probes.Dimension) (list []*common.KeyValue) {
	for _, d := range dims {
		list = append(list, text(d.Key, d.Value))
	}
	return list
}

func wantResource(more ...*common.KeyValue) *resource.Resource {
	return &resource.Resource{Attributes: append([]*common.KeyValue{
		text("service.name", "edgehold"), text("service.version", "1.2.3"), text("site", "plant-7"),
	}, more...)}
}

// same fails where a message differs from the one that was expected, or holds
// what its type does not know.
func same(t *testing.T, body []byte, got, want proto.Message) {
	t.Helper()
	if err := (proto.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(body, got); err != nil {
		t.Fatalf("the generated types refuse %x: %v", body, err)
	}
	if !proto.Equal(got, want) {
		t.Fatal(difference(prototext.Format(got), prototext.Format(want)))
	}
}

// difference shows the first line that differs, and what stands around it.
func difference(got, want string) string {
	read, meant := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(read), len(meant)) {
		if read[i] != meant[i] {
			from, to := max(i-10, 0), min(i+3, len(read), len(meant))
			return fmt.Sprintf("line %d: read\n%s\nwant\n%s", i, strings.Join(read[from:to], "\n"), strings.Join(meant[from:to], "\n"))
		}
	}
	return fmt.Sprintf("read %d lines, want %d", len(read), len(meant))
}

// expected builds the request that the points are meant to become, from the
// generated types. It knows nothing of how the names are normalised: the points
// have names that are.
func expected(points []probes.Point) *colmetrics.ExportMetricsServiceRequest {
	var list []*metrics.Metric
	find := func(name string, is func(*metrics.Metric) bool) *metrics.Metric {
		for _, m := range list {
			if m.Name == name && is(m) {
				return m
			}
		}
		list = append(list, &metrics.Metric{Name: name})
		return list[len(list)-1]
	}
	for _, p := range points {
		key, time := p.Series.Key(), uint64(p.Stamp.Wall)*1_000_000
		if p.Value.Form() == probes.FormSummary {
			m := find(key, func(m *metrics.Metric) bool { return m.GetExponentialHistogram() != nil })
			if m.Data == nil {
				m.Data = &metrics.Metric_ExponentialHistogram{ExponentialHistogram: &metrics.ExponentialHistogram{
					AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA,
				}}
			}
			h := m.GetExponentialHistogram()
			h.DataPoints = append(h.DataPoints, statistic(p, time))
			continue
		}
		number := &metrics.NumberDataPoint{Attributes: attributes(p.Series.Dims()), TimeUnixNano: time}
		setNumber(number, p.Value)
		if p.Series.Type() == probes.Gauge {
			m := find(key, func(m *metrics.Metric) bool { return m.GetGauge() != nil })
			if m.Data == nil {
				m.Data = &metrics.Metric_Gauge{Gauge: &metrics.Gauge{}}
			}
			m.GetGauge().DataPoints = append(m.GetGauge().DataPoints, number)
			continue
		}
		up := p.Value.Float64() >= 0
		m := find(key, func(m *metrics.Metric) bool { return m.GetSum() != nil && m.GetSum().IsMonotonic == up })
		if m.Data == nil {
			m.Data = &metrics.Metric_Sum{Sum: &metrics.Sum{
				AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, IsMonotonic: up,
			}}
		}
		m.GetSum().DataPoints = append(m.GetSum().DataPoints, number)
	}
	return &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource: wantResource(), ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: list}},
	}}}
}

func setNumber(p *metrics.NumberDataPoint, v probes.Value) {
	switch {
	case v.Form() == probes.FormInt:
		p.Value = &metrics.NumberDataPoint_AsInt{AsInt: v.Int64()}
	case v.Form() == probes.FormUint && v.Uint64() <= math.MaxInt64:
		p.Value = &metrics.NumberDataPoint_AsInt{AsInt: int64(v.Uint64())}
	default:
		p.Value = &metrics.NumberDataPoint_AsDouble{AsDouble: v.Float64()}
	}
}

func statistic(p probes.Point, time uint64) *metrics.ExponentialHistogramDataPoint {
	s := p.Value.Summary()
	return &metrics.ExponentialHistogramDataPoint{
		Attributes: attributes(p.Series.Dims()), TimeUnixNano: time, Count: s.Count, ZeroCount: s.Count,
		Sum: proto.Float64(s.Sum), Min: proto.Float64(s.Min), Max: proto.Float64(s.Max), ZeroThreshold: max(math.Abs(s.Min), math.Abs(s.Max)),
	}
}

// value is a number of any form, edges first.
func value(rng *rand.Rand, typ probes.Type) probes.Value {
	edges := []probes.Value{
		probes.Int(math.MinInt64), probes.Int(-1), probes.Int(0), probes.Uint(0), probes.Uint(math.MaxInt64), probes.Uint(math.MaxInt64 + 1),
		probes.Uint(math.MaxUint64), probes.Float(math.MaxFloat64), probes.Float(math.SmallestNonzeroFloat64), probes.Float(-0.5), probes.Float(math.Copysign(0, -1)),
	}
	switch n := rng.IntN(20); {
	case n < len(edges):
		return edges[n]
	case n < 14:
		return probes.Uint(rng.Uint64())
	case n < 17 || typ == probes.Count:
		return probes.Float(rng.NormFloat64() * 1e6)
	}
	low := rng.NormFloat64()
	return probes.Summarize(probes.Summary{Min: low, Max: low + rng.Float64(), Sum: low * 3, Count: 1 + rng.Uint64N(math.MaxInt64)})
}

func TestMetricsDecodeToWhatWasMeant(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for round := range 800 {
		var series []*probes.Series
		for i := range 1 + rng.IntN(8) {
			typ := []probes.Type{probes.Gauge, probes.Count}[rng.IntN(2)]
			var dims []probes.Dimension
			for j := range rng.IntN(12) {
				dims = append(dims, dim(fmt.Sprintf("d%02d.%s", j, strings.Repeat("k", 1+rng.IntN(90))), strings.Repeat("ü€v", 1+rng.IntN(40))))
			}
			series = append(series, probes.NewSeries(fmt.Sprintf("some.metric_%d%s", rng.IntN(4), strings.Repeat("x", i*30)), typ, dims...))
		}
		var points []probes.Point
		for range 1 + rng.IntN(200) {
			s := series[rng.IntN(len(series))]
			points = append(points, probes.Point{Series: s, Value: value(rng, s.Type()), Stamp: probes.Stamp{Wall: stamp + rng.Int64N(1e9)}})
		}
		body, refused := otlp.AppendMetrics(nil, points, options)
		if len(refused) > 0 {
			t.Fatalf("round %d: refused %v", round, refused)
		}
		same(t, body, &colmetrics.ExportMetricsServiceRequest{}, expected(points))
	}
}

// TestMetricsAsText shows one request in full.
func TestMetricsAsText(t *testing.T) {
	const want = `resource_metrics{resource{attributes{key:"service.name" value{string_value:"edgehold"}} attributes{key:"service.version" value{string_value:"1.2.3"}} attributes{key:"site" value{string_value:"plant-7"}}}
scope_metrics{
metrics{name:"temp" gauge{data_points{time_unix_nano:1767225600123000000 as_double:21.5 attributes{key:"rack" value{string_value:"a"}}} data_points{time_unix_nano:1767225600124000000 as_int:22 attributes{key:"rack" value{string_value:"a"}}}}}
metrics{name:"packets" sum{data_points{time_unix_nano:1767225600123000000 as_int:5} aggregation_temporality:AGGREGATION_TEMPORALITY_DELTA is_monotonic:true}}
metrics{name:"packets" sum{data_points{time_unix_nano:1767225600124000000 as_int:-5} aggregation_temporality:AGGREGATION_TEMPORALITY_DELTA}}
metrics{name:"temp" exponential_histogram{data_points{attributes{key:"rack" value{string_value:"a"}} time_unix_nano:1767225600125000000 count:6 zero_count:6 sum:-3 min:-4 max:2.5 zero_threshold:4} aggregation_temporality:AGGREGATION_TEMPORALITY_DELTA}}
}}`
	temp, packets := probes.NewSeries("temp", probes.Gauge, dim("rack", "a")), probes.NewSeries("packets", probes.Count)
	var points []probes.Point
	for _, p := range []struct {
		s  *probes.Series
		v  probes.Value
		at int64
	}{
		{temp, probes.Float(21.5), 0},
		{temp, probes.Int(22), 1},
		{packets, probes.Uint(5), 0},
		{packets, probes.Int(-5), 1},
		{temp, probes.Summarize(probes.Summary{Min: -4, Max: 2.5, Sum: -3, Count: 6}), 2},
	} {
		points = append(points, probes.Point{Series: p.s, Value: p.v, Stamp: probes.Stamp{Wall: stamp + p.at}})
	}
	var request colmetrics.ExportMetricsServiceRequest
	if err := prototext.Unmarshal([]byte(want), &request); err != nil {
		t.Fatal(err)
	}
	body, _ := otlp.AppendMetrics(nil, points, options)
	same(t, body, &colmetrics.ExportMetricsServiceRequest{}, &request)
}

func TestLogsDecodeToWhatWasMeant(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 3))
	numbers := map[string]logs.SeverityNumber{
		"TRACE": logs.SeverityNumber_SEVERITY_NUMBER_TRACE, "DEBUG": logs.SeverityNumber_SEVERITY_NUMBER_DEBUG, "INFO": logs.SeverityNumber_SEVERITY_NUMBER_INFO,
		"NOTICE": logs.SeverityNumber_SEVERITY_NUMBER_INFO2, "warn": logs.SeverityNumber_SEVERITY_NUMBER_WARN, "ERROR": logs.SeverityNumber_SEVERITY_NUMBER_ERROR,
		"CRITICAL": logs.SeverityNumber_SEVERITY_NUMBER_ERROR2, "ALERT": logs.SeverityNumber_SEVERITY_NUMBER_ERROR3, "FATAL": logs.SeverityNumber_SEVERITY_NUMBER_FATAL,
		"": 0, "odd": 0,
	}
	var words []string
	for word := range numbers {
		words = append(words, word)
	}
	for range 2000 {
		var records []probes.Record
		var want []*logs.LogRecord
		for range 1 + rng.IntN(20) {
			r := probes.Record{Stamp: probes.Stamp{Wall: stamp + rng.Int64N(1e9)}, Severity: words[rng.IntN(len(words))], Content: strings.Repeat("ä line\n", rng.IntN(40))}
			if rng.IntN(4) == 0 {
				r.Stamp.Wall = 0
			}
			w := &logs.LogRecord{
				TimeUnixNano: uint64(r.Stamp.Wall) * 1_000_000, ObservedTimeUnixNano: uint64(options.Observed) * 1_000_000,
				SeverityNumber: numbers[r.Severity], SeverityText: r.Severity,
				Body: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: r.Content}},
			}
			for j := range rng.IntN(6) {
				r.Attributes = append(r.Attributes, dim(fmt.Sprint("key ", j), strings.Repeat("v", 1+rng.IntN(300))))
				v := value(rng, probes.Count)
				r.Numbers = append(r.Numbers, probes.Number{Key: fmt.Sprint("number", j), Value: v})
			}
			w.Attributes = append(attributes(r.Attributes), wantNumbers(r.Numbers)...)
			records, want = append(records, r), append(want, w)
		}
		same(t, otlp.AppendLogs(nil, records, options), &collogs.ExportLogsServiceRequest{}, &collogs.ExportLogsServiceRequest{
			ResourceLogs: []*logs.ResourceLogs{{Resource: wantResource(text("log.source", "edgehold")), ScopeLogs: []*logs.ScopeLogs{{LogRecords: want}}}},
		})
	}
}

func wantNumbers(numbers []probes.Number) (list []*common.KeyValue) {
	for _, n := range numbers {
		v := &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: n.Value.Float64()}}
		if n.Value.Form() == probes.FormInt || n.Value.Form() == probes.FormUint && n.Value.Uint64() <= math.MaxInt64 {
			v.Value = &common.AnyValue_IntValue{IntValue: n.Value.Int64()}
		}
		list = append(list, &common.KeyValue{Key: n.Key, Value: v})
	}
	return list
}

// TestAnswersAreRead has the generated types write answers.
func TestAnswersAreRead(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 2000 {
		n, message := rng.Int64()>>rng.IntN(64), strings.Repeat("wörds ", rng.IntN(40))
		for _, c := range []struct {
			answer proto.Message
			parse  func([]byte) (int64, string, error)
		}{
			{&colmetrics.ExportMetricsServiceResponse{PartialSuccess: &colmetrics.ExportMetricsPartialSuccess{RejectedDataPoints: n, ErrorMessage: message}}, otlp.ParseMetricsAnswer},
			{&collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: n, ErrorMessage: message}}, otlp.ParseLogsAnswer},
		} {
			body, err := proto.Marshal(c.answer)
			if err != nil {
				t.Fatal(err)
			}
			if rejected, word, err := c.parse(body); rejected != n || word != message || err != nil {
				t.Fatalf("%v is read as %d, %q, %v", c.answer, rejected, word, err)
			}
		}
		code := int32(rng.Uint32())
		body, err := proto.Marshal(&rpcstatus.Status{Code: code, Message: message})
		if err != nil {
			t.Fatal(err)
		}
		if got, word, err := otlp.ParseStatus(body); got != code || word != message || err != nil {
			t.Fatalf("status %d is read as %d, %q, %v", code, got, word, err)
		}
	}
}

// TestParsersAgree gives both sides random bytes that look like answers: where
// the generated types read one, so does Edgehold, and the same.
func TestParsersAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	read := 0
	for range 100_000 {
		body, err := proto.Marshal(&colmetrics.ExportMetricsServiceResponse{PartialSuccess: &colmetrics.ExportMetricsPartialSuccess{RejectedDataPoints: rng.Int64N(300), ErrorMessage: "words"}})
		if err != nil {
			t.Fatal(err)
		}
		for range rng.IntN(3) {
			body[rng.IntN(len(body))] = byte(rng.IntN(256))
		}
		var answer colmetrics.ExportMetricsServiceResponse
		if proto.Unmarshal(body, &answer) != nil || answer.PartialSuccess.GetRejectedDataPoints() < 0 {
			continue
		}
		n, message, err := otlp.ParseMetricsAnswer(body)
		if err != nil {
			// A known field of another type is passed over there, and no answer here.
			continue
		}
		read++
		if n != answer.PartialSuccess.GetRejectedDataPoints() || message != answer.PartialSuccess.GetErrorMessage() {
			t.Fatalf("%x is read as %d, %q and by the types as %v", body, n, message, &answer)
		}
	}
	if read < 25_000 {
		t.Errorf("only %d answers were read by both", read)
	}
}
