package agent

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/relay"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/board"
)

// Status is a picture of the relay at this moment.
func (h *Hub) Status() control.Status {
	h.mu.Lock()
	cfg, loadedAt, lastErr := h.cfg, h.loadedAt, h.lastErr
	h.mu.Unlock()
	s := control.Status{
		Version: h.opts.Version, Site: cfg.Site, Started: h.started, UptimeS: int64(time.Since(h.started).Seconds()),
		Config:  control.ConfigState{Path: cfg.Path, Hash: cfg.Hash, LoadedAt: loadedAt, LastError: lastErr},
		Buffer:  h.bufferStatus(),
		Clock:   clockStatus(h.time.State(), h.time.Best),
		Uplink:  uplinkStatus(h.uplink.State()),
		Account: control.Account(h.store.Account()),
		Hub:     h.hubStatus(),
	}
	if m, err := board.ResidentMemory(); err == nil {
		s.Memory = control.Memory{Resident: m.RSS, Peak: m.Peak, Anonymous: m.Anon}
	}
	s.Alarms = append(alarms(s), hubAlarms(s.Hub, s.Clock.Time)...)
	if err := tokenError(cfg); err != nil && s.Uplink.State != "hold" { // a hold has told it
		s.Alarms = append(s.Alarms, "uplink: "+err.Error())
	}
	return s
}

func (h *Hub) bufferStatus() control.Buffer {
	st := h.store.Stat()
	b := control.Buffer{
		Path: filepath.Join(h.atStart.StateDir, RelayFile), MaxBytes: st.MaxBytes, FileBytes: st.FileBytes, UsedBytes: st.UsedBytes,
		Oldest: st.Oldest, Refused: st.Refused, Alarm: st.Alarm, Warnings: st.Warnings, Ages: []control.AgeBand{},
	}
	if !st.Oldest.IsZero() {
		b.BacklogAgeS = max(0, h.uplink.now().Sub(st.Oldest).Seconds())
	}
	return b
}

func (h *Hub) hubStatus() *control.Hub {
	r, st := h.relay.State(), h.store.Stat()
	out := &control.Hub{
		ID: h.atStart.Relay.ID, State: r.State, Store: wire.FormatEpoch(r.Store), Brokers: []control.HubBroker{}, Sites: []control.HubSite{},
		Blocks: control.HubBlocks{
			Came: r.Counts.Came, Probes: r.Counts.Probes, Stored: r.Counts.Stored, Duplicates: r.Counts.Duplicates, Done: r.Counts.Done,
			Rejected: r.Counts.Rejected, Names: r.Counts.Names, Full: r.Counts.Full, Garbled: r.Counts.Garbled, Unsent: r.Counts.Unsent,
			Waiting: int64(r.Waiting),
		},
		Pressure: st.Pressure, SlowMS: r.Slow.Milliseconds(), Series: r.Series, DenyNumber: r.DenyNo, DenyError: r.Deny, SetAside: st.SetAside,
	}
	for _, b := range r.Brokers {
		out.Brokers = append(out.Brokers, control.HubBroker(b))
	}
	for _, s := range r.Sites {
		out.Sites = append(out.Sites, siteStatus(s))
	}
	return out
}

func siteStatus(s relay.SiteState) control.HubSite {
	return control.HubSite{
		Site: s.Name, State: s.State.State, Silent: s.Silent, LastSeen: s.Heard, Version: s.State.Version, Config: s.State.Config,
		Starts: s.State.Boot, Backlog: s.State.Backlog, BacklogAgeS: s.State.OldestS, Late: s.State.Late, CertExpires: s.State.CertExpires,
		Broker: s.Broker, Fault: s.Fault, Blocks: s.Account.Blocks, Bytes: s.Account.Bytes, Oldest: s.Account.Oldest,
		Pressure: s.Account.Pressure, Account: control.Account(s.Account.Account),
	}
}

// brokerPatience is how long a broker may be away until somebody should look.
const brokerPatience = 2 * time.Minute

// hubAlarms lists what somebody should do something about, beside an agent's.
func hubAlarms(r *control.Hub, now time.Time) (out []string) {
	for _, b := range r.Brokers {
		if !b.Connected && now.Sub(b.Since) >= brokerPatience {
			out = append(out, fmt.Sprintf("relay: no connection to %s: %s", b.URL, b.LastError))
		}
	}
	silent, full := 0, 0
	for _, s := range r.Sites {
		if s.Silent {
			silent++
		}
		if s.Pressure >= 1 {
			full++
		}
		if !s.CertExpires.IsZero() && s.CertExpires.Sub(now) < 7*24*time.Hour {
			out = append(out, fmt.Sprintf("relay: the certificate of site %s expires on %s: make a new one with `edgehold relay cert`", s.Site, s.CertExpires.UTC().Format(time.DateOnly)))
		}
	}
	if silent > 0 {
		out = append(out, fmt.Sprintf("relay: sites that are silent: %d; `edgehold relay sites` names them", silent))
	}
	if full > 0 {
		out = append(out, fmt.Sprintf("relay: sites that have used up relay.site_quota, so that their blocks wait there: %d", full))
	}
	if r.Pressure >= 1 {
		out = append(out, "relay: its store is full, so that blocks wait at their sites: see why the uplink does not send, or raise buffer.max_size")
	}
	if r.DenyError != "" {
		out = append(out, "relay: "+r.DenyError)
	}
	if r.SetAside != "" {
		out = append(out, "relay: its store was damaged and is set aside as "+r.SetAside+"; sites send again what was not delivered")
	}
	return out
}
