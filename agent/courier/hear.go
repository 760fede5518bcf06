package courier

import (
	"fmt"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// grace is how long after the connection to a broker the word of the relays
// that have told of themselves is not believed to be that of all.
const grace = 30 * time.Second

// fullPause is how long a block waits at least that a relay has no room for.
const fullPause = 5 * time.Second

// hear takes up a message.
func (c *Courier) hear(topic string, payload []byte) {
	now := time.Now()
	what, id, ok := c.topics.Parse(topic)
	switch {
	case !ok:
		return
	case what == wire.RelayStateTopic:
		c.hearRelay(id, payload, now)
	case what == wire.DownTopic:
		d, err := wire.ParseDown(payload)
		if err != nil {
			c.malformed(topic, err)
			return
		}
		c.answered(&d, now)
	case what == wire.DenyTopic && c.opts.OnDeny != nil && len(payload) > 0:
		c.work.Go(func() { c.opts.OnDeny(payload) })
	}
}

func (c *Courier) malformed(topic string, err error) {
	c.count.malformed++
	c.log.once(c, "malformed "+topic, err.Error(), "a message is not understood, and not heeded")
}

// hearRelay takes up what a relay tells of itself.
func (c *Courier) hearRelay(id string, payload []byte, now time.Time) {
	if len(payload) == 0 {
		c.relays.forget(id)
		c.mark(now)
		return
	}
	s, err := wire.ParseRelayState(payload)
	if err != nil {
		c.malformed(c.topics.RelayState(id), err)
		return
	}
	alone := c.gates.alone
	gone, came := c.relays.told(id, s, now)
	c.mark(now)
	if came {
		c.hungry = true
		c.gates.ask = now.Add(settleIn)
		if !alone.IsZero() && now.Sub(alone) >= noRelay {
			c.gates.spread = now.Add(drain.Spread(c.opts.Site))
		}
		c.opts.Log.Info().Str("relay", id).Str("version", s.Version).Msg("relay is online")
	}
	c.loseHolder(gone, now)
}

// loseHolder has what only that relay had sent again.
func (c *Courier) loseHolder(gone holder, now time.Time) {
	if gone == (holder{}) {
		return
	}
	again := c.table.lost(gone)
	for _, b := range again {
		c.again(b, now)
	}
	if len(again) > 0 {
		c.opts.Log.Warn().Str("relay", gone.relay).Int("blocks", len(again)).
			Msg("relay has lost its store; what it had is sent again")
	}
}

// answered takes up what a relay says of blocks.
func (c *Courier) answered(d *wire.Down, now time.Time) {
	x, gone := c.relays.answered(d, now)
	c.loseHolder(gone, now)
	for i := range d.Acks {
		a := &d.Acks[i]
		epoch, err := wire.ParseEpoch(a.Epoch)
		if err != nil {
			continue // was checked
		}
		for _, r := range a.Seq {
			for seq := r[0]; seq <= r[1] && seq >= r[0]; seq++ {
				c.acked(x, a, buffer.ClaimID{Epoch: epoch, Seq: seq}, now)
			}
		}
	}
	c.table.heard = now
}

// acked takes up what a relay says of one block.
func (c *Courier) acked(x *relay, a *wire.Ack, id buffer.ClaimID, now time.Time) {
	b := c.table.all[id]
	if b == nil || b.phase == claiming || b.phase == ready && b.sends == 0 && len(b.holders) == 0 && !b.local {
		if a.Status == wire.StatusDelivered || a.Status == wire.StatusStored {
			c.count.twice++
		}
		return
	}
	switch a.Status {
	case wire.StatusStored:
		c.storedAt(b, x, now)
	case wire.StatusDelivered:
		c.arrived(b, now)
		c.settle(b, a.Counts, now)
	case wire.StatusRejected:
		c.arrived(b, now)
		c.reject(b, x, a.Reason, now)
	case wire.StatusNames:
		x.names = idSet{}
		c.refused(b, now)
		if b.named {
			b.next = now.Add(leastPatience) // it had them all
			c.log.once(c, "names "+x.relay, "", "relay "+x.relay+" misses names in a block that brings them all")
		}
		b.named, b.payload = true, nil
	case wire.StatusFull:
		c.refused(b, now)
		b.next = later(x.slow, now.Add(fullPause))
	case wire.StatusUnknown:
		c.unknown(b, x, now)
	}
}

// arrived learns from a block that a relay has taken.
func (c *Courier) arrived(b *block, now time.Time) {
	if b.phase != sent && b.phase != ready || b.began.IsZero() {
		return
	}
	c.window.answered(now.Sub(b.began))
	c.lively(now)
}

// storedAt notes that a relay has the block on its disk.
func (c *Courier) storedAt(b *block, x *relay, now time.Time) {
	if !b.hold(x.holder) {
		c.count.twice++
		return
	}
	if b.phase == stored {
		c.count.again++ // two relays have it: what it holds may be delivered twice
		return
	}
	c.arrived(b, now)
	if b.payload != nil && b.id.Epoch == c.opts.Epoch {
		if ids, _, err := wire.NamesIn(b.payload); err == nil {
			x.names.add(ids)
		}
	}
	c.table.enter(b, stored, now)
}

// settle books what became of a block.
func (c *Courier) settle(b *block, counts *wire.Counts, now time.Time) {
	e, adjusted := settlement(counts, int64(b.items), int64(b.lease.Len()))
	if err := c.opts.Store.SettleElsewhere(b.lease, e); err != nil {
		c.storeFailed("settle points in the buffer", err)
		c.table.enter(b, stored, now) // it is asked about again
		return
	}
	c.count.adjusted += adjusted
	c.update(func(s *drain.State) {
		s.LinesAccepted += int64(b.items)
		s.Lanes[b.lane].Lines += int64(b.items)
		s.Lanes[b.lane].Points += e.Delivered
	})
	c.table.enter(b, gone, now)
}

// reject books a block that no relay will ever take.
func (c *Courier) reject(b *block, x *relay, reason string, now time.Time) {
	n := int64(b.lease.Len())
	if err := c.opts.Store.SettleElsewhere(b.lease, buffer.Elsewhere{DeadLetter: n}); err != nil {
		c.storeFailed("settle points in the buffer", err)
		c.table.enter(b, stored, now)
		return
	}
	c.count.rejected += n
	cause := fmt.Sprintf("relay %s rejects blocks: %.300q", x.relay, reason)
	c.update(func(s *drain.State) {
		s.LinesRefused += int64(b.items)
		s.Lanes[b.lane].Refused += int64(b.items)
		s.LastError, s.LastErrorAt = cause, c.opts.Now()
	})
	c.log.once(c, "rejected", reason, cause+"; their points count as dead letters")
	c.table.enter(b, gone, now)
}

// refused notes that a relay did not take a block, for now.
func (c *Courier) refused(b *block, now time.Time) {
	if b.phase == stored {
		return // another relay has it
	}
	b.exposed = b.exposed && b.sends > 1
	b.flying = false
	c.table.enter(b, ready, now)
	b.next = now
}

// unknown notes that a relay has never seen a block, or has forgotten it.
func (c *Courier) unknown(b *block, x *relay, now time.Time) {
	switch b.phase {
	case stored:
		if b.drop(x.holder) {
			c.again(b, now)
		}
	case sent:
		if b.missing(x.holder, c.relays.may()) && !b.flying && c.believed(now) {
			c.again(b, now)
		}
	case doubtful:
		if b.missing(x.holder, c.relays.may()) && c.believed(now) {
			c.again(b, now)
		}
	}
}

// believed tells whether all relays have had time to tell of themselves.
func (c *Courier) believed(now time.Time) bool { return now.Sub(c.gates.joined) >= c.grace }

// judge looks at doubtful blocks again, now that more is known of relays.
func (c *Courier) judge(now time.Time) {
	if !c.believed(now) {
		return
	}
	may := c.relays.may()
	for _, b := range c.table.all {
		if b.phase == doubtful && b.missing(holder{}, may) {
			c.again(b, now)
		}
	}
}

// again has a block sent that no relay has; too late, it is given back.
func (c *Courier) again(b *block, now time.Time) {
	b.exposed, b.flying, b.holders, b.unknown, b.payload = false, false, nil, nil, nil
	b.named = true
	c.table.enter(b, ready, now)
	b.next = now
	if c.tooLate(b) {
		c.giveBack(b, now)
	}
}

// tooLate tells whether a block must not leave any more.
func (c *Courier) tooLate(b *block) bool {
	return !b.deadline.IsZero() && c.opts.Now().After(b.deadline)
}

// giveBack lets others lease what is in a block: it has not left, or nobody
// has it.
func (c *Courier) giveBack(b *block, now time.Time) {
	c.table.enter(b, gone, now)
	c.hungry = true
	if err := c.opts.Store.Settle(b.lease, []buffer.Settlement{{Outcome: buffer.Later}}); err != nil {
		c.storeFailed("give points back to the buffer", err)
	}
}
