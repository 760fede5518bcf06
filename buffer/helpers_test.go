package buffer

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// wall is a clock that tests turn by hand.
type wall struct {
	mu sync.Mutex
	t  time.Time
}

func newWall() *wall { return &wall{t: time.UnixMilli(1_767_225_600_000)} }

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

// rig is a store in a folder of its own, with a clock.
type rig struct {
	*Store
	t     testing.TB
	o     Options
	clock *wall

	leases int
}

// start opens a store that commits every batch. When the test ends, the file
// must agree with its account.
func start(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	clock := newWall()
	o := Options{Path: filepath.Join(t.TempDir(), "buffer.db"), MaxSize: 64 << 20, Now: clock.now}
	if change != nil {
		change(&o)
	}
	r := &rig{t: t, o: o, clock: clock}
	r.open()
	t.Cleanup(func() {
		r.verify()
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
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

func (r *rig) verify() {
	r.t.Helper()
	if a, err := r.Verify(); err != nil {
		r.t.Errorf("%v\naccount %+v", err, a)
	}
}

// reopen is a planned stop and a start.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *rig) append(points ...probes.Point) {
	r.t.Helper()
	if err := r.Append(context.Background(), points); err != nil {
		r.t.Fatal(err)
	}
}

// flush waits for a commit.
func (r *rig) flush() {
	r.t.Helper()
	r.append()
}

// fromFile makes the next lease read the file, also what was written just now.
func (r *rig) fromFile() {
	h := &r.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent = recent{}
}

// lease takes what is in memory and what is in the file by turns.
func (r *rig) lease(n int) *Lease {
	r.t.Helper()
	if r.leases++; r.leases%2 == 0 {
		r.fromFile()
	}
	l, err := r.Lease(Query{Max: n})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func (r *rig) settle(l *Lease, each ...Settlement) {
	r.t.Helper()
	if err := r.Settle(l, each); err != nil {
		r.t.Fatal(err)
	}
}

// account checks what the account says, at once and in the file.
func (r *rig) account(want Account) {
	r.t.Helper()
	want.LateArchived = want.Late - want.LateLogged - want.LateDropped - want.LateElsewhere
	if got := r.Account(); got != want {
		r.t.Fatalf("account\n got %+v\nwant %+v", got, want)
	}
	r.verify()
}

func (r *rig) expectNone(q Query) {
	r.t.Helper()
	l, err := r.Lease(q)
	if err != nil || l != nil {
		r.t.Fatalf("leased %+v, %v, want nothing", l, err)
	}
}

func series(n int) *probes.Series {
	return probes.NewSeries("test.value", probes.Gauge, probes.Dimension{Key: "n", Value: fmt.Sprint(n)})
}

// points are n points of now; the value of each is its number from first on.
func (r *rig) points(first, n int) []probes.Point {
	now := r.clock.now()
	var of [50]*probes.Series
	for i := range of {
		of[i] = series(i)
	}
	out := make([]probes.Point, n)
	for i := range out {
		out[i] = probes.Point{
			Series: of[i%len(of)],
			Value:  probes.Uint(uint64(first + i)),
			Stamp:  probes.Stamp{Boot: probes.BootID{7}, Uptime: time.Duration(now.UnixNano()), Wall: now.UnixMilli()},
		}
	}
	return out
}

// values are the numbers of points made by points.
func values(l *Lease) []int {
	if l == nil {
		return nil
	}
	var out []int
	for _, p := range l.Points {
		out = append(out, int(p.Value.Uint64()))
	}
	return out
}

func sequence(first, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = first + i
	}
	return out
}

// within waits for a condition.
func within(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// tamper changes the file of a closed store.
func (r *rig) tamper(fn func(tx *bbolt.Tx) error) {
	r.t.Helper()
	db, err := bbolt.Open(r.o.Path, 0o600, &bbolt.Options{NoFreelistSync: true, PageSize: pageSize})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := db.Update(fn); err != nil {
		r.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		r.t.Fatal(err)
	}
}
