package buffer

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// spoil changes a byte in the middle of a record in the file of the running store.
func (r *rig) spoil(n uint64) {
	r.t.Helper()
	var payload []byte
	err := r.volume().view(func(tx *bbolt.Tx) error {
		return records(tx, n, func(x record) (bool, error) {
			payload = bytes.Clone(x.payload)
			return false, nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := os.ReadFile(r.o.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	for at, found := 0, true; found; at++ { // older copies too
		next := bytes.Index(all[at:], payload)
		if found = next >= 0; found {
			at += next
			overwrite(r.t, r.o.Path, int64(at+len(payload)/2), []byte{^payload[len(payload)/2]})
		}
	}
	r.fromFile()
}

// TestDamageInTheOpenSegment: what is appended after the damage was found must
// not depend on the damaged record.
func TestDamageInTheOpenSegment(t *testing.T) {
	r := start(t, nil)
	for i := range 3 {
		r.append(r.noise(i*100, 100)...)
		r.clock.add(time.Second)
	}
	r.spoil(1)
	l := r.lease(1000) // finds it
	if l == nil || len(l.Points) != 100 {
		t.Fatalf("leased %v points", l.len())
	}
	r.flush()
	for i := range 3 {
		r.append(r.noise(1000+i*100, 100)...)
		r.clock.add(time.Second)
	}
	l = r.lease(1000)
	r.flush()
	r.account(Account{Accepted: 600, Buffered: 400, Damaged: 200})
	if l == nil || len(l.Points) != 300 {
		t.Fatalf("leased %v", l)
	}
}

// TestDamageBesideNewPoints finds the damage while new points wait.
func TestDamageBesideNewPoints(t *testing.T) {
	r := start(t, func(o *Options) { o.CommitInterval = time.Hour; o.MaxPending = 1000 })
	wait := func(tickets ...*Ticket) {
		r.Enqueue(r.noise(0, 501)) // crowds the queue
		for _, x := range tickets {
			if err := x.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait(r.Enqueue(r.noise(0, 100)))
	r.spoil(0)
	ticket := r.Enqueue(r.noise(1000, 100))
	r.expectNone(Query{Max: 1000})
	wait(ticket)
	r.account(Account{Accepted: 1202, Buffered: 601, Damaged: 601})
}

// TestReadWhileTheTailIsSealed gives each point once although records move
// from the tail into a chunk under the reader.
func TestReadWhileTheTailIsSealed(t *testing.T) {
	r := start(t, nil)
	n := 0
	add := func() {
		r.append(r.noise(n, 500)...)
		n += 500
		r.clock.add(time.Second)
	}
	for range 50 {
		add()
	}
	before := n
	got := make(map[int]int)
	pages := 0
	err := r.Read(context.Background(), Selection{}, func(p Page) error {
		if pages++; pages == 5 {
			for range 15 {
				add()
			}
		}
		for _, x := range p.Points {
			got[noiseNumber(x)]++
		}
		if p.Done > p.Of {
			t.Errorf("read %d of %d bytes", p.Done, p.Of)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if chunks, _, _ := r.shape(); chunks == 0 {
		t.Fatal("nothing was sealed")
	}
	for i := range before {
		if got[i] != 1 {
			t.Fatalf("point %d came %d times", i, got[i])
		}
	}
}

// TestRoomIsNotMadeOfTheOpenSegment: a commit whose first record goes on with
// a segment, and whose later ones begin another.
func TestRoomIsNotMadeOfTheOpenSegment(t *testing.T) {
	r := start(t, nil)
	r.append(r.noise(0, 100)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := newStore(r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	commit := func() *work {
		if err := s.begin(nil); err != nil {
			t.Fatal(err)
		}
		return s.running
	}
	s.Enqueue(r.noise(100, 100))
	w := commit()
	if err := s.try(w); err != nil {
		t.Fatal(err)
	}
	s.running = nil
	s.finish(w)
	s.packer.most = 1
	s.packer.bytes = 0
	early, late := r.noise(200, 100), r.noise(300, 100)
	for i := range late {
		late[i].Stamp.Wall += 10 * maxRecordSpan
	}
	s.Enqueue(append(early, late...))
	w = commit()
	if len(w.drafts) != 2 || w.drafts[0].index == 0 || w.drafts[1].index != 0 {
		t.Fatalf("%d drafts", len(w.drafts))
	}
	if err := s.makeRoom(w, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := s.try(w); err != nil {
		t.Fatal(err)
	}
	s.running = nil
	s.finish(w)
	go s.committer()
	r.account(Account{Accepted: 400, Buffered: 300, Evicted: 100})
	if l := r.lease(1000); l == nil || len(l.Points) != 300 {
		t.Errorf("leased %d points", l.len())
	}
}

// TestDamageOfAGoneRecord reports a record that was deleted meanwhile.
func TestDamageOfAGoneRecord(t *testing.T) {
	r := start(t, nil)
	r.append(r.noise(0, 100)...)
	r.settle(r.lease(100), Settlement{Outcome: Delivered})
	r.reopen()
	r.flush()
	r.append(r.noise(100, 100)...)
	r.holds.mu.Lock()
	_, err := r.reportDamage(&recordError{0, errDamaged})
	r.holds.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	r.flush()
	r.account(Account{Accepted: 200, Buffered: 100, Delivered: 100})
}

// TestFarTimes keeps points of clocks that are wrong by any amount.
func TestFarTimes(t *testing.T) {
	r := start(t, nil)
	walls := []int64{math.MinInt64, -1 << 62, -1, 0, 1, 1 << 62, math.MaxInt64, 5}
	points := r.points(0, len(walls))
	for i, w := range walls {
		points[i].Stamp.Wall = w
	}
	r.append(points...)
	r.append(points[0], points[6])
	got := make(map[int64]bool)
	err := r.Read(context.Background(), Selection{}, func(p Page) error {
		for _, x := range p.Points {
			got[x.Stamp.Wall] = true
		}
		return nil
	})
	if err != nil || len(got) != len(walls) {
		t.Errorf("read %v, %v", got, err)
	}
	r.reopen()
	r.flush()
	r.verify()
}

// TestLeaseOfAnySize asks for more than a record can have.
func TestLeaseOfAnySize(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 100)...)
	for _, most := range []int{1<<31 - 1, math.MaxInt, math.MaxInt - 1<<32 + 1} {
		if most <= 0 {
			continue // of a 32-bit machine
		}
		l := r.lease(most)
		if l == nil || len(l.Points) != 100 {
			t.Fatalf("at most %d: leased %+v", most, l)
		}
		r.settle(l, Settlement{Outcome: Later})
	}
}

// TestFloodOfDeadLetters refuses more, in one commit, than the file can hold.
func TestFloodOfDeadLetters(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
	r.append(r.points(0, 4000)...)
	r.append(r.points(4000, 4000)...)
	l := r.lease(4000)
	each := make([]Settlement, 4000)
	for i := range each {
		each[i] = Settlement{Outcome: Refused, Line: fmt.Sprint(i, strings.Repeat("x", 3000)), Reason: "no"}
	}
	r.settle(l, each...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Append(ctx, nil); err != nil {
		t.Fatalf("%v, stat %+v", err, r.Stat())
	}
	a := r.Account()
	r.account(Account{Accepted: 8000, Buffered: 4000, DeadLetter: a.DeadLetter, Evicted: 4000 - a.DeadLetter})
	if a.DeadLetter < 50 {
		t.Errorf("%d letters are kept", a.DeadLetter)
	}
	last := ""
	if err := r.DeadLetters(func(x Letter) error { last = x.Line[:4]; return nil }); err != nil || last != "3999" {
		t.Errorf("the last letter is %s, %v", last, err)
	}
}

// TestStateThatIsTooLarge costs no points.
func TestStateThatIsTooLarge(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize; o.CommitInterval = time.Hour })
	ticket := r.Enqueue(r.points(0, 100))
	r.SaveState(map[string][]byte{"all": make([]byte, 5<<20)})
	if err := r.Close(); err == nil {
		t.Error("closed as if the state was saved")
	}
	if err := ticket.Wait(context.Background()); err != nil {
		t.Error(err)
	}
	r.open()
	r.account(Account{Accepted: 100, Buffered: 100})
}

// TestStateOutlivesANewFile takes the state after the file was written anew.
func TestStateOutlivesANewFile(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
	n := 0
	for r.Stat().FileBytes < 10<<20 {
		r.append(r.noise(n, 20_000)...)
		n += 20_000
	}
	r.SaveState(map[string][]byte{"part": []byte("content")})
	r.reopen()
	before := r.volume()
	r.settle(r.lease(n), Settlement{Outcome: Delivered})
	r.flush()
	if r.volume() == before {
		t.Fatal("the file was not written anew")
	}
	if parts, err := r.TakeState(); err != nil || string(parts["part"]) != "content" {
		t.Errorf("state %q, %v", parts, err)
	}
}

// TestReadGoesOnInANewFile has a reader on its way when the emptied file is replaced.
func TestReadGoesOnInANewFile(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
	n := 0
	for r.Stat().FileBytes < 10<<20 {
		r.append(r.noise(n, 20_000)...)
		n += 20_000
	}
	pages := 0
	err := r.Read(context.Background(), Selection{}, func(p Page) error {
		if pages++; pages == 2 {
			r.settle(r.lease(n), Settlement{Outcome: Delivered})
			r.flush()
		}
		return nil
	})
	if err != nil {
		t.Errorf("read: %v", err)
	}
}

// TestPointsOfManyMinutes offers points of many minutes at once.
func TestPointsOfManyMinutes(t *testing.T) {
	r := start(t, func(o *Options) { o.Window = 90 * 24 * time.Hour })
	points := r.noise(0, 20_000)
	for i := range points {
		points[i].Stamp.Wall -= int64(len(points)-i) * 2 * maxRecordSpan
	}
	r.append(points...)
	r.flush()
	r.flush()
	if _, tails, _ := r.shape(); tails > longTail {
		t.Errorf("%d records in the tail", tails)
	}
	total := 0
	for l := r.lease(5000); l != nil; l = r.lease(5000) {
		total += len(l.Points)
		r.settle(l, Settlement{Outcome: Delivered})
		r.flush()
	}
	if total != len(points) {
		t.Errorf("%d points", total)
	}
}

// TestReadOfAShortTime leaves out what is not asked for, wherever it lies.
func TestReadOfAShortTime(t *testing.T) {
	r := start(t, nil)
	begin := r.clock.now()
	for i := range 200 {
		r.append(r.noise(i*200, 200)...)
		r.clock.add(time.Second)
	}
	for from := 0; from < 200; from += 13 {
		got := 0
		sel := Selection{Oldest: begin.Add(time.Duration(from) * time.Second), Newest: begin.Add(time.Duration(from+9) * time.Second)}
		if err := r.Read(context.Background(), sel, func(p Page) error { got += len(p.Points); return nil }); err != nil {
			t.Fatal(err)
		}
		if want := 200 * min(10, 200-from); got != want {
			t.Errorf("from second %d on: %d points, want %d", from, got, want)
		}
		got = 0
		if err := r.Read(context.Background(), Selection{From: uint64(from)}, func(p Page) error { got += len(p.Points); return nil }); err != nil || got != 200*(200-from) {
			t.Errorf("from record %d on: %d points, %v", from, got, err)
		}
	}
}

// TestManyAtOnce does everything at the same time, and closes the store under it.
func TestManyAtOnce(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize; o.Window = time.Minute })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var workers, appenders sync.WaitGroup
	run := func(wg *sync.WaitGroup, rounds int, what string, fn func(i int) error) {
		wg.Go(func() {
			for i := 0; i < rounds && ctx.Err() == nil; i++ {
				if err := fn(i); err != nil && !r.isClosed() {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	for range 2 {
		run(&appenders, 40, "append", func(i int) error {
			r.clock.add(50 * time.Millisecond)
			return r.Append(context.Background(), r.noise(i, 1500))
		})
		run(&workers, math.MaxInt, "lease", func(i int) error {
			l, err := r.Lease(Query{Max: 900, Entries: i%5 == 0})
			if err != nil || l == nil {
				return err
			}
			return r.Settle(l, []Settlement{{Outcome: Outcome(1 + i%3), Line: "x"}})
		})
	}
	run(&workers, math.MaxInt, "enter", func(i int) error {
		return r.EnqueueEntries([]Entry{r.entry(fmt.Sprint(i))}).Wait(context.Background())
	})
	run(&workers, math.MaxInt, "read", func(i int) error {
		return r.Read(context.Background(), Selection{Settled: i%2 == 0}, func(Page) error { return nil })
	})
	run(&workers, math.MaxInt, "verify", func(int) error { _, err := r.Verify(); return err })
	run(&workers, math.MaxInt, "purge", func(i int) error {
		_, err := r.Purge(context.Background(), Purge{DeadLetters: true, Before: r.clock.now().Add(-time.Hour), All: i%50 == 49})
		return err
	})
	run(&workers, math.MaxInt, "write anew", func(int) error { // as soon as there is reason to
		ticket := &Ticket{done: make(chan struct{}), change: func(*bbolt.Tx, *ledger, *work) error { r.renewAt = time.Time{}; return nil }}
		r.queue.put(ticket, 0, math.MaxInt32)
		r.wakeUp()
		_ = r.Stat()
		return ticket.Wait(context.Background())
	})
	appenders.Wait()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	stop()
	workers.Wait()
	r.open()
}
