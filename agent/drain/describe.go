package drain

import (
	"context"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
)

// mostDescribed bounds how many metrics are described to the environment.
const mostDescribed = 10_000

// described is what the environment is told of metrics beside their points. It
// is kept in memory alone: each start tells it anew.
type described struct {
	told  map[string]bool // the lines
	lines []string        // that wait
}

// Describe has the environment told what metrics are: each once, after points
// were taken. It may be called from any goroutine, and again with others. OTLP
// carries none of it.
func (d *Drain) Describe(all []probes.Metadata) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &d.described
	if t.told == nil {
		t.told = map[string]bool{}
	}
	for _, m := range all {
		line, err := mint.AppendMetadata(nil, m)
		if err != nil || len(line) == 0 || t.told[string(line)] || len(t.told) >= mostDescribed {
			continue // a key that has no line has no points either
		}
		t.told[string(line)] = true
		t.lines = append(t.lines, string(line))
	}
}

// describe posts some of the lines that wait, now that metrics arrive. What the
// server answers is the end of it: they are no points. Without an answer they
// wait for the next time.
func (d *Drain) describe(ctx context.Context, x *load) {
	if x.cargo != metrics {
		return
	}
	lines := d.toDescribe(d.batch(metrics))
	if len(lines) == 0 {
		return
	}
	var body []byte
	for _, line := range lines {
		body = append(append(body, line...), '\n')
	}
	now := d.opts.Now()
	if d.budget.wait(now, int64(float64(len(body))*d.packed), d.shaper.rate()) > 0 {
		return
	}
	e := d.exchange(ctx, request{cargo: metrics, body: body, items: len(lines)})
	if e.wire > 0 {
		d.budget.spent(now, e.wire, false)
		d.update(func(s *State) { s.BytesWire += e.wire })
	}
	if e.status == 0 || e.status >= 500 || e.status == 429 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.described.lines = d.described.lines[len(lines):]
}

// toDescribe are the first lines that wait, as many as a post takes.
func (d *Drain) toDescribe(b batch) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, size := 0, 0
	for _, line := range d.described.lines {
		if size += len(line) + 1; n == b.lines || n > 0 && size > b.text {
			break
		}
		n++
	}
	return d.described.lines[:n]
}
