package custody

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
)

func TestPutOnce(t *testing.T) {
	r := start(t, nil)
	b := r.block("a", 7, 1, 10)
	r.put(b, Stored)
	r.put(b, Duplicate)
	r.look("a", 7, 1, Result{Status: Stored})
	r.look("a", 7, 2, Result{})
	r.look("a", 8, 1, Result{})
	n := r.only("a", false)
	r.data(n, b.Data)
	info, _ := os.Stat(r.o.Path)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	r.settle(n, whole(10, buffer.Delivered))
	r.flush()
	done := r.TakeFinished()
	if want := []DoneBlock{{"a", 7, 1, Counts{Delivered: 10}}}; !slices.Equal(done, want) {
		t.Errorf("finished %+v", done)
	}
	r.put(b, Done)
	r.account(buffer.Account{Accepted: 10, Delivered: 10})
	epoch := r.Epoch()
	r.reopen()
	r.put(b, Done)
	r.account(buffer.Account{Accepted: 10, Delivered: 10})
	if r.Epoch() != epoch || epoch == 0 {
		t.Errorf("epoch %x, it was %x", r.Epoch(), epoch)
	}
	r.verify()
}

// TestPartlySettled settles a block in parts, and starts again in between.
func TestPartlySettled(t *testing.T) {
	r := start(t, nil)
	b := r.block("a", 7, 1, 10)
	r.put(b, Stored)
	n := r.only("a", false)
	r.settle(n, Part{From: 2, To: 4, Outcome: buffer.Delivered}, Part{From: 3, To: 6, Outcome: buffer.Refused, Letter: &buffer.Letter{Line: "x 1", Reason: "no"}})
	if got := r.OpenSpans(n); !slices.Equal(got, []Span{{0, 2}, {6, 10}}) {
		t.Errorf("open %v", got)
	}
	r.flush()
	r.account(buffer.Account{Accepted: 10, Buffered: 6, Delivered: 2, DeadLetter: 2})
	if got := r.TakeFinished(); len(got) > 0 {
		t.Errorf("finished %v", got)
	}
	r.reopen()
	r.verify()
	if got := r.OpenSpans(n); !slices.Equal(got, []Span{{0, 2}, {6, 10}}) {
		t.Errorf("open %v", got)
	}
	r.put(b, Duplicate)
	r.settle(n, whole(10, buffer.Delivered))
	r.flush()
	want := Counts{Delivered: 8, DeadLetter: 2}
	if got := r.TakeFinished(); len(got) != 1 || got[0].Counts != want {
		t.Errorf("finished %v", got)
	}
	r.reopen()
	if got := r.put(b, Done); got.Counts != want {
		t.Errorf("done with %+v", got)
	}
	r.look("a", 7, 1, Result{Done, want})
	r.Forget("a", 7, 2)
	r.flush()
	r.look("a", 7, 1, Result{Status: Done})
	r.put(b, Done)
	r.verify()
	letters := 0
	err := r.DeadLetters(func(x Letter) error {
		letters++
		if x.Site != "a" || x.Points != 2 || x.Line != "x 1" {
			t.Errorf("letter %+v", x)
		}
		return nil
	})
	if err != nil || letters != 1 {
		t.Errorf("%d letters: %v", letters, err)
	}
	if got, err := r.Purge(context10(t), Purge{DeadLetters: true}); got != 2 || err != nil {
		t.Errorf("purged %d: %v", got, err)
	}
	r.account(buffer.Account{Accepted: 10, Delivered: 8, Purged: 2})
	r.verify()
}

func TestSettleRefuses(t *testing.T) {
	r := start(t, nil)
	r.put(r.block("a", 7, 1, 10), Stored)
	n := r.only("a", false)
	if err := r.Settle(n, []Part{whole(10, buffer.Delivered)}); !errors.Is(err, errNotHeld) {
		t.Errorf("not held: %v", err)
	}
	r.Hold(n)
	for _, x := range []Part{{-1, 2, buffer.Delivered, nil}, {3, 3, buffer.Delivered, nil}, {0, 11, buffer.Delivered, nil}, whole(10, buffer.Logged), whole(10, 9)} {
		if err := r.Settle(n, []Part{x}); err == nil {
			t.Errorf("%+v was taken", x)
		}
	}
	if err := r.Settle(n+1, []Part{whole(10, buffer.Delivered)}); err != nil {
		t.Errorf("a block that is gone: %v", err)
	}
	r.account(buffer.Account{Accepted: 10, Buffered: 10})
}

func TestMalformed(t *testing.T) {
	r := start(t, nil)
	good := r.block("a", 7, 1, 10)
	for _, change := range []func(*Block){
		func(b *Block) { b.Site = "" }, func(b *Block) { b.Site = "a/b" }, func(b *Block) { b.Site = strings.Repeat("a", 65) },
		func(b *Block) { b.Seq = 0 }, func(b *Block) { b.Points = 0 }, func(b *Block) { b.Data = nil }, func(b *Block) { b.Last = b.First - 1 },
	} {
		b := good
		change(&b)
		if _, err := r.Put(b).Wait(context10(t)); err == nil {
			t.Errorf("%+v was taken", b)
		}
	}
	r.account(buffer.Account{})
}

// TestLate has blocks grow late, as each mode says; those that are held do not.
func TestLate(t *testing.T) {
	for _, mode := range []Mode{Archive, Logs, Drop} {
		r := start(t, func(o *Options) { o.Late = mode })
		r.put(r.block("a", 7, 1, 10), Stored)
		r.put(r.block("a", 7, 2, 5), Stored)
		event := r.block("a", 7, 3, 3)
		event.Kind = 2
		r.put(event, Stored)
		n := r.only("a", false)
		r.settle(n, Part{From: 0, To: 4, Outcome: buffer.Delivered})
		heldOne, _ := r.Next("a", Query{KindPoints, 1, false}, n)
		r.Hold(heldOne.Number)
		r.clock.add(2 * time.Hour)
		r.flush()
		r.flush()
		want := buffer.Account{Accepted: 18, Buffered: 8, Delivered: 4, Late: 6}
		counts := Counts{Delivered: 4, LateArchived: 6}
		status := Result{Done, counts}
		switch mode {
		case Logs:
			status = Result{Status: Stored}
		case Drop:
			want.LateDropped = 6
			status = Result{Done, Counts{Delivered: 4, LateDropped: 6}}
		}
		r.account(want)
		r.look("a", 7, 1, status)
		if got := r.TakeFinished(); (len(got) == 1) != (mode != Logs) {
			t.Errorf("mode %d: finished %v", mode, got)
		}
		r.reopen()
		r.verify()
		r.look("a", 7, 1, status)
		if mode != Drop {
			n := r.only("a", true)
			r.settle(n, whole(10, buffer.Logged))
			r.flush()
			r.account(buffer.Account{Accepted: 18, Buffered: 3, Delivered: 4, Late: 11, LateLogged: 6}) // nothing holds the other one any more
			if mode == Logs {
				status = Result{Done, Counts{Delivered: 4, LateLogged: 6}}
			}
			r.look("a", 7, 1, status)
		}
		r.verify()
	}
}

// TestClockUnknown has nothing late while the time is not known.
func TestClockUnknown(t *testing.T) {
	known := false
	r := start(t, func(o *Options) {
		now := o.Now
		o.Now = func() time.Time {
			if known {
				return now()
			}
			return time.Time{}
		}
	})
	b := r.block("a", 7, 1, 10)
	b.First, b.Last = 0, 0
	r.put(b, Stored)
	r.flush()
	r.account(buffer.Account{Accepted: 10, Buffered: 10})
}

func TestQuotaOfSite(t *testing.T) {
	r := start(t, func(o *Options) { o.SiteQuota = 14_500 })
	put := func(site string, seq uint64, want Status) {
		t.Helper()
		b := r.block(site, 7, seq, 10)
		b.Data = content(site, 7, seq, 3000)
		r.put(b, want)
	}
	for seq := range uint64(3) {
		put("a", seq+1, Stored)
	}
	put("a", 4, Full)
	put("b", 1, Stored)
	if p := r.Sites()[0].Pressure; p < 0.7 || r.Sites()[1].Pressure > 0 {
		t.Errorf("pressures %v and %v", p, r.Sites()[1].Pressure)
	}
	r.clock.add(2 * time.Hour)
	r.flush() // all are archive now, and make room
	put("a", 4, Stored)
	put("a", 5, Stored)
	r.account(buffer.Account{Accepted: 60, Buffered: 20, Late: 20, Evicted: 20})
	r.look("a", 7, 1, Result{Done, Counts{LateArchived: 10}})
	r.verify()
}

// TestReserve fills the file: blocks are refused before the reserve is
// touched, settlements go on, and the archive makes room.
func TestReserve(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxSize = 16 << 20 })
	big := func(seq uint64) Block {
		b := r.block("a", 7, seq, 10)
		b.Data = content("a", 7, seq, 60_000)
		return b
	}
	n := uint64(0)
	for status := Stored; status == Stored; {
		n++
		got, err := r.Put(big(n)).Wait(context10(t))
		if err != nil || n > 1000 {
			t.Fatal(n, err)
		}
		status = got.Status
	}
	st := r.Stat()
	if n < 150 || st.UsedBytes > 14<<20 || st.Alarm != "" || st.Pressure < 0.95 || st.Refused != 1 {
		t.Errorf("full at block %d, %+v", n, st)
	}
	for range 3 {
		r.settle(r.only("a", false), whole(10, buffer.Delivered))
		r.flush()
	}
	r.put(big(n), Stored)
	r.clock.add(2 * time.Hour)
	r.flush()
	for i := range uint64(100) {
		r.put(big(n+1+i), Stored)
	}
	a := r.Account()
	if a.Evicted < 900 || a.Buffered != 1000 || a.Check() != nil {
		t.Errorf("account %+v", a)
	}
	if st := r.Stat(); st.FileBytes > 16<<20 {
		t.Errorf("the file has %d bytes", st.FileBytes)
	}
	r.verify()
}

func TestNames(t *testing.T) {
	r := start(t, nil)
	b := r.block("a", 7, 1, 10)
	b.Relies = 1
	r.put(b, NamesMissing)
	b.Relies, b.Names = 0, []byte("one two")
	r.put(b, Stored)
	r.put(b, Duplicate)
	c := r.block("a", 7, 2, 10)
	c.Relies, c.Names = 1, []byte("three")
	r.put(c, Stored)
	d := r.block("a", 7, 3, 10)
	d.Relies = 3
	r.put(d, NamesMissing)
	for range 2 {
		got, err := r.NamesOf("a", 7)
		if err != nil || len(got) != 2 || string(got[0]) != "one two" || string(got[1]) != "three" {
			t.Errorf("names %q: %v", got, err)
		}
		if other, _ := r.NamesOf("a", 8); other != nil {
			t.Errorf("names %q of another epoch", other)
		}
		r.reopen()
	}
	r.verify()
}

// TestRests has epochs forgotten, first their names, then all of them.
func TestRests(t *testing.T) {
	r := start(t, nil)
	b := r.block("a", 7, 1, 10)
	b.Names = []byte("one")
	r.put(b, Stored)
	r.put(r.block("a", 8, 1, 10), Stored)
	r.settle(r.only("a", false), whole(10, buffer.Refused))
	r.flush()
	names := func() int {
		got, err := r.NamesOf("a", 7)
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	r.clock.add(20 * time.Hour)
	r.flush()
	if names() != 1 {
		t.Error("names went too early")
	}
	r.clock.add(20 * time.Hour)
	r.flush()
	r.flush()
	if names() != 0 {
		t.Error("names of an epoch stay that is over")
	}
	r.verify()
	r.look("a", 7, 1, Result{Done, Counts{DeadLetter: 10}})
	r.Forget("a", 8, 0) // a sign of it
	r.clock.add(59 * 24 * time.Hour)
	r.flush()
	r.flush()
	r.look("a", 7, 1, Result{})
	r.look("a", 8, 1, Result{Done, Counts{LateArchived: 10}})
	r.verify()
}

// TestRecall damages the bytes of blocks: the site sends them again, and what
// was settled stays settled.
func TestRecall(t *testing.T) {
	r := start(t, nil)
	b, c := r.block("a", 7, 1, 10), r.block("a", 7, 2, 4)
	r.put(b, Stored)
	r.put(c, Stored)
	n := r.only("a", false)
	r.settle(n, Part{From: 0, To: 3, Outcome: buffer.Delivered})
	r.flush()
	err := r.volume().write(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketData).Bucket(numberKey(n)).Put(keyBytes, []byte("something else"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(context10(t)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("verify says %v", err)
	}
	if _, err := r.Data(n); !errors.Is(err, ErrRecalled) {
		t.Fatal(err)
	}
	r.Recall(n + 1)
	r.flush()
	r.verify()
	r.account(buffer.Account{Accepted: 14, Buffered: 11, Delivered: 3})
	r.reopen()
	r.look("a", 7, 1, Result{})
	if _, ok := r.Next("a", Query{KindPoints, 1, false}, 0); ok || r.Hold(n) {
		t.Error("a block without bytes is offered")
	}
	r.put(b, Stored)
	r.put(b, Duplicate)
	if got := r.OpenSpans(n); !slices.Equal(got, []Span{{3, 10}}) {
		t.Errorf("open %v", got)
	}
	r.data(n, b.Data)
	c.Points, c.Data = 6, []byte("made again otherwise")
	r.put(c, Stored)
	r.account(buffer.Account{Accepted: 20, Buffered: 13, Delivered: 3, Damaged: 4})
	r.verify()
}

func TestNotes(t *testing.T) {
	r := start(t, nil)
	r.Keep("drain", []byte("one"))
	r.Keep("other", []byte("x"))
	r.KeepSite("a", []byte("v1.2"))
	r.flush()
	r.reopen()
	if string(r.Kept("drain")) != "one" || string(r.KeptSite("a")) != "v1.2" || r.Kept("a") != nil {
		t.Errorf("notes %q, %q", r.Kept("drain"), r.KeptSite("a"))
	}
	r.Keep("drain", nil)
	r.reopen() // the stop makes a commit
	if r.Kept("drain") != nil || string(r.Kept("other")) != "x" || !slices.Equal(r.NotedSites(), []string{"a"}) {
		t.Errorf("notes %v", r.notes)
	}
}

func TestPurge(t *testing.T) {
	r := start(t, nil)
	old := r.block("a", 7, 1, 10)
	r.put(old, Stored)
	r.put(r.block("b", 7, 1, 10), Stored)
	r.clock.add(10 * time.Minute)
	r.put(r.block("a", 7, 2, 5), Stored)
	got, err := r.Purge(context10(t), Purge{Site: "a", Before: r.clock.now().Add(-time.Minute)})
	if got != 10 || err != nil {
		t.Errorf("purged %d: %v", got, err)
	}
	r.look("a", 7, 1, Result{Done, Counts{Purged: 10}})
	r.Hold(r.only("b", false))
	if got, err = r.Purge(context10(t), Purge{All: true}); got != 5 || err != nil {
		t.Errorf("purged %d: %v", got, err)
	}
	r.account(buffer.Account{Accepted: 25, Buffered: 10, Purged: 15})
	if _, err := r.Purge(context10(t), Purge{}); err == nil {
		t.Error("nothing was purged without an error")
	}
	r.verify()
}

// TestRounds goes round many sites.
func TestRounds(t *testing.T) {
	r := start(t, nil)
	const sites = 1000
	var tickets []*Ticket
	for i := range sites {
		name := "site-" + string(rune('a'+i/100)) + "-" + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
		for seq := range uint64(3) {
			tickets = append(tickets, r.Put(r.block(name, 7, seq+1, 10)))
		}
	}
	for _, x := range tickets {
		if got, err := x.Wait(context10(t)); err != nil || got.Status != Stored {
			t.Fatal(got, err)
		}
	}
	if n := r.Stat().Commits; n > 100 {
		t.Errorf("%d commits for %d blocks", n, len(tickets))
	}
	q := Query{KindPoints, 1, false}
	for turn := range 3 {
		n, last := 0, ""
		for name, ok := r.NextSite(q, ""); ok; name, ok = r.NextSite(q, name) {
			if name <= last {
				t.Fatalf("site %s after %s", name, last)
			}
			last = name
			n++
			r.settle(r.only(name, false), whole(10, buffer.Delivered))
		}
		if n != sites {
			t.Fatalf("turn %d had %d sites", turn, n)
		}
	}
	if _, ok := r.NextSite(q, ""); ok {
		t.Error("a site is left")
	}
	r.flush()
	r.account(buffer.Account{Accepted: 30 * sites, Delivered: 30 * sites})
	if got := r.TakeFinished(); len(got) != 3*sites {
		t.Errorf("%d blocks finished", len(got))
	}
	r.reopen()
	if got := r.Sites(); len(got) != sites || got[5].Account.Delivered != 30 || got[5].Blocks != 0 || got[5].Bytes != epochCharge {
		t.Errorf("%d sites", len(got))
	}
	r.verify()
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "relay.db")
	r := start(t, func(o *Options) { o.Path = path })
	if _, err := Open(r.o); err == nil || !strings.Contains(err.Error(), "another edgehold") {
		t.Errorf("a second one: %v", err)
	}
	setFormat := func(n string, ledgers int) {
		err := r.volume().write(func(tx *bbolt.Tx) error {
			l, err := readLedger(tx)
			if err != nil {
				return err
			}
			l.Format = ledgers
			return errors.Join(tx.Bucket(bucketMeta).Put(keyFormat, []byte(n)), writeLedger(tx, l))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	setFormat("2", 2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := Open(r.o); err == nil || !strings.Contains(err.Error(), "newer edgehold") {
		t.Errorf("a newer format: %v", err)
	}
	if after, _ := os.ReadFile(path); !slices.Equal(before, after) {
		t.Error("a newer file was changed")
	}
	small := r.o
	small.MaxSize = 1 << 20
	if _, err := Open(small); err == nil || !strings.Contains(err.Error(), "max_size") {
		t.Errorf("a small size: %v", err)
	}
	small = r.o
	small.Path = filepath.Join(dir, "no", "relay.db")
	if _, err := Open(small); err == nil || !strings.Contains(err.Error(), "mkdir -p") {
		t.Errorf("no folder: %v", err)
	}
	small.Path = filepath.Join(dir, "buffer.db")
	other, err := buffer.Open(buffer.Options{Path: small.Path})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(small); err == nil || !strings.Contains(err.Error(), "not a relay's store") {
		t.Errorf("a buffer: %v", err)
	}
}

func TestClosed(t *testing.T) {
	r := start(t, nil)
	ticket := r.Put(r.block("a", 7, 1, 10))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := ticket.Wait(context10(t)); err != nil || got.Status != Stored {
		t.Errorf("before the stop: %v, %v", got, err)
	}
	if _, err := r.Put(r.block("a", 7, 2, 10)).Wait(context10(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("put: %v", err)
	}
	if _, err := r.Purge(context10(t), Purge{All: true}); !errors.Is(err, ErrClosed) {
		t.Errorf("purge: %v", err)
	}
	if _, err := r.Lookup("a", 7, 1); err == nil {
		t.Error("lookup of a closed store")
	}
	r.open()
	r.account(buffer.Account{Accepted: 10, Buffered: 10})
}
