package buffer

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/probes"
)

// fixture is the files of the format: what a build has written, and what it reads.
func fixture() (packed, golden string) {
	name := fmt.Sprintf("testdata/format-%d", format)
	return name + ".db.gz", name + ".golden"
}

// makeFixture fills a store with everything that the format has.
func makeFixture(t *testing.T) []byte {
	r := start(t, func(o *Options) { o.MaxSize = leastMaxSize })
	stamp := func(uptime time.Duration) probes.Stamp {
		return probes.Stamp{Boot: probes.BootID{1, 2, 3}, Uptime: uptime, Wall: r.clock.now().UnixMilli()}
	}
	of := func(key string, kind probes.Type, v probes.Value) probes.Point {
		s := probes.NewSeries(key, kind, probes.Dimension{Key: "device", Value: "switch-1"}, probes.Dimension{Key: "port", Value: "gi0/ä"})
		return probes.Point{Series: s, Value: v, Stamp: stamp(90 * time.Second)}
	}
	for i := range 3 { // records that will be late, one with points that are settled
		r.append(
			of("a.float", probes.Gauge, probes.Float([]float64{21.7, -math.MaxFloat64, 5e-324}[i])),
			of("a.whole", probes.Gauge, probes.Float([]float64{0, 1e15, math.Copysign(0, -1)}[i])),
			of("an.int", probes.Gauge, probes.Int([]int64{-1, math.MinInt64, math.MaxInt64}[i])),
			of("a.count", probes.Count, probes.Uint([]uint64{0, 17, math.MaxUint64}[i])),
			of("a.summary", probes.Gauge, probes.Summarize(probes.Summary{Min: -1.5, Max: 2.25, Sum: 3, Count: uint64(i) + 4})),
		)
		r.clock.add(time.Minute)
	}
	r.settle(r.lease(2), Settlement{Outcome: Delivered})
	r.enter(Entry{Kind: EventEntry, Stamp: stamp(time.Hour), Data: []byte(`{"event":"link down"}`)},
		Entry{Kind: LogEntry, Stamp: stamp(2 * time.Hour), Data: bytes.Repeat([]byte("log "), 100)})
	r.clock.add(2 * time.Hour)
	r.settle(nextLease(r), Settlement{Outcome: Delivered})
	for i := range 75 {
		r.append(r.noise(70*i, 70)...)
		r.clock.add(time.Second)
		if i == 65 {
			r.reopen() // another segment
		}
	}
	l := r.lease(9)
	each := make([]Settlement, 9)
	for i := range each {
		each[i] = Settlement{Outcome: Outcome(1 + i%3), Line: fmt.Sprint("line ", i), Reason: "because", Kind: []string{"", "log", "event"}[i/3]}
	}
	r.settle(l, each...)
	r.fixtureTimes()
	r.flush()
	err := r.volume().view(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketChunks, bucketMarks, bucketDead, bucketNamesCopy} {
			if k, _ := tx.Bucket(name).Cursor().First(); k == nil {
				t.Errorf("the fixture has nothing in bucket %s", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.SaveState(map[string][]byte{"counters": []byte("some state"), "empty": {}})
	b, err := os.ReadFile(r.o.Path + r.copyOf("copy"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fixtureAnchor is that of boot 9 of the fixture.
var fixtureAnchor = probes.Anchor{Boot: probes.BootID{9}, Offset: 1_767_232_000_000, Error: 3 * time.Second, Source: "ntp"}

// fixtureTimes adds points whose times were guessed: of a boot that ended
// without an anchor, of one that got its anchor, and of one that waits for it.
// Of the first some are logged, some dropped.
func (r *rig) fixtureTimes() {
	r.append(r.guessed(boot(8), 1_000_000, 0, 5)...)
	r.append(r.guessed(boot(9), 2_000_000, 10, 5)...)
	r.enter(Entry{Kind: LogEntry, Stamp: probes.Stamp{Boot: boot(9), Uptime: time.Minute, Wall: 2_060_000, Guess: true}, Data: []byte("guessed")})
	r.SetAnchor(fixtureAnchor)
	r.flush()
	l, err := r.Lease(Query{Max: 4, Late: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.settle(l, Settlement{Outcome: Logged}, Settlement{Outcome: Dropped}, Settlement{Outcome: Refused, Line: "late"}, Settlement{Outcome: Later})
	r.Keep("budget", []byte("a note"))
	r.append(r.noise(9000, 5)...)
	r.reopen() // no anchor was set in this run: another boot may be over or not
	r.append(r.guessed(boot(7), 3_000_000, 20, 5)...)
}

func boot(n byte) probes.BootID { return probes.BootID{n} }

// guessed are points of series 0 that a process without the time has measured,
// a second after each other from a second of its boot on.
func (r *rig) guessed(boot probes.BootID, base int64, second, n int) []probes.Point {
	out := make([]probes.Point, n)
	for i := range out {
		up := time.Duration(second+i) * time.Second
		out[i] = probes.Point{
			Series: series(0), Value: probes.Uint(uint64(second + i)),
			Stamp: probes.Stamp{Boot: boot, Uptime: up, Wall: base + up.Milliseconds(), Guess: true},
		}
	}
	return out
}

// nextLease leases the point that was appended for it.
func nextLease(r *rig) *Lease {
	r.append(r.points(0, 1)...)
	return r.lease(1)
}

// describe tells what Read gives: small records in full, others by a hash.
func describe(t *testing.T, read func(context.Context, Selection, func(Page) error) error, letters func(func(Letter) error) error) string {
	t.Helper()
	var out strings.Builder
	err := read(context.Background(), Selection{Settled: true}, func(p Page) error {
		var lines strings.Builder
		for i, x := range p.Points {
			fmt.Fprintf(&lines, "  %s %s %s %d %d %x %v %s %+v\n", p.State[i], x.Series.Key(), x.Series.Dims(), x.Series.Type(),
				x.Value.Form(), math.Float64bits(x.Value.Float64()), x.Stamp.Uptime, wallText(x.Stamp), valueText(x.Value))
		}
		for i, e := range p.Entries {
			fmt.Fprintf(&lines, "  %s kind %d %v %s %.40q, %d bytes\n", p.State[i], e.Kind, e.Stamp.Uptime, wallText(e.Stamp), e.Data, len(e.Data))
		}
		text := lines.String()
		if len(p.State) > 10 {
			text = fmt.Sprintf("  sha256 %x\n", sha256.Sum256([]byte(text)))
		}
		fmt.Fprintf(&out, "record %d, %d points, %d entries\n%s", p.Record, len(p.Points), len(p.Entries), text)
		return nil
	})
	if err == nil {
		err = letters(func(x Letter) error {
			fmt.Fprintf(&out, "letter %d %s %s%q %q\n", x.Number, x.Time.UTC(), x.Kind, x.Line, x.Reason)
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func wallText(s probes.Stamp) string {
	if s.Guess {
		return fmt.Sprint(s.Wall, " guessed")
	}
	return fmt.Sprint(s.Wall)
}

func valueText(v probes.Value) string {
	switch v.Form() {
	case probes.FormInt:
		return fmt.Sprint(v.Int64())
	case probes.FormUint:
		return fmt.Sprint(v.Uint64())
	case probes.FormSummary:
		return fmt.Sprintf("%+v", v.Summary())
	}
	return fmt.Sprint(v.Float64())
}

// TestFormat reads a file that an earlier build has written.
func TestFormat(t *testing.T) {
	if os.Getenv("UPDATE_FIXTURE") != "" {
		updateFixture(t)
	}
	path := filepath.Join(t.TempDir(), "buffer.db")
	unpackFixture(t, path)
	_, golden := fixture()
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := fixtureText(t, reader.Account(), reader.Read, reader.DeadLetters); got != string(want) {
		t.Errorf("a reader reads\n%s\nwant\n%s", got, want)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	clock := newWall()
	clock.add(2*time.Hour + 5*time.Minute)
	r := &rig{t: t, o: Options{Path: path, MaxSize: leastMaxSize, Now: clock.now}, clock: clock}
	r.open()
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	if st := r.Stat().Salvage; st != nil {
		t.Fatalf("salvage %+v", st)
	}
	if got := fixtureText(t, r.Account(), r.Read, r.DeadLetters); got != string(want) {
		t.Errorf("a store reads\n%s\nwant\n%s", got, want)
	}
	if state, err := r.TakeState(); err != nil || string(state["counters"]) != "some state" || len(state) != 2 {
		t.Errorf("state %q, %v", state, err)
	}
	r.append(r.points(0, 10)...)
	r.verify()
	if a, ok := r.Anchor(); !ok || a != fixtureAnchor {
		t.Errorf("anchor %+v", a)
	}
	if g, ok := r.Gap(); !ok || g.Points == 0 {
		t.Errorf("gap %+v", g)
	}
	if got := string(r.Kept("budget")); got != "a note" {
		t.Errorf("note %q", got)
	}
}

func fixtureText(t *testing.T, a Account, read func(context.Context, Selection, func(Page) error) error, letters func(func(Letter) error) error) string {
	t.Helper()
	return fmt.Sprintf("account %+v\n", a) + describe(t, read, letters)
}

func unpackFixture(t *testing.T, path string) {
	t.Helper()
	name, _ := fixture()
	packed, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// updateFixture writes the files anew. Only a new format may do that.
func updateFixture(t *testing.T) {
	t.Helper()
	name, golden := fixture()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(makeFixture(t))
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = os.MkdirAll("testdata", 0o755)
	}
	if err == nil {
		err = os.WriteFile(name, packed.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "buffer.db")
	unpackFixture(t, path)
	r, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	text := fixtureText(t, r.Account(), r.Read, r.DeadLetters)
	if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
