package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

const (
	gapTick = 30 * time.Second
	// gapQuiet is how long metrics have to arrive without any becoming late
	// until an outage is over.
	gapQuiet = 2 * time.Minute
	// A gap's devices are counted in some short parts of it: reading a month
	// whole would take minutes on a small gateway.
	gapParts    = 24
	gapPartSpan = 5 * time.Minute
)

// gaps tells of each outage once: from when to when, how many points of which
// devices came too late, and what became of them.
type gaps struct {
	store   *buffer.Store
	uplink  func() drain.State
	clock   probes.Clock
	devices func() []string                                    // that are polled now
	place   func() (site string, constants []probes.Dimension) // as configured now
	mode    string                                             // of late points
	last    func(probes.Event) probes.Event                    // looks at what leaves; nil: nobody does
	log     zerolog.Logger
	tick    time.Duration

	seen      buffer.Gap
	seenSince time.Duration // uptime
}

// Run looks for a gap that is over until ctx ends.
func (g *gaps) Run(ctx context.Context) error {
	ticker := time.NewTicker(g.tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if gap, over := g.over(); over {
				g.report(ctx, gap)
			}
		}
	}
}

// over tells whether there is a gap, and the outage behind it has passed: it
// has not grown for a while in which metrics arrived.
func (g *gaps) over() (buffer.Gap, bool) {
	gap, any := g.store.Gap()
	now := g.clock.Now()
	if !any || gap != g.seen {
		g.seen, g.seenSince = gap, now.Uptime
		return gap, false
	}
	up := g.uplink().UpSince
	quiet := now.Uptime - g.seenSince
	return gap, !now.Guess && quiet >= gapQuiet && !up.IsZero() && now.Time().Sub(up) >= gapQuiet
}

func (g *gaps) report(ctx context.Context, gap buffer.Gap) {
	devices, err := g.devicesOf(ctx, gap)
	if err != nil {
		g.log.Warn().Err(err).Msg("the devices of an outage are not known")
	}
	site, constants := g.place()
	e := record.Gap(record.GapOptions{
		Site: site, From: gap.From, To: gap.To, Points: gap.Points, Devices: devices, Mode: g.mode, Now: g.clock.Now(),
	})
	e.Properties = withConstants(e.Properties, &constants)
	if g.last != nil {
		e = g.last(e)
	}
	entry := buffer.Entry{Kind: buffer.EventEntry, Stamp: g.clock.Now(), Data: record.AppendEvent(nil, e)}
	if err := g.store.ReportGap(ctx, gap, entry); err != nil && ctx.Err() == nil {
		g.log.Warn().Err(err).Msg("an outage is not reported yet")
		return
	}
	g.log.Info().Time("from", time.UnixMilli(gap.From)).Time("to", time.UnixMilli(gap.To)).Int64("points", gap.Points).
		Int("devices", len(devices)).Str("late", g.mode).Msg("an outage is over; these points came too late to be metrics")
}

// devicesOf names the devices with points in the gap. Where the points are
// gone it is those that are polled now.
func (g *gaps) devicesOf(ctx context.Context, gap buffer.Gap) ([]string, error) {
	found := map[string]bool{}
	from, to := time.UnixMilli(gap.From), time.UnixMilli(gap.To)
	step := max(to.Sub(from)/gapParts, gapPartSpan)
	for at := from; !at.After(to) && ctx.Err() == nil; at = at.Add(step) {
		part := buffer.Selection{Oldest: at, Newest: at.Add(gapPartSpan), Settled: true}
		err := g.store.Read(ctx, part, func(p buffer.Page) error {
			for _, x := range p.Points {
				if d := x.Series.Dim("device.address"); d != "" {
					found[d] = true
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for the devices of an outage: %w", err)
		}
	}
	if len(found) == 0 {
		return g.devices(), nil
	}
	return sortedKeys(found), nil
}
