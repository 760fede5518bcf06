package agent

import (
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/buffer"
)

// uplink is the drain with the settings it runs with.
type uplink struct {
	drain *drain.Drain

	mu       sync.Mutex
	settings config.Dynatrace
}

// uplinkOptions stay the same over reloads.
type uplinkOptions struct {
	Version string
	Log     zerolog.Logger
}

func newUplink(cfg *config.Config, store *buffer.Store, opts uplinkOptions) (*uplink, error) {
	target, err := uplinkTarget(cfg)
	if err != nil {
		return nil, err
	}
	target.Store, target.Window, target.Version = store, Window, opts.Version
	target.Log = opts.Log.With().Str("part", "uplink").Logger()
	return &uplink{drain: drain.New(target), settings: *cfg.Uplink.Dynatrace}, nil
}

// uplinkTarget is what a reload may change of a drain.
func uplinkTarget(cfg *config.Config) (drain.Options, error) {
	settings := cfg.Uplink.Dynatrace
	client, err := drain.NewClient(drain.ClientOptions{Proxy: settings.Proxy, CAFile: settings.CAFile})
	if err != nil {
		return drain.Options{}, fmt.Errorf("prepare uplink.dynatrace: %w", err)
	}
	return drain.Options{URL: settings.URL, Token: settings.Token, Client: client}, nil
}

// Change makes the drain send as cfg says. With the same settings it only tries
// again now, since the token may have changed in its file; a certificate may
// have too, so that a CA file is always read again.
func (u *uplink) Change(cfg *config.Config) error {
	target, err := uplinkTarget(cfg)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if *cfg.Uplink.Dynatrace == u.settings && u.settings.CAFile == "" {
		u.drain.Wake()
		return nil
	}
	u.settings = *cfg.Uplink.Dynatrace
	u.drain.Change(target)
	return nil
}

// Run drains until ctx ends.
func (u *uplink) Run(ctx context.Context) error { return u.drain.Run(ctx) }

// State is the environment and the state of the drain.
func (u *uplink) State() (url string, state drain.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.settings.URL, u.drain.State()
}
