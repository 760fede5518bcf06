package buffer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/probes"
)

// wreck destroys both meta pages of the file, which is then opened anew.
func (r *rig) wreck() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	overwrite(r.t, r.o.Path, 0, make([]byte, 2*pageSize))
	r.open()
}

func overwrite(t testing.TB, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// salvaged waits for the end of the salvage.
func (r *rig) salvaged() *Salvage {
	r.t.Helper()
	within(r.t, "the salvage ends", func() bool { st := r.Stat().Salvage; return st != nil && st.Done })
	return r.Stat().Salvage
}

// aside are the files that were set aside.
func (r *rig) aside() []string {
	all, _ := filepath.Glob(r.o.Path + damagedSuffix + "*")
	return all
}

// expectAll drains the store and expects the numbers 0..n-1, each once.
func (r *rig) expectAll(n int) {
	r.t.Helper()
	got := make(map[uint64]int)
	r.collect(got)
	for i := range uint64(n) {
		if got[i] != 1 {
			r.t.Fatalf("point %d came %d times, of %d there are %d", i, got[i], n, len(got))
		}
	}
	if len(got) != n {
		r.t.Errorf("%d points, want %d", len(got), n)
	}
}

func TestSalvageEnds(t *testing.T) {
	r := start(t, nil)
	for i := range 100 {
		r.append(r.noise(i*200, 200)...)
		r.clock.add(time.Second)
	}
	r.spoilChunks()
	if st := r.salvaged(); st.Saved != 20_000 || st.Lost != 0 || st.Unsure || st.File != "" {
		t.Errorf("salvage %+v", st)
	}
	within(t, "the file that was set aside is deleted", func() bool { return len(r.aside()) == 0 })
	r.account(Account{Accepted: 20_000, Buffered: 20_000})
	r.reopen()
	if st := r.Stat().Salvage; st == nil || !st.Done || st.Saved != 20_000 {
		t.Errorf("after a restart: salvage %+v", st)
	}
	r.expectAll(20_000)
}

// spoilChunks overwrites the page that leads to the chunks; the newest ledger
// can still be read.
func (r *rig) spoilChunks() {
	r.t.Helper()
	var page int64
	err := r.volume().view(func(tx *bbolt.Tx) error {
		page = int64(tx.Bucket(bucketChunks).Root())
		return nil
	})
	if err != nil || page == 0 {
		r.t.Fatalf("the chunks begin on page %d, %v", page, err)
	}
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	// The stop may have moved it, so the page is looked for once more.
	reader, err := OpenReader(r.o.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = reader.v.view(func(tx *bbolt.Tx) error {
		page = int64(tx.Bucket(bucketChunks).Root())
		return nil
	})
	if err := reader.Close(); err != nil {
		r.t.Fatal(err)
	}
	overwrite(r.t, r.o.Path, page*pageSize, bytes.Repeat([]byte{0x5a}, pageSize))
	r.open()
}

// TestSalvageSaysWhenItCannotKnow has files that lost their newest ledger: what
// is left of them stays, whatever was saved.
func TestSalvageSaysWhenItCannotKnow(t *testing.T) {
	for name, spoil := range map[string]func(r *rig){
		"both metas": func(r *rig) { overwrite(t, r.o.Path, 0, make([]byte, 2*pageSize)) },
		"cut off": func(r *rig) {
			if err := os.Truncate(r.o.Path, 10*pageSize); err != nil {
				t.Fatal(err)
			}
		},
	} {
		r := start(t, nil)
		for i := range 100 {
			r.append(r.noise(i*200, 200)...)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		spoil(r)
		r.open()
		st := r.salvaged()
		if !st.Unsure || !exists(filepath.Join(filepath.Dir(r.o.Path), st.File)) {
			within(t, name+": the file is kept", func() bool { return exists(filepath.Join(filepath.Dir(r.o.Path), r.Stat().Salvage.File)) })
		}
		if st := r.Stat().Salvage; !st.Unsure {
			t.Errorf("%s: salvage %+v", name, st)
		}
	}
}

// TestSalvageKeepsWhatIsLost damages a record too: the file stays until there
// is no room for it.
func TestSalvageKeepsWhatIsLost(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 8 << 20 })
	for i := range 3 {
		r.append(r.noise(i*500, 500)...)
		r.reopen() // a segment each
	}
	w := learn(t, r.o.Path+r.copyOf("whole"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	overwrite(t, r.o.Path, int64(w.records[1].places[0])+100, []byte{1, 2, 3, 4, 5, 6, 7})
	r.open()
	r.wreck()
	if st := r.salvaged(); st.Saved != 1000 || st.Lost != 500 {
		t.Errorf("salvage %+v", st)
	}
	r.account(Account{Accepted: 1500, Buffered: 1000, Damaged: 500})
	within(t, "the file is marked as done", func() bool { return len(r.aside()) == 1 && strings.HasSuffix(r.aside()[0], keptSuffix) })
	r.drain(100_000)
	r.overfill()
	r.reopen()
	within(t, "it is deleted when its room is needed", func() bool { return len(r.aside()) == 0 })
}

// copyOf copies the file as it is after a stop.
func (r *rig) copyOf(name string) string {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	b, err := os.ReadFile(r.o.Path)
	if err == nil {
		err = os.WriteFile(r.o.Path+name, b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.open()
	return name
}

// TestSalvageGoesOn stops the store again and again while it salvages in small
// batches.
func TestSalvageGoesOn(t *testing.T) {
	r := start(t, nil)
	for i := range 60 {
		r.append(r.noise(i*300, 300)...)
		r.clock.add(time.Second)
	}
	for i := range 20 {
		r.enter(r.entry(fmt.Sprintf("entry %d", i)))
	}
	r.o.MaxPending = 500 // batches of 250 points: records are split
	r.wreck()
	stops := 0
	for ; ; stops++ {
		saved := r.Stat().Salvage.Saved
		within(t, "the salvage moves", func() bool { st := r.Stat().Salvage; return st.Done || st.Saved > saved+500 })
		if r.Stat().Salvage.Done {
			break
		}
		r.reopen()
	}
	if stops < 3 {
		t.Errorf("it was stopped %d times only", stops)
	}
	r.account(Account{Accepted: 18_020, Buffered: 18_020})
	got := make(map[uint64]int)
	r.collect(got)
	if len(got) != 18_020 || slices.Max(slices.Collect(maps.Values(got))) != 1 {
		t.Errorf("%d points, some %d times", len(got), slices.Max(slices.Collect(maps.Values(got))))
	}
}

// TestDamagedTwice destroys the new file while the old one is being salvaged.
func TestDamagedTwice(t *testing.T) {
	r := start(t, nil)
	for i := range 60 {
		r.append(r.noise(i*300, 300)...)
		r.clock.add(time.Second)
	}
	r.o.MaxPending = 500
	r.wreck()
	within(t, "some are saved", func() bool { return r.Stat().Salvage.Saved > 2000 })
	first := r.Stat().Salvage.File
	r.clock.add(time.Second)
	r.wreck()
	if st := r.salvaged(); st.File == first || st.Saved < 2000 {
		t.Errorf("salvage %+v, of %s before", st, first)
	}
	a := r.Account()
	if a.Accepted != 18_000 || a.Buffered+a.Damaged != 18_000 || a.Buffered < 2000 {
		t.Errorf("account %+v", a)
	}
	r.verify()
}

// TestDamagedWhileOpen destroys an open file, in several ways: the store goes
// on without a restart, and those who append never wait for a repair.
func TestDamagedWhileOpen(t *testing.T) {
	for name, damage := range map[string]func(path string){
		"cut off":        func(path string) { _ = os.Truncate(path, 2*pageSize) },
		"cut to nothing": func(path string) { _ = os.Truncate(path, 0) },
		"zeros":          func(path string) { overwrite(t, path, 0, make([]byte, 1<<20)) },
		"junk":           func(path string) { overwrite(t, path, 2*pageSize, bytes.Repeat([]byte{0x5a}, 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			for i := range 20 {
				r.append(r.noise(i*500, 500)...)
				r.clock.add(time.Second)
			}
			damage(r.o.Path)
			ticket := r.Enqueue(r.points(500_000, 100))
			if _, err := r.Lease(Query{Max: 10}); err != nil {
				t.Logf("lease: %v", err)
			}
			within(t, "the store has a new file", func() bool {
				_, _ = r.Lease(Query{Max: 1})
				return r.Stat().Salvage != nil
			})
			if err := ticket.Wait(context.Background()); err != nil {
				t.Error(err)
			}
			r.salvaged()
			r.flush()
			if a := r.Account(); a.Check() != nil || a.Accepted < 100 {
				t.Errorf("account %+v", a)
			}
			r.verify()
		})
	}
}

// TestSalvageOnAFullDisk has no room for what it saves until later.
func TestSalvageOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("SKIPPED: no disk can be mounted here (%v), a full one is not tested", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r := start(t, func(o *Options) { o.Path = filepath.Join(dir, "buffer.db") })
	for i := range 60 {
		r.append(r.noise(i*5000, 5000)...)
		r.clock.add(time.Second)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	size := fmt.Sprintf("size=%d", info.Size()+(2<<20))
	if err := unix.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, size); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.wreck()
	within(t, "the disk refuses", func() bool { return r.Stat().Alarm != "" })
	if st := r.Stat().Salvage; st.Done || st.Saved >= 300_000 {
		t.Fatalf("salvage %+v", st)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if st := r.salvaged(); st.Saved != 300_000 || r.Stat().Dropped != 0 {
		t.Errorf("salvage %+v, stat %+v", st, r.Stat())
	}
	r.account(Account{Accepted: 300_000, Buffered: 300_000})
	r.expectAll(300_000)
}

// TestOrphan finds a file that was set aside by a start that got no further.
func TestOrphan(t *testing.T) {
	r := start(t, nil)
	r.append(r.noise(0, 500)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := setAside(r.o.Path, r.clock.now()); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.salvaged()
	r.account(Account{Accepted: 500, Buffered: 500})
	r.reopen()
	r.expectAll(500)
}

// TestUndoneCommit puts records beside those of the same number that a power
// cut has undone: only one of them is saved.
func TestUndoneCommit(t *testing.T) {
	undone := start(t, nil)
	undone.append(undone.noise(0, 100)...)
	undone.append(undone.noise(100_000, 100)...)
	path := undone.o.Path + undone.copyOf("undone")
	stray, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, nil)
	for i := range 5 {
		r.append(r.noise(i*100, 100)...)
		r.clock.add(time.Second)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	var frames []byte // its records and names, but not its ledger
	f := learn(t, path)
	for _, k := range f.records {
		frames = append(append(frames, k.needs[len(k.needs)-1]...), k.names[0]...)
	}
	if len(stray) == 0 || len(frames) == 0 {
		t.Fatal("nothing to put there")
	}
	overwrite(t, r.o.Path, info.Size(), frames)
	r.open()
	r.wreck()
	r.salvaged()
	r.account(Account{Accepted: 500, Buffered: 500})
	r.expectAll(500)
}

// TestIndexInPasses finds the same segments when little can be remembered.
func TestIndexInPasses(t *testing.T) {
	r := start(t, nil)
	for i := range 12 {
		for j := range 7 {
			r.append(r.noise(1000*i+10*j, 10)...)
		}
		r.reopen()
	}
	f, err := os.Open(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	scan, err := newScanner(f, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	find := func(most int) (out []stretch, passes int) {
		for from := uint64(0); ; passes++ {
			x := newIndex(from, most)
			scan.scan(x.add)
			if len(x.marks) > most || x.runs > most {
				t.Fatalf("%d runs and %d marks, at most %d are remembered", x.runs, len(x.marks), most)
			}
			out = append(out, x.stretches()...)
			if from = x.limit; x.limit == 1<<64-1 {
				return out, passes + 1
			}
		}
	}
	same := func(a, b stretch) bool { return a.segment == b.segment && a.records == b.records && a.to == b.to }
	want, once := find(maxIndex)
	got, passes := find(20)
	if once != 1 || passes < 4 || len(want) < 12 || !slices.EqualFunc(got, want, same) {
		t.Errorf("in %d passes %d segments, in %d %d", passes, len(got), once, len(want))
	}
	if !slices.IsSortedFunc(got, func(a, b stretch) int { return cmp.Compare(a.base, b.base) }) {
		t.Error("segments are not in order")
	}
}

// TestScanOfFalseFrames has a file of nothing but heads of long records: a scan
// must not read all of each.
func TestScanOfFalseFrames(t *testing.T) {
	head := append(binary.AppendUvarint(magic(frameRecord), 2<<20), make([]byte, 13)...)
	head = append(head, 1)
	path := filepath.Join(t.TempDir(), "false")
	if err := os.WriteFile(path, bytes.Repeat(head, (4<<20)/len(head)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc, err := newScanner(f, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	sc.scan(func(x found) { t.Fatalf("found %+v", x) })
	if most := wasteShare*sc.size + wasteLeast + maxRecord; sc.wasted < most/2 || sc.wasted > most {
		t.Errorf("%d bytes were read for nothing, at most it may be %d", sc.wasted, most)
	}
}

// TestScanAcrossWindows has frames that begin near the end of a window.
func TestScanAcrossWindows(t *testing.T) {
	framed := keyed(frameMark, number(7), []byte{1, 0})
	var b []byte
	for i := 1; i <= 40; i++ {
		b = append(b, make([]byte, i*scanWindow-5-len(b))...)
		b = append(b, framed...)
	}
	path := filepath.Join(t.TempDir(), "frames")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc, err := newScanner(f, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	sc.scan(func(x found) { n++ })
	if n != 40 {
		t.Errorf("%d frames were found, want 40", n)
	}
	sc.size = 2*scanWindow - 1 // the second one is cut off
	n = 0
	sc.scan(func(x found) { n++ })
	if n != 1 {
		t.Errorf("%d frames were found, want 1", n)
	}
}

// TestOfferDropsNothing has points that were never accepted wait before those
// of a salvage.
func TestOfferDropsNothing(t *testing.T) {
	ticket := func(n int) *Ticket { return &Ticket{points: make([]probes.Point, n), done: make(chan struct{})} }
	q, fresh, saved := &queue{}, ticket(60), ticket(40)
	q.put(fresh, 60, 100)
	if q.offer(ticket(41), 100) || fresh.err != nil {
		t.Error("points of a salvage were taken beyond what may wait")
	}
	if !q.offer(saved, 100) {
		t.Error("points of a salvage were not taken")
	}
	if _, due := q.due(time.Hour); !due || len(q.take()) != 2 {
		t.Error("not both wait for a commit")
	}
	q.finish(nil)
	again := ticket(40)
	q.offer(again, 100)
	q.put(ticket(70), 70, 100)
	q.undrop(40)
	if _, _, dropped := q.stat(); !errors.Is(again.err, ErrDropped) || dropped != 0 {
		t.Errorf("%v, %d dropped", again.err, dropped)
	}
}

// TestNamesAreMended damages one copy of the names.
func TestNamesAreMended(t *testing.T) {
	for name, damage := range map[string]func(b *bbolt.Bucket, key, value []byte) error{
		"value": func(b *bbolt.Bucket, key, value []byte) error { return b.Put(key, append(value[:9], value[10:]...)) },
		"lost":  func(b *bbolt.Bucket, key, _ []byte) error { return b.Delete(key) },
		"key": func(b *bbolt.Bucket, key, value []byte) error {
			return errors.Join(b.Delete(key), b.Put([]byte{0, 0, 7, 0}, value))
		},
	} {
		for _, bucket := range [][]byte{bucketNames, bucketNamesCopy} {
			r := start(t, nil)
			r.append(r.points(0, 100)...)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r.tamper(func(tx *bbolt.Tx) error {
				b := tx.Bucket(bucket)
				k, v := b.Cursor().First()
				return damage(b, bytes.Clone(k), bytes.Clone(v))
			})
			r.open()
			if st := r.Stat().Salvage; st != nil && (name != "key" || bytes.Equal(bucket, bucketNamesCopy)) {
				t.Errorf("%s of %s: salvage %+v", name, bucket, st)
			}
			if r.Stat().Salvage != nil {
				r.salvaged()
			}
			r.account(Account{Accepted: 100, Buffered: 100}) // verifies both copies
		}
	}
}
