package custody

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

	"github.com/edgehold/edgehold/buffer"
)

const childVariable = "EDGEHOLD_CUSTODY_TEST_CHILD"

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

func killOptions(dir string) Options {
	return Options{Path: filepath.Join(dir, "relay.db"), MaxSize: 64 << 20, SettleInterval: 2 * time.Millisecond}
}

const killPoints = 20 // of each block

// child puts from several writers and settles what is open in lane 1, until
// it is killed. Its journal, one write for each line, says:
//
//	p SITE EPOCH SEQ        Put has said Stored or Duplicate
//	s SITE EPOCH SEQ FROM   the points from there on are about to be settled
//	f SITE EPOCH SEQ N N    TakeFinished had it: delivered, refused
func child(dir string) error {
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, err := Open(killOptions(dir))
	if err != nil {
		return err
	}
	fmt.Println("open")
	failed := make(chan error)
	for i := range 4 {
		go func() { failed <- childPuts(s, journal, fmt.Sprintf("site-%d", i)) }()
	}
	go func() { failed <- childSettles(s, journal) }()
	go func() { failed <- childHears(s, journal) }()
	return <-failed
}

func childPuts(s *Store, journal io.Writer, site string) error {
	epoch := rand.Uint64()
	for seq := uint64(1); ; seq++ {
		now := time.Now().UnixMilli()
		b := Block{
			Site: site, Epoch: epoch, Seq: seq, Kind: KindPoints, Lane: 1 + uint8(seq%4/3), Points: killPoints, First: now, Last: now,
			Data: content(site, epoch, seq, 100+rand.IntN(20_000)),
		}
		if rand.IntN(5) == 0 {
			b.Names = []byte("names")
		}
		for range 1 + rand.IntN(2) { // some come twice
			r, err := s.Put(b).Wait(context.Background())
			if err != nil {
				return err
			}
			if r.Status != Stored && r.Status != Duplicate && r.Status != Done {
				return fmt.Errorf("put says %v", r.Status)
			}
		}
		if _, err := fmt.Fprintf(journal, "p %s %d %d\n", site, epoch, seq); err != nil {
			return err
		}
	}
}

func childSettles(s *Store, journal io.Writer) error {
	q := Query{KindPoints, 1, false}
	for {
		name, ok := s.NextSite(q, fmt.Sprintf("site-%d", rand.IntN(5)-1))
		x, there := s.Next(name, q, 0)
		if !ok || !there {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		data, err := s.Data(x.Number)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(data), fmt.Sprintf("%s %d %d ", x.Site, x.Epoch, x.Seq)) {
			return fmt.Errorf("block %+v is %.50q", x, data)
		}
		from := s.OpenSpans(x.Number)[0].From
		if _, err := fmt.Fprintf(journal, "s %s %d %d %d\n", x.Site, x.Epoch, x.Seq, from); err != nil {
			return err
		}
		to := min(killPoints, from+1+rand.IntN(killPoints))
		outcome := buffer.Delivered
		if rand.IntN(4) == 0 {
			outcome = buffer.Refused
		}
		s.Hold(x.Number)
		if err := s.Settle(x.Number, []Part{{from, to, outcome, nil}}); err != nil {
			return err
		}
		s.Release(x.Number)
	}
}

func childHears(s *Store, journal io.Writer) error {
	for range s.Finished() {
		for _, x := range s.TakeFinished() {
			if _, err := fmt.Fprintf(journal, "f %s %d %d %d %d\n", x.Site, x.Epoch, x.Seq, x.Counts.Delivered, x.Counts.DeadLetter); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestKilled kills a process under load at random moments, and then holds the
// file against its journal.
func TestKilled(t *testing.T) {
	kills := 20
	switch {
	case testing.Short():
		kills = 5
	case longForm():
		kills = 300
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var stored, done int
	for i := range kills {
		killOnce(t, dir, time.Duration(random.IntN(60_000))*time.Microsecond)
		stored, done = judge(t, dir, i+1)
		if t.Failed() {
			t.Fatalf("after kill %d", i+1)
		}
	}
	t.Logf("%d kills, %d blocks stored, %d of them finished", kills, stored, done)
	if done == 0 || done == stored {
		t.Error("too little was done")
	}
}

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

// readJournal cuts off a last line that is not whole.
func readJournal(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "journal")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = text[:strings.LastIndexByte(string(text), '\n')+1]
	if err := os.Truncate(path, int64(len(text))); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// judge holds the file against the journal.
func judge(t *testing.T, dir string, kills int) (stored, done int) {
	t.Helper()
	whole := readJournal(t, dir)
	s, err := Open(killOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	settling, over := make(map[modelKey]bool), make(map[modelKey]bool)
	for line := range strings.Lines(whole) {
		var k modelKey
		var what string
		var a, b int64
		_, _ = fmt.Sscan(line, &what, &k.site, &k.epoch, &k.seq, &a, &b)
		got, err := s.Lookup(k.site, k.epoch, k.seq)
		if err != nil {
			t.Fatal(err)
		}
		r := got[0]
		switch what {
		case "p":
			stored++
			if r.Status == Done {
				over[k] = true
			}
			if r.Status != Stored && r.Status != Done {
				t.Errorf("block %+v was acknowledged, and is %v", k, r.Status)
			}
		case "s":
			settling[k] = true
		case "f":
			plain := b == 0 && r.Counts == Counts{}
			if r.Status != Done || !plain && r.Counts != (Counts{Delivered: a, DeadLetter: b}) {
				t.Errorf("block %+v was finished with %d and %d, and is %+v", k, a, b, r)
			}
		}
	}
	for k := range over {
		if !settling[k] {
			t.Errorf("block %+v is done, and nobody has settled it", k)
		}
	}
	// Each writer may have had one block stored that it could not write down.
	if n := s.Account().Accepted; n < int64(stored*killPoints) || n > int64((stored+4*kills)*killPoints) {
		t.Errorf("account %+v for %d blocks", s.Account(), stored)
	}
	return stored, len(over)
}
