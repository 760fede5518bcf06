package buffer

import (
	"context"
	"slices"
	"testing"
)

// TestTrim gives back a part of a lease, which others then get; the rest keeps
// its order, also as a claim.
func TestTrim(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 40)...)
	l := r.lease(30)
	asked := []int(nil)
	r.Trim(l, func(i int) bool {
		asked = append(asked, i)
		return i%3 != 1
	})
	if !slices.Equal(asked, sequence(0, 30)) {
		t.Errorf("asked about %v", asked)
	}
	kept, given := []int(nil), []int(nil)
	for i := range 30 {
		if i%3 == 1 {
			given = append(given, i)
		} else {
			kept = append(kept, i)
		}
	}
	if got := values(l); !slices.Equal(got, kept) || l.Len() != len(kept) {
		t.Fatalf("kept %v", got)
	}
	r.claim(l, ClaimID{1, 1})
	r.Trim(l, func(int) bool { return false })
	if l.Len() != len(kept) {
		t.Error("a claimed lease was trimmed")
	}
	others := r.lease(100)
	if got := values(others); !slices.Equal(got, append(given, sequence(30, 10)...)) {
		t.Errorf("others get %v", got)
	}
	r.settle(others, Settlement{Outcome: Delivered})
	r.reopen()
	again, err := r.Reclaim(ClaimID{1, 1})
	if err != nil || !slices.Equal(values(again), kept) {
		t.Fatalf("reclaimed %v, %v", values(again), err)
	}
	r.settle(again, Settlement{Outcome: Delivered})
	r.verify()
}

// TestClaimGivenUpAtOnce settles a lease while its claim is on its way to the
// disk: the claim must not stay.
func TestClaimGivenUpAtOnce(t *testing.T) {
	r := start(t, nil)
	for i := range uint64(20) {
		r.append(r.points(int(i)*10, 10)...)
		l := r.lease(10)
		ticket := r.Claim(l, ClaimID{1, i})
		r.settle(l, Settlement{Outcome: Later})
		if err := ticket.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	r.reopen()
	if got := r.Claims(); len(got) != 0 {
		t.Errorf("claims %v are left", got)
	}
	if l := r.lease(1000); len(l.Points) != 200 {
		t.Errorf("%d points can be leased", len(l.Points))
	}
}
