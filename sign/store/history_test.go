package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// written makes a store with n records of the agent's and returns its lines.
func written(t testing.TB, n int) (*Store, [][]byte) {
	t.Helper()
	s := openStore(t, t.TempDir())
	for i := range n {
		if err := s.Append(Record{Kind: "configuration", Name: "edgehold.yaml", Detail: fmt.Sprintf("hash %d <&> ü", i)}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(s.path(historyFile))
	if err != nil {
		t.Fatal(err)
	}
	return s, bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

// rewrite replaces the history; without an index nothing but the chain tells.
func (s *Store) rewrite(t testing.TB, data []byte, keepIndex bool) {
	t.Helper()
	err := os.WriteFile(s.path(historyFile), data, 0o600)
	if !keepIndex {
		err = errors.Join(err, os.Remove(s.path(indexFile)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestHistory(t *testing.T) {
	s := openStore(t, t.TempDir())
	if head, n, err := s.VerifyHistory(); head != firstPrev || n != 0 || err != nil {
		t.Errorf("an empty history: %s, %d, %v", head, n, err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.FixedZone("x", 3600))
	want := Record{Number: 1, Time: at.UTC(), Kind: "allow_unsigned", Name: "n", Version: "v", Digest: "d", Signer: "s", Categories: []string{"c"}, By: "agent", Detail: "on", Prev: firstPrev}
	if err := s.Append(Record{Number: 7, Time: at, Kind: want.Kind, Name: "n", Version: "v", Digest: "d", Signer: "s", Categories: []string{"c"}, By: "agent", Detail: "on", Prev: "x", Hash: "y"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(Record{Kind: "revoked"}); err != nil {
		t.Fatal(err)
	}
	var all []Record
	for r, err := range s.History() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	head := verify(t, s, 2)
	if len(all) != 2 || all[1].Prev != all[0].Hash || all[1].Hash != head || all[1].By != "test" || time.Since(all[1].Time) > time.Hour {
		t.Fatalf("records %+v, head %s", all, head)
	}
	want.Hash = all[0].Hash
	if fmt.Sprint(all[0]) != fmt.Sprint(want) {
		t.Errorf("record %+v, want %+v", all[0], want)
	}
	for _, err := range s.History() {
		if err != nil {
			t.Error(err)
		}
		break // a reader may stop
	}
	// By hand: the hash of a line without its hash.
	data, _ := os.ReadFile(s.path(historyFile))
	line, _, _ := strings.Cut(string(data), "\n")
	body, _, _ := strings.Cut(line, `,"hash":"`)
	if hashOf([]byte(body+"}")) != all[0].Hash {
		t.Error("the hash is not that of the line without it")
	}
}

func TestLongTexts(t *testing.T) {
	s := openStore(t, t.TempDir())
	long := strings.Repeat("\x01\"ü", 100_000)
	if err := s.Append(Record{Kind: "x", Name: long, By: long, Detail: long, Categories: slices.Repeat([]string{long}, 1000)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(Record{Kind: "y", Detail: "\xff"}); err != nil {
		t.Fatal(err)
	}
	verify(t, s, 2)
	if info, err := os.Stat(s.path(historyFile)); err != nil || info.Size() > longestTorn {
		t.Errorf("the longest record does not fit: %v, %v", info.Size(), err)
	}
}

// Every change of every line is found, with the number of the line.
func TestHistoryTampered(t *testing.T) {
	const n = 6
	for _, c := range []struct {
		name   string
		tamper func(lines [][]byte) [][]byte
		want   string
	}{
		{"text", func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("hash 2"), []byte("hash 9"), 1); return l }, "line 3: its hash does not fit"},
		{"time", func(l [][]byte) [][]byte { l[0] = bytes.Replace(l[0], []byte(`"20`), []byte(`"21`), 1); return l }, "line 1: its hash does not fit"},
		{"key", func(l [][]byte) [][]byte { l[1] = bytes.Replace(l[1], []byte(`"by"`), []byte(`"bY"`), 1); return l }, "line 2: its hash does not fit"},
		{"space", func(l [][]byte) [][]byte { l[1] = append([]byte(" "), l[1]...); return l }, "line 2: something stands before"},
		{"line end", func(l [][]byte) [][]byte { l[1] = bytes.Replace(l[1], []byte("\n"), []byte(" \n"), 1); return l }, "line 2: its hash does not fit"},
		{"removed", func(l [][]byte) [][]byte { return slices.Delete(l, 2, 3) }, "line 3: record 3 is missing before it"},
		{"several removed", func(l [][]byte) [][]byte { return slices.Delete(l, 1, 4) }, "line 2: records 2 to 4 are missing"},
		{"first removed", func(l [][]byte) [][]byte { return l[1:] }, "line 1: record 1 is missing"},
		{"empty line", func(l [][]byte) [][]byte { return slices.Insert(l, 3, []byte("\n")) }, "line 4: its hash does not fit"},
		{"doubled", func(l [][]byte) [][]byte { return slices.Insert(l, 3, l[2]) }, "line 4: it is record 3, but stands after record 3"},
		{"exchanged", func(l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l }, "line 3: record 3 is missing"},
		{"moved", func(l [][]byte) [][]byte { return append(l[1:], l[0]) }, "line 1: record 1 is missing"},
		{"made anew", func(l [][]byte) [][]byte {
			line, _, _ := tail{Number: 2, Hash: strings.Repeat("1", 64)}.next(Record{Kind: "configuration"})
			l[2] = line
			return l
		}, "line 3: record 3 does not follow from the one before it"},
		{"foreign seal", func(l [][]byte) [][]byte {
			line, _, _ := tail{Number: 2, Hash: hashOfLine(l[1])}.next(Record{Kind: "configuration", Detail: "harmless"})
			l[2] = line
			return l
		}, "line 4: record 4 does not follow"},
		{"long line", func(l [][]byte) [][]byte {
			return slices.Insert(l, 1, append(bytes.Repeat([]byte("x"), 3*longestLine), '\n'))
		}, "line 2: is longer than any record"},
		{"long end", func(l [][]byte) [][]byte { return append(l, bytes.Repeat([]byte("x"), 3*longestLine)) }, "line 7: is longer than any record"},
		{"torn in the middle", func(l [][]byte) [][]byte { l[2] = l[2][:20]; return l }, "line 3: something stands before the record"},
		{"told as torn", func(l [][]byte) [][]byte {
			line, _, _ := tail{Number: 2, Hash: hashOfLine(l[1])}.next(Record{Kind: kindMended})
			l[2] = line
			return l
		}, "line 3: tells of a line that was not written to its end, which is not there"},
		{"told as damaged", func(l [][]byte) [][]byte {
			line, _, _ := tail{Number: n, Hash: hashOfLine(l[n-1])}.next(Record{Kind: kindDamaged, Detail: "it was"})
			return append(l, line)
		}, "record 7 tells of damage: it was"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, lines := written(t, n)
			lines[n-1] = append(lines[n-1], '\n')
			s.rewrite(t, bytes.Join(c.tamper(lines), nil), false)
			if _, _, err := s.VerifyHistory(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			// It is found for ever, and the agent can go on.
			for range 2 {
				if err := s.Append(Record{Kind: "configuration"}); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := s.VerifyHistory(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("after further records: %v, want %q", err, c.want)
			}
		})
	}
}

func hashOfLine(line []byte) string {
	r, _ := parseRecord(bytes.TrimSpace(line))
	return r.Hash
}

// A cut end leaves a sound chain: the index knows better, and goes on saying so.
func TestHistoryCut(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  func(lines [][]byte) []byte
		want string
	}{
		{"last line", func(l [][]byte) []byte { return bytes.Join(l[:5], nil) }, "ends with record 5, and 6 were written"},
		{"half", func(l [][]byte) []byte { return bytes.Join(l[:3], nil) }, "ends with record 3, and 6 were written"},
		{"all", func([][]byte) []byte { return nil }, "ends with record 0, and 6 were written"},
		{"written anew", func(l [][]byte) []byte {
			line, _, _ := tail{Number: 5, Hash: hashOfLine(l[4])}.next(Record{Kind: "configuration"})
			return append(bytes.Join(l[:5], nil), line...)
		}, "record 6 is not the one that was written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, lines := written(t, 6)
			s.rewrite(t, c.cut(lines), true)
			if _, _, err := s.VerifyHistory(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if said := s.Warnings(); len(said) != 1 || !strings.Contains(said[0], c.want) {
				t.Errorf("warnings: %q", said)
			}
			if err := errors.Join(s.Append(Record{Kind: "x"}), s.Append(Record{Kind: "y"})); err != nil {
				t.Fatal(err)
			}
			if _, n, err := s.VerifyHistory(); err == nil || n != 9 {
				t.Errorf("%d records, %v", n, err)
			}
			if got := kinds(s); !strings.HasSuffix(got, "history_damaged x y") {
				t.Errorf("history: %s", got)
			}
		})
	}
}

// A record that was not written to its end is told and mended, wherever it was
// cut, however often, and whatever the file system filled it with.
func TestHistoryTorn(t *testing.T) {
	const n = 3
	_, lines := written(t, n)
	whole := bytes.Join(lines, nil)
	last := len(whole) - len(lines[n-1])
	for cut := last + 1; cut <= len(whole); cut += 19 {
		for _, fill := range [][]byte{nil, make([]byte, 100), []byte("{\"number\":")} {
			s := openStore(t, t.TempDir())
			if err := errors.Join(s.prepare(), os.WriteFile(s.path(historyFile), append(bytes.Clone(whole[:cut]), fill...), 0o600)); err != nil {
				t.Fatal(err)
			}
			checkTorn(t, s, n-1)
		}
	}
	// Whole, but for the end of its line: it counts.
	s := openStore(t, t.TempDir())
	if err := errors.Join(s.prepare(), os.WriteFile(s.path(historyFile), whole, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, n2, err := s.VerifyHistory(); n2 != n || err != nil {
		t.Errorf("%d records, %v", n2, err)
	}
	if err := s.Append(Record{Kind: "x"}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(s); got != "configuration configuration configuration index_rebuilt x" {
		t.Errorf("history: %s", got)
	}
}

func checkTorn(t *testing.T, s *Store, whole int) {
	t.Helper()
	var torn *HistoryError
	if _, n, err := s.VerifyHistory(); !errors.As(err, &torn) || !torn.Torn || n != whole {
		t.Fatalf("%d records, %v", n, err)
	}
	// The record that mends is torn itself.
	s.disk.step = failAt("append", 1)
	if err := s.Append(Record{Kind: "x"}); err == nil {
		t.Fatal("appended")
	}
	s.disk.step = nil
	data, err := os.ReadFile(s.path(historyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(historyFile), append(data, `{"number":3,"ti`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(Record{Kind: "x"}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(s); got != strings.Repeat("configuration ", whole)+"mended index_rebuilt x" {
		t.Fatalf("history: %s", got)
	}
	verify(t, s, whole+3)
	// What was torn is still there, and held by the chain.
	after, err := os.ReadFile(s.path(historyFile))
	if err != nil || !bytes.HasPrefix(after, data) {
		t.Error("the torn line is gone")
	}
	after[len(data)-1] ^= 1
	s.rewrite(t, after, true)
	if _, _, err := s.VerifyHistory(); err == nil {
		t.Error("a change of the torn line is not found")
	}
}

// FuzzHistory changes a history: whatever was done is found by the chain or by
// the known hash of its end, unless nothing but the end of the last line is gone;
// and the next record can be read.
func FuzzHistory(f *testing.F) {
	end := tail{Hash: firstPrev}
	var whole []byte
	for range 4 {
		line, r, err := end.next(Record{Kind: "configuration", Detail: "d"})
		if err != nil {
			f.Fatal(err)
		}
		whole, end = append(whole, line...), tail{Number: r.Number, Hash: r.Hash}
	}
	f.Add(0, 1, []byte("x"))
	f.Add(100, 0, []byte("\n"))
	f.Add(len(whole)-1, 1, []byte{})
	f.Add(0, len(whole), []byte{})
	f.Fuzz(func(t *testing.T, at, gone int, put []byte) {
		at = min(max(at, 0), len(whole))
		gone = min(max(gone, 0), len(whole)-at)
		changed := slices.Concat(whole[:at], put, whole[at+gone:])
		last, faults, torn := scanned(t, changed)
		same := bytes.Equal(bytes.TrimSuffix(changed, []byte("\n")), bytes.TrimSuffix(whole, []byte("\n")))
		if torn && faults == 0 && last.Hash == end.Hash {
			same = bytes.HasPrefix(changed, whole) // a new line that was begun
		}
		if same != (faults == 0 && last.Hash == end.Hash) {
			t.Fatalf("%d faults, torn %v, %d records, of %q", faults, torn, last.Number, changed)
		}
		if len(last.torn) > 0 && !last.long {
			line, r, err := last.next(last.mend())
			if err != nil {
				t.Fatal(err)
			}
			changed, last = append(changed, line...), tail{Number: r.Number, Hash: r.Hash}
		}
		line, next, err := last.next(Record{Kind: "after"})
		if err != nil {
			t.Fatal(err)
		}
		after, again, torn := scanned(t, append(changed, line...))
		if after.Hash != next.Hash || torn || again != faults {
			t.Fatalf("after further records: %d faults, torn %v, the end is %+v and was to be %+v", again, torn, after, next)
		}
	})
}

// scanned counts the faults of a history.
func scanned(t *testing.T, data []byte) (end tail, faults int, torn bool) {
	t.Helper()
	end, err := scan(bytes.NewReader(data), func(_ Record, err error) bool {
		var place *HistoryError
		switch {
		case errors.As(err, &place) && place.Torn:
			torn = true
		case err != nil:
			faults++
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return end, faults, torn
}
