package httpjson

import (
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// The bounds of events. Those of texts are the environment's.
const (
	maxEvents        = 100   // opened by one poll
	maxOpen          = 1_000 // of one endpoint
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
	if *open != nil && p.state.over(*open) {
		p.state.drop(open) // what holds now is another event
	}
	switch {
	case holds && *open == nil:
		made := p.newEvent(e, r, s)
		if p.budget.err == nil && p.mayOpen() {
			*open = &openEvent{event: made, sent: p.state.now}
			p.state.open++
			p.batch.Events = append(p.batch.Events, made)
		}
	case holds && p.state.now-(*open).sent >= refreshAfter(e.Timeout, b.Interval):
		(*open).event.Start, (*open).sent = p.stamp, p.state.now
		p.batch.Events = append(p.batch.Events, (*open).event)
	case !holds && *open != nil:
		p.close(*open)
		p.state.drop(open)
	}
}

// over tells whether the environment has ended an event by itself.
func (s *state) over(open *openEvent) bool {
	return open.event.Timeout > 0 && s.now-open.sent >= open.event.Timeout
}

// drop forgets an event that has ended.
func (s *state) drop(open **openEvent) {
	*open = nil
	s.open--
}

// refreshAfter leaves the event time for two more polls, and for the way.
func refreshAfter(timeout, interval time.Duration) time.Duration {
	return min(timeout/2, max(timeout-2*interval, 0))
}

// close ends an event. It begins where it was last told of, which the
// environment still takes. One that is over there would be raised again.
func (p *poll) close(open *openEvent) {
	if p.state.over(open) {
		return
	}
	ended := open.event
	ended.End = p.stamp
	p.batch.Events = append(p.batch.Events, ended)
}

// mayOpen bounds the events. Those that are open are always refreshed and closed:
// new ones never keep them from it.
func (p *poll) mayOpen() bool {
	switch {
	case p.state.open >= maxOpen:
		p.note("more than %d events are open, no other is opened", maxOpen)
		return false
	case p.opened >= maxEvents:
		p.note("more than %d new events, the others wait for the next poll", maxEvents)
		return false
	}
	p.opened++
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
		for i := range r.open {
			if r.open[i] != nil {
				p.close(r.open[i])
				p.state.drop(&r.open[i])
			}
		}
	}
	for _, open := range p.state.left(b) {
		p.close(open)
	}
}
