// Package pin makes points of the lines of GPIO chips: of inputs, such as a door
// contact, and of meters that give a pulse for each litre or watt-hour.
package pin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/sensor/quantity"
)

// Options say which line is watched, and what becomes of it.
type Options struct {
	Clock      probes.Clock
	Open       func() (probes.InputLine, error) // for each run
	Line       string                           // for messages
	Interval   time.Duration                    // of the points
	Dimensions []probes.Dimension               // of all series
}

func (o *Options) series(of quantity.Quantity, more ...probes.Dimension) *probes.Series {
	return probes.NewSeries(of.Key, of.Type, append(more, o.Dimensions...)...)
}

// stamp is when an edge was. The kernel notes it, the callback comes later.
func (o *Options) stamp(e probes.Edge) probes.Stamp {
	now := o.Clock.Now()
	if ago := now.Uptime - e.Uptime; e.Uptime > 0 && ago > 0 {
		now.Uptime -= ago
		now.Wall -= ago.Milliseconds()
	}
	return now
}

// user is what a line tells. All calls come from one goroutine.
type user interface {
	begin(active bool, at probes.Stamp) // the line is open, and was so
	edge(e probes.Edge, line probes.InputLine) error
	tick()
	end()          // of the run: what was not told yet
	samples() bool // a look each second is enough, where the chip gives no edges
}

// run watches the line until ctx ends or the line is gone. It always takes all
// edges that the line gives: each may be a pulse.
func (o *Options) run(ctx context.Context, u user, h *health) error {
	err := o.watch(ctx, u, h)
	if err == nil {
		return nil
	}
	if probes.StatusOf(err) == probes.StatusGenericError {
		err = probes.WithStatus(probes.StatusDeviceConnectionError, err)
	}
	h.set(probes.StatusOf(err), err.Error())
	return err
}

func (o *Options) watch(ctx context.Context, u user, h *health) error {
	line, err := o.Open()
	if err != nil {
		return fmt.Errorf("open line %s: %w", o.Line, err)
	}
	defer line.Close()
	active, err := line.Active()
	if err != nil {
		return fmt.Errorf("read line %s: %w", o.Line, err)
	}
	at := o.Clock.Now()
	ticks := time.NewTicker(o.Interval)
	defer ticks.Stop()
	ctx, cancel := context.WithCancel(ctx)
	edges, over := make(chan probes.Edge), make(chan error, 1)
	var watching sync.WaitGroup
	each := func(e probes.Edge) { edges <- e }
	watching.Go(func() {
		err := line.Watch(ctx, each)
		if errors.Is(err, errors.ErrUnsupported) && u.samples() {
			err = sample(ctx, line, active, each)
		}
		over <- err
	})
	defer watching.Wait()
	defer cancel()
	w := watch{opts: o, user: u, health: h, line: line, ticks: ticks.C, edges: edges, over: over, cancel: cancel}
	if ended, err := w.settle(active, at); ended {
		return w.verdict(ctx, err)
	}
	defer u.end()
	return w.verdict(ctx, w.follow())
}

// watch is a line that is open.
type watch struct {
	opts   *Options
	user   user
	health *health
	line   probes.InputLine
	ticks  <-chan time.Time
	edges  <-chan probes.Edge
	over   <-chan error // of the line's Watch
	cancel func()       // ends it
	failed error        // why it was ended
}

// sampling is how often a line is read whose chip tells nothing of edges.
const sampling = time.Second

// sample gives the changes that it sees, until ctx ends or the line is gone.
func sample(ctx context.Context, line probes.InputLine, was bool, each func(probes.Edge)) error {
	ticks := time.NewTicker(sampling)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		is, err := line.Active()
		if err != nil {
			return err
		}
		if is != was {
			each(probes.Edge{Active: is})
		}
		was = is
	}
}

// settling is how long a line is watched before it is told of: one that can be
// opened and fails at once has not come back.
const settling = 200 * time.Millisecond

// settle waits for that, or for the first edge.
func (w *watch) settle(active bool, at probes.Stamp) (ended bool, err error) {
	timer := time.NewTimer(settling)
	defer timer.Stop()
	begin := func() {
		w.health.set(probes.StatusOK, "")
		w.user.begin(active, at)
	}
	select {
	case err := <-w.over:
		return true, err
	case e := <-w.edges:
		begin()
		w.edge(e)
	case <-timer.C:
		begin()
	}
	return false, nil
}

// follow hands on all edges and ticks until the line's Watch has ended.
func (w *watch) follow() error {
	for {
		select {
		case e := <-w.edges:
			w.edge(e)
		case <-w.ticks:
			w.health.interval()
			w.user.tick()
		case err := <-w.over:
			return err
		}
	}
}

func (w *watch) edge(e probes.Edge) {
	w.health.edge(e, w.opts.stamp(e))
	if err := w.user.edge(e, w.line); err != nil && w.failed == nil {
		w.failed = fmt.Errorf("read line %s: %w", w.opts.Line, err)
		w.cancel()
	}
}

// verdict is the error of a run whose Watch gave err.
func (w *watch) verdict(ctx context.Context, err error) error {
	switch {
	case w.failed != nil:
		return w.failed
	case err != nil:
		return fmt.Errorf("watch line %s: %w", w.opts.Line, err)
	case ctx.Err() == nil:
		return fmt.Errorf("watch line %s: %w", w.opts.Line, errEnded)
	}
	return nil
}

var errEnded = errors.New("it gives no more edges")

// health is what a source knows of itself.
type health struct {
	mu    sync.Mutex
	state probes.SourceState
	lost  uint64 // edges of this interval
}

func newHealth() *health {
	return &health{state: probes.SourceState{Status: probes.StatusPending, Message: "the line is not open yet"}}
}

func (h *health) set(s probes.Status, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Status, h.state.Message = s, message
}

func (h *health) edge(e probes.Edge, at probes.Stamp) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Received++
	h.state.Last = at
	if e.Lost == 0 {
		return
	}
	h.lost += uint64(e.Lost)
	h.state.Dropped += uint64(e.Lost)
	h.state.Status = probes.StatusWarning
	h.state.Message = fmt.Sprintf("%d changes came faster than they could be read: set debounce, or look for a loose contact", h.lost)
}

// interval forgets a loss once an interval was without one.
func (h *health) interval() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost == 0 && h.state.Status == probes.StatusWarning {
		h.state.Status, h.state.Message = probes.StatusOK, ""
	}
	h.lost = 0
}

// Watch tells how the line fares.
func (h *health) Watch() probes.SourceState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}
