package export

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// OpenMetrics wants the samples of a family side by side, within it those of
// each metric, and their times going up; the store gives the order of time. So
// the points are sorted first, through a file beside the output: sorted runs
// are written while the store is read, once, and merged into the text. Passes
// over the store, one for each family, would need no such file, but as many
// reads as there are families, and a running agent's store changes between
// them. Memory is bounded by the run and by the number of series.

// The metrics that one series becomes: its values, or the parts of statistics.
var partSuffixes = [...]string{"", "_min", "_max", "_sum", "_count"}

// metric is one time series of the text.
type metric struct {
	family uint32
	labels string // with braces, "" where there are none
}

// family is the metrics with one name.
type family struct {
	name, help string
}

// metrics gives numbers to what becomes metrics, in the order of appearance,
// so that the same points in the same order give the same text.
type metrics struct {
	series   map[[16]byte]*[len(partSuffixes)]uint32 // number of the metric + 1, 0: none yet
	list     []metric
	families []family
	byName   map[string]uint32
	taken    map[string]bool // family number and labels
}

func newMetrics() *metrics {
	return &metrics{series: map[[16]byte]*[len(partSuffixes)]uint32{}, byName: map[string]uint32{}, taken: map[string]bool{}}
}

// number finds or makes the metric of one part of a series; fresh says which.
func (m *metrics) number(s *probes.Series, part int) (number uint32, fresh bool) {
	parts := m.series[s.ID()]
	if parts == nil {
		parts = new([len(partSuffixes)]uint32)
		m.series[s.ID()] = parts
	}
	if parts[part] == 0 {
		m.add(s, part)
		parts[part] = uint32(len(m.list))
		fresh = true
	}
	return parts[part] - 1, fresh
}

func (m *metrics) add(s *probes.Series, part int) {
	name := metricName(s.Key()) + partSuffixes[part]
	f, ok := m.byName[name]
	if !ok {
		f = uint32(len(m.families))
		m.byName[name] = f
		m.families = append(m.families, family{name, helpText(s)})
	}
	labels := labelSet(s.Dims())
	if m.taken[identity(f, labels)] { // another key or type has become the same name
		labels = labelSet(append(slices.Clip(s.Dims()), probes.Dimension{Key: "edgehold_key", Value: s.Key()}, probes.Dimension{Key: "edgehold_type", Value: s.Type().String()}))
	}
	m.taken[identity(f, labels)] = true
	m.list = append(m.list, metric{f, labels})
}

func identity(family uint32, labels string) string {
	return strconv.FormatUint(uint64(family), 10) + labels
}

// rank orders metrics: by family, then by their own number.
func (m *metrics) rank(number uint32) uint64 {
	return uint64(m.list[number].family)<<32 | uint64(number)
}

func helpText(s *probes.Series) string {
	text := "gauge " + s.Key()
	if s.Type() == probes.Count {
		text = "what the counter " + s.Key() + " grew by since the sample before"
	}
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(text, "\uFFFD"))
}

// metricName puts an underscore for every character that a name may not have.
func metricName(key string) string { return cleanName(key, true) }

// labelName is a name without a colon; two leading underscores are reserved.
func labelName(key string) string {
	name := cleanName(key, false)
	for strings.HasPrefix(name, "__") {
		name = name[1:]
	}
	return name
}

func cleanName(text string, colon bool) string {
	var b strings.Builder
	for _, r := range text {
		digit := r >= '0' && r <= '9'
		switch {
		case digit && b.Len() == 0:
			b.WriteByte('_')
			b.WriteRune(r)
		case digit, r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', colon && r == ':':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// labelSet writes labels in the order of the dimensions. Where two keys become
// one name, the later in that order gets a number: a.b="1" a_b="2" is
// a_b="1",a_b_2="2".
func labelSet(dims []probes.Dimension) string {
	if len(dims) == 0 {
		return ""
	}
	used := make(map[string]bool, len(dims))
	b := []byte{'{'}
	for i, d := range dims {
		name := labelName(d.Key)
		for n := 2; used[name]; n++ {
			name = strings.TrimSuffix(labelName(d.Key), "_") + "_" + strconv.Itoa(n)
		}
		used[name] = true
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), `="`...)
		b = append(appendLabelValue(b, d.Value), '"')
	}
	return string(append(b, '}'))
}

func appendLabelValue(b []byte, value string) []byte {
	for _, r := range value { // bytes that are no UTF-8 come as U+FFFD
		switch r {
		case '\\', '"':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}

// appendSeconds writes milliseconds as seconds, exactly.
func appendSeconds(b []byte, ms int64) []byte {
	b = strconv.AppendInt(b, ms/1000, 10)
	return append(b, '.', byte('0'+ms%1000/100), byte('0'+ms%100/10), byte('0'+ms%10))
}

// omText writes sorted samples as text.
type omText struct {
	metrics *metrics
	family  int64 // of the last sample, -1 at the start
	out     *bufio.Writer
	line    []byte
}

func newText(m *metrics, w io.Writer) *omText {
	return &omText{metrics: m, family: -1, out: bufio.NewWriterSize(w, 256<<10)}
}

func (t *omText) sample(s sample) error {
	m := t.metrics.list[s.metric]
	f := t.metrics.families[m.family]
	b := t.line[:0]
	if int64(m.family) != t.family {
		t.family = int64(m.family)
		b = fmt.Appendf(b, "# TYPE %s gauge\n# HELP %s %s\n", f.name, f.name, f.help)
	}
	b = append(append(append(b, f.name...), m.labels...), ' ')
	b = append(appendValue(b, s.value()), ' ')
	b = append(appendSeconds(b, s.ms), '\n')
	t.line = b
	_, err := t.out.Write(b)
	return err
}

func (t *omText) end() error {
	if _, err := t.out.WriteString("# EOF\n"); err != nil {
		return err
	}
	return t.out.Flush()
}

// sample is one value of one metric; form and bits are those of a value.
type sample struct {
	bits   uint64
	ms     int64
	metric uint32
	form   probes.Form
}

func sampleOf(metric uint32, ms int64, v probes.Value) sample {
	s := sample{ms: ms, metric: metric, form: v.Form()}
	switch v.Form() {
	case probes.FormInt:
		s.bits = uint64(v.Int64())
	case probes.FormUint:
		s.bits = v.Uint64()
	default:
		s.form, s.bits = probes.FormFloat, math.Float64bits(v.Float64())
	}
	return s
}

func (s sample) value() probes.Value {
	switch s.form {
	case probes.FormInt:
		return probes.Int(int64(s.bits))
	case probes.FormUint:
		return probes.Uint(s.bits)
	}
	return probes.Float(math.Float64frombits(s.bits))
}

// samplesOf gives the parts of a point.
func samplesOf(p probes.Point, fn func(part int, v probes.Value)) {
	if p.Value.Form() != probes.FormSummary {
		fn(0, p.Value)
		return
	}
	s := p.Value.Summary()
	for i, v := range []probes.Value{probes.Float(s.Min), probes.Float(s.Max), probes.Float(s.Sum), probes.Uint(s.Count)} {
		fn(i+1, v)
	}
}

// spillPage is what a page becomes in the spill file: new series first, and
// runs when enough samples have come together. clean says that no sample of
// this page or an earlier one is in memory only.
func (s *sorter) spillPage(dst []byte, p buffer.Page, skip func(error)) (out []byte, clean bool) {
	for _, point := range p.Points {
		if err := wallError(point.Stamp); err != nil {
			skip(err)
			continue
		}
		samplesOf(point, func(part int, v probes.Value) {
			number, fresh := s.metrics.number(point.Series, part)
			if fresh {
				dst = appendFrame(dst, frameSeries, appendSeries([]byte{byte(part)}, point.Series))
			}
			s.samples = append(s.samples, sampleOf(number, point.Stamp.Wall, v))
		})
	}
	if len(s.samples) < s.limit {
		return dst, len(s.samples) == 0
	}
	return s.appendRun(dst), true
}
