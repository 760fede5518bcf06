package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// ProposalFile is the configuration of newly found devices, within the state
// directory.
const ProposalFile = "discovered.yaml"

const (
	// How often the time and the configuration are looked at between scans.
	discoveryTick = 10 * time.Minute
	// Devices that an event names.
	maxTold = 20
)

// discovery looks for new devices each night, where the configuration says so.
// It is the owner of its scans.
type discovery struct {
	config func() *config.Config
	known  func() []string // hosts that are polled
	tell   func(probes.Event)
	clock  probes.Clock
	scan   func(context.Context, discover.Options) ([]discover.Device, error)
	log    zerolog.Logger
	// dns looks names up, nil is the system's; traffic is told what is sent.
	dns     *net.Resolver
	traffic probes.Traffic
}

func (a *Agent) newDiscovery() *discovery {
	return &discovery{
		config: func() *config.Config {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.cfg
		},
		known: a.polled, clock: a.time, scan: discover.Scan, log: a.log.With().Str("part", "discovery").Logger(),
		dns: a.meter.Resolver(), traffic: a.meter.Line(egress.Discovery),
		tell: func(e probes.Event) {
			a.tell(fromDiscovery, probes.Batch{Events: []probes.Event{e}})
		},
	}
}

// Run scans at the time of the day that the configuration names, until ctx
// ends. A scan that fails is logged and tried again the next night.
func (d *discovery) Run(ctx context.Context) error {
	var next time.Time
	var at string
	for ctx.Err() == nil {
		cfg, now := d.config(), time.Now()
		switch {
		case !cfg.Discovery.On():
			next = time.Time{}
		case next.IsZero() || at != cfg.Discovery.At || next.Sub(now) > 25*time.Hour: // the clock went back
			at = cfg.Discovery.At
			next = nextAt(now, at)
		case !now.Before(next):
			d.night(ctx, cfg)
			next = nextAt(time.Now(), at)
		}
		wait := discoveryTick
		if !next.IsZero() {
			wait = max(time.Millisecond, min(wait, time.Until(next)))
		}
		_ = sleep(ctx, wait) // an end shows above
	}
	return nil
}

// nextAt is the next moment after now with the time of the day at, HH:MM.
func nextAt(now time.Time, at string) time.Time {
	clock, err := time.Parse("15:04", at)
	if err != nil { // the configuration was checked
		return now.Add(24 * time.Hour)
	}
	next := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
	if !next.After(now) {
		next = time.Date(now.Year(), now.Month(), now.Day()+1, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	return next
}

// night scans once, and tells what is new.
func (d *discovery) night(ctx context.Context, cfg *config.Config) {
	o := discover.Options{PerSecond: cfg.Discovery.PacketsPerSecond, Retries: 1, Traffic: d.traffic}
	for _, n := range cfg.Discovery.Networks {
		o.Networks = append(o.Networks, netip.Prefix(n))
	}
	for _, name := range cfg.Discovery.Credentials {
		o.Credentials = append(o.Credentials, cfg.Credentials[name])
	}
	profiles, err := OpenProfiles(cfg.Profiles)
	if err != nil {
		d.log.Error().Err(err).Msg("nothing is scanned")
		return
	}
	o.Profile = func(objectID, descr string) string {
		p, err := profiles.For(objectID, descr, plan.ProfileOptions{Interval: time.Minute})
		if err != nil {
			return ""
		}
		return p.Extension
	}
	found, err := d.scan(ctx, o)
	if err != nil {
		return // the agent stops
	}
	d.propose(ctx, cfg, discover.Proposal{Devices: found, Networks: o.Networks})
}

// propose writes the devices that are not polled yet, and tells of those that
// were not in the file before.
func (d *discovery) propose(ctx context.Context, cfg *config.Config, p discover.Proposal) {
	known := d.knownAddresses(ctx)
	p.Devices = slices.DeleteFunc(p.Devices, func(dev discover.Device) bool {
		return slices.ContainsFunc(dev.Addresses, func(addr string) bool { return known[addr] })
	})
	path := filepath.Join(cfg.StateDir, ProposalFile)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Error().Err(err).Msg("read the last proposal")
	}
	var fresh []discover.Device
	for _, dev := range p.Devices {
		if !p.Listed(before, dev) {
			fresh = append(fresh, dev)
		}
	}
	stamp := d.clock.Now()
	p.When = stamp.Time().Format("2006-01-02 15:04")
	if err := writeOver(path, p); err != nil {
		d.log.Error().Err(err).Msg("the devices that were found are told, but not written")
	}
	d.log.Info().Int("devices", len(p.Devices)).Int("new", len(fresh)).Str("file", path).Msg("looked for devices that are not polled")
	if len(fresh) > 0 {
		d.tell(foundEvent(fresh, path, stamp))
	}
}

// knownAddresses are the addresses of what is polled, names among it.
func (d *discovery) knownAddresses(ctx context.Context) map[string]bool {
	known := map[string]bool{}
	for _, host := range d.known() {
		known[host] = true
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		soon, cancel := context.WithTimeout(ctx, 5*time.Second)
		addrs, err := d.dns.LookupNetIP(soon, "ip", host)
		cancel()
		if err != nil {
			continue // it is proposed as if it were new
		}
		for _, addr := range addrs {
			known[addr.Unmap().String()] = true
		}
	}
	return known
}

// writeOver replaces the file whole, or removes it where nothing is proposed.
func writeOver(path string, p discover.Proposal) error {
	if len(p.Devices) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the last proposal: %w", err)
		}
		return nil
	}
	if err := os.WriteFile(path+".new", p.YAML(), 0o640); err != nil {
		return fmt.Errorf("write proposal: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write proposal: %w", err)
	}
	return nil
}

func foundEvent(fresh []discover.Device, path string, stamp probes.Stamp) probes.Event {
	names := make([]string, 0, min(len(fresh), maxTold+1))
	for i, dev := range fresh {
		if i == maxTold {
			names = append(names, fmt.Sprintf("and %d more", len(fresh)-maxTold))
			break
		}
		names = append(names, strings.TrimSpace(dev.Target()+" "+dev.Name)+" ("+dev.Profile+")")
	}
	title := "1 new SNMP device found"
	if len(fresh) > 1 {
		title = fmt.Sprintf("%d new SNMP devices found", len(fresh))
	}
	return probes.Event{
		Type: "CUSTOM_INFO", Title: title, Start: stamp, End: stamp,
		Properties: []probes.Dimension{
			{Key: "edgehold.discovery.devices", Value: strings.Join(names, ", ")},
			{Key: "edgehold.discovery.proposal", Value: path},
		},
	}
}
