package custody

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/buffer"
)

// BenchmarkPut has 64 sites put blocks at once, each waiting for its result,
// with the disk's fsync. What was put is settled, as a drain does.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10, 64 << 10} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, writers), func(b *testing.B) { benchPut(b, size, writers) })
		}
	}
}

func benchPut(b *testing.B, size, writers int) {
	r := start(b, func(o *Options) { o.MaxSize, o.Now = 2<<30, time.Now })
	data := content("a", 1, 1, size)
	var seq atomic.Uint64
	b.SetBytes(int64(size))
	b.SetParallelism((writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	if writers == 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		n := uint64(0)
		site := fmt.Sprintf("site-%d", seq.Add(1))
		for pb.Next() {
			n++
			block := Block{Site: site, Epoch: 1, Seq: n, Kind: KindPoints, Lane: 1, Points: 1000, First: 1, Last: time.Now().UnixMilli(), Data: data}
			if got, err := r.Put(block).Wait(context.Background()); err != nil || got.Status != Stored {
				b.Error(got, err)
				return
			}
			if x, ok := r.Next(site, Query{KindPoints, 1, false}, 0); ok && r.Hold(x.Number) {
				_ = r.Settle(x.Number, []Part{whole(1000, buffer.Delivered)})
				r.Release(x.Number)
			}
		}
	})
	b.StopTimer()
	st := r.Stat()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
	b.ReportMetric(float64(b.N)/float64(max(1, st.Commits)), "blocks/commit")
	b.ReportMetric(float64(st.FileBytes), "file-B")
}

// BenchmarkOpen opens a file with 100,000 open blocks of 1,000 sites, and
// tells what they take of the memory.
func BenchmarkOpen(b *testing.B) {
	const open, sites = 100_000, 1000
	o := Options{Path: filepath.Join(b.TempDir(), "relay.db"), MaxSize: 4 << 30, SiteQuota: 1 << 30}
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	s.vol.db.NoSync = true // of the filling only
	data := content("a", 1, 1, 4000)
	var last *Ticket
	for i := range open {
		last = s.Put(Block{Site: fmt.Sprintf("site-%04d", i%sites), Epoch: 1, Seq: uint64(i/sites) + 1, Kind: KindPoints, Lane: 1, Points: 100, First: 1, Last: time.Now().UnixMilli(), Data: data})
		if i%1000 == 999 {
			if got, err := last.Wait(context.Background()); err != nil || got.Status != Stored {
				b.Fatal(got, err)
			}
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	s = nil
	b.ResetTimer()
	for range b.N {
		before := heap()
		s, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/open, "B/block")
		if n := s.Stat().Blocks; n != open {
			b.Fatal(n)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
