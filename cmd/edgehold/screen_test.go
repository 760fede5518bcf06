package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"zürich 1/0, ⣿ ▁": "zürich 1/0, ⣿ ▁",
		"\x1b[2J\x07\r":   "\uFFFD[2J\uFFFD\uFFFD",
		"a\u202eb\u009bc": "a\uFFFDb\uFFFDc",
		"\xff\x7f":        "\uFFFD\uFFFD",
	} {
		if got := harmless(in, "\n", false); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := harmless("zü\n\x1b日", "\n", true); got != "z?\n??" {
		t.Errorf("ASCII: %q", got)
	}
	if got := harmless("good\nALARM", "", true); got != "good?ALARM" {
		t.Errorf("a name of two lines: %q", got)
	}
}

// nastyStore is the file of a stopped agent whose devices have names that try
// to steer the terminal.
func nastyStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "edgehold.db")
	s, err := buffer.Open(buffer.Options{Path: path, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	var points []probes.Point
	now := time.Now().UnixMilli()
	for i, name := range []string{"evil\x1b]0;owned\x07", "two\nlines"} {
		for _, key := range []string{"k\x1b[2J", "k.two"} {
			series := probes.NewSeries(key, probes.Gauge, probes.Dimension{Key: "device.address", Value: "192.0.2.1"}, probes.Dimension{Key: "dim\x1b[5m", Value: name})
			points = append(points, probes.Point{Series: series, Value: probes.Int(int64(i)), Stamp: probes.Stamp{Wall: now}})
		}
	}
	if err := s.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNamesDoNotSteerTheTerminal(t *testing.T) {
	file := nastyStore(t)
	for _, args := range [][]string{
		{"history", "192.0.2.1", "--file", file},
		{"history", "192.0.2.1", "k.two", "--file", file},
		{"history", "192.0.2.1", "k.three", "--file", file},
		{"buffer", "stat", "--file", file},
		{"buffer", "export", "--key", "k.three", "--file", file},
	} {
		var out, errs bytes.Buffer
		execute(args, &out, &errs)
		text := out.String() + errs.String()
		if bad := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); bad >= 0 || text == "" {
			t.Errorf("%q: %q", args, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "lines") {
				t.Errorf("%q: a name made a line of its own: %q", args, text)
			}
		}
	}
	var out strings.Builder
	printStatus(&screen{w: &out}, control.Status{
		Site: "s\x1b[2J", Devices: []control.Device{{Label: "l\x1b", Message: "m\nALARM"}}, Alarms: []string{"a\x07"},
	}, view{now: time.Now()})
	if text := out.String(); strings.ContainsAny(text, "\x1b\x07") || strings.Contains(text, "\nALARM  ") && strings.Contains(text, "m\n") {
		t.Errorf("status: %q", text)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A command whose text got nowhere does not end well.
func TestUnwrittenTextIsAnError(t *testing.T) {
	file := nastyStore(t)
	for _, args := range [][]string{
		{"history", "192.0.2.1"},
		{"buffer", "stat"},
		{"buffer", "stat", "--json"},
		{"buffer", "verify"},
		{"buffer", "export"},
		{"buffer", "purge", "--before", "1h", "--yes"},
	} {
		var errs bytes.Buffer
		if code := execute(append(args, "--file", file), fullDisk{}, &errs); code != exitError || !strings.Contains(errs.String(), "standard output: no space left") {
			t.Errorf("%q: %d, %s", args, code, errs.String())
		}
	}
}

func TestMistypedConfigIsNotPassedOver(t *testing.T) {
	var errs bytes.Buffer
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if code := execute([]string{"buffer", "purge", "--all", "--yes", "--config", missing}, io.Discard, &errs); code != exitError || !strings.Contains(errs.String(), missing) {
		t.Errorf("%d, %s", code, errs.String())
	}
	for _, command := range []string{"status", "reload"} {
		run(command, "--config", missing).want(t, exitError, "", "--config "+missing+": no such file")
	}
}

// The times of a running agent's store are those of this user's clock.
func TestStatTimesAreLocal(t *testing.T) {
	zone := time.FixedZone("far", 13*3600)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	st := export.Stat{Stat: buffer.Stat{Oldest: at.In(zone), Salvage: &buffer.Salvage{At: at.In(zone)}}}
	var out strings.Builder
	printStat(&out, st, at)
	if n := strings.Count(out.String(), at.Local().Format(time.DateTime)); n != 2 {
		t.Errorf("%d local times in\n%s", n, out.String())
	}
	h := &export.History{Points: 1, StoreOldest: at.In(zone)}
	out.Reset()
	printHead(&out, h)
	if !strings.Contains(out.String(), at.Local().Format(time.DateTime)) {
		t.Error(out.String())
	}
}

func TestAccountKeepsToTheLine(t *testing.T) {
	const n = 123456789012
	var out strings.Builder
	printAccount(&out, control.Account{Accepted: n, Buffered: n, Delivered: n, Late: n, DeadLetter: n, Evicted: n, Damaged: n, Purged: n})
	for line := range strings.Lines(out.String()) {
		if len(line) > 80 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if got, want := strings.Join(strings.Fields(out.String()), " "), fmt.Sprintf("account %[1]d accepted = %[1]d buffered + %[1]d delivered + %[1]d late + %[1]d dead letter + %[1]d evicted + %[1]d damaged + %[1]d purged", n); !strings.HasPrefix(got, want) {
		t.Errorf("%q", got)
	}
}

// A relative path names the same store as the absolute one when an export is
// gone on with.
func TestStorePathIsAbsolute(t *testing.T) {
	file := nastyStore(t)
	t.Chdir(filepath.Dir(file))
	f := storeFlags{given: func(string) bool { return false }, file: filepath.Base(file)}
	s, err := f.open(t.Context(), readOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st, err := s.Stat(t.Context()); err != nil || st.Path != file {
		t.Errorf("%q, %v", st.Path, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
