package courier

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// The window against its rules, over random histories.
func TestWindow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var w window
		now, size, halved := time.Unix(0, 0), mostBlocks, time.Time{}
		var took []time.Duration
		for range 300 {
			now = now.Add(time.Duration(random.IntN(8000)) * time.Millisecond)
			if random.IntN(3) > 0 {
				d := time.Duration(random.IntN(60_000)) * time.Millisecond
				w.answered(d)
				took = append(took, d)
				size = min(size+1, mostBlocks)
			} else {
				w.missed(now)
				if now.Sub(halved) >= leastPatience {
					size, halved = max(1, size/2), now
				}
			}
			if w.size() != size {
				t.Fatalf("window is %d, want %d", w.size(), size)
			}
			last := slices.Sorted(slices.Values(took[max(0, len(took)-trips):]))
			if len(last) == 0 {
				continue
			}
			below := 0
			for _, d := range last {
				if d <= w.usual() {
					below++
				}
			}
			if 100*below < 95*len(last) {
				t.Fatalf("only %d of %d answers came within %v", below, len(last), w.usual())
			}
			least, p := min(max(2*w.usual(), leastPatience), mostPatience), w.patience(random.Float64())
			if p < least || p > least+time.Duration(jitter*float64(least)) {
				t.Fatalf("patience of %v for answers within %v", p, w.usual())
			}
		}
	}
}

func TestWindowAdmits(t *testing.T) {
	var w window
	for _, c := range []struct {
		blocks, bytes, size int
		want                bool
	}{
		{0, 0, 2 << 20, true},
		{7, 7 << 10, 1 << 10, true},
		{8, 8 << 10, 1 << 10, false},
		{4, 480 << 10, 32 << 10, true},
		{4, 480 << 10, 33 << 10, false},
	} {
		if got := w.admits(c.blocks, c.bytes, c.size); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Names are left out only where every relay that is online has them with the
// store that it has now.
func TestWhoKnowsNames(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Unix(0, 0)
	for range 20 {
		r := newRelays()
		known := map[string]map[uint32]bool{} // by relay
		stores, online := map[string]string{}, map[string]bool{}
		ids := []string{"a", "b", "c"}
		for range 200 {
			id := ids[random.IntN(3)]
			switch random.IntN(5) {
			case 0:
				state := []string{wire.StateOnline, wire.StateLost}[random.IntN(2)]
				if stores[id] == "" || random.IntN(10) == 0 {
					stores[id] = wire.FormatEpoch(random.Uint64())
					known[id] = map[uint32]bool{}
				}
				r.told(id, wire.RelayState{State: state, Store: stores[id]}, now)
				online[id] = state == wire.StateOnline
			default:
				if stores[id] == "" {
					continue
				}
				series := uint32(random.IntN(200))
				x, _ := r.answered(&wire.Down{Relay: id, Store: stores[id]}, now)
				x.names.add([]uint32{series})
				known[id][series] = true
			}
			for series := range uint32(200) {
				want, any := true, false
				for _, id := range ids {
					if online[id] {
						any = true
						want = want && known[id][series]
					}
				}
				if got := r.know(series); got != (want && any) {
					t.Fatalf("series %d: %v, want %v", series, got, want && any)
				}
			}
		}
	}
}

func TestSlow(t *testing.T) {
	r, now := newRelays(), time.Unix(1000, 0)
	if open, wait := r.open(now); open || wait != 0 {
		t.Error("open without a relay")
	}
	r.told("a", wire.RelayState{State: wire.StateOnline, Store: "1", SlowMS: 5000}, now)
	if open, wait := r.open(now); open || wait != 5*time.Second {
		t.Errorf("open %v, wait %v", open, wait)
	}
	r.told("b", wire.RelayState{State: wire.StateOnline, Store: "1"}, now)
	if open, _ := r.open(now); !open {
		t.Error("closed, though one relay takes blocks")
	}
	r.told("b", wire.RelayState{State: wire.StateOnline, Store: "1", DeclaredLost: true}, now)
	if open, _ := r.open(now.Add(time.Second)); open {
		t.Error("open for a relay that is declared lost")
	}
	r.answered(&wire.Down{Relay: "a", Store: "1"}, now)
	if open, _ := r.open(now); !open {
		t.Error("closed after the relay said to go on")
	}
}

// The counts of a settlement add up to the points, and are those of the relay
// where they can be.
func TestSettlement(t *testing.T) {
	c := func(delivered, dead, late int64) *wire.Counts {
		return &wire.Counts{Delivered: delivered, DeadLetter: dead, LateLogged: late}
	}
	for name, x := range map[string]struct {
		counts        *wire.Counts
		items, points int64
		want          buffer.Elsewhere
		adjusted      int64
	}{
		"all":                 {nil, 10, 10, buffer.Elsewhere{Delivered: 10}, 0},
		"as told":             {c(7, 2, 1), 10, 10, buffer.Elsewhere{Delivered: 7, DeadLetter: 2, LateLogged: 1}, 0},
		"some evicted here":   {c(7, 2, 1), 8, 8, buffer.Elsewhere{Delivered: 5, DeadLetter: 2, LateLogged: 1}, 2},
		"most evicted here":   {c(7, 2, 1), 2, 2, buffer.Elsewhere{DeadLetter: 2}, 8},
		"too few":             {c(1, 0, 0), 10, 10, buffer.Elsewhere{Delivered: 10}, 9},
		"records for points":  {c(3, 1, 0), 4, 100, buffer.Elsewhere{Delivered: 75, DeadLetter: 25}, 0},
		"none of it happened": {c(0, 0, 0), 10, 10, buffer.Elsewhere{Delivered: 10}, 10},
	} {
		if got, adjusted := settlement(x.counts, x.items, x.points); got != x.want || adjusted != x.adjusted {
			t.Errorf("%s: %+v, %d adjusted", name, got, adjusted)
		}
	}
}

// Questions name each block that is wanted once, and no floor is above a block.
func TestAsks(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 4 {
		table, now := newTable(), time.Unix(1e9, 0)
		wanted := map[buffer.ClaimID]bool{}
		for range random.IntN(6000) {
			id := buffer.ClaimID{Epoch: 1 + random.Uint64N(3), Seq: 1 + random.Uint64N(9000)}
			if table.all[id] != nil {
				continue
			}
			p := []phase{ready, doubtful, stored}[random.IntN(3)]
			table.add(&block{id: id, phase: p, lease: &buffer.Lease{}})
			wanted[id] = p != ready
		}
		asked := map[buffer.ClaimID]int{}
		for round := range 3 {
			for _, a := range table.asks(now.Add(time.Duration(round)*time.Minute), func(b *block) bool { return b.phase != ready }, 2, 9001) {
				epoch, err := wire.ParseEpoch(a.Epoch)
				if err != nil {
					t.Fatal(err)
				}
				for id := range table.all {
					if id.Epoch == epoch && id.Seq < a.Floor {
						t.Fatalf("block %+v is below the floor %d", id, a.Floor)
					}
				}
				for _, part := range parted(a) {
					for _, r := range part.Seq {
						for seq := r[0]; seq <= r[1]; seq++ {
							asked[buffer.ClaimID{Epoch: epoch, Seq: seq}]++
						}
					}
				}
			}
		}
		for id, want := range wanted {
			if (asked[id] > 0) != want {
				t.Fatalf("block %+v was asked about %d times, wanted %v", id, asked[id], want)
			}
		}
	}
}

// Live blocks leave first, then those whose deadline comes first.
func TestOrderOfBlocks(t *testing.T) {
	table, now := newTable(), time.Unix(1e9, 0)
	due := func(seq uint64, l lane, minutes int) {
		b := &block{id: buffer.ClaimID{Epoch: 1, Seq: seq}, phase: ready, lane: l, lease: &buffer.Lease{}}
		if minutes > 0 {
			b.deadline = now.Add(time.Duration(minutes) * time.Minute)
		}
		table.add(b)
	}
	due(1, laneLogs, 0)
	due(2, laneWindow, 20)
	due(3, laneWindow, 10)
	due(4, laneLive, 50)
	due(5, laneLive, 55)
	for _, want := range []uint64{4, 5, 3, 2, 1} {
		b := table.next(now, func(*block) bool { return true })
		if b == nil || b.id.Seq != want {
			t.Fatalf("block %+v is next, want %d", b, want)
		}
		table.enter(b, sent, now)
	}
	if blocks, _ := table.flight(); blocks != 5 {
		t.Errorf("%d under way", blocks)
	}
}

// Lanes do not overlap, and leave nothing out that can still be delivered.
func TestScope(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := scope{now: now, window: time.Hour, estimate: time.Minute}
	live, back := s.queries(laneLive, 10)[0], s.queries(laneWindow, 10)[0]
	if gap := live.Oldest.Sub(back.Newest); gap != time.Millisecond {
		t.Errorf("%v between the lanes", gap)
	}
	if age := now.Sub(back.Oldest); age != 55*time.Minute {
		t.Errorf("points of up to %v are leased", age)
	}
	s.spread = now.Add(30 * time.Second)
	if back = s.queries(laneWindow, 10)[0]; !back.Newest.Equal(back.Oldest.Add(30 * time.Second)) {
		t.Errorf("while the backlog waits, points from %v to %v leave", back.Oldest, back.Newest)
	}
	s.window = time.Minute // too short for anything but live points
	if q := s.queries(laneWindow, 10); q != nil {
		t.Errorf("%+v", q)
	}
}

// A will was made when its connection was, and another broker keeps what was
// true before: such a word says nothing of the store that a relay has now.
func TestOldWords(t *testing.T) {
	r, now := newRelays(), time.Now()
	r.told("a", wire.RelayState{State: wire.StateOnline, Store: "2", At: now}, now)
	old := wire.RelayState{State: wire.StateLost, Store: "1", At: now.Add(-time.Hour), DeclaredLost: true}
	if gone, _ := r.told("a", old, now); gone != (holder{}) || r.all["a"].store != "2" || r.all["a"].online() || r.all["a"].lost {
		t.Errorf("an old word: %+v gone, %+v", gone, r.all["a"])
	}
	if gone, _ := r.told("a", wire.RelayState{State: wire.StateOnline, Store: "3", At: now.Add(-time.Hour)}, now); gone != (holder{"a", "2"}) {
		t.Errorf("a relay whose clock was set back: %+v gone", gone)
	}
}
