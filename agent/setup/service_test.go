package setup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/control"
)

// fakeSystemd notes what it is told; words are those of calls that fail.
type fakeSystemd struct {
	calls []string
	fails map[string]string
}

func (f *fakeSystemd) run(_ context.Context, args ...string) (string, error) {
	call := strings.Join(args, " ")
	f.calls = append(f.calls, call)
	if words, bad := f.fails[call]; bad {
		return words, errors.New("exit status 1")
	}
	return "", nil
}

func TestService(t *testing.T) {
	const cat, active = "cat edgehold.service", "is-active --quiet edgehold"
	for name, c := range map[string]struct {
		fails   map[string]string
		booted  string
		present bool
		calls   string // of Start
		words   string // of its error
	}{
		"no systemd":  {nil, "/nowhere", false, "", ""},
		"no unit":     {map[string]string{cat: "No files found"}, t.TempDir(), false, "", ""},
		"stopped":     {map[string]string{active: ""}, t.TempDir(), true, active + "|enable --now edgehold", ""},
		"running":     {nil, t.TempDir(), true, active + "|enable edgehold|restart edgehold", ""},
		"start fails": {map[string]string{active: "", "enable --now edgehold": "Job failed.\nSee logs."}, t.TempDir(), true, active + "|enable --now edgehold", "systemctl enable --now edgehold: exit status 1: Job failed. See logs."},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeSystemd{fails: c.fails}
			s := Service{Unit: "edgehold", Booted: c.booted, Systemctl: f.run}
			if got := s.Present(t.Context()); got != c.present {
				t.Fatalf("present is %v", got)
			}
			if !c.present {
				return
			}
			f.calls = nil
			err := s.Start(t.Context())
			if calls := strings.Join(f.calls, "|"); calls != c.calls {
				t.Errorf("called %s, want %s", calls, c.calls)
			}
			if fmt.Sprint(err) != c.words && (err != nil || c.words != "") {
				t.Errorf("%v, want %q", err, c.words)
			}
		})
	}
}

// agentOn answers with the status that it is given until the test ends.
func agentOn(t *testing.T, status func() any) control.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&control.Server{Path: path, Status: status, Log: zerolog.Nop()}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return control.Client{Path: path, Timeout: 5 * time.Second}
}

func TestFirstPoint(t *testing.T) {
	var asked atomic.Int64
	for name, after := range map[string]func(st *control.Status){
		"accepted by the environment": func(st *control.Status) { st.Uplink.LinesAccepted = 3 },
		"delivered by a relay":        func(st *control.Status) { st.Account.Delivered = 8 },
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			c := agentOn(t, func() any {
				st := control.Status{Account: control.Account{Accepted: 9, Delivered: 7}} // of an earlier run
				if asked.Add(1) > 2 {
					after(&st)
				}
				return st
			})
			var told int
			err := FirstPoint(t.Context(), c, time.Minute, func(st *control.Status) {
				if st != nil {
					told++
				}
			})
			if err != nil || told != 3 {
				t.Errorf("%v after %d statuses, want 3", err, told)
			}
		})
	}
}

func TestFirstPointNeverComes(t *testing.T) {
	c := agentOn(t, func() any { return control.Status{Account: control.Account{Delivered: 7}} })
	if err := FirstPoint(t.Context(), c, 1200*time.Millisecond, func(*control.Status) {}); !errors.Is(err, ErrNoPoint) {
		t.Errorf("%v, want %v", err, ErrNoPoint)
	}
	silent := 0
	nobody := control.Client{Path: filepath.Join(t.TempDir(), "none")}
	err := FirstPoint(t.Context(), nobody, 700*time.Millisecond, func(st *control.Status) {
		if st == nil {
			silent++
		}
	})
	if !errors.Is(err, ErrNoPoint) || silent == 0 {
		t.Errorf("%v after %d looks", err, silent)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := FirstPoint(ctx, nobody, time.Minute, func(*control.Status) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
