package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	// What names a device changes seldom, and what it refuses it will refuse again.
	identityEvery = time.Hour
	refusedFor    = time.Hour

	minLimit  = 10 * time.Second // of a poll, however short its interval
	maxPlaces = 5                // that one reason names
)

// Probe reads one unit.
type Probe struct {
	line     *line
	settings settings
	unit     uint8
	profile  string
	interval time.Duration
	limits   limits
	deps     probes.Deps
	state    plan.ModbusState

	identity, values []span // nil: not laid out yet
	named            bool
	namedAt          time.Duration         // on the clock since boot
	refused          map[int]time.Duration // registers, and when
	words            map[int]string        // and why

	statsMu sync.Mutex
	stats   probes.PollStats
}

// run is one poll.
type run struct {
	raw   [][]byte
	stats probes.PollStats
	err   error // ends the poll
}

// Poll reads all registers in as few requests as it can. Its error is WARNING
// where some are missing.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limit())
	defer cancel()
	stamp := p.deps.Clock.Now()
	p.layOut(stamp.Uptime)
	r := &run{raw: make([][]byte, len(p.state.Registers))}
	if !p.named || stamp.Uptime-p.namedAt >= identityEvery {
		p.identity = p.readAll(ctx, r, p.identity, stamp.Uptime)
		p.named, p.namedAt = r.err == nil, stamp.Uptime
	}
	if r.err == nil {
		p.values = p.readAll(ctx, r, p.values, stamp.Uptime)
	}
	points, notes := p.state.Points(plan.ModbusReading{Stamp: stamp, Interval: p.interval, Raw: r.raw})
	r.stats.Gaps, r.stats.Varbinds = notes.GapsBy.Sum(), len(points)
	err := p.verdict(r)
	p.statsMu.Lock()
	p.stats = r.stats
	p.statsMu.Unlock()
	return probes.Batch{Points: points}, err
}

func (p *Probe) limit() time.Duration { return max(p.interval*8/10, minLimit) }

// layOut plans the requests, and forgets from time to time what was refused.
func (p *Probe) layOut(now time.Duration) {
	for i, at := range p.refused {
		if now-at >= refusedFor {
			delete(p.refused, i)
		}
	}
	if p.values != nil || p.identity != nil {
		return
	}
	var identity, values []int
	for i := range p.state.Registers {
		if p.state.Registers[i].Text() {
			identity = append(identity, i)
		} else {
			values = append(values, i)
		}
	}
	p.identity, p.values = merge(p.state.Registers, identity, p.limits), merge(p.state.Registers, values, p.limits)
	p.refused, p.words = map[int]time.Duration{}, map[int]string{}
}

// readAll reads spans until an error says that the rest will fail too. It gives
// the spans for the next time: what a device refused is then asked for in parts.
func (p *Probe) readAll(ctx context.Context, r *run, spans []span, now time.Duration) (next []span) {
	todo := slices.Clone(spans)
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		parts := p.read(ctx, r, s, now)
		if parts != nil {
			todo = append(parts, todo...)
			continue
		}
		if next = append(next, s); r.err != nil {
			return append(next, todo...)
		}
	}
	return next
}

// read reads one span, or gives its parts where it is refused as a whole.
func (p *Probe) read(ctx context.Context, r *run, s span, now time.Duration) (parts []span) {
	if !slices.ContainsFunc(s.members, func(i int) bool { _, refused := p.refused[i]; return !refused }) {
		return nil
	}
	a := p.line.ask(ctx, question{p.settings, p.unit, s})
	r.stats.Requests += a.stats.Requests
	r.stats.Retries += a.stats.Retries
	r.stats.Timeouts += a.stats.Timeouts
	r.stats.Malformed += a.stats.Malformed
	var e exception
	switch {
	case a.err == nil:
		s.deal(p.state.Registers, a.raw, r.raw)
		for _, i := range s.members {
			delete(p.refused, i)
		}
	case !errors.As(a.err, &e), e.dead():
		r.err = a.err
	case e == illegalFunction:
		p.refuse(s, a.err, now)
	case e.refusal():
		if parts = s.split(p.state.Registers); parts == nil {
			p.refuse(s, a.err, now)
		}
	default:
		p.refuse(s, a.err, 0)
	}
	return parts
}

// refuse notes registers that the device does not give. Those that it has not at
// all are left in peace for a while; at is zero for others.
func (p *Probe) refuse(s span, why error, at time.Duration) {
	for _, i := range s.members {
		p.refused[i], p.words[i] = at, why.Error()
		if at == 0 {
			p.refused[i] = -refusedFor // it is asked for again at the next poll
		}
	}
}

// verdict is the status of a poll.
func (p *Probe) verdict(r *run) error {
	read := 0
	for _, raw := range r.raw {
		if raw != nil {
			read++
		}
	}
	missing, reasons := p.missing()
	r.stats.Partial = reasons
	switch {
	case r.err != nil && read == 0:
		return probes.WithStatus(probes.StatusDeviceConnectionError, p.explain(r.err))
	case r.err != nil:
		r.stats.Partial = append(r.stats.Partial, r.err.Error())
		return probes.WithStatus(probes.StatusWarning, fmt.Errorf("read %d of %d registers: %w", read, len(r.raw), p.explain(r.err)))
	case len(reasons) == 0:
		return nil
	case read == 0:
		return probes.WithStatus(probes.StatusGenericError, fmt.Errorf("the device gives none of %d registers: %s", len(r.raw), strings.Join(reasons, "; ")))
	}
	return probes.WithStatus(probes.StatusWarning, fmt.Errorf("the device does not give %d of %d registers: %s", missing, len(r.raw), strings.Join(reasons, "; ")))
}

// missing tells what the device does not give: the registers of each reason.
func (p *Probe) missing() (count int, reasons []string) {
	places := map[string][]string{}
	var order []string
	for i := range p.state.Registers {
		if _, refused := p.refused[i]; !refused {
			continue
		}
		m, why := &p.state.Registers[i], p.words[i]
		if places[why] == nil {
			order = append(order, why)
		}
		count++
		places[why] = append(places[why], fmt.Sprintf("%s %d", m.Table, m.Address))
	}
	for _, why := range order {
		at := slices.Compact(places[why])
		if n := len(at); n > maxPlaces {
			at = append(at[:maxPlaces-1], fmt.Sprintf("%d more", n-maxPlaces+1))
		}
		reasons = append(reasons, strings.Join(at, ", ")+": "+why)
	}
	return count, reasons
}

// explain adds what mends it.
func (p *Probe) explain(err error) error {
	switch {
	case errors.Is(err, errTimeout):
		return silence(p.settings, p.unit)
	case errors.Is(err, errGarbled) && p.settings.scheme == schemeTCP:
		return fmt.Errorf("%w of unit %d; is it Modbus TCP that listens there? A serial server wants rtuovertcp://", err, p.unit)
	case errors.Is(err, errGarbled):
		return fmt.Errorf("%w of unit %d; check speed, parity and stop bits, the ends of the bus (120 ohm), and that no two devices have one unit number", err, p.unit)
	case errors.Is(err, errLost) && p.settings.path == "":
		return fmt.Errorf("%w; the device may have room for no more connections, or allow only some addresses", err)
	case err == context.DeadlineExceeded: //nolint:errorlint // of the poll; one of name servers is wrapped
		return fmt.Errorf("unit %d was not read within %v, the time of a poll: set a longer interval, or a shorter timeout where devices of this line do not answer: %w", p.unit, p.limit(), err)
	}
	return err
}

// PollStats returns the cost of the last poll.
func (p *Probe) PollStats() probes.PollStats {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	return p.stats
}

// Description names what is read.
func (p *Probe) Description() string { return p.profile }

// Checkpoint gives the baselines of the counters.
func (p *Probe) Checkpoint() ([]byte, error) { return p.state.Checkpoint() }

// Restore takes what Checkpoint gave.
func (p *Probe) Restore(data []byte) error { return p.state.Restore(data) }
