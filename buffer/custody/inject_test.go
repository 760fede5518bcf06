package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/buffer"
)

const (
	faultVariable = "EDGEHOLD_CUSTODY_TEST_FAULT"
	diskVariable  = "EDGEHOLD_CUSTODY_TEST_DISK"
)

// faulty is what the process says in which a call of the system fails.
type faulty struct {
	Stored []uint64 // numbers of blocks in their epoch
	Alarms int
}

// TestFaultyProcess is that process: it puts blocks as a site does, again
// where they are refused, and settles every other one.
func TestFaultyProcess(t *testing.T) {
	dir := os.Getenv(faultVariable)
	if dir == "" {
		t.Skip("it is part of TestCallFails")
	}
	var said faulty
	var log bytes.Buffer
	r := &rig{t: t, clock: newWall()}
	r.o = Options{Path: filepath.Join(dir, "relay.db"), MaxSize: 32 << 20, SettleInterval: time.Millisecond, Now: r.clock.now, Log: zerolog.New(&log)}
	for opens := 0; r.Store == nil; opens++ { // the relay is started again
		s, err := Open(r.o)
		if err == nil {
			r.Store = s
		} else if opens > 20 || !strings.Contains(err.Error(), "relay.db") {
			t.Fatal(err)
		}
	}
	for seq := uint64(1); seq <= 25; seq++ {
		b := r.block("a", 7, seq, 10)
		b.Data = content("a", 7, seq, 200_000)
		r.insist(b)
		said.Stored = append(said.Stored, seq)
		if seq%2 == 0 {
			x, _ := r.Next("a", Query{KindPoints, 1, false}, 0)
			r.settle(x.Number, whole(10, buffer.Delivered))
		}
	}
	err := r.Close()
	for range 5 { // nobody tries again after the last commit
		if err == nil {
			break
		}
		r.open()
		err = r.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	said.Alarms = strings.Count(log.String(), "blocks are refused, and wait")
	if ended := strings.Count(log.String(), "takes blocks again"); ended > said.Alarms {
		t.Errorf("%d alarms showed, %d ended", said.Alarms, ended)
	}
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "said"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// insist puts a block until it is taken.
func (r *rig) insist(b Block) {
	r.t.Helper()
	status := Full
	for tries := 0; status == Full; tries++ {
		got, err := r.Put(b).Wait(context10(r.t))
		if err != nil {
			r.t.Fatal(err)
		}
		if status = got.Status; status == Duplicate && tries == 0 {
			r.t.Errorf("block %d was there before it came", b.Seq)
		}
		if status != Full {
			return
		}
		within(r.t, "the store tries again", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return !r.refusing()
		})
	}
}

// TestCallFails has each call that writes fail, early and late, and then looks
// for every block that was acknowledged.
func TestCallFails(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v, install it; calls that fail are not tested", err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	each := 1
	if longForm() {
		each = 40
	}
	var mu sync.Mutex
	injected, alarms := 0, 0
	t.Run("group", func(t *testing.T) {
		for i, call := range []string{"pwrite64", "fsync,fdatasync", "ftruncate,fallocate"} {
			for j := range 2 * each {
				from := 1 + random.IntN([]int{60, 60, 4}[i])
				inject := fmt.Sprintf("inject=%s:error=%s:when=%d..%[3]d", call, []string{"ENOSPC", "EIO"}[j%2], from)
				t.Run(inject, func(t *testing.T) {
					t.Parallel()
					n, said := callFails(t, inject, call)
					mu.Lock()
					defer mu.Unlock()
					injected += n
					alarms += said.Alarms
				})
			}
		}
	})
	t.Logf("%d calls failed, %d alarms", injected, alarms)
	if injected == 0 || alarms == 0 {
		t.Error("hardly any call failed: nothing was tested")
	}
}

func callFails(t *testing.T, inject, call string) (int, faulty) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	cmd := exec.Command("strace", "-f", "-qq", "-o", trace, "-e", "trace="+call, "-e", inject,
		os.Args[0], "-test.run=^TestFaultyProcess$", "-test.v")
	// One processor: the positions are counted for each thread.
	cmd.Env = append(os.Environ(), faultVariable+"="+dir, "GOMAXPROCS=1", "GOCOVERDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFaultyProcess")) {
		t.Fatalf("%s: %v\n%s", inject, err, out)
	}
	var said faulty
	text, err := os.ReadFile(filepath.Join(dir, "said"))
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(trace); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *Options) { o.Path, o.MaxSize = filepath.Join(dir, "relay.db"), 32<<20 })
	if got := asides(t, r); len(got) > 0 {
		t.Errorf("%s: set aside %v", inject, got)
	}
	r.verify()
	a := r.Account()
	if a.Accepted != int64(10*len(said.Stored)) || a.Delivered != 120 {
		t.Errorf("%s: account %+v for %d blocks", inject, a, len(said.Stored))
	}
	for _, seq := range said.Stored {
		if got, _ := r.Lookup("a", 7, seq); got[0].Status != Stored && got[0].Status != Done {
			t.Errorf("%s: block %d was acknowledged, and is %v", inject, seq, got[0].Status)
		}
	}
	return bytes.Count(text, []byte("(INJECTED)")), said
}

// onSmallDisk runs the test in a process that has a small disk of its own, in
// namespaces, which needs no root. In that process it gives the disk's folder.
func onSmallDisk(t *testing.T) (dir string) {
	t.Helper()
	if dir = os.Getenv(diskVariable); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: no user namespace can be made here (%v), small disks are not tested", err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out.String())
	}
	return ""
}

// TestDiskFull has blocks refused while the disk is nearly full and quite
// full, settled ones go on, and all is well when there is room again.
func TestDiskFull(t *testing.T) {
	dir := onSmallDisk(t)
	if dir == "" {
		return
	}
	r := start(t, func(o *Options) { o.Path = filepath.Join(dir, "relay.db"); o.Reserve = 1 << 20 })
	put := func(seq uint64) Status {
		t.Helper()
		b := r.block("a", 7, seq, 10)
		b.Data = content("a", 7, seq, 60_000)
		got, err := r.Put(b).Wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return got.Status
	}
	n := uint64(1)
	for ; put(n) == Stored; n++ {
	}
	if st := r.Stat(); n < 100 || st.Alarm != "" || st.Pressure < 0.95 {
		t.Errorf("refused at block %d, %+v", n, st)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, make([]byte, 32<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the foreign file: %v", err)
	}
	if got := put(n); got != Full {
		t.Errorf("on a full disk: %v", got)
	}
	for range 20 {
		r.settle(r.only("a", false), whole(10, buffer.Delivered))
	}
	r.flush()
	want := int64(n-1) * 10
	r.account(buffer.Account{Accepted: want, Buffered: want - 200, Delivered: 200})
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	r.flush() // it looks at the disk
	if got := put(n); got != Stored {
		t.Errorf("with room again: %v", got)
	}
	r.reopen()
	r.verify()
	r.account(buffer.Account{Accepted: want + 10, Buffered: want - 190, Delivered: 200})
}
