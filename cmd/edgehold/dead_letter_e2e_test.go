package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/export"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// refusedStore fills the store at path with dead letters, numbered from 0: two
// metric lines, a key that has no line, an event and a log record.
func refusedStore(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := buffer.Open(buffer.Options{Path: path, Window: time.Hour, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	var points []probes.Point
	each := []buffer.Settlement{
		{Line: fmt.Sprintf("e2e.retry,n=1,text=%s gauge,1 %d", strings.Repeat("x", 200), now), Reason: "limit of keys exceeded"},
		{Line: fmt.Sprintf("e2e.retry,n=2 gauge,2 %d", now-3*3600_000), Reason: "limit of keys exceeded"},
		{Line: "dt.reserved", Reason: "metric key begins with dt.\x1b[2J"},
	}
	for i := range each {
		each[i].Outcome = buffer.Refused
		points = append(points, probes.Point{Series: probes.NewSeries("e2e.retry", probes.Gauge), Value: probes.Int(1), Stamp: probes.Stamp{Wall: now + int64(i)}})
	}
	if err := s.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	settle(t, s, buffer.Query{Max: 9}, each)
	entries := []buffer.Entry{{Kind: buffer.EventEntry, Data: []byte("x")}, {Kind: buffer.LogEntry, Data: []byte("y")}}
	for i := range entries {
		entries[i].Stamp.Wall = now + int64(i)
	}
	if err := s.EnqueueEntries(entries).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, s, buffer.Query{Max: 9, Entries: true}, []buffer.Settlement{
		{Outcome: buffer.Refused, Kind: "event", Line: fmt.Sprintf(`{"eventType":"CUSTOM_INFO","title":"up","startTime":%d}`, now), Reason: "event type unknown"},
		{Outcome: buffer.Refused, Kind: "log", Line: `{"timestamp":1`, Reason: "too old"},
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func settle(t *testing.T, s *buffer.Store, q buffer.Query, each []buffer.Settlement) {
	t.Helper()
	l, err := s.Lease(q)
	if err != nil || l == nil {
		t.Fatalf("lease: %v, %v", l, err)
	}
	if err := s.Settle(l, each); err != nil {
		t.Fatal(err)
	}
}

func TestE2EDeadLetters(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	s := newSite(t)
	sw := newSwitch(t, "127.0.2.9", goodCommunity)
	s.yaml(env.URL(), "probes:\n", polled("1s", sw.Addr()))
	refusedStore(t, filepath.Join(s.dir, "state", "edgehold.db"))
	letters := func(args ...string) result {
		return edgehold(t, append([]string{"dead-letter"}, append(args, "--config", s.config)...)...)
	}

	looksRight := func(whose string) {
		t.Helper()
		if all := decoded[[]buffer.Letter](t, letters("ls", "--json")); len(all) != 5 || all[0].Number != 0 || all[3].Kind != "event" || all[4].Reason != "too old" {
			t.Errorf("%s: %+v", whose, all)
		}
		letters("ls").mustSay(t, 0, "limit of keys", "e2e.retry,n=1,text=xxx", "xxx..", "event type unknown", "5 dead letters")
		letters("ls", "--reason", "LIMIT", "--series", "n=2").mustSay(t, 0, "n=2", "1 dead letter;")
		letters("ls", "--reason", "nothing such").mustSay(t, 0, "no dead letter is like that")
		letters("show", "0").mustSay(t, 0, strings.Repeat("x", 200)+" gauge,1", "kind     metric")
		if x := decoded[buffer.Letter](t, letters("show", "3", "--json")); x.Kind != "event" || !json.Valid([]byte(x.Line)) {
			t.Errorf("%s: %+v", whose, x)
		}
		if r := letters("show", "2"); strings.Contains(r.out, "\x1b") {
			t.Errorf("%s: what steers a terminal is shown: %q", whose, r.out)
		}
	}
	looksRight("stopped")
	for _, c := range []struct {
		code  int
		words string
		args  []string
	}{
		{1, "there is no dead letter 99", []string{"show", "99"}},
		{1, "there is no dead letter 99", []string{"retry", "0", "99"}},
		{1, "there is no dead letter 99", []string{"purge", "99"}},
		{2, "is not the number of a dead letter", []string{"retry", "x"}},
		{2, "no dead letter is named", []string{"retry"}},
		{2, "no dead letter is named", []string{"purge", "--yes"}},
		{2, "give one or the other", []string{"retry", "0", "--all"}},
		{2, "add --yes", []string{"purge", "--all"}},
		{2, "arg", []string{"show"}},
		{2, "unknown command", []string{"ls", "7"}},
	} {
		letters(c.args...).mustSay(t, c.code, c.words)
	}
	if done := decoded[export.Purged](t, letters("purge", "--reason", "dt.", "--yes", "--json")); done.Purged != 1 || done.Account.DeadLetter != 4 || done.Account.Check() != nil {
		t.Errorf("purged of the stopped agent: %+v", done)
	}
	letters("retry", "4").mustSay(t, 3, "stays    4: read the log", "0 dead letters wait")
	letters("retry", "1").mustSay(t, 0, "1 dead letter waits", "count as late")

	s.start()
	done := decoded[export.Retried](t, letters("retry", "--series", "n=1", "--json"))
	if done.Retried != 1 || done.Same != 0 || len(done.Failed) != 0 || done.Account.DeadLetter != 2 || done.Account.Check() != nil {
		t.Errorf("retried of the running agent: %+v", done)
	}
	isIt := func(l draintest.Line) bool { return l.Key == "e2e.retry" }
	eventually(t, "the line to arrive", func() bool { return len(linesOf(t, env, isIt)) > 0 })
	if got := linesOf(t, env, isIt); len(got) != 1 || dim(got[0], "n") != "1" {
		t.Errorf("there arrived %v", got)
	}
	letters("ls").mustSay(t, 0, "2 dead letters")
	letters("retry", "--all").mustSay(t, 3, "1 dead letter waits", "stays    4")
	letters("purge", "--all", "--yes").mustSay(t, 0, "purged   1 dead letter")
	letters("ls").mustSay(t, 0, "there are no dead letters")
	s.await("the account to show it", func(st control.Status) bool { return st.Account.DeadLetter == 0 && st.Account.Purged == 2 })
	if r := s.agent.end(syscall.SIGTERM); r.code != 0 {
		t.Fatalf("the agent ended with %d", r.code)
	}
	edgehold(t, "buffer", "verify", "--config", s.config).mustSay(t, 0, "good")
}
