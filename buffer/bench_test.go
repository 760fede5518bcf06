package buffer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// site makes the points of a plausible site: switches with 200 series each,
// polled every 10 s. Counters come as deltas: 39 % traffic, of which a third
// of the ports has any, 48 % errors, nearly all 0, 10.5 % states, and a few
// loads and temperatures.
type site struct {
	random *rand.Rand
	series []*probes.Series
	level  []float64
	now    time.Time
}

const seriesPerDevice = 200

func newSite(n int) *site {
	s := &site{random: rand.New(rand.NewPCG(1, 2)), now: time.UnixMilli(1_767_225_600_000)}
	for i := range n {
		device, of := i/seriesPerDevice, i%seriesPerDevice
		typ, key, level := probes.Count, "com.example.snmp.if.traffic", 0.0
		switch {
		case of < 78 && of/4%3 == 0:
			level = math.Exp(8 + 6*s.random.Float64())
		case of >= 78 && of < 174:
			key = "com.example.snmp.if.errors"
		case of >= 174 && of < 195:
			typ, key, level = probes.Gauge, "com.example.snmp.if.state", float64(1+of%2)
		case of >= 195:
			typ, key, level = probes.Gauge, "com.example.snmp.load", 20+40*s.random.Float64()
		}
		s.series = append(s.series, probes.NewSeries(fmt.Sprintf("%s.%d", key, of%4), typ,
			probes.Dimension{Key: "device.address", Value: fmt.Sprintf("192.0.2.%d", device)},
			probes.Dimension{Key: "device.name", Value: fmt.Sprintf("switch-%d.plant.example", device)},
			probes.Dimension{Key: "if.name", Value: fmt.Sprintf("GigabitEthernet1/0/%d", of/4)}))
		s.level = append(s.level, level)
	}
	return s
}

func (s *site) value(i int) probes.Value {
	of, level := i%seriesPerDevice, s.level[i]
	switch {
	case of < 78 && level > 0:
		return probes.Uint(uint64(level * math.Exp(0.5*s.random.NormFloat64())))
	case of >= 78 && of < 174 && s.random.IntN(100) == 0:
		return probes.Uint(uint64(1 + s.random.IntN(20)))
	case of >= 195:
		return probes.Float(math.Round(10*(level+s.random.NormFloat64())) / 10)
	}
	return probes.Uint(uint64(level))
}

// poll gives one poll of all devices, each with a stamp of its own.
func (s *site) poll() []probes.Point {
	points := make([]probes.Point, len(s.series))
	var stamp probes.Stamp
	for i := range points {
		if i%seriesPerDevice == 0 {
			at := s.now.Add(time.Duration(s.random.Int64N(int64(10 * time.Second))))
			stamp = probes.Stamp{Boot: probes.BootID{1, 2, 3}, Uptime: time.Duration(at.UnixNano() - 1_767_000_000_000_000_000), Wall: at.UnixMilli()}
		}
		points[i] = probes.Point{Series: s.series[i], Value: s.value(i), Stamp: stamp}
	}
	s.now = s.now.Add(10 * time.Second)
	return points
}

const windows = 60 // in each round of a benchmark

// BenchmarkStore appends and drains, one commit for each poll of the site. It
// reports bytes of file in use for each point, names and rounding to whole
// pages included, and points for each second.
func BenchmarkStore(b *testing.B) {
	for _, n := range []int{200, 1000, 2000, 4000, 10_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			for range b.N {
				benchStore(b, n)
			}
		})
	}
}

func benchStore(b *testing.B, n int) {
	site := newSite(n)
	s, err := Open(Options{Path: filepath.Join(b.TempDir(), "buffer.db"), Now: func() time.Time { return site.now }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	empty := s.Stat().UsedBytes
	var appending, draining time.Duration
	for range windows {
		points := site.poll()
		from := time.Now()
		if err := s.Append(context.Background(), points); err != nil {
			b.Fatal(err)
		}
		appending += time.Since(from)
	}
	used := s.Stat().UsedBytes - empty
	from, drained := time.Now(), 0
	for {
		l, err := s.Lease(Query{Max: 1000})
		if err != nil {
			b.Fatal(err)
		}
		if l == nil {
			break
		}
		drained += len(l.Points)
		if err := s.Settle(l, []Settlement{{Outcome: Delivered}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Append(context.Background(), nil); err != nil {
		b.Fatal(err)
	}
	draining = time.Since(from)
	if drained != n*windows {
		b.Fatalf("drained %d of %d points", drained, n*windows)
	}
	report(b, n, used, appending, draining)
}

func report(b *testing.B, n int, used int64, appending, draining time.Duration) {
	points := float64(n * windows)
	b.ReportMetric(float64(used)/points, "disk-B/point")
	b.ReportMetric(points/appending.Seconds(), "append-points/s")
	b.ReportMetric(points/draining.Seconds(), "drain-points/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLines is what the store is measured against: each point as a line
// of text under a key of its own, one commit for each poll.
func BenchmarkLines(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			for range b.N {
				benchLines(b, n)
			}
		})
	}
}

func benchLines(b *testing.B, n int) {
	site := newSite(n)
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "lines.db"), 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: pageSize, InitialMmapSize: 1 << 30,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var appending time.Duration
	next := uint64(0)
	for range windows {
		points := site.poll()
		from := time.Now()
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("lines"))
			if err == nil {
				bucket.FillPercent = 0.9
			}
			for _, p := range points {
				if err == nil {
					err = bucket.Put(number(next), line(p))
				}
				next++
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		appending += time.Since(from)
	}
	used, from := linesUsed(b, db), time.Now()
	for deleted := -1; deleted != 0; {
		deleted = 0
		err := db.Update(func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte("lines")).Cursor()
			for k, _ := c.First(); k != nil && deleted < 1000; k, _ = c.First() {
				if err := c.Delete(); err != nil {
					return err
				}
				deleted++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	report(b, n, used, appending, time.Since(from))
}

func linesUsed(b *testing.B, db *bbolt.DB) (used int64) {
	err := db.View(func(tx *bbolt.Tx) error {
		free := db.Stats()
		used = tx.Size() - int64(free.FreePageN+free.PendingPageN)*pageSize
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return used
}

func line(p probes.Point) []byte {
	out := []byte(p.Series.Key())
	for _, d := range p.Series.Dims() {
		out = fmt.Appendf(out, ",%s=%q", d.Key, d.Value)
	}
	return fmt.Appendf(out, " %v,%v %d", p.Series.Type(), p.Value.Float64(), p.Stamp.Wall)
}

// BenchmarkLanes drains a site as the lanes of the uplink do: whole series of a
// minute, and some series only.
func BenchmarkLanes(b *testing.B) {
	even := func(s *probes.Series) bool { return s.Key()[len(s.Key())-1]%2 == 0 }
	for name, queries := range map[string][]Query{
		"plain": {{Max: 5000}},
		"whole": {{Max: 30_000, Whole: time.Minute}},
		"match": {{Max: 5000, Match: even}, {Max: 5000}},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				benchLanes(b, queries)
			}
		})
	}
}

func benchLanes(b *testing.B, queries []Query) {
	site := newSite(4000)
	s, err := Open(Options{Path: filepath.Join(b.TempDir(), "buffer.db"), Now: func() time.Time { return site.now }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for range 300 {
		if err := s.Append(context.Background(), site.poll()); err != nil {
			b.Fatal(err)
		}
	}
	from, drained := time.Now(), 0
	begin := newSite(0).now
	for i := range 102 * len(queries) { // two minutes at a time, as the newest points are drained
		q := queries[i%len(queries)]
		q.Oldest = begin.Add(time.Duration(i/len(queries)) * 30 * time.Second)
		q.Newest = q.Oldest.Add(2*time.Minute - time.Millisecond)
		for l, err := s.Lease(q); l != nil || err != nil; l, err = s.Lease(q) {
			if err == nil {
				drained += len(l.Points)
				err = s.Settle(l, []Settlement{{Outcome: Delivered}})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if drained != 300*4000 {
		b.Fatalf("drained %d points", drained)
	}
	b.ReportMetric(float64(drained)/time.Since(from).Seconds(), "drain-points/s")
	b.ReportMetric(0, "ns/op")
}
