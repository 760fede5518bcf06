package courier

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// phase is how far a block has come.
type phase uint8

const (
	claiming phase = iota // its claim is on its way to the disk
	ready                 // it may leave
	sent                  // it has left, and an answer is awaited
	doubtful              // it may have left long ago: relays are asked
	stored                // a relay has it on its disk
	gone                  // it is settled
)

// block is one lease on its way.
type block struct {
	id       buffer.ClaimID
	phase    phase
	lane     lane
	lease    *buffer.Lease
	kind     wire.Kind
	items    int       // points, events or log records of it
	deadline time.Time // when it is too late for it to leave; zero: never

	payload []byte // nil: to be made when it leaves
	size    int    // of the payload, also when that is gone
	local   bool   // of an earlier life: the numbers of its names are forgotten
	named   bool   // it brings all its names

	exposed bool // a relay may have it
	flying  bool // the broker has not acknowledged it yet
	sends   int
	began   time.Time // when it left first
	next    time.Time // when it may leave, again

	holders []holder
	unknown []holder  // who has said that they do not have it, since it became doubtful
	since   time.Time // of its phase
	asked   time.Time // when relays were asked about it last
}

// table is all blocks that are not settled.
type table struct {
	all    map[buffer.ClaimID]*block
	active []*block       // claiming, ready or sent
	heard  time.Time      // when a relay said something last
	open   map[uint64]int // blocks by epoch
	over   []uint64       // epochs without a block any more, of which no relay was told
	blocks [gone + 1]int
	points [gone + 1]int64
}

func newTable() table { return table{all: make(map[buffer.ClaimID]*block), open: make(map[uint64]int)} }

func (t *table) add(b *block) {
	t.all[b.id] = b
	t.open[b.id.Epoch]++
	t.tally(b, 1)
	if b.isActive() {
		t.active = append(t.active, b)
	}
}

// tally counts a block in or out, by its phase.
func (t *table) tally(b *block, sign int) {
	t.blocks[b.phase] += sign
	t.points[b.phase] += int64(sign * b.lease.Len())
}

func (b *block) isActive() bool { return b.phase <= sent }

// enter moves a block to a phase.
func (t *table) enter(b *block, p phase, now time.Time) {
	was := b.isActive()
	t.tally(b, -1)
	b.phase, b.since = p, now
	t.tally(b, 1)
	switch {
	case was && !b.isActive():
		t.active = slices.DeleteFunc(t.active, func(x *block) bool { return x == b })
	case !was && b.isActive():
		t.active = append(t.active, b)
	}
	if p == gone {
		t.forget(b)
	}
	if p != claiming && p != ready && p != sent {
		b.payload = nil
	}
}

// forget drops a block that is settled.
func (t *table) forget(b *block) {
	delete(t.all, b.id)
	if t.open[b.id.Epoch]--; t.open[b.id.Epoch] == 0 {
		delete(t.open, b.id.Epoch)
		t.over = append(t.over, b.id.Epoch)
	}
}

// flight is what is under way.
func (t *table) flight() (blocks, bytes int) {
	for _, b := range t.active {
		if b.phase == sent {
			blocks++
			bytes += b.size
		}
	}
	return blocks, bytes
}

// waiting counts the blocks that wait to leave, live ones apart.
func (t *table) waiting() (live, other int) {
	for _, b := range t.active {
		switch {
		case b.phase == sent:
		case b.lane == laneLive:
			live++
		default:
			other++
		}
	}
	return live, other
}

// next is the block that is to leave first, nil if none may: live ones, then
// by their deadlines.
func (t *table) next(now time.Time, may func(*block) bool) (first *block) {
	for _, b := range t.active {
		if b.phase == ready && !b.next.After(now) && may(b) && (first == nil || b.before(first)) {
			first = b
		}
	}
	return first
}

func (b *block) before(o *block) bool {
	if (b.lane == laneLive) != (o.lane == laneLive) {
		return b.lane == laneLive
	}
	if b.deadline.IsZero() != o.deadline.IsZero() {
		return o.deadline.IsZero()
	}
	return cmp.Or(b.deadline.Compare(o.deadline), cmp.Compare(b.id.Epoch, o.id.Epoch), cmp.Compare(b.id.Seq, o.id.Seq)) < 0
}

// opens is the next moment at which a block may leave, or its answer is
// overdue; zero if there is none.
func (t *table) opens() (at time.Time) {
	for _, b := range t.active {
		if (b.phase == ready || b.phase == sent && !b.flying) && !b.next.IsZero() && (at.IsZero() || b.next.Before(at)) {
			at = b.next
		}
	}
	return at
}

// hold notes that a relay has the block on its disk; it is false where it was
// known.
func (b *block) hold(h holder) bool {
	if slices.Contains(b.holders, h) {
		return false
	}
	b.holders = append(b.holders, h)
	return true
}

// drop notes that a holder does not have it, or not any more; last says that
// nobody else is known to.
func (b *block) drop(h holder) (last bool) {
	n := len(b.holders)
	b.holders = slices.DeleteFunc(b.holders, func(x holder) bool { return x == h })
	return n > 0 && len(b.holders) == 0
}

// missing notes that a relay has never seen the block. It is true once all say
// so that may have it.
func (b *block) missing(h holder, may []holder) bool {
	if h != (holder{}) && !slices.Contains(b.unknown, h) {
		b.unknown = append(b.unknown, h)
	}
	for _, x := range may {
		if !slices.Contains(b.unknown, x) {
			return false
		}
	}
	return len(may) > 0
}

// lost gives the stored blocks that nobody holds once a holder is gone.
func (t *table) lost(h holder) (again []*block) {
	for _, b := range t.all {
		if b.drop(h) && b.phase == stored {
			again = append(again, b)
		}
	}
	slices.SortFunc(again, byID)
	return again
}

func byID(a, b *block) int {
	return cmp.Or(cmp.Compare(a.id.Epoch, b.id.Epoch), cmp.Compare(a.id.Seq, b.id.Seq))
}

// mostAsked bounds the blocks of one round of questions.
const mostAsked = 4096

// ended are those of the epochs that will have no block any more: relays need
// not remember them.
func (t *table) ended(running uint64) (out []wire.Ask) {
	for _, epoch := range t.over {
		if epoch != running && t.open[epoch] == 0 {
			out = append(out, wire.Ask{Epoch: wire.FormatEpoch(epoch), Floor: math.MaxUint64})
		}
	}
	t.over = nil
	return out
}

// asks are questions about what want says yes to, those first that were not
// asked about for longest; one for each epoch that has blocks, with the lowest
// number of it that is still held. running is that in which numbers are given,
// next the next of them.
func (t *table) asks(now time.Time, want func(*block) bool, running, next uint64) (out []wire.Ask) {
	var about []*block
	floors := map[uint64]uint64{running: next}
	for _, b := range t.all {
		floor, known := floors[b.id.Epoch]
		if !known {
			floor = b.id.Seq
		}
		floors[b.id.Epoch] = min(floor, b.id.Seq)
		if want(b) {
			about = append(about, b)
		}
	}
	if len(about) > mostAsked {
		slices.SortFunc(about, func(a, b *block) int { return cmp.Or(a.asked.Compare(b.asked), byID(a, b)) })
		about = about[:mostAsked]
	}
	slices.SortFunc(about, byID)
	seqs := map[uint64][]uint64{}
	for _, b := range about {
		b.asked = now
		seqs[b.id.Epoch] = append(seqs[b.id.Epoch], b.id.Seq)
	}
	for epoch, floor := range floors {
		out = append(out, wire.Ask{Epoch: wire.FormatEpoch(epoch), Floor: floor, Seq: wire.Ranges(seqs[epoch])})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Epoch < out[j].Epoch })
	return out
}

// epochs are those of blocks that are not settled, the running one first.
func (t *table) epochs(running uint64) []string {
	found := []uint64{running}
	for epoch := range t.open {
		if epoch != running {
			found = append(found, epoch)
		}
	}
	slices.Sort(found[1:])
	out := make([]string, len(found))
	for i, e := range found {
		out[i] = wire.FormatEpoch(e)
	}
	return out
}
