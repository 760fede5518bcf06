package buffer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/probes"
)

func TestNotesRide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(o *Options) { o.CommitInterval = 10 * time.Second })
		r.Keep("budget", []byte("one"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := r.commits(); got != 0 {
			t.Fatalf("%d commits of a note alone", got)
		}
		r.append(r.points(0, 1)...)
		r.Keep("budget", []byte("one"))
		r.replaceFile(r.killedAfter(func() { r.Keep("budget", []byte("two")) }))
		if got := r.Kept("budget"); string(got) != "one" {
			t.Errorf("after a kill: %q", got)
		}
		r.Keep("other", []byte("x"))
		r.reopen() // a stop writes them
		if got := r.Kept("other"); string(got) != "x" {
			t.Errorf("after a stop: %q", got)
		}
		r.Keep("other", nil)
		r.append(r.points(1, 1)...)
		r.replaceFile(r.killedAfter(func() {}))
		if got := r.Kept("other"); got != nil {
			t.Errorf("a deleted note: %q", got)
		}
	})
}

// TestPointsAndTheirNoteAreOne: whenever the process dies, the file has as many
// points as the note that came with the last of them says.
func TestPointsAndTheirNoteAreOne(t *testing.T) {
	r := start(t, nil)
	note := func(n byte) *Ticket { return r.EnqueueWith(r.points(int(n)-1, 1), "total", []byte{n}) }
	first := note(1)
	r.flush()
	if err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.replaceFile(r.killedAfter(func() { note(2) }))
	if got, points := r.Kept("total"), r.Account().Accepted; !bytes.Equal(got, []byte{1}) || points != 1 {
		t.Errorf("killed before the commit: note %v with %d points", got, points)
	}
	note(2)
	third := note(3)
	r.flush()
	if err := third.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.replaceFile(r.killedAfter(func() {}))
	if got, points := r.Kept("total"), r.Account().Accepted; !bytes.Equal(got, []byte{3}) || points != 3 {
		t.Errorf("killed after the commit: note %v with %d points", got, points)
	}
	r.EnqueueWith(nil, "alone", []byte("x"))
	r.flush()
	r.replaceFile(r.killedAfter(func() {}))
	if got := r.Kept("alone"); string(got) != "x" {
		t.Errorf("a note without points: %q", got)
	}
}

func TestNotesSurviveNewFiles(t *testing.T) {
	r := start(t, nil)
	r.Keep("budget", []byte("one"))
	r.append(r.points(0, 10)...)
	r.settle(r.lease(10), Settlement{Outcome: Delivered})
	r.flush()
	r.stat.FileBytes, r.stat.UsedBytes = 100<<20, 0
	a := r.anchorNow(boot(1), time.Minute)
	r.append(r.points(10, 10)...)
	r.settle(r.lease(10), Settlement{Outcome: Delivered})
	r.flush() // writes the file anew, empty
	r.replaceFile(r.killedAfter(func() {}))
	if got := r.Kept("budget"); string(got) != "one" {
		t.Errorf("after the file was written anew: %q", got)
	}
	if got, ok := r.Anchor(); !ok || got != a {
		t.Errorf("anchor %+v", got)
	}
	r.holds.breakOff(ErrPages) // found damaged while it runs
	r.append(r.points(20, 1)...)
	r.append(r.points(21, 1)...)
	r.salvaged()
	r.replaceFile(r.killedAfter(func() {}))
	if got := r.Kept("budget"); string(got) != "one" {
		t.Errorf("after the file was set aside: %q", got)
	}
	if got, ok := r.Anchor(); !ok || got != a {
		t.Errorf("anchor %+v", got)
	}
}

func TestNotesThatAreNotKept(t *testing.T) {
	var log bytes.Buffer
	r := start(t, func(o *Options) { o.Log = zerolog.New(&log) })
	r.Keep("long", make([]byte, MaxNote+1))
	r.Keep("", []byte("x"))
	r.Keep("just", make([]byte, MaxNote))
	r.reopen()
	if r.Kept("long") != nil || r.Kept("") != nil || len(r.Kept("just")) != MaxNote {
		t.Error("kept the wrong ones")
	}
	if n := strings.Count(log.String(), "not kept"); n != 2 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestReportGap(t *testing.T) {
	r := start(t, nil)
	first := r.clock.now().UnixMilli()
	r.append(r.points(0, 10)...)
	r.enter(r.entry("not in the gap"))
	r.clock.add(2 * time.Hour)
	second := r.clock.now().UnixMilli()
	r.append(r.points(10, 5)...)
	g, ok := r.Gap()
	if want := (Gap{From: first, To: first, Points: 10}); !ok || g != want {
		t.Fatalf("gap %+v, want %+v", g, want)
	}
	r.clock.add(2 * time.Hour)
	r.flush()
	if err := r.ReportGap(context.Background(), g, Entry{}); err == nil {
		t.Error("an empty report was taken")
	}
	if err := r.ReportGap(context.Background(), g, r.entry("gap")); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if g, _ = r.Gap(); g != (Gap{From: first, To: second, Points: 5}) {
		t.Errorf("gap %+v after a part was reported", g)
	}
	if err := r.ReportGap(context.Background(), g, r.entry("gap")); err != nil {
		t.Fatal(err)
	}
	if g, ok = r.Gap(); ok {
		t.Errorf("gap %+v after all was reported", g)
	}
	r.account(Account{Accepted: 18, Buffered: 3, Late: 15})
}

// deadLetters makes n of them, of points 0, 1, ...
func (r *rig) deadLetters(n int) {
	r.t.Helper()
	r.append(r.points(0, n)...)
	r.settle(r.lease(n), Settlement{Outcome: Refused, Line: "l", Reason: "r", Kind: "event"})
	r.flush()
}

func (r *rig) revive(x Letter) (Revived, error) {
	return Revived{Point: &r.points(int(x.Number), 1)[0]}, nil
}

func TestRetryLetters(t *testing.T) {
	r := start(t, nil)
	r.deadLetters(10)
	ctx := context.Background()
	own := errors.New("own")
	n, err := r.RetryLetters(ctx, nil, func(x Letter) (Revived, error) {
		if x.Kind != "event" {
			t.Errorf("letter %+v", x)
		}
		if x.Number == 5 {
			return Revived{}, own
		}
		return r.revive(x)
	})
	if n != 0 || !errors.Is(err, own) || !strings.Contains(err.Error(), "letter 5") {
		t.Errorf("%d, %v", n, err)
	}
	bad := map[string]Revived{
		"no series":  {Point: &probes.Point{}},
		"empty":      {Entry: &Entry{Kind: LogEntry}},
		"two things": {Point: &r.points(0, 1)[0], Entry: &Entry{}},
	}
	for name, what := range bad {
		if n, err := r.RetryLetters(ctx, nil, func(Letter) (Revived, error) { return what, nil }); n != 0 || err == nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	r.account(Account{Accepted: 10, DeadLetter: 10})
	before := r.commits()
	n, err = r.RetryLetters(ctx, nil, func(x Letter) (Revived, error) {
		if x.Number < 2 {
			return Revived{}, nil // stays
		}
		if x.Number == 2 {
			return Revived{Entry: &Entry{Kind: EventEntry, Stamp: probes.Stamp{Wall: r.clock.now().UnixMilli()}, Data: []byte("e")}}, nil
		}
		return r.revive(x)
	})
	if n != 8 || err != nil || r.commits() != before+1 {
		t.Errorf("%d retried in %d commits, %v", n, r.commits()-before, err)
	}
	r.account(Account{Accepted: 10, Buffered: 8, DeadLetter: 2})
	if got := values(r.lease(100)); !slices.Equal(got, sequence(3, 7)) {
		t.Errorf("leased %v", got)
	}
	if n, err := r.RetryLetters(ctx, []uint64{}, r.revive); n != 0 || err != nil {
		t.Errorf("of none: %d, %v", n, err)
	}
}

// TestRetryOfAGoneLetter has a letter purged between being read and the commit.
func TestRetryOfAGoneLetter(t *testing.T) {
	r := start(t, nil)
	r.deadLetters(3)
	n, err := r.RetryLetters(context.Background(), nil, func(x Letter) (Revived, error) {
		if x.Number == 1 {
			r.purge(Purge{Letters: []uint64{1}}, 1)
		}
		return r.revive(x)
	})
	if n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	r.account(Account{Accepted: 4, Buffered: 3, Purged: 1})
}

// TestRetryOfManyLetters has more than may wait in memory at once.
func TestRetryOfManyLetters(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxPending = 100 })
	r.deadLetters(90)
	before := r.commits()
	if n, err := r.RetryLetters(context.Background(), nil, r.revive); n != 90 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := r.commits() - before; got != 2 {
		t.Errorf("%d commits", got)
	}
	r.account(Account{Accepted: 90, Buffered: 90})
}

func TestAges(t *testing.T) {
	r := start(t, nil)
	bounds := []time.Duration{time.Minute, 10 * time.Minute, 2 * time.Hour}
	for i := range 130 { // some chunks, some tail
		r.append(r.noise(70*i, 70)...)
		r.clock.add(10 * time.Second)
	}
	r.settle(r.lease(50), Settlement{Outcome: Delivered}) // of the oldest record
	r.flush()
	// Ages are 10 s to 1,300 s: five records are younger than a minute.
	want := []int64{5 * 70, 54 * 70, 71*70 - 50, 0}
	if got := r.Ages(bounds); !slices.Equal(got, want) {
		t.Errorf("ages %v, want %v", got, want)
	}
	if got := r.Ages(nil); !slices.Equal(got, []int64{130*70 - 50}) {
		t.Errorf("ages %v", got)
	}
	r.clock.add(time.Hour - 1000*time.Second)
	r.flush()
	a := r.Account()
	if got := r.Ages(bounds); !slices.Equal(got, []int64{0, 0, a.Buffered, 0}) || a.Late == 0 {
		t.Errorf("ages %v, account %+v", got, a)
	}
}

// TestLettersInANewFile has the file written anew while its letters are read.
func TestLettersInANewFile(t *testing.T) {
	r := start(t, nil)
	r.deadLetters(100)
	var got []uint64
	err := r.DeadLetters(func(x Letter) error {
		if x.Number == 10 { // more are to be read from the file
			r.writtenAnew()
		}
		got = append(got, x.Number)
		return nil
	})
	if err != nil || len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("%d letters, %v: %v", len(got), err, got)
	}
}

// writtenAnew copies the file while nothing is committed.
func (r *rig) writtenAnew() {
	r.t.Helper()
	r.mu.Lock()
	l := r.ledger
	r.mu.Unlock()
	v, err := r.copyFile(l, false)
	if err == nil {
		err = r.swap(v)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
