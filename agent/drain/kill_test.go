package drain_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// The most points that are in one post, so sent but not yet settled.
const inFlight = 1000

// TestKillUnderLoad kills a process that appends and drains at random moments.
// The oracle is a journal outside that process, written after Append returned:
// each journalled point must arrive. A point may arrive twice only if its
// settlement was not yet committed, or its answer not yet read.
func TestKillUnderLoad(t *testing.T) {
	kills := 50
	switch {
	case testing.Short():
		kills = 8
	case os.Getenv("EDGEHOLD_SOAK") != "":
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	env := draintest.New(draintest.Options{Token: "kill"})
	url, err := env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Close() })
	dir := t.TempDir()
	allowed, calls := 0, 0
	for k := range kills {
		run := startVictim(t, dir, url, k)
		run.waitForJournal(t)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // the random moment is the point
		run.kill(t)
		committed := deliveredIn(t, dir)
		points, posts := run.settled(t)
		allowed += max(0, run.settledBefore+points-int(committed)) + inFlight
		calls += posts
	}
	points, posts := drainTheRest(t, dir, url)
	missing := 0
	for _, p := range journal(t, dir) {
		if n := times(t, env, p); n == 0 {
			missing++
			t.Errorf("point %s was journalled as accepted and never arrived", p)
		}
		if missing > 10 {
			break
		}
	}
	c := env.Counts()
	resent := c.Lines - c.Distinct
	t.Logf("%d kills, %d points accepted, %d arrived, %d sent again (at most %d were settled but not committed)",
		kills, points, c.Distinct, resent, allowed)
	if resent > allowed {
		t.Errorf("%d points were sent again, at most %d may be", resent, allowed)
	}
	// A kill leaves at most one post that was taken and not settled.
	if lost := c.Outcomes["202"] - calls - int(posts); lost > kills {
		t.Errorf("%d posts were taken and not settled, with %d kills", lost, kills)
	} else {
		t.Logf("%d posts were taken, %d of them not settled", c.Outcomes["202"], lost)
	}
	if int64(c.Distinct) != points {
		t.Errorf("the account accepted %d points, %d arrived", points, c.Distinct)
	}
}

type victim struct {
	cmd           *exec.Cmd
	dir           string
	number        int
	settledBefore int // delivered points that the store knew at the start
}

func startVictim(t *testing.T, dir, url string, number int) *victim {
	t.Helper()
	v := &victim{dir: dir, number: number, settledBefore: int(deliveredIn(t, dir))}
	v.cmd = exec.Command(os.Args[0], "-test.run=^TestKillVictim$")
	v.cmd.Env = append(os.Environ(), "EDGEHOLD_VICTIM="+dir, "EDGEHOLD_VICTIM_URL="+url, "EDGEHOLD_VICTIM_NUMBER="+strconv.Itoa(number))
	v.cmd.Stderr = os.Stderr
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *victim) journalPath() string {
	return filepath.Join(v.dir, fmt.Sprintf("journal-%d", v.number))
}

func (v *victim) settledPath() string {
	return filepath.Join(v.dir, fmt.Sprintf("settled-%d", v.number))
}

func (v *victim) waitForJournal(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if info, err := os.Stat(v.journalPath()); err == nil && info.Size() > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond) // between looks
	}
	v.kill(t)
	t.Fatal("the victim appended nothing within a minute")
}

func (v *victim) kill(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
}

// settled is how many points the victim settled as delivered, and of how many
// posts.
func (v *victim) settled(t *testing.T) (points, posts int) {
	t.Helper()
	data, err := os.ReadFile(v.settledPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range strings.Fields(string(data)) {
		i, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		points += i
		posts += min(i, 1) // what is given back is none
	}
	return points, posts
}

func openStore(t *testing.T, dir string, commit time.Duration) *buffer.Store {
	t.Helper()
	s, err := buffer.Open(buffer.Options{
		Path: filepath.Join(dir, "edgehold.db"), MaxSize: 256 << 20, CommitInterval: commit,
		Window: time.Hour, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deliveredIn opens the store of a process that is gone, checks it whole and
// returns what its account calls delivered.
func deliveredIn(t *testing.T, dir string) int64 {
	t.Helper()
	s := openStore(t, dir, time.Second)
	account, err := s.Verify()
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return account.Delivered
}

// drainTheRest lets a drain empty the store and returns the points accepted, and
// its posts.
func drainTheRest(t *testing.T, dir, url string) (points, posts int64) {
	t.Helper()
	s := openStore(t, dir, 10*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	d := newDrain(s, url)
	go func() { defer close(done); _ = d.Run(ctx) }()
	deadline := time.Now().Add(2 * time.Minute)
	for s.Account().Buffered > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond) // between looks
	}
	cancel()
	<-done
	account, err := s.Verify()
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	if account.Buffered != 0 || account.Delivered != account.Accepted {
		t.Errorf("the account at the end: %+v", account)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return account.Accepted, d.State().Posts
}

func newDrain(s drain.Store, url string) *drain.Drain {
	client, err := drain.NewClient(drain.ClientOptions{})
	if err != nil {
		panic(err)
	}
	return drain.New(drain.Options{
		Target: drain.Target{
			URL: url, Client: client,
			Token: func() (probes.Secret, error) { return probes.NewSecret("kill"), nil },
		},
		Store: s, Log: zerolog.Nop(), Window: time.Hour,
	})
}

func journal(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journal-*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if first, last, batch, ok := parseJournal(lines.Text()); ok {
				for i := first; i < last; i++ {
					out = append(out, fmt.Sprintf("%d %d", i, batch))
				}
			}
		}
		f.Close()
	}
	return out
}

func parseJournal(line string) (first, last int, stamp int64, ok bool) {
	n, err := fmt.Sscanf(line, "%d %d %d.", &first, &last, &stamp)
	return first, last, stamp, err == nil && n == 3
}

func times(t *testing.T, env *draintest.Server, point string) int {
	t.Helper()
	var series int
	var stamp int64
	if _, err := fmt.Sscanf(point, "%d %d", &series, &stamp); err != nil {
		t.Fatal(err)
	}
	n, err := env.Ledger().Times(fmt.Sprintf("kill.value,series=s%d gauge,1 %d", series, stamp))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// watched notes outside the process what was settled as delivered.
type watched struct {
	*buffer.Store
	out *os.File
}

func (w watched) Settle(l *buffer.Lease, each []buffer.Settlement) error {
	n := 0
	for i := range l.Points {
		if each[min(i, len(each)-1)].Outcome == buffer.Delivered {
			n++
		}
	}
	fmt.Fprintln(w.out, n)
	return w.Store.Settle(l, each)
}

// TestKillVictim is the process that is killed; it runs only as a child.
func TestKillVictim(t *testing.T) {
	dir := os.Getenv("EDGEHOLD_VICTIM")
	if dir == "" {
		return
	}
	number, err := strconv.Atoi(os.Getenv("EDGEHOLD_VICTIM_NUMBER"))
	if err != nil {
		t.Fatal(err)
	}
	v := victim{dir: dir, number: number}
	written, err := os.Create(v.journalPath())
	if err != nil {
		t.Fatal(err)
	}
	settled, err := os.Create(v.settledPath())
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir, 30*time.Millisecond)
	go func() { _ = newDrain(watched{s, settled}, os.Getenv("EDGEHOLD_VICTIM_URL")).Run(context.Background()) }()
	var wg sync.WaitGroup
	var last atomic.Int64
	for w := range 4 {
		wg.Go(func() { load(s, written, w, &last) })
	}
	wg.Wait()
}

// load appends for ever; each batch has a stamp that no other batch has.
func load(s *buffer.Store, out *os.File, worker int, last *atomic.Int64) {
	const size = 50
	all := make([]*probes.Series, size)
	for i := range all {
		all[i] = probes.NewSeries("kill.value", probes.Gauge, probes.Dimension{Key: "series", Value: fmt.Sprintf("s%d", worker*size+i)})
	}
	for {
		now := time.Now().UnixMilli()
		for {
			before := last.Load()
			now = max(now, before+1)
			if last.CompareAndSwap(before, now) {
				break
			}
		}
		points := make([]probes.Point, size)
		for i := range points {
			points[i] = probes.Point{Series: all[i], Value: probes.Int(1), Stamp: probes.Stamp{Wall: now}}
		}
		if err := s.Append(context.Background(), points); err != nil {
			fmt.Fprintln(os.Stderr, "append:", err)
			return
		}
		fmt.Fprintf(out, "%d %d %d.\n", worker*size, worker*size+size, now)
	}
}
