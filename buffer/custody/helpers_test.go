package custody

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// wall is a clock that the test moves.
type wall struct {
	mu sync.Mutex
	t  time.Time
}

func newWall() *wall { return &wall{t: time.UnixMilli(1_800_000_000_000)} }

func (w *wall) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.t
}

func (w *wall) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = w.t.Add(d)
}

// rig is a store with what tests do to it.
type rig struct {
	*Store
	t     testing.TB
	o     Options
	clock *wall
}

func start(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	clock := newWall()
	r := &rig{t: t, clock: clock, o: Options{
		Path: filepath.Join(t.TempDir(), "relay.db"), MaxSize: 64 << 20, SettleInterval: time.Millisecond, Now: clock.now,
	}}
	if change != nil {
		change(&r.o)
	}
	r.open()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := Open(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Store = s
}

func (r *rig) reopen() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func context10(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// flush has a commit made of all that waits.
func (r *rig) flush() {
	r.t.Helper()
	if _, err := r.Purge(context10(r.t), Purge{Letters: []uint64{1 << 63}}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) put(b Block, want Status) Result {
	r.t.Helper()
	got, err := r.Put(b).Wait(context10(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	if got.Status != want {
		r.t.Fatalf("block %s/%d/%d is %v, want %v", b.Site, b.Epoch, b.Seq, got.Status, want)
	}
	return got
}

// block makes one whose bytes tell what it is.
func (r *rig) block(site string, epoch, seq uint64, points int) Block {
	now := r.clock.now().UnixMilli()
	return Block{
		Site: site, Epoch: epoch, Seq: seq, Kind: KindPoints, Lane: 1, Points: points,
		First: now - 60_000, Last: now, Data: content(site, epoch, seq, 500),
	}
}

func content(site string, epoch, seq uint64, size int) []byte {
	random := rand.New(rand.NewPCG(epoch, seq))
	out := []byte(fmt.Sprintf("%s %d %d ", site, epoch, seq))
	for len(out) < size {
		out = append(out, byte(random.Uint32()))
	}
	return out
}

// only gives the number of the site's first open block.
func (r *rig) only(site string, late bool) uint64 {
	r.t.Helper()
	x, ok := r.Next(site, Query{KindPoints, 1, late}, 0)
	if !ok {
		r.t.Fatalf("site %s has no open block", site)
	}
	return x.Number
}

func (r *rig) settle(number uint64, parts ...Part) {
	r.t.Helper()
	if !r.Hold(number) {
		r.t.Fatalf("block %d cannot be held", number)
	}
	defer r.Release(number)
	if err := r.Settle(number, parts); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) account(want buffer.Account) {
	r.t.Helper()
	if got := r.Account(); got != complete(want) {
		r.t.Errorf("account %+v, want %+v", got, complete(want))
	}
}

func (r *rig) verify() {
	r.t.Helper()
	if err := r.Verify(context10(r.t)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) look(site string, epoch, seq uint64, want Result) {
	r.t.Helper()
	got, err := r.Lookup(site, epoch, seq)
	if err != nil {
		r.t.Fatal(err)
	}
	if got[0] != want {
		r.t.Errorf("block %s/%d/%d: %+v, want %+v", site, epoch, seq, got[0], want)
	}
}

func (r *rig) data(number uint64, want []byte) {
	r.t.Helper()
	got, err := r.Data(number)
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		r.t.Errorf("block %d has %d bytes that are not those that came", number, len(got))
	}
}

// within waits for a condition.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come about that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func whole(points int, o buffer.Outcome) Part { return Part{From: 0, To: points, Outcome: o} }

// longForm tells that the tests with a long form run it: `make soak`, but not
// its bounded form.
func longForm() bool {
	word := os.Getenv("EDGEHOLD_SOAK")
	return word != "" && word != "short"
}
