package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

func TestBarText(t *testing.T) {
	for _, c := range []struct {
		took  time.Duration
		bytes [3]int64
		want  string
	}{
		{0, [3]int64{0, 0, 0}, "read   [........................]   0 %  0 B of 1 B"},
		{4 * time.Second, [3]int64{0, 50_000, 100_000}, "read   [############............]  50 %  50 kB of 100 kB  12 kB/s  4s left"},
		{10 * time.Second, [3]int64{80_000, 90_000, 100_000}, "read   [#####################...]  90 %  90 kB of 100 kB  1000 B/s  10s left"},
		{time.Minute, [3]int64{0, 200, 100}, "read   [########################] 100 %  100 B of 100 B  1 B/s  0ms left"},
	} {
		if got := barText(fullBar, "read", c.took, c.bytes); got != c.want {
			t.Errorf("%v: %q, want %q", c.bytes, got, c.want)
		}
	}
}

// The bar keeps to its line, whatever the numbers and the terminal are.
func TestBarFits(t *testing.T) {
	long := [3]int64{0, 9_999_000_000, 9_999_900_000}
	for room := range 100 {
		got := fitBar(room, "read", 10*time.Minute, long)
		if len(got) > room {
			t.Errorf("%d characters in a room of %d: %q", len(got), room, got)
		}
		whole := func(end string) bool { return strings.HasSuffix(got, end) }
		if got != "" && !slices.ContainsFunc([]string{" left", "/s", " MB", "%", "]", "read "}, whole) {
			t.Errorf("a part was cut: %q", got)
		}
		if room >= 65 && !strings.HasSuffix(got, " left") {
			t.Errorf("the remaining time is missing: %q", got)
		}
	}
	if got := fitBar(78, "read", 0, [3]int64{0, 1, 2}); got != "read   [############............]  50 %  1 B of 2 B" {
		t.Errorf("%q", got)
	}
}

func TestConfirm(t *testing.T) {
	for text, want := range map[string]bool{"yes\n": true, " YES ": true, "y\n": false, "\n": false, "": false} {
		if isYes(strings.NewReader(text)) != want {
			t.Errorf("%q is not %v", text, want)
		}
	}
	if got := purgeWords(buffer.Purge{Before: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), DeadLetters: true}); got != "Points from before 2026-03-01 00:00:00, and: All dead letters" {
		t.Error(got)
	}
}

// A purge of a stopped store keeps what the agent left for its next start, and
// nothing but the purge is done to the points.
func TestPurgeKeepsState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edgehold.db")
	open := func() *buffer.Store {
		t.Helper()
		s, err := buffer.Open(buffer.Options{Path: path, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	now := time.Now()
	var points []probes.Point
	for i := range 100 {
		points = append(points, probes.Point{Series: probes.NewSeries("k", probes.Gauge), Value: probes.Int(int64(i)), Stamp: probes.Stamp{Wall: now.UnixMilli() - int64(i)}})
	}
	if err := s.Enqueue(points).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.SaveState(map[string][]byte{"baseline": []byte("7")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p, err := forPurge(path)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := p.Purge(t.Context(), buffer.Purge{Before: now.Add(-time.Hour)}); err != nil || done.Purged != 0 || done.Account.Buffered != 100 {
			t.Errorf("purged %+v, %v", done, err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = open()
	defer s.Close()
	if state, err := s.TakeState(); err != nil || string(state["baseline"]) != "7" {
		t.Errorf("the state is %q, %v", state, err)
	}
	if _, err := forPurge(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a store in use: %v", err)
	}
	if _, err := forPurge(path + "x"); err == nil {
		t.Error("a store was made by a purge")
	}
	if _, err := os.Stat(path + "x"); err == nil {
		t.Error("a file was made by a purge")
	}
}

func TestDimensionFlags(t *testing.T) {
	if dims, err := dimensionFlags([]string{"a=b", "c=d=e"}); err != nil || dims["a"] != "b" || dims["c"] != "d=e" {
		t.Errorf("%v, %v", dims, err)
	}
	for _, text := range [][]string{{"a"}, {"=b"}, {"a="}, {"a=1", "a=2"}} {
		if dims, err := dimensionFlags(text); err == nil {
			t.Errorf("%q gives %v", text, dims)
		}
	}
}

func TestExportUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"buffer", "export", "--format", "xml"}, "expected one of mint, csv, openmetrics"},
		{[]string{"buffer", "export", "--resume"}, "--output"},
		{[]string{"buffer", "export", "--dim", "x"}, "KEY=VALUE"},
		{[]string{"buffer", "export", "--file", "a", "--socket", "b"}, "file socket"},
		{[]string{"buffer", "export", "extra"}, "unknown command"},
		{[]string{"buffer", "stat", "--file", ""}, "--file is empty"},
		{[]string{"buffer", "purge", "--all", "--yes", "--socket", ""}, "--socket is empty"},
		{[]string{"buffer", "verify", "--config", ""}, "--config is empty"},
		{[]string{"history", ""}, "DEVICE is empty"},
		{[]string{"history"}, "accepts between 1 and 2"},
		{[]string{"history", "d", "--width", "10"}, "--width 10"},
	} {
		var out, errs bytes.Buffer
		if code := execute(c.args, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%q: %d, %s", c.args, code, errs.String())
		}
	}
}

func TestHistoryText(t *testing.T) {
	now := time.Now()
	h := &export.History{Device: "sw", Points: 10, Delivered: 4, Late: 1, From: now.Add(-time.Hour), To: now, Shared: []export.Dim{{Key: "site", Value: "p"}}, Step: probes.Duration(time.Minute)}
	for _, port := range []string{"1", "2", "3"} {
		h.Series = append(h.Series, export.SeriesLine{
			Key: "if.in", Type: "count", Varying: []export.Dim{{Key: "port", Value: "GigabitEthernet1/0/" + port}},
			Points: 3, Last: now.Add(-3 * time.Minute), LastValue: 12345, Max: 20000, Begin: now.Add(-time.Hour), Cells: make([]export.Cell, 60), Usual: time.Minute,
		})
	}
	for _, key := range []string{"", "if.in"} {
		var out bytes.Buffer
		f := historyFlags{top: 2, width: 80, ascii: true}
		if err := f.print(&out, h, export.Filter{Key: key}, export.Canvas{Width: 60, Height: 3, ASCII: true}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"sw: 10 points of 3 series", "40 % delivered or otherwise done with, 5 points wait to be sent, 1 came too late", "all: site=p", "what a counter grew by", "and 1 more; --top 3", "12.3k"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q: no %q in\n%s", key, want, out.String())
			}
		}
		for line := range strings.Lines(out.String()) {
			if len(line) > 81 {
				t.Errorf("%d characters: %s", len(line), line)
			}
		}
	}
}

func TestCutAndAges(t *testing.T) {
	if got := cut("GigabitEthernet1/0/48", 12); got != "Gigab..1/0/48"[:5]+"../0/48" || len(got) != 12 {
		t.Errorf("%q", got)
	}
	now := time.Now()
	for ago, want := range map[time.Duration]string{0: "0s", 119 * time.Second: "119s", 119 * time.Minute: "119m", 47 * time.Hour: "47h", 72 * time.Hour: "3d", -time.Hour: "0s"} {
		if got := ages(now.Add(-ago), now); got != want {
			t.Errorf("%v is %q, want %q", ago, got, want)
		}
	}
	for env, want := range map[string]bool{"": false, "C": false, "de_DE.UTF-8": true, "C.utf8": true} {
		if utf8Locale(func(string) string { return env }) != want {
			t.Errorf("locale %q", env)
		}
	}
}
