package sensor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/part"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// How often a sensor is asked in one poll.
const (
	againTries = 3 // whose checksum is wrong, or who is not ready
	busTries   = 2 // who does not answer: a spike on the wires hits one transaction
)

// probe reads one sensor, polls after polls.
type probe struct {
	part  string
	read  func(context.Context) ([]quantity.Reading, error)
	tries int // of one who does not answer
	clock probes.Clock

	dims   []probes.Dimension
	change func(quantity.Reading) told
	series map[[3]string]*probes.Series

	wrongSums uint64 // not told yet
	dropped   uint64 // not told yet
	stats     probes.PollStats
}

// told is what becomes of a reading that is believed.
type told struct {
	quantity.Reading
	name, unit string // dimensions of a channel, "": none
}

func (o *Options) probe(m model, deps probes.Deps, own []probes.Dimension) *probe {
	p := &probe{part: m.Name, clock: deps.Clock, dims: o.dimensions(m, deps, own), series: map[[3]string]*probes.Series{}}
	p.change = o.corrected(m)
	if m.Channels {
		p.change = o.asChannel()
	}
	return p
}

func (c Correction) of(v float64) float64 { return v*cmp.Or(c.Scale, 1) + c.Offset }

func (o *Options) corrected(m model) func(quantity.Reading) told {
	all := make(map[string]Correction, len(o.Corrections)+1)
	for short, c := range o.Corrections {
		if q, ok := quantity.Named(short); ok {
			all[q.Key] = c
		}
	}
	if m.single() && (o.Scale != 0 || o.Offset != 0) {
		all[m.Measures[0].Key] = Correction{o.Scale, o.Offset}
	}
	return func(r quantity.Reading) told {
		r.Value = all[r.Of.Key].of(r.Value)
		return told{Reading: r}
	}
}

// asChannel makes of the voltage at an input what it stands for.
func (o *Options) asChannel() func(quantity.Reading) told {
	all := make(map[string]Channel, len(o.Channels))
	for _, c := range o.Channels {
		all[string(c.Input)] = c
	}
	return func(r quantity.Reading) told {
		c := all[r.Index]
		r.Of, _ = quantity.Named(c.quantity())
		r.Value = Correction{c.Scale, c.Offset}.of(r.Value)
		return told{r, c.Name, c.Unit}
	}
}

// PollStats counts what the last poll cost.
func (p *probe) PollStats() probes.PollStats { return p.stats }

// Poll takes one measurement.
func (p *probe) Poll(ctx context.Context) (probes.Batch, error) {
	p.stats = probes.PollStats{}
	stamp := p.clock.Now()
	readings, err := p.ask(ctx)
	var batch probes.Batch
	for _, r := range readings {
		if doubt := p.doubt(r); doubt != "" {
			p.dropped++
			p.stats.Partial = append(p.stats.Partial, doubt)
			continue
		}
		made := p.change(r)
		batch.Points = append(batch.Points, probes.Point{Series: p.seriesOf(made), Value: probes.Float(made.Value), Stamp: stamp})
	}
	if len(batch.Points) > 0 { // what is wrong is told beside what is right: alone it would look like data
		batch.Points = p.count(batch.Points, checksums, &p.wrongSums, stamp)
		batch.Points = p.count(batch.Points, implausible, &p.dropped, stamp)
	}
	return batch, p.verdict(err, len(batch.Points) > 0)
}

// ask reads the sensor, and again where that may help.
func (p *probe) ask(ctx context.Context) ([]quantity.Reading, error) {
	for {
		p.stats.Requests++
		readings, err := p.read(ctx)
		if err == nil || len(readings) > 0 {
			return readings, err
		}
		limit := againTries
		switch {
		case errors.Is(err, quantity.ErrChecksum):
			p.wrongSums++
			p.stats.Malformed++
		case errors.Is(err, quantity.ErrNotReady):
		default:
			p.stats.Timeouts++
			limit = p.tries
		}
		if p.stats.Requests >= limit {
			return nil, err
		}
		p.stats.Retries++
	}
}

// doubt says why a value is not believed, "" where it is.
func (p *probe) doubt(r quantity.Reading) string {
	v := probes.Float(r.Value)
	if v.Check() == nil && (r.Min == 0 && r.Max == 0 || r.Value >= r.Min && r.Value <= r.Max) {
		return ""
	}
	of := r.Of.Short()
	if r.Index != "" {
		of += " of " + r.Index
	}
	return fmt.Sprintf("%s %.6g is not from %.6g to %.6g, which is all that a %s can tell", of, r.Value, r.Min, r.Max, p.part)
}

// verdict is the error of the poll.
func (p *probe) verdict(err error, some bool) error {
	switch {
	case err != nil:
		return err
	case len(p.stats.Partial) == 0:
		return nil
	}
	err = fmt.Errorf("%s; look at its wires and its supply", strings.Join(p.stats.Partial, "; "))
	if some {
		return probes.WithStatus(probes.StatusWarning, err)
	}
	return err
}

func (p *probe) count(points []probes.Point, of quantity.Quantity, n *uint64, stamp probes.Stamp) []probes.Point {
	if *n == 0 {
		return points
	}
	s := p.seriesOf(told{Reading: quantity.Reading{Of: of}})
	points = append(points, probes.Point{Series: s, Value: probes.Uint(*n), Stamp: stamp})
	*n = 0
	return points
}

func (p *probe) seriesOf(t told) *probes.Series {
	key := [3]string{t.Of.Key, t.Index, t.name}
	if s := p.series[key]; s != nil {
		return s
	}
	dims := make([]probes.Dimension, 0, len(p.dims)+3)
	if t.name != "" {
		dims = append(dims, probes.Dimension{Key: "sensor.name", Value: t.name})
	}
	dims = append(dims, p.dims...)
	dims = append(dims, probes.Dimension{Key: "sensor.index", Value: t.Index}, probes.Dimension{Key: "sensor.unit", Value: t.unit})
	s := probes.NewSeries(t.Of.Key, t.Of.Type, dims...)
	p.series[key] = s
	return s
}

// busReader reads a part on an I2C bus, which it opens for each reading: an
// adapter that was unplugged is another one when it is back.
type busReader struct {
	sensor *part.Sensor
	board  probes.Board
	model  model
	bus    string
	at     string // the address
	hint   string // of an address that such a part does not have
}

// Read gives the readings, or an error with its status and what to do.
func (r *busReader) Read(ctx context.Context) ([]quantity.Reading, error) {
	if r.board == nil {
		return nil, errNoBoard
	}
	bus, err := r.board.I2C(r.bus)
	if err != nil {
		return nil, probes.WithStatus(probes.StatusDeviceConnectionError, fmt.Errorf("open bus %s: %w", r.bus, err))
	}
	defer func() { _ = bus.Close() }()
	readings, err := r.sensor.Read(ctx, bus)
	if err == nil {
		return readings, nil
	}
	where := fmt.Sprintf("%s at %s on %s", r.model.Name, r.at, r.bus)
	switch {
	case errors.Is(err, quantity.ErrChecksum):
		return nil, fmt.Errorf("%s: %w; the wires may be too long or too near to others, or the bus too fast", where, err)
	case errors.Is(err, quantity.ErrNotSuch):
		return nil, probes.WithStatus(probes.StatusInvalidConfigError, fmt.Errorf("%s: %w; correct part or address", where, err))
	case errors.Is(err, quantity.ErrNotReady):
		err = fmt.Errorf("%s: %w; look at its supply", where, err)
	default:
		err = fmt.Errorf("%s does not answer%s: %w", where, r.hint, err)
	}
	return nil, probes.WithStatus(probes.StatusDeviceConnectionError, err)
}
