// Package otlp writes measurements and log records as the requests of the
// OpenTelemetry protocol (binary protobuf over HTTP), and reads the answers.
// It is pure: values in, bytes out.
//
// Names and limits are those of Dynatrace's OTLP endpoint, which are at or
// under what other receivers take. What it would change or refuse is changed
// or refused here, since it tells how many points it refused and never which.
//
// How a point travels:
//
//   - A gauge is a Gauge with one number, whole numbers exact.
//   - A count is a Sum with delta temporality, monotonic. A delta below zero
//     goes into a Sum of the same name that is not monotonic: both are counts
//     to Dynatrace, and no receiver is told that a counter only grows when it
//     does not.
//   - Statistics are an ExponentialHistogram with delta temporality whose zero
//     bucket reaches to the largest value: it holds min, max, sum and count and
//     claims nothing else. Dynatrace stores these four as a gauge, under the
//     same key as the gauges of one number. It would store a histogram with
//     explicit buckets under another key, with ".histogram" behind it.
//
// Deltas have no start time. A point does not keep when its delta began, and
// none ("unknown") is what every receiver takes; a start on some points only
// would make converters to cumulative sums drop those without.
package otlp

// The limits of one request. The documentation counts before compression.
const (
	MaxPoints     = 15_000    // data points of a metrics request
	MaxBytes      = 4_000_000 // of a metrics request
	MaxRecords    = 50_000    // records of a logs request
	MaxLogBytes   = 2_000_000 // of a logs request; other pages say 10 MB
	MaxDimensions = 50        // of a data point, the attributes of the resource included
)

// The limits of names, in bytes: keys are ASCII, and nothing says how the
// characters of values are counted.
const (
	minKey            = 2
	maxKey            = 255
	maxDimensionKey   = 100
	maxDimensionValue = 255
	// reserved is the prefix of the vendor's own metric keys.
	reserved = "dt."
)
