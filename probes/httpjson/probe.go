package httpjson

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// Probe polls one endpoint for the blocks of one interval.
type Probe struct {
	endpoint *plan.DocEndpoint
	asks     []ask
	interval time.Duration
	site     string // before device.address, with a slash; "": nothing
	here     string // the site of this agent
	deps     probes.Deps

	mu     sync.Mutex // held while a poll runs
	client *client    // nil before the first poll
	state  state

	statsMu sync.Mutex
	stats   probes.PollStats
}

// Poll asks the endpoint once and returns the points with one stamp, that of the
// poll's start. A StatusWarning error beside points says what is missing.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.limit())
	defer cancel()
	if p.client == nil {
		made, err := newClient(p.endpoint, p.deps)
		if err != nil {
			return probes.Batch{}, err
		}
		p.client = made
	}
	defer p.client.http.CloseIdleConnections() // a reload would leave them behind
	defer p.client.hold.Release()
	stamp := p.deps.Clock.Now()
	p.state.begin(stamp, p.nameNow())
	run := poll{probe: p, state: &p.state, stamp: stamp, budget: &budget{ctx: ctx}, noted: make(map[string]bool)}
	var failed []error
	for i := range p.asks {
		if err := run.ask(ctx, p.client, &p.asks[i]); err != nil {
			failed = append(failed, err)
		}
	}
	p.state.age()
	run.batch.Points, _ = probes.Fold(run.batch.Points)
	run.stats.Rows = run.items
	run.stats.Partial = run.notes
	p.statsMu.Lock()
	p.stats = run.stats
	p.statsMu.Unlock()
	if errors.Is(ctx.Err(), context.Canceled) {
		return run.batch, ctx.Err()
	}
	if len(failed) > 0 && p.endpoint.CA != "" {
		p.client = nil // there may be another certificate in the file by then
	}
	return run.batch, run.verdict(failed, len(p.asks))
}

// limit is how long a poll may take: it has to be over before the next is due.
func (p *Probe) limit() time.Duration { return max(p.interval*8/10, 10*time.Second) }

// PollStats returns the traffic of the last poll.
func (p *Probe) PollStats() probes.PollStats {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	return p.stats
}

// Checkpoint gives the counter baselines and open events, nil before the first
// poll.
func (p *Probe) Checkpoint() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.now == 0 {
		return nil, nil
	}
	return p.state.marshal()
}

// Restore takes them before the first poll.
func (p *Probe) Restore(data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.unmarshal(data)
}

func (p *Probe) nameNow() string {
	if p.deps.Resolver == nil {
		return ""
	}
	return p.deps.Resolver.NameOf(p.endpoint.Host)
}

// implicit are the dimensions that every line has.
func (p *Probe) implicit(name string) []probes.Dimension {
	return []probes.Dimension{
		{Key: addressKey, Value: p.sited(addressKey, p.endpoint.Host)},
		{Key: "device.name", Value: name},
		{Key: "activation_endpoint", Value: p.endpoint.URL},
	}
}

const addressKey = "device.address"

// sited puts the site before an address.
func (p *Probe) sited(key, value string) string {
	if key == addressKey && p.site != "" {
		return p.site + "/" + value
	}
	return value
}

// maxSaid is how many of the things that are missing a message names.
const maxSaid = 3

// verdict says how the poll fared.
func (p *poll) verdict(failed []error, asked int) error {
	if p.budget.err != nil && !errors.Is(p.budget.err, context.Canceled) {
		p.note("%s", outOfTime(p.budget.err))
	}
	if asked > 0 && len(failed) == asked {
		return worst(failed)
	}
	var said []string
	for _, err := range failed {
		said = append(said, err.Error())
	}
	said = append(said, p.notes...)
	got := len(p.batch.Points) > 0 || p.warm > 0 || p.items > 0 && !p.measures()
	switch {
	case got || len(said) > 0:
	case p.items == 0:
		said = append(said, "nothing is collected: the lists are empty, or no item passes the filters")
	default:
		said = append(said, "nothing is collected: no value of the answer is a number or a state")
	}
	if len(said) == 0 {
		return nil
	}
	if more := len(said) - maxSaid; more > 0 {
		said = append(said[:maxSaid], fmt.Sprintf("and %d more", more))
	}
	err := errors.New(strings.Join(said, "; "))
	if !got {
		return probes.WithStatus(probes.StatusGenericError, err)
	}
	return probes.WithStatus(probes.StatusWarning, err)
}

// measures tells whether the poll was to give points at all.
func (p *poll) measures() bool {
	for i := range p.probe.asks {
		for _, b := range p.probe.asks[i].blocks {
			if len(b.Metrics) > 0 {
				return true
			}
		}
	}
	return false
}

func outOfTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the poll took too long, the rest is left out")
	}
	return err
}

// worst is the failure that tells most of the endpoint.
func worst(failed []error) error {
	for _, status := range []probes.Status{probes.StatusAuthenticationError, probes.StatusDeviceConnectionError} {
		for _, err := range failed {
			if probes.StatusOf(err) == status {
				return err
			}
		}
	}
	return failed[0]
}
