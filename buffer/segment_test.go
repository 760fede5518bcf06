package buffer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// shape tells how the file of a store is laid out.
func (r *rig) shape() (chunks, tails, segments int) {
	r.t.Helper()
	err := r.volume().view(func(tx *bbolt.Tx) error {
		last := uint64(1 << 63)
		return units(tx, 0, func(u unit) (bool, error) {
			if u.tail {
				tails++
			} else {
				chunks++
			}
			if u.base != last {
				segments, last = segments+1, u.base
			}
			return true, nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return chunks, tails, segments
}

// TestTailIsSealed appends until chunks and several segments are there, and
// reads all of it back, after a restart too.
func TestTailIsSealed(t *testing.T) {
	r := start(t, nil)
	const batch, rounds = 2000, 150
	for i := range rounds {
		r.append(r.noise(i*batch, batch)...)
		r.clock.add(time.Second)
	}
	chunks, tails, segments := r.shape()
	if chunks < 2 || tails > sealRecords+1 || segments < 2 {
		t.Errorf("%d chunks, %d records in the tail, %d segments", chunks, tails, segments)
	}
	r.verify()
	r.reopen()
	if got := r.drain(1500); len(got) != batch*rounds || !slices.IsSorted(got) {
		t.Errorf("%d points came back, want %d in order", len(got), batch*rounds)
	}
	if _, _, segments := r.shape(); segments != 0 {
		t.Errorf("%d segments are left of a settled store", segments)
	}
}

// noiseNumber is the number of a point of noise.
func noiseNumber(p probes.Point) int { return int(p.Value.Uint64() & (1<<20 - 1)) }

// drain leases and settles all there is, and returns the numbers of the noise.
func (r *rig) drain(each int) (numbers []int) {
	r.t.Helper()
	for l := r.lease(each); l != nil; l = r.lease(each) {
		for _, p := range l.Points {
			numbers = append(numbers, noiseNumber(p))
		}
		r.settle(l, Settlement{Outcome: Delivered})
	}
	r.flush()
	return numbers
}

// TestSettledFromBothEnds settles new and old points in turn, some of them in
// parts, with restarts between; segments go once all in them is settled.
func TestSettledFromBothEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	r := start(t, nil)
	at := make(map[int]time.Time)
	next := 0
	for range 200 {
		n := 1 + random.IntN(1500)
		for i := range n {
			at[next+i] = r.clock.now()
		}
		r.append(r.noise(next, n)...)
		next += n
		r.clock.add(time.Second)
		r.takeSome(random, at)
		if random.IntN(40) == 0 {
			r.reopen()
		}
	}
	r.account(Account{Accepted: int64(next), Buffered: int64(len(at)), Delivered: int64(next - len(at))})
	r.reopen()
	for _, n := range r.drain(5000) {
		if _, ok := at[n]; !ok {
			t.Fatalf("point %d was settled and came again", n)
		}
		delete(at, n)
	}
	if len(at) > 0 {
		t.Errorf("%d points are lost", len(at))
	}
	if _, _, segments := r.shape(); segments != 0 || len(r.ledger.settled) != 1 {
		t.Errorf("%d segments are left, the settled numbers are %v", segments, r.ledger.settled)
	}
}

// takeSome leases from the new or the old end and settles a part of it.
func (r *rig) takeSome(random *rand.Rand, left map[int]time.Time) {
	r.t.Helper()
	q := Query{Max: 1 + random.IntN(1200)}
	if random.IntN(2) == 0 {
		q.Oldest = r.clock.now().Add(-2 * time.Second)
	}
	l, err := r.Lease(q)
	if err != nil {
		r.t.Fatal(err)
	}
	if l == nil {
		return
	}
	each := make([]Settlement, len(l.Points))
	for i, p := range l.Points {
		n := noiseNumber(p)
		if when, ok := left[n]; !ok || when.UnixMilli() != p.Stamp.Wall {
			r.t.Fatalf("point %d of %v was leased, it was measured at %v", n, p.Stamp.Time(), when)
		}
		each[i].Outcome = Delivered
		if i%100 == 7 {
			each[i].Outcome = Later
			continue
		}
		delete(left, n)
	}
	r.settle(l, each...)
	r.flush()
}

// TestRestartsLeaveNoSegmentBehind settles the last open segment of a run in
// the next one.
func TestRestartsLeaveNoSegmentBehind(t *testing.T) {
	r := start(t, nil)
	for i := range 20 {
		r.append(r.points(i*10, 10)...)
		r.settle(r.lease(100), Settlement{Outcome: Delivered})
		r.reopen()
	}
	r.flush()
	if _, _, segments := r.shape(); segments > 1 {
		t.Errorf("%d segments are left", segments)
	}
}

// TestSpaceIsGivenBack fills the file, drains it, and looks at its size.
func TestSpaceIsGivenBack(t *testing.T) {
	for _, keep := range []int{0, 700} {
		r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
		n := 0
		for r.Stat().FileBytes < 10<<20 {
			r.append(r.noise(n, 20_000)...)
			n += 20_000
			r.clock.add(time.Second)
		}
		full := r.Stat().FileBytes
		l := r.lease(n + 1)
		each := make([]Settlement, n)
		for i := range each {
			each[i].Outcome = Delivered
			if i < keep {
				each[i].Outcome = Later
			}
		}
		series := r.Stat().Series
		r.settle(l, each...)
		r.flush()
		info, err := os.Stat(r.o.Path)
		if err != nil {
			t.Fatal(err)
		}
		if st := r.Stat(); st.FileBytes > 4<<20 || st.FileBytes != info.Size() {
			t.Errorf("kept %d points: the file of %d bytes has %d, by stat %+v", keep, full, info.Size(), st)
		} else if keep == 0 && st.Series != 0 || keep > 0 && st.Series != series {
			t.Errorf("kept %d points: %d series are known of %d", keep, st.Series, series)
		}
		r.account(Account{Accepted: int64(n), Buffered: int64(keep), Delivered: int64(n - keep)})
		r.append(r.noise(n, 100)...)
		r.reopen()
		if got := r.drain(1000); len(got) != keep+100 {
			t.Errorf("%d points came back, want %d", len(got), keep+100)
		}
	}
}

// TestLeasesOutliveANewFile has a lease out while the file is written anew.
func TestLeasesOutliveANewFile(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
	n := 0
	for r.Stat().FileBytes < 10<<20 {
		r.append(r.noise(n, 20_000)...)
		n += 20_000
	}
	first, rest := r.lease(500), r.lease(n)
	before := r.volume()
	r.settle(rest, Settlement{Outcome: Delivered})
	r.flush()
	if r.volume() == before {
		t.Fatal("the file was not written anew")
	}
	r.settle(first, Settlement{Outcome: Delivered})
	r.flush()
	r.account(Account{Accepted: int64(n), Delivered: int64(n)})
}

// TestQuotaIsLowered opens a full file with a smaller quota.
func TestQuotaIsLowered(t *testing.T) {
	r := start(t, nil)
	n := 0
	for r.Stat().FileBytes < 24<<20 {
		r.append(r.noise(n, 20_000)...)
		n += 20_000
		r.clock.add(time.Second)
	}
	r.o.MaxSize = 8 << 20
	r.reopen()
	for range 3 {
		r.append(r.noise(n, 100)...)
		n += 100
	}
	within(t, "the file is within its new quota", func() bool { return r.Stat().FileBytes <= 8<<20 })
	a := r.Account()
	r.account(Account{Accepted: int64(n), Buffered: a.Buffered, Evicted: int64(n) - a.Buffered})
	if a.Buffered < 300_000 {
		t.Errorf("only %d points are left", a.Buffered)
	}
}

// TestEvictionOrder has archive, dead letters and points, newest last.
func TestEvictionOrder(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 8 << 20 })
	r.append(r.noise(0, 50_000)...)
	r.reopen()
	r.clock.add(2 * time.Hour)
	r.append(r.noise(50_000, 50_000)...)
	l := r.lease(10)
	r.settle(l, Settlement{Outcome: Refused, Line: "l"})
	r.flush()
	if a := r.Account(); a.Late != 50_000 || a.DeadLetter != 10 {
		t.Fatalf("account %+v", a)
	}
	n := 100_000
	add := func() Account {
		r.append(r.noise(n, 10_000)...)
		n += 10_000
		r.clock.add(time.Second)
		return r.Account()
	}
	a := add()
	for a.Late > 0 {
		if a.DeadLetter != 10 || a.Buffered != int64(n-50_000-10) {
			t.Fatalf("something goes before the archive: %+v", a)
		}
		a = add()
	}
	for a.DeadLetter > 0 {
		if a.Buffered != int64(n-50_000-10) {
			t.Fatalf("points go before dead letters: %+v", a)
		}
		a = add()
	}
	for a.Buffered == int64(n-50_000-10) {
		a = add()
	}
	r.verify()
}

// refusedOf is how many were refused.
func refusedOf(err error) int {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return 0
	}
	return refused.Refused
}

func TestEntries(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	one, two := r.entry("one"), r.entry("two")
	two.Kind, two.Stamp.Uptime, two.Stamp.Boot = EventEntry, 7*time.Second, probes.BootID{3}
	r.clock.add(time.Second)
	three := r.entry("three")
	r.enter(three, one, two)
	r.append(r.points(10, 10)...)
	r.reopen()
	if got := values(r.lease(100)); len(got) != 20 {
		t.Errorf("leased %v", got)
	}
	r.clock.add(20 * time.Hour)
	l, err := r.Lease(Query{Max: 100, Entries: true})
	if err != nil || l == nil || len(l.Points) > 0 {
		t.Fatalf("leased %+v, %v", l, err)
	}
	if want := []Entry{one, two, three}; fmt.Sprint(l.Entries) != fmt.Sprint(want) {
		t.Errorf("leased %v, want %v", l.Entries, want)
	}
	r.settle(l, Settlement{Outcome: Delivered}, Settlement{Outcome: Later}, Settlement{Outcome: Delivered})
	r.flush()
	if l, err := r.Lease(Query{Max: 100, Entries: true}); err != nil || len(l.Entries) != 1 || string(l.Entries[0].Data) != "two" {
		t.Errorf("leased %+v, %v", l, err)
	}
	r.reopen()
	r.clock.add(4*time.Hour + time.Second)
	r.flush()
	r.account(Account{Accepted: 23, Delivered: 2, Late: 21})

	bad := []Entry{{Kind: 9, Data: []byte("x")}, {Kind: LogEntry}, {Kind: LogEntry, Data: make([]byte, MaxEntrySize+1)}, r.entry("good")}
	if err := r.EnqueueEntries(bad).Wait(context.Background()); refusedOf(err) != 3 {
		t.Errorf("bad entries: %v", err)
	}
	if st := r.Stat(); st.Refused != 3 {
		t.Errorf("stat %+v", st)
	}
	r.account(Account{Accepted: 24, Buffered: 1, Delivered: 2, Late: 21})
}

// TestOneStuckPoint keeps one old point open while all others are settled: the
// segments behind it must neither pile up nor become tiny.
func TestOneStuckPoint(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	for i := range 300 {
		r.clock.add(time.Second)
		r.append(r.points(10+i, 1)...)
		l := r.lease(100)
		each := make([]Settlement, len(l.Points))
		for j, v := range values(l) {
			each[j].Outcome = Delivered
			if v == 3 {
				each[j].Outcome = Later
			}
		}
		r.settle(l, each...)
	}
	r.flush()
	if _, tails, segments := r.shape(); segments > 6 || tails > 4*sealRecords {
		t.Errorf("%d segments, %d records in the tail", segments, tails)
	}
	r.account(Account{Accepted: 310, Buffered: 1, Delivered: 309})
}
