package relay

import (
	"context"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// Measure makes points of what a relay is doing. They go the way of all others,
// so that a gap in them is a gap of the relay.
type Measure struct {
	relay     *Relay
	counts    Counts
	accounts  map[string]buffer.Account // by site; "" of all
	ambiguous int64
}

// Measure begins to count from now on.
func (r *Relay) Measure() *Measure {
	m := &Measure{relay: r, accounts: map[string]buffer.Account{"": r.opts.Store.Account()}}
	for _, a := range r.opts.Store.Sites() {
		m.accounts[a.Site] = a.Account
	}
	return m
}

// Tell stores the points of this moment. While the time is not known there are
// none: the counts go with the next ones.
func (m *Measure) Tell(ctx context.Context, up drain.State) error {
	stamp := m.relay.opts.Clock.Now()
	if stamp.Guess {
		return nil
	}
	state := m.relay.State()
	p := &pointList{stamp: stamp}
	p.dims = probes.NewDimensions(append([]probes.Dimension{{Key: "relay", Value: m.relay.opts.ID}}, m.relay.opts.Dimensions...)...)
	m.blocks(p, state)
	m.store(p, state)
	p.count("edgehold.relay.ambiguous_posts", up.AmbiguousPosts-m.ambiguous)
	for _, s := range state.Sites {
		m.site(p, s)
	}
	if err := m.relay.own.points(ctx, p.list); err != nil {
		return err
	}
	m.counts, m.ambiguous = state.Counts, up.AmbiguousPosts
	m.accounts = map[string]buffer.Account{"": m.relay.opts.Store.Account()}
	for _, s := range state.Sites {
		m.accounts[s.Name] = s.Account.Account
	}
	return nil
}

func (m *Measure) blocks(p *pointList, s State) {
	for _, c := range []struct {
		key      string
		was, now int64
	}{
		{"edgehold.relay.blocks.came", m.counts.Came, s.Counts.Came},
		{"edgehold.relay.blocks.stored", m.counts.Stored, s.Counts.Stored},
		{"edgehold.relay.blocks.duplicate", m.counts.Duplicates + m.counts.Done, s.Counts.Duplicates + s.Counts.Done},
		{"edgehold.relay.blocks.rejected", m.counts.Rejected + m.counts.Garbled, s.Counts.Rejected + s.Counts.Garbled},
		{"edgehold.relay.blocks.full", m.counts.Full, s.Counts.Full},
	} {
		p.count(c.key, c.now-c.was)
	}
	connected := 0
	for _, b := range s.Brokers {
		if b.Connected {
			connected++
		}
	}
	p.gauge("edgehold.relay.brokers", probes.Int(int64(connected)))
}

func (m *Measure) store(p *pointList, s State) {
	silent := int64(0)
	for _, x := range s.Sites {
		if x.Silent {
			silent++
		}
	}
	stat := m.relay.opts.Store.Stat()
	p.gauge("edgehold.relay.sites", probes.Int(int64(len(s.Sites))))
	p.gauge("edgehold.relay.sites_silent", probes.Int(silent))
	p.gauge("edgehold.relay.bytes", probes.Int(stat.FileBytes))
	p.gauge("edgehold.relay.used_bytes", probes.Int(stat.UsedBytes))
	p.gauge("edgehold.relay.pressure", probes.Float(stat.Pressure))
	age := 0.0
	if !stat.Oldest.IsZero() {
		age = max(0, p.stamp.Time().Sub(stat.Oldest).Seconds())
	}
	p.gauge("edgehold.relay.backlog_age", probes.Float(age))
	now, was := m.relay.opts.Store.Account(), m.accounts[""]
	p.count("edgehold.relay.points.accepted", now.Accepted-was.Accepted)
	p.count("edgehold.relay.points.delivered", now.Delivered-was.Delivered)
	p.count("edgehold.relay.points.evicted", now.Evicted-was.Evicted)
	p.count("edgehold.relay.points.damaged", now.Damaged-was.Damaged)
	p.gauge("edgehold.relay.points.buffered", probes.Int(now.Buffered))
	p.gauge("edgehold.relay.points.late", probes.Int(now.Late))
	p.gauge("edgehold.relay.points.dead_letter", probes.Int(now.DeadLetter))
}

// site is the account of one site, in lines that have its name.
func (m *Measure) site(p *pointList, s SiteState) {
	all := p.dims
	defer func() { p.dims = all }()
	p.dims = probes.NewDimensions(append([]probes.Dimension{{Key: "relay", Value: m.relay.opts.ID}, {Key: "site", Value: s.Name}}, m.relay.others()...)...)
	now, was := s.Account.Account, m.accounts[s.Name]
	p.count("edgehold.relay.site.accepted", now.Accepted-was.Accepted)
	p.count("edgehold.relay.site.delivered", now.Delivered-was.Delivered)
	p.gauge("edgehold.relay.site.buffered", probes.Int(now.Buffered))
	p.gauge("edgehold.relay.site.late", probes.Int(now.Late))
	p.gauge("edgehold.relay.site.dead_letter", probes.Int(now.DeadLetter))
	p.gauge("edgehold.relay.site.bytes", probes.Int(s.Account.Bytes))
	p.gauge("edgehold.relay.site.backlog", probes.Int(s.State.Backlog))
	if !s.Heard.IsZero() {
		p.gauge("edgehold.relay.site.heard_age", probes.Float(max(0, p.stamp.Time().Sub(s.Heard).Seconds())))
	}
}

// pointList collects points of one stamp.
type pointList struct {
	stamp probes.Stamp
	dims  *probes.Dimensions
	list  []probes.Point
}

func (p *pointList) gauge(key string, v probes.Value) {
	p.list = append(p.list, probes.Point{Series: probes.NewSeriesOf(key, probes.Gauge, p.dims), Value: v, Stamp: p.stamp})
}

// count leaves a fall out: the store was lost and its account began anew.
func (p *pointList) count(key string, n int64) {
	p.list = append(p.list, probes.Point{Series: probes.NewSeriesOf(key, probes.Count, p.dims), Value: probes.Int(max(n, 0)), Stamp: p.stamp})
}
