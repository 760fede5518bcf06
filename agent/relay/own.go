package relay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// own is what the relay itself has to tell. It goes the way of all blocks, as
// those of a site with the id of the relay and an epoch of this run.
type own struct {
	opts  Options
	epoch uint64

	mu     sync.Mutex // guards what follows
	writer *wire.Writer
	seq    uint64
}

func newOwn(o Options) *own {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return &own{opts: o, epoch: binary.LittleEndian.Uint64(b[:]), writer: wire.NewWriter()}
}

// is tells whether a block is of the relay itself.
func (w *own) is(d custody.DoneBlock) bool { return d.Site == w.opts.ID && d.Epoch == w.epoch }

// ownPatience is how long what the relay has to tell may wait for the disk.
const ownPatience = 10 * time.Second

// points stores points. When it returns without an error they are durable.
func (w *own) points(ctx context.Context, points []probes.Point) error {
	return w.all(ctx, len(points), func(h wire.Header, from int) ([]byte, int, error) {
		return w.writer.AppendPoints(nil, h, points[from:], wire.Naming{})
	})
}

// events stores events as points does.
func (w *own) events(ctx context.Context, events ...probes.Event) error {
	entries := make([]wire.Entry, len(events))
	for i, e := range events {
		entries[i] = wire.Entry{Kind: uint8(buffer.EventEntry), Stamp: w.opts.Clock.Now(), Data: record.AppendEvent(nil, e)}
	}
	return w.all(ctx, len(entries), func(h wire.Header, from int) ([]byte, int, error) {
		h.Kind = wire.Events
		return w.writer.AppendEntries(nil, h, entries[from:], 0)
	})
}

// all makes blocks until everything is in one, and waits for the disk.
func (w *own) all(ctx context.Context, n int, block func(h wire.Header, from int) ([]byte, int, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.writer.Rest()
	ctx, cancel := context.WithTimeout(ctx, ownPatience)
	defer cancel()
	for from := 0; from < n; {
		data, taken, err := block(wire.Header{Kind: wire.Points, Lane: wire.Live, Site: w.opts.ID, Epoch: w.epoch, Seq: w.seq + 1}, from)
		if err != nil {
			return err
		}
		h, err := wire.ParseHeader(data)
		if err != nil {
			return err
		}
		w.seq++
		res, err := w.opts.Store.Put(custody.Block{
			Site: h.Site, Epoch: h.Epoch, Seq: h.Seq, Kind: uint8(h.Kind), Lane: uint8(h.Lane), Points: h.Count, First: h.First, Last: h.Last, Data: data,
		}).Wait(ctx)
		if err != nil {
			return err
		}
		if res.Status != custody.Stored {
			return fmt.Errorf("store what the relay has to tell: the store says %v", res.Status)
		}
		from += taken
	}
	return nil
}
