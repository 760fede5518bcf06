package pin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Count says what a pulse is worth.
type Count struct {
	PerPulse float64 // units; 0 is 1
	Start    float64 // what the meter showed when the counting began; another one begins it anew
	Unit     string  // "": the dimension sensor.unit is left away
}

// Check says what is wrong.
func (c Count) Check() error {
	if c.PerPulse < 0 || math.IsNaN(c.PerPulse) || math.IsInf(c.PerPulse, 0) {
		return errors.New("a pulse is worth more than nothing: write per_pulse, e.g. 0.001 for kWh with 1000 pulses each")
	}
	if math.IsNaN(c.Start) || math.IsInf(c.Start, 0) {
		return errors.New("start is no number: write what the meter shows")
	}
	return nil
}

// Pulse counts the changes of a line to active. It is a probes.Source, and
// probes.Lasting: its total is stored with the points, so that no pulse is counted
// twice. A stop that was not planned costs the pulses since the last commit.
type Pulse struct {
	opts   Options
	count  Count
	health *health

	pulses, total, rate, lost *probes.Series

	// Of the run that goes on.
	emit   func(probes.Batch)
	is     bool          // the last edge was one to active
	tally  tally         // with all pulses
	fresh  uint64        // pulses since the last points
	missed uint64        // so, that were lost
	since  time.Duration // uptime of the last points
}

// tally is the state that is stored. The total is Base and Pulses of PerPulse.
type tally struct {
	Start    float64 `json:"start"` // as it was configured
	Base     float64 `json:"base"`
	PerPulse float64 `json:"per_pulse"`
	Pulses   uint64  `json:"pulses"`
}

func (t tally) total() float64 { return t.Base + float64(t.Pulses)*t.PerPulse }

// NewPulse touches no line before Run.
func NewPulse(o Options, c Count) *Pulse {
	if c.PerPulse == 0 {
		c.PerPulse = 1
	}
	unit := probes.Dimension{Key: "sensor.unit", Value: c.Unit}
	return &Pulse{
		opts: o, count: c, health: newHealth(),
		pulses: o.series(quantity.Pulses), lost: o.series(quantity.Lost),
		total: o.series(quantity.Total, unit), rate: o.series(quantity.Rate, unit),
		tally: tally{Start: c.Start, Base: c.Start, PerPulse: c.PerPulse},
	}
}

// Watch tells how the line fares.
func (p *Pulse) Watch() probes.SourceState { return p.health.Watch() }

// Resume takes the total that was stored last. It is not taken where start is
// another one now, as after a change of the meter; where a pulse is worth something
// else now, the total so far stays.
func (p *Pulse) Resume(state []byte) error {
	var t tally
	if err := json.Unmarshal(state, &t); err != nil {
		return fmt.Errorf("read the total of line %s: %w", p.opts.Line, err)
	}
	if total := t.total(); math.IsInf(total, 0) || math.IsNaN(total) {
		return fmt.Errorf("read the total of line %s: %v is no number", p.opts.Line, total)
	}
	if t.Start != p.count.Start {
		return nil
	}
	if t.PerPulse != p.count.PerPulse {
		t = tally{Start: t.Start, Base: t.total(), PerPulse: p.count.PerPulse}
	}
	p.tally = t
	return nil
}

// Run counts until ctx ends or the line is gone. It gives the total at the start,
// and pulses, total and rate at each interval.
func (p *Pulse) Run(ctx context.Context, emit func(probes.Batch)) error {
	p.emit = emit
	return p.opts.run(ctx, p, p.health)
}

func (p *Pulse) begin(active bool, at probes.Stamp) {
	p.is = active
	p.give(at, probes.Point{Series: p.total, Value: probes.Float(p.tally.total()), Stamp: at})
}

// give hands points on, and with them the total that goes with them.
func (p *Pulse) give(at probes.Stamp, points ...probes.Point) {
	state, _ := json.Marshal(p.tally) // finite numbers always can be
	p.emit(probes.Batch{Points: points, State: state})
	p.since = at.Uptime
}

// edge counts. Edges take turns, so it is known how many pulses were among those
// that are lost. They are not added to the total: where the kernel's queue overflows
// it is noise rather than a meter.
func (p *Pulse) edge(e probes.Edge, _ probes.InputLine) error {
	lost := uint64(e.Lost) / 2
	if !p.is {
		lost = (uint64(e.Lost) + 1) / 2
	}
	p.missed += lost
	p.is = e.Active
	if e.Active {
		p.tally.Pulses++
		p.fresh++
	}
	return nil
}

func (p *Pulse) tick() { p.tell(true) }

func (p *Pulse) samples() bool { return false }

// end tells of what came since the last points. A rate over a short time means
// nothing.
func (p *Pulse) end() {
	if p.fresh+p.missed > 0 {
		p.tell(false)
	}
}

func (p *Pulse) tell(rate bool) {
	at := p.opts.Clock.Now()
	points := []probes.Point{
		{Series: p.pulses, Value: probes.Uint(p.fresh), Stamp: at},
		{Series: p.total, Value: probes.Float(p.tally.total()), Stamp: at},
	}
	if hours := (at.Uptime - p.since).Hours(); rate && hours > 0 {
		points = append(points, probes.Point{Series: p.rate, Value: probes.Float(float64(p.fresh) * p.count.PerPulse / hours), Stamp: at})
	}
	if p.missed > 0 {
		points = append(points, probes.Point{Series: p.lost, Value: probes.Uint(p.missed), Stamp: at})
	}
	p.fresh, p.missed = 0, 0
	p.give(at, points...)
}
