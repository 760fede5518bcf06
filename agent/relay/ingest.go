package relay

import (
	"context"
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/agent/mqtt"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// taken is a block on its way to the disk.
type taken struct {
	ticket *custody.Ticket
	name   blockName
	store  uint64 // epoch of the store that it was given to
	done   func() // acknowledges it to the broker
}

// blockName names a block.
type blockName struct {
	site       string
	epoch, seq uint64
}

// take is the way of a block from the broker to the store. It runs on the
// goroutine of a connection, one block after the other.
func (r *Relay) take(b *broker, topics wire.Topics, in mqtt.Incoming) {
	what, site, ok := topics.Parse(in.Topic)
	if !ok || what != wire.UpTopic {
		r.garbled(site, fmt.Errorf("topic %.200q is none of a site's blocks", in.Topic))
		in.Ack()
		return
	}
	r.sites.heard(site, b.url, r.opts.Now())
	r.counts.blocks.Add(1)
	h, err := wire.ParseHeader(in.Payload)
	if err == nil && h.Seq == 0 {
		err = errNoNumber
	}
	if err != nil { // what it says of itself cannot be believed, its name neither
		r.garbled(site, err)
		in.Ack()
		return
	}
	name := blockName{site, h.Epoch, h.Seq}
	if h.Kind == wire.Probe && h.Site == site {
		r.counts.probes.Add(1)
		r.acks.add(ack{name: name, store: r.opts.Store.Epoch(), status: wire.StatusStored})
		in.Ack()
		return
	}
	block, err := r.read(site, h, in.Payload)
	if err != nil {
		r.refuse(name, err)
		in.Ack()
		return
	}
	store := r.opts.Store.Epoch()
	r.taken <- taken{ticket: r.opts.Store.Put(block), name: name, store: store, done: in.Ack}
}

// errNoNumber: an answer has to name its block.
var errNoNumber = errors.New("its number is 0, and numbers begin at 1")

// garbled notes what came and is no block. Nobody can be told.
func (r *Relay) garbled(site string, err error) {
	r.counts.garbled.Add(1)
	if r.sites.blame(site, err.Error(), r.opts.Now()) {
		r.opts.Log.Warn().Str("site", site).Err(err).Msg("a message is no block and is dropped")
	}
}

// refuse answers a block that is not stored.
func (r *Relay) refuse(name blockName, err error) {
	var missing *wire.MissingError
	var trouble *storeError
	a := ack{name: name, store: r.opts.Store.Epoch()}
	switch {
	case errors.As(err, &missing):
		r.counts.names.Add(1)
		a.status = wire.StatusNames
	case errors.As(err, &trouble):
		r.opts.Log.Error().Err(err).Msg("a block is not taken")
		r.counts.full.Add(1)
		a.status = wire.StatusFull
	default:
		r.counts.rejected.Add(1)
		a.status, a.reason = wire.StatusRejected, err.Error()
		if r.sites.blame(name.site, err.Error(), r.opts.Now()) {
			r.opts.Log.Warn().Str("site", name.site).Uint64("seq", name.seq).Err(err).Msg("a block is rejected for good")
		}
	}
	r.acks.add(a)
}

// storeError is of this side: the block is not to blame.
type storeError struct{ error }

// read decodes a block wholly, and gives it as the store takes it.
func (r *Relay) read(site string, h wire.Header, data []byte) (custody.Block, error) {
	block := custody.Block{
		Site: site, Epoch: h.Epoch, Seq: h.Seq, Kind: uint8(h.Kind), Lane: uint8(h.Lane), Points: h.Count,
		First: h.First, Last: h.Last, Data: data,
	}
	if h.Site != site {
		return block, fmt.Errorf("it came on the topic of site %s and says that it is of site %s: a site may not speak for another one", site, h.Site)
	}
	reader := r.readers.Get().(*wire.Reader)
	defer r.readers.Put(reader)
	if h.Kind != wire.Points {
		return r.readEntries(reader, block, h)
	}
	if h.Guess {
		return block, errors.New("its times are guesses: points wait at their site until the time is known")
	}
	names := r.names.lookup(site, h.Epoch)
	points, err := reader.Points(data, names.series)
	if names.err != nil {
		return block, &storeError{names.err}
	}
	if err != nil {
		return block, err
	}
	if err := checkSite(site, points); err != nil {
		return block, err
	}
	block.Relies = names.relied
	_, payload, err := wire.NamesIn(data)
	if err != nil {
		return block, err
	}
	if payload != nil && !r.names.has(site, h.Epoch, payload) && !r.names.full(site, h.Epoch) {
		block.Names = payload
	}
	return block, nil
}

// checkSite refuses points that a site says of another one. Points need not have
// the dimension: a site may leave it out.
func checkSite(site string, points []probes.Point) error {
	var last *probes.Series
	for i := range points {
		s := points[i].Series
		if s == last {
			continue
		}
		last = s
		if named := s.Dim("site"); named != "" && named != site {
			return otherSite(site, named)
		}
	}
	return nil
}

func otherSite(site, named string) error {
	return fmt.Errorf("it has the dimension site=%.80q and is of site %s: a site may not speak for another one; change `site` or `dimensions` of its configuration", named, site)
}

// readEntries checks events and log records one by one.
func (r *Relay) readEntries(reader *wire.Reader, block custody.Block, h wire.Header) (custody.Block, error) {
	entries, err := reader.Entries(block.Data)
	if err != nil {
		return block, err
	}
	for i, e := range entries {
		var own []probes.Dimension
		if buffer.EntryKind(e.Kind) == buffer.EventEntry {
			var event probes.Event
			event, err = record.ParseEvent(e.Data)
			own = event.Properties
		} else {
			var log probes.Record
			log, err = record.ParseRecord(e.Data)
			own = log.Attributes
		}
		if err != nil {
			return block, fmt.Errorf("entry %d of the block: %w", i, err)
		}
		for _, d := range own {
			if d.Key == "site" && d.Value != block.Site {
				return block, otherSite(block.Site, d.Value)
			}
		}
	}
	if h.Guess { // the window begins when they came
		now := r.opts.Now().UnixMilli()
		block.First, block.Last = now, now
	}
	return block, nil
}

// answerTaken waits for blocks to be on the disk, in the order in which they
// came.
func (r *Relay) answerTaken(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-r.taken:
			res, err := t.ticket.Wait(ctx)
			if ctx.Err() != nil || errors.Is(err, custody.ErrClosed) {
				continue // its site sends it again
			}
			r.stored(t, res, err)
			t.done()
		}
	}
}

// stored answers one block.
func (r *Relay) stored(t taken, res custody.Result, err error) {
	if err != nil {
		r.refuse(t.name, err)
		return
	}
	a := ack{name: t.name, store: t.store}
	switch res.Status {
	case custody.Stored:
		r.counts.stored.Add(1)
		a.status = wire.StatusStored
	case custody.Duplicate:
		r.counts.duplicates.Add(1)
		a.status = wire.StatusStored
	case custody.Done:
		r.counts.done.Add(1)
		a.status, a.counts = wire.StatusDelivered, countsOf(res.Counts)
	case custody.NamesMissing:
		r.names.forget(t.name.site, t.name.epoch)
		r.counts.names.Add(1)
		a.status = wire.StatusNames
	default:
		r.counts.full.Add(1)
		a.status = wire.StatusFull
		r.sites.full(t.name.site)
	}
	r.acks.add(a)
}

// countsOf is nil where all was delivered.
func countsOf(c custody.Counts) *wire.Counts {
	if c.Plain() {
		return nil
	}
	return &wire.Counts{
		Delivered: c.Delivered, DeadLetter: c.DeadLetter, LateArchived: c.LateArchived, LateLogged: c.LateLogged,
		LateDropped: c.LateDropped, Evicted: c.Evicted, Damaged: c.Damaged, Purged: c.Purged,
	}
}
