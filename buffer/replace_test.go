package buffer

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReplaceFails finds the file damaged while no new one can be made, for
// several tries: what was set aside first stays, and comes back.
func TestReplaceFails(t *testing.T) {
	r := start(t, nil)
	r.append(r.noise(0, 5000)...)
	r.append(r.noise(5000, 5000)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := newStore(r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	good := s.o
	s.o.MaxSize = pageSize // so small that no file can be made
	for range 3 {
		if err := s.replaceDamaged(ErrPages, nil); err == nil {
			t.Fatal("a new file was made")
		}
	}
	all, err := filepath.Glob(r.o.Path + damagedSuffix + "*")
	if err != nil || len(all) != 1 {
		t.Fatalf("set aside: %v, %v", all, err)
	}
	if info, err := os.Stat(all[0]); err != nil || info.Size() < 100_000 {
		t.Fatalf("what was set aside is %v, %v", info, err)
	}
	s.o = good
	go s.committer()
	r.append(r.points(20_000, 10)...) // the committer tries again
	within(t, "all is saved", func() bool { x := s.Stat().Salvage; return x != nil && x.Done })
	r.account(Account{Accepted: 10_010, Buffered: 10_010})
}
