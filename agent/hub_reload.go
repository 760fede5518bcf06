package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
)

// Reload reads the configuration again. A file with errors is refused whole. The
// uplink and the brokers are taken up; certificates and passwords are read from
// their files anew, for which the connections are made again where some of that
// changed.
func (h *Hub) Reload(context.Context) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	defer h.herald.Reloading()()
	cfg, warnings, err := config.Load(h.opts.Path, h.opts.Kinds)
	if err == nil {
		err = needsRelay(cfg)
	}
	if err == nil {
		err = h.uplink.Change(cfg)
	}
	h.mu.Lock()
	h.lastErr = ""
	if err != nil {
		h.lastErr = err.Error()
	}
	h.mu.Unlock()
	if err != nil {
		return err
	}
	for _, w := range append(warnings, unusedOf(cfg)...) {
		h.log.Warn().Msg(w.String())
	}
	var problems []string
	for _, key := range hubNeedsRestart(h.atStart, cfg) {
		h.log.Warn().Str("key", key).Msg("changed in the file; takes effect at the next start")
		problems = append(problems, key+": changed in the file; takes effect at the next start")
	}
	if err := tokenError(cfg); err != nil {
		problems = append(problems, err.Error())
	}
	h.changeNetwork(cfg)
	h.log.Info().Str("file", cfg.Path).Msg("configuration reloaded")
	if len(problems) > 0 {
		return &control.Incomplete{Problems: problems}
	}
	return nil
}

// changeNetwork takes up the brokers.
func (h *Hub) changeNetwork(cfg *config.Config) {
	h.mu.Lock()
	was := h.cfg.Relay.MQTT
	h.cfg, h.loadedAt = cfg, h.uplink.now()
	h.mu.Unlock()
	h.relay.Change(h.network(withID(cfg, h.atStart.Relay.ID)))
	now := cfg.Relay.MQTT
	was.Brokers, now.Brokers = nil, nil
	if !was.Equal(now) {
		h.relay.Reconnect()
	}
}

// withID keeps the id of the start.
func withID(cfg *config.Config, id string) *config.Config {
	c := *cfg
	c.Relay.ID = id
	return &c
}

// hubNeedsRestart lists changed keys that are read at the start only.
func hubNeedsRestart(old, now *config.Config) (keys []string) {
	for _, key := range needsRestart(old, now) {
		if key != "polling.max_in_flight" {
			keys = append(keys, key)
		}
	}
	for _, c := range []struct {
		key      string
		old, now any
	}{
		{"site and dimensions", fmt.Sprint(old.Dimensions), fmt.Sprint(now.Dimensions)},
		{"relay.id", old.Relay.ID, now.Relay.ID},
		{"relay.site_quota", old.Relay.SiteQuota, now.Relay.SiteQuota},
		{"relay.silent_after", old.Relay.SilentAfter, now.Relay.SilentAfter},
		{"relay.deny_file", old.Relay.DenyFile, now.Relay.DenyFile},
	} {
		if c.old != c.now {
			keys = append(keys, c.key)
		}
	}
	return keys
}

func (h *Hub) reloadOnSignal(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.opts.Hangup:
			var part *control.Incomplete // was logged key by key
			if err := h.Reload(ctx); err != nil && !errors.As(err, &part) {
				h.log.Error().Err(err).Msg(fmt.Sprintf("%s refused, the old configuration keeps running", h.opts.Path))
			}
		}
	}
}
