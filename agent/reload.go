package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes"
)

// Reload reads the configuration again. A file with errors is refused whole
// and the old configuration keeps running; an entry whose package or
// monitoring configuration is bad keeps its last good tasks, and the error is
// a *control.Incomplete. What did not change is not touched.
func (a *Agent) Reload(context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	defer a.herald.Reloading()()
	cfg, warnings, err := config.Load(a.opts.Path, a.opts.Kinds)
	if err == nil {
		err = a.uplink.Change(cfg)
	}
	a.mu.Lock()
	a.lastErr = ""
	if err != nil {
		a.lastErr = err.Error()
	}
	a.mu.Unlock()
	if err != nil {
		return err
	}
	for _, w := range warnings {
		a.log.Warn().Msg(w.String())
	}
	var problems []string
	for _, key := range needsRestart(a.atStart, cfg) {
		a.log.Warn().Str("key", key).Msg("changed in the file; takes effect at the next start")
		problems = append(problems, key+": changed in the file; takes effect at the next start")
	}
	if err := tokenError(cfg); err != nil {
		problems = append(problems, err.Error())
	}
	a.builder.warden = a.newWarden(cfg)
	a.noteConfiguration(cfg)
	for _, e := range a.rebuild(cfg) {
		if e.Err != nil {
			problems = append(problems, e.Err.Error())
		}
	}
	a.log.Info().Str("file", cfg.Path).Msg("configuration reloaded")
	if len(problems) > 0 {
		return &control.Incomplete{Problems: problems}
	}
	return nil
}

// rebuild reads what cfg names and makes it what runs. First it stops what may
// run no longer.
func (a *Agent) rebuild(cfg *config.Config) []entryState {
	a.stopRefused()
	return a.apply(cfg, a.builder.Build(cfg))
}

// apply makes cfg, with the entries built from it, what runs. It returns what
// became of the entries.
func (a *Agent) apply(cfg *config.Config, entries []entryState) []entryState {
	entries = a.swap(cfg, entries)
	a.tellTrust(entries)
	return entries
}

func (a *Agent) swap(cfg *config.Config, entries []entryState) []entryState {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := tokenError(cfg); err != nil {
		a.log.Error().Err(err).Msg("nothing can be sent; points are kept")
	}
	entries = keepLastGood(a.entries, entries, a.builder.warden)
	logEntries(a.log, entries)
	tasks := []probes.Task{a.self}
	for _, e := range entries {
		tasks = append(tasks, e.Tasks...)
		a.uplink.Describe(e.Metadata)
	}
	a.restore(tasks)
	constants := cfg.Dimensions
	a.constants.Store(&constants)
	a.setPolicy(cfg)
	a.schedule.Set(tasks)
	a.cfg, a.entries, a.loadedAt = cfg, entries, time.Now()
	a.warden = a.builder.warden
	return entries
}

// keepLastGood puts what ran before in the place of an entry that cannot run
// with its new files, as long as what ran before is still trusted.
func keepLastGood(old, entries []entryState, w *warden) []entryState {
	runs := map[string]bool{}
	for _, e := range entries {
		runs[e.Name] = runs[e.Name] || len(e.Tasks) > 0
	}
	var out []entryState
	for _, e := range entries {
		kept := false
		for _, o := range old {
			if e.Err != nil && len(e.Tasks) == 0 && o.Key == e.Key && len(o.Tasks) > 0 && !runs[o.Name] && w.keeps(o, e) {
				o.Err, o.Warnings, o.Kept, runs[o.Name], kept = e.Err, e.Warnings, true, true, true
				out = append(out, o)
			}
		}
		if !kept {
			out = append(out, e)
		}
	}
	return out
}

// needsRestart lists changed keys that are read at the start only.
func needsRestart(old, now *config.Config) []string {
	var keys []string
	for _, c := range []struct {
		key      string
		old, now any
	}{
		{"state_dir", old.StateDir, now.StateDir},
		{"socket", old.Socket, now.Socket},
		{"buffer", old.Buffer, now.Buffer},
		{"uplink." + now.Uplink.Kind + ", in place of uplink." + old.Uplink.Kind, old.Uplink.Kind == kindMQTT, now.Uplink.Kind == kindMQTT},
		{"uplink.budget and uplink.profile", old.Uplink.Budget, now.Uplink.Budget},
		{"uplink." + now.Uplink.Kind + ".resolution", old.Uplink.Resolution, now.Uplink.Resolution},
		{"clock", fmt.Sprint(old.Clock), fmt.Sprint(now.Clock)},
		{"polling.max_in_flight", old.Polling.MaxInFlight, now.Polling.MaxInFlight},
		{"outputs", old.Outputs, now.Outputs},
		{"log", old.Log, now.Log},
	} {
		if c.old != c.now {
			keys = append(keys, c.key)
		}
	}
	return keys
}

func (a *Agent) reloadOnSignal(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.opts.Hangup:
			var part *control.Incomplete // was logged entry by entry
			if err := a.Reload(ctx); err != nil && !errors.As(err, &part) {
				a.log.Error().Err(err).Msg(fmt.Sprintf("%s refused, the old configuration keeps running", a.opts.Path))
			}
		}
	}
}
