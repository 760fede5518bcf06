package buffer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

func TestPointsComeBackAsTheyWere(t *testing.T) {
	r := start(t, nil)
	now := r.clock.now().UnixMilli()
	a := probes.NewSeries("a", probes.Gauge, probes.Dimension{Key: "x", Value: "é\x00\""}, probes.Dimension{Key: "b", Value: "2"})
	b := probes.NewSeries("a", probes.Count)
	var want []probes.Point
	for i, v := range []probes.Value{
		probes.Float(0.1), probes.Float(math.Copysign(0, -1)), probes.Float(math.MaxFloat64), probes.Int(math.MinInt64),
		probes.Uint(math.MaxUint64), probes.Summarize(probes.Summary{Min: -1, Max: 2, Sum: 1.5, Count: 3}),
	} {
		stamp := probes.Stamp{Boot: probes.BootID{byte(i % 2)}, Uptime: time.Duration(i)*time.Hour + time.Millisecond, Wall: now + int64(i)}
		want = append(want, probes.Point{Series: a, Value: v, Stamp: stamp}, probes.Point{Series: b, Value: v, Stamp: stamp})
	}
	r.append(want...)
	for _, when := range []string{"at once", "after a restart"} {
		l := r.lease(100)
		if l == nil || len(l.Points) != len(want) {
			t.Fatalf("%s: leased %v", when, l)
		}
		for i, p := range l.Points {
			if !p.Value.Equal(want[i].Value) || p.Stamp != want[i].Stamp || p.Series.ID() != want[i].Series.ID() {
				t.Errorf("%s: point %d is %+v, want %+v", when, i, p, want[i])
			}
		}
		r.reopen()
	}
	if info, err := os.Stat(r.o.Path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode of the file: %v, %v", info.Mode(), err)
	}
}

func TestLeaseTakesTurns(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 10)...)
	r.clock.add(time.Second)
	middle := r.clock.now()
	r.append(r.points(10, 10)...)
	r.clock.add(time.Second)
	r.append(r.points(20, 10)...)

	live, err := r.Lease(Query{Oldest: middle, Newest: middle, Max: 5})
	if err != nil || !slices.Equal(values(live), sequence(10, 5)) {
		t.Fatalf("live: %v, %v", values(live), err)
	}
	first := r.lease(12)
	if want := append(sequence(0, 10), 15, 16); !slices.Equal(values(first), want) {
		t.Fatalf("first: %v, want %v", values(first), want)
	}
	r.settle(first, Settlement{Outcome: Later})
	second := r.lease(100)
	if want := slices.Concat(sequence(0, 10), sequence(15, 15)); !slices.Equal(values(second), want) {
		t.Fatalf("second: %v, want %v", values(second), want)
	}
	r.expectNone(Query{Max: 1})
	if err := r.Settle(first, []Settlement{{Outcome: Delivered}}); err == nil {
		t.Error("a lease was settled twice")
	}
	if err := r.Settle(second, make([]Settlement, 2)); err == nil {
		t.Error("two settlements for 25 points were taken")
	}
	if err := r.Settle(second, []Settlement{{}}); err == nil {
		t.Error("a settlement without an outcome was taken")
	}
}

func TestLeaseOfOddOrder(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 2)...)
	r.clock.add(-time.Minute)
	r.append(r.points(2, 2)...)
	if got, want := values(r.lease(10)), []int{2, 3, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPartsOfARecordAreSettled(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 100)...)
	l := r.lease(30)
	each := make([]Settlement, 30)
	for i := range each {
		each[i] = Settlement{Outcome: []Outcome{Delivered, Refused, Later}[i%3], Line: "a line", Reason: "a reason"}
	}
	r.settle(l, each...)
	r.flush()
	r.account(Account{Accepted: 100, Buffered: 80, Delivered: 10, DeadLetter: 10})
	held := r.lease(3)
	r.reopen() // what was leased is given out again
	var want []int
	for i := range 100 {
		if i >= 30 || i%3 == 2 {
			want = append(want, i)
		}
	}
	rest := r.lease(1000)
	if got := values(rest); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if len(held.Points) != 3 {
		t.Errorf("held %v", values(held))
	}
	r.settle(rest, Settlement{Outcome: Delivered})
	r.flush()
	r.account(Account{Accepted: 100, Delivered: 90, DeadLetter: 10})
	if st := r.Stat(); st.Records != 0 || !st.Oldest.IsZero() {
		t.Errorf("an empty store has %+v", st)
	}
}

func TestLargeBatch(t *testing.T) {
	r := start(t, nil)
	const n = maxRecordPoints + 10_000
	batch := r.points(0, n)
	for i := range batch {
		batch[i].Stamp.Wall += int64(i / 1000)
	}
	r.append(batch...)
	if st := r.Stat(); st.Records != 2 {
		t.Errorf("%d records, want 2", st.Records)
	}
	next := 0
	for l := r.lease(1000); l != nil; l = r.lease(1000) {
		if got := values(l); !slices.Equal(got, sequence(next, len(got))) {
			t.Fatalf("at %d: got %d values from %d", next, len(got), got[0])
		}
		next += len(l.Points)
		r.settle(l, Settlement{Outcome: Delivered})
	}
	r.flush()
	r.account(Account{Accepted: n, Delivered: n})
}

func TestRefusedPoints(t *testing.T) {
	r := start(t, nil)
	good := r.points(1, 2)
	bad := r.points(5, 5)
	bad[0].Value = probes.Float(math.NaN())
	bad[1].Value = probes.Value{}
	bad[2].Series = nil
	bad[3].Series = probes.NewSeries("x", 9)
	bad[4].Series = probes.NewSeries("x", probes.Gauge, probes.Dimension{Key: "k", Value: strings.Repeat("v", maxSeriesBytes)})
	batch := slices.Concat(good[:1], bad, good[1:])
	err := r.Append(context.Background(), batch)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Refused != 5 || refused.Of != 7 {
		t.Fatalf("got %v", err)
	}
	r.account(Account{Accepted: 2, Buffered: 2})
	if got := values(r.lease(9)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("kept %v", got)
	}
	if st := r.Stat(); st.Refused != 5 || st.Pending != 0 {
		t.Errorf("stat %+v", st)
	}
}

func TestState(t *testing.T) {
	r := start(t, nil)
	want := map[string][]byte{"a": {1, 2}, "b": {}}
	r.SaveState(want)
	r.append(r.points(0, 1)...) // not the last commit: the state is not in it
	for range 2 {
		r.reopen() // the second start has had no commit, so the state is still there
		if got, err := r.TakeState(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
	if got, _ := r.TakeState(); got != nil {
		t.Errorf("handed out twice: %v", got)
	}
	r.flush()
	r.reopen()
	if got, _ := r.TakeState(); len(got) != 0 {
		t.Errorf("still there after a commit: %v", got)
	}
}

func TestClosed(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 1)...)
	l := r.lease(1)
	old := r.Store
	r.reopen()
	if err := old.Append(context.Background(), r.points(0, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := old.Lease(Query{Max: 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("lease: %v", err)
	}
	if err := old.Settle(l, []Settlement{{Outcome: Delivered}}); !errors.Is(err, ErrClosed) {
		t.Errorf("settle: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

// setFormat makes the file one of another format.
func setFormat(tx *bbolt.Tx, n int) error {
	l, err := readLedger(tx)
	if err != nil {
		return err
	}
	l.Format = n
	content, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return errors.Join(
		tx.Bucket(bucketMeta).Put(keyFormat, []byte(strconv.Itoa(n))),
		tx.Bucket(bucketLedger).Put(keyLedger, keyed(frameLedger, keyLedger, content)),
	)
}

func TestOpenRefuses(t *testing.T) {
	newer := func(t *testing.T, path string) {
		s, err := Open(Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		r := &rig{t: t, o: Options{Path: path}}
		r.tamper(func(tx *bbolt.Tx) error { return setFormat(tx, format+1) })
	}
	older := func(t *testing.T, path string) {
		newer(t, path)
		r := &rig{t: t, o: Options{Path: path}}
		r.tamper(func(tx *bbolt.Tx) error { return setFormat(tx, format-1) })
	}
	foreign := func(t *testing.T, path string) {
		r := &rig{t: t, o: Options{Path: path}}
		r.tamper(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
	}
	locked := func(t *testing.T, path string) {
		s, err := Open(Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
	}
	for _, c := range []struct {
		name, file string
		prepare    func(t *testing.T, path string)
		maxSize    int64
		want       string
	}{
		{"newer format", "b.db", newer, 0, "newer edgehold"},
		{"other bbolt file", "b.db", foreign, 0, "not a buffer of edgehold"},
		{"older format", "b.db", older, 0, "earlier development version of edgehold (format 3, this one knows 4): drain or export it with that version, or move the file away"},
		{"in use", "b.db", locked, 0, "another edgehold is running"},
		{"no folder", "no/b.db", nil, 0, "mkdir -p"},
		{"tiny quota", "b.db", nil, 1 << 20, "max_size of 1MiB is too small, set at least 4MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if c.prepare != nil {
				c.prepare(t, path)
			}
			before, _ := os.ReadFile(path)
			s, err := Open(Options{Path: path, MaxSize: c.maxSize})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q, want %q and the path", err, c.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenInReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		dir = "/sys" // where root cannot write either
	}
	_, err := Open(Options{Path: filepath.Join(dir, "b.db")})
	if err == nil || !strings.Contains(err.Error(), "writable") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestRandomUseAgainstModel(t *testing.T) {
	for seed := range uint64(2) {
		model(t, seed, 200)
	}
}

// TestLongNames has blocks of series with many short names, which take twice
// as much as their text.
func TestLongNames(t *testing.T) {
	r := start(t, nil)
	points := r.points(0, 40)
	for i := range points {
		dims := make([]probes.Dimension, 13_000)
		for j := range dims {
			dims[j] = probes.Dimension{Key: string([]byte{'a' + byte(j%26), 'a' + byte(j/26%26), 'a' + byte(j/676)}), Value: "x"}
		}
		points[i].Series = probes.NewSeries(fmt.Sprint("k", i), probes.Gauge, dims...)
	}
	r.append(points...)
	r.reopen()
	if got := r.Stat().Series; got != 40 {
		t.Errorf("%d series after a restart, want 40", got)
	}
}

// TestNamesThatFailedAreWrittenLater leaves a series with a number behind that
// no commit has written.
func TestNamesThatFailedAreWrittenLater(t *testing.T) {
	r := start(t, nil)
	r.append(r.points(0, 1)...)
	r.volume().names.numbers(nil, []probes.Point{{Series: series(7)}})
	r.append(r.points(1, 60)...)
	r.reopen()
	if got := values(r.lease(100)); len(got) != 61 {
		t.Errorf("%d points after a restart, want 61", len(got))
	}
}
