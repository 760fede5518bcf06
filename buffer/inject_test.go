package buffer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const faultVariable = "EDGEHOLD_BUFFER_TEST_FAULT"

// faultMax is small, so that the file grows often: each step is a call that
// may fail.
const faultMax = 16 << 20

// faulty is what the process says in which a call of the system fails.
type faulty struct {
	Accepted  int64
	Delivered int64
	Alarms    int // that showed
	Cleared   int // that ended
	Opens     int // tries until the store was open
	OpenError string
	Went      bool // points were taken while the alarm showed
	Unclean   bool // the last commit failed
}

// TestFaultyProcess is that process.
func TestFaultyProcess(t *testing.T) {
	dir := os.Getenv(faultVariable)
	if dir == "" {
		t.Skip("it is part of TestCallFails")
	}
	var said faulty
	var log bytes.Buffer
	clock := newWall()
	r := &rig{t: t, clock: clock, o: Options{
		Path: filepath.Join(dir, "buffer.db"), MaxSize: faultMax, Now: clock.now, Log: zerolog.New(&log),
	}}
	for r.Store == nil { // the agent is started again
		s, err := Open(r.o)
		if said.Opens++; err == nil {
			r.Store = s
			break
		}
		if said.OpenError = err.Error(); said.Opens > 20 { // each thread counts for itself
			t.Fatal(err)
		}
	}
	for i, size := range []int{10, 2000, 300, 5000, 10, 50, 20_000, 100, 1, 300, 20_000, 10} {
		clock.add(time.Second)
		r.through(i, size, &said)
	}
	said.Accepted, said.Delivered = r.Account().Accepted, r.Account().Delivered
	err := r.Close()
	for range 5 { // nobody tries again after the last commit, and a fault may last
		if err == nil {
			break
		}
		said.Unclean = true
		r.open()
		err = r.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	said.Alarms = strings.Count(log.String(), "new points wait in memory")
	said.Cleared = strings.Count(log.String(), "buffer takes points again")
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "said"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// through hands over a batch and settles a part of what there is. Where the
// disk refuses, it hands over more meanwhile.
func (r *rig) through(i, size int, said *faulty) {
	first := i * 100_000
	ticket := r.Enqueue(r.noise(first, size))
	within(r.t, "a commit ends, well or not", func() bool { return ticket.ended() || r.Stat().Alarm != "" })
	if r.Stat().Alarm != "" {
		more := r.Enqueue(r.noise(first+50_000, 10))
		said.Went = said.Went || !ticket.ended() && !more.ended()
		if err := more.Wait(context.Background()); err != nil {
			r.t.Error(err)
		}
	}
	if err := ticket.Wait(context.Background()); err != nil {
		r.t.Error(err)
	}
	within(r.t, "the alarm ends", func() bool { return r.Stat().Alarm == "" })
	if l := r.lease(500); l != nil && i%2 == 1 {
		r.settle(l, Settlement{Outcome: Delivered})
		r.flush()
	} else if l != nil {
		r.settle(l, Settlement{Outcome: Later})
	}
}

func (t *Ticket) ended() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// fault is one way to fail: a call, from its n-th on, so many times.
type fault struct {
	call, errno string
	from, times int
}

func (f fault) String() string { return fmt.Sprintf("%s %s %d+%d", f.call, f.errno, f.from, f.times) }

func (f fault) inject() string {
	return fmt.Sprintf("inject=%s:error=%s:when=%d..%d", f.call, f.errno, f.from, f.from+f.times-1)
}

// TestCallFails has each call that writes fail once, early and late, and then
// looks for every point that was accepted.
func TestCallFails(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("SKIPPED: %v, install it; calls that fail are not tested", err)
	}
	faults := faultsToTry(t)
	var mu sync.Mutex
	injected, alarms, went, opens := 0, 0, 0, 0
	t.Run("group", func(t *testing.T) {
		for _, f := range faults {
			t.Run(f.String(), func(t *testing.T) {
				t.Parallel()
				n, said := f.try(t)
				mu.Lock()
				defer mu.Unlock()
				injected += n
				alarms += said.Alarms
				opens += said.Opens - 1
				if said.Went {
					went++
				}
			})
		}
	})
	t.Logf("%d runs: %d calls failed, %d alarms, %d starts failed; points were taken during the alarm in %d runs",
		len(faults), injected, alarms, opens, went)
	if injected == 0 || alarms == 0 || went == 0 || alarms < injected/8 {
		t.Error("hardly any call failed: nothing was tested")
	}
}

// faultsToTry are all positions of all calls in a soak, else a few.
func faultsToTry(t *testing.T) (out []fault) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	positions, each := random.Perm(40), 2
	switch {
	case testing.Short():
		each = 1
	case os.Getenv("EDGEHOLD_SOAK") != "":
		each = len(positions)
	}
	for i, call := range []string{"pwrite64", "fsync,fdatasync", "ftruncate,fallocate"} {
		for j, errno := range []string{"ENOSPC", "EIO"} {
			for k := range each {
				from := positions[(k+each*(2*i+j))%len(positions)] + 1
				if i == 2 {
					from = 1 + from%6 // the file grows a few times only
				}
				out = append(out, fault{call, errno, from, 1})
			}
		}
	}
	// A disk that turns read-only, and back after a while.
	return append(out, fault{"pwrite64", "EROFS", 1 + random.IntN(20), 3})
}

// try gives the number of calls that failed.
func (f fault) try(t *testing.T) (int, faulty) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	cmd := exec.Command("strace", "-f", "-qq", "-o", trace, "-e", "trace="+f.call, "-e", f.inject(),
		os.Args[0], "-test.run=^TestFaultyProcess$", "-test.v")
	// One processor: the positions are counted for each thread.
	cmd.Env = append(os.Environ(), faultVariable+"="+dir, "GOMAXPROCS=1", "GOCOVERDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFaultyProcess")) {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	n := bytes.Count(text, []byte("(INJECTED)"))
	var said faulty
	if text, err = os.ReadFile(filepath.Join(dir, "said")); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	if said.Alarms != said.Cleared && !said.Unclean {
		t.Errorf("%d alarms showed, %d ended", said.Alarms, said.Cleared)
	}
	if n == 0 && (said.Alarms > 0 || said.Opens > 1) {
		t.Errorf("nothing failed, yet %+v", said)
	}
	if said.Opens > 1 && !strings.Contains(said.OpenError, "buffer.db") {
		t.Errorf("open says %q", said.OpenError)
	}
	f.judge(t, dir, said)
	return n, said
}

// judge opens the file in a sound process.
func (f fault) judge(t *testing.T, dir string, said faulty) {
	r := start(t, func(o *Options) { o.Path, o.MaxSize = filepath.Join(dir, "buffer.db"), faultMax })
	if aside, _ := filepath.Glob(filepath.Join(dir, "buffer.db?*")); len(aside) > 0 {
		t.Errorf("beside the file lie %v", aside)
	}
	a := r.Account()
	if a.Accepted != said.Accepted || a.Delivered != said.Delivered || a.Accepted != a.Buffered+a.Delivered {
		t.Errorf("account %+v, but it was %+v", a, said)
	}
	seen := make(map[uint64]bool)
	for l := r.lease(10_000); l != nil; l = r.lease(10_000) {
		for _, p := range l.Points {
			if v := p.Value.Uint64(); seen[v] {
				t.Fatalf("point %d is twice in the store", v)
			} else {
				seen[v] = true
			}
		}
	}
	if int64(len(seen)) != a.Buffered {
		t.Errorf("%d points can be leased, account %+v", len(seen), a)
	}
}
