package buffer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const (
	childVariable     = "EDGEHOLD_BUFFER_TEST_CHILD"
	childBootVariable = "EDGEHOLD_BUFFER_TEST_BOOT" // number of the boot, and its offset
)

// Each boot of the machine in the test has a few processes.
const killsOfBoot = 3

func killOffset(boot byte) int64 { return 1_700_000_000_000 + int64(boot)*7_777_777 }

// TestMain turns a copy of the test binary into the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// child appends from several writers and settles what it leases, until it is
// killed. It learns the time while it runs, or is killed before. Its journal,
// one write for each line, says:
//
//	k N           Append has returned, and the note said N before
//	a FIRST N     Append has returned: points FIRST.. are accepted
//	s V V ...     these points are about to be settled as delivered, logged or dropped
//	d N           the account as of a commit has N points settled so
func child(dir string) error {
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	c := &killed{journal: journal, base: rand.Int64N(1e12)}
	if _, err := fmt.Sscan(os.Getenv(childBootVariable), &c.boot[0], &c.offset); err != nil {
		return err
	}
	c.s, err = Open(Options{Path: filepath.Join(dir, "buffer.db"), MaxSize: 256 << 20, CommitInterval: 3 * time.Millisecond, Now: c.now})
	if err != nil {
		return err
	}
	_, _ = fmt.Sscan(string(c.s.Kept("note")), &c.note)
	a, ok := c.s.Anchor()
	c.trusted.Store(ok && a.Boot == c.boot)
	fmt.Println("open")
	failed := make(chan error)
	for range 4 {
		go func() { failed <- c.appends() }()
	}
	go func() { failed <- c.settles(false) }()
	go func() { failed <- c.settles(true) }()
	time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond) // the random moment
	c.s.SetAnchor(probes.Anchor{Boot: c.boot, Offset: c.offset})
	c.trusted.Store(true)
	return <-failed
}

// killed is a child.
type killed struct {
	s       *Store
	journal io.Writer
	boot    probes.BootID
	offset  int64 // true wall time = this + uptime
	base    int64 // what it believes instead
	trusted atomic.Bool

	mu   sync.Mutex
	note int64
}

func (c *killed) now() time.Time {
	if !c.trusted.Load() {
		return time.Time{}
	}
	return time.Now()
}

func (c *killed) stamp() probes.Stamp {
	now := time.Now().UnixMilli()
	s := probes.Stamp{Boot: c.boot, Uptime: time.Duration(now-c.offset) * time.Millisecond, Wall: now}
	if !c.trusted.Load() {
		s.Wall, s.Guess = c.base+now-c.offset, true
	}
	return s
}

func (c *killed) keep() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note++
	c.s.Keep("note", fmt.Append(nil, c.note))
	return c.note
}

func (c *killed) appends() error {
	for {
		n := 1 + rand.IntN(300)
		first := rand.Uint64() >> 1 << 9
		stamp := c.stamp()
		points := make([]probes.Point, n)
		for i := range points {
			points[i] = probes.Point{Series: series(rand.IntN(2000)), Value: probes.Uint(first + uint64(i)), Stamp: stamp}
		}
		note := c.keep()
		if err := c.s.Append(context.Background(), points); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.journal, "k %d\na %d %d\n", note, first, n); err != nil {
			return err
		}
	}
}

func (c *killed) settles(late bool) error {
	for {
		l, err := c.s.Lease(Query{Max: 50 + rand.IntN(250), Late: late})
		if err != nil {
			return err
		}
		if l == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		a := c.s.Account()
		line := fmt.Sprintf("d %d\ns", a.Delivered+a.LateLogged+a.LateDropped)
		each := make([]Settlement, len(l.Points))
		for i, p := range l.Points {
			if p.Stamp.Guess != late {
				return fmt.Errorf("point %d was leased with stamp %+v, late %v", p.Value.Uint64(), p.Stamp, late)
			}
			each[i].Outcome = Later
			if rand.IntN(10) > 0 {
				each[i].Outcome = Delivered
				if late {
					each[i].Outcome = Logged + Outcome(rand.IntN(2))
				}
				line += fmt.Sprintf(" %d", p.Value.Uint64())
			}
		}
		if _, err := io.WriteString(c.journal, line+"\n"); err != nil {
			return err
		}
		if err := c.s.Settle(l, each); err != nil {
			return err
		}
	}
}

// TestKilled kills a process under load at random moments and then looks for
// every point that the journal has.
func TestKilled(t *testing.T) {
	kills := 50
	switch {
	case testing.Short():
		kills = 8
	case os.Getenv("EDGEHOLD_SOAK") != "":
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var ever tally
	for i := range kills {
		killOnce(t, dir, byte(i/killsOfBoot), time.Duration(random.IntN(60_000))*time.Microsecond)
		sum := judge(t, dir)
		sum.dated, sum.undated = sum.dated+ever.dated, sum.undated+ever.undated
		ever = sum
		if t.Failed() {
			t.Fatalf("after kill %d", i+1)
		}
	}
	t.Logf("%d kills, %+v", kills, ever)
	if ever.acknowledged == 0 || ever.settled == 0 || kills >= 50 && (ever.dated == 0 || ever.undated == 0) {
		t.Error("too little was done")
	}
}

// killOnce starts the child, waits until its store is open and kills it.
func killOnce(t *testing.T, dir string, boot byte, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir, fmt.Sprintf("%s=%d %d", childBootVariable, boot, killOffset(boot)))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Errorf("child said %q: %v", line, err)
	}
	time.Sleep(after) // the random moment
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("child ended by itself: %v", err)
	}
}

// tally is what was found; dated and undated are of all kills together.
type tally struct{ acknowledged, settled, stored, duplicates, dated, undated int }

// judge holds the file against the journal.
func judge(t *testing.T, dir string) tally {
	t.Helper()
	says := readJournal(t, dir)
	s, err := Open(Options{Path: filepath.Join(dir, "buffer.db"), MaxSize: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	a, err := s.Verify()
	if err != nil {
		t.Fatal(err)
	}
	stored, sum := readAll(t, s)
	lost := 0
	for v := range says.acknowledged {
		if !stored[v] && !says.settled[v] {
			lost++
		}
	}
	for v := range stored {
		if says.settled[v] {
			sum.duplicates++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged points are lost", lost, len(says.acknowledged))
	}
	done := a.Delivered + a.LateLogged + a.LateDropped
	if a.Buffered+a.LateArchived != int64(len(stored)) || done != int64(len(says.settled)-sum.duplicates) || a.Accepted != a.Buffered+a.LateArchived+done {
		t.Errorf("account %+v, but %d in the store, %d settled, %d of them in the store", a, len(stored), len(says.settled), sum.duplicates)
	}
	if done < says.done {
		t.Errorf("%d points settled, after a commit that had %d", done, says.done)
	}
	note := int64(0)
	if _, _ = fmt.Sscan(string(s.Kept("note")), &note); note < says.note {
		t.Errorf("the note says %d, after a commit that had %d", note, says.note)
	}
	sum.acknowledged, sum.settled, sum.stored = len(says.acknowledged), len(says.settled), len(stored)
	return sum
}

// readAll gives the open points. All of one boot have the true time, or none.
func readAll(t *testing.T, s *Store) (stored map[uint64]bool, sum tally) {
	t.Helper()
	stored = make(map[uint64]bool)
	guess := make(map[probes.BootID]bool)
	err := s.Read(context.Background(), Selection{}, func(p Page) error {
		for i, x := range p.Points {
			v, boot := x.Value.Uint64(), x.Stamp.Boot
			if stored[v] {
				t.Errorf("point %d is twice in the store", v)
			}
			stored[v] = true
			before, seen := guess[boot]
			guess[boot] = x.Stamp.Guess
			switch {
			case seen && before != x.Stamp.Guess:
				t.Errorf("point %d has stamp %+v, unlike others of its boot", v, x.Stamp)
			case x.Stamp.Guess:
				sum.undated++
			case x.Stamp.Wall != killOffset(boot[0])+x.Stamp.Uptime.Milliseconds():
				t.Errorf("point %d has stamp %+v, its boot began at %d", v, x.Stamp, killOffset(boot[0]))
			default:
				sum.dated++
			}
			if !x.Stamp.Guess && p.State[i] != Buffered {
				t.Errorf("point %d of now is %v", v, p.State[i])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return stored, sum
}

// words are what a journal says.
type words struct {
	acknowledged, settled map[uint64]bool
	done, note            int64
}

// readJournal cuts off a last line that is not whole.
func readJournal(t *testing.T, dir string) words {
	t.Helper()
	path := filepath.Join(dir, "journal")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	says := words{acknowledged: make(map[uint64]bool), settled: make(map[uint64]bool)}
	whole := string(text[:strings.LastIndexByte(string(text), '\n')+1])
	if err := os.Truncate(path, int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(whole) {
		fields := strings.Fields(line)
		numbers := make([]uint64, len(fields)-1)
		for i, f := range fields[1:] {
			if _, err := fmt.Sscan(f, &numbers[i]); err != nil {
				t.Fatalf("journal line %q: %v", line, err)
			}
		}
		switch fields[0] {
		case "a":
			for i := range numbers[1] {
				says.acknowledged[numbers[0]+i] = true
			}
		case "s":
			for _, v := range numbers {
				says.settled[v] = true
			}
		case "d":
			says.done = max(says.done, int64(numbers[0]))
		case "k":
			says.note = max(says.note, int64(numbers[0]))
		}
	}
	return says
}
