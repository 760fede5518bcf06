package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// How a budget is shared out.
const (
	// spareBytes are what each holder has for itself, beside the budget: small
	// answers come through whatever the large ones do.
	spareBytes = 256 << 10
	// budgetStep is how much is taken at a time, so that it is seldom asked for.
	budgetStep = 64 << 10
)

// Why a budget gives nothing.
var (
	// ErrTooLarge is that of a holder that wants more than one may have.
	ErrTooLarge = errors.New("it takes more memory than one endpoint may have")
	// ErrNoMemory is that of a holder that others leave nothing.
	ErrNoMemory = errors.New("the answers of other endpoints hold the memory that there is for all of them; have them asked at other times, or for less")
)

// Budget bounds what is held in memory of answers from outside, over all who
// ask, in bytes. One holder may have half of it. A nil one bounds nothing.
type Budget struct {
	total int64

	mu      sync.Mutex
	free    int64
	holders int           // that have some of it
	waiting int           // of those
	freed   chan struct{} // closed once something is given back
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{total: bytes, free: bytes, freed: make(chan struct{})}
}

// Hold is what one holder has of a budget. It is not safe for use by two
// goroutines at a time. A nil one bounds nothing.
type Hold struct {
	budget *Budget
	used   int64 // by the holder
	taken  int64 // out of the budget
}

// Hold begins to hold. A nil budget gives a nil hold.
func (b *Budget) Hold() *Hold {
	if b == nil {
		return nil
	}
	return &Hold{budget: b}
}

// Try takes bytes if they are free; else it takes none.
func (h *Hold) Try(bytes int64) bool {
	if h == nil {
		return true
	}
	want := h.missing(bytes)
	if want > 0 && (h.taken+want > h.budget.total/2 || !h.budget.try(h, want)) {
		return false
	}
	h.used += bytes
	return true
}

// Take takes bytes, and waits until they are free. It does not wait where all
// that hold something do so too.
func (h *Hold) Take(ctx context.Context, bytes int64) error {
	if h == nil {
		return nil
	}
	if want := h.missing(bytes); want > 0 {
		if h.taken+want > h.budget.total/2 {
			return fmt.Errorf("%w (%d MiB)", ErrTooLarge, h.budget.total>>21)
		}
		if err := h.budget.wait(ctx, h, want); err != nil {
			return err
		}
	}
	h.used += bytes
	return nil
}

// missing is what has to be taken out of the budget for so many bytes more.
func (h *Hold) missing(bytes int64) int64 {
	want := h.used + bytes - spareBytes - h.taken
	if want <= 0 {
		return 0
	}
	return (want + budgetStep - 1) / budgetStep * budgetStep
}

// Give gives bytes back.
func (h *Hold) Give(bytes int64) {
	if h == nil {
		return
	}
	h.used -= bytes
	needed := max(0, h.used-spareBytes)
	if extra := (h.taken - needed) / budgetStep * budgetStep; extra > 0 {
		h.budget.give(h, extra)
	}
}

// Release gives all of it back. The hold can be used again.
func (h *Hold) Release() {
	if h == nil {
		return
	}
	h.used = 0
	if h.taken > 0 {
		h.budget.give(h, h.taken)
	}
}

// Reader gives what r does, and takes some bytes for each that is read.
func (h *Hold) Reader(ctx context.Context, r io.Reader, each int64) io.Reader {
	if h == nil {
		return r
	}
	return &heldReader{ctx, r, h, each}
}

type heldReader struct {
	ctx  context.Context
	from io.Reader
	hold *Hold
	each int64
}

// Read reads, and then takes: what is read is in a buffer of the reader's.
func (r *heldReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if short := r.hold.Take(r.ctx, int64(n)*r.each); short != nil {
		return 0, short
	}
	return n, err
}

func (b *Budget) try(h *Hold, bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tryLocked(h, bytes)
}

func (b *Budget) tryLocked(h *Hold, bytes int64) bool {
	if b.free < bytes {
		return false
	}
	if b.free -= bytes; h.taken == 0 {
		b.holders++
	}
	h.taken += bytes
	return true
}

func (b *Budget) wait(ctx context.Context, h *Hold, bytes int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := 0
	if h.taken > 0 {
		own = 1
	}
	for !b.tryLocked(h, bytes) {
		if b.waiting+own >= b.holders { // nobody is left who could give anything back
			return ErrNoMemory
		}
		freed := b.freed
		b.waiting += own
		b.mu.Unlock()
		var err error
		select {
		case <-freed:
		case <-ctx.Done():
			err = ErrNoMemory
		}
		b.mu.Lock()
		b.waiting -= own
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Budget) give(h *Hold, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += bytes
	if h.taken -= bytes; h.taken == 0 {
		b.holders--
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

// Memory is what answers from outside may hold in the whole process.
type Memory struct {
	Answers *Budget // while they are read and worked on
	Series  *Budget // what is remembered of them from poll to poll
}

// NewMemory makes the budgets of a process: 64 and 128 MiB, half of that where
// addresses have 32 bits.
func NewMemory() Memory {
	const unit = 32 << 20 << (^uint(0) >> 63)
	return Memory{Answers: NewBudget(unit), Series: NewBudget(2 * unit)}
}
