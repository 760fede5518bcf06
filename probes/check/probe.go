package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	keyKind   = "check.kind"
	keyName   = "check.name"
	keyDevice = "device.address"
)

// asker checks once, within the time of ctx. Its error says why nothing could be
// measured; what is wrong with the service is in the answer.
type asker func(ctx context.Context, now probes.Stamp) (answer, error)

// answer is what a check found.
type answer struct {
	took   time.Duration // 0: there was no answer whose time could tell anything
	extras []extra
	// wrong says what is not as it should be. Where it is a warning the service is
	// up all the same.
	wrong error
}

// extra is one value beside up and duration.
type extra struct {
	metric int
	value  float64
}

func (a *answer) add(metric int, value float64) { a.extras = append(a.extras, extra{metric, value}) }

func (a *answer) addTime(metric int, d time.Duration) { a.add(metric, milliseconds(d)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func fail(err error) error { return probes.WithStatus(probes.StatusGenericError, err) }

func failf(format string, args ...any) error { return fail(fmt.Errorf(format, args...)) }

func warnf(format string, args ...any) error {
	return probes.WithStatus(probes.StatusWarning, fmt.Errorf(format, args...))
}

// Probe runs one check.
type Probe struct {
	common
	ask    asker
	deps   probes.Deps
	dims   *probes.Dimensions
	series [len(metrics)]*probes.Series
	outage outage
}

// Poll checks once. A service that fails is an error other than of the connection:
// those are asked less and less often, and a check is to go on.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	limited, cancel := context.WithTimeout(ctx, p.limit())
	defer cancel()
	stamp := p.deps.Clock.Now()
	a, err := p.ask(limited, stamp)
	if errors.Is(ctx.Err(), context.Canceled) {
		return probes.Batch{}, ctx.Err()
	}
	if err != nil {
		return probes.Batch{}, err
	}
	up := a.wrong == nil || probes.StatusOf(a.wrong) == probes.StatusWarning
	b := probes.Batch{Points: []probes.Point{p.point(stamp, isUp, probes.Int(0))}}
	if up {
		b.Points[0].Value = probes.Int(1)
	}
	if a.took > 0 {
		b.Points = append(b.Points, p.point(stamp, duration, probes.Float(milliseconds(a.took))))
	}
	for _, x := range a.extras {
		b.Points = append(b.Points, p.point(stamp, x.metric, probes.Float(x.value)))
	}
	if p.event {
		b.Events = p.outage.events(p, stamp, up, a.wrong)
	}
	return b, a.wrong
}

func (p *Probe) point(at probes.Stamp, metric int, v probes.Value) probes.Point {
	if p.series[metric] == nil {
		p.series[metric] = probes.NewSeriesOf(metrics[metric].Key, metrics[metric].Type, p.dimensionsOf())
	}
	return probes.Point{Series: p.series[metric], Value: v, Stamp: at}
}

func (p *Probe) dimensionsOf() *probes.Dimensions {
	if p.dims == nil {
		dims := append([]probes.Dimension{}, p.deps.Constants...)
		p.dims = probes.NewDimensions(append(dims, p.own()...)...)
	}
	return p.dims
}

// own are the dimensions of the check, without the constants.
func (p *Probe) own() []probes.Dimension {
	dims := []probes.Dimension{{Key: keyKind, Value: p.kind}, {Key: keyName, Value: p.name}, {Key: keyDevice, Value: p.device}}
	for key, value := range p.dimensions {
		dims = append(dims, probes.Dimension{Key: key, Value: value})
	}
	return dims
}
