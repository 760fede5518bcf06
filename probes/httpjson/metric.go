package httpjson

import (
	"math"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// measured is one metric of one item.
type measured struct {
	row   *row
	scope *scope
	index int
	twice bool // another item of this poll has the same dimensions
}

// metric makes the points of one metric of one item.
func (p *poll) metric(t *tally, m measured) {
	about := &t.metrics[m.index]
	switch metric := &t.block.Metrics[m.index]; metric.Type {
	case plan.DocState:
		p.stateOf(t.block, m, about)
	case plan.DocStat:
		p.statOf(t.block, m, about)
	case plan.DocCount, plan.DocRate:
		p.counterOf(t.block, m, about)
	default:
		cell := m.scope.cell(&metric.Value)
		value, none, ok := metric.Number.Gauge(cell)
		if ok && metric.Type == plan.DocDelta && value.Float64() < 0 {
			ok = false
		}
		if about.take(cell, none, ok) {
			p.emit(p.series(t.block, m), value)
		}
	}
}

// take notes what was found, and tells whether it is of use.
func (t *metricTally) take(cell plan.Cell, none, ok bool) bool {
	if cell.Kind == plan.Absent {
		return false
	}
	t.found = true
	if !ok && !none && t.wrong == "" {
		t.wrong = "found a value that is no number"
		if cell.Text != "" {
			t.wrong = "found " + short(cell.Text) + ", which is no number"
		}
	}
	return ok
}

func (p *poll) emit(s *probes.Series, v probes.Value) {
	switch {
	case v.Check() != nil || p.budget.err != nil:
	case len(s.Dims()) > maxLine:
		p.note("%s has %d dimensions, the environment takes at most %d: the line is left out", s.Key(), len(s.Dims()), maxLine)
	case len(p.batch.Points) == maxPoints:
		p.overflow()
	default:
		p.batch.Points = append(p.batch.Points, probes.Point{Series: s, Value: v, Stamp: p.stamp})
	}
}

// seriesType is the payload type of a metric.
func seriesType(t plan.DocType) probes.Type {
	if t == plan.DocCount || t == plan.DocDelta {
		return probes.Count
	}
	return probes.Gauge
}

// series is the one series of a metric that is no state.
func (p *poll) series(b *plan.DocBlock, m measured) *probes.Series {
	r := m.row
	if r.series == nil {
		r.series = make([]*probes.Series, len(b.Metrics))
	}
	if r.series[m.index] == nil {
		metric := &b.Metrics[m.index]
		r.series[m.index] = probes.NewSeriesOf(metric.Key, seriesType(metric.Type), p.dimsOf(r))
	}
	return r.series[m.index]
}

// dimsOf are the dimensions of an item with those that every line has.
func (p *poll) dimsOf(r *row) *probes.Dimensions {
	if r.dims == nil {
		r.dims = probes.NewDimensions(p.with(r.declared, nil)...)
	}
	return r.dims
}

// with puts dimensions together in the order in which they count.
func (p *poll) with(declared, more []probes.Dimension) []probes.Dimension {
	return slices.Concat(p.probe.deps.Constants, declared, more, p.probe.implicit(p.state.name))
}

// counterOf makes a delta or a rate of a number that only grows.
func (p *poll) counterOf(b *plan.DocBlock, m measured, about *metricTally) {
	metric := &b.Metrics[m.index]
	cell := m.scope.cell(&metric.Value)
	read, none, ok := metric.Number.Reading(cell)
	if !about.take(cell, none, ok) || m.twice {
		return
	}
	c := &m.row.counters[m.index]
	grown, age, gap := c.advance(read, p.state.now, plan.AbsenceAfter(b.Interval))
	if gap {
		p.stats.Gaps++
	}
	if gap || grown.Kind == plan.Absent {
		p.warm++
		return
	}
	var value probes.Value
	if grown.Kind == plan.Counter64 {
		value, ok = metric.Number.Growth(grown.Uint)
	} else {
		value, ok = metric.Number.GrowthOf(grown.Float)
	}
	if !ok {
		return
	}
	if metric.Type == plan.DocRate {
		value = probes.Float(value.Float64() / age.Seconds())
	}
	p.emit(p.series(b, m), value)
}

// stateOf gives 1 with the state as a dimension.
func (p *poll) stateOf(b *plan.DocBlock, m measured, about *metricTally) {
	metric := &b.Metrics[m.index]
	text, ok := m.scope.text(&metric.Value)
	if !ok || text == "" {
		return
	}
	about.found = true
	if named, ok := metric.Enum[text]; ok {
		text = named
	}
	if metric.States != nil {
		at := slices.IndexFunc(metric.States, func(s string) bool { return strings.EqualFold(s, text) })
		if at < 0 {
			if about.wrong == "" {
				about.wrong = "found " + short(text) + ", which is not one of its states"
			}
			return
		}
		text = metric.States[at]
	}
	if m.twice {
		return // two states of one item would both be the current one
	}
	if !metric.All {
		p.emit(p.stateSeries(b, m, text), probes.Int(1))
		return
	}
	for _, s := range metric.States {
		value := probes.Int(0)
		if s == text {
			value = probes.Int(1)
		}
		p.emit(p.stateSeries(b, m, s), value)
	}
}

func (p *poll) stateSeries(b *plan.DocBlock, m measured, state string) *probes.Series {
	r, name := m.row, stateName{m.index, state}
	if made := r.states[name]; made != nil {
		return made
	}
	if r.states == nil || len(r.states) >= maxStates {
		r.states = make(map[stateName]*probes.Series)
	}
	metric := &b.Metrics[m.index]
	dims := append([]probes.Dimension{{Key: metric.Dimension, Value: state}}, p.with(r.declared, nil)...)
	r.states[name] = probes.NewSeries(metric.Key, probes.Gauge, dims...)
	return r.states[name]
}

// statOf gives statistics of a list of numbers, or of four values.
func (p *poll) statOf(b *plan.DocBlock, m measured, about *metricTally) {
	metric := &b.Metrics[m.index]
	var sum probes.Summary
	if metric.Parts {
		if !m.parts(metric, about, &sum) {
			return
		}
	} else {
		m.values(metric, about, &sum)
	}
	value := probes.Summarize(sum)
	switch err := value.Check(); {
	case sum.Count == 0:
	case err != nil:
		about.wrong = err.Error()
	default:
		p.emit(p.series(b, m), value)
	}
}

// values takes the numbers of the lists that a path finds.
func (m measured) values(metric *plan.DocMetric, about *metricTally, sum *probes.Summary) {
	s := m.scope
	take := func(cell plan.Cell) {
		value, none, ok := metric.Number.Gauge(cell)
		if !about.take(cell, none, ok) {
			return
		}
		f := value.Float64()
		if sum.Count == 0 {
			sum.Min, sum.Max = f, f
		}
		sum.Min, sum.Max = min(sum.Min, f), max(sum.Max, f)
		sum.Sum += f
		sum.Count++
	}
	if metric.Value.Kind != plan.DocFromPath {
		take(s.cell(&metric.Value))
		return
	}
	reached := s.each(metric.Value.Path, func(at place) bool {
		if s.doc.values[at.at].kind != kindList {
			take(s.number(at.at))
			return true
		}
		return s.entries(at.at, func(entry uint32) bool {
			take(s.number(entry))
			return true
		})
	})
	about.found = about.found || reached
}

// parts takes minimum, maximum, sum and count, false where one of them is
// missing.
func (m measured) parts(metric *plan.DocMetric, about *metricTally, sum *probes.Summary) bool {
	var count float64
	plain := plan.Conversion{}
	for _, part := range []struct {
		value  *plan.DocValue
		number *plan.Conversion
		to     *float64
	}{
		{&metric.Min, &metric.Number, &sum.Min},
		{&metric.Max, &metric.Number, &sum.Max},
		{&metric.Sum, &metric.Number, &sum.Sum},
		{&metric.Count, &plain, &count},
	} {
		cell := m.scope.cell(part.value)
		value, none, ok := part.number.Gauge(cell)
		if !about.take(cell, none, ok) {
			return false
		}
		*part.to = value.Float64()
	}
	if count != math.Trunc(count) || count < 0 || count > 1<<53 {
		about.wrong = "found a count that is no whole number"
		return false
	}
	sum.Count = uint64(count)
	return true
}
