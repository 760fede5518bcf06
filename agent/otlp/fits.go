package otlp

import "github.com/edgehold/edgehold/probes"

// Fits tells how many of the points, from the first, make a request of at most
// size bytes that is within the limits. It looks at lengths only and is on the
// safe side. It gives at least one, since a point cannot be divided: the
// largest is about 19 kB.
func Fits(points []probes.Point, size int, o Options) int {
	left := min(size, MaxBytes) - sizeHeads(o.resource())
	metrics := make(map[metricID]bool)
	for i, p := range points[:min(len(points), MaxPoints)] {
		left -= boundPoint(p)
		if id := (metricID{p.Series.Key(), shapeOf(p)}); !metrics[id] {
			metrics[id] = true
			left -= min(len(id.key), maxKey) + boundMetric
		}
		if left < 0 {
			return max(i, 1)
		}
	}
	return min(len(points), MaxPoints)
}

// FitsLogs tells how many of the records, from the first, make a request of at
// most size bytes that is within the limits; at least one.
func FitsLogs(records []probes.Record, size int, o Options) int {
	records = records[:min(len(records), MaxRecords)]
	l := newLogs(records, o)
	left := min(size, MaxLogBytes) - sizeHeads(o.logResource())
	for i := range records {
		if left -= sizeField(l.sizeRecord(&records[i])); left < 0 {
			return max(i, 1)
		}
	}
	return len(records)
}

// What stands around texts, at most.
const (
	boundHead      = 5 // a tag and a length
	boundAttribute = 8 // of a data point, without boundLong: see appendKeyValue
	boundLong      = 3 // more where texts are long, since three lengths take a byte more
	short          = 100
	boundMetric    = 3*boundHead + 4
)

// sizeHeads is what comes once a request, at most.
func sizeHeads(resource []probes.Dimension) int {
	return 3*boundHead + len(appendResource(nil, resource))
}

func boundPoint(p probes.Point) int {
	n := boundHead + sizePoint(p.Value)
	for _, d := range p.Series.Dims() {
		text := min(len(d.Key), maxDimensionKey) + min(len(d.Value), maxDimensionValue)
		if n += boundAttribute + text; text > short {
			n += boundLong
		}
	}
	return n
}
