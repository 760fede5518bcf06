package drain

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestMeterSeesADay(t *testing.T) {
	var m meter
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if n, full := m.perDay(now); n != 0 || full {
		t.Errorf("before anything: %d, %v", n, full)
	}
	for i := range 2 * 24 * 60 {
		m.add(now, 10)
		n, full := m.perDay(now)
		if full != (i >= 24*60) {
			t.Fatalf("after %d minutes full is %v", i, full)
		}
		if i > 60 && (n < 14_000 || n > 14_700) {
			t.Fatalf("after %d minutes %d points a day", i, n)
		}
		now = now.Add(time.Minute)
	}
	now = now.Add(12 * time.Hour)
	if n, full := m.perDay(now); n < 7100 || n > 7300 || !full {
		t.Errorf("after twelve quiet hours %d, %v", n, full)
	}
	now = now.Add(13 * time.Hour)
	if n, full := m.perDay(now); n != 0 || !full {
		t.Errorf("after a quiet day %d, %v", n, full)
	}
}

// The last 24 hours of a random traffic, counted anew, are off by no more than
// what came in the oldest hour.
func TestMeterAgainstACount(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type one struct {
		at time.Time
		n  int64
	}
	var m meter
	var all []one
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	begin := now
	for range 3000 {
		now = now.Add(time.Duration(random.Int64N(int64(8 * time.Minute))))
		x := one{now, random.Int64N(100)}
		all = append(all, x)
		m.add(x.at, x.n)
		if now.Sub(begin) < 25*time.Hour {
			continue
		}
		var want, oldest int64
		for _, x := range all {
			switch age := now.Sub(x.at); {
			case age < 24*time.Hour:
				want += x.n
				fallthrough
			case age < 25*time.Hour && age >= 24*time.Hour:
				if age >= 23*time.Hour {
					oldest += x.n
				}
			}
		}
		if got, full := m.perDay(now); !full || got < want-oldest || got > want+oldest {
			t.Fatalf("%v: %d, want %d give or take %d", now, got, want, oldest)
		}
	}
}

// Steps of the clock lose and double nothing.
func TestMeterAndTheClock(t *testing.T) {
	var m meter
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 24 * 30 {
		m.add(now, 10)
		now = now.Add(2 * time.Minute)
	}
	before, _ := m.perDay(now)
	for _, at := range []time.Time{now.AddDate(-56, 0, 0), {}, now, now.Add(-time.Hour), now.Add(-time.Hour)} {
		n, full := m.perDay(at)
		if n > before || n < before*9/10 || !full {
			t.Errorf("at %v: %d points, %v; there were %d", at, n, full, before)
		}
	}
}
