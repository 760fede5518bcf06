package draintest

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Limits of a data point.
const (
	minOTLPKey   = 2
	maxOTLPKey   = 255
	maxOTLPValue = 255 // UTF-16 units
)

// OTLPPoint is a data point as the server understood it: a line, or why it is
// none. A count is a line with its delta, an exponential histogram a gauge
// with statistics.
type OTLPPoint struct {
	Line      Line
	Start     int64 // Unix time in ns, 0 unknown
	Whole     bool  // the number came as an integer
	Monotonic bool  // of a count
	Resource  []Dim // as sent
	Refusal   error // the server's reason, nil if the point is good
}

// ParseOTLPMetrics reads an ExportMetricsServiceRequest. An error means that
// the message is not one, fields that the protocol lacks included.
func ParseOTLPMetrics(body []byte) ([]OTLPPoint, error) {
	var points []OTLPPoint
	err := eachScope(body, func(resource []Dim, f wireField) error {
		m := metricReader{resource: resource}
		if err := m.read(f.body); err != nil {
			return err
		}
		for _, p := range m.points {
			points = append(points, m.finish(p))
		}
		return nil
	})
	return points, err
}

// eachScope walks either request down to its metrics or records.
func eachScope(body message, fn func(resource []Dim, f wireField) error) error {
	return body.each(func(f wireField) error {
		if !f.is(1, wireBytes) {
			return f.unknown("request")
		}
		var resource []Dim
		return f.body.each(func(f wireField) (err error) {
			switch {
			case f.is(1, wireBytes):
				resource, err = readResource(f.body)
				return err
			case f.is(2, wireBytes):
				return f.body.each(func(f wireField) error {
					switch {
					case f.is(2, wireBytes):
						return fn(resource, f)
					case f.is(1, wireBytes), f.is(3, wireBytes):
						return nil // scope and the URL of a schema
					}
					return f.unknown("scope")
				})
			case f.is(3, wireBytes):
				return nil
			}
			return f.unknown("resource list")
		})
	})
}

func readResource(m message) (dims []Dim, err error) {
	err = m.each(func(f wireField) error {
		if !f.is(1, wireBytes) {
			return f.unknown("resource")
		}
		a, err := readAttribute(f.body)
		dims = append(dims, Dim{Key: a.key, Value: a.text})
		return err
	})
	return dims, err
}

// attribute is a KeyValue: a text, or a number.
type attribute struct {
	key, text string
	number    string // "" for a text
}

func readAttribute(m message) (a attribute, err error) {
	err = m.each(func(f wireField) (err error) {
		switch {
		case f.is(1, wireBytes):
			a.key, err = f.text()
		case f.is(2, wireBytes):
			err = f.body.each(a.readValue)
		default:
			err = f.unknown("attribute")
		}
		return err
	})
	return a, err
}

func (a *attribute) readValue(f wireField) (err error) {
	switch {
	case f.is(1, wireBytes):
		a.text, err = f.text()
	case f.is(2, wireVarint):
		a.text = strconv.FormatBool(f.bits != 0)
	case f.is(3, wireVarint):
		a.number = strconv.FormatInt(int64(f.bits), 10)
	case f.is(4, wireFixed):
		a.number = formatDouble(f.double())
	default:
		err = f.unknown("value")
	}
	return err
}

// formatDouble writes a number as metric lines have it.
func formatDouble(v float64) string {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if strings.Contains(text, "e") && !strings.Contains(text, ".") {
		text = strings.Replace(text, "e", ".0e", 1)
	}
	return text
}

// Kinds of data, by the number of their field in Metric.
const (
	gaugeField       = 5
	sumField         = 7
	histogramField   = 9
	exponentialField = 10
	summaryField     = 11
)

// metricReader reads one Metric.
type metricReader struct {
	resource    []Dim
	name        string
	kind        int
	temporality uint64
	monotonic   bool
	points      []rawPoint
}

// rawPoint is a data point before its metric is known as a whole.
type rawPoint struct {
	dims         []Dim
	start, time  uint64
	number       string // as text
	value        float64
	whole        bool
	numbers      map[int]float64 // of an exponential histogram: sum, min, max, threshold
	count, zeros uint64
}

func (m *metricReader) read(body message) error {
	return body.each(func(f wireField) (err error) {
		switch {
		case f.is(1, wireBytes):
			m.name, err = f.text()
		case f.is(2, wireBytes), f.is(3, wireBytes): // description, unit
		case f.kind == wireBytes && (f.number == gaugeField || f.number == sumField || f.number == exponentialField):
			m.kind = f.number
			err = f.body.each(m.readData)
		case f.is(histogramField, wireBytes), f.is(summaryField, wireBytes):
			m.kind = f.number
			m.points = append(m.points, rawPoint{}) // told as one that is refused
		default:
			err = f.unknown("metric")
		}
		return err
	})
}

func (m *metricReader) readData(f wireField) error {
	switch {
	case f.is(1, wireBytes):
		p := rawPoint{numbers: map[int]float64{}}
		read := p.readNumber
		if m.kind == exponentialField {
			read = p.readExponential
		}
		err := f.body.each(read)
		m.points = append(m.points, p)
		return err
	case f.is(2, wireVarint) && m.kind != gaugeField:
		m.temporality = f.bits
	case f.is(3, wireVarint) && m.kind == sumField:
		m.monotonic = f.bits != 0
	default:
		return f.unknown("data")
	}
	return nil
}

func (p *rawPoint) readNumber(f wireField) error {
	switch {
	case f.is(7, wireBytes):
		return p.readDim(f)
	case f.is(2, wireFixed):
		p.start = f.bits
	case f.is(3, wireFixed):
		p.time = f.bits
	case f.is(4, wireFixed):
		p.value, p.number, p.whole = f.double(), formatDouble(f.double()), false
	case f.is(6, wireFixed):
		p.value, p.number, p.whole = float64(int64(f.bits)), strconv.FormatInt(int64(f.bits), 10), true
	default:
		return f.unknown("number data point")
	}
	return nil
}

func (p *rawPoint) readExponential(f wireField) error {
	switch {
	case f.is(1, wireBytes):
		return p.readDim(f)
	case f.is(2, wireFixed):
		p.start = f.bits
	case f.is(3, wireFixed):
		p.time = f.bits
	case f.is(4, wireFixed):
		p.count = f.bits
	case f.is(7, wireFixed):
		p.zeros = f.bits
	case f.kind == wireFixed && (f.number == 5 || f.number >= 12 && f.number <= 14):
		p.numbers[f.number] = f.double()
	default:
		return f.unknown("exponential histogram data point") // buckets are not expected
	}
	return nil
}

func (p *rawPoint) readDim(f wireField) error {
	a, err := readAttribute(f.body)
	if err == nil && a.number != "" {
		err = fmt.Errorf("dimension %q is not a text", a.key)
	}
	p.dims = append(p.dims, Dim{Key: a.key, Value: a.text})
	return err
}

// finish judges a point now that its metric is known.
func (m *metricReader) finish(p rawPoint) OTLPPoint {
	sort.Slice(p.dims, func(i, j int) bool { return p.dims[i].Key < p.dims[j].Key })
	out := OTLPPoint{
		Line:  Line{Key: m.name, Dims: p.dims, Type: Gauge, Timestamp: int64(p.time / 1e6)},
		Start: int64(p.start), Whole: p.whole, Resource: m.resource,
	}
	err := m.fill(&out, p)
	for _, judge := range []func() error{
		func() error { return checkOTLPKey(m.name) },
		func() error { return checkOTLPDims(p.dims, m.resource) },
		func() error {
			if p.time == 0 || p.start > p.time {
				return errors.New("TIMESTAMP_INVALID: no time, or a start after it")
			}
			return nil
		},
	} {
		if err == nil {
			err = judge()
		}
	}
	out.Refusal = err
	if err != nil {
		out.Refusal = fmt.Errorf("metric dropped: %q - Reason: %w", m.name, err)
	}
	return out
}

const delta = 1

// fill sets type, payload and numbers of the line.
func (m *metricReader) fill(out *OTLPPoint, p rawPoint) error {
	l := &out.Line
	switch m.kind {
	case gaugeField:
		l.Payload, l.Stats = "gauge,"+p.number, Stats{p.value, p.value, p.value, 1}
		return finite(p.number, p.value)
	case sumField:
		l.Type, l.Payload, l.Delta, out.Monotonic = Count, "count,delta="+p.number, p.value, m.monotonic
		switch {
		case m.temporality != delta:
			return errors.New("UNSUPPORTED_METRIC_TYPE_MONOTONIC_CUMULATIVE_SUM")
		case m.monotonic && p.value < 0:
			return errors.New("VALUE_INVALID: a monotonic sum fell")
		}
		return finite(p.number, p.value)
	case exponentialField:
		return m.fillStatistics(l, p)
	}
	return errors.New("UNSUPPORTED_METRIC_TYPE")
}

func finite(text string, values ...float64) error {
	if text == "" {
		return errors.New("VALUE_INVALID: no value")
	}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("VALUE_INVALID: %v", v)
		}
	}
	return nil
}

func (m *metricReader) fillStatistics(l *Line, p rawPoint) error {
	sum, hasSum := p.numbers[5]
	low, hasMin := p.numbers[12]
	high, hasMax := p.numbers[13]
	l.Stats = Stats{Min: low, Max: high, Sum: sum, Count: int64(p.count)}
	l.Payload = fmt.Sprintf("gauge,min=%s,max=%s,sum=%s,count=%d", formatDouble(low), formatDouble(high), formatDouble(sum), p.count)
	switch {
	case m.temporality != delta:
		return errors.New("UNSUPPORTED_METRIC_TYPE_CUMULATIVE_HISTOGRAM")
	case !hasSum || !hasMin || !hasMax:
		return errors.New("HISTOGRAM_INVALID: no sum, min or max")
	case p.count == 0 || p.count > math.MaxInt64 || p.count != p.zeros:
		return errors.New("HISTOGRAM_INVALID: the buckets do not hold count")
	case low > high || max(math.Abs(low), math.Abs(high)) > p.numbers[14]:
		return errors.New("HISTOGRAM_BUCKET_INVALID: values lie outside of the buckets")
	}
	return finite("statistics", low, high, sum)
}

func checkOTLPKey(key string) error {
	switch {
	case len(key) < minOTLPKey || len(key) > maxOTLPKey:
		return fmt.Errorf("METRIC_KEY_INVALID: %d characters", len(key))
	case strings.HasPrefix(key, "dt."):
		return errors.New("METRIC_KEY_INVALID: the prefix is reserved")
	case !isLetter(key[0]) && key[0] != '_', strings.Contains(key, ".."), strings.HasSuffix(key, "."):
		return errors.New("METRIC_KEY_INVALID: a section is empty, or the first character no letter")
	}
	for i := range len(key) {
		if c := key[i]; !isLetter(c) && !isDigit(c) && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("METRIC_KEY_INVALID: the character %q would become an underscore", c)
		}
	}
	return nil
}

// checkOTLPDims takes the resource's attributes for dimensions too.
func checkOTLPDims(dims, resource []Dim) error {
	if len(dims)+len(resource) > maxDimensions {
		return errors.New("DIMENSION_COUNT_EXCEEDED")
	}
	for i, d := range dims {
		if d.Key == "" || d.Value == "" {
			return errors.New("DIMENSION_KEY_OR_VALUE_EMPTY")
		}
		if err := checkDimKey(d.Key); err != nil || strings.Contains(d.Key, ":") {
			return fmt.Errorf("DIMENSION_KEY_INVALID: %q", d.Key)
		}
		if len(utf16.Encode([]rune(d.Value))) > maxOTLPValue {
			return fmt.Errorf("DIMENSION_VALUE_TOO_LONG: %q", d.Key)
		}
		if i > 0 && dims[i-1].Key == d.Key {
			return fmt.Errorf("DIMENSION_KEY_TWICE: %q", d.Key)
		}
	}
	return nil
}
