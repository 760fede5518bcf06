package plan

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// MaxExposed is how many metric keys of one package are collected from Prometheus
// endpoints, as in the vendor's data source. A histogram or summary has three.
const MaxExposed = 1000

// Exposition is what a package reads from Prometheus endpoints, with feature
// sets chosen, variables filled in and inheritance resolved. It is immutable.
type Exposition struct {
	Blocks  []ExposedBlock
	LeftOut int // metrics whose keys are beyond MaxExposed, which are not collected
}

// ExposedBlock is one subgroup, or the metrics of a group itself, at one
// interval. Its dimensions include those inherited from the group.
type ExposedBlock struct {
	Path     string // "group" or "group/subgroup", for messages
	Interval time.Duration
	Dims     []LabelDim
	Metrics  []ExposedMetric
}

// LabelSource says where the value of a dimension comes from.
type LabelSource uint8

// The sources of a dimension.
const (
	LabelText      LabelSource = 1 // Text itself
	LabelOwn       LabelSource = 2 // the label Text of the sample
	LabelReference LabelSource = 3 // the label Text of the samples of Metric that fit this one
)

// LabelDim is one declared dimension. A sample is taken only if all filters of
// its block match; an absent label is matched as the empty text. Labels become
// dimensions without being declared.
type LabelDim struct {
	Key    string
	Source LabelSource
	Text   string
	Metric string  // of LabelReference
	Filter *Filter // nil: no filter
}

// ExposedType is the type of a metric as the package declares it.
type ExposedType uint8

// The types of a metric.
const (
	ExposedGauge     ExposedType = 1
	ExposedCount     ExposedType = 2
	ExposedHistogram ExposedType = 3 // KEY_count, KEY_sum.count and, where asked for, KEY_bucket.count
	ExposedSummary   ExposedType = 4 // KEY_count, KEY_sum.count and KEY by quantile
)

// ExposedMetric is one metric: the samples of Name become points of Key.
type ExposedMetric struct {
	Key  string
	Name string // without the suffixes of a histogram or summary
	Type ExposedType
}

// Intervals lists the intervals, shortest first.
func (e *Exposition) Intervals() []time.Duration {
	var all []time.Duration
	for i := range e.Blocks {
		all = append(all, e.Blocks[i].Interval)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// At returns the blocks that are due at one interval. They point into e.
func (e *Exposition) At(interval time.Duration) []*ExposedBlock {
	var due []*ExposedBlock
	for i := range e.Blocks {
		if e.Blocks[i].Interval == interval {
			due = append(due, &e.Blocks[i])
		}
	}
	return due
}

// ScrapeAuth is how an endpoint is told who asks.
type ScrapeAuth string

// The ways to authenticate.
const (
	ScrapeNone   ScrapeAuth = "none"
	ScrapeBasic  ScrapeAuth = "basic"
	ScrapeBearer ScrapeAuth = "bearer"
)

// ScrapeEndpoint is one endpoint of a monitoring configuration.
type ScrapeEndpoint struct {
	URL        string // http or https, without user and password
	Auth       ScrapeAuth
	User       string        // of basic
	Secret     probes.Secret // the password of basic, the token of bearer
	SkipVerify bool          // the certificate is not checked
	CAFile     string        // PEM, beside the system's authorities; "" for these alone
	Timeout    time.Duration // of one try; 0: the probe's default
	Retries    int           // after the first try
	Buckets    bool          // buckets of histograms are collected too
	Discovery  *ScrapeDNS    // nil: the URL names the one endpoint
}

// ScrapeDNS says that the host of the URL is a name behind each of whose IPv4
// addresses is an endpoint.
type ScrapeDNS struct {
	Port    uint16        // of all of them; 0: that of the URL
	Refresh time.Duration // how long an answer holds; 0: the probe's default
}

// Sample is one line of an exposition.
type Sample struct {
	Name   string
	Labels []probes.Dimension // sorted by key, each key once, none empty
	Value  float64
	rest   uint64 // a sum of what Shorten took away; 0: nothing
}

// maxLabelValue is for how much of a label a line has room, in bytes.
const maxLabelValue = 250

// Shorten cuts the values of the labels, which are in order, to what a line has
// room for. It tells whether it took something away. Samples that differ only in
// that stay two.
func (s *Sample) Shorten() bool {
	for i := range s.Labels {
		l := &s.Labels[i]
		if len(l.Value) <= maxLabelValue {
			continue
		}
		n := maxLabelValue
		for n > 0 && !utf8.RuneStart(l.Value[n]) {
			n--
		}
		s.rest = fnv(fnv(s.rest^fnvOffset, l.Key), l.Value[n:])
		l.Value = l.Value[:n]
	}
	return s.rest != 0
}

// Label returns the value of a label, "" where the sample lacks it.
func (s *Sample) Label(name string) string {
	for _, l := range s.Labels {
		if l.Key == name {
			return l.Value
		}
	}
	return ""
}

// common counts the labels that both have with one value, -1 where a label of
// both has two.
func (s *Sample) common(other *Sample) int {
	n, at := 0, 0
	for _, l := range s.Labels {
		for at < len(other.Labels) && other.Labels[at].Key < l.Key {
			at++
		}
		if at == len(other.Labels) || other.Labels[at].Key != l.Key {
			continue
		}
		if other.Labels[at].Value != l.Value {
			return -1
		}
		n++
	}
	return n
}

// Scrape is what one scrape of one endpoint gave, as far as it is wanted.
type Scrape struct {
	Stamp    probes.Stamp
	Endpoint string // the value of the dimension activation_endpoint
	Samples  []Sample
}
