package otlp

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of the messages, by message. See opentelemetry-proto 1.x.
const (
	requestResources    protowire.Number = 1 // ExportMetricsServiceRequest, ExportLogsServiceRequest
	resourcesResource   protowire.Number = 1 // ResourceMetrics, ResourceLogs
	resourcesScopes     protowire.Number = 2
	scopeItems          protowire.Number = 2 // ScopeMetrics, ScopeLogs
	resourceAttributes  protowire.Number = 1 // Resource
	keyValueKey         protowire.Number = 1 // KeyValue
	keyValueValue       protowire.Number = 2
	anyString           protowire.Number = 1 // AnyValue
	anyInt              protowire.Number = 3
	anyDouble           protowire.Number = 4
	metricName          protowire.Number = 1 // Metric
	metricGauge         protowire.Number = 5
	metricSum           protowire.Number = 7
	metricExponential   protowire.Number = 10
	dataPoints          protowire.Number = 1 // Gauge, Sum, ExponentialHistogram
	dataTemporality     protowire.Number = 2 // Sum, ExponentialHistogram
	dataMonotonic       protowire.Number = 3 // Sum
	pointTime           protowire.Number = 3 // NumberDataPoint, ExponentialHistogramDataPoint
	numberDouble        protowire.Number = 4 // NumberDataPoint
	numberInt           protowire.Number = 6
	numberAttributes    protowire.Number = 7
	statisticAttributes protowire.Number = 1 // ExponentialHistogramDataPoint
	statisticCount      protowire.Number = 4
	statisticSum        protowire.Number = 5
	statisticZeros      protowire.Number = 7
	statisticMin        protowire.Number = 12
	statisticMax        protowire.Number = 13
	statisticThreshold  protowire.Number = 14
	logTime             protowire.Number = 1 // LogRecord
	logSeverity         protowire.Number = 2
	logSeverityText     protowire.Number = 3
	logBody             protowire.Number = 5
	logAttributes       protowire.Number = 6
	logObserved         protowire.Number = 11
	answerPartial       protowire.Number = 1 // ExportMetricsServiceResponse, ExportLogsServiceResponse
	partialRejected     protowire.Number = 1
	partialMessage      protowire.Number = 2
	statusCode          protowire.Number = 1 // google.rpc.Status
	statusMessage       protowire.Number = 2

	temporalityDelta = 1
)

// fixedField is how long a field of eight bytes is; all such fields are
// numbered below 16, so that the tag is one byte.
const fixedField = 9

// sizeField is how long a field with n bytes is, its number below 16.
func sizeField(n int) int { return 1 + protowire.SizeBytes(n) }

// appendHead appends what stands before the n bytes of a field.
func appendHead(dst []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(append(dst, byte(protowire.EncodeTag(field, protowire.BytesType))), uint64(n))
}

func appendFixed(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(append(dst, byte(protowire.EncodeTag(field, protowire.Fixed64Type))), v)
}

func appendDouble(dst []byte, field protowire.Number, f float64) []byte {
	return appendFixed(dst, field, math.Float64bits(f))
}

func appendVarint(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(append(dst, byte(protowire.EncodeTag(field, protowire.VarintType))), v)
}

// nano turns milliseconds into the protocol's nanoseconds; 0 is "unknown".
func nano(ms int64) uint64 {
	if ms <= 0 || ms > lastMillis {
		return 0
	}
	return uint64(ms) * 1e6
}

// lastMillis is the last time that receivers hold in signed nanoseconds: 2262.
const lastMillis = math.MaxInt64 / 1_000_000
