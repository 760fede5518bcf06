package agent

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/probes"
)

// The device of the agent's own task; it is no device to the reader of status.
const selfDevice = "edgehold"

// clockPatience is how long the time may be unknown until somebody should look.
const clockPatience = 10 * time.Minute

// Status is a picture of the agent at this moment.
func (a *Agent) Status() control.Status {
	a.mu.Lock()
	cfg, entries, loadedAt, lastErr := a.cfg, a.entries, a.loadedAt, a.lastErr
	a.mu.Unlock()
	tasks := slices.DeleteFunc(a.schedule.States(), func(t taskState) bool { return t.Task.Device == selfDevice })
	s := control.Status{
		Version: a.opts.Version,
		Site:    cfg.Site,
		// Lists are never null in JSON.
		UnsignedPackages: []string{}, Devices: []control.Device{}, Configurations: []control.Configuration{},
		Started: a.started,
		UptimeS: int64(time.Since(a.started).Seconds()),
		Config:  control.ConfigState{Path: cfg.Path, Hash: cfg.Hash, LoadedAt: loadedAt, LastError: lastErr},
		Polling: pollingStatus(a.schedule.Pace()),
		Buffer:  a.bufferStatus(),
		Clock:   clockStatus(a.time.State(), a.time.Best),
		Uplink:  uplinkStatus(a.uplink.State()),
		Account: control.Account(a.store.Account()),
		Trust:   a.trustStatus(),
	}
	s.Uplink.Relay = a.uplink.relayStatus()
	s.Buffer.Path = filepath.Join(a.atStart.StateDir, StoreFile)
	s.Buffer.MaxBytes = int64(a.atStart.Buffer.MaxSize)
	endpoints := endpointsOf(tasks)
	s.Devices = append(s.Devices, deviceStatuses(tasks, endpoints)...)
	for _, e := range entries {
		s.Configurations = append(s.Configurations, configurationStatus(e, endpoints[e.Name]))
		if e.Unsigned != "" && len(e.Tasks) > 0 && !slices.Contains(s.UnsignedPackages, e.Unsigned) {
			s.UnsignedPackages = append(s.UnsignedPackages, e.Unsigned)
		}
	}
	if m, err := board.ResidentMemory(); err == nil {
		s.Memory = control.Memory{Resident: m.RSS, Peak: m.Peak, Anonymous: m.Anon}
	}
	s.Packages = packageStatuses(entries, a.moment())
	s.Usage = a.usageStatus(tasks)
	s.Alarms = alarms(s)
	if err := tokenError(cfg); err != nil && s.Uplink.State != "hold" { // a hold has told it
		s.Alarms = append(s.Alarms, "uplink: "+err.Error())
	}
	return s
}

// tokenError says why the next post would have no token.
func tokenError(cfg *config.Config) error {
	if m := cfg.Uplink.MQTT; cfg.Uplink.Kind == kindMQTT && m.HasPassword() {
		if _, err := m.Password(); err != nil {
			return fmt.Errorf("%s: uplink.mqtt.%w", cfg.Uplink.TokenWhere, err)
		}
	}
	if !cfg.Uplink.HasToken() {
		return nil
	}
	if _, err := cfg.Uplink.Token(); err != nil {
		return fmt.Errorf("%s: uplink.%s.%w", cfg.Uplink.TokenWhere, cfg.Uplink.Kind, err)
	}
	return nil
}

func (a *Agent) bufferStatus() control.Buffer {
	st := a.store.Stat()
	b := control.Buffer{
		FileBytes: st.FileBytes, UsedBytes: st.UsedBytes, Series: st.Series, Oldest: st.Oldest,
		PendingPoints: st.Pending, DroppedUnaccepted: st.Dropped, Refused: st.Refused, Alarm: st.Alarm, Warnings: st.Warnings,
	}
	if x := st.Salvage; x != nil {
		b.Salvage = &control.Salvage{File: x.File, At: x.At, Cause: x.Cause, PointsSaved: x.Saved, PointsLost: x.Lost, MoreLost: x.Unsure, Done: x.Done}
	}
	if !st.Oldest.IsZero() {
		b.BacklogAgeS = max(0, a.uplink.now().Sub(st.Oldest).Seconds())
	}
	for i, n := range a.store.Ages(ageBounds) {
		b.Ages = append(b.Ages, control.AgeBand{Upto: ageWords[i], Points: n})
	}
	return b
}

// alarms lists what somebody should do something about.
func alarms(s control.Status) []string {
	out := []string{}
	if s.Buffer.Alarm != "" {
		out = append(out, "store: "+s.Buffer.Alarm)
	}
	if s.Uplink.State == "hold" {
		out = append(out, "uplink: "+s.Uplink.LastError)
	}
	for _, c := range s.Uplink.Cargos {
		if c.State == "hold" && c.LastError != "" && (s.Uplink.State != "hold" || c.LastError != s.Uplink.LastError) {
			out = append(out, "uplink: "+c.Cargo+": "+c.LastError)
		}
	}
	if s.Uplink.State == "clock" && s.Clock.Time.Sub(s.Uplink.Since) >= clockPatience {
		out = append(out, "uplink: "+s.Uplink.LastError)
	}
	out = append(out, relayAlarms(s.Uplink.Relay, s.Clock.Time)...)
	if s.Config.LastError != "" {
		out = append(out, "configuration: the last reload was refused: "+s.Config.LastError)
	}
	for _, c := range s.Configurations {
		if c.Status == string(probes.StatusInvalidConfigError) {
			out = append(out, c.Name+": "+c.Message)
		}
	}
	out = append(out, trustAlarms(s)...)
	if len(s.UnsignedPackages) > 0 {
		out = append(out, "packages run without a checked signature (trust.allow_unsigned): "+strings.Join(s.UnsignedPackages, ", "))
	}
	if x := s.Buffer.Salvage; x != nil && x.Done && x.MoreLost {
		out = append(out, fmt.Sprintf("store: points of a damaged file are lost, nobody knows how many; what is left of it is %s", x.File))
	}
	if s.Account.Damaged > 0 {
		out = append(out, fmt.Sprintf("store: %d points were damaged on the disk and are lost", s.Account.Damaged))
	}
	return out
}
