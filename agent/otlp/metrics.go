package otlp

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// Refused is a point that no request can carry.
type Refused struct {
	Index  int // among the points that were given
	Reason string
}

// AppendMetrics appends an ExportMetricsServiceRequest with the points, before
// compression: one resource, and one Metric for each key and form, in the
// order of first appearance, its data points in the order of the points. It
// gives back which points are not in it, with reasons that hold for good; with
// none left it appends nothing. It does not look at the limits of a request:
// that is what Fits is for.
func AppendMetrics(dst []byte, points []probes.Point, o Options) ([]byte, []Refused) {
	resource := o.resource()
	b := batch{
		points: points,
		limit:  max(MaxDimensions-len(resource), 0),
		rows:   make([]row, len(points)),
		series: make(map[form]int32, min(len(points), 1024)),
		byKey:  make(map[metricID]int32),
	}
	var refused []Refused
	for i := range points {
		if err := b.add(i); err != nil {
			refused = append(refused, Refused{i, err.Error()})
		}
	}
	if len(b.metrics) == 0 {
		return dst, refused
	}
	return b.append(dst, appendResource(nil, resource)), refused
}

// shape is what kind of data a Metric holds.
type shape uint8

const (
	gauge shape = iota
	monotonic
	upAndDown
	statistic
)

func shapeOf(p probes.Point) shape {
	switch {
	case p.Value.Form() == probes.FormSummary:
		return statistic
	case p.Series.Type() == probes.Gauge:
		return gauge
	case p.Value.Float64() < 0:
		return upAndDown
	}
	return monotonic
}

// batch is a request in the making: first it is laid out, so that the size of
// every message is known, then it is written in one go.
type batch struct {
	points  []probes.Point
	limit   int // of dimensions of a series
	rows    []row
	metrics []metric
	byKey   map[metricID]int32
	series  map[form]int32 // index in known
	known   []known
	room    []byte // where attributes are laid down

	before *probes.Series // the series whose attributes were laid down last
	field  protowire.Number
	same   []byte
}

// A block of room, and how much of it has to be left for a series.
const (
	blockSize = 64 << 10
	blockLeft = 2 << 10
)

// row is where a point stands.
type row struct {
	next  int32 // the next point of its metric, 0 for none: point 0 is the first of its own
	known int32
}

type metricID struct {
	key   string
	shape shape
}

type metric struct {
	metricID
	name        []byte
	first, last int32
	size        int // of the fields with data points
}

// form is a series as numbers or as statistics: their attributes have
// different fields.
type form struct {
	series     *probes.Series
	statistics bool
}

// known is what has been worked out for a form.
type known struct {
	attributes []byte   // as fields of a data point
	metrics    [2]int32 // its metric, and the one of deltas below zero; -1: not yet
	err        error    // why none of its points can be sent
}

// add gives a point its place.
func (b *batch) add(i int) error {
	p := b.points[i]
	if err := check(p); err != nil {
		return err
	}
	shape := shapeOf(p)
	at := b.know(form{p.Series, shape == statistic})
	k := &b.known[at]
	if k.err != nil {
		return k.err
	}
	which := &k.metrics[0]
	if shape == upAndDown {
		which = &k.metrics[1]
	}
	if *which < 0 {
		*which = b.metric(metricID{p.Series.Key(), shape})
	}
	m := &b.metrics[*which]
	if m.size == 0 {
		m.first = int32(i)
	} else {
		b.rows[m.last].next = int32(i)
	}
	m.last = int32(i)
	m.size += sizeField(sizePoint(p.Value) + len(k.attributes))
	b.rows[i].known = at
	return nil
}

// know finds a form, or lays down its attributes.
func (b *batch) know(f form) int32 {
	if at, seen := b.series[f]; seen {
		return at
	}
	field := numberAttributes
	if f.statistics {
		field = statisticAttributes
	}
	k := known{metrics: [2]int32{-1, -1}, err: checkKey(f.series.Key())}
	if k.err == nil {
		k.attributes, k.err = b.attributes(f.series, field)
	}
	at := int32(len(b.known))
	b.known = append(b.known, k)
	b.series[f] = at
	return at
}

// attributes lays down the attributes of a series. Series that come one after
// the other are often the metrics of one port, with the same dimensions.
func (b *batch) attributes(s *probes.Series, field protowire.Number) ([]byte, error) {
	if field == b.field && b.before != nil && slices.Equal(s.Dims(), b.before.Dims()) {
		return b.same, nil
	}
	if cap(b.room)-len(b.room) < blockLeft {
		b.room = make([]byte, 0, blockSize)
	}
	begin := len(b.room)
	room, err := appendAttributes(b.room, field, s, b.limit)
	if err != nil {
		return nil, err
	}
	b.room, b.before, b.field, b.same = room, s, field, room[begin:]
	return b.same, nil
}

// metric finds a metric, or begins it.
func (b *batch) metric(id metricID) int32 {
	if at, seen := b.byKey[id]; seen {
		return at
	}
	at := int32(len(b.metrics))
	b.metrics = append(b.metrics, metric{metricID: id, name: mint.AppendMetricKey(nil, id.key)})
	b.byKey[id] = at
	return at
}

// The stamps that are sent, in milliseconds.
const (
	first = int64(1e11) + 1 // 3 March 1973, as with metric lines
	last  = int64(lastMillis)
)

// check refuses what has no data point, whatever its key and dimensions.
func check(p probes.Point) error {
	if err := p.Value.Check(); err != nil {
		return err
	}
	statistics := p.Value.Form() == probes.FormSummary
	switch t := p.Series.Type(); {
	case t != probes.Gauge && t != probes.Count:
		return fmt.Errorf("series %q is neither a gauge nor a count", p.Series.Key())
	case t == probes.Count && statistics:
		return errors.New("a count takes one delta, not statistics")
	case statistics && p.Value.Summary().Count > math.MaxInt64:
		return fmt.Errorf("statistics of %d samples are more than can be counted", p.Value.Summary().Count)
	case p.Stamp.Wall < first || p.Stamp.Wall > last:
		return fmt.Errorf("timestamp %d ms is no time of a measurement: was the clock set?", p.Stamp.Wall)
	}
	return nil
}

func checkKey(key string) error {
	var room [maxKey]byte
	switch got := mint.AppendMetricKey(room[:0], key); {
	case len(got) < minKey:
		return fmt.Errorf("metric key %q has fewer than %d characters that can be sent", key, minKey)
	case len(got) > maxKey:
		return fmt.Errorf("metric key %.40q... is longer than %d characters", key, maxKey)
	case bytes.HasPrefix(got, []byte(reserved)):
		return fmt.Errorf("metric key %q begins with %q, which is reserved for Dynatrace's own metrics", key, reserved)
	}
	return nil
}

// append writes what was laid out.
func (b *batch) append(dst, resource []byte) []byte {
	metrics := 0
	for i := range b.metrics {
		metrics += sizeField(b.metrics[i].len())
	}
	dst = appendHead(dst, requestResources, sizeField(len(resource))+sizeField(metrics))
	dst = append(appendHead(dst, resourcesResource, len(resource)), resource...)
	dst = appendHead(dst, resourcesScopes, metrics)
	for i := range b.metrics {
		dst = b.appendMetric(dst, &b.metrics[i])
	}
	return dst
}

// data is the size of the message with the data points.
func (m *metric) data() int {
	switch m.shape {
	case gauge:
		return m.size
	case monotonic:
		return m.size + 4 // temporality and monotonic, two bytes each
	}
	return m.size + 2
}

// len is the size of the message Metric.
func (m *metric) len() int { return sizeField(len(m.name)) + sizeField(m.data()) }

var dataFields = [...]protowire.Number{gauge: metricGauge, monotonic: metricSum, upAndDown: metricSum, statistic: metricExponential}

func (b *batch) appendMetric(dst []byte, m *metric) []byte {
	dst = appendHead(dst, scopeItems, m.len())
	dst = append(appendHead(dst, metricName, len(m.name)), m.name...)
	dst = appendHead(dst, dataFields[m.shape], m.data())
	for i := m.first; ; i = b.rows[i].next {
		dst = appendPoint(dst, b.points[i], b.known[b.rows[i].known].attributes)
		if i == m.last {
			break
		}
	}
	if m.shape != gauge {
		dst = appendVarint(dst, dataTemporality, temporalityDelta)
	}
	if m.shape == monotonic {
		dst = appendVarint(dst, dataMonotonic, 1)
	}
	return dst
}

// sizePoint is the size of a data point without its attributes.
func sizePoint(v probes.Value) int {
	switch {
	case v.Form() != probes.FormSummary:
		return 2 * fixedField
	case threshold(v.Summary()) == 0:
		return 6 * fixedField
	}
	return 7 * fixedField
}

func appendPoint(dst []byte, p probes.Point, attributes []byte) []byte {
	dst = appendHead(dst, dataPoints, sizePoint(p.Value)+len(attributes))
	time := uint64(p.Stamp.Wall) * 1e6
	if p.Value.Form() == probes.FormSummary {
		return appendStatistic(append(dst, attributes...), p.Value.Summary(), time)
	}
	dst = appendNumber(appendFixed(dst, pointTime, time), p.Value)
	return append(dst, attributes...)
}

// appendNumber keeps whole numbers exact. An unsigned one that is too large
// for the protocol's signed integers goes as the nearest double.
func appendNumber(dst []byte, v probes.Value) []byte {
	switch {
	case v.Form() == probes.FormInt:
		return appendFixed(dst, numberInt, uint64(v.Int64()))
	case v.Form() == probes.FormUint && v.Uint64() <= math.MaxInt64:
		return appendFixed(dst, numberInt, v.Uint64())
	}
	return appendDouble(dst, numberDouble, v.Float64())
}

// appendStatistic writes the sum even where values are below zero, which the
// protocol advises against for the sake of another format: without it a
// receiver has no mean, and Dynatrace refuses the point.
func appendStatistic(dst []byte, s probes.Summary, time uint64) []byte {
	dst = appendFixed(dst, pointTime, time)
	dst = appendFixed(dst, statisticCount, s.Count)
	dst = appendDouble(dst, statisticSum, s.Sum)
	dst = appendFixed(dst, statisticZeros, s.Count)
	dst = appendDouble(dst, statisticMin, s.Min)
	dst = appendDouble(dst, statisticMax, s.Max)
	if t := threshold(s); t != 0 {
		dst = appendDouble(dst, statisticThreshold, t)
	}
	return dst
}

// threshold is how far the zero bucket reaches so that it holds every value.
func threshold(s probes.Summary) float64 { return max(math.Abs(s.Min), math.Abs(s.Max)) }
