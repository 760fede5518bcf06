package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/clock"
	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/board"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// floorNote is the note of the store with the newest trusted time.
const floorNote = "clock.floor"

// newTime makes the clock of the daemon: with the anchor and the floor that the
// store has kept, and the store learning of an anchor before anything is
// stamped by it.
func (a *Agent) newTime(log zerolog.Logger) (*clock.Clock, error) {
	saved, any := a.store.Anchor()
	if boot, err := board.BootID(); any && err == nil && boot == saved.Boot {
		a.store.SetAnchor(saved) // what earlier boots left without a time will have none
	}
	c, err := clock.New(clock.Options{
		Floor:      later(a.opts.Built, savedFloor(a.store)),
		Saved:      saved,
		OnAnchor:   a.store.SetAnchor,
		Ask:        a.readDate,
		NTPServers: a.cfg.Clock.NTP,
		Dial:       a.meter.Line(egress.NTP).Dial,
		Log:        log.With().Str("part", "clock").Logger(),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the clock: %w", err)
	}
	return c, nil
}

// readDate asks the other side of the uplink for the time, without a token.
func (a *Agent) readDate(ctx context.Context, floor time.Time) (clock.Reading, error) {
	a.mu.Lock()
	kind, e := a.cfg.Uplink.Kind, a.cfg.Uplink.Endpoint
	a.mu.Unlock()
	if kind == kindMQTT {
		return clock.Reading{}, errors.New("a broker does not tell the time; give NTP servers as clock.ntp")
	}
	roots, err := drain.Roots(e.CAFile)
	if err != nil {
		return clock.Reading{}, err
	}
	proxy, err := drain.ProxyFunc(e.Proxy)
	if err != nil {
		return clock.Reading{}, err
	}
	return clock.ReadDate(ctx, clock.DateOptions{URL: e.URL, Proxy: proxy, RootCAs: roots, Floor: floor, Dial: a.meter.Line(egress.UplinkTime).Dial})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func savedFloor(store *buffer.Store) time.Time {
	var t time.Time
	if t.UnmarshalText(store.Kept(floorNote)) != nil {
		return time.Time{}
	}
	return t
}

// trueTime is the time as far as it is known, zero while it is not.
func (a *Agent) trueTime() time.Time {
	if c := a.ready.Load(); c != nil {
		return c.Time()
	}
	return time.Time{}
}

// onDate offers the Date of an answer to the clock.
func (u *uplink) onDate(date time.Time, uncertainty time.Duration) {
	reading := clock.Reading{Source: clock.Environment, Time: date, Uptime: u.opts.Clock.Now().Uptime, Error: uncertainty}
	_ = u.opts.Clock.Offer(reading) // one that is not believed shows in the clock's warnings
}

// watchLinks tells the uplink when a link, an address or a route came.
func (a *Agent) watchLinks(ctx context.Context) error {
	log := a.log.With().Str("part", "links").Logger()
	err := board.WatchLinks(ctx, func(e board.LinkEvent) {
		log.Info().Str("event", e.String()).Msg("the network has changed")
		if e.Opens() {
			a.uplink.LinkChanged()
		}
	})
	if err != nil && ctx.Err() == nil {
		log.Warn().Err(err).Msg("changes of the network are not seen; after an outage the uplink is tried every 10 s")
		<-ctx.Done()
	}
	return nil
}

// entriesOf packs the events and log records of a poll, each with the constants
// of this site.
func entriesOf(b probes.Batch, constants *[]probes.Dimension, now probes.Clock) []buffer.Entry {
	var entries []buffer.Entry
	for _, e := range b.Events {
		e.Properties = withConstants(e.Properties, constants)
		entries = append(entries, buffer.Entry{Kind: buffer.EventEntry, Stamp: stampOr(e.Start, now), Data: record.AppendEvent(nil, e)})
	}
	for _, r := range b.Records {
		r.Attributes = withConstants(r.Attributes, constants)
		entries = append(entries, buffer.Entry{Kind: buffer.LogEntry, Stamp: stampOr(r.Stamp, now), Data: record.AppendRecord(nil, r)})
	}
	return entries
}

// withConstants puts the constants first: they go before what a probe gave.
func withConstants(own []probes.Dimension, constants *[]probes.Dimension) []probes.Dimension {
	if constants == nil {
		return own
	}
	out := slices.Clone(*constants)
	for _, d := range own {
		if !slices.ContainsFunc(out, func(c probes.Dimension) bool { return c.Key == d.Key }) {
			out = append(out, d)
		}
	}
	return out
}

func stampOr(s probes.Stamp, now probes.Clock) probes.Stamp {
	if s == (probes.Stamp{}) {
		return now.Now()
	}
	return s
}

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
