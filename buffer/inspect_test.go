package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// pageOf finds in the root the page of a bucket, and where its number lies.
func pageOf(t testing.TB, b []byte, bucket string) (id uint64, at int) {
	t.Helper()
	p := pages{f: bytes.NewReader(b), size: int64(len(b))}
	if err := p.findMeta(); err != nil {
		t.Fatal(err)
	}
	root := int(p.root) * pageSize
	for i := range int(binary.NativeEndian.Uint16(b[root+10:])) {
		e := root + pageHead + i*pageElement
		key := e + int(binary.NativeEndian.Uint32(b[e+4:]))
		if end := key + int(binary.NativeEndian.Uint32(b[e+8:])); string(b[key:end]) == bucket {
			return binary.NativeEndian.Uint64(b[end:]), end
		}
	}
	t.Fatalf("no bucket %q", bucket)
	return 0, 0
}

func putPage(b []byte, id uint64, flags, count uint16) []byte {
	p := b[id*pageSize : (id+1)*pageSize]
	clear(p)
	binary.NativeEndian.PutUint64(p, id)
	binary.NativeEndian.PutUint16(p[8:], flags)
	binary.NativeEndian.PutUint16(p[10:], count)
	return p
}

// tangles are files whose pages are each whole, but refer to each other in a
// way that no walk must follow.
var tangles = map[string]func(t testing.TB, b []byte) []byte{
	"bucket refers to the page it lies in": func(t testing.TB, b []byte) []byte {
		_, at := pageOf(t, b, "chunks")
		binary.NativeEndian.PutUint64(b[at:], uint64(at/pageSize))
		return b
	},
	"two buckets have one page": func(t testing.TB, b []byte) []byte {
		id, _ := pageOf(t, b, "names")
		_, at := pageOf(t, b, "names-copy")
		binary.NativeEndian.PutUint64(b[at:], id)
		return b
	},
	"bucket is beyond the end": func(t testing.TB, b []byte) []byte {
		_, at := pageOf(t, b, "chunks")
		binary.NativeEndian.PutUint64(b[at:], 1<<40)
		return b
	},
	"bucket is a meta page": func(t testing.TB, b []byte) []byte {
		_, at := pageOf(t, b, "chunks")
		binary.NativeEndian.PutUint64(b[at:], 1)
		return b
	},
	"branch refers to itself": func(t testing.TB, b []byte) []byte {
		id, _ := pageOf(t, b, "chunks")
		p := putPage(b, id, pageBranch, 1)
		binary.NativeEndian.PutUint32(p[pageHead:], pageElement)
		binary.NativeEndian.PutUint32(p[pageHead+4:], 1)
		binary.NativeEndian.PutUint64(p[pageHead+8:], id)
		p[pageHead+pageElement] = 'k'
		return b
	},
	"branch has no elements": func(t testing.TB, b []byte) []byte {
		id, _ := pageOf(t, b, "chunks")
		putPage(b, id, pageBranch, 0)
		return b
	},
	"page goes on to the end of numbers": func(t testing.TB, b []byte) []byte {
		id, _ := pageOf(t, b, "chunks")
		binary.NativeEndian.PutUint32(b[id*pageSize+12:], 1<<32-1)
		return b
	},
	"key is beyond its page": func(t testing.TB, b []byte) []byte {
		id, _ := pageOf(t, b, "names")
		binary.NativeEndian.PutUint32(b[id*pageSize+pageHead+4:], 1<<31)
		return b
	},
	"more elements than the page holds": func(t testing.TB, b []byte) []byte {
		id, _ := pageOf(t, b, "names")
		binary.NativeEndian.PutUint16(b[id*pageSize+10:], 1<<16-1)
		return b
	},
	"a file of another kind of pages": func(t testing.TB, b []byte) []byte { return b[:2*pageSize+1] },
}

func TestTangledPages(t *testing.T) {
	r := start(t, nil)
	for i := range 100 {
		r.append(r.noise(i*300, 300)...)
		r.clock.add(time.Second)
	}
	wide := r.noise(30_000, 50) // whose names fill pages of their own
	for i := range wide {
		random := rand.New(rand.NewPCG(uint64(i), 3))
		wide[i].Series = probes.NewSeries("test.value", probes.Gauge, probes.Dimension{Key: "n", Value: fmt.Sprintf("%x", random.Perm(300))})
	}
	r.append(wide...)
	whole, err := os.ReadFile(r.o.Path + r.copyOf("copy"))
	if err != nil {
		t.Fatal(err)
	}
	if err := inspectTree(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Fatalf("a file that is whole: %v", err)
	}
	for name, tangle := range tangles {
		t.Run(name, func(t *testing.T) {
			b := tangle(t, bytes.Clone(whole))
			if err := inspectTree(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrPages) {
				t.Fatalf("inspected: %v", err)
			}
			o := r.o
			o.Path = filepath.Join(t.TempDir(), "buffer.db")
			if err := os.WriteFile(o.Path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenReader(o.Path); err == nil {
				t.Error("a reader opened it")
			}
			own := &rig{t: t, o: o, clock: r.clock}
			own.open()
			own.salvaged()
			own.verify()
			if a := own.Account(); len(b) == len(whole) && a.Accepted != 30_050 {
				t.Errorf("account %+v", a)
			}
			if err := own.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBranchKeys has a key in a branch that is in order, but not the first one
// of its page: bbolt reads that well, and destroys the tree when it writes.
func TestBranchKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tree.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		for i := range 2000 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "key%05d", i*10), make([]byte, 50)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := inspectTree(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Fatalf("a tree that is whole: %v", err)
	}
	id, _ := pageOf(t, whole, "b")
	b := whole[id*pageSize : (id+1)*pageSize]
	if binary.NativeEndian.Uint16(b[8:]) != pageBranch {
		t.Fatal("the tree has no branch")
	}
	e := pageHead + 2*pageElement
	b[e+int(binary.NativeEndian.Uint32(b[e:])+binary.NativeEndian.Uint32(b[e+4:]))-1]-- // the last byte of its key
	if err := inspectTree(bytes.NewReader(whole), int64(len(whole))); !errors.Is(err, ErrPages) {
		t.Errorf("got %v", err)
	}
}

// FuzzFile mutates a small file. Opening it must not panic, hang or leave an
// account that does not add up.
func FuzzFile(f *testing.F) {
	r := start(f, nil)
	r.append(r.points(0, 100)...)
	r.enter(r.entry("entry 1"))
	r.settle(r.lease(30), Settlement{Outcome: Delivered})
	r.settle(r.lease(5), Settlement{Outcome: Refused, Line: "line", Reason: "reason"})
	r.flush()
	whole, err := os.ReadFile(r.o.Path + r.copyOf("copy"))
	if err != nil {
		f.Fatal(err)
	}
	whole = bytes.TrimRight(whole, "\x00")
	f.Add(uint32(0), []byte{})
	f.Add(uint32(pageSize+20), []byte{1, 2, 3})
	f.Add(uint32(2*pageSize+8), []byte{1})
	f.Add(uint32(len(whole)), []byte("EhR1\x05"))
	f.Add(uint32(1<<31), []byte("not a buffer at all"))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := append(bytes.Clone(whole), make([]byte, pageSize-len(whole)%pageSize)...)
		switch {
		case at >= 1<<31:
			b = patch // not of the file
		case at%8 == 7:
			b = b[:min(int(at), len(b))]
		default:
			copy(b[min(int(at), len(b)):], patch)
		}
		o := Options{Path: filepath.Join(t.TempDir(), "buffer.db"), MaxSize: leastMaxSize, Now: r.clock.now}
		if err := os.WriteFile(o.Path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(o)
		if errors.Is(err, errForeign) || errors.Is(err, errNewer) || errors.Is(err, errOlder) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		own := &rig{Store: s, t: t, o: o, clock: r.clock}
		own.append(own.points(1000, 10)...)
		if s.Stat().Salvage != nil {
			own.salvaged()
		}
		if a := s.Account(); a.Check() != nil || a.Accepted < 10 {
			t.Errorf("account %+v", a)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
