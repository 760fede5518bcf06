package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/probes"
)

// rack is a shelf over a store that blocks are put into directly.
type rack struct {
	t     testing.TB
	store *custody.Store
	shelf *Shelf
	now   time.Time
	seq   map[string]uint64
	write *wire.Writer
}

func newRack(t testing.TB, change ...func(*custody.Options)) *rack {
	t.Helper()
	r := &rack{t: t, now: time.Now().Truncate(time.Hour).Add(30 * time.Minute), seq: make(map[string]uint64), write: wire.NewWriter()}
	o := custody.Options{
		Path: filepath.Join(t.TempDir(), "relay.db"), MaxSize: 512 << 20, SettleInterval: time.Millisecond, Log: zerolog.Nop(),
		Now: func() time.Time { return r.now },
	}
	for _, fn := range change {
		fn(&o)
	}
	store, err := custody.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r.store = store
	r.shelf = newShelf(Options{Store: store, Window: time.Hour, Now: func() time.Time { return r.now }, Log: zerolog.Nop()}, newNames(store))
	return r
}

func (r *rack) put(site string, lane wire.Lane, list []probes.Point) {
	r.t.Helper()
	for len(list) > 0 {
		r.seq[site]++
		data, n, err := r.write.AppendPoints(nil, wire.Header{Lane: lane, Site: site, Epoch: 1, Seq: r.seq[site]}, list, wire.Naming{})
		if err != nil {
			r.t.Fatal(err)
		}
		h, err := wire.ParseHeader(data)
		if err != nil {
			r.t.Fatal(err)
		}
		res, err := r.store.Put(custody.Block{
			Site: site, Epoch: 1, Seq: h.Seq, Kind: uint8(h.Kind), Lane: uint8(lane), Points: n, First: h.First, Last: h.Last, Data: data,
		}).Wait(context.Background())
		if err != nil || res.Status != custody.Stored {
			r.t.Fatalf("%v, %v", res, err)
		}
		list = list[n:]
	}
}

func (r *rack) lease(q buffer.Query) *buffer.Lease {
	r.t.Helper()
	l, err := r.shelf.Lease(q)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func (r *rack) settle(l *buffer.Lease, o buffer.Outcome) {
	r.t.Helper()
	if err := r.shelf.Settle(l, []buffer.Settlement{{Outcome: o}}); err != nil {
		r.t.Fatal(err)
	}
}

// window is the query of the lane for what is not live any more.
func (r *rack) window(most int, whole time.Duration) buffer.Query {
	return buffer.Query{Oldest: r.now.Add(-58 * time.Minute), Newest: r.now.Add(-2 * time.Minute), Max: most, Whole: whole}
}

// One site has two hundred times as much as each of nine others. Until those are
// empty every site has the same share, whether points go one by one or in whole
// minutes.
func TestNoSiteStarvesAnother(t *testing.T) {
	for _, whole := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint("whole ", whole), func(t *testing.T) {
			r := newRack(t)
			old := r.now.Add(-50 * time.Minute)
			for i := range 200 {
				r.put("loud", wire.Backlog, points("loud", 1000, old.Add(time.Duration(i)*5*time.Second)))
			}
			for i := range 9 {
				site := fmt.Sprintf("quiet-%d", i)
				for k := range 6 {
					r.put(site, wire.Backlog, points(site, 1000, old.Add(time.Duration(k)*time.Minute)))
				}
			}
			got, total, atEnd := map[string]int{}, 0, -1
			for total < 9*6000+6000+4*quantum {
				l := r.lease(r.window(900, whole))
				if l == nil {
					t.Fatalf("nothing is left after %d points", total)
				}
				for _, p := range l.Points {
					got[p.Series.Dim("site")]++
				}
				total += len(l.Points)
				r.settle(l, buffer.Delivered)
				if atEnd < 0 && total-got["loud"] == 9*6000 {
					atEnd = got["loud"]
				}
			}
			if atEnd < 0 {
				t.Fatalf("the quiet sites are not done after %d points: %v", total, got)
			}
			t.Logf("when each quiet site has had its 6000, the loud one has had %d", atEnd)
			if atEnd > 6000+2*(quantum+900) || atEnd < 6000-2*(quantum+900) {
				t.Errorf("the loud site has had %d points, a fair share is 6000", atEnd)
			}
		})
	}
}

// The live lane finds what is new behind a backlog, and in turns.
func TestLiveBehindBacklog(t *testing.T) {
	r := newRack(t)
	for i := range 40 {
		r.put("a", wire.Live, points("a", 100, r.now.Add(-time.Duration(45-i)*time.Minute)))
	}
	r.put("a", wire.Live, points("a", 100, r.now.Add(-10*time.Second)))
	r.put("b", wire.Live, points("b", 100, r.now.Add(-20*time.Second)))
	live := buffer.Query{Oldest: r.now.Add(-2 * time.Minute), Newest: r.now.Add(8 * time.Minute), Max: 1000}
	l := r.lease(live)
	if l == nil || len(l.Points) != 200 {
		t.Fatalf("leased %+v", l)
	}
	if l.Points[0].Series.Dim("site") != "b" {
		t.Error("the oldest does not come first")
	}
	if r.lease(live) != nil {
		t.Error("what is leased is leased again")
	}
	r.settle(l, buffer.Later)
	if l = r.lease(live); l == nil || len(l.Points) != 200 {
		t.Error("what was given back is not leased again")
	}
	r.settle(l, buffer.Delivered)
	n := 0
	for l := r.lease(r.window(1000, 0)); l != nil; l = r.lease(r.window(1000, 0)) {
		if l.Points[0].Stamp.Wall < r.now.Add(-58*time.Minute).UnixMilli() {
			t.Fatal("a point is too old for its query")
		}
		n += len(l.Points)
		r.settle(l, buffer.Delivered)
	}
	if n != 4000 {
		t.Errorf("%d points of the backlog, want 4000", n)
	}
}

// A whole minute comes together from all blocks that have some of it.
func TestWholeMinutesAcrossBlocks(t *testing.T) {
	r := newRack(t)
	start := r.now.Add(-30 * time.Minute).Truncate(time.Minute)
	for i := range 30 { // five minutes, a block every ten seconds
		r.put("a", wire.Live, points("a", 50, start.Add(time.Duration(i)*10*time.Second)))
	}
	for minute := range 5 {
		seen := map[*probes.Series]int{}
		for len(seen) < 50 {
			l := r.lease(r.window(200, time.Minute))
			if l == nil {
				t.Fatalf("minute %d ends after %d series", minute, len(seen))
			}
			if len(l.Points) > 200 {
				t.Fatalf("%d points, more than 200", len(l.Points))
			}
			in := map[*probes.Series]int{}
			for _, p := range l.Points {
				if got := p.Stamp.Time().Sub(start).Truncate(time.Minute); got != time.Duration(minute)*time.Minute {
					t.Fatalf("a point of minute %v in minute %d", got, minute)
				}
				in[p.Series]++
			}
			for s, n := range in {
				if n != 6 || seen[s] > 0 {
					t.Fatalf("series %s has %d points here and %d before, want all 6 at once", s.Key(), n, seen[s])
				}
				seen[s] = n
			}
			r.settle(l, buffer.Delivered)
		}
	}
	if r.lease(r.window(200, time.Minute)) != nil {
		t.Error("there is more than there was")
	}
	// A minute that is not over is none yet.
	r.put("a", wire.Live, points("a", 5, r.now.Add(-10*time.Second)))
	q := buffer.Query{Oldest: r.now.Add(-2 * time.Minute), Newest: r.now.Add(-5 * time.Second), Max: 100, Whole: time.Minute}
	if l := r.lease(q); l != nil {
		t.Errorf("a minute that its query cuts: %d points", len(l.Points))
	}
	one := r.lease(r.window(200, 0))
	if one != nil {
		t.Error("a live point in the backlog")
	}
}

func TestLatePointsAsLogs(t *testing.T) {
	r := newRack(t, func(o *custody.Options) { o.Late = custody.Logs })
	at := r.now.Add(-50 * time.Minute).Truncate(time.Minute)
	r.put("a", wire.Backlog, points("a", 10, at))
	r.now = r.now.Add(20 * time.Minute)
	late := buffer.Query{Late: true, Whole: time.Minute, Max: 100}
	var l *buffer.Lease
	await(t, "the block is late", func() bool {
		r.store.Forget("a", 99, 2) // makes commits
		l = r.lease(late)
		return l != nil
	})
	if len(l.Points) != 10 {
		t.Fatalf("%d points", len(l.Points))
	}
	if err := r.shelf.Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err == nil {
		t.Error("late points are delivered")
	}
	l = r.lease(late)
	r.settle(l, buffer.Logged)
	await(t, "the account has them", func() bool { return r.store.Account().LateLogged == 10 })
}

// Whatever is leased, given back, refused and settled in whatever order, each
// point is out once at a time, settled once, and none is forgotten.
func TestShelfKeepsBooks(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	r := newRack(t)
	type one struct {
		series [16]byte
		wall   int64
	}
	total, open := 0, map[one]bool{}
	var held []*buffer.Lease
	settled := map[one]bool{}
	for round := range 600 {
		if round < 300 && random.IntN(3) == 0 {
			site := fmt.Sprintf("s%d", random.IntN(5))
			at := r.now.Add(-time.Duration(random.IntN(57*60)) * time.Second)
			list := points(site, 1+random.IntN(400), at.Add(time.Duration(round)*time.Millisecond))
			r.put(site, wire.Lane(1+random.IntN(2)), list)
			total += len(list)
		}
		q := buffer.Query{Oldest: r.now.Add(-time.Hour), Newest: r.now.Add(time.Hour), Max: 1 + random.IntN(500)}
		switch random.IntN(4) {
		case 0:
			q.Whole = time.Minute
		case 1:
			q.Oldest = r.now.Add(-3 * time.Minute)
			q.Match = func(s *probes.Series) bool { return len(s.Key())%2 == 0 }
		}
		if l := r.lease(q); l != nil {
			for _, p := range l.Points {
				x := one{p.Series.ID(), p.Stamp.Wall}
				if open[x] || settled[x] {
					t.Fatalf("round %d: a point is out twice", round)
				}
				open[x] = true
			}
			held = append(held, l)
		}
		if len(held) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(held))
			l := held[i]
			held = append(held[:i], held[i+1:]...)
			each := make([]buffer.Settlement, len(l.Points))
			for k, p := range l.Points {
				x := one{p.Series.ID(), p.Stamp.Wall}
				delete(open, x)
				switch random.IntN(5) {
				case 0:
					each[k].Outcome = buffer.Later
				case 1:
					each[k] = buffer.Settlement{Outcome: buffer.Refused, Line: "x"}
					settled[x] = true
				default:
					each[k].Outcome = buffer.Delivered
					settled[x] = true
				}
			}
			if err := r.shelf.Settle(l, each); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range held {
		r.settle(l, buffer.Later)
	}
	for l := r.lease(buffer.Query{Max: 1 << 20}); l != nil; l = r.lease(buffer.Query{Max: 1 << 20}) {
		for _, p := range l.Points {
			settled[one{p.Series.ID(), p.Stamp.Wall}] = true
		}
		r.settle(l, buffer.Delivered)
	}
	if len(settled) != total {
		t.Errorf("%d of %d points came", len(settled), total)
	}
	await(t, "the account says the same", func() bool {
		a := r.store.Account()
		return a.Buffered == 0 && a.Accepted == int64(total)
	})
	if n := len(r.shelf.opened); n != 0 {
		t.Errorf("%d blocks are still known", n)
	}
	if r.shelf.inside != 0 {
		t.Errorf("%d points are still inside", r.shelf.inside)
	}
}

// What is refused leaves a letter with its line, of the right site.
func TestRefusedPointsAreLetters(t *testing.T) {
	r := newRack(t)
	r.put("a", wire.Live, points("a", 3, r.now))
	r.put("b", wire.Live, points("b", 3, r.now))
	l := r.lease(buffer.Query{Max: 10})
	each := make([]buffer.Settlement, len(l.Points))
	for i, p := range l.Points {
		each[i] = buffer.Settlement{Outcome: buffer.Refused, Line: p.Series.Dim("site") + "/" + p.Series.Key(), Reason: "no"}
	}
	if err := r.shelf.Settle(l, each); err != nil {
		t.Fatal(err)
	}
	await(t, "the letters are there", func() bool { return r.store.Account().DeadLetter == 6 })
	seen := map[string]bool{}
	err := r.store.DeadLetters(func(x custody.Letter) error {
		if x.Points != 1 || x.Line[:1] != x.Site || x.Reason != "no" {
			t.Errorf("letter %+v", x)
		}
		seen[x.Line] = true
		return nil
	})
	if err != nil || len(seen) != 6 {
		t.Errorf("%d letters, %v", len(seen), err)
	}
}

// The names of many sites take no more memory than they may, and come back.
func TestNamesAreBounded(t *testing.T) {
	b := newBench(t)
	b.relay.names.most = 300
	var sites []*standIn
	for i := range 10 {
		s := b.site(fmt.Sprintf("s%d", i), 1)
		s.put(points(s.name, 100, b.time()))
		for id := range uint32(100) {
			s.known[id] = true
		}
		sites = append(sites, s)
	}
	for round := range 3 {
		for _, s := range sites {
			s.put(points(s.name, 100, b.time().Add(time.Duration(round+1)*time.Second)))
			if n := b.relay.names.known(); n > 300 {
				t.Fatalf("%d series are known, at most 300 may be", n)
			}
		}
	}
	n := 0
	for l := b.all(); l != nil; l = b.all() {
		n += len(l.Points)
		if err := b.relay.Shelf().Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}}); err != nil {
			t.Fatal(err)
		}
	}
	if n != 4000 {
		t.Errorf("%d points, want 4000", n)
	}
}

var delivered = []buffer.Settlement{{Outcome: buffer.Delivered}}
