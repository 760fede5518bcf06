package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/courier"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// uplink is the way out with the settings it runs with: a drain, or for
// uplink.mqtt a courier.
type uplink struct {
	drain   *drain.Drain     // nil: there is a courier
	courier *courier.Courier // nil: there is a drain
	opts    uplinkOptions

	mu       sync.Mutex
	settings config.Uplink
	hash     string // of the configuration
}

// uplinkOptions stay the same over reloads.
type uplinkOptions struct {
	Version string
	Log     zerolog.Logger
	Store   *buffer.Store
	Clock   *clock.Clock
	Watch   *egress.Line
	OnDeny  func(list []byte) // gets deny lists that relays hand on
	Beat    func(within time.Duration)
}

func newUplink(cfg *config.Config, opts uplinkOptions) (*uplink, error) {
	opts.Log = opts.Log.With().Str("part", "uplink").Logger()
	u := &uplink{opts: opts, settings: cfg.Uplink, hash: cfg.Hash}
	if cfg.Uplink.Kind == kindMQTT {
		u.courier = courier.New(u.courierOptions(cfg))
		return u, nil
	}
	target, err := u.target(cfg)
	if err != nil {
		return nil, err
	}
	u.releaseClaims()
	u.drain = drain.New(drain.Options{
		Target:         target,
		Store:          opts.Store,
		Log:            opts.Log,
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
		Beat:           opts.Beat,
		Now:            u.now,
	})
	return u, nil
}

// now is the best that is known of the time.
func (u *uplink) now() time.Time {
	t, _ := u.opts.Clock.Best()
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
	client, err := drain.NewClient(drain.ClientOptions{Proxy: e.Proxy, CAFile: e.CAFile, Time: u.opts.Clock.TLSTime, Watch: u.opts.Watch})
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
//
// Whether it is a drain or a courier only a start decides.
func (u *uplink) Change(cfg *config.Config) error {
	if (cfg.Uplink.Kind == kindMQTT) != (u.courier != nil) {
		return nil
	}
	if u.courier != nil {
		u.changeCourier(cfg)
		return nil
	}
	target, err := u.target(cfg)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if cfg.Uplink.Endpoint == u.settings.Endpoint && u.settings.CAFile == "" {
		u.drain.Wake()
		return nil
	}
	u.settings = cfg.Uplink
	u.drain.Change(target)
	return nil
}

// Run sends until ctx ends.
func (u *uplink) Run(ctx context.Context) error {
	if u.courier != nil {
		return u.courier.Run(ctx)
	}
	return u.drain.Run(ctx)
}

// State is the kind of the uplink, its address and what it does.
func (u *uplink) State() (kind, url string, state drain.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.courier != nil {
		return u.settings.Kind, u.courier.Relay().Broker, u.courier.State()
	}
	return u.settings.Kind, u.settings.URL, u.drain.State()
}

// sending is what the uplink does.
func (u *uplink) sending() drain.State {
	_, _, state := u.State()
	return state
}

// Describe hands on what metrics mean. A relay's own packages do that at the
// hub.
func (u *uplink) Describe(list []probes.Metadata) {
	if u.drain != nil {
		u.drain.Describe(list)
	}
}

// LinkChanged tells that the network has changed.
func (u *uplink) LinkChanged() {
	if u.courier != nil {
		u.courier.LinkChanged()
		return
	}
	u.drain.LinkChanged()
}
