package record

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// lateContent is the text of every record of late measurements; they are what
// the numbers say.
const lateContent = "late metrics"

// vendorPrefix begins the keys of most packages' metrics. Log ingest is paid by
// the byte, and in a record it would stand once for each number.
const vendorPrefix = "com.dynatrace.extension."

// statistics are the endings of a folded gauge's four numbers.
var statistics = []string{".min", ".max", ".sum", ".count"}

// AttributeName is the number's name in a late record: the metric key without
// com.dynatrace.extension. before it. A key that is too long for an attribute
// ends in a hash of the whole. Where a record has the name already, it gets an
// underscore.
func AttributeName(key string) string {
	const most = maxAttributeKey - 8 // room for a statistic's ending and underscores
	name := attributeKey(strings.TrimPrefix(key, vendorPrefix))
	if len(name) <= most {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	hash := strconv.FormatUint(uint64(h.Sum32()), 16)
	return name[:most-len(hash)-1] + "_" + hash
}

// builder is a late record in the making.
type builder struct {
	stamp      probes.Stamp
	attributes []probes.Dimension
	numbers    []probes.Number
	from       []int32
}

// add takes the points of one series.
func (b *builder) add(points []probes.Point, from []int32) {
	b.from = append(b.from, from...)
	series, value := points[from[0]].Series, fold(points, from)
	name := AttributeName(series.Key())
	if value.Form() != probes.FormSummary {
		for b.has(name) {
			name += "_"
		}
		b.numbers = append(b.numbers, probes.Number{Key: name, Value: value})
		return
	}
	for slices.ContainsFunc(statistics, func(ending string) bool { return b.has(name + ending) }) {
		name += "_"
	}
	s := value.Summary()
	for i, v := range []probes.Value{probes.Float(s.Min), probes.Float(s.Max), probes.Float(s.Sum), probes.Uint(s.Count)} {
		b.numbers = append(b.numbers, probes.Number{Key: name + statistics[i], Value: v})
	}
}

func (b *builder) has(name string) bool {
	return slices.ContainsFunc(b.numbers, func(n probes.Number) bool { return n.Key == name }) ||
		slices.ContainsFunc(b.attributes, func(d probes.Dimension) bool { return d.Key == name })
}

// fold makes one value of the usable values of one series.
func fold(points []probes.Point, from []int32) probes.Value {
	if len(from) == 1 {
		return points[from[0]].Value
	}
	usable := make([]probes.Point, 0, len(from))
	for _, i := range from {
		if points[i].Value.Check() == nil {
			usable = append(usable, probes.Point{Series: points[i].Series, Value: points[i].Value})
		}
	}
	folded, _ := probes.Fold(usable)
	if len(folded) == 0 {
		return points[from[0]].Value // FitRecord leaves it out and says so
	}
	return folded[0].Value
}

func (b *builder) record(now time.Time) LateRecord {
	r := probes.Record{Stamp: b.stamp, Content: lateContent, Attributes: b.attributes, Numbers: b.numbers}
	if !inTime(r.Stamp, now) {
		r.Stamp = probes.Stamp{Wall: now.UnixMilli()}
	}
	return LateRecord{Record: FitRecord(r), From: b.from}
}
