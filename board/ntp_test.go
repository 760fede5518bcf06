package board

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNTPState(t *testing.T) {
	for _, c := range []struct {
		name  string
		state int
		tx    unix.Timex
		want  NTPState
	}{
		{"synced", 0, unix.Timex{Maxerror: 2500, Esterror: 30}, NTPState{true, 2500 * time.Microsecond, 30 * time.Microsecond}},
		{"leap second ahead", 1, unix.Timex{Status: unix.STA_INS | unix.STA_PLL}, NTPState{Synced: true}},
		{"never synced", unix.TIME_ERROR, unix.Timex{Status: unix.STA_UNSYNC, Maxerror: 16e6, Esterror: 16e6}, NTPState{false, 16 * time.Second, 16 * time.Second}},
		{"error without the flag", unix.TIME_ERROR, unix.Timex{Status: unix.STA_PLL}, NTPState{}},
		{"the flag without error", 0, unix.Timex{Status: unix.STA_UNSYNC}, NTPState{}},
	} {
		if got := ntpState(c.state, &c.tx); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestNTPOfThisMachine: the kernel answers anybody, and what it says agrees
// with the rule of adjtimex(2): without a daemon the error is at its bound.
func TestNTPOfThisMachine(t *testing.T) {
	s, err := NTP()
	if err != nil {
		t.Skipf("SKIPPED: the kernel's NTP state is refused here: %v", err)
	}
	if s.Synced && s.MaxError > 16*time.Second || s.MaxError < 0 || s.EstError < 0 {
		t.Errorf("does not fit together: %+v", s)
	}
}

// TestWatchSteps moves the machine's clock by a microsecond and back. That
// makes the kernel forget that it was synced, so it is only done where it is
// not.
func TestWatchSteps(t *testing.T) {
	if s, err := NTP(); err != nil || s.Synced {
		t.Skipf("SKIPPED: a time daemon keeps this clock (%+v, %v), and it is left alone", s, err)
	}
	step := func(sign int64) error {
		tx := unix.Timex{Modes: unix.ADJ_SETOFFSET}
		if tx.Time.Usec = 1; sign < 0 { // seconds and a positive rest
			tx.Time.Sec, tx.Time.Usec = -1, 999_999
		}
		_, err := unix.Adjtimex(&tx)
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen, ended := make(chan struct{}, 10), make(chan error, 1)
	go func() { ended <- WatchSteps(ctx, func() { seen <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the watcher ended with %v", err)
		}
	})
	// The watcher starts at some moment: the first step may come before it.
	deadline := time.Now().Add(10 * time.Second)
	for n := 0; n < 2; {
		for _, sign := range []int64{1, -1} {
			if err := step(sign); err != nil {
				t.Skipf("SKIPPED: the clock cannot be set here: %v", err)
			}
		}
		select {
		case <-seen:
			n++
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("no step was seen")
		}
	}
}

func TestWatchStepsEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- WatchSteps(ctx, func() {}) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the watcher does not end")
	}
}
