package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/buffer"
)

// uplink is the drain with the settings it runs with.
type uplink struct {
	drain *drain.Drain
	clock *clock.Clock
	watch drain.Watcher

	mu       sync.Mutex
	settings config.Endpoint
	kind     string
}

// uplinkOptions stay the same over reloads.
type uplinkOptions struct {
	Version string
	Log     zerolog.Logger
	Store   *buffer.Store
	Clock   *clock.Clock
	Watch   drain.Watcher
}

func newUplink(cfg *config.Config, opts uplinkOptions) (*uplink, error) {
	u := &uplink{clock: opts.Clock, watch: opts.Watch, settings: cfg.Uplink.Endpoint, kind: cfg.Uplink.Kind}
	target, err := u.target(cfg)
	if err != nil {
		return nil, err
	}
	u.drain = drain.New(drain.Options{
		Target:         target,
		Store:          opts.Store,
		Log:            opts.Log.With().Str("part", "uplink").Logger(),
		Version:        opts.Version,
		Site:           cfg.Site,
		Window:         Window,
		Budget:         budgetOf(cfg.Uplink.Budget),
		Resolution:     resolutionOf(cfg.Uplink.Resolution),
		Settle:         cfg.Buffer.CommitInterval.Std() + 5*time.Second,
		Late:           lateModes[cfg.Buffer.Late],
		LateResolution: cfg.Buffer.LateResolution.Std(),
		Trusted:        opts.Clock.Trusted,
		AskTime:        opts.Clock.Ask,
		OnDate:         u.onDate,
		Doubt:          opts.Clock.Doubt,
		Now:            u.now,
	})
	return u, nil
}

// now is the best that is known of the time.
func (u *uplink) now() time.Time {
	t, _ := u.clock.Best()
	return t
}

// lateModes are the words of buffer.late.
var lateModes = map[string]drain.LateMode{"archive": drain.LateArchive, "logs": drain.LateLogs, "drop": drain.LateDrop}

func resolutionOf(word string) drain.Resolution {
	if word == "full" {
		return drain.Full
	}
	return drain.Minute
}

func budgetOf(b config.Budget) drain.Budget {
	return drain.Budget{Share: float64(b.Share), Rate: int64(b.Rate), Daily: int64(b.Daily), Monthly: int64(b.Monthly)}
}

// target is what a reload may change of a drain.
func (u *uplink) target(cfg *config.Config) (drain.Target, error) {
	e := cfg.Uplink.Endpoint
	client, err := drain.NewClient(drain.ClientOptions{Proxy: e.Proxy, CAFile: e.CAFile, Time: u.clock.TLSTime, Watch: u.watch})
	if err != nil {
		return drain.Target{}, fmt.Errorf("prepare uplink.%s: %w", cfg.Uplink.Kind, err)
	}
	t := drain.Target{URL: e.URL, Client: client, TokenScheme: e.TokenScheme, Plain: e.Compression == "none"}
	if cfg.Uplink.Kind == "otlp" {
		t.Protocol = drain.OTLP
	}
	if e.HasToken() {
		t.Token = e.Token
	}
	return t, nil
}

// Change makes the drain send as cfg says. With the same settings it only tries
// again now, since the token may have changed in its file; a certificate may
// have too, so that a CA file is always read again.
func (u *uplink) Change(cfg *config.Config) error {
	target, err := u.target(cfg)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if cfg.Uplink.Endpoint == u.settings && u.settings.CAFile == "" {
		u.drain.Wake()
		return nil
	}
	u.settings, u.kind = cfg.Uplink.Endpoint, cfg.Uplink.Kind
	u.drain.Change(target)
	return nil
}

// Run drains until ctx ends.
func (u *uplink) Run(ctx context.Context) error { return u.drain.Run(ctx) }

// State is the kind of the uplink, its address and the state of the drain.
func (u *uplink) State() (kind, url string, state drain.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.kind, u.settings.URL, u.drain.State()
}
