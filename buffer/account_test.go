package buffer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// transitions shows each transition of ACCOUNT.md, named as there. Each step
// leaves a commit behind it.
var transitions = map[string]func(t *testing.T) (*rig, Account){
	"new -> buffered": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		return r, Account{Accepted: 10, Buffered: 10}
	},
	"buffered -> delivered": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Delivered})
		r.flush()
		return r, Account{Accepted: 10, Buffered: 6, Delivered: 4}
	},
	"buffered -> dead_letter": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Refused, Line: "l", Reason: "r"})
		r.flush()
		return r, Account{Accepted: 10, Buffered: 6, DeadLetter: 4}
	},
	"buffered -> late_archived": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Delivered})
		r.clock.add(time.Hour + time.Millisecond)
		r.flush()
		r.expectNone(Query{Max: 1})
		return r, Account{Accepted: 10, Late: 6, Delivered: 4}
	},
	"buffered -> evicted": func(t *testing.T) (*rig, Account) {
		r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
		n := r.overfill()
		a := r.Account()
		if a.Evicted == 0 {
			t.Error("nothing was evicted")
		}
		return r, Account{Accepted: n, Buffered: n - a.Evicted, Evicted: a.Evicted}
	},
	"late_archived -> evicted": func(t *testing.T) (*rig, Account) {
		r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
		r.append(r.points(0, 10)...)
		r.clock.add(2 * time.Hour)
		r.flush()
		if a := r.Account(); a.Late != 10 {
			t.Fatalf("account %+v", a)
		}
		n := r.overfill() + 10
		a := r.Account()
		return r, Account{Accepted: n, Buffered: n - a.Evicted, Evicted: a.Evicted}
	},
	"dead_letter -> evicted": func(t *testing.T) (*rig, Account) {
		r := start(t, func(o *Options) { o.MaxSize = 8 << 20 })
		r.append(r.points(0, 60)...)
		r.settle(r.lease(60), Settlement{Outcome: Refused, Line: strings.Repeat("l", 20_000)})
		r.flush()
		dead := r.Account().DeadLetter
		if most := int64(8<<20) / 16 / 20_000; dead > most || dead < most-1 {
			t.Errorf("%d dead letters, at most %d have room", dead, most)
		}
		return r, Account{Accepted: 60, DeadLetter: dead, Evicted: 60 - dead}
	},
	"buffered -> damaged": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.reopen() // the next record is of another segment
		r.append(r.points(10, 5)...)
		r.settle(r.lease(4), Settlement{Outcome: Delivered})
		r.damage(0)
		if got := values(r.lease(100)); !slices.Equal(got, sequence(10, 5)) {
			t.Errorf("leased %v beside a damaged record", got)
		}
		r.flush()
		return r, Account{Accepted: 15, Buffered: 5, Delivered: 4, Damaged: 6}
	},
	"late_archived -> damaged": func(t *testing.T) (*rig, Account) {
		r := start(t, func(o *Options) { o.EntryWindow = 3 * time.Hour })
		r.append(r.points(0, 10)...)
		r.append(r.points(10, 5)...)
		r.enter(r.entry("one"))
		r.clock.add(2 * time.Hour)
		r.flush()
		r.damage(1)
		if l, err := r.Lease(Query{Max: 1, Entries: true}); l != nil || err != nil { // is decoded behind it
			t.Errorf("leased %v, %v behind a damaged record", l, err)
		}
		r.flush()
		return r, Account{Accepted: 16, Late: 10, Damaged: 6}
	},
	"late_archived -> late_logged": func(t *testing.T) (*rig, Account) {
		return settledLate(t, Logged), Account{Accepted: 10, Late: 10, LateLogged: 4}
	},
	"late_archived -> late_dropped": func(t *testing.T) (*rig, Account) {
		return settledLate(t, Dropped), Account{Accepted: 10, Late: 10, LateDropped: 4}
	},
	"late_archived -> dead_letter": func(t *testing.T) (*rig, Account) {
		return settledLate(t, Refused), Account{Accepted: 10, Late: 6, DeadLetter: 4}
	},
	"dead_letter -> buffered": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Refused, Line: "l", Reason: "r"})
		r.flush()
		n, err := r.RetryLetters(context.Background(), []uint64{1, 2, 77}, func(x Letter) (Revived, error) {
			return Revived{Point: &r.points(int(x.Number), 1)[0]}, nil
		})
		if n != 2 || err != nil {
			t.Errorf("%d retried, %v", n, err)
		}
		if got := values(r.lease(100)); !slices.Equal(got, append(sequence(4, 6), 1, 2)) {
			t.Errorf("leased %v", got)
		}
		return r, Account{Accepted: 10, Buffered: 8, DeadLetter: 2}
	},
	"damaged -> buffered": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Delivered})
		r.wreck()
		r.append(r.points(10, 5)...)
		r.salvaged()
		return r, Account{Accepted: 15, Buffered: 11, Delivered: 4}
	},
	"damaged -> dead_letter": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Refused, Line: "l", Reason: "r"})
		r.wreck()
		r.salvaged()
		return r, Account{Accepted: 10, Buffered: 6, DeadLetter: 4}
	},
	"buffered -> purged": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.clock.add(time.Minute)
		middle := r.clock.now()
		r.append(r.points(10, 5)...)
		r.purge(Purge{Before: middle}, 10)
		return r, Account{Accepted: 15, Buffered: 5, Purged: 10}
	},
	"late_archived -> purged": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.clock.add(2 * time.Hour)
		r.append(r.points(10, 5)...)
		r.purge(Purge{Before: r.clock.now()}, 10)
		return r, Account{Accepted: 15, Buffered: 5, Purged: 10}
	},
	"dead_letter -> purged": func(t *testing.T) (*rig, Account) {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Refused, Line: "l", Reason: "r"})
		r.flush()
		r.purge(Purge{Letters: []uint64{0, 3, 9}}, 2)
		r.purge(Purge{DeadLetters: true}, 2)
		return r, Account{Accepted: 10, Buffered: 6, Purged: 4}
	},
}

// lateLease gives up to four late points.
func (r *rig) lateLease() *Lease {
	r.t.Helper()
	l, err := r.Lease(Query{Max: 4, Late: true})
	if err != nil || l == nil {
		r.t.Fatalf("no late lease, %v", err)
	}
	return l
}

// settledLate has ten late points, four of which came to an outcome.
func settledLate(t *testing.T, o Outcome) *rig {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	r.clock.add(2 * time.Hour)
	r.flush()
	r.settle(r.lateLease(), Settlement{Outcome: o, Line: "l", Kind: "log"})
	r.flush()
	return r
}

// purge purges and checks how many went.
func (r *rig) purge(p Purge, want int64) {
	r.t.Helper()
	if n, err := r.Purge(context.Background(), p); err != nil || n != want {
		r.t.Fatalf("purged %d, %v, want %d", n, err, want)
	}
}

// entry is a log record of now.
func (r *rig) entry(text string) Entry {
	return Entry{Kind: LogEntry, Stamp: probes.Stamp{Wall: r.clock.now().UnixMilli()}, Data: []byte(text)}
}

func (r *rig) enter(entries ...Entry) {
	r.t.Helper()
	if err := r.EnqueueEntries(entries).Wait(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func TestTransitions(t *testing.T) {
	for name, run := range transitions {
		t.Run(name, func(t *testing.T) {
			r, want := run(t)
			r.account(want)
			r.reopen()
			r.account(want)
		})
	}
}

// TestAccountDocument holds the table of ACCOUNT.md against the tests.
func TestAccountDocument(t *testing.T) {
	text, err := os.ReadFile("ACCOUNT.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, m[1]+" -> "+m[2])
	}
	for _, row := range rows {
		if transitions[row] == nil {
			t.Errorf("no test shows %q", row)
		}
	}
	for name := range transitions {
		if !slices.Contains(rows, name) {
			t.Errorf("ACCOUNT.md does not allow %q", name)
		}
	}
}

// overfill adds points that do not compress until some were evicted.
func (r *rig) overfill() (points int64) {
	r.t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for before := r.Account().Evicted; r.Account().Evicted == before && points < 4_000_000; {
		batch := r.points(0, 20_000)
		for i := range batch {
			batch[i].Value = probes.Float(random.NormFloat64())
		}
		r.append(batch...)
		points += int64(len(batch))
		r.clock.add(time.Second)
	}
	return points
}

// damage flips a bit in the payload of a record.
func (r *rig) damage(seq uint64) {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.tamper(func(tx *bbolt.Tx) error {
		own := tx.Bucket(tailKey(seq))
		v := slices.Clone(own.Get(keyFrames))
		v[len(v)-2] ^= 0x10
		return own.Put(keyFrames, v)
	})
	r.open()
}

func TestVerifyBites(t *testing.T) {
	for name, change := range map[string]func(l *ledger){
		"sum":       func(l *ledger) { l.Account.Accepted++ },
		"buffered":  func(l *ledger) { l.Account.Buffered++; l.Account.Delivered-- },
		"late":      func(l *ledger) { l.Account.Late++; l.Account.Delivered-- },
		"dead":      func(l *ledger) { l.Account.DeadLetter++; l.Account.Delivered-- },
		"negative":  func(l *ledger) { l.Account.Evicted--; l.Account.Purged++ },
		"records":   func(l *ledger) { l.Records++ },
		"segments":  func(l *ledger) { l.Segments++ },
		"settled":   func(l *ledger) { l.settled = l.settled.add(spanOf[uint64]{0, 1}) },
		"logged":    func(l *ledger) { l.Account.LateLogged++ },
		"dropped":   func(l *ledger) { l.Account.LateDropped--; l.Account.LateLogged++ },
		"guesses":   func(l *ledger) { l.Guesses = l.Guesses.add(0, boot(1), 5) },
		"next":      func(l *ledger) { l.NextRecord++ },
		"deadbytes": func(l *ledger) { l.DeadBytes++ },
	} {
		r := start(t, nil)
		r.append(r.points(0, 10)...)
		r.settle(r.lease(4), Settlement{Outcome: Delivered})
		r.flush()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		var saved ledger
		swap := func(fn func(l *ledger)) {
			r.tamper(func(tx *bbolt.Tx) error {
				l, err := readLedger(tx)
				if err != nil {
					return err
				}
				fn(&l)
				return writeLedger(tx, l)
			})
		}
		swap(func(l *ledger) { saved = *l; change(l) })
		reader, err := OpenReader(r.o.Path) // a store would set the file aside
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.VerifyProgress(context.Background(), nil); err == nil {
			t.Errorf("%s: Verify saw nothing wrong", name)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		swap(func(l *ledger) { *l = saved })
		r.open()
	}
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	r.damage(0)
	if _, err := r.Verify(); err == nil {
		t.Error("payload: Verify saw nothing wrong")
	}
	r.lease(1)
	r.flush()
}

func TestLateWaitsForLeases(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	l := r.lease(4)
	r.clock.add(2 * time.Hour)
	r.append(r.points(10, 10)...)
	r.account(Account{Accepted: 20, Buffered: 20})
	if got := values(r.lease(100)); !slices.Equal(got, sequence(10, 10)) {
		t.Fatalf("leased %v past the cut-off", got)
	}
	r.settle(l, Settlement{Outcome: Delivered})
	r.flush()
	r.account(Account{Accepted: 20, Buffered: 10, Late: 6, Delivered: 4})
}

func TestLateIsExactToTheMillisecond(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 1)...)
	r.clock.add(time.Hour)
	r.flush()
	r.account(Account{Accepted: 1, Buffered: 1})
	r.clock.add(time.Millisecond)
	r.flush()
	r.account(Account{Accepted: 1, Late: 1})
	r.clock.add(-24 * time.Hour) // being late is for good
	r.flush()
	r.expectNone(Query{Max: 1})
	r.account(Account{Accepted: 1, Late: 1})
}

// TestClockJumps has records far ahead and far behind between others.
func TestClockJumps(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 1)...)
	r.clock.add(20 * 365 * 24 * time.Hour)
	r.append(r.points(1, 1)...) // makes the first one late
	r.clock.add(-20 * 365 * 24 * time.Hour)
	r.append(r.points(2, 1)...) // behind one that is far ahead
	if got := r.Stat().Oldest; !got.Equal(r.clock.now()) {
		t.Errorf("oldest %v, want %v: the one far ahead is not", got, r.clock.now())
	}
	r.clock.add(-50 * 365 * 24 * time.Hour)
	r.append(r.points(3, 1)...)
	r.clock.add(50 * 365 * 24 * time.Hour)
	r.flush()
	r.account(Account{Accepted: 4, Buffered: 2, Late: 2})
	l, err := r.Lease(Query{Newest: r.clock.now(), Max: 10})
	if err != nil || !slices.Equal(values(l), []int{2}) {
		t.Fatalf("leased %v, %v", values(l), err)
	}
	r.settle(l, Settlement{Outcome: Later})
	r.clock.add(2 * time.Hour)
	r.append(r.points(4, 1)...)
	r.account(Account{Accepted: 5, Buffered: 2, Late: 3})
	r.reopen()
	r.account(Account{Accepted: 5, Buffered: 2, Late: 3})
	if got := values(r.lease(10)); !slices.Equal(got, []int{4, 1}) {
		t.Fatalf("leased %v", got)
	}
	r.clock.add(21 * 365 * 24 * time.Hour)
	r.reopen() // gives the leased ones back
	r.flush()
	r.account(Account{Accepted: 5, Late: 5})
	if r.ledger.LateThrough != r.ledger.NextRecord {
		t.Errorf("late through %d of %d: the marks were not taken in", r.ledger.LateThrough, r.ledger.NextRecord)
	}
}

func TestEvictionTakesTheOldestAndSparesLeases(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
	r.append(r.points(0, 10)...)
	leased := r.lease(10)
	var n int64 = 10
	for range 6 {
		n += r.overfill()
		if st := r.Stat(); st.FileBytes > leastMaxSize || st.UsedBytes > leastMaxSize {
			t.Fatalf("over the quota of %d: %+v", leastMaxSize, st)
		}
	}
	r.settle(leased, Settlement{Outcome: Delivered})
	r.flush()
	a := r.Account()
	if a.Delivered != 10 || a.Accepted != n || r.Stat().Alarm != "" {
		t.Errorf("account %+v, alarm %q", a, r.Stat().Alarm)
	}
	l := r.lease(1)
	if first := r.clock.now().UnixMilli() - l.Points[0].Stamp.Wall; first > 60_000 {
		t.Errorf("the oldest point left is %d ms old", first)
	}
}

func TestDeadLetters(t *testing.T) {
	r := start(t, nil)
	n := maxDead + 500
	r.append(r.points(0, n)...)
	l := r.lease(n)
	each := make([]Settlement, n)
	for i := range each {
		each[i] = Settlement{Outcome: Refused, Line: strings.Repeat("x", i%7), Reason: strings.Repeat("r", 2*maxReasonSize*(i%2))}
	}
	r.settle(l, each...)
	r.flush()
	r.account(Account{Accepted: int64(n), DeadLetter: r.Account().DeadLetter, Evicted: int64(n) - r.Account().DeadLetter})
	if d := r.Account().DeadLetter; d > maxDead || r.ledger.DeadBytes > maxDeadBytes {
		t.Errorf("%d dead letters of %d bytes", d, r.ledger.DeadBytes)
	}
	err := r.volume().db.View(func(tx *bbolt.Tx) error {
		key, value := tx.Bucket(bucketDead).Cursor().Last()
		content, err := openKeyed(frameLetter, key, value)
		if want := `"line":"` + strings.Repeat("x", (n-1)%7) + `"`; err == nil && !strings.Contains(string(content), want) {
			t.Errorf("the last dead letter is %.200s, want %s", content, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSpans(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var s spans
		var plain [200]bool
		for range random.IntN(30) {
			from := uint32(random.IntN(200))
			x := span{from, min(200, from+uint32(random.IntN(20)))}
			add := random.IntN(3) > 0
			if add {
				s = s.add(x)
			} else {
				s = s.remove(x)
			}
			for i := x.from; i < x.to; i++ {
				plain[i] = add
			}
		}
		var want spans
		for i, set := range plain {
			if set && (i == 0 || !plain[i-1]) {
				want = append(want, span{uint32(i), 0})
			}
			if set {
				want[len(want)-1].to = uint32(i + 1)
			}
		}
		if !slices.Equal(s, want) {
			t.Fatalf("got %v, want %v", s, want)
		}
		if again, err := parseSet[uint32](s.appendTo(nil), maxRecordPoints); err != nil || !slices.Equal(again, s) {
			t.Fatalf("parsed %v, %v, want %v", again, err, s)
		}
		in := span{50, 150}
		if free := s.free(in); free.count()+s.union(free).count() != s.count()+2*free.count() || s.union(free).remove(span{0, 50}).remove(span{150, 200}).count() != 100 {
			t.Fatalf("free of %v in %v is %v", in, s, free)
		}
	}
}

func FuzzSpans(f *testing.F) {
	f.Add([]byte{0, 1, 1, 5})
	f.Add([]byte{3, 0})
	f.Add(binaryMax())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSet[uint32](b, maxRecordPoints)
		if err != nil {
			return
		}
		again, err := parseSet[uint32](s.appendTo(nil), maxRecordPoints)
		if err != nil || !slices.Equal(again, s) || s.count() > maxRecordPoints || !slices.Equal(s, s.union()) {
			t.Fatalf("%v became %v, %v", s, again, err)
		}
		var rebuilt spans
		for _, x := range s {
			rebuilt = rebuilt.add(x)
		}
		if !slices.Equal(rebuilt, s) {
			t.Fatalf("%v is not in order, it should be %v", s, rebuilt)
		}
		shifted, want := spans(nil), slices.Clone(s)
		for _, x := range s {
			shifted = append(shifted, span{x.from + 1, x.to + 1})
			want = want.add(span{x.from + 1, x.to + 1})
		}
		if got := s.union(shifted); !slices.Equal(got, want) {
			t.Fatalf("%v and %v make %v, want %v", s, shifted, got, want)
		}
	})
}

func binaryMax() []byte {
	return spans{{0, 1}, {math.MaxUint16, math.MaxUint16 + 1}}.appendTo(nil)
}

func TestDroppedWhileTheDiskRefuses(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxPending = 100 })
	release := r.blockCommits()
	first := r.Enqueue(r.points(0, 60)) // in the running commit, which waits
	within(t, "the first batch is in the running commit", func() bool {
		r.queue.mu.Lock()
		defer r.queue.mu.Unlock()
		return r.queue.running == 1
	})
	second := r.Enqueue(r.points(60, 60))
	third := r.Enqueue(r.points(120, 60))
	if err := second.Wait(context.Background()); !errors.Is(err, ErrDropped) {
		t.Errorf("second: %v", err)
	}
	if err := r.Append(context.Background(), r.points(0, 101)); err == nil {
		t.Error("more points than may wait were taken")
	}
	if st := r.Stat(); st.Pending != 120 || st.Dropped != 161 {
		t.Errorf("stat %+v", st)
	}
	release()
	for _, ticket := range []*Ticket{first, third} {
		if err := ticket.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	}
	r.account(Account{Accepted: 120, Buffered: 120})
	if got, want := values(r.lease(500)), append(sequence(0, 60), sequence(120, 60)...); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// blockCommits holds the lock for writing until release is called.
func (r *rig) blockCommits() (release func()) {
	r.t.Helper()
	tx, err := r.volume().db.Begin(true)
	if err != nil {
		r.t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}
