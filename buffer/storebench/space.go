package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// The workload of a store that only appends: a record a commit in a bucket of
// its own, and each hour of them made one value.
const (
	recordBytes          = 5400
	sealEach             = 60
	step1, step4, step16 = 1 << 20, 4 << 20, 16 << 20
)

// lab is one file of bbolt and what is done to it.
type lab struct {
	disk  disk
	db    *bbolt.DB
	path  string
	next  int
	bytes []byte
	dice  *rand.Rand
	ahead func(l *lab) error // before a commit: makes room
	grown traffic            // of ahead alone
	done  int64              // up to where room was made
}

func newLab(d disk, name string) (*lab, error) {
	l := &lab{disk: d, path: filepath.Join(d.Dir, name), bytes: make([]byte, recordBytes), dice: rand.New(rand.NewSource(1))}
	if err := os.RemoveAll(l.path); err != nil {
		return nil, err
	}
	return l, l.open()
}

func (l *lab) open() (err error) {
	l.db, err = bbolt.Open(l.path, 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: naivePage, InitialMmapSize: 1 << 30,
	})
	if err != nil {
		return err
	}
	l.db.AllocSize = step1
	return l.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte("s"))
		return err
	})
}

func (l *lab) remove() error { return errors.Join(l.db.Close(), os.RemoveAll(l.path)) }

func tailKey(n int) []byte { return binary.BigEndian.AppendUint64([]byte("t"), uint64(n)) }

// commit appends one record; more is done in the same transaction.
func (l *lab) commit(more func(tx *bbolt.Tx) error) error {
	if l.ahead != nil {
		if err := l.ahead(l); err != nil {
			return err
		}
	}
	l.dice.Read(l.bytes)
	err := l.db.Update(func(tx *bbolt.Tx) error {
		if err := put(tx, tailKey(l.next), l.bytes); err != nil {
			return err
		}
		if l.next%sealEach == sealEach-1 {
			if err := seal(tx, l.next-sealEach+1); err != nil {
				return err
			}
		}
		if more != nil {
			return more(tx)
		}
		return nil
	})
	l.next++
	return err
}

type buckets interface {
	CreateBucket(key []byte) (*bbolt.Bucket, error)
}

func put(parent buckets, key, value []byte) error {
	b, err := parent.CreateBucket(key)
	if err != nil {
		return err
	}
	return b.Put([]byte("p"), value)
}

func seal(tx *bbolt.Tx, first int) error {
	var all []byte
	for i := range sealEach {
		k := tailKey(first + i)
		all = append(all, tx.Bucket(k).Get([]byte("p"))...)
		if err := tx.DeleteBucket(k); err != nil {
			return err
		}
	}
	return put(tx.Bucket([]byte("s")), tailKey(first), all)
}

// dropOldest deletes the oldest sealed value.
func dropOldest(tx *bbolt.Tx) error {
	s := tx.Bucket([]byte("s"))
	k, _ := s.Cursor().First()
	return s.DeleteBucket(append([]byte(nil), k...))
}

func (l *lab) commits(n int, more func(tx *bbolt.Tx) error) error {
	for range n {
		if err := l.commit(more); err != nil {
			return err
		}
	}
	return nil
}

// measured counts what fn has the device do, and how long it takes.
func (d disk) measured(fn func() error) (traffic, time.Duration, error) {
	before, err := d.count()
	if err != nil {
		return traffic{}, 0, err
	}
	from := time.Now()
	err = fn()
	spent := time.Since(from)
	after, countErr := d.count()
	return after.minus(before), spent, errors.Join(err, countErr)
}

func spaceCommand(args []string) error {
	var d disk
	flags := flag.NewFlagSet("space", flag.ContinueOnError)
	flags.StringVar(&d.Dir, "dir", "", "folder to measure in")
	flags.StringVar(&d.Device, "device", "", "name of the block device below it")
	why := flags.String("why", "no device was named", "why the device is not measured")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if d.Device == "" {
		return fmt.Errorf("space: counts at a block device: %s", *why)
	}
	for _, part := range []func(disk) error{growth, giveBack, generations, moreFiles} {
		if err := part(d); err != nil {
			return err
		}
	}
	return nil
}

// reserveBy makes room by steps with one of the ways to do it.
func reserveBy(step int64, extend func(f *os.File, from, to int64) error) func(l *lab) error {
	return func(l *lab) error {
		high := int64(0)
		if err := l.db.View(func(tx *bbolt.Tx) error { high = tx.Size(); return nil }); err != nil {
			return err
		}
		const slack = 1 << 20
		if high+slack <= l.done {
			return nil
		}
		f, err := os.OpenFile(l.path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		from := max(l.done, high)
		to := (high + slack + step) / step * step
		cost, _, err := l.disk.measured(func() error { return errors.Join(extend(f, from, to), f.Sync()) })
		l.done = to
		l.grown.Bytes += cost.Bytes
		l.grown.Flushes += cost.Flushes
		return err
	}
}

func allocate(f *os.File, from, to int64) error { return unix.Fallocate(int(f.Fd()), 0, from, to-from) }

func zeros(f *os.File, from, to int64) error {
	block := make([]byte, step1)
	for at := from; at < to; at += step1 {
		if _, err := f.WriteAt(block[:min(step1, to-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// growth compares ways to make room at the end of the file.
func growth(d disk) error {
	const uncounted, counted = 600, 6000
	fmt.Printf("\n### Growing: %d commits of %d bytes, each %d sealed into one value\n\n", counted, recordBytes, sealEach)
	fmt.Print("| room is made by | device B/commit, all | without making room | flushes a commit | file MB | high-water MB |\n|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		name  string
		ahead func(l *lab) error
	}{
		{"bbolt, truncate by 1 MiB", nil},
		{"fallocate by 4 MiB", reserveBy(step4, allocate)},
		{"fallocate by 16 MiB", reserveBy(step16, allocate)},
		{"zeros by 4 MiB", reserveBy(step4, zeros)},
		{"zeros by 16 MiB", reserveBy(step16, zeros)},
	} {
		l, err := newLab(d, "growth.db")
		if err != nil {
			return err
		}
		l.ahead = c.ahead
		if err := l.commits(uncounted, nil); err != nil {
			return err
		}
		l.grown = traffic{}
		cost, _, err := d.measured(func() error { return l.commits(counted, nil) })
		if err != nil {
			return err
		}
		size, err := fileSize(l.path)
		if err != nil {
			return err
		}
		high := int64(0)
		_ = l.db.View(func(tx *bbolt.Tx) error { high = tx.Size(); return nil })
		fmt.Printf("| %s | %.0f | %.0f | %.2f | %.1f | %.1f |\n", c.name, perPoint(cost.Bytes, counted), perPoint(cost.Bytes-l.grown.Bytes, counted),
			perPoint(cost.Flushes, counted), mb(size), mb(high))
		if err := l.remove(); err != nil {
			return err
		}
	}
	return nil
}

// drained is a file of 230 MB of which everything was deleted, and kept bytes
// written after that.
func drained(d disk) (*lab, error) {
	l, err := newLab(d, "drained.db")
	if err != nil {
		return nil, err
	}
	const values = 710
	l.db.NoSync = true
	if err := l.commits(values*sealEach, nil); err != nil {
		return nil, err
	}
	for range values {
		if err := l.db.Update(dropOldest); err != nil {
			return nil, err
		}
	}
	l.db.NoSync = false
	return l, errors.Join(l.commits(2, nil), l.db.Sync())
}

// giveBack compares ways to give space back after a full drain.
func giveBack(d disk) error {
	fmt.Print("\n### Giving back a drained file of 230 MB\n\n")
	fmt.Print("| by | device KB | flushes | ms | file MB after | disk MB after |\n|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		name string
		do   func(l *lab) error
	}{
		{"a fresh file, renamed into place", renew},
		{"punching holes into all free pages", punch},
		{"bbolt's Compact, renamed into place", compact},
	} {
		l, err := drained(d)
		if err != nil {
			return err
		}
		cost, spent, err := d.measured(func() error { return c.do(l) })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(l.path, &st); err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f | %d | %.1f | %.1f | %.2f |\n", c.name, float64(cost.Bytes)/1e3, cost.Flushes, spent.Seconds()*1e3, mb(st.Size), mb(st.Blocks*512))
		if err := l.remove(); err != nil {
			return err
		}
	}
	return nil
}

// replace puts another file in place of the lab's.
func (l *lab) replace(by string) error {
	if err := errors.Join(l.db.Close(), os.Rename(by, l.path)); err != nil {
		return err
	}
	folder, err := os.Open(l.disk.Dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return errors.Join(folder.Sync(), l.open())
}

func renew(l *lab) error {
	fresh, err := newLab(l.disk, "fresh.db")
	if err != nil {
		return err
	}
	for i := range 2 { // what was not drained
		if err := fresh.db.Update(func(tx *bbolt.Tx) error { return put(tx, tailKey(i), l.bytes) }); err != nil {
			return err
		}
	}
	return errors.Join(fresh.db.Close(), l.replace(fresh.path))
}

func compact(l *lab) error {
	to := filepath.Join(l.disk.Dir, "fresh.db")
	_ = os.Remove(to)
	out, err := bbolt.Open(to, 0o600, &bbolt.Options{NoFreelistSync: true, PageSize: naivePage})
	if err != nil {
		return err
	}
	out.AllocSize = step1
	return errors.Join(bbolt.Compact(out, l.db, 4<<20), out.Close(), l.replace(to))
}

func punch(l *lab) error {
	f, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return l.db.View(func(tx *bbolt.Tx) error {
		pages := int(tx.Size() / naivePage)
		for id, from := 2, -1; id <= pages; id++ {
			to := id
			info, err := tx.Page(id)
			if err != nil {
				return err
			}
			free := info != nil && info.Type == "free"
			if free && from < 0 {
				from = id
			}
			if info != nil && !free {
				id += info.OverflowCount
			}
			if free || from < 0 {
				continue
			}
			if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(from)*naivePage, int64(to-from)*naivePage); err != nil {
				return err
			}
			from = -1
		}
		return f.Sync()
	})
}

// generations compares dropping the oldest value of one file with removing the
// oldest of eight files.
func generations(d disk) error {
	const quota, files, counted = 64 << 20, 8, 12_000
	fmt.Printf("\n### At the quota of %d MB, %d commits, the oldest goes\n\n", quota>>20, counted)
	fmt.Print("| layout | device B/commit | flushes a commit | evictions | points lost at once | most on disk MB |\n|---|---|---|---|---|---|\n")
	one, err := newLab(d, "one.db")
	if err != nil {
		return err
	}
	const held = quota / (recordBytes * sealEach) // values
	if err := one.commits(held*sealEach, nil); err != nil {
		return err
	}
	evicted := 0
	cost, _, err := d.measured(func() error {
		return one.commits(counted, func(tx *bbolt.Tx) error {
			if one.next%sealEach != sealEach-1 {
				return nil
			}
			evicted++
			return dropOldest(tx)
		})
	})
	if err != nil {
		return err
	}
	size, _ := fileSize(one.path)
	fmt.Printf("| one file, the oldest value deleted in the commit that seals | %.0f | %.2f | %d | an hour | %.1f |\n",
		perPoint(cost.Bytes, counted), perPoint(cost.Flushes, counted), evicted, mb(size))
	if err := one.remove(); err != nil {
		return err
	}
	return rotated(d, quota/files, counted)
}

func rotated(d disk, each int64, counted int) error {
	const files = 8
	var kept []*lab
	evicted, most := 0, int64(0)
	turn := func() error {
		l, err := newLab(d, fmt.Sprintf("generation-%d.db", evicted+len(kept)))
		if err != nil {
			return err
		}
		if err := putNames(l, make([]byte, 20<<10)); err != nil { // the names of 10,000 series
			return err
		}
		kept = append(kept, l)
		if len(kept) <= files {
			return nil
		}
		evicted++
		oldest := kept[0]
		kept = kept[1:]
		return oldest.remove()
	}
	run := func(n int) error {
		for range n {
			if len(kept) == 0 || kept[len(kept)-1].full(each) {
				if err := turn(); err != nil {
					return err
				}
			}
			if err := kept[len(kept)-1].commit(nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(files * int(each) / recordBytes); err != nil {
		return err
	}
	evicted = 0
	cost, _, err := d.measured(func() error { return run(counted) })
	if err != nil {
		return err
	}
	for _, l := range kept {
		size, _ := fileSize(l.path)
		most += size
		if err := l.remove(); err != nil {
			return err
		}
	}
	fmt.Printf("| 8 files, the oldest removed | %.0f | %.2f | %d | an eighth of all | %.1f |\n", perPoint(cost.Bytes, counted), perPoint(cost.Flushes, counted), evicted, mb(most))
	return nil
}

func putNames(l *lab, names []byte) error {
	return l.db.Update(func(tx *bbolt.Tx) error { return put(tx, []byte("names"), names) })
}

func (l *lab) full(bytes int64) bool {
	high := int64(0)
	_ = l.db.View(func(tx *bbolt.Tx) error { high = tx.Size(); return nil })
	return high+(1<<20) > bytes
}

// moreFiles is what each file costs by being there.
func moreFiles(d disk) error {
	const n = 8
	var labs []*lab
	before := heap()
	cost, _, err := d.measured(func() error {
		for i := range n {
			l, err := newLab(d, fmt.Sprintf("more-%d.db", i))
			if err != nil {
				return err
			}
			labs = append(labs, l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("\nEach further file costs %.1f KB written and %.1f flushes when it is made, %.1f KB of heap while it is open.\n",
		float64(cost.Bytes)/n/1e3, float64(cost.Flushes)/n, float64(heap()-before)/n/1e3)
	var size unix.Stat_t
	if err := unix.Stat(labs[0].path, &size); err != nil {
		return err
	}
	fmt.Printf("It takes %d KB of the disk while it is empty.\n", size.Blocks/2)
	for _, l := range labs {
		if err := l.remove(); err != nil {
			return err
		}
	}
	return nil
}

// heap is the bytes of live objects.
func heap() int64 {
	runtime.GC()
	var st runtime.MemStats
	runtime.ReadMemStats(&st)
	return int64(st.HeapAlloc)
}
