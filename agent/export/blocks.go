package export

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// Blocks is an export for `edgehold relay import`: an archive of blocks, for a
// site whose points no link carries.
type Blocks struct {
	Source  Source
	Filter  Filter
	Site    string
	Version string
	Now     time.Time
	// Sign vouches for the archive, see wire.ArchiveWriter; nil: nobody does.
	Sign     func(text []byte) (certificates [][]byte, signature []byte, err error)
	Progress func(what string, done, of int64)
}

// BlocksResult is what came of it.
type BlocksResult struct {
	Number  int64  `json:"number"` // of the archive
	Blocks  int64  `json:"blocks"`
	Points  int64  `json:"points"`
	Entries int64  `json:"entries_left_out"` // events and log records
	Guessed int64  `json:"guessed_left_out"` // points whose time is not known
	Skipped int64  `json:"skipped"`          // points that fit into no block
	Reason  string `json:"skip_reason,omitempty"`
	Hint    Hint   `json:"-"`
}

// Write writes the archive. The blocks of the same points of one record have
// the same number in every archive, so that archives may overlap.
func (b Blocks) Write(ctx context.Context, w io.Writer) (BlocksResult, error) {
	out := blocksOut{writer: wire.NewWriter(), result: BlocksResult{Number: b.Now.UnixMilli()}}
	out.header = wire.Header{Kind: wire.Points, Lane: wire.Backlog, Codec: wire.Packed, Site: b.Site, Epoch: handEpoch(b.Site), Seq: 1}
	var err error
	out.archive, err = wire.NewArchiveWriter(w, wire.ArchiveHead{Site: b.Site, Number: out.result.Number, Version: b.Version})
	if err != nil {
		return out.result, err
	}
	out.result.Hint, err = b.Source.Read(ctx, b.Filter, func(p buffer.Page) error {
		if b.Progress != nil {
			b.Progress("written", p.Done, p.Of)
		}
		return out.page(p)
	})
	if err != nil {
		if ctx.Err() != nil {
			err = ErrInterrupted
		}
		return out.result, err
	}
	end, err := out.archive.Close(b.Sign)
	out.result.Blocks, out.result.Points = end.Blocks, end.Points
	return out.result, err
}

// handEpoch is the epoch of all blocks that leave a site by hand.
func handEpoch(site string) uint64 {
	sum := sha256.Sum256([]byte("edgehold blocks by hand\n" + site))
	return binary.BigEndian.Uint64(sum[:])
}

type blocksOut struct {
	archive *wire.ArchiveWriter
	writer  *wire.Writer
	header  wire.Header
	result  BlocksResult
	points  []probes.Point
	block   []byte
}

// page writes the points of one record.
func (o *blocksOut) page(p buffer.Page) error {
	o.result.Entries += int64(len(p.Entries))
	o.points = o.points[:0]
	for _, x := range p.Points {
		if x.Stamp.Guess {
			o.result.Guessed++
			continue
		}
		x.Stamp = probes.Stamp{Wall: x.Stamp.Wall} // all that a running agent tells, and all that leaves the relay
		o.points = append(o.points, x)
	}
	for rest := o.points; len(rest) > 0; {
		n, err := o.add(rest)
		var bad *wire.PointError
		switch {
		case errors.As(err, &bad):
			o.result.Skipped++
			o.result.Reason = bad.Error()
			n = 1
		case err != nil:
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// add makes a block of the first points. Its number is that of its content.
func (o *blocksOut) add(points []probes.Point) (n int, err error) {
	naming := wire.Naming{Most: wire.MaxBlock}
	o.header.Seq = 1
	if o.block, n, err = o.writer.AppendPoints(o.block[:0], o.header, points, naming); err != nil {
		return 0, fmt.Errorf("write a block: %w", err)
	}
	sum := sha256.Sum256(o.block)
	o.header.Seq = binary.BigEndian.Uint64(sum[:])>>2 | 1 // not 0, and short enough for every counter
	naming.Again = true
	if o.block, n, err = o.writer.AppendPoints(o.block[:0], o.header, points[:n], naming); err != nil {
		return 0, fmt.Errorf("write a block: %w", err)
	}
	return n, o.archive.Add(o.block)
}
