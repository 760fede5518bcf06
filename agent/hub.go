package agent

import (
	"context"
	"errors"
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
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/relay"
	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/buffer/custody"
)

// RelayFile is the name of a relay's store within the state directory.
const RelayFile = "relay.db"

// hubSettle is how long after a minute its points may still come: a site
// commits, and its blocks have a way.
const hubSettle = 40 * time.Second

// Hub is one running relay: the same uplink as an agent's, behind blocks that
// sites publish.
type Hub struct {
	opts    Options
	log     zerolog.Logger
	time    *clock.Clock
	store   *custody.Store
	relay   *relay.Relay
	uplink  *uplink
	alive   *alive
	herald  *herald
	meter   egress.Meter
	started time.Time
	atStart *config.Config
	ready   atomic.Pointer[clock.Clock] // time, once the store may ask it

	reloading sync.Mutex // one reload at a time

	mu       sync.Mutex // guards what follows
	cfg      *config.Config
	loadedAt time.Time
	lastErr  string // of the last reload
}

// NewHub reads the configuration, opens the store and prepares all parts. The
// error is a config.Errors where the configuration is at fault.
func NewHub(opts Options) (*Hub, error) {
	cfg, warnings, err := config.Load(opts.Path, opts.Kinds)
	if err != nil {
		return nil, err
	}
	if err := needsRelay(cfg); err != nil {
		return nil, err
	}
	h := &Hub{opts: opts, log: opts.NewLog(cfg.Log), started: time.Now(), atStart: cfg, cfg: cfg, loadedAt: time.Now()}
	for _, w := range append(warnings, unusedOf(cfg)...) {
		h.log.Warn().Msg(w.String())
	}
	h.alive = newAlive(loopStore, loopUplink, loopControl)
	h.herald = newHerald(opts.Notify, h.alive, h.log)
	defer h.herald.Starting("opens the store")()
	if h.store, err = h.openStore(cfg); err != nil {
		return nil, err
	}
	if err := h.prepare(cfg); err != nil {
		return nil, errors.Join(err, h.store.Close())
	}
	return h, nil
}

// needsRelay refuses the configuration of a site.
func needsRelay(cfg *config.Config) error {
	if cfg.Relay.ID != "" {
		return nil
	}
	return config.Errors{{
		File: cfg.Path, Path: "relay", Found: "missing, and this command is the hub of sites that publish to a broker",
		Mend: "write relay: {id: hub-1, mqtt: {brokers: [mqtts://broker.example.com:8883]}}, or start the agent of a site with `edgehold run`",
	}}
}

// refusesRelay refuses the configuration of a relay.
func refusesRelay(cfg *config.Config) error {
	if cfg.Relay.ID == "" {
		return nil
	}
	return config.Errors{{
		File: cfg.Path, Path: "relay", Found: "given: this is the configuration of a relay, and `edgehold run` is the agent of a site",
		Mend: "start it with `edgehold relay`; a hub that polls devices too runs both, each with a file, a state_dir and a socket of its own",
	}}
}

// unusedOf tells of what a relay does not do.
func unusedOf(cfg *config.Config) (out []config.Warning) {
	for key, n := range map[string]int{"probes": len(cfg.Probes), "extensions": len(cfg.Extensions)} {
		if n > 0 {
			out = append(out, config.Warning{Where: cfg.Path, Path: key, Text: "a relay polls nothing, so these do not run: start `edgehold run` beside it with a file of its own"})
		}
	}
	if cfg.Outputs != config.Default().Outputs {
		out = append(out, config.Warning{Where: cfg.Path, Path: "outputs", Text: "a relay drives no lights and feeds no watchdog of the machine: systemd's watches it (WatchdogSec=)"})
	}
	return out
}

// relayLate are the words of buffer.late for blocks.
var relayLate = map[string]custody.Mode{"archive": custody.Archive, "logs": custody.Logs, "drop": custody.Drop}

func (h *Hub) openStore(cfg *config.Config) (*custody.Store, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o750); err != nil {
		return nil, fmt.Errorf("create state_dir: %w; give a folder that this user may write, as state_dir in %s", err, cfg.Path)
	}
	o := storeOptions(cfg)
	o.Now, o.Beat, o.Log = h.trueTime, h.alive.Beat(loopStore), h.log.With().Str("part", "store").Logger()
	return custody.Open(o)
}

// storeOptions are those of a relay's store as the configuration has them.
func storeOptions(cfg *config.Config) custody.Options {
	quota := int64(cfg.Relay.SiteQuota)
	if quota == 0 {
		quota = int64(cfg.Buffer.MaxSize)
	}
	return custody.Options{
		Path: filepath.Join(cfg.StateDir, RelayFile), MaxSize: int64(cfg.Buffer.MaxSize), SiteQuota: quota,
		Window: Window, Late: relayLate[cfg.Buffer.Late],
	}
}

// trueTime is the time as far as it is known, zero while it is not.
func (h *Hub) trueTime() time.Time {
	if c := h.ready.Load(); c != nil {
		return c.Time()
	}
	return time.Time{}
}

func (h *Hub) prepare(cfg *config.Config) (err error) {
	if h.time, err = h.newTime(cfg); err != nil {
		return err
	}
	h.ready.Store(h.time)
	h.uplink = &uplink{opts: uplinkOptions{Version: h.opts.Version, Log: h.log, Clock: h.time, Watch: h.meter.Line(egress.Uplink)}, settings: cfg.Uplink, hash: cfg.Hash}
	target, err := h.uplink.target(cfg)
	if err != nil {
		return err
	}
	h.relay = relay.New(relay.Options{
		Network: h.network(cfg), ID: cfg.Relay.ID, Version: h.opts.Version, Dimensions: cfg.Dimensions, Store: h.store, Clock: h.time,
		Window: Window, SilentAfter: cfg.Relay.SilentAfter.Std(), DenyFile: cfg.Relay.DenyFile,
		Log: h.log.With().Str("part", "relay").Logger(), Now: h.uplink.now,
	})
	h.uplink.drain = drain.New(drain.Options{
		Target: target, Store: h.relay.Shelf(), Log: h.log.With().Str("part", "uplink").Logger(), Version: h.opts.Version, Site: cfg.Site,
		Window: Window, Budget: budgetOf(cfg.Uplink.Budget), Resolution: resolutionOf(cfg.Uplink.Resolution), Settle: hubSettle,
		Late: lateModes[cfg.Buffer.Late], LateResolution: cfg.Buffer.LateResolution.Std(),
		Trusted: h.time.Trusted, AskTime: h.time.Ask, OnDate: h.uplink.onDate, Doubt: h.time.Doubt, Beat: h.alive.Beat(loopUplink), Now: h.uplink.now,
	})
	return nil
}

func (h *Hub) newTime(cfg *config.Config) (*clock.Clock, error) {
	var floor time.Time
	if floor.UnmarshalText(h.store.Kept(floorNote)) != nil {
		floor = time.Time{}
	}
	c, err := clock.New(clock.Options{
		Floor: later(h.opts.Built, floor), Ask: h.readDate, NTPServers: cfg.Clock.NTP, Dial: h.meter.Line(egress.NTP).Dial,
		Log: h.log.With().Str("part", "clock").Logger(),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the clock: %w", err)
	}
	return c, nil
}

// readDate asks the other side of the uplink for the time, without a token.
func (h *Hub) readDate(ctx context.Context, floor time.Time) (clock.Reading, error) {
	e := h.config().Uplink.Endpoint
	roots, err := drain.Roots(e.CAFile)
	if err != nil {
		return clock.Reading{}, err
	}
	proxy, err := drain.ProxyFunc(e.Proxy)
	if err != nil {
		return clock.Reading{}, err
	}
	return clock.ReadDate(ctx, clock.DateOptions{URL: e.URL, Proxy: proxy, RootCAs: roots, Floor: floor, Dial: h.meter.Line(egress.UplinkTime).Dial})
}

func (h *Hub) config() *config.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cfg
}

// inFlight is how many blocks a broker may have under way to a relay.
const inFlight = 256

// network is what a reload may change of a relay.
func (h *Hub) network(cfg *config.Config) relay.Network {
	m, id := cfg.Relay.MQTT, cfg.Relay.ID
	return relay.Network{Brokers: m.Brokers, Prefix: m.Prefix, Dial: func(ctx context.Context, c relay.Call) (relay.Conn, error) {
		o := mqtt.Options{
			Broker: c.Broker, ClientID: id, CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, User: m.User, Will: &c.Will,
			ManualAck: true, MaxInFlight: inFlight, Dial: h.meter.Line(egress.Uplink).Dial, Time: h.time.TLSTime, Log: h.log,
		}
		if m.HasPassword() {
			o.Password = m.Password
		}
		conn, err := mqtt.Dial(ctx, o)
		if err != nil {
			return nil, err // a nil connection in an interface is not nil
		}
		return conn, nil
	}}
}

// Run runs all parts until ctx ends and closes the store.
func (h *Hub) Run(ctx context.Context) error {
	h.log.Info().Str("version", h.opts.Version).Str("go", runtime.Version()).Str("relay", h.atStart.Relay.ID).
		Str("store", filepath.Join(h.atStart.StateDir, RelayFile)).Msg("edgehold relay starts")
	server := &control.Server{Path: h.atStart.Socket, Status: func() any { return h.Status() }, Reload: h.Reload, Tools: h.tools(), Log: h.log, Beat: h.alive.Beat(loopControl)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer h.herald.Run(ctx, h.stateLine)()
	err := runAll(ctx, []service{
		{"relay", h.relay.Run},
		{"clock", h.time.Run},
		{"uplink", h.uplink.Run},
		{"link watch", h.watchLinks},
		{"measures", h.measure},
		{"control socket", server.Run},
		{"reload on signal", h.reloadOnSignal},
	})
	cancel()
	if closeErr := h.store.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close store: %w", closeErr)
	}
	h.log.Info().Msg("edgehold relay has stopped")
	return err
}

func (h *Hub) watchLinks(ctx context.Context) error {
	err := board.WatchLinks(ctx, func(e board.LinkEvent) {
		if e.Opens() {
			h.uplink.LinkChanged()
		}
	})
	if err != nil && ctx.Err() == nil {
		h.log.Warn().Err(err).Msg("changes of the network are not seen")
		<-ctx.Done()
	}
	return nil
}

// measure tells once a minute how the relay fares, as points.
func (h *Hub) measure(ctx context.Context) error {
	ticker := time.NewTicker(selfInterval)
	defer ticker.Stop()
	m := h.relay.Measure()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if text, err := h.time.Floor().MarshalText(); err == nil {
			h.store.Keep(floorNote, text)
		}
		if err := m.Tell(ctx, h.uplink.sending()); err != nil && ctx.Err() == nil {
			h.log.Warn().Err(err).Msg("the relay's own measurements are not stored; the counts go with the next ones")
		}
	}
}
