package check

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// outage is the event of a check that fails. It is sent again as it was while that
// lasts, since the environment ends it otherwise.
type outage struct {
	open  bool
	event probes.Event
	sent  time.Duration // on the clock since boot
}

const (
	minOpen = 15 * time.Minute
	maxOpen = 6 * time.Hour // what the environment takes
)

// events are those of one check.
func (o *outage) events(p *Probe, now probes.Stamp, up bool, wrong error) []probes.Event {
	timeout := min(max(minOpen, 3*p.interval), maxOpen)
	if o.open && now.Uptime-o.sent >= timeout {
		o.open = false // the environment has ended it
	}
	switch {
	case up && !o.open:
		return nil
	case up:
		o.open = false
		ended := o.event
		ended.End, ended.Timeout = now, 0
		return []probes.Event{ended}
	case !o.open:
		o.open = true
		o.event = probes.Event{
			Type: "AVAILABILITY_EVENT", Title: fmt.Sprintf("%s %s fails", p.kind, p.name), Timeout: timeout,
			Properties: probes.NewSeries("", probes.Gauge, append(p.own(), probes.Dimension{Key: "dt.event.description", Value: wrong.Error()})...).Dims(),
		}
	case now.Uptime-o.sent < timeout/2 && now.Uptime-o.sent < timeout-2*p.interval:
		return nil
	}
	o.event.Start, o.sent = now, now.Uptime
	return []probes.Event{o.event}
}
