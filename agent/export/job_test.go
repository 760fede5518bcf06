package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// exported runs a job to the end and gives its text.
func exported(t *testing.T, s Source, r Request) (string, Result) {
	t.Helper()
	var out bytes.Buffer
	res, err := Job{Source: s, Request: r, Stdout: &out, Now: noon}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Bytes != int64(out.Len()) {
		t.Errorf("%s: %d bytes written, %d counted", r.Format, out.Len(), res.Bytes)
	}
	return out.String(), res
}

func TestMint(t *testing.T) {
	s := &fakeStore{}
	s.add(
		probes.Point{Series: probes.NewSeries("if.in", probes.Count, dims("port", "Gi 1")...), Value: probes.Uint(math.MaxUint64), Stamp: at(start)},
		probes.Point{Series: probes.NewSeries("t", probes.Gauge), Value: probes.Float(21.5), Stamp: at(start + 1)},
		probes.Point{Series: probes.NewSeries("", probes.Gauge), Value: probes.Float(1), Stamp: at(start + 1)},
	)
	s.records = append(s.records, fakeRecord{entries: make([]buffer.Entry, 3)})
	text, res := exported(t, Stopped{s, ""}, Request{})
	want := "if.in,port=Gi\\ 1 count,delta=18446744073709551615 1767225600000\n"
	if !strings.HasPrefix(text, want) {
		t.Errorf("wrote %q, want %q first", text, want)
	}
	if n := int64(strings.Count(text, "\n")); res.Points != n || res.Skipped != 3-n || res.SkipReason == "" || res.Entries != 3 {
		t.Errorf("%d lines, counted as %+v", n, res)
	}
}

// Another reader of CSV and JSON finds in the file what was in the store.
func TestCSV(t *testing.T) {
	s := &fakeStore{}
	values := []probes.Value{probes.Uint(math.MaxUint64), probes.Int(-7), probes.Float(0.1), probes.Summarize(probes.Summary{Min: -1.5, Max: 2, Sum: 0.5, Count: 3})}
	series := probes.NewSeries(`odd,"key"`, probes.Gauge, dims("a", `q"<ü>`+"\n,", "z", "")...)
	var points []probes.Point
	for i, v := range values {
		points = append(points, probes.Point{Series: series, Value: v, Stamp: at(start + int64(i))})
	}
	s.add(points...)
	s.records[0].state = []buffer.PointState{buffer.Buffered, buffer.Late, buffer.Settled, buffer.Buffered}
	text, _ := exported(t, Stopped{s, ""}, Request{Format: "csv", Delivered: true})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 5 || strings.Count(text, "\n") != 5 {
		t.Fatalf("%d rows, %v:\n%s", len(rows), err, text)
	}
	for i, want := range [][]string{
		{"2026-01-01T00:00:00.000Z", "1767225600000", `odd,"key"`, "gauge", "18446744073709551615", "", "", "", "", "buffered"},
		{"2026-01-01T00:00:00.001Z", "1767225600001", `odd,"key"`, "gauge", "-7", "", "", "", "", "late"},
		{"2026-01-01T00:00:00.002Z", "1767225600002", `odd,"key"`, "gauge", "0.1", "", "", "", "", "settled"},
		{"2026-01-01T00:00:00.003Z", "1767225600003", `odd,"key"`, "gauge", "", "-1.5", "2", "0.5", "3", "buffered"},
	} {
		row := rows[i+1]
		if !slices.Equal(row[:10], want) {
			t.Errorf("row %q, want %q", row, want)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(row[10]), &got); err != nil || len(got) != 1 || got["a"] != `q"<ü>`+"\n," {
			t.Errorf("dimensions %q: %v, %v", row[10], got, err)
		}
	}
}

// Wherever an export is interrupted, going on ends with the same bytes.
func TestResume(t *testing.T) {
	s := site(9, 3)
	for _, format := range Formats {
		want, total := exported(t, Stopped{s, ""}, Request{Format: format, Device: "core-sw1", Since: "90d"})
		for stop := 1; stop < len(s.records); stop++ {
			file := filepath.Join(t.TempDir(), "out")
			job := Job{Source: s.running(), Request: Request{Format: format, Device: "core-sw1", Since: "90d"}, Output: file, Now: noon, Checkpoint: time.Nanosecond}
			s.stop = stop
			if _, err := job.Run(t.Context()); !errors.Is(err, errStopped) || !strings.Contains(err.Error(), "--resume") {
				t.Fatalf("%s stopped at %d: %v", format, stop, err)
			}
			s.stop = 0
			tearTail(t, file)
			// Time has gone on; what is not given again is as it was.
			job.Request, job.Resume, job.Now = Request{Since: "90d"}, true, noon.Add(time.Hour)
			res, err := job.Run(t.Context())
			if err != nil {
				t.Fatalf("%s resumed at %d: %v", format, stop, err)
			}
			if got := readFile(t, file); got != want {
				t.Errorf("%s resumed at %d gave\n%s\nwant\n%s", format, stop, got, want)
			}
			if res.Totals != total.Totals {
				t.Errorf("%s resumed at %d counted %+v, want %+v", format, stop, res.Totals, total.Totals)
			}
			wantOnly(t, file)
		}
	}
}

// tearTail adds what a crash may leave behind the last whole record.
func tearTail(t *testing.T, file string) {
	t.Helper()
	for _, name := range []string{file + ".part", file + ".part.spill"} {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("torn"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantOnly fails where an export left more than its file.
func wantOnly(t *testing.T, file string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// The merge of openmetrics is interrupted, and done again without the store.
func TestResumeMerge(t *testing.T) {
	s := site(2000, 3)
	want, _ := exported(t, Stopped{s, ""}, Request{Format: "openmetrics"})
	file := filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithCancel(t.Context())
	job := Job{Source: Stopped{s, ""}, Request: Request{Format: "openmetrics"}, Output: file, Now: noon}
	job.Progress = func(what string, _, _ int64) {
		if what == "write" {
			cancel()
		}
	}
	if _, err := job.Run(ctx); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	job.Resume, job.Progress, s.stop = true, nil, 1
	if _, err := job.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, file); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	wantOnly(t, file)
}

func TestResumeRefuses(t *testing.T) {
	s := site(6, 2)
	file := filepath.Join(t.TempDir(), "out")
	job := Job{Source: Stopped{s, "/a"}, Request: Request{Format: "csv", Key: "bytes"}, Output: file, Now: noon, Resume: true}
	refused := func(what, words string, j Job) {
		t.Helper()
		if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", what, err, words)
		}
	}
	refused("nothing there", "there is nothing to resume", job)
	s.stop, job.Resume = 3, false
	refused("the store fails", "stopped by the test", job)
	s.stop = 0
	refused("begun anew", "go on with it by --resume, or delete it", job)
	job.Resume = true
	other := job
	other.Request.Format = "mint"
	refused("other format", `--format is "mint", the interrupted export has "csv"`, other)
	other = job
	other.Request.Dims = map[string]string{"port": "x"}
	refused("other dimension", "--dim is", other)
	other = job
	other.Source = Stopped{s, "/b"}
	refused("other store", "this store is /b, the interrupted export is of /a", other)
	if err := os.Truncate(file+".part", 3); err != nil {
		t.Fatal(err)
	}
	refused("cut", "shorter than its .state file says", job)
	if err := os.WriteFile(file+".part.state", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("broken state", "delete it and", job)
	refused("no folder", "make its folder", Job{Source: job.Source, Output: filepath.Join(file, "x", "y"), Now: noon})
}

// A full disk is told with its mend, and the export goes on when there is room.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("SKIPPED, no small disk can be made here (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := site(400, 4)
	for _, format := range Formats {
		want, _ := exported(t, Stopped{s, ""}, Request{Format: format})
		file := filepath.Join(dir, "out")
		job := Job{Source: Stopped{s, ""}, Request: Request{Format: format}, Output: file, Now: noon, Checkpoint: time.Nanosecond}
		_, err := job.Run(t.Context())
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") || !strings.Contains(err.Error(), "--resume") {
			t.Fatalf("%s of %d bytes: %v", format, len(want), err)
		}
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=8m"); err != nil {
			t.Fatal(err)
		}
		job.Resume = true
		if _, err := job.Run(t.Context()); err != nil {
			t.Fatalf("%s resumed: %v", format, err)
		}
		if readFile(t, file) != want {
			t.Errorf("%s: the file is not that of one run", format)
		}
		wantOnly(t, file)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64k"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestErrors(t *testing.T) {
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{Since: "soon"}, "--since: "},
		{Request{Until: "soon"}, "--until: "},
		{Request{Since: "1h", Until: "2h"}, "exchange them"},
		{Request{Key: "[a"}, "is not a pattern"},
	} {
		if _, err := c.r.Filter(noon); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}

// The spill of many small runs is merged as one big one would be.
func TestSortRuns(t *testing.T) {
	s := site(50, 3)
	s.add(slices.Clone(s.records[0].points)...) // again, with other values
	for i := range s.records[len(s.records)-1].points {
		s.records[len(s.records)-1].points[i].Value = probes.Float(float64(i))
	}
	var texts []string
	for _, limit := range []int{1, 7, 64, 1 << 20} {
		out, err := temporary()
		if err != nil {
			t.Fatal(err)
		}
		w := &work{job: Job{Now: noon, Progress: func(string, int64, int64) {}, Checkpoint: time.Hour}, out: out, sorter: newSorter()}
		w.sorter.limit = limit
		if err := s.Read(t.Context(), buffer.Selection{Settled: true}, w.page); err != nil {
			t.Fatal(err)
		}
		if err := w.endCollect(); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := w.merge(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		if w.state.Totals.Doubles != 3+1 { // the statistic was given again as a value
			t.Errorf("limit %d: %d doubles, want 4", limit, w.state.Totals.Doubles)
		}
		if limit == 1 && len(w.sorter.runs) < 50 || limit > 1000 && len(w.sorter.runs) != 1 {
			t.Errorf("limit %d: %d runs", limit, len(w.sorter.runs))
		}
		texts = append(texts, text.String())
		_ = out.f.Close()
	}
	for _, text := range texts[1:] {
		if text != texts[0] {
			t.Error("the text depends on the size of the runs")
		}
	}
}

// An export never replaces what is no regular file, and says so before it
// reads the store.
func TestOutputMustBeAFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(target, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	s := Stopped{site(2, 1), ""}
	for _, path := range []string{dir, link, pipe} {
		for _, resume := range []bool{false, true} {
			_, err := Job{Source: s, Output: path, Resume: resume, Now: noon}.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "no regular file") {
				t.Errorf("%s: %v", path, err)
			}
		}
		if _, err := os.Lstat(path + ".part"); err == nil {
			t.Errorf("%s.part was made", path)
		}
	}
	if _, err := (Job{Source: s, Output: target, Now: noon}).Run(t.Context()); err != nil {
		t.Errorf("a regular file: %v", err)
	}
}

// A key is whatever a package has as its key; the file is UTF-8.
func TestCSVIsUTF8(t *testing.T) {
	s := &fakeStore{}
	s.add(probes.Point{Series: probes.NewSeries("k\xff", probes.Gauge, dims("a", "b\xfe")...), Value: probes.Int(1), Stamp: at(start)})
	if text, _ := exported(t, Stopped{s, ""}, Request{Format: "csv"}); !utf8.ValidString(text) || !strings.Contains(text, "k\uFFFD") {
		t.Errorf("%q", text)
	}
}
