package custody

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

func asides(t *testing.T, r *rig) []string {
	t.Helper()
	all, err := filepath.Glob(r.o.Path + ".damaged-*")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDamagedAtStart cuts a file off: it is set aside, and a new one has a new
// epoch.
func TestDamagedAtStart(t *testing.T) {
	r := start(t, nil)
	b := r.block("a", 7, 1, 10)
	r.put(b, Stored)
	epoch := r.Epoch()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.o.Path, 12_000); err != nil {
		t.Fatal(err)
	}
	r.open()
	if got := asides(t, r); len(got) != 1 || r.Stat().SetAside != got[0] {
		t.Errorf("set aside %v, %q", got, r.Stat().SetAside)
	}
	if r.Epoch() == epoch {
		t.Error("the epoch is the old one")
	}
	r.look("a", 7, 1, Result{})
	r.account(buffer.Account{})
	r.put(b, Stored)
	r.verify()
}

// TestDamagedWhileOpen destroys pages under an open store.
func TestDamagedWhileOpen(t *testing.T) {
	r := start(t, nil)
	for seq := range uint64(20) {
		r.put(r.block("a", 7, seq+1, 10), Stored)
	}
	r.Keep("note", []byte("x"))
	r.flush()
	n, epoch := r.only("a", false), r.Epoch()
	r.Hold(n)
	f, err := os.OpenFile(r.o.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Stat()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(min(info.Size(), r.Stat().FileBytes)-2*buffer.PageSize)), 2*buffer.PageSize); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	b := r.block("b", 1, 1, 5)
	b.Relies = 0
	r.put(b, Stored)
	if r.Epoch() == epoch || len(asides(t, r)) != 1 {
		t.Errorf("epoch %x, set aside %v", r.Epoch(), asides(t, r))
	}
	if err := r.Settle(n, []Part{whole(10, buffer.Delivered)}); err != nil {
		t.Errorf("settle a block that is gone: %v", err)
	}
	r.look("a", 7, 1, Result{})
	r.put(r.block("a", 7, 1, 10), Stored)
	if m := r.only("a", false); m <= n {
		t.Errorf("number %d comes again after %d", m, n)
	}
	r.account(buffer.Account{Accepted: 15, Buffered: 15})
	r.reopen()
	if string(r.Kept("note")) != "x" {
		t.Error("the note is lost")
	}
	r.account(buffer.Account{Accepted: 15, Buffered: 15})
	r.verify()
}

const damagedVariable = "EDGEHOLD_CUSTODY_TEST_DAMAGED"

// TestOpenDamagedProcess opens a damaged file; it must not die.
func TestOpenDamagedProcess(t *testing.T) {
	dir := os.Getenv(damagedVariable)
	if dir == "" {
		t.Skip("it is part of TestDamagedAnyhow")
	}
	all, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, path := range all {
		s, err := Open(Options{Path: path, MaxSize: 16 << 20, SettleInterval: time.Millisecond})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r := &rig{Store: s, t: t, clock: newWall()}
		sound := s.Verify(context10(t)) == nil
		if s.stat.SetAside != "" && !sound {
			t.Errorf("%s: the new file is not sound", path)
		}
		if got, err := s.Put(r.block("z", 9, 9, 3)).Wait(context10(t)); err != nil || got.Status != Stored {
			t.Errorf("%s: %v %v", path, got, err)
		}
		for x, ok := s.Next("a", Query{KindPoints, 1, false}, 0); ok; x, ok = s.Next("a", Query{KindPoints, 1, false}, x.Number) {
			if data, err := s.Data(x.Number); err == nil && !bytes.Equal(data, content("a", x.Epoch, x.Seq, 500)) {
				t.Errorf("%s: block %d has wrong bytes", path, x.Number)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestDamagedAnyhow damages files in many ways, and opens them in a process of
// their own.
func TestDamagedAnyhow(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
	for seq := range uint64(60) {
		r.put(r.block("a", 7, seq+1, 10), Stored)
		if seq%3 == 0 {
			r.settle(r.only("a", false), Part{From: 0, To: 1 + int(seq)%10, Outcome: buffer.Refused, Letter: &buffer.Letter{Line: "line"}})
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	used := int(r.Stat().UsedBytes)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	files := 60
	if longForm() {
		files = 2000
	}
	for i := range files {
		bad := bytes.Clone(sound)
		at := random.IntN(used)
		switch i % 4 {
		case 0:
			bad[at] ^= 1 << random.IntN(8)
		case 1:
			copy(bad[at/4096*4096:], make([]byte, 4096))
		case 2:
			from := random.IntN(used) / 4096 * 4096
			copy(bad[at/4096*4096:], sound[from:from+4096])
		case 3:
			bad = bad[:at]
		}
		name := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOpenDamagedProcess$", "-test.v")
	cmd.Env = append(os.Environ(), damagedVariable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Fatalf("%v\n%.3000s", err, out)
	}
}
