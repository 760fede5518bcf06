package buffer

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
)

// noise are points that do not compress.
func (r *rig) noise(first, n int) []probes.Point {
	random := rand.New(rand.NewPCG(uint64(first), 1))
	out := r.points(first, n)
	for i := range out {
		out[i].Value = probes.Uint(random.Uint64()>>1<<20 | uint64(first+i))
	}
	return out
}

// fillUntilAlarm appends until the disk refuses, and returns the batches: all
// but the last are accepted.
func (r *rig) fillUntilAlarm(batch int) (accepted int, waiting *Ticket) {
	r.t.Helper()
	for n := range 1000 {
		ticket := r.Enqueue(r.noise(n*batch, batch))
		within(r.t, "a commit ends, well or not", func() bool {
			select {
			case <-ticket.done:
				return true
			default:
				return r.Stat().Alarm != ""
			}
		})
		if r.Stat().Alarm != "" {
			return n * batch, ticket
		}
	}
	r.t.Fatal("the disk never refused")
	return 0, nil
}

// refusedThenHealed is what must hold for every disk that refuses for a while.
func (r *rig) refusedThenHealed(says string, heal func()) {
	r.t.Helper()
	const batch = 5000
	accepted, waiting := r.fillUntilAlarm(batch)
	if st := r.Stat(); !strings.Contains(st.Alarm, r.o.Path) || !strings.Contains(st.Alarm, says) || st.Pending != batch {
		r.t.Errorf("stat %+v", st)
	}
	r.account(Account{Accepted: int64(accepted), Buffered: int64(accepted)})
	if l := r.lease(10); len(l.Points) != 10 {
		r.t.Error("nothing can be leased while the disk refuses")
	} else {
		r.settle(l, Settlement{Outcome: Later})
	}
	heal()
	if err := waiting.Wait(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	within(r.t, "the alarm ends", func() bool { return r.Stat().Alarm == "" })
	n := accepted + batch
	r.account(Account{Accepted: int64(n), Buffered: int64(n)})
	for l := r.lease(batch); l != nil; l = r.lease(batch) {
		r.settle(l, Settlement{Outcome: Delivered})
	}
	r.flush()
	r.account(Account{Accepted: int64(n), Delivered: int64(n)})
}

// TestFileCannotGrow has the kernel refuse writes beyond a size (EFBIG).
func TestFileCannotGrow(t *testing.T) {
	if inOwnProcess(t) {
		return
	}
	r := start(t, nil)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
	}
	limit(2 << 20)
	defer limit(old.Cur)
	r.refusedThenHealed("file too large", func() { limit(old.Cur) })
}

// inOwnProcess runs the test in another process and says so, unless this is that
// process: a limit on the size of files is one of the whole process, and go
// test writes files too.
func inOwnProcess(t *testing.T) bool {
	t.Helper()
	if os.Getenv("EDGEHOLD_SMALL_FILES") != "" {
		return false
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "EDGEHOLD_SMALL_FILES=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return true
}

// TestDiskFull runs on a small disk of its own.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("SKIPPED: no disk can be mounted here (%v), a full one is not tested", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r := start(t, func(o *Options) { o.Path = filepath.Join(dir, "buffer.db") })
	r.refusedThenHealed("disk is full", func() {
		if err := unix.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
			t.Error(err)
		}
	})

	fill := filepath.Join(dir, "fill")
	_ = os.WriteFile(fill, make([]byte, 32<<20), 0o600)
	_, err := Open(Options{Path: filepath.Join(dir, "other.db")})
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("open on a full disk: %v", err)
	}
}

func TestAlarmText(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC: "disk is full", syscall.EROFS: "read-only", syscall.EIO: "EIO", os.ErrClosed: "file already closed",
	} {
		if got := alarmText("/x/b.db", err); !strings.Contains(got, want) || !strings.Contains(got, "/x/b.db") {
			t.Errorf("%v: %q lacks %q", err, got, want)
		}
	}
}

// TestUnknownOutcome tries commits again whose failure came after they were
// visible, and others whose failure came before.
func TestUnknownOutcome(t *testing.T) {
	for _, visible := range []bool{true, false} {
		r := start(t, nil)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := newStore(r.o)
		if err != nil {
			t.Fatal(err)
		}
		r.Store = s
		ticket := s.Enqueue(r.points(0, 10))
		if err := s.begin(nil); err != nil {
			t.Fatal(err)
		}
		if visible {
			err = s.update(s.running)
		} else {
			s.running.commit = s.ledger.Commit + 1
		}
		if err != nil {
			t.Fatal(err)
		}
		second := s.Enqueue(r.points(10, 10))
		go s.committer()
		for _, w := range []*Ticket{ticket, second} {
			if err := w.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		r.account(Account{Accepted: 20, Buffered: 20})
		if got := values(r.lease(100)); !slices.Equal(got, sequence(0, 20)) {
			t.Errorf("visible %v: leased %v", visible, got)
		}
	}
}

// TestScatteredPages leaves room in the file, but nowhere in one piece.
func TestScatteredPages(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
	n := 0
	for r.Stat().UsedBytes < leastMaxSize-allocSize-(300<<10) {
		r.append(r.noise(n, 1000)...)
		n += 1000
	}
	var leases []*Lease
	for l := r.lease(1000); l != nil; l = r.lease(1000) {
		leases = append(leases, l) // one record each
	}
	for i, l := range leases {
		r.settle(l, Settlement{Outcome: []Outcome{Delivered, Later}[i%2]})
	}
	r.flush()
	if a := r.Account(); a.Evicted != 0 || a.Delivered == 0 {
		t.Fatalf("account %+v", a)
	}
	r.append(r.noise(n, 50_000)...)
	if a := r.Account(); a.Evicted == 0 || r.Stat().Alarm != "" || r.Stat().FileBytes > leastMaxSize {
		t.Errorf("account %+v, stat %+v", a, r.Stat())
	}
}

// TestLastCommitFails stops while the disk refuses: what was accepted stays,
// and those who wait are told.
func TestLastCommitFails(t *testing.T) {
	if inOwnProcess(t) {
		return
	}
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	ticket := r.Enqueue(r.points(10, 10))
	closed := r.Close()
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := ticket.Wait(context.Background()); err == nil || closed == nil {
		t.Errorf("wait: %v, close: %v", err, closed)
	}
	r.open()
	r.account(Account{Accepted: 10, Buffered: 10})
}

// TestPagesOverwritten destroys the inner pages of an open file, on which
// bbolt panics: the store goes on with another one.
func TestPagesOverwritten(t *testing.T) {
	clock := newWall()
	path := filepath.Join(t.TempDir(), "buffer.db")
	s, err := Open(Options{Path: path, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Store: s, t: t, clock: clock}
	for i := range 5 {
		r.append(r.noise(1000*i, 1000)...)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(bytes.Repeat([]byte{0xa5}, 64*pageSize), 2*pageSize); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Lease(Query{Max: 10}); l != nil {
		t.Errorf("leased %v, %v", l, err)
	}
	r.o.Path = path
	r.append(r.points(0, 10)...)
	within(t, "the damage is known", func() bool { return s.Stat().Salvage != nil })
	if _, err := s.Verify(); err != nil {
		t.Errorf("the new file: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
