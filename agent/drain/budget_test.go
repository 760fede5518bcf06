package drain

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var budgetNoon = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

// TestBudgetBoundsTheRate sends as often as it may for an hour.
func TestBudgetBoundsTheRate(t *testing.T) {
	for _, c := range []struct {
		name   string
		b      Budget
		rate   float64
		wire   int64
		expect float64 // bytes a second
	}{
		{"a share", Budget{Share: 0.5}, 1125, 8000, 562.5},
		{"a share of a fast link", Budget{Share: 0.25}, 1e6, 90_000, 250_000},
		{"a cap", Budget{Rate: 300}, 1125, 8000, 300},
		{"a cap without a measured rate", Budget{Rate: 300}, 0, 8000, 300},
		{"the smaller of both", Budget{Share: 0.5, Rate: 1000}, 1125, 8000, 562.5},
		{"the smaller of both, exchanged", Budget{Share: 0.5, Rate: 100}, 1125, 8000, 100},
	} {
		b := newBudget(c.b, nil)
		now, end := budgetNoon, budgetNoon.Add(time.Hour)
		var sent float64
		for now.Before(end) {
			if w := b.wait(now, c.wire, c.rate); w > 0 {
				now = now.Add(w)
				continue
			}
			now = now.Add(time.Duration(float64(c.wire) / max(c.rate, 1125) * float64(time.Second)))
			b.spent(now, c.wire, false)
			sent += float64(c.wire)
		}
		if got := sent / now.Sub(budgetNoon).Seconds(); math.Abs(got-c.expect) > 0.01*c.expect+float64(c.wire)/3600 {
			t.Errorf("%s: %.1f bytes/s leave, want %.1f", c.name, got, c.expect)
		}
	}
}

func TestBudgetDoesNotBindWithoutBounds(t *testing.T) {
	for _, c := range []Budget{{}, {Share: 0.5}} { // the rate is unknown
		b := newBudget(c, nil)
		for range 100 {
			if w := b.wait(budgetNoon, 1e6, 0); w != 0 {
				t.Fatalf("%+v: waits %v", c, w)
			}
			b.spent(budgetNoon, 1e6, false)
		}
	}
}

// Live bytes neither wait nor make others wait for the rate, but they use the
// allowances.
func TestBudgetAndLiveBytes(t *testing.T) {
	b := newBudget(Budget{Rate: 10, Daily: 1000}, nil)
	b.wait(budgetNoon, 1, 0)
	b.spent(budgetNoon, 900, true)
	if w := b.wait(budgetNoon, 100, 0); w != 0 {
		t.Errorf("after live bytes it waits %v", w)
	}
	if w := b.wait(budgetNoon, 101, 0); w != 12*time.Hour {
		t.Errorf("a post over the allowance waits %v", w)
	}
	b.spent(budgetNoon, 500, true)
	u := b.usage(budgetNoon)
	if u.Today != 1400 || u.TodayLive != 1400 || u.Spent != "day" || !u.DayEnds.Equal(budgetNoon.Add(12*time.Hour)) {
		t.Errorf("usage %+v", u)
	}
	if w := b.wait(budgetNoon.Add(12*time.Hour), 101, 0); w != 0 {
		t.Errorf("on the next day it waits %v", w)
	}
}

func TestBudgetOfAMonth(t *testing.T) {
	b := newBudget(Budget{Daily: 1000, Monthly: 1500}, nil)
	b.spent(budgetNoon.AddDate(0, 0, -1), 800, false)
	b.spent(budgetNoon, 600, false)
	if w := b.wait(budgetNoon, 200, 0); w != 12*time.Hour {
		t.Errorf("it waits %v, until the month begins", w)
	}
	u := b.usage(budgetNoon)
	if u.Today != 600 || u.ThisMonth != 1400 || u.Spent != "month" || !u.MonthEnds.Equal(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("usage %+v", u)
	}
	december := time.Date(2026, 12, 5, 0, 0, 0, 0, time.UTC)
	if u := b.usage(december); u.ThisMonth != 0 || u.Spent != "" || !u.MonthEnds.Equal(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("in December: %+v", u)
	}
}

// The day is that of UTC, wherever the machine thinks it is.
func TestBudgetGoesByUTC(t *testing.T) {
	b := newBudget(Budget{Daily: 1000}, nil)
	late := time.Date(2026, 7, 1, 23, 30, 0, 0, time.FixedZone("", -5*3600)) // 04:30 of the second
	b.spent(late, 1000, false)
	if w := b.wait(late, 1, 0); w != 19*time.Hour+30*time.Minute {
		t.Errorf("it waits %v", w)
	}
}

// A post that is larger than the allowance would wait for ever.
func TestBudgetSmallerThanAPost(t *testing.T) {
	b := newBudget(Budget{Daily: 1000}, nil)
	b.spent(budgetNoon, 10, true)
	if w := b.wait(budgetNoon, 5000, 0); w != 0 {
		t.Errorf("the first post of the day waits %v", w)
	}
	b.spent(budgetNoon, 5000, false)
	if w := b.wait(budgetNoon, 5000, 0); w != 12*time.Hour {
		t.Errorf("the second one waits %v", w)
	}
}

func TestBudgetOverRestarts(t *testing.T) {
	limits := Budget{Daily: 1000, Monthly: 5000}
	b := newBudget(limits, nil)
	b.spent(budgetNoon, 700, false)
	b.spent(budgetNoon, 299, true)
	again := newBudget(limits, b.marshal())
	if got, want := again.usage(budgetNoon), b.usage(budgetNoon); got != want {
		t.Errorf("after a restart %+v, want %+v", got, want)
	}
	if again.wait(budgetNoon, 1, 0) != 0 || again.wait(budgetNoon, 2, 0) == 0 {
		t.Error("after a restart not one byte is left")
	}
}

func TestBudgetWithABrokenNote(t *testing.T) {
	good := newBudget(Budget{Daily: 1000}, nil)
	good.spent(budgetNoon, 1000, false)
	for _, saved := range []string{
		"", "{", "null", "[]", "\x00\xff", string(good.marshal()[:20]),
		strings.Replace(string(good.marshal()), `"version":1`, `"version":2`, 1),
		strings.Replace(string(good.marshal()), `"bytes":1000`, `"bytes":-5`, 1),
		strings.Replace(string(good.marshal()), `"number":`, `"number":99999999999`, 1),
		`{"version":1,"day":{"number":-1},"month":{}}`,
		`{"version":1,"day":{"number":1,"bytes":1,"live":2},"month":{}}`,
		`{"version":1,"day":{"number":1e99},"month":{}}`,
	} {
		b := newBudget(Budget{Daily: 1000}, []byte(saved))
		if w := b.wait(budgetNoon, 1000, 0); w != 0 {
			t.Errorf("note %q: it waits %v", saved, w)
		}
	}
}

// TestBudgetAndTheClock: a clock that goes back gives nothing twice, and one
// that was far ahead blocks nothing for ever.
func TestBudgetAndTheClock(t *testing.T) {
	day := 24 * time.Hour
	b := newBudget(Budget{Daily: 1000}, nil)
	b.spent(budgetNoon, 1000, false)
	midnight := budgetNoon.Add(12 * time.Hour)
	b.spent(midnight, 1000, false) // the next day's
	for _, now := range []time.Time{midnight, midnight.Add(-time.Second), midnight.Add(-day), midnight.Add(time.Hour), {}} {
		if w := b.wait(now, 1, 0); w <= 0 || w > 2*day+day {
			t.Errorf("at %v it waits %v", now, w)
		}
	}
	if u := b.usage(time.Time{}); u.Today != 1000 {
		t.Errorf("without a time: %+v", u)
	}
	ahead := budgetNoon.AddDate(30, 0, 0)
	b.spent(ahead, 1000, false)
	now := budgetNoon.Add(day)
	w := b.wait(now, 1, 0)
	if w <= 0 || w > day {
		t.Errorf("back from the future it waits %v", w)
	}
	if w := b.wait(now.Add(w), 1, 0); w != 0 {
		t.Errorf("and then %v", w)
	}

	b = newBudget(Budget{Rate: 100}, nil)
	b.wait(budgetNoon, 1000, 0)
	b.spent(budgetNoon, 1000, false)
	back := budgetNoon.AddDate(-50, 0, 0)
	w = b.wait(back, 1000, 0)
	if w <= 0 || w > 11*time.Second {
		t.Errorf("after a step back it waits %v", w)
	}
	if w := b.wait(back.Add(w), 1000, 0); w != 0 {
		t.Errorf("and then %v", w)
	}
	b.spent(back, 1e12, false)
	if w := b.wait(time.Time{}, 1000, 0); w != 0 {
		t.Errorf("without a time it waits %v for the rate", w)
	}
	if w := b.wait(back, 1000, 0); w != askAgain {
		t.Errorf("with much debt it waits %v", w)
	}
}

// FuzzBudget turns the clock at random. No day of a clock that never goes back
// further than a day gets more than its allowance, and no wait is without end.
func FuzzBudget(f *testing.F) {
	f.Add(uint64(1), []byte(nil))
	f.Add(uint64(2), []byte(`{"version":1,"day":{"number":20000,"bytes":5,"live":1},"month":{"number":24000,"bytes":5,"live":1}}`))
	f.Fuzz(func(t *testing.T, seed uint64, saved []byte) {
		random := rand.New(rand.NewPCG(seed, 3))
		limits := Budget{Share: 0.5, Rate: 1000, Daily: 10_000, Monthly: 50_000}
		b := newBudget(limits, saved)
		now, highest := budgetNoon, budgetNoon
		b.usage(now) // it has seen the time that the clock goes back from
		used := map[int64]int64{}
		for range 500 {
			if random.IntN(4) == 0 {
				b = newBudget(limits, b.marshal())
			}
			switch random.IntN(5) {
			case 0:
				now = highest.Add(-time.Duration(random.Int64N(int64(24 * time.Hour))))
			default:
				now = now.Add(time.Duration(random.Int64N(int64(6 * time.Hour))))
			}
			if now.After(highest) {
				highest = now
			}
			wire := 1 + random.Int64N(3000)
			switch w := b.wait(now, wire, 1e4); {
			case w < 0 || w > 62*24*time.Hour:
				t.Fatalf("it waits %v", w)
			case w == 0:
				b.spent(now, wire, false)
				used[dayNumber(highest)] += wire
			}
		}
		for day, n := range used {
			if n > limits.Daily {
				t.Fatalf("%d bytes left on day %d", n, day)
			}
		}
	})
}
