package record

import (
	"cmp"
	"encoding/binary"
	"sort"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// LateOptions say how late measurements become log records.
type LateOptions struct {
	Now time.Time
	// Resolution is the period, aligned to 1970, whose measurements go into one
	// record and whose values of one series are folded. 0: a record for each
	// moment, nothing folded.
	Resolution time.Duration
	Site       string // the attribute `site` where the series has no such dimension; "" for none
}

// LateRecord is a record and the points it carries, as indexes of what Late got.
type LateRecord struct {
	Record probes.Record
	From   []int32
}

// Late makes log records of measurements that are too old to be metrics: one
// for each set of dimensions and period, in the order they come first, with all
// its metrics as numbers. The number is named as AttributeName says. Where a
// gauge was measured more than once in the period it has four: .min, .max, .sum
// and .count; deltas of a count are added.
//
// The record is stamped with the time of its last measurement where log ingest
// still takes that, else with now. The true time is the attribute TimeKey in
// every case, and FromKey is that of the first measurement where they differ.
// What has no true time carries UnknownKey, boot and uptime instead.
//
// Every point is in the From of one record.
func Late(points []probes.Point, o LateOptions) []LateRecord {
	groups := gather(points, o)
	records := make([]LateRecord, 0, len(groups))
	for _, g := range groups {
		records = g.records(records, points, o)
	}
	return records
}

// group is the points of one record.
type group struct{ from []int32 }

// gather puts the points of one set of dimensions and period together.
func gather(points []probes.Point, o LateOptions) []group {
	var groups []group
	at := make(map[string]int, len(points)/4)
	key := make([]byte, 0, 512)
	for i, p := range points {
		key = appendGroupKey(key[:0], p, o.Resolution)
		n, known := at[string(key)]
		if !known {
			n = len(groups)
			at[string(key)] = n
			groups = append(groups, group{})
		}
		groups[n].from = append(groups[n].from, int32(i))
	}
	return groups
}

// appendGroupKey appends what the points of one record share.
func appendGroupKey(dst []byte, p probes.Point, period time.Duration) []byte {
	at, unit := p.Stamp.Wall, max(1, period.Milliseconds())
	if !datable(p.Stamp) {
		dst = append(append(dst, '?'), p.Stamp.Boot[:]...)
		at = p.Stamp.Uptime.Milliseconds()
	}
	dst = binary.AppendVarint(append(dst, '@'), at/unit)
	return appendPairs(dst, p.Series.Dims())
}

// records appends the record of the group; more than one where the metrics are
// more than one record takes.
func (g group) records(dst []LateRecord, points []probes.Point, o LateOptions) []LateRecord {
	sort.SliceStable(g.from, func(i, j int) bool {
		x, y := points[g.from[i]].Series, points[g.from[j]].Series
		return cmp.Or(strings.Compare(x.Key(), y.Key()), cmp.Compare(x.Type(), y.Type())) < 0
	})
	head := g.head(points, o)
	b := head
	for from := g.from; len(from) > 0; {
		n := 1
		for n < len(from) && sameSeries(points[from[0]], points[from[n]]) {
			n++
		}
		if len(b.attributes)+len(b.numbers)+len(statistics) > maxAttributes && len(b.from) > 0 {
			dst = append(dst, b.record(o.Now))
			b = head
		}
		b.add(points, from[:n])
		from = from[n:]
	}
	return append(dst, b.record(o.Now))
}

func sameSeries(a, b probes.Point) bool {
	return a.Series == b.Series || a.Series.ID() == b.Series.ID()
}

// head begins a record with what is the same in all of the group.
func (g group) head(points []probes.Point, o LateOptions) builder {
	first, last := points[g.from[0]].Stamp, points[g.from[0]].Stamp
	for _, i := range g.from[1:] {
		s := points[i].Stamp
		if before(s, first) {
			first = s
		}
		if before(last, s) {
			last = s
		}
	}
	series := points[g.from[0]].Series
	attributes := make([]probes.Dimension, 0, len(series.Dims())+4)
	attributes = append(attributes, probes.Dimension{Key: LateKey, Value: "true"})
	when, numbers := truth(last)
	attributes = append(attributes, when...)
	if datable(last) && first.Wall != last.Wall {
		attributes = append(attributes, probes.Dimension{Key: FromKey, Value: isoTime(first)})
	}
	if o.Site != "" && series.Dim("site") == "" {
		attributes = append(attributes, probes.Dimension{Key: "site", Value: o.Site})
	}
	for _, d := range series.Dims() {
		key := attributeKey(strings.ToLower(d.Key)) // as in the metric
		attributes = append(attributes, probes.Dimension{Key: key, Value: d.Value})
	}
	return builder{stamp: last, attributes: attributes, numbers: numbers}
}

// before orders stamps of one group.
func before(a, b probes.Stamp) bool {
	if datable(a) {
		return a.Wall < b.Wall
	}
	return a.Uptime < b.Uptime
}
