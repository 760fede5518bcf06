package buffer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// stamps are those of all open points, by the value of the point.
func (r *rig) stamps() map[uint64]probes.Stamp {
	r.t.Helper()
	out := make(map[uint64]probes.Stamp)
	err := r.Read(context.Background(), Selection{}, func(p Page) error {
		for _, x := range p.Points {
			out[x.Value.Uint64()] = x.Stamp
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// anchorNow ties a boot to the clock of the rig, at an uptime.
func (r *rig) anchorNow(boot probes.BootID, uptime time.Duration) probes.Anchor {
	a := probes.Anchor{Boot: boot, Offset: r.clock.now().Add(-uptime).UnixMilli(), Source: "ntp"}
	r.SetAnchor(a)
	return a
}

func TestGuessesWaitForTheirAnchor(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 5000, 0, 10)...)
	r.enter(Entry{Kind: LogEntry, Stamp: probes.Stamp{Boot: boot(1), Wall: 5000, Guess: true}, Data: []byte("x")})
	r.clock.add(48 * time.Hour) // whatever the clock says
	r.flush()
	for _, q := range []Query{{Max: 1}, {Max: 1, Late: true}, {Max: 1, Entries: true}, {Max: 1, Whole: time.Minute}} {
		r.expectNone(q)
	}
	r.account(Account{Accepted: 11, Buffered: 11})
	if st := r.Stat(); !st.Oldest.IsZero() {
		t.Errorf("oldest %v of points without a time", st.Oldest)
	}
	bounded := 0
	err := r.Read(context.Background(), Selection{Newest: r.clock.now()}, func(p Page) error { bounded += len(p.State); return nil })
	if err != nil || bounded > 0 {
		t.Errorf("read %d points without a time in bounds, %v", bounded, err)
	}
	if n, err := r.Purge(context.Background(), Purge{Before: r.clock.now()}); err != nil || n != 0 {
		t.Errorf("purged %d points without a time, %v", n, err)
	}
	a := r.anchorNow(boot(1), time.Minute)
	r.flush()
	l := r.lease(100)
	if got := values(l); !slices.Equal(got, sequence(0, 10)) {
		t.Fatalf("leased %v", got)
	}
	for i, p := range l.Points {
		if p.Stamp.Guess || p.Stamp.Wall != a.Offset+int64(i)*1000 {
			t.Errorf("point %d has stamp %+v", i, p.Stamp)
		}
	}
	if want := time.UnixMilli(a.Offset); !r.Stat().Oldest.Equal(want) {
		t.Errorf("oldest %v, want %v", r.Stat().Oldest, want)
	}
	r.append(r.guessed(boot(1), 9999, 20, 2)...) // true at once
	if s := r.stamps()[21]; s.Guess || s.Wall != a.Offset+21_000 {
		t.Errorf("a guess after the anchor has stamp %+v", s)
	}
	r.settle(l, Settlement{Outcome: Delivered})
	r.flush()
	r.account(Account{Accepted: 13, Buffered: 3, Delivered: 10})
}

// TestAnchorMakesLate dates points of which some are older than the window: one
// commit does both.
func TestAnchorMakesLate(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 0, 0, 10)...)
	r.append(r.guessed(boot(1), 0, 7200, 10)...)
	before := r.commits()
	a := r.anchorNow(boot(1), 7210*time.Second)
	r.flush()
	if got := r.commits() - before; got != 1 {
		t.Fatalf("%d commits", got)
	}
	r.account(Account{Accepted: 20, Buffered: 10, Late: 10})
	if g, ok := r.Gap(); !ok || g != (Gap{From: a.Offset, To: a.Offset + 9000, Points: 10}) {
		t.Errorf("gap %+v", g)
	}
	if got := r.Ages([]time.Duration{time.Minute, time.Hour}); !slices.Equal(got, []int64{10, 0, 0}) {
		t.Errorf("ages %v", got)
	}
}

// TestAnchorCommitsSoon checks that points do not wait for others to come.
func TestAnchorCommitsSoon(t *testing.T) {
	r := start(t, func(o *Options) { o.CommitInterval = time.Hour })
	ticket := r.Enqueue(r.guessed(boot(1), 0, 0, 10))
	r.reopen()
	if err := ticket.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.anchorNow(boot(1), time.Minute)
	within(t, "the points are dated", func() bool {
		l, err := r.Lease(Query{Max: 100})
		return err == nil && len(values(l)) == 10
	})
}

func TestBootThatEndedIsUndated(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 1000, 0, 5)...)
	r.reopen()
	r.append(r.guessed(boot(2), 500, 10, 5)...)
	r.append(r.guessed(boot(3), 700, 20, 5)...)
	r.anchorNow(boot(3), time.Minute)
	r.flush()
	r.account(Account{Accepted: 15, Buffered: 5, Late: 10})
	if g, _ := r.Gap(); g != (Gap{Points: 10}) {
		t.Errorf("gap %+v", g)
	}
	r.expectNone(Query{Max: 20, Late: true, Oldest: time.UnixMilli(1)})
	l, err := r.Lease(Query{Max: 20, Late: true})
	if err != nil || !slices.Equal(values(l), append(sequence(0, 5), sequence(10, 5)...)) {
		t.Fatalf("leased %v, %v, want both boots in their order", values(l), err)
	}
	for _, p := range l.Points {
		if !p.Stamp.Guess {
			t.Errorf("stamp %+v", p.Stamp)
		}
	}
	r.settle(l, Settlement{Outcome: Dropped})
	r.flush()
	r.account(Account{Accepted: 15, Buffered: 5, Late: 10, LateDropped: 10})
	r.append(r.guessed(boot(1), 1000, 30, 1)...) // of an ended boot, in this run
	r.account(Account{Accepted: 16, Buffered: 5, Late: 11, LateDropped: 10})
}

// TestTimeUnknown has no clock: nothing is late, however old.
func TestTimeUnknown(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.clock.add(24 * time.Hour)
	known := r.o.Now
	r.o.Now = func() time.Time { return time.Time{} }
	r.open()
	r.append(r.guessed(boot(1), 0, 50, 5)...)
	r.account(Account{Accepted: 15, Buffered: 15})
	if got := r.Ages([]time.Duration{time.Hour}); !slices.Equal(got, []int64{0, 0}) {
		t.Errorf("ages %v", got)
	}
	r.o.Now = known
	r.reopen()
	r.flush()
	r.account(Account{Accepted: 15, Buffered: 5, Late: 10})
}

// TestAnchorIsLostWithTheProcess kills between the anchor and its commit.
func TestAnchorIsLostWithTheProcess(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 1000, 0, 5)...)
	b := r.killedAfter(func() { r.anchorNow(boot(1), time.Minute) })
	r.replaceFile(b)
	if _, ok := r.Anchor(); ok {
		t.Error("there is an anchor that no commit has written")
	}
	r.append(r.guessed(boot(1), 9000, 10, 5)...) // another process of that boot
	r.expectNone(Query{Max: 1})
	a := r.anchorNow(boot(1), time.Minute)
	r.flush()
	for v, s := range r.stamps() {
		if s.Guess || s.Wall != a.Offset+int64(v)*1000 {
			t.Errorf("point %d has stamp %+v", v, s)
		}
	}
	r.replaceFile(r.killedAfter(func() {}))
	if got, ok := r.Anchor(); !ok || got != a {
		t.Errorf("anchor %+v, want %+v", got, a)
	}
	r.append(r.guessed(boot(1), 77, 20, 5)...)
	if s := r.stamps()[24]; s.Guess || s.Wall != a.Offset+24_000 {
		t.Errorf("a guess of an anchored boot has stamp %+v", s)
	}
}

// killedAfter is the file as a kill right after fn would leave it, before any
// commit.
func (r *rig) killedAfter(fn func()) []byte {
	r.t.Helper()
	release := r.blockCommits()
	defer release()
	fn()
	b, err := os.ReadFile(r.o.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// replaceFile goes on with another file.
func (r *rig) replaceFile(b []byte) {
	r.t.Helper()
	err := r.Close()
	if err == nil {
		err = os.WriteFile(r.o.Path, b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// TestTrueTime is the arithmetic of it all, in random histories: whatever the
// order of anchors, commits, kills and processes, true wall time = offset of
// the boot + uptime, for all points of a boot that had an anchor. Three
// processes run in each of two boots; each believes something else.
func TestTrueTime(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			r := start(t, func(o *Options) { o.Window = 1000 * time.Hour })
			offsets, anchored := map[probes.BootID]int64{}, map[probes.BootID]bool{}
			at := make(map[uint64]probes.Stamp)
			for process := range 6 {
				id := boot(byte(1 + process/3))
				if process%3 == 0 {
					offsets[id] = r.clock.now().UnixMilli() - random.Int64N(1e9)
				}
				base := random.Int64N(2e12) - 1e12
				_, trusted := r.Anchor()
				trusted = trusted && anchored[id]
				for range 8 {
					switch n := random.IntN(10); {
					case n < 6:
						r.someOf(random, id, at, trustedBase(trusted, offsets[id], base))
					case n == 6 && !trusted:
						r.SetAnchor(probes.Anchor{Boot: id, Offset: offsets[id]})
						trusted, anchored[id] = true, true
					case n == 7:
						r.flush()
					case n == 8:
						r.replaceFile(r.killedAfter(func() {}))
						a, ok := r.Anchor() // it may not have been written
						anchored[id] = ok && a.Boot == id
						trusted = trusted && anchored[id]
					}
				}
				r.reopen()
			}
			r.checkStamps(at, offsets, anchored)
		})
	}
}

// belief is what a process takes for the time.
type belief struct {
	base  int64
	guess bool
}

func trustedBase(trusted bool, offset, base int64) belief {
	if trusted {
		return belief{base: offset}
	}
	return belief{base, true}
}

// someOf appends a few points of a boot, at any uptimes, and notes them.
func (r *rig) someOf(random *rand.Rand, boot probes.BootID, at map[uint64]probes.Stamp, b belief) {
	var points []probes.Point
	for range 1 + random.IntN(20) {
		up := time.Duration(random.Int64N(1e9)) * time.Millisecond
		v := uint64(len(at))
		s := probes.Stamp{Boot: boot, Uptime: up + 999_999, Wall: b.base + up.Milliseconds(), Guess: b.guess}
		at[v] = s
		points = append(points, probes.Point{Series: series(random.IntN(3)), Value: probes.Uint(v), Stamp: s})
	}
	r.append(points...)
}

func (r *rig) checkStamps(at map[uint64]probes.Stamp, offsets map[probes.BootID]int64, anchored map[probes.BootID]bool) {
	r.t.Helper()
	got := r.stamps()
	if len(got) != len(at) {
		r.t.Errorf("%d points, want %d", len(got), len(at))
	}
	for v, put := range at {
		s := got[v]
		up := put.Uptime.Milliseconds()
		switch {
		case s.Boot != put.Boot || s.Uptime.Milliseconds() != up:
			r.t.Errorf("point %d has stamp %+v, want %+v", v, s, put)
		case !s.Guess && s.Wall != offsets[s.Boot]+up:
			r.t.Errorf("point %d has wall time %d, want %d", v, s.Wall, offsets[s.Boot]+up)
		case s.Guess && (!put.Guess || anchored[s.Boot]):
			r.t.Errorf("point %d of an anchored boot has stamp %+v", v, s)
		}
	}
}

func TestGuessesAreSalvaged(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 100, 0, 5)...)
	a := r.anchorNow(boot(1), time.Minute)
	r.flush()
	r.append(r.guessed(boot(2), 200, 10, 5)...)
	r.append(r.points(20, 5)...)
	r.wreck()
	r.salvaged()
	r.account(Account{Accepted: 15, Buffered: 15})
	if got, ok := r.Anchor(); !ok || got != a {
		t.Errorf("anchor %+v", got)
	}
	b := r.anchorNow(boot(2), 20*time.Second)
	r.flush()
	r.checkStamps(map[uint64]probes.Stamp{
		0: {Boot: boot(1)}, 1: {Boot: boot(1), Uptime: time.Second}, 2: {Boot: boot(1), Uptime: 2 * time.Second},
		3: {Boot: boot(1), Uptime: 3 * time.Second}, 4: {Boot: boot(1), Uptime: 4 * time.Second},
		10: {Boot: boot(2), Uptime: 10 * time.Second}, 11: {Boot: boot(2), Uptime: 11 * time.Second}, 12: {Boot: boot(2), Uptime: 12 * time.Second},
		13: {Boot: boot(2), Uptime: 13 * time.Second}, 14: {Boot: boot(2), Uptime: 14 * time.Second},
		20: r.stamps()[20], 21: r.stamps()[21], 22: r.stamps()[22], 23: r.stamps()[23], 24: r.stamps()[24],
	}, map[probes.BootID]int64{boot(1): a.Offset, boot(2): b.Offset, {7}: 0}, map[probes.BootID]bool{boot(1): true, boot(2): true})
}

// TestGuessesWithoutTheirLedger salvages a record whose ledger is lost: it
// says by itself that its times are guesses.
func TestGuessesWithoutTheirLedger(t *testing.T) {
	x := newIndex(0, 10)
	c := &cursor{guess: true}
	c.groups = append(c.groups, group(newDictionary(), []*Ticket{{points: []probes.Point{{Series: series(1), Stamp: probes.Stamp{Boot: boot(1)}}}}}, newStamper(nil, nil), kin{})...)
	l := &ledger{Guesses: guesses{}.add(3, boot(1), 50)}
	if d := x.dating(3, c); d.state != waiting {
		t.Errorf("without a ledger: %+v", d)
	}
	x.ledger = l
	if d := x.dating(3, c); d.state != waiting {
		t.Errorf("while it waits: %+v", d)
	}
	l.date(&probes.Anchor{Boot: boot(1), Offset: 50}, true)
	if d := x.dating(3, c); d != (dating{}) {
		t.Errorf("with an anchor that shifts by 0: %+v", d)
	}
	l.Guesses[0].Boot = bootID(boot(2))
	if d := x.dating(3, c); d.state != waiting {
		t.Errorf("with the shift of another boot: %+v", d)
	}
}

// TestGuessesLeaveTheTable checks that nothing is kept of what is deleted.
func TestGuessesLeaveTheTable(t *testing.T) {
	r := start(t, nil)
	for i := range 5 {
		r.append(r.guessed(boot(byte(i)), 100, 10*i, 5)...)
		r.append(r.points(100+10*i, 5)...)
	}
	r.anchorNow(boot(4), time.Minute)
	r.flush()
	for _, late := range []bool{true, false} {
		l, err := r.Lease(Query{Max: 1000, Late: late})
		if err != nil {
			t.Fatal(err)
		}
		r.settle(l, Settlement{Outcome: map[bool]Outcome{true: Logged, false: Delivered}[late]})
	}
	r.reopen() // ends the open segment
	r.flush()
	r.account(Account{Accepted: 50, Delivered: 30, Late: 20, LateLogged: 20})
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.ledger.Guesses; len(g) != 0 {
		t.Errorf("left %+v", g)
	}
}

// TestSegmentsDoNotMix checks that records of different kinds of stamps, also of
// one commit, lie in different segments.
func TestSegmentsDoNotMix(t *testing.T) {
	r := start(t, nil)
	r.append(slices.Concat(r.points(100, 5), r.guessed(boot(1), 100, 0, 5), r.guessed(boot(2), 100, 10, 5))...)
	r.append(r.points(105, 5)...)
	r.append(r.guessed(boot(2), 7000, 20, 5)...)
	r.anchorNow(boot(2), time.Minute)
	r.append(r.guessed(boot(2), 100, 30, 5)...)
	r.append(r.points(110, 5)...)
	of := make(map[segment]map[kin]int)
	v := r.volume()
	c := newCursor(v.codec)
	err := v.view(func(tx *bbolt.Tx) error {
		return records(tx, 0, func(x record) (bool, error) {
			if of[x.segment] == nil {
				of[x.segment] = make(map[kin]int)
			}
			err := c.seek(tx, x, v.names.len())
			of[x.segment][kin{x.guess, map[bool]probes.BootID{true: c.groups[0].Stamp.Boot}[x.guess]}]++
			return true, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for s, kins := range of {
		if len(kins) != 1 {
			t.Errorf("segment %d has %v", s.base, kins)
		}
	}
	if len(of) != 5 {
		t.Errorf("%d segments: %v", len(of), of)
	}
}

// TestGuessesOfNoRecord has a ledger that is newer than the records.
func TestGuessesOfNoRecord(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 100, 0, 5)...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.tamper(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		l.Guesses = l.Guesses.add(7, boot(1), 100)
		return errors.Join(err, writeLedger(tx, l))
	})
	r.open()
	r.salvaged()
	r.anchorNow(boot(1), time.Minute)
	r.flush()
	r.account(Account{Accepted: 5, Buffered: 5})
	if got := values(r.lease(10)); !slices.Equal(got, sequence(0, 5)) {
		t.Errorf("leased %v", got)
	}
}

// FuzzGuesses reads tables of any content. What can be read is written back the
// same, and each record is in it as its set says.
func FuzzGuesses(f *testing.F) {
	g := guesses{}.add(1, boot(1), 5).add(2, boot(1), 5).add(9, boot(2), -5)
	g, _ = g.date(probes.Anchor{Boot: boot(2), Offset: 77}, false)
	seed, err := json.Marshal(ledger{Format: format, Guesses: g.pack()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"guesses":[{"boot":"00","state":3,"records":"AQE="}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		l, err := parseLedger(content)
		if err != nil {
			return
		}
		again, err := json.Marshal(ledger{Guesses: l.Guesses.pack()})
		if err != nil {
			t.Fatal(err)
		}
		other, err := parseLedger(again)
		if err != nil || len(other.Guesses) != len(l.Guesses) {
			t.Fatalf("%s reads as %+v, %v", again, other.Guesses, err)
		}
		for i, x := range l.Guesses {
			y := other.Guesses[i]
			if x.Boot != y.Boot || x.Base != y.Base || x.State != y.State || x.Shift != y.Shift || !slices.Equal(x.records, y.records) {
				t.Fatalf("%+v came back as %+v", x, y)
			}
		}
		total := l.Guesses.total()
		dated, _ := l.Guesses.date(probes.Anchor{Boot: boot(1), Offset: 3}, true)
		if dated.waits() {
			t.Fatalf("%+v still waits", dated)
		}
		if n := dated.total(); n > total { // sets of a damaged table may overlap
			t.Fatalf("%d records became %d", total, n)
		}
	})
}

// TestNewEmptyFileHasNoGuesses writes the file anew when all of it is settled,
// but the open segment is still there.
func TestNewEmptyFileHasNoGuesses(t *testing.T) {
	r := start(t, nil)
	r.append(r.guessed(boot(1), 100, 0, 5)...)
	r.anchorNow(boot(1), time.Minute)
	r.flush()
	r.settle(r.lease(10), Settlement{Outcome: Delivered})
	r.flush()
	r.giveAnew()
	r.account(Account{Accepted: 5, Delivered: 5})
	r.append(r.points(5, 5)...)
	r.reopen()
	r.account(Account{Accepted: 10, Buffered: 5, Delivered: 5})
	if st := r.Stat().Salvage; st != nil {
		t.Errorf("salvage %+v", st)
	}
}

// giveAnew writes the file of a stopped store anew.
func (r *rig) giveAnew() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	s, err := newStore(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	old := s.volume()
	s.stat.FileBytes, s.stat.UsedBytes = 100<<20, 0
	if err := s.giveBackSpace(false); err != nil || s.volume() == old {
		r.t.Fatalf("not written anew, %v", err)
	}
	go s.committer()
	r.Store = s
}

// TestLateOutcomesAreSalvaged takes over what was logged and dropped before.
func TestLateOutcomesAreSalvaged(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	r.clock.add(2 * time.Hour)
	r.flush()
	r.settle(r.lateLease(), Settlement{Outcome: Logged}, Settlement{Outcome: Logged}, Settlement{Outcome: Dropped}, Settlement{Outcome: Later})
	r.flush()
	r.wreck()
	r.salvaged()
	r.account(Account{Accepted: 10, Late: 10, LateLogged: 2, LateDropped: 1})
}
