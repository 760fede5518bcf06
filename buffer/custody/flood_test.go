package custody

import (
	"math"
	"testing"

	"github.com/edgehold/edgehold/buffer"
)

// A site that begins an epoch with every block, or whose blocks all have an
// outcome to be remembered, fills its own quota with that; others go on.
func TestWhatIsRememberedCounts(t *testing.T) {
	for name, numbers := range map[string]func(i uint64) (epoch, seq uint64){
		"epochs":   func(i uint64) (uint64, uint64) { return i + 1, 1 },
		"outcomes": func(i uint64) (uint64, uint64) { return 1, i + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(o *Options) { o.SiteQuota = 50_000 })
			full, i := false, uint64(0)
			for ; !full && i < 1000; i++ {
				epoch, seq := numbers(i)
				got, err := r.Put(r.block("a", epoch, seq, 1)).Wait(context10(t))
				if err != nil {
					t.Fatal(err)
				}
				if full = got.Status == Full; !full {
					r.settle(r.only("a", false), Part{From: 0, To: 1, Outcome: buffer.Refused, Letter: &buffer.Letter{Line: "x", Reason: "y"}})
					r.flush()
				}
			}
			if !full {
				t.Fatalf("%d blocks without an end of the quota", i)
			}
			r.verify()
			r.put(r.block("b", 1, 1, 1), Stored)
			used := r.Sites()[0].Bytes
			r.reopen()
			if got := r.Sites()[0].Bytes; got != used || used < 49_000-1000 {
				t.Errorf("%d bytes, and %d before", got, used)
			}
			if name == "outcomes" {
				r.Forget("a", 1, math.MaxUint64)
				r.flush()
				if got := r.Sites()[0].Bytes; got != epochCharge {
					t.Errorf("%d bytes are left", got)
				}
			} else {
				r.clock.add(2 * retention)
				for range 100 {
					r.put(r.block("b", 1, 2, 1), r.statusOf("b", 1, 2))
					r.flush()
				}
				if got := r.Sites()[0].Bytes; got != 0 {
					t.Errorf("%d bytes are left", got)
				}
			}
			r.verify()
		})
	}
}

// statusOf is what a put of a block has to give.
func (r *rig) statusOf(site string, epoch, seq uint64) Status {
	r.t.Helper()
	got, err := r.Lookup(site, epoch, seq)
	if err != nil {
		r.t.Fatal(err)
	}
	if got[0].Status == Stored {
		return Duplicate
	}
	return Stored
}
