package pin

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// mostChanges are told one by one in an interval; of a contact that bounces the
// others are counted.
const mostChanges = 60

// Input is a line that is active or not: a door contact, a float switch. It is a
// probes.Source.
type Input struct {
	opts    Options
	event   Event
	health  *health
	active  *probes.Series
	changes *probes.Series

	// Of the run that goes on.
	emit    func(probes.Batch)
	is      bool
	changed uint64     // since the last points about it
	told    int        // of them, one by one
	open    *openEvent // nil: none
}

// NewInput touches no line before Run.
func NewInput(o Options, e Event) *Input {
	return &Input{opts: o, event: e, health: newHealth(), active: o.series(quantity.Active), changes: o.series(quantity.Changes)}
}

// Watch tells how the line fares.
func (i *Input) Watch() probes.SourceState { return i.health.Watch() }

// Run watches until ctx ends or the line is gone. It gives the state at the start,
// at each change and at each interval, and how often it changed in each interval.
func (i *Input) Run(ctx context.Context, emit func(probes.Batch)) error {
	i.emit = emit
	return i.opts.run(ctx, i, i.health)
}

func (i *Input) begin(active bool, at probes.Stamp) {
	i.is = active
	i.tell(at, true)
}

// tell gives the state, and what the event makes of it. Without a change only an
// event that lasts is looked at.
func (i *Input) tell(at probes.Stamp, lasting bool) {
	value := probes.Uint(0)
	if i.is {
		value = probes.Uint(1)
	}
	i.emit(probes.Batch{
		Points: []probes.Point{{Series: i.active, Value: value, Stamp: at}},
		Events: i.events(at, lasting),
	})
}

func (i *Input) edge(e probes.Edge, line probes.InputLine) error {
	at, was := i.opts.stamp(e), i.is
	i.is = e.Active
	i.changed += 1 + uint64(e.Lost)
	if e.Lost > 0 { // those that are lost may be newer than this one
		var err error
		if i.is, err = line.Active(); err != nil {
			return err
		}
	}
	if i.is != was && i.told < mostChanges {
		i.told++
		i.tell(at, false)
	}
	return nil
}

func (i *Input) tick() {
	at := i.opts.Clock.Now()
	i.tell(at, true)
	i.count(at)
}

func (i *Input) count(at probes.Stamp) {
	i.emit(probes.Batch{Points: []probes.Point{{Series: i.changes, Value: probes.Uint(i.changed), Stamp: at}}})
	i.changed, i.told = 0, 0
}

func (i *Input) samples() bool { return true }

func (i *Input) end() {
	if i.changed > 0 {
		i.count(i.opts.Clock.Now())
	}
}

// openEvent is an event that was sent and has not ended.
type openEvent struct {
	event probes.Event
	sent  time.Duration // uptime
}

// events are those that the state makes at this moment.
func (i *Input) events(at probes.Stamp, lasting bool) []probes.Event {
	switch {
	case i.event.Type == "":
		return nil
	case i.event.lasts():
		return i.keepOpen(at)
	case lasting: // nothing has changed
		return nil
	}
	title := i.event.Off
	if i.is {
		title = i.event.On
	}
	if title == "" {
		return nil
	}
	return []probes.Event{{Type: i.event.Type, Title: title, Start: at, End: at, Properties: i.properties()}}
}

func (i *Input) properties() []probes.Dimension {
	all := append(append([]probes.Dimension(nil), i.event.Properties...), i.opts.Dimensions...)
	return probes.NewSeriesOf("", probes.Gauge, probes.NewDimensions(all...)).Dims()
}

// keepOpen opens, refreshes or closes the event that lasts while the line is
// active. It is sent again as it was: with another title it would be another one.
// Where it could not be refreshed for so long that the environment has ended it,
// it is opened anew, or left.
func (i *Input) keepOpen(at probes.Stamp) []probes.Event {
	if i.open != nil && at.Uptime-i.open.sent >= i.open.event.Timeout {
		i.open = nil
	}
	switch {
	case i.is && i.open == nil:
		i.open = &openEvent{sent: at.Uptime, event: probes.Event{
			Type: i.event.Type, Title: i.event.On, Start: at, Timeout: timeout(i.opts.Interval), Properties: i.properties(),
		}}
	case i.is && at.Uptime-i.open.sent >= refreshAfter(i.open.event.Timeout, i.opts.Interval):
		i.open.event.Start, i.open.sent = at, at.Uptime
	case !i.is && i.open != nil:
		ended := i.open.event
		ended.End = at
		i.open = nil
		return []probes.Event{ended}
	default:
		return nil
	}
	return []probes.Event{i.open.event}
}

// The environment ends an event that it does not hear of again, after at most six
// hours.
const (
	shortTimeout = 15 * time.Minute
	longTimeout  = 6 * time.Hour
)

func timeout(interval time.Duration) time.Duration {
	return min(max(shortTimeout, 4*interval), longTimeout)
}

// refreshAfter leaves the event time for two more intervals, and for the way.
func refreshAfter(timeout, interval time.Duration) time.Duration {
	return min(timeout/2, max(timeout-2*interval, 0))
}
