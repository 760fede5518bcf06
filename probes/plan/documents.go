package plan

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Documents is what a package reads from JSON over HTTP, with feature sets
// chosen, variables filled in and inheritance resolved. It is immutable.
type Documents struct {
	Blocks []DocBlock
	// Site stands before device.address in all lines, with a slash; "" where it
	// does not.
	Site string
	// Here is the site of this agent, for this:site; "": not known.
	Here string
}

// DocBlock is one subgroup, or a group without its subgroups, at one interval.
type DocBlock struct {
	Path     string // "group" or "group/subgroup", for messages
	Interval time.Duration
	Request  DocRequest

	Outer     DocPath // items of the group, from the document; nil: the document is the one item
	Inner     DocPath // items of the subgroup, from an item of the group; nil: that item
	OuterDims []DocDim
	Dims      []DocDim

	Metrics []DocMetric
	Events  []DocEvent
	Carrier DocCarrier
}

// DocRequest is what is asked. Two blocks with equal requests share the answer.
type DocRequest struct {
	Method  string // GET or POST
	Path    string // with its query, behind the URL of the endpoint
	Headers []probes.Dimension
	Body    string
	Paging  DocPaging
}

// DocPaging is how the other pages of an answer are asked for.
type DocPaging struct {
	Kind          DocPagingKind
	Next          DocPath // of PageNext
	Parameter     string  // of PageOffset and PageNumber
	First         int     // of PageNumber
	Size          int     // items of a full page; 0: not known
	SizeParameter string  // "" where the size is not asked for
	Items         DocPath // counts the items of a page; nil: the document is the one item
	Most          int     // pages
}

// DocPagingKind is a way of paging.
type DocPagingKind uint8

// The ways of paging; the zero one is a single page.
const (
	PageNext   DocPagingKind = 1 // the document holds the next URL
	PageLink   DocPagingKind = 2 // the header Link does
	PageOffset DocPagingKind = 3
	PageNumber DocPagingKind = 4
)

// DocDim is one dimension, with an empty Key its filter alone. An item is kept only if all filters match; an absent
// value is matched as the empty text.
type DocDim struct {
	Key    string
	Value  DocValue
	Filter *Filter           // nil: no filter
	Enum   map[string]string // texts for values
}

// DocType is the type of a metric.
type DocType uint8

// The types of a metric.
const (
	DocGauge DocType = 1
	DocCount DocType = 2 // of a number that only grows
	DocDelta DocType = 3 // a count whose value is a growth
	DocRate  DocType = 4 // growth a second
	DocState DocType = 5 // 1, with the state as a dimension
	DocStat  DocType = 6
)

// DocMetric is one metric.
type DocMetric struct {
	Key      string
	Type     DocType
	Value    DocValue
	Number   Conversion
	Optional bool // it may be found nowhere

	States    []string          // of DocState: the words there may be; nil: any
	Enum      map[string]string // of DocState: words for values
	All       bool              // of DocState: 0 for each state that is not the current one
	Dimension string            // of DocState

	// Of DocStat, in place of Value.
	Parts                bool
	Min, Max, Sum, Count DocValue
}

// DocField is a property of an item or event.
type DocField struct {
	Key   string
	Value DocValue
}

// DocCarrier sends what is known of an item beside numbers.
type DocCarrier struct {
	Metric     string // key of a gauge that is 1; "" none
	Log        bool
	Properties []DocField
	// Endpoints are dt.ip_addresses, dt.listen_ports and dt.dns_names.
	Endpoints []DocField
}

// Given tells whether there is a carrier.
func (c *DocCarrier) Given() bool { return c.Metric != "" || c.Log }

// DocEvent is an event that lasts while Condition holds.
type DocEvent struct {
	Name       string
	Type       string // as in Events API v2
	Condition  *Condition
	Title      DocText
	Text       DocText
	Entity     DocText // entity selector
	Properties []DocField
	Timeout    time.Duration
}

// DocAuth is how an endpoint is told who asks.
type DocAuth string

// The ways to authenticate.
const (
	DocAuthNone   DocAuth = "none"
	DocAuthBasic  DocAuth = "basic"
	DocAuthBearer DocAuth = "bearer"
	DocAuthToken  DocAuth = "apiToken"
)

// DocEndpoint is one endpoint of a monitoring configuration.
type DocEndpoint struct {
	URL        string // http or https, without user, password, query and a slash at its end
	Host       string // as in the URL
	Port       uint16
	Auth       DocAuth
	User       string
	Secret     probes.Secret // password or token
	Header     string        // of DocAuthToken; "": Authorization, behind Api-Token
	SkipVerify bool          // the certificate is not checked
	CA         string        // PEM, or the absolute path of a file of it; "": the system's authorities
	Timeout    time.Duration // of one request
	Retries    int           // after the first try
}

// Intervals lists the intervals, shortest first.
func (d *Documents) Intervals() []time.Duration {
	var all []time.Duration
	for i := range d.Blocks {
		all = append(all, d.Blocks[i].Interval)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// At returns the blocks that are due at one interval. They point into d.
func (d *Documents) At(interval time.Duration) []*DocBlock {
	var due []*DocBlock
	for i := range d.Blocks {
		if d.Blocks[i].Interval == interval {
			due = append(due, &d.Blocks[i])
		}
	}
	return due
}

// Gauge makes a number of a cell. none tells that the cell stands for no value.
func (c *Conversion) Gauge(cell Cell) (value probes.Value, none, ok bool) {
	value, v := c.gauge(cell, 0)
	return value, v == verdictNone, v == number
}

const verdictNone = none

// Reading makes a number of the cell of a counter, without the factor.
func (c *Conversion) Reading(cell Cell) (read Cell, none, ok bool) {
	read, v := c.numeric(cell)
	return read, v == verdictNone, v == number
}

// Growth is the growth of a counter in the unit of the metric.
func (c *Conversion) Growth(delta uint64) (probes.Value, bool) { return c.count(delta) }

// GrowthOf is the same for a counter that is no whole number.
func (c *Conversion) GrowthOf(delta float64) (probes.Value, bool) {
	value, v := c.roughly(Cell{Kind: Real, Float: delta}, 0)
	return value, v == number
}

// AbsenceAfter is the longest time that a growth may span: over a longer one it
// would stand as a spike in the minute of its end.
func AbsenceAfter(interval time.Duration) time.Duration { return absenceAfter(interval) }
