package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/sign"
)

var errCrash = errors.New("the step fails")

// failAt lets the n-th step of a kind fail, and all steps after it, as a crash
// does; every step is of the kind "".
func failAt(kind string, n int) func(string) error {
	return func(what string) error {
		if n > 0 && (kind == "" || kind == what) {
			n--
		}
		if n == 0 {
			return errCrash
		}
		return nil
	}
}

// state is what a reader sees: packages and the content of their bundles.
func state(t testing.TB, dir string) string {
	t.Helper()
	s := openStore(t, dir)
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range entries {
		_, path, err := s.Find(e.Name, e.Version)
		if err != nil {
			t.Fatal(err)
		}
		p, err := sign.Open(path, sign.DefaultLimits())
		if err != nil || p.Digest != e.Digest {
			t.Fatalf("bundle of %+v: %v", e, err)
		}
		words = append(words, fmt.Sprint(e.Version, e.Active, e.Signer))
	}
	return strings.Join(words, " ")
}

// Whichever step of a change is the last one, the store is afterwards as it was
// or as it was to be, and goes on.
func TestEveryStepFails(t *testing.T) {
	one, two, three := packageOf(t, name, "1.0.0", ""), packageOf(t, name, "2.0.0", ""), packageOf(t, name, "3.0.0", "")
	for _, c := range []struct {
		name   string
		change func(*Store) error
		old    string
		new    string
	}{
		{"first", func(s *Store) error { return ignore(s.Install(signed(one, name, "1.0.0", "aa"))) }, "", "1.0.0trueaa"},
		{"higher", func(s *Store) error { return ignore(s.Install(signed(three, name, "3.0.0", "aa"))) }, "1.0.0falseaa 2.0.0trueaa", "1.0.0falseaa 2.0.0falseaa 3.0.0trueaa"},
		{"signed again", func(s *Store) error { return ignore(s.Install(signed(two, name, "2.0.0", "bb"))) }, "1.0.0falseaa 2.0.0trueaa", "1.0.0falseaa 2.0.0truebb"},
		{"activate", func(s *Store) error { return ignore(s.Activate(name, "1.0.0", true)) }, "1.0.0falseaa 2.0.0trueaa", "1.0.0trueaa 2.0.0falseaa"},
		{"remove", func(s *Store) error { return s.Remove(name, "") }, "1.0.0falseaa 2.0.0trueaa", "1.0.0falseaa"},
		{"append", func(s *Store) error { return s.Append(Record{Kind: "x"}) }, "1.0.0falseaa 2.0.0trueaa", "1.0.0falseaa 2.0.0trueaa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; ; n++ {
				dir := t.TempDir()
				s := openStore(t, dir)
				if c.old != "" {
					install(t, s, signed(one, name, "1.0.0", "aa"))
					install(t, s, signed(two, name, "2.0.0", "aa"))
				}
				reached := false
				fail := failAt("", n)
				s.disk.step = func(what string) error {
					err := fail(what)
					reached = reached || err != nil
					return err
				}
				err := c.change(s)
				switch got := state(t, dir); {
				case got != c.old && got != c.new:
					t.Fatalf("step %d: %s", n, got)
				case err == nil && got != c.new:
					t.Fatalf("step %d: the change is said to be made, and is not: %s", n, got)
				case err != nil && !errors.Is(err, errCrash):
					t.Fatalf("step %d: %v", n, err)
				}
				again := openStore(t, dir)
				if err := c.change(again); err != nil && !errors.Is(err, ErrNotInstalled) && c.name != "remove" {
					t.Fatalf("step %d: the change cannot be made afterwards: %v", n, err)
				}
				if _, _, err := again.VerifyHistory(); err != nil {
					t.Fatalf("step %d: %v", n, err)
				}
				if !reached {
					if n < 5 {
						t.Errorf("only %d steps", n)
					}
					return
				}
			}
		})
	}
}

func ignore(_ Entry, err error) error { return err }

// What an interrupted installation left is gone after the next one.
func TestSweep(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.disk.step = failAt("append", 1)
	if _, err := s.Install(signed(packageOf(t, name, "1.0.0", ""), name, "1.0.0", "aa")); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	s.disk.step = nil
	folder, err := s.bundlePath(name, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Fatal("the interrupted installation left nothing, so nothing is tested")
	}
	// It was never installed: other bytes may come.
	install(t, s, signed(packageOf(t, name, "2.0.0", ""), name, "2.0.0", "aa"))
	if _, err := os.Stat(filepath.Dir(folder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if got := list(t, s); got != name+"@2.0.0*" {
		t.Error(got)
	}
}

func TestIndexDamaged(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(s *Store) error
		said   string
		want   string
		faulty bool
	}{
		{"gone", func(s *Store) error { return os.Remove(s.path(indexFile)) }, "index.json was not there", "1.0.0falseaa 2.0.0trueaa", false},
		{"empty", func(s *Store) error { return os.Truncate(s.path(indexFile), 0) }, "index.json was damaged", "1.0.0falseaa 2.0.0trueaa", false},
		{"one bit", func(s *Store) error { return flip(s.path(indexFile)) }, "index.json was damaged (its hash does not fit", "1.0.0falseaa 2.0.0trueaa", false},
		{"history too", func(s *Store) error {
			return errors.Join(flip(s.path(indexFile)), os.Remove(s.path(historyFile)))
		}, "history.log has lost the record", "1.0.0false 2.0.0true", false},
		{"first record too", func(s *Store) error {
			data, err := os.ReadFile(s.path(historyFile))
			_, rest, _ := strings.Cut(string(data), "\n")
			return errors.Join(err, flip(s.path(indexFile)), os.WriteFile(s.path(historyFile), []byte(rest), 0o600))
		}, "history.log has lost the record", "1.0.0false 2.0.0trueaa", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			one := packageOf(t, name, "1.0.0", "")
			install(t, s, signed(one, name, "1.0.0", "aa"))
			install(t, s, signed(packageOf(t, name, "2.0.0", ""), name, "2.0.0", "aa"))
			if err := c.damage(s); err != nil {
				t.Fatal(err)
			}
			if got := state(t, dir); got != c.want {
				t.Fatalf("installed: %s, want %s", got, c.want)
			}
			if _, err := s.List(); err != nil || !strings.Contains(strings.Join(s.Warnings(), "\n"), c.said) {
				t.Errorf("%v, and it was not said", err)
			}
			_, err := s.Install(signed(packageOf(t, name, "1.0.0", "changed"), name, "1.0.0", "aa"))
			mustRefuse(t, err, RuleSameVersion)
			install(t, s, signed(packageOf(t, name, "3.0.0", ""), name, "3.0.0", "aa"))
			s.Warnings()
			if got := state(t, dir); got != strings.Replace(c.want, "true", "false", 1)+" 3.0.0trueaa" {
				t.Errorf("installed: %s", got)
			}
			if said := s.Warnings(); len(said) > 0 {
				t.Errorf("said again: %q", said)
			}
			if !strings.Contains(kinds(s), kindRebuilt) {
				t.Errorf("the history does not tell: %s", kinds(s))
			}
			if _, _, err := s.VerifyHistory(); (err != nil) != c.faulty {
				t.Error(err)
			}
		})
	}
}

// An index that was changed with care is believed no more than a damaged one.
func TestIndexForged(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	install(t, s, signed(packageOf(t, name, "1.0.0", ""), name, "1.0.0", "aa"))
	install(t, s, signed(packageOf(t, name, "2.0.0", ""), name, "2.0.0", "aa"))
	x, found, err := readIndex(s.path(indexFile))
	if err != nil || !found {
		t.Fatal(err)
	}
	x.Versions = x.Versions[1:]
	if err := s.save(&view{index: x}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Install(signed(packageOf(t, name, "1.0.0", "changed"), name, "1.0.0", "aa"))
	mustRefuse(t, err, RuleSameVersion)
	if said := s.Warnings(); len(said) != 1 || !strings.Contains(said[0], "did not agree") {
		t.Errorf("warnings: %q", said)
	}
	if err := s.Append(Record{Kind: "x"}); err != nil {
		t.Fatal(err)
	}
	if got := state(t, dir); got != "1.0.0falseaa 2.0.0trueaa" {
		t.Error(got)
	}
	if got := kinds(s); got != "install install index_rebuilt x" {
		t.Errorf("history: %s", got)
	}
	s.Warnings()
	if _, err := s.List(); err != nil || len(s.Warnings()) > 0 {
		t.Errorf("it is said again, %v", err)
	}
}

func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(path, data, 0o600)
}

// An index of a newer program is no damage.
func TestIndexOfNewerFormat(t *testing.T) {
	s := openStore(t, t.TempDir())
	install(t, s, signed(packageOf(t, name, "1.0.0", ""), name, "1.0.0", "aa"))
	sealed, _, err := seal(index{Format: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{sealed, []byte(`{"format":2,"else":[]}`)} {
		if err := os.WriteFile(s.path(indexFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.List(); err == nil || !strings.Contains(err.Error(), "newer format") {
			t.Errorf("%s: %v", data, err)
		}
		if err := s.Remove(name, ""); err == nil {
			t.Error("it was written to")
		}
		if got, _ := os.ReadFile(s.path(indexFile)); string(got) != string(data) {
			t.Error("it was changed")
		}
	}
}

const childFolder = "EDGEHOLD_STORE_CHILD"

// TestKilledChild is the process that TestKilled kills.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		t.Skip("is run by TestKilled")
	}
	s := openStore(t, dir)
	inner := [2][]byte{packageOf(t, name, "1.0.0", ""), packageOf(t, name, "2.0.0", "")}
	fmt.Println("ready")
	for i := 0; ; i++ {
		c := signed(inner[i%2], name, strconv.Itoa(i%2+1)+".0.0", strconv.Itoa(i))
		c.AllowDowngrade = true
		install(t, s, c)
		if i%3 == 2 {
			if err := s.Remove(name, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Killed at any moment the store is whole, and no record is lost or torn.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	records := 0
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), childFolder+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "ready\n" {
			t.Fatalf("the child said %q, %v", line, err)
		}
		<-time.After(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		state(t, dir) // fails where a bundle is not what the index says
		s := openStore(t, dir)
		_, n, err := s.VerifyHistory()
		if torn := (*HistoryError)(nil); err != nil && (!errors.As(err, &torn) || !torn.Torn) {
			t.Fatal(err)
		}
		if n < records {
			t.Fatalf("%d records, and there were %d", n, records)
		}
		records = n
	}
	if records < 10 {
		t.Errorf("only %d records: the children were killed before they did anything", records)
	}
}
