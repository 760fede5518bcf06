package snmp

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// Probe polls one device for the blocks of one interval.
type Probe struct {
	device *device
	blocks []*plan.Block
	deps   probes.Deps

	mu    sync.Mutex // held while a poll runs
	state plan.State
	life  lifeSign
	saved bool // state and life are of an earlier run and not yet checked
	told  bool // an oddity of the plan was logged

	statsMu sync.Mutex
	stats   probes.PollStats
}

// Poll reads the device once and returns the points with one stamp, that of
// the poll's start. A StatusWarning error beside points says what is missing.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stats probes.PollStats
	defer func() {
		p.statsMu.Lock()
		p.stats = stats
		p.statsMu.Unlock()
	}()
	stamp := p.deps.Clock.Now()
	p.device.relearn(stamp.Uptime)
	s, uptime, err := p.device.reach(ctx, &stats)
	if err != nil {
		return probes.Batch{}, err
	}
	defer s.close()
	r := p.read(ctx, s, stamp, uptime)
	if errors.Is(ctx.Err(), context.Canceled) {
		// Nothing was counted yet, so the next poll's deltas cover this one.
		return probes.Batch{}, ctx.Err()
	}
	p.checkLife(newLifeSign(stamp, uptime))
	points, notes := plan.Points(p.blocks, p.identity(), r.Reading, &p.state)
	p.tell(notes)
	stats.Gaps = notes.Gaps
	return probes.Batch{Points: points}, r.verdict(p.blocks, notes)
}

func (p *Probe) identity() plan.Identity {
	id := plan.Identity{Address: p.device.Host, Port: p.device.Port}
	if p.deps.Resolver != nil {
		id.Name = p.deps.Resolver.NameOf(p.device.Host)
	}
	return id
}

// tell logs, once, that the plan does not fit the device.
func (p *Probe) tell(notes plan.Notes) {
	if p.told || notes.Folded == 0 && len(notes.Skipped) == 0 {
		return
	}
	p.told = true
	p.deps.Log.Warn().Str("device", p.device.label()).
		Int("points_of_one_series", notes.Folded).Strs("oids_without_a_number", notes.Skipped).
		Msg("rows share a series and were folded, or metrics gave no number")
}

// PollStats returns the traffic of the last poll.
func (p *Probe) PollStats() probes.PollStats {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	return p.stats
}

// read asks for all that the blocks need. What could not be had is in the
// reading's account, not in an error.
func (p *Probe) read(ctx context.Context, s *session, stamp probes.Stamp, uptime plan.Cell) *reading {
	scalars, tables := plan.Needs(p.blocks)
	r := newReading(stamp, uptime)
	scalars = slices.DeleteFunc(scalars, r.has)
	r.asked = len(scalars) + len(slices.Concat(tables...))
	var stopped error
	if scalars = p.device.present(scalars); len(scalars) > 0 {
		g := newGets(scalars, p.device.MaxOIDs)
		stopped = drive(ctx, s, g)
		p.device.learnAbsent(g.absent, stamp.Uptime)
		r.addScalars(g)
	}
	options := p.walkOptions(s)
	for _, columns := range tables {
		w := newWalk(columns, options)
		if stopped != nil {
			w.abort(stopped)
		} else {
			stopped = drive(ctx, s, w)
			p.device.learnWalk(w, stamp.Uptime)
		}
		if options.bytes = w.bytes; w.bytes <= 0 {
			stopped = errTooMuch
		}
		r.addTable(w)
	}
	return r
}

func (p *Probe) walkOptions(s *session) walkOptions {
	o := walkOptions{noBulk: s.version1(), reps: p.device.MaxReps, level: p.device.startRung}
	if p.device.MaxOIDs > 0 {
		o.width = min(p.device.MaxOIDs, defaultWidth)
	}
	return o
}
