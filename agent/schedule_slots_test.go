package agent

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func TestDivide(t *testing.T) {
	for _, tt := range []struct {
		n     int
		wants map[string]int
		want  map[string]int
	}{
		{32, map[string]int{"a": 300}, map[string]int{"a": 32}},
		{32, map[string]int{"a": 300, "b": 300}, map[string]int{"a": 16, "b": 16}},
		{32, map[string]int{"a": 300, "b": 4}, map[string]int{"a": 28, "b": 4}},
		{32, map[string]int{"a": 300, "b": 4, "c": 12}, map[string]int{"a": 16, "b": 4, "c": 12}},
		{2, map[string]int{"a": 9, "b": 9, "c": 9}, map[string]int{"a": 0, "b": 1, "c": 1}},
		{0, map[string]int{"a": 9}, map[string]int{"a": 0}},
		{8, nil, map[string]int{}},
	} {
		if got := divide(tt.n, tt.wants); !maps.Equal(got, tt.want) {
			t.Errorf("%d for %v: %v, want %v", tt.n, tt.wants, got, tt.want)
		}
	}
}

// TestOnePackageDoesNotStarveAnother puts a package with hundreds of devices that
// take long beside one of a few fast devices.
func TestOnePackageDoesNotStarveAnother(t *testing.T) {
	for _, slots := range []int{1, 2, 16, 64} {
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(slots, nothing)
			var tasks []probes.Task
			add := func(pkg string, n int, p func() *fakeProbe) (all []*fakeProbe) {
				for i := range n {
					all = append(all, p())
					x := task(fmt.Sprint(pkg, i), fmt.Sprint(pkg, i), 10*time.Second, all[i])
					x.Package = pkg
					tasks = append(tasks, x)
				}
				return all
			}
			load := &load{}
			add("slow", 500, func() *fakeProbe { return &fakeProbe{takes: 25 * time.Second, shared: load} })
			fast := add("fast", 10, func() *fakeProbe { return &fakeProbe{takes: 50 * time.Millisecond} })
			s.Set(tasks)
			runSchedule(t, s, 10*time.Minute+time.Second)
			fewest := 1000
			for _, p := range fast {
				fewest = min(fewest, len(p.polls()))
			}
			t.Logf("%d slots: a fast device was polled at least %d times of 60, %d slow polls at most ran at a time", slots, fewest, load.most)
			want := 59
			if slots < 4 { // a slot for each package there is not: it is freed once the patience is over, or the poll
				want = 1
			}
			if fewest < want {
				t.Errorf("%d slots: a fast device was polled %d times, want %d", slots, fewest, want)
			}
			if most := 3*slots - min(3*slots/4, 10); slots >= 16 && load.most < most*2/3 {
				t.Errorf("%d slots: only %d slow polls ran at a time though nobody else wants the slots", slots, load.most)
			}
			usage, held := s.Usage("slow")
			if usage.Polls == 0 || usage.Busy < 25*time.Second || usage.Waited == 0 || held != 0 {
				t.Errorf("usage %+v, %d slots held", usage, held)
			}
		})
	}
}

// TestPoolKeepsItsBooks takes and gives back slots at random, with packages that
// come and go, and holds the sums after each step.
func TestPoolKeepsItsBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		p := newPool(7)
		names := []string{"a", "b", "c"}
		type holder struct {
			name string
			got  bool
			end  context.CancelFunc
			done chan struct{}
		}
		var all []*holder
		for range 3000 {
			switch k := r.IntN(10); {
			case k < 4:
				ctx, end := context.WithCancel(t.Context())
				h := &holder{name: names[r.IntN(3)], end: end, done: make(chan struct{})}
				go func() { defer close(h.done); h.got = p.Take(ctx, h.name) }()
				all = append(all, h)
			case k < 8 && len(all) > 0:
				at := r.IntN(len(all))
				h := all[at]
				h.end() // one that waits leaves, one that holds gives back
				synctest.Wait()
				<-h.done
				if h.got {
					p.Release(h.name)
				}
				all = append(all[:at], all[at+1:]...)
			case k == 8:
				p.Divide(map[string]int{"a": r.IntN(20), "b": r.IntN(3)})
			case p.Try("c"):
				p.Release("c")
			}
			synctest.Wait()
			held, waiting, kept, lent := 0, 0, 0, 0
			for _, s := range p.shares {
				held, waiting, kept, lent = held+s.held, waiting+len(s.waiting), kept+s.kept, lent+max(0, s.held-s.kept)
				if len(s.waiting) > 0 && p.free(s) {
					t.Fatal("one waits for a slot that is free for it")
				}
			}
			if held != p.held || held > p.size || waiting != p.queued || kept != p.kept || lent != p.lent {
				t.Fatalf("held %d of %d, waiting %d, kept %d, lent %d: %+v", held, p.size, waiting, kept, lent, p)
			}
		}
		for _, h := range all {
			h.end()
			synctest.Wait()
			<-h.done
			if h.got {
				p.Release(h.name)
			}
		}
		p.Divide(nil)
		if p.held != 0 || p.queued != 0 || len(p.shares) != 0 {
			t.Errorf("left: %+v", p)
		}
	})
}

// What a slot costs in the common case, beside what it replaced.
func BenchmarkSlot(b *testing.B) {
	b.Run("pool", func(b *testing.B) {
		p := newPool(64)
		p.Divide(map[string]int{"a": 200, "b": 10})
		for b.Loop() {
			p.Take(b.Context(), "a")
			p.Release("a")
		}
	})
	b.Run("channel", func(b *testing.B) {
		c := make(chan struct{}, 64)
		for b.Loop() {
			take(b.Context(), c)
			<-c
		}
	})
}

// What the schedule itself takes of a poll.
func BenchmarkPoll(b *testing.B) {
	s := newSchedule(64, nothing)
	var tasks []probes.Task
	for i := range 500 {
		tasks = append(tasks, task(fmt.Sprint(i), fmt.Sprint(i), time.Minute, &fakeProbe{}))
	}
	s.Set(tasks)
	e := s.entries["7"]
	p := e.task.Probe.(*fakeProbe)
	b.ReportAllocs()
	for b.Loop() {
		s.poll(b.Context(), e)
		p.starts = p.starts[:0]
	}
}
