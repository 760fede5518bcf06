package drain

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
)

// TestLanes asks for each age of a point in which lane it goes, if any.
func TestLanes(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	const ms = time.Millisecond
	for _, test := range []struct {
		window, age time.Duration
		lane        int // -1: none
	}{
		{time.Hour, 0, 0},
		{time.Hour, 2 * time.Minute, 0},
		{time.Hour, 2*time.Minute + ms, 1},
		{time.Hour, 58 * time.Minute, 1},
		{time.Hour, 58*time.Minute + ms, -1},
		{time.Hour, -8 * time.Minute, 0},
		{time.Hour, -8*time.Minute - ms, -1},
		{3 * time.Minute, time.Minute, 0},
		{3 * time.Minute, time.Minute + ms, -1},
	} {
		stamp := now.Add(-test.age)
		lane := -1
		for i, q := range lanes(now, test.window) {
			if in(q, stamp) {
				if lane >= 0 {
					t.Errorf("age %v is in two lanes", test.age)
				}
				lane = i
			}
			if q.Max != maxLines {
				t.Errorf("lane %d leases up to %d points", i, q.Max)
			}
		}
		if lane != test.lane {
			t.Errorf("window %v, age %v: lane %d, want %d", test.window, test.age, lane, test.lane)
		}
	}
}

func in(q buffer.Query, stamp time.Time) bool {
	return !stamp.Before(q.Oldest) && !stamp.After(q.Newest)
}

func TestTooLate(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	if at := now.Add(-59 * time.Minute).UnixMilli(); tooLate(at, now, time.Hour) || !tooLate(at-1, now, time.Hour) {
		t.Error("a point is given back at 59 minutes, not before and not after")
	}
	if !clockUnset(time.UnixMilli(mint.First-1)) || clockUnset(now) {
		t.Error("a clock is unset while its stamps have no line")
	}
}

func TestDelay(t *testing.T) {
	busy, away, held := outcome{verdict: later}, outcome{verdict: later, unreached: true}, outcome{verdict: hold}
	for _, test := range []struct {
		failures int
		o        outcome
		random   float64
		want     time.Duration
	}{
		{1, busy, 0.5, 500 * time.Millisecond},
		{2, busy, 0.5, time.Second},
		{6, busy, 0.5, 16 * time.Second},
		{7, busy, 0.5, 30 * time.Second},
		{1000, busy, 0.999, 59940 * time.Millisecond},
		{5, busy, 0, shortest},
		{0, busy, 0.5, 500 * time.Millisecond},
		{3, away, 0.5, 2 * time.Second},
		{5, away, 0.5, 5 * time.Second},
		{1000, away, 0.999, 9990 * time.Millisecond},
		{1, held, 0.5, 5 * time.Second},
		{4, held, 0.5, 40 * time.Second},
		{1000, held, 0.5, 150 * time.Second},
	} {
		if got := paceOf(test.o).delay(test.failures, test.random); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
