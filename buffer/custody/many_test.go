package custody

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// TestManyLate has more blocks late at once than one commit moves.
func TestManyLate(t *testing.T) {
	r := start(t, nil)
	const blocks = mostLate + 500
	var last *Ticket
	for seq := range uint64(blocks) {
		last = r.Put(r.block("a", 7, seq+1, 1))
	}
	if got, err := last.Wait(context10(t)); err != nil || got.Status != Stored {
		t.Fatal(got, err)
	}
	r.clock.add(2 * time.Hour)
	r.lookAround() // as it does by itself after a while
	r.wakeUp()
	within(t, "all are late", func() bool { return r.Account().LateArchived == blocks })
	if n := len(r.TakeFinished()); n != blocks {
		t.Errorf("%d blocks finished", n)
	}
	r.verify()
}

// TestGivenUp has blocks whose bytes are lost given up: one that its site has
// let go at once, one whose site never comes after the time it is known.
func TestGivenUp(t *testing.T) {
	r := start(t, nil)
	r.put(r.block("a", 7, 1, 10), Stored)
	r.clock.add(2 * time.Hour)
	r.flush()
	r.Recall(r.only("a", true))
	r.flush()
	r.account(buffer.Account{Accepted: 10, Damaged: 10})
	r.look("a", 7, 1, Result{Done, Counts{LateArchived: 10}})
	r.put(r.block("a", 7, 2, 5), Stored)
	r.Recall(r.only("a", false))
	r.clock.add(59 * 24 * time.Hour)
	r.flush()
	r.account(buffer.Account{Accepted: 15, Buffered: 5, Damaged: 10})
	r.verify()
	r.clock.add(2 * 24 * time.Hour)
	r.flush()
	r.account(buffer.Account{Accepted: 15, Damaged: 15})
	r.verify()
}

// TestManyLetters evicts the oldest dead letters beyond the limits.
func TestManyLetters(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
	b := r.block("a", 7, 1, 1000)
	r.put(b, Stored)
	var parts []Part
	for i := range 1000 {
		parts = append(parts, Part{i, i + 1, buffer.Refused, &buffer.Letter{Line: strings.Repeat("x", 2000), Reason: "no"}})
	}
	r.settle(r.only("a", false), parts...)
	r.flush()
	n := int64(0)
	if err := r.DeadLetters(func(Letter) error { n++; return nil }); err != nil || n < 400 || n > 550 {
		t.Errorf("%d letters: %v", n, err)
	}
	r.account(buffer.Account{Accepted: 1000, DeadLetter: n, Evicted: 1000 - n})
	r.look("a", 7, 1, Result{Done, Counts{DeadLetter: 1000}})
	r.verify()
}
