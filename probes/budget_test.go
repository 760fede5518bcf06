package probes

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	b := NewBudget(4 << 20)
	first, second, third := b.Hold(), b.Hold(), b.Hold()
	if !first.Try(spareBytes+2<<20) || first.Try(1) {
		t.Error("one holder has half of the budget beside its spare bytes, and no more")
	}
	if err := first.Take(t.Context(), 1); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if !second.Try(spareBytes + 2<<20) {
		t.Error("the other half is not free")
	}
	if !third.Try(spareBytes) || third.Try(1) {
		t.Error("who takes little has it for itself, whatever the others do")
	}
	second.Give(1 << 20)
	if !third.Try(1<<20) || third.Try(1) {
		t.Error("what is given back is free")
	}
	first.Release()
	second.Release()
	third.Release()
	if b.free != b.total || b.holders != 0 {
		t.Errorf("%d of %d bytes are free, %d holders", b.free, b.total, b.holders)
	}
	var none *Budget
	h := none.Hold()
	if !h.Try(1<<40) || h.Take(t.Context(), 1<<40) != nil {
		t.Error("no budget bounds nothing")
	}
	h.Give(1)
	h.Release()
}

// Who wants more waits for the others, unless all of them do.
func TestBudgetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(4 << 20)
		first, second, third := b.Hold(), b.Hold(), b.Hold()
		first.Try(spareBytes + 2<<20)
		second.Try(spareBytes + 1<<20)
		third.Try(spareBytes + 1<<20)
		got := make(chan error, 1)
		go func() { got <- second.Take(t.Context(), 1<<20) }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		ctx, cancel := context.WithCancel(t.Context())
		late := make(chan error, 1)
		go func() { late <- third.Take(ctx, 1<<20) }()
		synctest.Wait()
		cancel()
		if err := <-late; !errors.Is(err, ErrNoMemory) {
			t.Error(err)
		}
		first.Release()
		if err := <-got; err != nil {
			t.Error(err)
		}
		first.Try(spareBytes + 1<<20)
		go func() { got <- third.Take(t.Context(), 1<<20) }() // that leaves second, which wants more than there is
		synctest.Wait()
		go func() { late <- first.Take(t.Context(), 1<<20) }()
		synctest.Wait()
		if err := second.Take(t.Context(), 1); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		second.Release()
		for _, done := range []chan error{got, late} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// The last one that could give something back does not wait for itself.
func TestBudgetDoesNotLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(16 * budgetStep)
		results := make(chan error, 3)
		for range 3 {
			h := b.Hold()
			h.Try(spareBytes + 5*budgetStep)
			go func() {
				defer h.Release()
				for range 3 {
					if err := h.Take(t.Context(), budgetStep); err != nil {
						results <- err
						return
					}
				}
				results <- nil
			}()
		}
		var failed int
		for range 3 {
			if err := <-results; errors.Is(err, ErrNoMemory) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if failed != 1 || b.free != b.total {
			t.Errorf("%d of 3 got nothing, %d of %d bytes are free", failed, b.free, b.total)
		}
	})
}

func TestHeldReader(t *testing.T) {
	h := NewBudget(2 << 20).Hold()
	data, err := io.ReadAll(h.Reader(t.Context(), strings.NewReader(strings.Repeat("x", 2<<20)), 3))
	if most := (spareBytes + 1<<20) / 3; !errors.Is(err, ErrTooLarge) || len(data) < most/2 || len(data) > most {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	h.Release()
	if data, err = io.ReadAll(h.Reader(t.Context(), strings.NewReader("small"), 3)); err != nil || string(data) != "small" {
		t.Errorf("%q, %v", data, err)
	}
}

func FuzzDimensionKey(f *testing.F) {
	for _, seed := range []string{"", "a", "A.b", "9x", "..", "a..b", "é", strings.Repeat("x", 99) + ".y", "a-b:c_d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		made := DimensionKey(key)
		if len(made) > maxDimensionKey || DimensionKey(made) != made || DimensionKey(strings.ToUpper(made)) != made {
			t.Errorf("%q becomes %q", key, made)
		}
		for section := range strings.SplitSeq(made, ".") {
			if made != "" && (section == "" || !mayStand(section[0], true)) {
				t.Errorf("%q becomes %q", key, made)
			}
		}
	})
}
