package courier

import (
	"errors"
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// mostAhead is how many blocks, live and other, wait for their turn to leave:
// one commit writes the claims of all.
const mostAhead = mostBlocks

// While relays hold many blocks that are not delivered, blocks are few and
// large, and at last there are no more: each takes memory here.
const (
	manyStored = 1000
	mostStored = 16_384
	livePause  = time.Minute
)

// claimed is a block whose claim is on its way to the disk.
type claimed struct {
	block  *block
	ticket *buffer.Ticket
}

// trusted tells whether the time is known.
func (c *Courier) trusted() bool { return c.opts.Trusted == nil || c.opts.Trusted() }

// mayLeave tells whether anything may leave now.
func (c *Courier) mayLeave(now time.Time) bool {
	if !c.trusted() {
		return false
	}
	open, _ := c.relays.open(now)
	return c.link.up && open
}

// scope is what the queries depend on now.
func (c *Courier) scope(now time.Time) scope {
	wall := c.opts.Now()
	s := scope{now: wall, window: c.opts.Window, estimate: min(c.window.usual(), mostPatience), late: c.opts.Late, folded: c.opts.LateResolution}
	if c.gates.spread.After(now) {
		s.spread = wall.Add(c.gates.spread.Sub(now))
	}
	return s
}

// lease makes blocks of what is most urgent, as many as may leave soon.
func (c *Courier) lease(now time.Time) {
	if !c.hungry || now.Before(c.gates.store) || len(c.table.all) >= mostStored {
		return
	}
	c.hungry = false // looking costs the store something: not for each answer
	for c.leaseOne(now) {
		c.turns++
	}
}

// leaseOne makes one block, and reports whether there was something to make
// one of.
func (c *Courier) leaseOne(now time.Time) bool {
	s := c.scope(now)
	live, other := c.table.waiting()
	for _, l := range order(c.turns) {
		switch {
		case l == laneLive && live >= mostAhead, l != laneLive && other >= mostAhead:
			c.hungry = true
			continue
		case l != laneLive && !c.affords(now, c.target.BlockSize/2):
			continue
		case l == laneLive && len(c.table.all) > manyStored && now.Before(c.gates.live):
			continue
		case l == laneLogs && now.Before(c.gates.spread), l == laneLate && now.Before(c.gates.spread):
			continue
		}
		most := max(16, min(mostPoints, int(float64(c.target.BlockSize)/c.sizes[l])))
		for _, q := range s.queries(l, most) {
			found, err := c.take(l, q, now)
			if err != nil {
				c.leaseFailed(now, err)
				return false
			}
			if found {
				return true
			}
		}
		if l == laneLive {
			c.gates.live = now.Add(livePause)
		}
	}
	return false
}

// affords tells whether the budget lets something of this size leave that is
// not live.
func (c *Courier) affords(now time.Time, size int) bool {
	wait := c.allowance.Wait(c.opts.Now(), int64(size), c.rate.known)
	if wait > 0 {
		c.gates.budget = now.Add(wait)
	}
	return wait <= 0
}

// take leases for a lane, makes a block and claims it.
func (c *Courier) take(l lane, q buffer.Query, now time.Time) (found bool, err error) {
	lease, err := c.opts.Store.Lease(q)
	if lease == nil || err != nil {
		return false, err
	}
	c.gates.fails = 0
	b := &block{id: buffer.ClaimID{Epoch: c.opts.Epoch, Seq: c.seq + 1}, lane: l, lease: lease, since: now}
	p := c.packing(b)
	p.naming.Numbering, p.naming.Known = c.numbers, c.relays.know
	made, err := pack(c.writer, lease, p)
	if bad := (*badItem)(nil); errors.As(err, &bad) {
		return true, c.refuse(l, lease, bad)
	}
	if err != nil {
		return false, errors.Join(err, c.opts.Store.Settle(lease, []buffer.Settlement{{Outcome: buffer.Later}}))
	}
	if made.keep != nil {
		c.opts.Store.Trim(lease, made.keep)
	}
	n := lease.Len()
	c.sizes[l] += 0.3 * (max(0.5, 1.05*float64(len(made.payload))/float64(n)) - c.sizes[l])
	c.seq++
	b.payload, b.size, b.kind, b.items = made.payload, len(made.payload), made.kind, made.items
	ticket := c.opts.Store.Claim(lease, b.id)
	lease.Unload()
	c.table.add(b)
	c.claims = append(c.claims, claimed{b, ticket})
	return true, nil
}

// packing is how a block is made. Of points it notes when they are too late.
func (c *Courier) packing(b *block) packing {
	h := wire.Header{Kind: wire.Points, Lane: b.lane.wire(), Site: c.opts.Site, Epoch: b.id.Epoch, Seq: b.id.Seq}
	if len(b.lease.Points) > 0 && !b.lease.Late() {
		h.Codec = c.target.Codec
		due := time.UnixMilli(oldestOf(b.lease)).Add(c.opts.Window)
		h.Deadline, b.deadline = due.UnixMilli(), due.Add(-margin/2)
	}
	return packing{
		header: h, naming: wire.Naming{Most: c.target.BlockSize},
		now: c.opts.Now(), folded: c.opts.LateResolution, site: c.opts.Site,
	}
}

// refuse makes dead letters of what can be in no block.
func (c *Courier) refuse(l lane, lease *buffer.Lease, bad *badItem) error {
	c.update(func(s *drain.State) {
		s.LinesRefused++
		s.Lanes[l].Refused++
		s.LastError, s.LastErrorAt = "something can be in no block and is a dead letter: "+bad.Error(), c.opts.Now()
	})
	c.log.once(c, "refused", bad.Error(), "something can be in no block and is a dead letter")
	return c.opts.Store.Settle(lease, refusal(lease.Len(), bad))
}

// leaseFailed waits with the store.
func (c *Courier) leaseFailed(now time.Time, err error) {
	if errors.Is(err, buffer.ErrWaiting) {
		c.gates.store = now.Add(100 * time.Millisecond)
		return
	}
	c.gates.fails++
	c.gates.store = now.Add(min(time.Second<<min(c.gates.fails, 5), idleTick))
	c.storeFailed("take points from the buffer", err)
}

// dropLate gives up what is late, without a message.
func (c *Courier) dropLate(now time.Time) {
	for !now.Before(c.gates.store) {
		lease, err := c.opts.Store.Lease(buffer.Query{Late: true, Max: mostPoints})
		if lease == nil && err == nil {
			lease, err = c.opts.Store.Lease(buffer.Query{Late: true, Entries: true, Max: mostEntries})
		}
		if err == nil && lease != nil {
			err = c.opts.Store.Settle(lease, []buffer.Settlement{{Outcome: buffer.Dropped}})
		}
		if err != nil {
			c.leaseFailed(now, err)
		}
		if lease == nil || err != nil {
			return
		}
	}
}

// awaitClaims has somebody wait for the commit that writes the claims.
func (c *Courier) awaitClaims() {
	if c.waiting || len(c.claims) == 0 {
		return
	}
	batch := c.claims
	c.claims, c.waiting = nil, true
	ctx := c.link.ctx
	c.work.Go(func() {
		failed := make([]error, len(batch))
		for i, x := range batch {
			failed[i] = x.ticket.Wait(ctx)
		}
		c.leave(func() { c.written(batch, failed) })
	})
}

// written takes up that claims are on the disk.
func (c *Courier) written(batch []claimed, failed []error) {
	c.waiting = false
	now := time.Now()
	for i, x := range batch {
		switch {
		case x.block.phase != claiming: // it was given back
		case failed[i] != nil:
			c.storeFailed("claim points in the buffer", failed[i])
			c.giveBack(x.block, now)
		default:
			c.table.enter(x.block, ready, now)
		}
	}
}

// overdue looks after blocks whose time has come.
func (c *Courier) overdue(now time.Time) {
	nobody := c.relays.online() == 0
	for _, b := range append([]*block(nil), c.table.active...) {
		switch {
		case b.phase == sent && b.flying:
		case b.phase == sent && !b.next.IsZero() && !b.next.After(now):
			c.window.missed(now)
			c.table.enter(b, ready, now)
			c.lapse(b, now, nobody)
		case b.phase == ready, b.phase == claiming:
			c.lapse(b, now, nobody)
		}
	}
}

// lapse lets go of a block that must not leave any more, or for which there is
// nobody: here it can still become late. One that a relay may have is asked
// about.
func (c *Courier) lapse(b *block, now time.Time, nobody bool) {
	switch {
	case !b.exposed && (nobody || c.tooLate(b)):
		c.giveBack(b, now)
	case b.exposed && c.tooLate(b):
		b.unknown = nil
		c.table.enter(b, doubtful, now)
	}
}

// publish has blocks leave, as many as the window admits.
func (c *Courier) publish(now time.Time) {
	for {
		b := c.table.next(now, func(b *block) bool {
			return b.lane == laneLive || now.After(c.gates.budget) || c.gates.budget.Equal(now)
		})
		if b == nil {
			return
		}
		if blocks, bytes := c.table.flight(); !c.window.admits(blocks, bytes, b.size) {
			return
		}
		if c.tooLate(b) {
			c.lapse(b, now, false)
			continue
		}
		if b.lane != laneLive && !c.affords(now, b.size) {
			continue
		}
		if b.payload != nil || c.remake(b, now) {
			c.sendBlock(b, now)
		}
	}
}

// remake makes a block again, with the same points under the same number.
func (c *Courier) remake(b *block, now time.Time) bool {
	if err := c.opts.Store.Reload(b.lease); err != nil {
		c.storeFailed("read points again", err)
		c.giveBack(b, now)
		return false
	}
	defer b.lease.Unload()
	due := b.deadline
	p := c.packing(b)
	p.naming.Again = true
	if !b.local {
		p.naming.Numbering = c.numbers
	}
	made, err := pack(c.writer, b.lease, p)
	if err != nil || made.keep != nil {
		// It does not fit any more: what it holds leaves under other numbers.
		c.opts.Log.Warn().AnErr("cause", err).Uint64("seq", b.id.Seq).Msg("a block cannot be made again; its points leave in other ones")
		c.giveBack(b, now)
		return false
	}
	if !due.IsZero() {
		b.deadline = due
	}
	b.payload, b.size, b.kind, b.items = made.payload, len(made.payload), made.kind, made.items
	return true
}

// overhead of a block on the wire: topic, packet, record of TLS, and the
// broker's acknowledgement.
const overhead = 120

// sendBlock publishes a block.
func (c *Courier) sendBlock(b *block, now time.Time) {
	if b.sends > 0 || b.named {
		c.count.resends++
	}
	if b.began.IsZero() {
		b.began = now
	}
	b.sends++
	b.exposed, b.flying, b.unknown, b.next = true, true, nil, time.Time{}
	c.table.enter(b, sent, now)
	c.rate.left(now)
	sends, size := b.sends, b.size
	c.update(func(s *drain.State) {
		s.Posts++
		s.BytesText += int64(size)
		s.BytesSent += int64(size)
		s.Lanes[b.lane].Posts++
		s.Lanes[b.lane].Wire += int64(size + overhead)
	})
	c.allowance.Spent(c.opts.Now(), int64(size+overhead), b.lane == laneLive)
	c.send(mqtt.Message{Topic: c.topics.Up(c.opts.Site), Payload: b.payload, QoS: 1}, func(err error, _ time.Duration) {
		now := time.Now()
		c.rate.arrived(now, size)
		if b.phase != sent || b.sends != sends {
			return
		}
		b.flying = false
		if b.next = now.Add(c.window.patience(c.opts.Random())); err != nil {
			b.next = now.Add(time.Second)
			c.noted(err.Error())
		}
	})
}
