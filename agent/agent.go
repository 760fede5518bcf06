// Package agent is the daemon: it makes tasks of the configuration, polls them
// on a schedule, hands their points to the buffer and runs the uplink. Data
// flows one way, from the probes to the disk and from the disk to the uplink.
package agent

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/privacy"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/sign"
)

// Window is the age at which the environment refuses a metric point
// (metric ingestion protocol: one hour).
const Window = time.Hour

// StoreFile is the name of the store within the state directory.
const StoreFile = "edgehold.db"

// engineFile is the SNMP engine that senders of informs know this machine by.
const engineFile = "snmp-engine"

// Options are what the command hands in.
type Options struct {
	Path    string // of the configuration file
	Kinds   []probes.Kind
	Version string
	Built   time.Time // no earlier time is believed
	NewLog  func(config.Log) zerolog.Logger
	Hangup  <-chan os.Signal // each signal reloads; nil: none does
	Notify  Notify           // the service manager that is told how it fares

	moment   func() sign.Moment // of tests; nil: as the clock knows it
	hardware *hardware          // of tests; nil: this machine's
}

// Agent is one running daemon.
type Agent struct {
	opts      Options
	log       zerolog.Logger
	time      *clock.Clock
	store     *buffer.Store
	resolver  *snmp.Resolver
	traps     *snmp.TrapReceiver
	builder   builder
	schedule  *schedule
	uplink    *uplink
	gaps      *gaps
	self      probes.Task
	baselines map[string][]byte // of tasks that were stopped in order; each is used once
	started   time.Time
	atStart   *config.Config // what only a start takes up is as here
	constants atomic.Pointer[[]probes.Dimension]
	meter     egress.Meter                   // of all ways to the network
	policy    atomic.Pointer[privacy.Policy] // nil: everything leaves as it is
	ready     atomic.Pointer[clock.Clock]    // time, once the store may ask it
	history   atomic.Pointer[string]         // why the history could not be written last; nil: it could
	checking  atomic.Pointer[time.Time]      // since when packages are checked; nil: they are not
	states    sync.Map                       // id of a task to its last State, which the store may not have committed yet
	denied    atomic.Bool                    // a deny list came that no package was judged by yet
	trustTick time.Duration                  // how often the trust folders are looked at
	alive     *alive
	herald    *herald
	outputs   *outputs

	reloading sync.Mutex // one reload at a time
	ledger    ledger     // guarded by reloading, as is builder.warden

	mu       sync.Mutex // guards what follows
	cfg      *config.Config
	loadedAt time.Time
	lastErr  string // of the last reload
	entries  []entryState
	warden   *warden // that judged the entries
}

// New reads the configuration, opens the store and prepares all parts. The
// error is a config.Errors where the configuration is at fault.
func New(opts Options) (*Agent, error) {
	cfg, warnings, err := config.Load(opts.Path, opts.Kinds)
	if err != nil {
		return nil, err
	}
	if err := refusesRelay(cfg); err != nil {
		return nil, err
	}
	log := opts.NewLog(cfg.Log)
	for _, w := range warnings {
		log.Warn().Msg(w.String())
	}
	a := &Agent{opts: opts, log: log, started: time.Now(), atStart: cfg, cfg: cfg, loadedAt: time.Now()}
	a.alive = newAlive(loopSchedule, loopStore, loopUplink, loopControl)
	a.herald = newHerald(opts.Notify, a.alive, log)
	defer a.herald.Starting("opens the store and reads the packages")()
	a.outputs = startOutputs(cfg.Outputs, a.alive, cmp.Or(opts.hardware, thisMachine()), log)
	if err := a.open(); err != nil {
		a.outputs.Stop()
		return nil, err
	}
	return a, nil
}

// open opens the store and makes all parts.
func (a *Agent) open() (err error) {
	if a.store, err = openStore(a.cfg, a.trueTime, a.log, a.alive.Beat(loopStore)); err != nil {
		return err
	}
	if a.time, err = a.newTime(a.log); err == nil {
		a.ready.Store(a.time)
		err = a.prepare()
	}
	if err != nil {
		_ = a.store.Close()
	}
	return err
}

func openStore(cfg *config.Config, now func() time.Time, log zerolog.Logger, beat func(time.Duration)) (*buffer.Store, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o750); err != nil {
		return nil, fmt.Errorf("create state_dir: %w; give a folder that this user may write, as state_dir in %s", err, cfg.Path)
	}
	return buffer.Open(buffer.Options{
		Path:           filepath.Join(cfg.StateDir, StoreFile),
		MaxSize:        int64(cfg.Buffer.MaxSize),
		CommitInterval: cfg.Buffer.CommitInterval.Std(),
		Window:         Window,
		Now:            now,
		Beat:           beat,
		Log:            log.With().Str("part", "buffer").Logger(),
	})
}

func (a *Agent) prepare() error {
	baselines, err := a.store.TakeState()
	if err != nil {
		return fmt.Errorf("read baselines: %w", err)
	}
	a.baselines = baselines
	a.resolver = snmp.NewResolver(a.log, a.meter.Resolver())
	a.traps = snmp.NewTrapReceiver(snmp.TrapReceiverOptions{
		EngineFile: filepath.Join(a.cfg.StateDir, engineFile), Log: a.log.With().Str("part", "traps").Logger(), Clock: a.time,
		Traffic: a.meter.Line(egress.DevicePoll), Environment: os.Getenv,
	})
	a.builder = builder{kinds: a.opts.Kinds, traps: a.traps, deps: probes.Deps{
		Clock:    a.time,
		Log:      a.log.With().Str("part", "probes").Logger(),
		Resolver: a.resolver,
		DNS:      a.meter.Resolver(),
		Traffic:  a.meter.Line(egress.DevicePoll),
		Memory:   probes.NewMemory(),

		Board:     newMachineBoard(),
		Subscribe: subscriber{line: a.meter.Line(egress.DevicePoll), time: a.time.TLSTime, log: a.log}.subscribe,
	}}
	a.schedule = newSchedule(a.cfg.Polling.MaxInFlight, a.take)
	a.schedule.beat = a.alive.Beat(loopSchedule)
	a.schedule.resume = a.resume
	a.schedule.log = a.log.With().Str("part", "schedule").Logger()
	a.self = newSelfTask(&selfProbe{clock: a.time, store: a.store, floor: a.time.Floor, states: a.schedule.States, constants: a.constants.Load, certificates: a.certificates, entries: a.running})
	a.uplink, err = newUplink(a.cfg, uplinkOptions{Version: a.opts.Version, Log: a.log, Store: a.store, Clock: a.time, Watch: a.meter.Line(egress.Uplink), OnDeny: a.takeDenyList, Beat: a.alive.Beat(loopUplink)})
	if err != nil {
		return err
	}
	a.gaps = &gaps{
		store: a.store, uplink: a.uplink.sending, clock: a.time, devices: a.polled, place: a.place, last: a.lastLook,
		mode: a.cfg.Buffer.Late, log: a.log.With().Str("part", "gaps").Logger(), tick: gapTick,
	}
	a.trustTick = trustTick
	a.builder.warden = a.newWarden(a.cfg)
	a.readLedger()
	a.noteConfiguration(a.cfg)
	a.apply(a.cfg, a.builder.Build(a.cfg))
	return nil
}

// place is the site and the constants of every line, as configured now.
func (a *Agent) place() (site string, constants []probes.Dimension) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Site, a.cfg.Dimensions
}

// running is what became of the entries of the configuration.
func (a *Agent) running() []entryState {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entries
}

// polled are the devices that are polled now.
func (a *Agent) polled() []string {
	found := map[string]bool{}
	for _, t := range a.schedule.States() {
		if t.Task.Device != selfDevice && t.Task.Source == nil {
			found[t.Task.Device] = true
		}
	}
	return sortedKeys(found)
}

// take is where the poll side ends: the points go to the buffer, which never
// makes a poll wait.
func (a *Agent) take(e *entry, b probes.Batch) {
	e.labels.Apply(b.Points, a.constants.Load())
	b.Points = e.labels.private.Points(a.policy.Load(), b.Points)
	from := a.schedule.configOf(e)
	if len(b.Points) > 0 {
		a.audited(from, b.Points)
	}
	switch {
	case b.State != nil:
		id := a.schedule.idOf(e)
		a.states.Store(id, b.State)
		a.store.EnqueueWith(b.Points, stateNote(id), b.State)
	case len(b.Points) > 0:
		a.store.Enqueue(b.Points)
	}
	if from != a.self.Config && holds(b) {
		a.outputs.Collected()
	}
	a.tell(from, b)
}

// stateNote is the note in the store with the last State of a task.
func stateNote(id string) string { return "state/" + id }

// Run runs all parts until ctx ends, writes the baselines and closes the store.
func (a *Agent) Run(ctx context.Context) error {
	a.log.Info().Str("version", a.opts.Version).Str("go", runtime.Version()).
		Str("site", a.cfg.Site).Str("store", filepath.Join(a.cfg.StateDir, StoreFile)).Msg("edgehold starts")
	server := &control.Server{
		Path:   a.cfg.Socket,
		Status: func() any { return a.Status() },
		Reload: a.Reload,
		Tools:  a.tools(),
		Log:    a.log,
		Beat:   a.alive.Beat(loopControl),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer a.outputs.Stop()
	a.outputs.Live(ctx, a.stateLine, a.newFacts())
	defer a.herald.Run(ctx, a.stateLine)()
	err := runAll(ctx, []service{
		{"schedule", a.schedule.Run},
		{"resolver", a.resolver.Run},
		{"clock", a.time.Run},
		{"uplink", a.uplink.Run},
		{"link watch", a.watchLinks},
		{"gaps", a.gaps.Run},
		{"trust", a.watchTrust},
		{"discovery", a.newDiscovery().Run},
		{"control socket", server.Run},
		{"reload on signal", a.reloadOnSignal},
	})
	cancel()
	a.traps.Close()
	a.store.SaveState(checkpoints(a.schedule.States(), a.log))
	if closeErr := a.store.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close store: %w", closeErr)
	}
	a.log.Info().Msg("edgehold has stopped")
	return err
}

// checkpoints collects the baselines of all tasks that have some.
func checkpoints(states []taskState, log zerolog.Logger) map[string][]byte {
	out := map[string][]byte{}
	for _, s := range states {
		p := statefulOf(s.keep)
		if p == nil {
			continue
		}
		data, err := p.Checkpoint()
		if err != nil {
			log.Warn().Str("task", s.Task.Label).Err(err).Msg("no baselines written, the first poll after the start gives no deltas")
			continue
		}
		if len(data) > 0 {
			out[s.Task.ID] = data
		}
	}
	return out
}

// resume hands a task its last State: that of this run, else that of the store.
func (a *Agent) resume(t probes.Task) {
	var p probes.Lasting
	for _, part := range []any{t.Probe, t.Source} {
		if l, ok := part.(probes.Lasting); ok {
			p = l
		}
	}
	state, here := a.states.Load(t.ID)
	if !here {
		state = a.store.Kept(stateNote(t.ID))
	}
	if p == nil || len(state.([]byte)) == 0 {
		return
	}
	if err := p.Resume(state.([]byte)); err != nil {
		a.log.Error().Str("task", t.Label).Err(err).Msg("what was stored with its last points cannot be read, its totals begin anew")
	}
}

// statefulOf is what of a task carries something over a restart, nil: nothing.
func statefulOf(t probes.Task) probes.Stateful {
	if s, ok := t.Probe.(probes.Stateful); ok {
		return s
	}
	s, _ := t.Source.(probes.Stateful)
	return s
}

// restore hands each new task its last State and the baselines that were written
// for it.
func (a *Agent) restore(tasks []probes.Task) {
	for _, t := range tasks {
		a.resume(t)
		data, ok := a.baselines[t.ID]
		if !ok {
			continue
		}
		delete(a.baselines, t.ID)
		p := statefulOf(t)
		if p == nil {
			continue
		}
		if err := p.Restore(data); err != nil {
			a.log.Warn().Str("task", t.Label).Err(err).Msg("baselines not taken up, the first poll gives no deltas")
		}
	}
}
