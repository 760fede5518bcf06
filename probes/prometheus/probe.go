package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// minLimit is the least time that a poll may take: a short interval leaves a
// slow endpoint the time for its answer all the same.
const minLimit = 10 * time.Second

// maxReasons is how many reasons one status tells.
const maxReasons = 5

// Probe scrapes the endpoints of one entry of a configuration at one interval.
type Probe struct {
	client   *client
	names    *plan.ExposedNames
	interval time.Duration
	leftOut  int // metrics that the package has beyond the cap
	deps     probes.Deps

	targets  []*target
	resolved time.Duration // when discovery last answered, on the clock since boot
	saved    map[string][]byte
	told     bool

	statsMu sync.Mutex
	stats   probes.PollStats
}

// target is one endpoint. Its URL may hold a secret, its name does not; by its key
// it is found again in what was saved.
type target struct {
	url, name, key string
	state          plan.ExposedState
}

// outcome is what one scrape of one target gave.
type outcome struct {
	points []probes.Point
	notes  plan.ExposedNotes
	stats  probes.PollStats
	err    error
}

// Poll scrapes. Its error is WARNING where something is missing or, of several
// targets, some give nothing.
func (p *Probe) Poll(ctx context.Context) (probes.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, max(p.interval*8/10, minLimit))
	defer cancel()
	stamp := p.deps.Clock.Now()
	unresolved := p.discover(ctx, stamp.Uptime)
	if unresolved != nil && len(p.targets) == 0 {
		p.keep(probes.PollStats{})
		return probes.Batch{}, probes.WithStatus(probes.StatusDeviceConnectionError, unresolved)
	}
	outcomes := make([]outcome, len(p.targets))
	p.each(func(i int) { outcomes[i] = p.scrape(ctx, p.targets[i], stamp) })
	var batch probes.Batch
	var stats probes.PollStats
	for _, o := range outcomes {
		batch.Points = append(batch.Points, o.points...)
		addStats(&stats, &o.stats)
	}
	p.keep(stats)
	p.tell(outcomes)
	return batch, p.verdict(outcomes, unresolved)
}

// atOnce is how many of several targets are scraped at a time.
const atOnce = 4

// each calls do for every target and waits for all of them.
func (p *Probe) each(do func(i int)) {
	if len(p.targets) == 1 {
		do(0)
		return
	}
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range p.targets {
		slots <- struct{}{}
		all.Go(func() {
			do(i)
			<-slots
		})
	}
	all.Wait()
}

// scrape takes the samples of one target and makes points of them.
func (p *Probe) scrape(ctx context.Context, t *target, stamp probes.Stamp) (o outcome) {
	hold := p.deps.Memory.Answers.Hold()
	defer hold.Release()
	samples, missing, err := p.read(ctx, t, hold, &o.stats)
	if err != nil {
		o.err = err
		return o
	}
	o.points, o.notes = plan.ExposedPoints(p.names, &plan.Scrape{Stamp: stamp, Endpoint: t.name, Samples: samples}, &t.state)
	o.stats.Rows = o.notes.Samples
	o.stats.Gaps = o.notes.GapsBy.Sum()
	o.stats.Partial = missing
	o.err = p.judge(&o)
	return o
}

// read asks the target. What it could not give beside its samples is in missing;
// the error says why there are none.
func (p *Probe) read(ctx context.Context, t *target, hold *probes.Hold, stats *probes.PollStats) (samples []plan.Sample, missing []string, err error) {
	if asks := queries(t.url, p.names.Names()); asks != nil {
		return p.ask(ctx, asks, hold, stats)
	}
	x := exposition{names: p.names, hold: hold}
	err = p.client.get(ctx, t.url, stats, func(ctx context.Context, r *http.Response) error {
		x.open = isOpenMetrics(r.Header.Get("Content-Type"))
		return x.read(ctx, r.Body)
	})
	switch {
	case err != nil && len(x.samples) == 0:
		return nil, nil, err
	case err != nil:
		missing = append(missing, "the rest is missing: "+err.Error())
	case x.seen == 0 && x.malformed > 0:
		return nil, nil, fmt.Errorf("what it answers is not an exposition of metrics (%s); check the URL, which often ends in /metrics", x.first)
	}
	if x.malformed > 0 {
		stats.Malformed += x.malformed
		missing = append(missing, fmt.Sprintf("%d of %d lines cannot be read, the first is %s", x.malformed, x.lines, x.first))
	}
	return x.samples, missing, nil
}

// ask sends queries to a server.
func (p *Probe) ask(ctx context.Context, asks []string, hold *probes.Hold, stats *probes.PollStats) (samples []plan.Sample, missing []string, err error) {
	for _, url := range asks {
		a := apiAnswer{names: p.names, hold: hold}
		err := p.client.get(ctx, url, stats, func(ctx context.Context, r *http.Response) error { return a.read(ctx, r.Body) })
		samples = append(samples, a.samples...)
		missing = append(missing, a.warnings...)
		if a.unread > 0 {
			stats.Malformed += a.unread
			missing = append(missing, fmt.Sprintf("%d results have no name of a metric, or no value", a.unread))
		}
		if err != nil && len(samples) == 0 {
			return nil, nil, err
		}
		if err != nil {
			missing = append(missing, "the rest is missing: "+err.Error())
			break
		}
	}
	return samples, missing, nil
}

// judge is the status of a scrape that gave an answer.
func (p *Probe) judge(o *outcome) error {
	n := &o.notes
	reasons := slices.Clone(o.stats.Partial)
	switch {
	case n.Samples == 0:
		return probes.WithStatus(probes.StatusGenericError, errors.New(strings.Join(append(reasons,
			fmt.Sprintf("nothing is collected: it serves none of the %d metrics that the package asks for", p.names.Metrics())), "; ")))
	case n.Matched == 0:
		reasons = append(reasons, fmt.Sprintf("nothing is collected: the filters let none of %d samples pass", n.Samples))
	case n.Numbers == 0:
		reasons = append(reasons, fmt.Sprintf("nothing is collected: none of %d samples has a number", n.Matched))
	}
	if n.Duplicates > 0 {
		reasons = append(reasons, fmt.Sprintf("%d samples come twice, the first of each counts", n.Duplicates))
	}
	if n.LabelsCut > 0 {
		reasons = append(reasons, fmt.Sprintf("%d samples have more labels than a line has room for, the last ones are left out", n.LabelsCut))
	}
	if n.NoRoom > 0 {
		reasons = append(reasons, fmt.Sprintf("%d samples are left out, since the series of endpoints take all the memory that there is for them; filter them, or ask for fewer metrics", n.NoRoom))
	}
	if n.Unsure > 0 {
		reasons = append(reasons, fmt.Sprintf("of %d samples $reference(...) fits several rows that differ, or there are too many rows to look at; these have no such dimension", n.Unsure))
	}
	if p.leftOut > 0 {
		reasons = append(reasons, fmt.Sprintf("the package has more than %d metric keys, a histogram or summary three; its last %d metrics are not collected", plan.MaxExposed, p.leftOut))
	}
	return warning(reasons)
}

// warning is nil where there is nothing to say.
func warning(reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	if n := len(reasons); n > maxReasons {
		reasons = append(reasons[:maxReasons-1], fmt.Sprintf("and %d more", n-maxReasons+1))
	}
	return probes.WithStatus(probes.StatusWarning, errors.New(strings.Join(reasons, "; ")))
}

// verdict is the status of the poll.
func (p *Probe) verdict(outcomes []outcome, unresolved error) error {
	if p.client.Discovery == nil {
		return outcomes[0].err
	}
	var reasons []string
	if unresolved != nil {
		reasons = append(reasons, unresolved.Error()+"; the addresses of the last answer are used")
	}
	var worst error
	bad := 0
	for i, o := range outcomes {
		if o.err == nil {
			continue
		}
		if reasons = append(reasons, p.targets[i].name+": "+o.err.Error()); probes.StatusOf(o.err) != probes.StatusWarning {
			worst, bad = o.err, bad+1
		}
	}
	err := warning(reasons)
	if bad == len(outcomes) {
		return probes.WithStatus(probes.StatusOf(worst), err)
	}
	return err
}

// tell logs, once, what points do not show.
func (p *Probe) tell(outcomes []outcome) {
	var folded, missing int
	for i := range outcomes {
		folded += outcomes[i].notes.Folded
		missing = max(missing, outcomes[i].notes.Missing)
	}
	if p.told || folded == 0 && missing == 0 {
		return
	}
	p.told = true
	p.deps.Log.Info().Str("endpoint", p.client.shown()).
		Int("points_of_one_series", folded).Int("metrics_not_served", missing).
		Msg("samples share a series and were folded, or metrics of the package are not served")
}

func addStats(sum, one *probes.PollStats) {
	sum.Requests += one.Requests
	sum.Retries += one.Retries
	sum.Timeouts += one.Timeouts
	sum.Malformed += one.Malformed
	sum.Rows += one.Rows
	sum.Gaps += one.Gaps
	sum.Partial = append(sum.Partial, one.Partial...)
}

func (p *Probe) keep(stats probes.PollStats) {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	p.stats = stats
}

// PollStats returns the cost of the last poll; its rows are samples.
func (p *Probe) PollStats() probes.PollStats {
	p.statsMu.Lock()
	defer p.statsMu.Unlock()
	return p.stats
}
