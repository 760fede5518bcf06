package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp"
)

// Once is a single poll of some tasks, with nothing stored and nothing sent.
type Once struct {
	Config  *config.Config // its entries, constants and credentials
	Kinds   []probes.Kind
	Devices []string      // only these devices, as in HOST or HOST:PORT; empty: all
	Wait    time.Duration // poll again after this and give the second poll; 0: poll once
	Between func()        // called before the second poll; nil: nothing
	Built   time.Time     // this machine's clock is not believed before it
	Named   bool          // a person named the packages: they run also where nobody who is trusted signed them, which is said
	Listen  bool          // what arrives by itself is waited for
	Anyway  bool          // with Named: they run whatever is wrong with their signature
	Tell    func(string)  // what is found about the packages; nil: nobody asks
	Log     zerolog.Logger
}

// Polled is what one task gave.
type Polled struct {
	Task   probes.Task
	Points []probes.Point
	Err    error
}

// Poll runs each task once, tasks of one device one after the other, and
// returns what they gave in the order of the configuration. The error says
// which entries of the configuration cannot run.
func (o Once) Poll(ctx context.Context) ([]Polled, error) {
	clock, err := NewClock()
	if err != nil {
		return nil, err
	}
	// Names are looked up beside the polls, as in the agent.
	resolver := snmp.NewResolver(o.Log, nil)
	ctx, stop := context.WithCancel(ctx)
	var names sync.WaitGroup
	names.Go(func() { _ = resolver.Run(ctx) }) // ends with ctx, without an error
	defer names.Wait()
	defer stop()
	all, problems := o.tasks(probes.Deps{
		Clock: clock, Log: o.Log, Resolver: resolver, Memory: probes.NewMemory(),
		Board: newMachineBoard(), Subscribe: subscriber{log: o.Log}.subscribe,
	})
	tasks := slices.DeleteFunc(slices.Clone(all), func(t probes.Task) bool { return !o.wants(t) })
	if len(tasks) == 0 {
		if len(all) > 0 || len(problems) == 0 {
			problems = append(problems, o.nothing(all))
		}
		return nil, errors.Join(problems...)
	}
	out := o.round(ctx, tasks)
	if o.Wait > 0 && slices.ContainsFunc(tasks, func(t probes.Task) bool { return t.Source == nil }) {
		if err := sleep(ctx, o.Wait); err != nil {
			return nil, err
		}
		if o.Between != nil {
			o.Between()
		}
		out = o.round(ctx, tasks)
	}
	return out, errors.Join(problems...)
}

// Silent lists the endpoints that answered and gave nothing, in their order.
func Silent(polled []Polled) []string {
	type endpoint struct{ config, label string }
	gave := map[endpoint]bool{}
	for _, p := range polled {
		key := endpoint{p.Task.Config, p.Task.Label}
		gave[key] = gave[key] || len(p.Points) > 0 || p.Err != nil
	}
	var out []string
	for _, p := range polled {
		key := endpoint{p.Task.Config, p.Task.Label}
		if given, left := gave[key]; left && !given {
			out = append(out, p.Task.Label)
		}
		delete(gave, key)
	}
	return out
}

// wants tells whether a task is of one of the devices that were asked for.
func (o Once) wants(t probes.Task) bool {
	address, _, _ := strings.Cut(t.Label, " ")
	return len(o.Devices) == 0 || slices.ContainsFunc(o.Devices, func(device string) bool {
		return strings.EqualFold(device, t.Device) || strings.EqualFold(device, address)
	})
}

// nothing says why there is no task, where no entry has said so.
func (o Once) nothing(all []probes.Task) error {
	if len(all) == 0 && o.Named {
		return errors.New("nothing to poll: the monitoring configuration has no entry that is enabled and has a device or endpoint of which the package collects something; the warnings say which")
	}
	if len(all) == 0 {
		return errors.New("nothing to poll: no entry under `extensions` or `probes` has a device and a metric; `edgehold check` tells more")
	}
	var known []string
	for _, t := range all {
		if !slices.Contains(known, t.Device) {
			known = append(known, t.Device)
		}
	}
	const most = 10
	if len(known) > most {
		known = append(known[:most], "...")
	}
	return fmt.Errorf("none of %s is configured, expected some of %s", strings.Join(o.Devices, ", "), strings.Join(known, ", "))
}

func (o Once) tasks(deps probes.Deps) (tasks []probes.Task, problems []error) {
	b := builder{kinds: o.Kinds, deps: deps, warden: newWarden(o.Config, wardenOptions{at: MachineMoment(o.Built), named: o.Named, anyway: o.Anyway})}
	states := b.Build(o.Config)
	for _, j := range packagesOf(states) {
		if o.Tell != nil && j.Verdict != nil {
			o.Tell(fmt.Sprintf("%s is trusted: signed by %s", j.Package, j.Verdict.Signer().Subject))
		}
	}
	for _, e := range states {
		for _, w := range e.Warnings {
			o.Log.Warn().Str("configuration", e.Name).Msg(w)
		}
		if e.Err != nil {
			problems = append(problems, e.Err)
		}
		tasks = append(tasks, e.Tasks...)
	}
	return tasks, problems
}

// round polls devices side by side.
func (o Once) round(ctx context.Context, tasks []probes.Task) []Polled {
	out := make([]Polled, len(tasks))
	byDevice := map[string][]int{}
	for i, t := range tasks {
		byDevice[t.Device] = append(byDevice[t.Device], i)
	}
	slots := make(chan struct{}, o.Config.Polling.MaxInFlight)
	var wg sync.WaitGroup
	for _, indices := range byDevice {
		wg.Go(func() {
			if !take(ctx, slots) {
				return
			}
			defer func() { <-slots }()
			for _, i := range indices {
				out[i] = o.one(ctx, tasks[i])
			}
		})
	}
	wg.Wait()
	return out
}

func (o Once) one(ctx context.Context, t probes.Task) Polled {
	var batch probes.Batch
	var err error
	switch {
	case t.Source == nil:
		batch, err = pollOnce(ctx, t)
	case o.Listen:
		batch, err = o.listen(ctx, t)
	default:
		return Polled{Task: t, Err: errors.New("it takes in what arrives, and cannot be polled; `edgehold run` does that")}
	}
	var labels labeler
	labels.Apply(batch.Points, &o.Config.Dimensions)
	points := labels.private.Points(policyOf(o.Config, nil), batch.Points)
	return Polled{Task: t, Points: points, Err: err}
}

// listen runs a source until it gives points, or has something that it would give
// at the end of its interval, and with Wait for all of that time, so that counts
// show.
func (o Once) listen(ctx context.Context, t probes.Task) (probes.Batch, error) {
	most := o.Wait
	if most == 0 {
		most = max(2*t.Interval, 10*time.Second)
	}
	ctx, stop := context.WithTimeoutCause(ctx, most, errHeardOut)
	var hearing sync.WaitGroup
	defer hearing.Wait()
	defer stop()
	if w, ok := t.Source.(probes.Watched); ok && o.Wait == 0 {
		hearing.Go(func() {
			untilHeard(ctx, w)
			stop()
		})
	}
	var mu sync.Mutex
	var all probes.Batch
	err := t.Source.Run(ctx, func(b probes.Batch) {
		mu.Lock()
		defer mu.Unlock()
		all.Points = append(all.Points, b.Points...)
		if len(b.Points) > 0 && o.Wait == 0 {
			stop()
		}
	})
	mu.Lock() // a source may still be giving what it has when Run returns
	defer mu.Unlock()
	if err == nil && len(all.Points) == 0 && errors.Is(context.Cause(ctx), errHeardOut) {
		err = probes.WithStatus(probes.StatusWarning, fmt.Errorf("nothing came within %v; listen for longer with --wait", most))
	}
	return all, err
}

// untilHeard waits until a source has taken something in, and for what comes with it.
func untilHeard(ctx context.Context, w probes.Watched) {
	const look, company = 100 * time.Millisecond, time.Second
	for w.Watch().Received == 0 {
		if sleep(ctx, look) != nil {
			return
		}
	}
	_ = sleep(ctx, company) // the caller sees the end
}

var errHeardOut = errors.New("the time to listen is over")

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
