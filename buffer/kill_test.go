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
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

const childVariable = "EDGEHOLD_BUFFER_TEST_CHILD"

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
// killed. Its journal, one write for each line, says:
//
//	a FIRST N     Append has returned: points FIRST.. are accepted
//	s V V ...     these points are about to be settled as delivered
//	d N           the account as of a commit has N points delivered
func child(dir string) error {
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, err := Open(Options{Path: filepath.Join(dir, "buffer.db"), MaxSize: 256 << 20, CommitInterval: 3 * time.Millisecond})
	if err != nil {
		return err
	}
	fmt.Println("open")
	failed := make(chan error)
	for range 4 {
		go func() { failed <- childAppends(s, journal) }()
	}
	go func() { failed <- childSettles(s, journal) }()
	return <-failed
}

func childAppends(s *Store, journal io.Writer) error {
	for {
		n := 1 + rand.IntN(300)
		first := rand.Uint64() >> 1 << 9
		now := time.Now()
		points := make([]probes.Point, n)
		for i := range points {
			points[i] = probes.Point{
				Series: series(rand.IntN(2000)), Value: probes.Uint(first + uint64(i)),
				Stamp: probes.Stamp{Wall: now.UnixMilli(), Uptime: time.Duration(now.UnixNano())},
			}
		}
		if err := s.Append(context.Background(), points); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(journal, "a %d %d\n", first, n); err != nil {
			return err
		}
	}
}

func childSettles(s *Store, journal io.Writer) error {
	for {
		l, err := s.Lease(Query{Max: 50 + rand.IntN(250)})
		if err != nil {
			return err
		}
		if l == nil {
			<-s.Committed()
			continue
		}
		line := fmt.Sprintf("d %d\ns", s.Account().Delivered)
		each := make([]Settlement, len(l.Points))
		for i, p := range l.Points {
			each[i].Outcome = Later
			if rand.IntN(10) > 0 {
				each[i].Outcome = Delivered
				line += fmt.Sprintf(" %d", p.Value.Uint64())
			}
		}
		if _, err := io.WriteString(journal, line+"\n"); err != nil {
			return err
		}
		if err := s.Settle(l, each); err != nil {
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
		killOnce(t, dir, time.Duration(random.IntN(60_000))*time.Microsecond)
		ever = judge(t, dir)
		if t.Failed() {
			t.Fatalf("after kill %d", i+1)
		}
	}
	t.Logf("%d kills, %+v", kills, ever)
	if ever.acknowledged == 0 || ever.settled == 0 {
		t.Error("the child did nothing")
	}
}

// killOnce starts the child, waits until its store is open and kills it.
func killOnce(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
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

type tally struct{ acknowledged, settled, stored, duplicates int }

// judge holds the file against the journal.
func judge(t *testing.T, dir string) tally {
	t.Helper()
	acknowledged, settled, delivered := readJournal(t, dir)
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
	stored, duplicates := make(map[uint64]bool), 0
	for {
		l, err := s.Lease(Query{Max: 5000})
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			break
		}
		for _, p := range l.Points {
			v := p.Value.Uint64()
			if stored[v] {
				t.Errorf("point %d is twice in the store", v)
			}
			stored[v] = true
			if settled[v] {
				duplicates++
			}
		}
	}
	lost := 0
	for v := range acknowledged {
		if !stored[v] && !settled[v] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged points are lost", lost, len(acknowledged))
	}
	if a.Buffered != int64(len(stored)) || a.Delivered != int64(len(settled)-duplicates) || a.Accepted != a.Buffered+a.Delivered {
		t.Errorf("account %+v, but %d in the store, %d settled, %d of them in the store", a, len(stored), len(settled), duplicates)
	}
	if a.Delivered < delivered {
		t.Errorf("%d points delivered, after a commit that had %d", a.Delivered, delivered)
	}
	return tally{len(acknowledged), len(settled), len(stored), duplicates}
}

// readJournal cuts off a last line that is not whole.
func readJournal(t *testing.T, dir string) (acknowledged, settled map[uint64]bool, delivered int64) {
	t.Helper()
	path := filepath.Join(dir, "journal")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged, settled = make(map[uint64]bool), make(map[uint64]bool)
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
				acknowledged[numbers[0]+i] = true
			}
		case "s":
			for _, v := range numbers {
				settled[v] = true
			}
		case "d":
			delivered = int64(numbers[0])
		}
	}
	return acknowledged, settled, delivered
}
