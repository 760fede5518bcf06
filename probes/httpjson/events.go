package httpjson

import (
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// The bounds of events. Those of texts are the environment's.
const (
	maxEvents        = 100 // of one poll
	maxTitle         = 500
	maxEventProperty = 4096
	maxSelector      = 2000
)

// openEvent is an event that was sent and has not ended. It is sent again as it
// was: with another title or property it would be another event.
type openEvent struct {
	event probes.Event
	sent  time.Duration // on the state's clock
}

// event opens, refreshes or closes one event of one item.
func (p *poll) event(b *plan.DocBlock, r *row, s *scope, index int) {
	e, open := &b.Events[index], &r.open[index]
	holds := s.holds(e.Condition)
	if p.budget.err != nil {
		return // nothing is known
	}
	switch {
	case holds && *open == nil:
		made := p.newEvent(e, r, s)
		if p.budget.err == nil && p.send(made) {
			*open = &openEvent{event: made, sent: p.state.now}
		}
	case holds && p.state.now-(*open).sent >= refreshAfter(e.Timeout, b.Interval):
		(*open).event.Start = p.stamp
		if p.send((*open).event) {
			(*open).sent = p.state.now
		}
	case !holds && *open != nil:
		if p.close(*open) {
			*open = nil
		}
	}
}

// refreshAfter leaves the event time for two more polls, and for the way.
func refreshAfter(timeout, interval time.Duration) time.Duration {
	return min(timeout/2, max(timeout-2*interval, 0))
}

// close ends an event. It begins where it was last told of, which the
// environment still takes.
func (p *poll) close(open *openEvent) bool {
	ended := open.event
	ended.End = p.stamp
	return p.send(ended)
}

func (p *poll) send(e probes.Event) bool {
	if p.sent >= maxEvents {
		p.note("more than %d events, the others wait for the next poll", maxEvents)
		return false
	}
	p.sent++
	p.batch.Events = append(p.batch.Events, e)
	return true
}

func (p *poll) newEvent(e *plan.DocEvent, r *row, s *scope) probes.Event {
	plain := func(text string) string { return text }
	made := probes.Event{
		Type: e.Type, Title: cut(s.fill(e.Title, plain), maxTitle), Start: p.stamp, Timeout: e.Timeout,
		EntitySelector: cut(s.fill(e.Entity, escapeSelector), maxSelector),
	}
	var fields []probes.Dimension
	if text := s.fill(e.Text, plain); text != "" {
		fields = append(fields, probes.Dimension{Key: "dt.event.description", Value: cut(text, maxEventProperty)})
	}
	fields = append(fields, p.fields(e.Properties, s, maxEventProperty)...)
	made.Properties = probes.NewSeries("", probes.Gauge, p.with(r.declared, fields)...).Dims()
	return made
}

// escapeSelector escapes a text for a quoted text of an entity selector.
func escapeSelector(text string) string {
	return strings.NewReplacer("~", "~~", `"`, `~"`).Replace(text)
}

// fields reads properties; those without a value are left out.
func (p *poll) fields(fields []plan.DocField, s *scope, most int) []probes.Dimension {
	var all []probes.Dimension
	for i := range fields {
		if text, ok := s.text(&fields[i].Value); ok {
			all = append(all, probes.Dimension{Key: fields[i].Key, Value: p.probe.sited(fields[i].Key, cut(text, most))})
		}
	}
	return all
}

// vanished closes the events of items that a whole answer did not have.
func (p *poll) vanished(b *plan.DocBlock) {
	for _, r := range p.state.block(b).rows {
		if r.round == p.state.round {
			continue
		}
		for i, open := range r.open {
			if open != nil && p.close(open) {
				r.open[i] = nil
			}
		}
	}
	for _, open := range p.state.saved.left(b) {
		p.close(open)
	}
}
