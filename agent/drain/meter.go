package drain

import "time"

const hoursOfDay = 24

// meter counts what left in the last 24 hours, in buckets of an hour. It goes
// by the time between the calls, as far as that is told, and not by the hours
// of the clock: a step backwards stops it until time goes on, and no more.
type meter struct {
	counts [hoursOfDay + 1]int64 // the first is of the hour under way
	last   time.Time
	into   time.Duration // of the hour under way
	seen   time.Duration // since the first call, a day at most
}

// add counts n at a time.
func (m *meter) add(now time.Time, n int64) {
	m.advance(now)
	m.counts[0] += n
}

// perDay is what was counted in the last 24 hours. Before a whole day was seen
// it is what a day would give at this pace, and full is false.
func (m *meter) perDay(now time.Time) (n int64, full bool) {
	m.advance(now)
	var sum int64
	for _, c := range m.counts[:hoursOfDay] {
		sum += c
	}
	const day = hoursOfDay * time.Hour
	if m.seen >= day {
		oldest := float64(m.counts[hoursOfDay]) * float64(time.Hour-m.into) / float64(time.Hour)
		return sum + int64(oldest+0.5), true
	}
	// The first minutes say little of a day.
	seen := max(m.seen, 10*time.Minute)
	return int64(float64(sum+m.counts[hoursOfDay])*float64(day)/float64(seen) + 0.5), false
}

// advance moves the buckets on.
func (m *meter) advance(now time.Time) {
	if m.last.IsZero() || now.IsZero() {
		m.last = now
		return
	}
	passed := max(0, now.Sub(m.last))
	m.last = now
	m.seen = min(hoursOfDay*time.Hour, m.seen+min(passed, hoursOfDay*time.Hour))
	hours := passed / time.Hour
	if m.into += passed % time.Hour; m.into >= time.Hour {
		m.into -= time.Hour
		hours++
	}
	shift := int(min(hours, hoursOfDay+1))
	copy(m.counts[shift:], m.counts[:])
	clear(m.counts[:shift])
}
