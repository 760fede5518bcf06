package agent

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
)

// tools lets the commands for a store reach that of a relay, as far as blocks
// allow.
func (h *Hub) tools() (tools []control.Tool) {
	for _, e := range export.Endpoints(hubStore{h.store}, filepath.Join(h.atStart.StateDir, RelayFile)) {
		tools = append(tools, control.Tool(e))
	}
	return append(tools, h.importTool())
}

// hubStore shows the store of a relay as one of points.
type hubStore struct{ blocks *custody.Store }

var (
	errBlocks = errors.New("this is a relay: it holds blocks of sites on their way, and does not read or export single points; `edgehold relay sites` tells what it holds of each site")
	errRetry  = errors.New("this is a relay: a dead letter in it is counted at its site as well, so it is not sent again from here; mend the cause, and export the points at the site")
)

// Account is that of all sites.
func (s hubStore) Account() buffer.Account { return s.blocks.Account() }

// Stat has what is the same of both.
func (s hubStore) Stat() buffer.Stat {
	st := s.blocks.Stat()
	return buffer.Stat{
		FileBytes: st.FileBytes, DiskBytes: st.FileBytes, UsedBytes: st.UsedBytes, MaxBytes: st.MaxBytes, Records: st.Blocks,
		Oldest: st.Oldest, Refused: st.Refused, Alarm: st.Alarm, Warnings: st.Warnings,
	}
}

// Read refuses.
func (s hubStore) Read(context.Context, buffer.Selection, func(buffer.Page) error) error {
	return errBlocks
}

// VerifyProgress reads everything.
func (s hubStore) VerifyProgress(ctx context.Context, progress func(done, of int64)) (buffer.Account, error) {
	progress(0, 1)
	err := s.blocks.Verify(ctx)
	progress(1, 1)
	return s.blocks.Account(), err
}

// DeadLetters gives those of all sites.
func (s hubStore) DeadLetters(fn func(buffer.Letter) error) error {
	return s.blocks.DeadLetters(func(x custody.Letter) error {
		x.Reason = "site " + x.Site + ": " + x.Reason
		return fn(x.Letter)
	})
}

// Purge deletes by hand.
func (s hubStore) Purge(ctx context.Context, p buffer.Purge) (int64, error) {
	return s.blocks.Purge(ctx, custody.Purge{Before: p.Before, All: p.All, DeadLetters: p.DeadLetters, Letters: p.Letters})
}

// RetryLetters refuses.
func (s hubStore) RetryLetters(context.Context, []uint64, func(buffer.Letter) (buffer.Revived, error)) (int, error) {
	return 0, errRetry
}
