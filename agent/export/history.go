package export

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// History is what the store holds of one device.
type History struct {
	Device      string          `json:"device"` // as it was asked for
	From        time.Time       `json:"from,omitzero"`
	To          time.Time       `json:"to,omitzero"`
	StoreOldest time.Time       `json:"store_oldest,omitzero"` // since when the store holds points that wait
	Points      int64           `json:"points"`
	Delivered   int64           `json:"delivered"` // of the points
	Late        int64           `json:"late"`
	Undated     int64           `json:"undated"`           // measured while the time was not known: counted, not shown
	Left        int             `json:"series_left_out"`   // beyond what memory is given for
	Shared      []Dim           `json:"shared_dimensions"` // that all series have
	Series      []SeriesLine    `json:"series"`            // by key, the busiest first
	Step        probes.Duration `json:"step"`              // of the cells
	Hint        Hint            `json:"-"`
}

// Dim is one dimension.
type Dim struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// SeriesLine sums up one series.
type SeriesLine struct {
	Key       string    `json:"key"`
	Type      string    `json:"type"`
	Dims      []Dim     `json:"dimensions"` // all of them
	Varying   []Dim     `json:"-"`          // those that tell it from the others of its key; of a lone one, those that not all share
	Points    int64     `json:"points"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	LastValue float64   `json:"last_value"`
	Min       float64   `json:"min"`
	Avg       float64   `json:"avg"`
	Max       float64   `json:"max"`
	// Cells begin at multiples of the history's step since 1970; Begin is where
	// the first one does.
	Begin time.Time     `json:"begin"`
	Cells []Cell        `json:"-"`
	Table []Bucket      `json:"buckets"` // the cells that hold something
	Usual time.Duration `json:"-"`       // a longer distance between points is a gap
}

// Bucket is a cell for JSON.
type Bucket struct {
	Time  time.Time `json:"time"` // where it begins
	Count int64     `json:"count"`
	Min   float64   `json:"min"`
	Avg   float64   `json:"avg"`
	Max   float64   `json:"max"`
}

// maxHistory bounds the series that are kept apart, and with the cells of each
// the memory: 40 bytes a cell.
const maxHistory = 4000

// historian collects the history of a device, point by point.
type historian struct {
	cells  int // of each series, at most
	series map[[16]byte]*collected
	left   map[[16]byte]bool
	h      History
}

type collected struct {
	series      *probes.Series
	all         Cell
	first, last int64
	value       float64
	bins        *bins
}

// HistoryRequest is what ReadHistory reads.
type HistoryRequest struct {
	Filter   Filter // with a device
	Cells    int    // of each series, at most
	Progress func(done, of int64)
}

// ReadHistory reads the history of a device, sent or not.
func ReadHistory(ctx context.Context, s Source, r HistoryRequest) (*History, error) {
	st, err := s.Stat(ctx)
	if err != nil {
		return nil, err
	}
	f := r.Filter
	f.Delivered = true
	c := &historian{cells: r.Cells, series: map[[16]byte]*collected{}, left: map[[16]byte]bool{}}
	hint, err := s.Read(ctx, f, func(p buffer.Page) error {
		for i, point := range p.Points {
			c.add(point, p.State[i])
		}
		r.Progress(p.Done, p.Of)
		return nil
	})
	if err != nil {
		return nil, err
	}
	h := c.finish()
	h.Device, h.StoreOldest, h.Hint = f.Device, st.Oldest, hint
	return h, nil
}

func (c *historian) add(p probes.Point, state buffer.PointState) {
	c.h.Points++
	switch state {
	case buffer.Settled:
		c.h.Delivered++
	case buffer.Late:
		c.h.Late++
	}
	if p.Stamp.Guess {
		c.h.Undated++
		return
	}
	one := c.series[p.Series.ID()]
	if one == nil {
		if len(c.series) >= maxHistory {
			c.left[p.Series.ID()] = true
			return
		}
		one = &collected{series: p.Series, first: p.Stamp.Wall, last: p.Stamp.Wall, bins: newBins(c.cells)}
		c.series[p.Series.ID()] = one
	}
	one.add(p)
}

func (o *collected) add(p probes.Point) {
	mean := p.Value.Float64()
	x := Cell{Min: mean, Max: mean, Sum: mean, N: 1}
	if p.Value.Form() == probes.FormSummary {
		s := p.Value.Summary()
		x.Min, x.Max = s.Min, s.Max
	}
	o.all.add(x)
	o.bins.add(p.Stamp.Wall, x)
	o.first = min(o.first, p.Stamp.Wall)
	if p.Stamp.Wall >= o.last {
		o.last, o.value = p.Stamp.Wall, mean
	}
}

// finish brings all series to one step and one beginning.
func (c *historian) finish() *History {
	h := &c.h
	h.Left, h.Shared, h.Series = len(c.left), []Dim{}, []SeriesLine{}
	if len(c.series) == 0 {
		return h
	}
	all := slices.Collect(maps.Values(c.series))
	first, last := all[0].first, all[0].last
	for _, o := range all {
		first, last = min(first, o.first), max(last, o.last)
	}
	width := int64(leastWidth)
	for floorDiv(last, width)-floorDiv(first, width) >= int64(c.cells) {
		width *= 2
	}
	for _, o := range all {
		o.bins.widen(width)
		o.bins.reach(first)
		o.bins.reach(last)
	}
	shared := sharedDims(all)
	keys := map[string][]*collected{}
	for _, o := range all {
		keys[o.series.Key()] = append(keys[o.series.Key()], o)
	}
	for _, group := range keys {
		common := shared
		if len(group) > 1 {
			common = sharedDims(group)
		}
		for _, o := range group {
			h.Series = append(h.Series, o.line(common))
		}
	}
	sort.Slice(h.Series, func(i, j int) bool {
		a, b := &h.Series[i], &h.Series[j]
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(b.Avg, a.Avg), slices.CompareFunc(a.Dims, b.Dims, func(x, y Dim) int {
			return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.Value, y.Value))
		})) < 0
	})
	h.From, h.To = time.UnixMilli(first), time.UnixMilli(last)
	h.Step = probes.Duration(time.Duration(width) * time.Millisecond)
	for _, d := range all[0].series.Dims() {
		if shared[d] {
			h.Shared = append(h.Shared, Dim(d))
		}
	}
	return h
}

// sharedDims are the dimensions that all series have.
func sharedDims(all []*collected) map[probes.Dimension]bool {
	shared := map[probes.Dimension]bool{}
	for _, d := range all[0].series.Dims() {
		shared[d] = true
	}
	for _, o := range all[1:] {
		for d := range shared {
			if o.series.Dim(d.Key) != d.Value {
				delete(shared, d)
			}
		}
	}
	return shared
}

func (o *collected) line(shared map[probes.Dimension]bool) SeriesLine {
	s := SeriesLine{
		Key: o.series.Key(), Type: o.series.Type().String(), Points: o.all.N,
		First: time.UnixMilli(o.first), Last: time.UnixMilli(o.last), LastValue: o.value,
		Min: o.all.Min, Avg: o.all.Mean(), Max: o.all.Max,
		Begin: time.UnixMilli(o.bins.first * o.bins.width), Cells: o.bins.cells, Usual: o.bins.usual(),
		Dims: []Dim{}, Table: []Bucket{},
	}
	for _, d := range o.series.Dims() {
		s.Dims = append(s.Dims, Dim(d))
		if !shared[d] {
			s.Varying = append(s.Varying, Dim(d))
		}
	}
	for i, c := range s.Cells {
		if c.N > 0 {
			at := s.Begin.Add(time.Duration(i) * time.Duration(o.bins.width) * time.Millisecond)
			s.Table = append(s.Table, Bucket{at, c.N, c.Min, c.Mean(), c.Max})
		}
	}
	return s
}
