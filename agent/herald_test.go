package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
)

// listener notes what is told, in the time of a bubble.
type listener struct {
	mu    sync.Mutex
	lines []string
}

func (l *listener) send(lines ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, lines...)
	return nil
}

// take gives what was told since the last call.
func (l *listener) take() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func count(lines []string, start string) int {
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, start) {
			n++
		}
	}
	return n
}

// beating calls beat as a loop that is well, until ctx ends.
func beating(ctx context.Context, beat func(time.Duration)) {
	for ctx.Err() == nil {
		beat(idleBeat + beatGrace)
		select {
		case <-ctx.Done():
		case <-time.After(idleBeat):
		}
	}
}

// A loop that hangs ends the signs of life within its bound; one that goes on
// again brings them back.
func TestWatchdogIsNotFedByAStuckLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var l listener
		a := newAlive("a", "b")
		h := &herald{send: l.send, watchdog: 30 * time.Second, alive: a, log: zerolog.Nop()}
		stopped := h.Run(ctx, func() string { return "fine" })
		go beating(ctx, a.Beat("a"))
		time.Sleep(time.Minute)
		if got := l.take(); len(got) != 0 {
			t.Errorf("told %q before all loops run", got)
		}
		well, stick := context.WithCancel(ctx)
		go beating(well, a.Beat("b"))
		time.Sleep(time.Minute + time.Second)
		if got := l.take(); got[0] != "READY=1" || count(got, "READY=1") != 1 || count(got, "WATCHDOG=1") != 7 || !slices.Contains(got, "STATUS=fine") {
			t.Errorf("told %q", got)
		}
		stick()
		time.Sleep(idleBeat + beatGrace)
		l.take()
		time.Sleep(5 * time.Minute)
		got := l.take()
		if n := count(got, "WATCHDOG=1"); n != 0 || count(got, "STATUS=hangs: b (silent for ") == 0 {
			t.Errorf("a stuck loop: %d signs of life, told %q", n, got)
		}
		a.Beat("b")(time.Hour)
		time.Sleep(time.Minute)
		if got := l.take(); count(got, "WATCHDOG=1") != 6 || count(got, "STATUS=fine") != 1 {
			t.Errorf("told %q after it went on", got)
		}
		cancel()
		stopped()
	})
}

// A stop that takes long asks for more time, and is not bitten meanwhile; one
// that takes too long is left alone.
func TestStopIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var l listener
		a := newAlive("a")
		h := &herald{send: l.send, watchdog: time.Minute, alive: a, log: zerolog.Nop()}
		stopped := h.Run(ctx, func() string { return "fine" })
		a.Beat("a")(time.Hour)
		l.take()
		cancel()
		time.Sleep(time.Minute - time.Second)
		if got := l.take(); got[0] != "STOPPING=1" || count(got, "EXTEND_TIMEOUT_USEC=30000000") != 6 || count(got, "WATCHDOG=1") != 6 {
			t.Errorf("told %q", got)
		}
		time.Sleep(mostStopping)
		l.take()
		time.Sleep(time.Hour)
		if got := l.take(); len(got) != 0 {
			t.Errorf("told %q after a stop that hangs", got)
		}
		stopped()
	})
}

func TestStartIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l listener
		h := &herald{send: l.send, alive: newAlive("a"), log: zerolog.Nop()}
		begun := h.Starting("opens the store")
		time.Sleep(25 * time.Second)
		if got := l.take(); count(got, "EXTEND_TIMEOUT_USEC=30000000") != 3 || count(got, "STATUS=opens the store") != 3 || count(got, "WATCHDOG=1") != 0 {
			t.Errorf("told %q", got)
		}
		begun()
		time.Sleep(time.Minute)
		if got := l.take(); len(got) != 0 {
			t.Errorf("told %q after the start", got)
		}
	})
}

// Reloads are told only between READY and STOPPING.
func TestReloadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var l listener
		a := newAlive("a")
		h := &herald{send: l.send, alive: a, log: zerolog.Nop()}
		h.Reloading()()
		stopped := h.Run(ctx, func() string { return "fine" })
		if got := l.take(); len(got) != 0 {
			t.Errorf("told %q before the start", got)
		}
		a.Beat("a")(time.Hour)
		l.take()
		ended := h.Reloading()
		if got := l.take(); len(got) != 2 || got[0] != "RELOADING=1" || !strings.HasPrefix(got[1], "MONOTONIC_USEC=") {
			t.Errorf("told %q", got)
		}
		ended()
		if got := l.take(); !slices.Equal(got, []string{"READY=1"}) {
			t.Errorf("told %q", got)
		}
		cancel()
		stopped()
		l.take()
		h.Reloading()()
		if got := l.take(); len(got) != 0 {
			t.Errorf("told %q after the stop", got)
		}
	})
	var nobody *herald
	nobody.Reloading()()
	nobody.Starting("")()
	nobody.Run(t.Context(), nil)()
}

// The schedule gives its signs of life without anything to poll, and none while
// it hangs.
func TestScheduleBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newAlive(loopSchedule)
		s := newSchedule(1, nil)
		s.beat = a.Beat(loopSchedule)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(time.Hour)
		if got := a.Stuck(); len(got) != 0 {
			t.Errorf("an idle schedule: %q", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		time.Sleep(idleBeat + beatGrace + time.Second)
		if got := a.Stuck(); len(got) != 1 || !strings.HasPrefix(got[0], "schedule (silent for ") {
			t.Errorf("a schedule that runs no longer: %q", got)
		}
	})
}

// A running agent tells all of its life.
func TestAgentTellsItsLife(t *testing.T) {
	dir := socketFolder(t)
	m := newManager(t, dir+"/notify")
	path := filepath.Join(dir, "edgehold.yaml")
	text := "site: s\nstate_dir: " + dir + "/state\nsocket: " + dir + "/control.sock\nuplink: {otlp: {url: \"http://127.0.0.1:9\"}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{
		Path: path, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() },
		Notify: Notify{Socket: dir + "/notify", Watchdog: 300 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.until(t, "EXTEND_TIMEOUT_USEC=") // as it opened the store
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	m.until(t, "READY=1")
	if err := (control.Client{Path: dir + "/control.sock"}).Reload(t.Context()); err != nil { // answers once it is ready
		t.Error(err)
	}
	m.until(t, "RELOADING=1")
	m.until(t, "READY=1")
	m.until(t, "WATCHDOG=1")
	if count(m.seen, "STATUS=0 of 0 devices answer, ") == 0 {
		t.Errorf("no state in %q", m.seen)
	}
	cancel()
	m.until(t, "STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
