package httpjson

import (
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	maxProperty = 200
	maxPorts    = 100
	// A log record with what is known of an item comes so often where nothing
	// changes.
	recordEvery = time.Hour
	maxRecords  = 1_000 // of one poll
)

// carrier is what was last told of an item beside numbers.
type carrier struct {
	key    string // of all attributes
	series *probes.Series
	told   time.Duration // when a record left
}

// carry sends what is known of an item.
func (p *poll) carry(b *plan.DocBlock, r *row, s *scope) {
	c := &b.Carrier
	if !c.Given() {
		return
	}
	about := append(p.fields(c.Properties, s, maxProperty), p.fields(c.Endpoints, s, plan.MaxText)...)
	for i := range about {
		if about[i].Key == "dt.listen_ports" {
			about[i].Value = firstPorts(about[i].Value)
		}
	}
	if p.budget.err != nil {
		return
	}
	key := rowKey(about)
	if key != r.carrier.key {
		r.carrier = carrier{key: key}
	}
	if c.Metric != "" {
		if r.carrier.series == nil {
			r.carrier.series = probes.NewSeries(c.Metric, probes.Gauge, p.with(r.declared, about)...)
		}
		r.carrier.told = p.state.now
		p.emit(r.carrier.series, probes.Int(1))
		return
	}
	if r.carrier.told != 0 && p.state.now-r.carrier.told < recordEvery {
		return
	}
	if p.told == maxRecords {
		p.note("more than %d log records, the others wait for the next poll", maxRecords)
		return
	}
	p.told++
	r.carrier.told = p.state.now
	attributes := p.with(r.declared, append([]probes.Dimension{{Key: "log.source", Value: "http"}}, about...))
	p.batch.Records = append(p.batch.Records, probes.Record{
		Stamp: p.stamp, Severity: "INFO", Content: describe(b, r, about),
		Attributes: probes.NewSeries("", probes.Gauge, attributes...).Dims(),
	})
}

// firstPorts bounds a list of ports.
func firstPorts(text string) string {
	parts := strings.Split(text, ",")
	return strings.Join(parts[:min(len(parts), maxPorts)], ",")
}

// describe is the content of a record.
func describe(b *plan.DocBlock, r *row, about []probes.Dimension) string {
	var parts []string
	for _, d := range append(r.declared[:len(r.declared):len(r.declared)], about...) {
		parts = append(parts, d.Key+"="+d.Value)
	}
	return b.Path + ": " + strings.Join(parts, ", ")
}
