package relay

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
)

const (
	// ackGroup sends what waits for a site at once.
	ackGroup = 100
	// mostAcks bounds one message: each may have counts or a reason of its own.
	mostAcks   = 200
	mostReason = 500 // bytes
	// mostUnsent bounds what waits for one site. Whoever misses an answer asks.
	mostUnsent = 1 << 16
)

// ack is what a site is to hear of a block.
type ack struct {
	name   blockName
	store  uint64 // epoch of the store that it is true of
	status string
	counts *wire.Counts
	reason string
	wide   bool // on every broker where the site was ever heard
}

// acks wait a moment, so that one message has many.
type acks struct {
	wake chan struct{} // has room for one: some site has enough for a message

	mu     sync.Mutex
	bySite map[string][]ack
}

func newAcks() *acks { return &acks{wake: make(chan struct{}, 1), bySite: make(map[string][]ack)} }

func (a *acks) add(x ack) {
	if len(x.reason) > mostReason {
		x.reason = x.reason[:mostReason]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.bySite[x.name.site]) >= mostUnsent {
		return
	}
	list := append(a.bySite[x.name.site], x)
	a.bySite[x.name.site] = list
	if len(list) >= ackGroup {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// take gives what waits, of all sites or of those that have enough.
func (a *acks) take(all bool) map[string][]ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	if all {
		out := a.bySite
		a.bySite = make(map[string][]ack)
		return out
	}
	out := make(map[string][]ack)
	for site, list := range a.bySite {
		if len(list) >= ackGroup {
			out[site] = list
			delete(a.bySite, site)
		}
	}
	return out
}

func (a *acks) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.bySite)
}

// flushAcks sends acknowledgements until ctx ends.
func (r *Relay) flushAcks(ctx context.Context) {
	tick := time.NewTicker(r.opts.Ticks.Ack)
	defer tick.Stop()
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-r.acks.wake:
		case <-tick.C:
			all = true
		}
		for site, list := range r.acks.take(all) {
			r.sendAcks(site, list)
		}
	}
}

// sendAcks tells a site. What is true of a store that is no more is left out:
// its site would believe it of the store of now.
func (r *Relay) sendAcks(site string, list []ack) {
	store := r.opts.Store.Epoch()
	var narrow, wide []ack
	for _, x := range list {
		switch {
		case x.store != store:
		case x.wide:
			wide = append(wide, x)
		default:
			narrow = append(narrow, x)
		}
	}
	for _, m := range r.messages(site, store, narrow) {
		r.sendTo(site, m)
	}
	for _, m := range r.messages(site, store, wide) {
		r.sendWide(site, m)
	}
}

// messages makes few of many acknowledgements.
func (r *Relay) messages(site string, store uint64, list []ack) []mqtt.Message {
	type what struct {
		epoch          uint64
		status, reason string
		counts         wire.Counts
		some           bool
	}
	var order []what
	seqs := make(map[what][]uint64)
	for _, x := range list {
		w := what{epoch: x.name.epoch, status: x.status, reason: x.reason}
		if x.counts != nil {
			w.counts, w.some = *x.counts, true
		}
		if seqs[w] == nil {
			order = append(order, w)
		}
		seqs[w] = append(seqs[w], x.name.seq)
	}
	var out []mqtt.Message
	for some := range slices.Chunk(order, mostAcks) {
		d := wire.Down{Relay: r.opts.ID, Store: wire.FormatEpoch(store), SlowMS: r.slowOf(site)}
		for _, w := range some {
			own := seqs[w]
			slices.Sort(own)
			a := wire.Ack{Epoch: wire.FormatEpoch(w.epoch), Seq: wire.Ranges(slices.Compact(own)), Status: w.status, Reason: w.reason}
			if w.some {
				a.Counts = &w.counts
			}
			d.Acks = append(d.Acks, a)
		}
		payload, _ := json.Marshal(d) // it has nothing that JSON cannot hold
		out = append(out, mqtt.Message{Topic: r.topics().Down(site), Payload: payload, QoS: 1})
	}
	return out
}

// sendTo answers where the site was heard last, else wherever it may be.
func (r *Relay) sendTo(site string, m mqtt.Message) {
	last, _ := r.sites.places(site)
	for _, b := range r.all() {
		if b.url == last && b.send(site, m) {
			return
		}
	}
	r.sendWide(site, m)
}

// sendWide answers wherever the site was ever heard; where nobody knows, on
// every broker.
func (r *Relay) sendWide(site string, m mqtt.Message) {
	_, ever := r.sites.places(site)
	sent := false
	for _, b := range r.all() {
		if ever[b.url] && b.send(site, m) {
			sent = true
		}
	}
	if sent {
		return
	}
	for _, b := range r.all() {
		b.send(site, m)
	}
}

// tellFinished tells sites of the blocks that are settled, until ctx ends.
func (r *Relay) tellFinished(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.opts.Store.Finished():
		}
		store := r.opts.Store.Epoch()
		for _, d := range r.opts.Store.TakeFinished() {
			if r.own.is(d) {
				continue
			}
			r.acks.add(ack{
				name: blockName{d.Site, d.Epoch, d.Seq}, store: store, status: wire.StatusDelivered, counts: countsOf(d.Counts), wide: true,
			})
		}
	}
}

// mostLookups is how many blocks one look into the store is for.
const mostLookups = 1000

// answer is for a question of a site.
func (r *Relay) answer(b *broker, topics wire.Topics, in mqtt.Incoming) {
	defer in.Ack()
	what, site, ok := topics.Parse(in.Topic)
	if !ok || what != wire.AskTopic || in.Retained {
		return
	}
	r.sites.heard(site, b.url, r.opts.Now())
	ask, err := wire.ParseAsk(in.Payload)
	if err != nil {
		r.garbled(site, err)
		return
	}
	if ask.Relay != "" && ask.Relay != r.opts.ID {
		return
	}
	epoch, err := wire.ParseEpoch(ask.Epoch)
	if err != nil {
		return // ParseAsk has checked it
	}
	if ask.Floor > 1 {
		r.opts.Store.Forget(site, epoch, ask.Floor)
	}
	var seqs []uint64
	for _, x := range ask.Seq {
		for n := x[0]; n <= x[1] && n >= x[0]; n++ {
			seqs = append(seqs, n)
		}
	}
	if !r.sites.mayAsk(site, len(seqs), r.opts.Now()) {
		return // it asks again
	}
	for some := range slices.Chunk(seqs, mostLookups) {
		r.lookUp(blockName{site: site, epoch: epoch}, some)
	}
}

// lookUp answers for blocks of an epoch.
func (r *Relay) lookUp(of blockName, seqs []uint64) {
	store := r.opts.Store.Epoch()
	results, err := r.opts.Store.Lookup(of.site, of.epoch, seqs...)
	if err != nil {
		r.opts.Log.Error().Str("site", of.site).Err(err).Msg("a question of a site is not answered; it asks again")
		return
	}
	for i, res := range results {
		of.seq = seqs[i]
		a := ack{name: of, store: store}
		switch res.Status {
		case custody.Done:
			a.status, a.counts = wire.StatusDelivered, countsOf(res.Counts)
		case custody.Stored, custody.Duplicate:
			a.status = wire.StatusStored
		default:
			a.status = wire.StatusUnknown
		}
		r.acks.add(a)
	}
}
