package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
)

// toRelay is how many blocks a relay is asked to acknowledge.
const toRelay = 20

// relay is the whole way: to a relay and back.
func (p *prober) relay(ctx context.Context) error {
	s, err := p.dial(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	online, err := p.relaysOnline(ctx, s)
	if err != nil {
		return err
	}
	p.report.Relays = len(online)
	if len(online) == 0 {
		p.add(Check{Name: "relay", Status: Skipped, Found: "no relay is online", Mend: "start one (edgehold relay), then try again; everything above is without one"})
		return nil
	}
	trips, err := p.askRelay(ctx, s)
	if err != nil {
		return err
	}
	p.report.RelayMS = tripOf(trips)
	who := strings.Join(online, ", ")
	c := Check{Name: "relay", Status: OK, Found: fmt.Sprintf("%s acknowledged %d blocks; median %.1f ms, p99 %.1f ms", who, len(trips), p.report.RelayMS.Median, p.report.RelayMS.P99)}
	if len(trips) < toRelay {
		c.Status, c.Found = Failed, fmt.Sprintf("%d of %d blocks were acknowledged by a relay (online: %s)", len(trips), toRelay, who)
		c.Mend = "allow the site to write " + p.Topics.Up(p.Site) + " and read " + p.Topics.Down(p.Site) +
			", and each relay to read " + p.Topics.AllUp() + " and write " + p.Topics.Down("+") + "; see the log of the relay"
	}
	p.add(c)
	return nil
}

// relaysOnline are the relays whose retained state says so.
func (p *prober) relaysOnline(ctx context.Context, s *session) ([]string, error) {
	var mu sync.Mutex
	var online []string
	err := s.conn.Subscribe(ctx, p.Topics.AllRelayStates(), 1, func(m mqtt.Incoming) {
		m.Ack()
		_, id, ok := p.Topics.Parse(m.Topic)
		state, err := wire.ParseRelayState(m.Payload)
		if ok && err == nil && state.State == wire.StateOnline {
			mu.Lock()
			online = append(online, id)
			mu.Unlock()
		}
		s.tell()
	})
	if err != nil {
		return nil, err
	}
	s.until(ctx, max(p.Patience/5, 4*p.trip), func() bool { return false }) // until no more come
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(online)
	return slices.Compact(online), nil
}

// askRelay sends blocks one after the other to whichever relay gets them.
func (p *prober) askRelay(ctx context.Context, s *session) ([]time.Duration, error) {
	if err := s.conn.Subscribe(ctx, p.Topics.Down(p.Site), 1, s.answered); err != nil {
		return nil, err
	}
	for range toRelay {
		seq, err := s.sendTo(ctx, p.Topics.Up(p.Site), smallest)
		if err != nil {
			return nil, err
		}
		if !s.await(ctx, p.Patience, seq) {
			break
		}
	}
	return s.trips(), ctx.Err()
}

// answered takes the answer of a relay in.
func (s *session) answered(m mqtt.Incoming) {
	m.Ack()
	down, err := wire.ParseDown(m.Payload)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range down.Acks {
		if a.Epoch == wire.FormatEpoch(s.p.epoch) && (a.Status == wire.StatusStored || a.Status == wire.StatusDelivered) {
			s.acknowledged(a.Seq)
		}
	}
	s.tell()
}

// acknowledged counts the blocks that were sent and stand in the ranges.
func (s *session) acknowledged(ranges []wire.Range) {
	for seq, sent := range s.sent {
		_, again := s.came[seq]
		named := slices.ContainsFunc(ranges, func(r wire.Range) bool { return r[0] <= seq && seq <= r[1] })
		if named && !again {
			s.came[seq] = time.Since(sent)
		}
	}
}
