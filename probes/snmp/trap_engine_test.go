package snmp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// What an engine has said before bounds what it may say (RFC 3414, section 3.2).
func TestTrapTimeWindow(t *testing.T) {
	var s senders
	for i, step := range []struct {
		boots, time uint32
		after       time.Duration
		fresh       bool
	}{
		{5, 1000, 0, true},
		{5, 1000, time.Second, true},        // again, within the window
		{5, 990, 2 * time.Second, true},     // out of order
		{5, 849, 2 * time.Second, false},    // too old
		{5, 1100, 3 * time.Second, true},    // its clock is fast
		{5, 1100, 149 * time.Second, true},  // a copy, still within the window
		{5, 1100, 154 * time.Second, false}, // a copy that came too late
		{5, 1200, 500 * time.Second, true},  // its clock is slow, but it has not said this before
		{4, 9999, 500 * time.Second, false}, // an earlier start
		{6, 0, 501 * time.Second, true},     // restarted
		{5, 1300, 502 * time.Second, false}, // from before the restart
	} {
		if _, fresh := s.heard("engine", clockOf{step.boots, step.time}, step.after); fresh != step.fresh {
			t.Errorf("step %d: fresh %v, want %v", i, fresh, step.fresh)
		}
	}
}

// The memory for engines is bounded, and those that are heard stay.
func TestTrapEnginesAreBounded(t *testing.T) {
	var s senders
	for i := range 5 * maxTrapEngines {
		s.heard(fmt.Sprint("engine", i), clockOf{1, 1}, 0)
		s.heard("faithful", clockOf{7, 7}, 0)
	}
	if n := len(s.young) + len(s.old); n > maxTrapEngines {
		t.Errorf("%d engines are kept", n)
	}
	if _, fresh := s.heard("faithful", clockOf{6, 7}, 0); fresh {
		t.Error("an engine that is heard all the time was forgotten")
	}
	e, _ := s.heard("faithful", clockOf{7, 8}, 0)
	for i := range 3 * maxEngineUsers {
		e.users.remember(newUser(v3(fmt.Sprint("user", i), probes.AuthNone, probes.PrivNone)), maxEngineUsers)
	}
	if len(e.users) > maxEngineUsers {
		t.Errorf("%d users are kept", len(e.users))
	}
}

// A file that cannot be used costs a new engine, never the receiver.
func TestTrapEngineFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "engine")
	for _, content := range []string{"", "zz 1\n", "8000000005aabbcc\n", "8000000005aabbcc -1\n", "80 1\n", strings.Repeat("80", 40) + " 1\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := newEngine(file, 0)
		if err == nil || !strings.Contains(err.Error(), file) || len(e.id) != 13 || e.boots != 1 {
			t.Errorf("%q: %x %d, %v", content, e.id, e.boots, err)
		}
	}
	if err := os.WriteFile(file, []byte("8000000005aabbcc 41\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := newEngine(file, 0); err != nil || e.id != "\x80\x00\x00\x00\x05\xaa\xbb\xcc" || e.boots != 42 {
		t.Errorf("%x %d, %v", e.id, e.boots, err)
	}
	if e, err := newEngine(filepath.Join(file, "nowhere"), 0); err == nil || len(e.id) != 13 {
		t.Errorf("%v, %v", e, err)
	}
}
