package custody

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// TestRestartAtEveryPoint takes the file as it lies after each commit, as a
// kill would leave it, and starts with it.
func TestRestartAtEveryPoint(t *testing.T) {
	for _, mode := range []Mode{Archive, Logs, Drop} {
		r := start(t, func(o *Options) { o.Late = mode })
		late := mode != Drop
		steps := []func(){
			func() { r.put(r.block("a", 7, 1, 10), Stored) },
			func() { b := r.block("a", 7, 2, 10); b.Names = []byte("names"); r.put(b, Stored) },
			func() { r.put(r.block("b", 8, 5, 3), Stored) },
			func() { r.settle(r.only("a", false), Part{From: 0, To: 5, Outcome: buffer.Delivered}) },
			func() { r.settle(r.only("a", false), Part{From: 5, To: 10, Outcome: buffer.Refused}) },
			func() { r.Recall(r.only("a", false)) },
			func() { r.put(r.block("a", 7, 2, 10), Stored) },
			func() { r.Forget("a", 7, 2) },
			func() { r.clock.add(2 * time.Hour) },
			func() {
				if late {
					r.settle(r.only("b", true), whole(3, buffer.Logged))
				}
			},
			func() { _, _ = r.Purge(context10(t), Purge{All: true}) },
		}
		for i, step := range steps {
			step()
			r.flush()
			r.atRest(i)
		}
	}
}

// atRest opens a copy of the file.
func (r *rig) atRest(step int) {
	r.t.Helper()
	file, err := os.ReadFile(r.o.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	other := &rig{t: r.t, o: r.o, clock: r.clock}
	other.o.Path = filepath.Join(r.t.TempDir(), "copy.db")
	if err := os.WriteFile(other.o.Path, file, 0o600); err != nil {
		r.t.Fatal(err)
	}
	other.open()
	other.verify()
	if a, b := r.Account(), other.Account(); a != b {
		r.t.Errorf("step %d: account %+v, the copy has %+v", step, a, b)
	}
	for _, k := range []modelKey{{"a", 7, 1}, {"a", 7, 2}, {"b", 8, 5}} {
		want, err := r.Lookup(k.site, k.epoch, k.seq)
		if err != nil {
			r.t.Fatal(err)
		}
		other.look(k.site, k.epoch, k.seq, want[0])
	}
	if err := other.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// FuzzEntry has each entry and epoch that is taken be the same when it is
// written and read again.
func FuzzEntry(f *testing.F) {
	e := entry{number: 5, site: "a", epoch: 7, seq: 9, kind: 1, lane: 2, points: 10, size: 3, first: -1, last: 5, settled: set{{1, 3}, {5, 6}}}
	f.Add(e.encode())
	x := epochState{floor: 3, received: set{{3, 9}}, finished: set{{4, 5}, {7, 8}}}
	f.Add(x.encode())
	f.Fuzz(func(t *testing.T, content []byte) {
		key := numberKey(5)
		if e, err := decodeEntry(key, seal(key, content)); err == nil {
			again, err := decodeEntry(key, seal(key, e.encode()))
			if err != nil || string(again.encode()) != string(e.encode()) || again.open() != e.open() || e.open() < 0 || again.site != e.site {
				t.Fatalf("%+v is %+v: %v", e, again, err)
			}
		}
		if x, err := decodeEpoch(key, seal(key, content)); err == nil {
			again, err := decodeEpoch(key, seal(key, x.encode()))
			if err != nil || string(again.encode()) != string(x.encode()) || again.received.count() != x.received.count() {
				t.Fatalf("%+v is %+v: %v", x, again, err)
			}
		}
	})
}

// TestSet holds sets against a map.
func TestSet(t *testing.T) {
	var s set
	plain := make(map[uint64]bool)
	n := uint64(12345)
	for range 2000 {
		n = n*6364136223846793005 + 1442695040888963407
		x := run{n >> 33 % 300, n>>33%300 + n>>20%7}
		switch {
		case n>>50%10 > 0:
			s = s.add(x)
			for i := x.from; i < x.to; i++ {
				plain[i] = true
			}
		default:
			low := n >> 40 % 40
			s = s.below(low)
			for i := range low {
				delete(plain, i)
			}
		}
		free := s.free(run{20, 280})
		for i := range uint64(310) {
			if s.has(i) != plain[i] || free.has(i) != (i >= 20 && i < 280 && !plain[i]) {
				t.Fatalf("%d: %v, free %v", i, s, free)
			}
		}
		again, rest, err := cutSet(s.appendTo(nil))
		if err != nil || len(rest) > 0 || s.count() != int64(len(plain)) || again.count() != s.count() {
			t.Fatal(s, again, err)
		}
	}
}
