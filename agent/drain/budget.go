package drain

import (
	"encoding/json"
	"math"
	"time"
)

// Budget bounds what is not live, in bytes on the wire both ways.
type Budget struct {
	Share   float64 // of the measured rate, in (0, 1]; 0: no bound
	Rate    int64   // bytes a second; 0: no bound
	Daily   int64   // bytes a day, UTC; live bytes count and are never stopped; 0: no bound
	Monthly int64   // bytes a calendar month, UTC, likewise
}

// Usage tells how a budget is used.
type Usage struct {
	Share   float64 `json:"share,omitempty"`
	Rate    int64   `json:"rate,omitempty"` // bytes a second
	Daily   int64   `json:"daily,omitempty"`
	Monthly int64   `json:"monthly,omitempty"`

	Today         int64     `json:"today"` // bytes, live ones included
	TodayLive     int64     `json:"today_live"`
	ThisMonth     int64     `json:"this_month"`
	ThisMonthLive int64     `json:"this_month_live"`
	DayEnds       time.Time `json:"day_ends,omitzero"` // when a new allowance begins
	MonthEnds     time.Time `json:"month_ends,omitzero"`

	Spent string `json:"spent,omitempty"` // "day" or "month": the allowance that is used up
}

const (
	askAgain = time.Minute // the longest wait for the rate: it may change
	// A clock that goes back by no more than this many days, or months, has its
	// day or month go on; beyond, the later one was an error of the clock.
	dayBack, monthBack = 2, 1
)

// budget keeps a Budget. Bytes that have left make a debt that is worked off
// at the rate; while there is debt, nothing that is not live leaves.
type budget struct {
	Budget
	limit      float64 // bytes a second, 0: none
	debt       float64
	last       time.Time // when debt was worked off
	asked      int64     // wire bytes of the last post that wanted to leave
	left       time.Time // when it was let go
	day, month tally
}

// tally is what one day or month has used. Its fields are those of the note.
type tally struct {
	Number int64 `json:"number"` // of the day since 1970, or the month since the year 0
	Bytes  int64 `json:"bytes"`  // live ones included
	Live   int64 `json:"live"`
}

// note is what marshal writes.
type note struct {
	Version int   `json:"version"`
	Day     tally `json:"day"`
	Month   tally `json:"month"`
}

const noteVersion = 1

// newBudget makes a budget that goes on from what marshal gave. A note that
// cannot be read gives allowances that are not used yet.
func newBudget(b Budget, saved []byte) *budget {
	made := &budget{Budget: b}
	var n note
	if json.Unmarshal(saved, &n) != nil || n.Version != noteVersion || !n.Day.sane() || !n.Month.sane() {
		return made
	}
	made.day, made.month = n.Day, n.Month
	return made
}

func (t tally) sane() bool {
	const never = 1 << 40
	return t.Number >= 0 && t.Number < never && t.Live >= 0 && t.Bytes >= t.Live
}

// marshal gives the note for the next start.
func (b *budget) marshal() []byte {
	data, err := json.Marshal(note{noteVersion, b.day, b.month})
	if err != nil {
		return nil // whole numbers only: it never fails
	}
	return data
}

// wait tells how long a post of so many wire bytes that is not live has to
// wait, 0 for not at all. rate is the link's, as far as it is known.
func (b *budget) wait(now time.Time, wire int64, rate float64) time.Duration {
	b.asked = max(0, wire)
	b.limit = math.Inf(1)
	if b.Share > 0 && rate > 0 {
		b.limit = b.Share * rate
	}
	if b.Rate > 0 {
		b.limit = min(b.limit, float64(b.Rate))
	}
	b.advance(now)
	wait := b.waitDebt(now)
	if !b.day.holds(b.asked, b.Daily) {
		wait = max(wait, until(now, b.dayEnds()))
	}
	if !b.month.holds(b.asked, b.Monthly) {
		wait = max(wait, until(now, b.monthEnds()))
	}
	if wait == 0 {
		b.left = now
	}
	return wait
}

// until is at least a second, and short where the time is unknown.
func until(now, then time.Time) time.Duration {
	if now.IsZero() {
		return askAgain
	}
	return max(then.Sub(now), time.Second)
}

// waitDebt is the time until the debt is worked off. Without a clock it cannot
// be told how much is, so it does not hold.
func (b *budget) waitDebt(now time.Time) time.Duration {
	if now.IsZero() || b.debt <= 0 {
		return 0
	}
	return time.Duration(min(b.debt/b.limit*float64(time.Second)+1, float64(askAgain)))
}

// holds reports whether a post fits into the allowance. One that is larger
// than the whole of it leaves as the first one.
func (t tally) holds(wire, allowance int64) bool {
	first := wire > allowance && t.Bytes == t.Live && t.Bytes < allowance
	return allowance <= 0 || t.Bytes <= allowance-wire || first
}

// spent counts the wire bytes of a post, when it is over.
func (b *budget) spent(now time.Time, wire int64, live bool) {
	b.advance(now)
	b.day.add(wire, live)
	b.month.add(wire, live)
	if live || b.limit <= 0 || math.IsInf(b.limit, 0) {
		return
	}
	// It was under way for some time, which counts.
	took := min(max(0, now.Sub(b.left)), longest)
	b.debt = max(0, b.debt+float64(max(0, wire))-took.Seconds()*b.limit)
}

func (t *tally) add(wire int64, live bool) {
	wire = min(max(0, wire), math.MaxInt64-t.Bytes)
	t.Bytes += wire
	if live {
		t.Live += wire
	}
}

// advance works debt off and begins new allowances. A clock that is not set,
// or goes back, does neither.
func (b *budget) advance(now time.Time) {
	if now.IsZero() {
		return
	}
	if passed := now.Sub(b.last); !b.last.IsZero() && passed > 0 {
		b.debt = max(0, b.debt-passed.Seconds()*b.limit)
	}
	b.last = now
	b.day.turn(dayNumber(now), dayBack)
	b.month.turn(monthNumber(now), monthBack)
}

// turn begins a new period. Where the clock has gone back the old one goes on
// with what it has used: until it is over, or, where that is too far away to
// be true, under the number that the clock tells now.
func (t *tally) turn(number, back int64) {
	switch {
	case number > t.Number:
		*t = tally{Number: number}
	case number < t.Number-back:
		t.Number = number
	}
}

func dayNumber(now time.Time) int64 { return max(0, now.Unix()/(24*60*60)) }

func monthNumber(now time.Time) int64 {
	now = now.UTC()
	return max(0, int64(now.Year())*12+int64(now.Month())-1)
}

func (b *budget) dayEnds() time.Time { return time.Unix((b.day.Number+1)*24*60*60, 0).UTC() }

func (b *budget) monthEnds() time.Time {
	n := b.month.Number + 1
	return time.Date(int(n/12), time.Month(n%12)+1, 1, 0, 0, 0, 0, time.UTC)
}

// usage tells how the budget is used.
func (b *budget) usage(now time.Time) Usage {
	b.advance(now)
	u := Usage{
		Share: b.Share, Rate: b.Rate, Daily: b.Daily, Monthly: b.Monthly,
		Today: b.day.Bytes, TodayLive: b.day.Live, ThisMonth: b.month.Bytes, ThisMonthLive: b.month.Live,
	}
	if b.day.Number > 0 {
		u.DayEnds, u.MonthEnds = b.dayEnds(), b.monthEnds()
	}
	switch {
	case !b.month.holds(b.asked, b.Monthly):
		u.Spent = "month"
	case !b.day.holds(b.asked, b.Daily):
		u.Spent = "day"
	}
	return u
}
