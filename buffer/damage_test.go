package buffer

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// truth is what a file holds, read while it was whole.
type truth struct {
	bytes    []byte
	records  map[uint64]*known
	names    map[uint32][][]byte // by fingerprint of the dictionary: frames of its blocks
	marks    [][]byte
	ledger   []byte   // its frame
	letters  []string // lines
	accepted int64
}

// known is one record: its frame, those of the records before it in its
// segment, and the state of each of its points, which are told by their
// values.
type known struct {
	needs  [][]byte
	places []int // where the frames are in use, as there may be older copies; -1: not known
	names  [][]byte
	mark   []byte
	states map[uint64]PointState
}

const entryBase = 1 << 40 // numbers of entries begin here

func learn(t testing.TB, path string) *truth {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	w := &truth{bytes: all, records: make(map[uint64]*known), names: make(map[uint32][][]byte), accepted: r.Account().Accepted}
	if err := r.v.view(func(tx *bbolt.Tx) error { return w.frames(tx, r.v.db.Info().Data) }); err != nil {
		t.Fatal(err)
	}
	err = r.Read(context.Background(), Selection{Settled: true}, func(p Page) error {
		k := w.records[p.Record]
		for i, x := range p.Points {
			k.states[valueOf(x)] = p.State[i]
		}
		for i, e := range p.Entries {
			k.states[numberOf(t, e)] = p.State[i]
		}
		return nil
	})
	if err == nil {
		err = r.DeadLetters(func(x Letter) error { w.letters = append(w.letters, x.Line); return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func valueOf(p probes.Point) uint64 { return p.Value.Uint64() & (1<<20 - 1) }

func numberOf(t testing.TB, e Entry) uint64 {
	t.Helper()
	var n uint64
	if _, err := fmt.Sscanf(string(e.Data), "entry %d", &n); err != nil {
		t.Errorf("entry %.50q: %v", e.Data, err)
	}
	return entryBase + n
}

// frames notes the frames that each record needs.
func (w *truth) frames(tx *bbolt.Tx, base uintptr) error {
	var chain [][]byte
	for _, name := range [][]byte{bucketNames, bucketNamesCopy} {
		err := tx.Bucket(name).ForEach(func(_, value []byte) error {
			if bytes.Equal(name, bucketNames) {
				body, err := openFrame(frameNames, value)
				if err != nil {
					return err
				}
				_, content, err := splitKeyed(body)
				chain = append(chain, bytes.Clone(value))
				w.names[fingerprint(content)] = slices.Clone(chain)
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	w.ledger = bytes.Clone(tx.Bucket(bucketLedger).Get(keyLedger))
	var before *known
	return records(tx, 0, func(r record) (bool, error) {
		k := &known{states: make(map[uint64]PointState), mark: bytes.Clone(tx.Bucket(bucketMarks).Get(number(r.number())))}
		if k.mark != nil {
			w.marks = append(w.marks, k.mark)
		}
		if r.index > 0 {
			k.needs, k.places, k.names = slices.Clone(before.needs), slices.Clone(before.places), before.names
		}
		if r.hasNames {
			k.names = w.names[r.names]
		}
		k.needs = append(k.needs, appendRecord(nil, r))
		place := int(uintptr(unsafe.Pointer(unsafe.SliceData(r.frame.body)))-base) + len(r.frame.body) - r.frame.size
		if place < 0 || place >= len(w.bytes) { // bbolt has made a copy, for alignment
			place = -1
		}
		k.places = append(k.places, place)
		w.records[r.number()], before = k, k
		return true, nil
	})
}

// expect tells which numbers must be found in a damaged file, and which may.
// In a file that is used on, older copies of records do not count.
func (w *truth) expect(damaged []byte, inPlace bool) (must, may map[uint64]bool) {
	whole := func(frames [][]byte) bool {
		return !slices.ContainsFunc(frames, func(f []byte) bool { return !bytes.Contains(damaged, f) })
	}
	must, may = make(map[uint64]bool), make(map[uint64]bool)
	ledger := bytes.Contains(damaged, w.ledger)
	for _, k := range w.records {
		intact := whole(k.needs) && whole(k.names)
		for i, at := range k.places {
			switch {
			case !inPlace || !intact:
			case at < 0:
				intact = bytes.Count(damaged, k.needs[i]) == bytes.Count(w.bytes, k.needs[i])
			default:
				intact = bytes.HasPrefix(damaged[min(at, len(damaged)):], k.needs[i])
			}
		}
		marked := k.mark == nil || bytes.Contains(damaged, k.mark)
		for n, s := range k.states {
			may[n] = s != Settled || !ledger || !marked
			must[n] = s != Settled && intact && marked
		}
	}
	return must, may
}

// shapes are files of different kinds. None has late points: those cannot be
// leased.
func shapes(t testing.TB) map[string]*truth {
	t.Helper()
	out := make(map[string]*truth)
	for name, fill := range map[string]func(r *rig, tick func()){
		"tail": func(r *rig, tick func()) {
			for i := range 8 {
				r.append(r.noise(i*500, 500)...)
				tick()
			}
		},
		"chunks": func(r *rig, tick func()) {
			for i := range 45 {
				r.append(r.noise(i*2000, 2000)...)
				tick()
				if i%17 == 16 {
					r.reopen()
				}
			}
		},
		"small": func(r *rig, tick func()) {
			for i := range 300 {
				r.append(r.points(i*3, 3)...)
				tick()
				if i%90 == 89 {
					r.reopen()
				}
			}
		},
		"marks": func(r *rig, tick func()) {
			for i := range 40 {
				r.append(r.noise(i*100, 100)...)
				tick()
			}
			r.settle(r.lease(950), Settlement{Outcome: Delivered})
			r.flush()
			l := r.lease(1000)
			each := make([]Settlement, len(l.at))
			for i := range each {
				each[i].Outcome = []Outcome{Delivered, Later, Later}[i%3]
			}
			r.settle(l, each...)
			r.flush()
		},
		"letters": func(r *rig, tick func()) {
			for i := range 20 {
				r.append(r.noise(i*100, 100)...)
				r.enter(r.entry(fmt.Sprintf("entry %d %s", i, strings.Repeat("x", i*50))))
				l := r.lease(20)
				each := make([]Settlement, len(l.at))
				for j := range each {
					each[j] = Settlement{Outcome: Refused, Line: fmt.Sprint("line ", i, j), Reason: "because"}
				}
				r.settle(l, each...)
				tick()
			}
			r.flush()
		},
		"names": func(r *rig, tick func()) {
			for i := range 30 {
				points := r.noise(i*50, 50)
				for j := range points {
					points[j].Series = probes.NewSeries("test.value", probes.Gauge,
						probes.Dimension{Key: "n", Value: fmt.Sprint(i/3, "-", j)}, probes.Dimension{Key: "more", Value: strings.Repeat("y", i)})
				}
				r.append(points...)
				tick()
			}
		},
	} {
		r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
		fill(r, func() { r.clock.add(time.Second) })
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		out[name] = learn(t, r.o.Path)
		r.open()
	}
	return out
}

// damages are the ways in which files are damaged. Offsets are within the
// pages that are in use; old is an earlier state of the file.
var damages = map[string]func(rnd *rand.Rand, b []byte, used int) []byte{
	"bit": func(rnd *rand.Rand, b []byte, used int) []byte {
		b[rnd.IntN(used)] ^= 1 << rnd.IntN(8)
		return b
	},
	"bit in a page head": func(rnd *rand.Rand, b []byte, used int) []byte {
		b[rnd.IntN(used/pageSize)*pageSize+rnd.IntN(64)] ^= 1 << rnd.IntN(8)
		return b
	},
	"bits": func(rnd *rand.Rand, b []byte, used int) []byte {
		for range 1 + rnd.IntN(50) {
			b[rnd.IntN(used)] ^= 1 << rnd.IntN(8)
		}
		return b
	},
	"lost page": func(rnd *rand.Rand, b []byte, used int) []byte {
		clear(page(rnd, b, used))
		return b
	},
	"lost pages": func(rnd *rand.Rand, b []byte, used int) []byte {
		for range 1 + rnd.IntN(20) {
			clear(page(rnd, b, used))
		}
		return b
	},
	"random page": func(rnd *rand.Rand, b []byte, used int) []byte {
		for p := page(rnd, b, used); len(p) > 0; p = p[1:] {
			p[0] = byte(rnd.Uint32())
		}
		return b
	},
	"random sector": func(rnd *rand.Rand, b []byte, used int) []byte {
		at := rnd.IntN(used/512) * 512
		for i := range b[at : at+512] {
			b[at+i] = byte(rnd.Uint32())
		}
		return b
	},
	"stale page": func(rnd *rand.Rand, b []byte, used int) []byte { // of another place, under the right number
		p := page(rnd, b, used)
		id := slices.Clone(p[:8])
		copy(p, page(rnd, b, used))
		copy(p, id)
		return b
	},
	"swapped pages": func(rnd *rand.Rand, b []byte, used int) []byte {
		p, q := page(rnd, b, used), page(rnd, b, used)
		saved := slices.Clone(p)
		copy(p, q)
		copy(q, saved)
		return b
	},
	"cut off": func(rnd *rand.Rand, b []byte, used int) []byte { return b[:rnd.IntN(used)] },
	"first meta page": func(rnd *rand.Rand, b []byte, used int) []byte {
		clear(b[:pageSize])
		return b
	},
	"second meta page": func(rnd *rand.Rand, b []byte, used int) []byte {
		clear(b[pageSize : 2*pageSize])
		return b
	},
	"both meta pages": func(rnd *rand.Rand, b []byte, used int) []byte {
		clear(b[:2*pageSize])
		return b
	},
	"zeros": func(rnd *rand.Rand, b []byte, used int) []byte { clear(b); return b },
	"junk": func(rnd *rand.Rand, b []byte, used int) []byte {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b[:1+rnd.IntN(used)]
	},
}

func page(rnd *rand.Rand, b []byte, used int) []byte {
	at := rnd.IntN(used/pageSize) * pageSize
	return b[at : at+pageSize]
}

// rare are damages that have few outcomes.
var rare = []string{"first meta page", "second meta page", "both meta pages", "zeros", "junk"}

// TestDamagedFiles opens damaged files: a panic or a fault that gets out, or a
// point that is whole in the file and does not come back, is a failure.
func TestDamagedFiles(t *testing.T) {
	all := shapes(t)
	names, kinds := slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(damages))
	files := 150
	if os.Getenv("EDGEHOLD_SOAK") != "" {
		files = 1000
	}
	done := make(map[string]int)
	for seed := 0; seed < files; seed++ {
		rnd := rand.New(rand.NewPCG(uint64(seed), 99))
		kind := kinds[seed%len(kinds)]
		if slices.Contains(rare, kind) && done[kind] >= 2*len(names) {
			kind = []string{"bit", "lost page", "stale page", "swapped pages", "bit in a page head"}[rnd.IntN(5)]
		}
		shape := names[(seed/len(kinds)+seed)%len(names)]
		done[kind]++
		t.Run(fmt.Sprintf("%d %s of %s", seed, kind, shape), func(t *testing.T) {
			w := all[shape]
			used := bytes.LastIndexFunc(w.bytes, func(r rune) bool { return r != 0 })/pageSize*pageSize + pageSize
			damaged := damages[kind](rnd, bytes.Clone(w.bytes), used)
			w.open(t, damaged)
		})
	}
}

// open opens the damaged file and checks all that must hold.
func (w *truth) open(t *testing.T, damaged []byte) {
	clock := newWall()
	clock.add(10 * time.Minute)
	o := Options{Path: filepath.Join(t.TempDir(), "buffer.db"), MaxSize: 16 << 20, Now: clock.now}
	if err := os.WriteFile(o.Path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Store: s, t: t, o: o, clock: clock}
	defer func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	most := 1 // times that a point may come
	if s.Stat().Salvage == nil {
		most = 2 // damage that is found later undoes what was settled since the last commit
	}
	const fresh = 1 << 19 // a number that no shape has
	r.append(r.points(fresh, 100)...)

	got := make(map[uint64]int)
	r.collect(got)
	if st := s.Stat().Salvage; st != nil {
		r.salvaged()
		r.collect(got)
	}
	inPlace := s.Stat().Salvage == nil
	if inPlace {
		most = 1
	}
	must, may := w.expect(damaged, inPlace)
	for n := range uint64(100) {
		must[fresh+n], may[fresh+n] = true, true
	}
	for n := range must {
		if must[n] && got[n] == 0 {
			t.Errorf("point %d is whole in the file, but it does not come back", n)
			break
		}
	}
	for n, times := range got {
		if !may[n] || times > most {
			t.Errorf("point %d came back %d times, it is %v to be there", n, times, may[n])
			break
		}
	}
	a := s.Account()
	if err := a.Check(); err != nil {
		t.Error(err)
	}
	marked := !slices.ContainsFunc(w.marks, func(f []byte) bool { return !bytes.Contains(damaged, f) })
	if bytes.Contains(damaged, w.ledger) && (a.Accepted < w.accepted+100 || a.Accepted > w.accepted+100 && marked) {
		t.Errorf("account %+v, accepted were %d", a, w.accepted+100)
	}
	r.verify()
	if t.Failed() {
		t.Logf("account %+v, salvage %+v", a, s.Stat().Salvage)
	}
}

// collect leases all there is, settles it, and counts each number.
func (r *rig) collect(got map[uint64]int) {
	r.t.Helper()
	for idle := 0; idle < 2; {
		n := 0
		for _, q := range []Query{{Max: 50_000}, {Max: 1000, Entries: true}} {
			l, err := r.Lease(q)
			if err != nil {
				r.t.Fatal(err)
			}
			if l == nil {
				continue
			}
			n++
			for _, p := range l.Points {
				got[valueOf(p)]++
			}
			for _, e := range l.Entries {
				got[numberOf(r.t, e)]++
			}
			r.settle(l, Settlement{Outcome: Delivered})
		}
		if idle++; n > 0 {
			idle = 0
		}
		r.flush()
	}
}
