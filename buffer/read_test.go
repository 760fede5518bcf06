package buffer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// readAllOf gives the states of all points by their number, and the records.
func readAllOf(t *testing.T, sel Selection, read func(context.Context, Selection, func(Page) error) error) (map[int]PointState, []uint64) {
	t.Helper()
	states, records := make(map[int]PointState), []uint64(nil)
	var last Page
	err := read(context.Background(), sel, func(p Page) error {
		if len(p.State) != len(p.Points)+len(p.Entries) || p.Done <= last.Done || p.Done > p.Of {
			t.Errorf("page of record %d: %d states, %d of %d bytes, after %d", p.Record, len(p.State), p.Done, p.Of, last.Done)
		}
		for i, x := range p.Points {
			states[int(x.Value.Uint64())] = p.State[i]
		}
		records, last = append(records, p.Record), Page{Done: p.Done}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return states, records
}

func TestReadGivesAllStates(t *testing.T) {
	r := start(t, nil)
	var bounds []time.Time
	for i := range 100 {
		if i%25 == 0 {
			bounds = append(bounds, r.clock.now())
		}
		r.append(r.points(i*100, 100)...)
		r.clock.add(time.Second)
	}
	r.clock.add(time.Hour - time.Second*70) // the first 31 records become late
	r.settle(r.lease(1050), Settlement{Outcome: Delivered})
	r.flush()

	check := func(when string, read func(context.Context, Selection, func(Page) error) error) {
		states, records := readAllOf(t, Selection{}, read)
		counts := make(map[PointState]int)
		for _, s := range states {
			counts[s]++
		}
		if a := r.Account(); counts[Late] != int(a.Late) || counts[Buffered] != int(a.Buffered) || counts[Settled] != 0 || !slices.IsSorted(records) {
			t.Errorf("%s: read %v, records %v, account %+v", when, counts, records, a)
		}
		all, _ := readAllOf(t, Selection{Settled: true}, read)
		if len(all) < len(states)+50 {
			t.Errorf("%s: with settled ones read %d points", when, len(all))
		}
		part, _ := readAllOf(t, Selection{Oldest: bounds[1], Newest: bounds[2].Add(-time.Millisecond), Match: func(s *probes.Series) bool { return s.Dim("n") == "3" }}, read)
		if len(part) != 50-21 || part[2503] != Late || part[4903] != Buffered {
			t.Errorf("%s: a part of it is %v", when, part)
		}
		later, records := readAllOf(t, Selection{From: 77}, read)
		if records[0] != 77 || later[7700] != Buffered || len(later) != 2300 {
			t.Errorf("%s: from record 77: %d points, records %v", when, len(later), records)
		}
	}
	check("running", r.Read)
	if _, err := OpenReader(r.o.Path); !errors.Is(err, ErrRunning) {
		t.Errorf("opened beside the store: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := OpenReader(r.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	check("stopped", reader.Read)
	if a, err := reader.VerifyProgress(context.Background(), nil); err != nil || a != r.Account() || reader.Account() != a {
		t.Errorf("account %+v, %v", a, err)
	}
	if st := reader.Stat(); st.Records == 0 || st.Series != 50 || st.FileBytes == 0 || st.UsedBytes > st.FileBytes || st.UsedBytes < 10_000 {
		t.Errorf("stat %+v", st)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	r.open()
}

func TestReadEndsWithItsContextAndItsReader(t *testing.T) {
	r := start(t, nil)
	for i := range 5 {
		r.append(r.points(i*10, 10)...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := r.Read(ctx, Selection{}, func(Page) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("got %v", err)
	}
	enough := errors.New("enough")
	if err := r.Read(context.Background(), Selection{}, func(Page) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// TestReadWhileItChanges reads a store that is appended to, drained and
// purged meanwhile: it gives what stays, and no error.
func TestReadWhileItChanges(t *testing.T) {
	r := start(t, nil)
	for i := range 150 {
		r.append(r.noise(i*500, 500)...)
		r.clock.add(time.Second)
	}
	n := 0
	err := r.Read(context.Background(), Selection{}, func(p Page) error {
		if n++; n == 3 {
			r.drain(10_000)
			r.append(r.noise(75_000, 500)...)
		}
		return nil
	})
	if err != nil || n < 3 || n > 150 {
		t.Errorf("%d pages, %v", n, err)
	}
}

func TestDeadLettersAreRead(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 150)...)
	l := r.lease(150)
	each := make([]Settlement, 150)
	for i := range each {
		each[i] = Settlement{Outcome: Refused, Line: fmt.Sprint("line ", i), Reason: "because"}
	}
	r.settle(l, each...)
	r.flush()
	var got []Letter
	if err := r.DeadLetters(func(x Letter) error { got = append(got, x); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 150 || got[149].Line != "line 149" || got[149].Reason != "because" || got[149].Number != 149 || !got[0].Time.Equal(r.clock.now()) {
		t.Errorf("%d letters, the last is %+v", len(got), got[len(got)-1])
	}
}

func TestPurge(t *testing.T) {
	r := start(t, nil)
	if _, err := r.Purge(context.Background(), Purge{}); err == nil || !strings.Contains(err.Error(), "nothing is named") {
		t.Errorf("got %v", err)
	}
	r.append(r.points(0, 20)...)
	r.append(r.points(20, 10)...)
	l := r.lease(5)
	r.purge(Purge{All: true}, 10) // the leased record stays
	r.settle(l, Settlement{Outcome: Delivered})
	r.flush()
	r.purge(Purge{All: true}, 15)
	r.account(Account{Accepted: 30, Delivered: 5, Purged: 25})
	r.expectNone(Query{Max: 1})
}

// TestPurgeDoesNotWait purges at once, however long commits may wait, and not
// at all once nobody waits for it.
func TestPurgeDoesNotWait(t *testing.T) {
	r := start(t, func(o *Options) { o.CommitInterval = time.Hour })
	ticket := r.Enqueue(r.points(0, 10))
	r.purge(Purge{All: true}, 10)
	if err := ticket.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	release := r.blockCommits()
	second := r.Enqueue(r.points(0, 10))
	go func() { _, _ = r.Purge(context.Background(), Purge{DeadLetters: true}) }()
	within(t, "a commit runs", func() bool { r.queue.mu.Lock(); defer r.queue.mu.Unlock(); return r.queue.running > 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Purge(ctx, Purge{All: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if err := second.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.account(Account{Accepted: 20, Buffered: 10, Purged: 10})
}

func TestMountWarnings(t *testing.T) {
	const root = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
	slow := func(string) bool { return false }
	for _, c := range []struct {
		name, mounts, want string
		fast               func(string) bool
	}{
		{"sound", root, "", slow},
		{"tmpfs", root + "30 22 0:40 / /var/lib rw - tmpfs tmpfs rw\n", "in memory", slow},
		{"tmpfs elsewhere", root + "30 22 0:40 / /var/li rw - tmpfs tmpfs rw\n", "", slow},
		{"barrier", root + "30 22 8:2 / /var rw - ext4 /dev/sda2 rw,barrier=0\n", "mount /var with barrier=1", slow},
		{"nobarrier", root + "30 22 8:2 / /var rw shared:2 master:1 - xfs /dev/sda2 rw,nobarrier\n", "without barriers", slow},
		{"hidden fast commit", root, "fast_commit", func(device string) bool { return device == "8:1" }},
		{"the last mount counts", root + "30 22 8:2 / /var rw - ext4 /dev/a rw,barrier=0\n31 30 8:3 / /var rw - ext4 /dev/b rw\n", "", slow},
		{"blank in a name", "1 0 8:1 / /var/lib/edge\\040hold rw - ramfs none rw\n", "", slow},
		{"junk", "x\n- - -\n", "", slow},
	} {
		got := strings.Join(mountWarnings("/var/lib/edgehold", c.mounts, c.fast), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
