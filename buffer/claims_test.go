package buffer

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// claimed leases and claims, durably.
func (r *rig) claimed(most int, id ClaimID) *Lease {
	r.t.Helper()
	l := r.lease(most)
	if l == nil {
		r.t.Fatal("nothing to lease")
	}
	r.claim(l, id)
	return l
}

func (r *rig) claim(l *Lease, id ClaimID) {
	r.t.Helper()
	if err := r.Claim(l, id).Wait(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// TestClaimOutlivesTheProcess leases the same points again after a restart, in
// the same order, and gives them to nobody else.
func TestClaimOutlivesTheProcess(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 100)...)
	r.append(r.points(100, 100)...)
	l := r.claimed(150, ClaimID{7, 1})
	want := slices.Clone(l.Points)
	r.reopen()
	if got := r.Claims(); !slices.Equal(got, []ClaimID{{7, 1}}) {
		t.Fatalf("claims %v", got)
	}
	others := r.lease(1000)
	if others == nil || len(others.Points) != 50 {
		t.Fatalf("others get %v", others)
	}
	again, err := r.Reclaim(ClaimID{7, 1})
	if err != nil {
		t.Fatal(err)
	}
	if !samePoints(again.Points, want) {
		t.Fatalf("reclaimed %d points, not the %d that were claimed", len(again.Points), len(want))
	}
	if none, err := r.Reclaim(ClaimID{7, 1}); none != nil || err != nil {
		t.Fatalf("reclaimed twice: %v, %v", none, err)
	}
	r.settle(others, Settlement{Outcome: Delivered})
	if err := r.SettleElsewhere(again, Elsewhere{Delivered: 147, DeadLetter: 1, LateArchived: 2}); err != nil {
		t.Fatal(err)
	}
	r.flush()
	r.account(Account{Accepted: 200, Delivered: 197, Late: 2, DeadLetter: 1, LateElsewhere: 2, DeadElsewhere: 1})
	r.reopen()
	if got := r.Claims(); len(got) > 0 {
		t.Fatalf("claims %v are left", got)
	}
	if l := r.lease(1000); l != nil {
		t.Fatalf("%d points are left", len(l.Points))
	}
}

// TestClaimBooksEveryState books each state of another account, of points and
// of late ones.
func TestClaimBooksEveryState(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := start(t, func(o *Options) { o.Window = time.Minute })
		r.append(r.points(0, 80)...)
		if late {
			r.clock.add(time.Hour)
			r.flush()
		}
		l, err := r.Lease(Query{Max: 80, Late: late})
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		r.claim(l, ClaimID{1, 1})
		l.Unload()
		e := Elsewhere{Delivered: 45, DeadLetter: 2, LateArchived: 3, LateLogged: 4, LateDropped: 5, Evicted: 6, Damaged: 7, Purged: 8}
		if err := r.SettleElsewhere(l, e); err != nil {
			t.Fatal(err)
		}
		r.flush()
		want := Account{
			Accepted: 80, Delivered: 45, Late: 12, LateLogged: 4, LateDropped: 5, LateElsewhere: 3,
			DeadLetter: 2, DeadElsewhere: 2, Evicted: 6, Damaged: 7, Purged: 8,
		}
		if late {
			want.Delivered, want.Late, want.LateLogged = 0, 57, 49
		}
		r.account(want)
		if _, err := r.Purge(context.Background(), Purge{DeadLetters: true}); err != nil {
			t.Fatal(err)
		}
		r.account(want) // none of the dead letters was here
	}
}

// TestClaimMustAddUp refuses counts that are not those of the lease.
func TestClaimMustAddUp(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	l := r.claimed(10, ClaimID{1, 1})
	for _, e := range []Elsewhere{{}, {Delivered: 9}, {Delivered: 11}, {Delivered: 11, Purged: -1}, {Delivered: 10, Evicted: 1}} {
		if err := r.SettleElsewhere(l, e); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
	if err := r.Claim(l, ClaimID{1, 2}).Wait(context.Background()); err == nil {
		t.Error("claimed twice")
	}
	l.Unload()
	if err := r.Settle(l, []Settlement{{Outcome: Refused, Line: "x"}}); err == nil {
		t.Error("an unloaded lease was refused without its points")
	}
	if err := r.SettleElsewhere(l, Elsewhere{Delivered: 10}); err != nil {
		t.Fatal(err)
	}
	if err := r.SettleElsewhere(l, Elsewhere{Delivered: 10}); !errors.Is(err, errSettled) {
		t.Errorf("settled twice: %v", err)
	}
}

// TestClaimGivenBack frees the points for others, over a restart too.
func TestClaimGivenBack(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 20)...)
	l := r.claimed(10, ClaimID{1, 1})
	r.claimed(5, ClaimID{1, 2})
	l.Unload()
	r.settle(l, Settlement{Outcome: Later})
	if l := r.lease(100); len(l.Points) != 15 {
		t.Fatalf("%d points can be leased, not 15", len(l.Points))
	} else {
		r.settle(l, Settlement{Outcome: Later})
	}
	r.reopen()
	if got := r.Claims(); !slices.Equal(got, []ClaimID{{1, 2}}) {
		t.Fatalf("claims %v", got)
	}
	if n := r.ReleaseClaims(); n != 5 {
		t.Fatalf("%d points released, not 5", n)
	}
	if l := r.lease(100); len(l.Points) != 20 {
		t.Fatalf("%d points can be leased, not 20", len(l.Points))
	}
	r.reopen()
	if got := r.Claims(); len(got) > 0 {
		t.Fatalf("claims %v", got)
	}
}

// TestClaimDoesNotGrowLate keeps what is claimed out of the archive, over a
// restart too.
func TestClaimDoesNotGrowLate(t *testing.T) {
	r := start(t, func(o *Options) { o.Window = time.Minute })
	r.append(r.points(0, 10)...)
	r.claimed(10, ClaimID{1, 1})
	r.clock.add(30 * time.Second)
	r.append(r.points(10, 10)...)
	r.clock.add(45 * time.Second)
	r.append()
	r.account(Account{Accepted: 20, Buffered: 20})
	r.reopen()
	r.append(r.points(20, 10)...)
	r.account(Account{Accepted: 30, Buffered: 30})
	again, err := r.Reclaim(ClaimID{1, 1})
	if err != nil || again.Len() != 10 {
		t.Fatal(again, err)
	}
	r.settle(again, Settlement{Outcome: Later})
	r.append(r.points(30, 10)...)
	r.account(Account{Accepted: 40, Buffered: 30, Late: 10})
}

// TestClaimReload reads an unloaded lease again, of many records and out of
// order.
func TestClaimReload(t *testing.T) {
	r := start(t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		r.clock.add(time.Duration(random.IntN(200)-100) * time.Second)
		r.append(r.points(i*20, 20)...)
	}
	l := r.claimed(500, ClaimID{3, 4})
	want := slices.Clone(l.Points)
	l.Unload()
	if l.Points != nil || l.Len() != 500 {
		t.Fatalf("unloaded, it has %d points in memory of %d", len(l.Points), l.Len())
	}
	if err := r.Reload(l); err != nil {
		t.Fatal(err)
	}
	if !samePoints(l.Points, want) {
		t.Fatal("other points came back")
	}
	l.Unload()
	r.settle(l, Settlement{Outcome: Delivered})
	r.flush()
	r.account(Account{Accepted: 600, Buffered: 100, Delivered: 500})
}

// TestClaimOfEntries claims events.
func TestClaimOfEntries(t *testing.T) {
	r := start(t, nil)
	for i := range 5 {
		if err := r.EnqueueEntries([]Entry{{Kind: EventEntry, Stamp: r.points(0, 1)[0].Stamp, Data: []byte{byte(i + 1)}}}).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	l, err := r.Lease(Query{Max: 4, Entries: true})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(l.Entries)
	r.claim(l, ClaimID{1, 1})
	r.reopen()
	l, err = r.Reclaim(ClaimID{1, 1})
	if err != nil || !reflect.DeepEqual(l.Entries, want) {
		t.Fatalf("%+v, %v", l, err)
	}
	if err := r.SettleElsewhere(l, Elsewhere{Delivered: 4}); err != nil {
		t.Fatal(err)
	}
	r.flush()
	r.account(Account{Accepted: 5, Buffered: 1, Delivered: 4})
}

// TestClaimOfMuchIsPossible holds far more records than may wait for a commit.
func TestClaimOfMuchIsPossible(t *testing.T) {
	r := start(t, func(o *Options) { o.Window = 100_000 * time.Hour })
	n := maxHolds + 100
	if testing.Short() {
		n = 2 * hurryHolds
	}
	points := r.points(0, n)
	for i := range n {
		r.clock.add(2 * time.Minute) // a record holds at most a minute
		points[i].Stamp = r.points(i, 1)[0].Stamp
	}
	r.append(points...)
	for i := 0; ; i++ {
		l, err := r.Lease(Query{Max: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			break
		}
		r.claim(l, ClaimID{1, uint64(i)})
		l.Unload()
	}
	r.reopen()
	if len(r.Claims()) == 0 {
		t.Fatal("no claims")
	}
	for _, id := range r.Claims() {
		l, err := r.Reclaim(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.SettleElsewhere(l, Elsewhere{Delivered: int64(l.Len())}); err != nil {
			t.Fatal(err)
		}
	}
	r.flush()
	r.account(Account{Accepted: int64(n), Delivered: int64(n)})
}

// FuzzParseClaim: what is read is written again as it was meant.
func FuzzParseClaim(f *testing.F) {
	f.Add(claim{late: true, runs: []leasedRun{{5, 0, 3}, {4, 9, 10}, {5, 3, 4}}}.encode())
	f.Add(claim{entries: true, runs: []leasedRun{{1 << 60, 65535, 65536}}}.encode())
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := parseClaim(content)
		if err != nil {
			return
		}
		again, err := parseClaim(c.encode())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

// samePoints compares what the file gives back: uptimes to the millisecond.
func samePoints(a, b []probes.Point) bool {
	return slices.EqualFunc(a, b, func(x, y probes.Point) bool {
		return x.Series.ID() == y.Series.ID() && x.Value == y.Value && x.Stamp.Wall == y.Stamp.Wall && x.Stamp.Boot == y.Stamp.Boot
	})
}
