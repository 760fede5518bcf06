package plan

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// processStart is the sample of many exporters that tells when they started.
const processStart = "process_start_time_seconds"

// part says what a sample is to a metric.
type part uint8

const (
	partGauge part = iota
	partCount
	partAlias // the name of a counter in OpenMetrics, used where the own one is missing
	partEvents
	partSum
	partBucket
	partQuantile
	partCreated   // when a counter was created
	partReference // what a dimension refers to
	partStart     // when the process started
)

// use is one thing that the samples of a name are for.
type use struct {
	block  *ExposedBlock
	metric *ExposedMetric
	part   part
}

// ExposedNames are the names of the samples that some blocks want, and for
// what. They are immutable.
type ExposedNames struct {
	uses     map[string][]use
	metrics  int
	interval time.Duration // the longest
}

// NewExposedNames lists what the blocks want, with buckets those of histograms
// too.
func NewExposedNames(blocks []*ExposedBlock, buckets bool) *ExposedNames {
	n := &ExposedNames{uses: make(map[string][]use)}
	n.add(processStart, use{part: partStart})
	for _, b := range blocks {
		for i := range b.Dims {
			if b.Dims[i].Source == LabelReference {
				n.add(b.Dims[i].Metric, use{part: partReference})
			}
		}
		for i := range b.Metrics {
			n.metric(b, &b.Metrics[i], buckets)
		}
		n.metrics += len(b.Metrics)
		n.interval = max(n.interval, b.Interval)
	}
	return n
}

func (n *ExposedNames) metric(b *ExposedBlock, m *ExposedMetric, buckets bool) {
	u := func(p part) use { return use{b, m, p} }
	switch m.Type {
	case ExposedGauge:
		n.add(m.Name, u(partGauge))
		return
	case ExposedCount:
		n.add(m.Name, u(partCount))
		if !strings.HasSuffix(m.Name, "_total") {
			n.add(m.Name+"_total", u(partAlias))
		}
	case ExposedHistogram:
		n.add(m.Name+"_count", u(partEvents))
		n.add(m.Name+"_sum", u(partSum))
		if buckets {
			n.add(m.Name+"_bucket", u(partBucket))
		}
	case ExposedSummary:
		n.add(m.Name+"_count", u(partEvents))
		n.add(m.Name+"_sum", u(partSum))
		n.add(m.Name, u(partQuantile))
	}
	n.add(m.created(), use{part: partCreated})
}

// created is the name of the samples that tell when the metric was created.
func (m *ExposedMetric) created() string {
	return strings.TrimSuffix(m.Name, "_total") + "_created"
}

func (n *ExposedNames) add(name string, u use) {
	if u.metric == nil && slices.Contains(n.uses[name], u) {
		return
	}
	n.uses[name] = append(n.uses[name], u)
}

// Has tells whether samples of a name are wanted.
func (n *ExposedNames) Has(name []byte) bool {
	_, wanted := n.uses[string(name)]
	return wanted
}

// Metrics is how many metrics the blocks have.
func (n *ExposedNames) Metrics() int { return n.metrics }

// Names lists the names that give points or dimensions, sorted.
func (n *ExposedNames) Names() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(n.uses)) {
		if slices.ContainsFunc(n.uses[name], func(u use) bool { return u.metric != nil || u.part == partReference }) {
			all = append(all, name)
		}
	}
	return all
}
