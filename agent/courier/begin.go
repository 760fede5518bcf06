package courier

import (
	"context"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// noteBoot is the name under which the store keeps how often the site has
// started.
const noteBoot = "courier.boot"

// begin counts the start and takes up the claims of earlier ones.
func (c *Courier) begin(ctx context.Context) {
	c.boot, _ = strconv.ParseUint(string(c.opts.Store.Kept(noteBoot)), 10, 64) // none, at first
	c.boot++
	c.opts.Store.Keep(noteBoot, strconv.AppendUint(nil, c.boot, 10))
	now := time.Now()
	ids := c.opts.Store.Claims()
	for _, id := range ids {
		if ctx.Err() != nil {
			return
		}
		c.recall(id, now)
	}
	if len(ids) > 0 {
		c.opts.Log.Info().Int("blocks", len(ids)).Int64("points", c.table.points[doubtful]).
			Msg("blocks of earlier starts are open; relays are asked what became of them")
	}
}

// recall takes up one claim of an earlier start.
func (c *Courier) recall(id buffer.ClaimID, now time.Time) {
	lease, err := c.opts.Store.Reclaim(id)
	if err != nil {
		c.storeFailed("take up a claim of an earlier start", err)
		return
	}
	if lease == nil {
		return
	}
	b := &block{id: id, phase: doubtful, lane: laneWindow, lease: lease, local: true, named: true, exposed: true, since: now, items: lease.Len()}
	switch {
	case lease.Late():
		b.lane = laneLate
	case len(lease.Entries) > 0 && lease.Entries[0].Kind == buffer.EventEntry:
		b.lane = laneEvents
	case len(lease.Entries) > 0:
		b.lane = laneLogs
	}
	_ = c.packing(b) // notes when it is too late
	lease.Unload()
	c.table.add(b)
}

// recallRest takes up what was not taken up for an error of the store.
func (c *Courier) recallRest(now time.Time) {
	for _, id := range c.opts.Store.Claims() {
		if c.table.all[id] == nil {
			c.recall(id, now)
		}
	}
}

// lastWait is how long answers are awaited at a stop.
const lastWait = 2 * time.Second

// stop gives back what has not left, waits for the answers that are out, and
// takes leave of the broker.
func (c *Courier) stop() {
	c.heed()
	now := time.Now()
	for _, b := range append([]*block(nil), c.table.active...) {
		if !b.exposed {
			c.giveBack(b, now)
		}
	}
	if c.link.up {
		c.lastWords()
	}
	c.hangUp("it stops")
	c.show()
}

// lastWords tells the broker that the site stops, as far as there is time.
func (c *Courier) lastWords() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	conn := c.link.conn
	if blocks, _ := c.table.flight(); blocks > 0 {
		_ = conn.Publish(ctx, c.stateMessage(wire.StateDraining)) // the next word says more
	}
	end := time.NewTimer(lastWait)
	defer end.Stop()
	for c.link.up {
		if blocks, _ := c.table.flight(); blocks == 0 {
			break
		}
		select {
		case <-end.C:
			c.leaving(ctx)
			return
		case <-c.wake:
			c.heed()
		}
	}
	c.leaving(ctx)
}

func (c *Courier) leaving(ctx context.Context) {
	if !c.link.up {
		return
	}
	if err := c.link.conn.Publish(ctx, c.stateMessage(wire.StateStopped)); err != nil {
		c.opts.Log.Info().Err(err).Msg("the broker does not know that this site has stopped in order")
	}
}
