package egress

import (
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/probes"
)

// An audit holds at most so much, whatever is configured. What is beyond is
// counted, and told.
const (
	maxDestinations = 16_384
	maxSources      = 1_000
	maxMetrics      = 2_000 // of one source
	maxDimensions   = 500   // of one source
	maxExamples     = 3     // of one dimension
	maxExample      = 60    // bytes
)

// flow is one purpose of one destination.
type flow struct {
	purpose, protocol string
	to                netip.AddrPort
	host              string
}

// Collector counts for one audit. It is safe for use by several goroutines.
type Collector struct {
	began     time.Time
	sensitive func(dimension string) (reason string, ok bool)

	mu    sync.Mutex
	flows map[flow]*Destination
	more  Destination // beyond maxDestinations
	by    map[string]*source
	left  map[string]int // what was beyond another bound, by its name
	total Progress
}

// source is what one package or probe gives.
type source struct {
	points, events, records int64
	metrics                 map[metricKey]int64
	dims                    map[string]*dimension
}

type metricKey struct {
	key string
	typ probes.Type
}

// dimension is one dimension of a source. Examples hold no value that is
// sensitive.
type dimension struct {
	in       [len(places)]bool
	reason   string // why its values are not shown
	examples []string
}

// Where a dimension stands.
const (
	inMetrics = iota
	inEvents
	inRecords
)

var places = [...]string{inMetrics: "metrics", inEvents: "events", inRecords: "records"}

func newCollector(sensitive func(string) (string, bool)) *Collector {
	return &Collector{
		began: time.Now(), sensitive: sensitive,
		flows: map[flow]*Destination{}, by: map[string]*source{}, left: map[string]int{},
	}
}

// move adds what moved to a destination.
func (c *Collector) move(f flow, d Destination) {
	f.protocol = strings.TrimRight(f.protocol, "46")
	f.to = netip.AddrPortFrom(f.to.Addr().Unmap(), f.to.Port())
	if _, err := netip.ParseAddr(f.host); err == nil {
		f.host = ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.flows[f]
	switch {
	case at != nil:
	case len(c.flows) >= maxDestinations:
		at = &c.more
	default:
		at = &Destination{}
		c.flows[f] = at
	}
	at.add(d)
	c.total.Destinations = len(c.flows)
	c.total.BytesOut += d.BytesOut
	c.total.BytesIn += d.BytesIn
}

// Points takes in what a source has handed over to be sent.
func (c *Collector) Points(from string, points []probes.Point) {
	if len(points) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Points += int64(len(points))
	s := c.source(from)
	if s == nil {
		return
	}
	s.points += int64(len(points))
	for _, p := range points {
		c.metric(s, metricKey{p.Series.Key(), p.Series.Type()})
		c.dimensions(s, inMetrics, p.Series.Dims())
	}
}

// Entries takes in events and log records.
func (c *Collector) Entries(from string, events []probes.Event, records []probes.Record) {
	if len(events)+len(records) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.source(from)
	if s == nil {
		return
	}
	s.events += int64(len(events))
	s.records += int64(len(records))
	for _, e := range events {
		c.dimensions(s, inEvents, e.Properties)
	}
	for _, r := range records {
		c.dimensions(s, inRecords, r.Attributes)
		for _, n := range r.Numbers {
			c.dimension(s, inRecords, n.Key)
		}
	}
}

func (c *Collector) source(name string) *source {
	s := c.by[name]
	if s == nil && c.bound("sources", len(c.by), maxSources) {
		s = &source{metrics: map[metricKey]int64{}, dims: map[string]*dimension{}}
		c.by[name] = s
	}
	return s
}

// bound tells whether there is room for one more, and counts where there is
// not.
func (c *Collector) bound(what string, n, most int) bool {
	if n >= most {
		c.left[what]++
		return false
	}
	return true
}

func (c *Collector) metric(s *source, key metricKey) {
	if _, known := s.metrics[key]; known || c.bound("metrics", len(s.metrics), maxMetrics) {
		s.metrics[key]++
	}
}

func (c *Collector) dimensions(s *source, place int, dims []probes.Dimension) {
	for _, d := range dims {
		at := c.dimension(s, place, d.Key)
		if at == nil || at.reason != "" || len(at.examples) >= maxExamples {
			continue
		}
		at.example(d.Value)
	}
}

// dimension is that of a source with a key, nil where there is no room for it.
func (c *Collector) dimension(s *source, place int, key string) *dimension {
	at := s.dims[key]
	if at == nil {
		if !c.bound("dimensions", len(s.dims), maxDimensions) {
			return nil
		}
		at = &dimension{}
		if why, ok := c.sensitive(key); ok {
			at.reason = why
		}
		s.dims[key] = at
	}
	at.in[place] = true
	return at
}

func (d *dimension) example(value string) {
	if len(value) > maxExample {
		cut := maxExample
		for cut > 0 && !utf8.RuneStart(value[cut]) {
			cut--
		}
		value = value[:cut] + "..."
	}
	for _, known := range d.examples {
		if known == value {
			return
		}
	}
	d.examples = append(d.examples, strings.Clone(value))
}
