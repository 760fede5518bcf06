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

// uplink runs the drain and swaps it for one with other settings.
type uplink struct {
	store *buffer.Store
	opts  uplinkOptions

	mu       sync.Mutex
	settings config.Dynatrace
	current  *drain.Drain
	stop     context.CancelFunc // ends the current drain's run
}

// uplinkOptions stay the same over swaps.
type uplinkOptions struct {
	Version string
	Log     zerolog.Logger
}

func newUplink(cfg *config.Config, store *buffer.Store, opts uplinkOptions) (*uplink, error) {
	u := &uplink{store: store, opts: opts, stop: func() {}}
	if err := u.Swap(cfg); err != nil {
		return nil, err
	}
	return u, nil
}

// Swap puts a drain with the settings of cfg in place of the current one. With
// the same settings it only makes the drain try again now, since a token or a
// certificate may have changed in its file.
func (u *uplink) Swap(cfg *config.Config) error {
	settings := *cfg.Uplink.Dynatrace
	client, err := drain.NewClient(drain.ClientOptions{Proxy: settings.Proxy, CAFile: settings.CAFile})
	if err != nil {
		return fmt.Errorf("prepare uplink.dynatrace: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != nil && settings == u.settings && settings.CAFile == "" {
		u.current.Wake()
		return nil
	}
	u.settings = settings
	u.current = drain.New(drain.Options{
		URL:     settings.URL,
		Token:   settings.Token,
		Client:  client,
		Store:   u.store,
		Window:  Window,
		Version: u.opts.Version,
		Log:     u.opts.Log.With().Str("part", "uplink").Logger(),
	})
	u.stop()
	return nil
}

// Run runs the current drain, and after a swap the next one, until ctx ends.
func (u *uplink) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		u.mu.Lock()
		d := u.current
		runCtx, cancel := context.WithCancel(ctx)
		u.stop = cancel
		u.mu.Unlock()
		err := d.Run(runCtx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// State is the environment and the state of the current drain.
func (u *uplink) State() (url string, state drain.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.settings.URL, u.current.State()
}
