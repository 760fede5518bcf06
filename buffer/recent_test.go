package buffer

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/probes"
)

// recents are the records whose points are kept from their commit on.
func (r *rig) recents() (records, points int) {
	h := &r.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.recent.groups), h.recent.points
}

// decoders tells how many of the cursors have unpacked something.
func (r *rig) decoders() (n int) {
	h := &r.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.cursors {
		if c.next > 0 {
			n++
		}
	}
	return n
}

// TestFreshPointsAreNotUnpacked holds that where all goes well no decoder
// remembers every series.
func TestFreshPointsAreNotUnpacked(t *testing.T) {
	r := start(t, nil)
	for i := range 20 {
		r.append(r.points(i, 50)...)
		l, err := r.Lease(Query{Max: 1000})
		if err != nil || l.len() != 50 {
			t.Fatalf("round %d: leased %d points, %v", i, l.len(), err)
		}
		r.settle(l, Settlement{Outcome: Delivered})
		r.flush()
		if n := r.decoders(); n != 0 {
			t.Fatalf("round %d: %d decoders are in use", i, n)
		}
		if records, points := r.recents(); records != 0 || points != 0 {
			t.Errorf("round %d: %d records of %d points are kept though all is settled", i, records, points)
		}
	}
}

func TestRecentPointsAreBounded(t *testing.T) {
	r := start(t, nil)
	for i := range 5 {
		r.append(r.points(i*30_000, 30_000)...)
		if _, points := r.recents(); points > maxRecent {
			t.Errorf("%d points are kept, more than %d", points, maxRecent)
		}
	}
	if records, points := r.recents(); points != 60_000 || records != 2 {
		t.Errorf("%d points of %d records are kept, want the newest two", points, records)
	}
	got := 0
	for {
		l, err := r.Lease(Query{Max: 7_000})
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			break
		}
		got += l.len()
	}
	if got != 150_000 {
		t.Errorf("leased %d points of 150000", got)
	}
	if n := r.decoders(); n == 0 {
		t.Fatal("no decoder was used for points that are not kept")
	}
	r.flush()
	r.append(r.points(0, 1)...)
	r.append(r.points(1, 1)...)
	if n := r.decoders(); n != 0 {
		t.Errorf("%d decoders keep their memory although nobody asks them", n)
	}
}

// TestRecentAndFileAgree leases the same points out of the memory and, after a
// restart, out of the file.
func TestRecentAndFileAgree(t *testing.T) {
	r := start(t, nil)
	r.append(r.noise(0, 300)...)
	r.append(r.guessed(boot(1), 0, 400, 20)...)
	read := func() []probes.Point {
		l, err := r.Lease(Query{Max: 1000})
		if err != nil {
			t.Fatal(err)
		}
		defer r.settle(l, Settlement{Outcome: Later})
		return l.Points
	}
	memory := read()
	r.fromFile()
	file := read()
	same := func(a, b probes.Point) bool {
		return a.Series == b.Series && a.Value.Equal(b.Value) && a.Stamp == b.Stamp
	}
	if len(memory) == 0 || !slices.EqualFunc(memory, file, same) {
		t.Errorf("%d points out of the memory, %d other ones out of the file", len(memory), len(file))
	}
}

// TestLoadedSeriesGiveWay holds that a series is in memory once after a
// restart, and that series of a row share their dimensions.
func TestLoadedSeriesGiveWay(t *testing.T) {
	r := start(t, nil)
	row := probes.NewDimensions(probes.Dimension{Key: "row", Value: "1"})
	point := func(key string) probes.Point {
		return probes.Point{Series: probes.NewSeriesOf(key, probes.Gauge, row), Value: probes.Int(1), Stamp: r.points(0, 1)[0].Stamp}
	}
	r.append(point("a.one"), point("a.two"))
	r.reopen()
	loaded := r.volume().names.all()
	if loaded[0].Shared() != loaded[1].Shared() {
		t.Error("two series of one row were loaded with dimensions of their own")
	}
	again := point("a.one")
	for range 2 {
		r.append(again)
		now := r.volume().names.all()
		if now[0] != again.Series || now[1] != loaded[1] {
			t.Errorf("the dictionary has %p and %p, want the probe's %p and the loaded %p", now[0], now[1], again.Series, loaded[1])
		}
	}
	if len(loaded) != 2 || loaded[0] == again.Series {
		t.Error("a slice that was given out has changed")
	}
}

func TestDictionaryFindsAll(t *testing.T) {
	d := newDictionary()
	var points []probes.Point
	for i := range 10_000 {
		points = append(points, probes.Point{Series: series(i)})
	}
	for range 2 {
		for i, n := range d.numbers(nil, points) {
			if int(n) != i {
				t.Fatalf("series %d has number %d", i, n)
			}
		}
	}
	if got := d.numbers(nil, []probes.Point{{Series: series(77)}})[0]; got != 77 {
		t.Errorf("an equal series has number %d, want 77", got)
	}
}
