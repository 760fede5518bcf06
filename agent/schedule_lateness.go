package agent

import (
	"math"
	"time"
)

// lateness counts how late polls start, over the last five to ten minutes. Its
// classes grow by the square root of two from one millisecond on.
type lateness struct {
	now, before [latenessClasses]uint32
	since       time.Time // when now began
}

const (
	latenessClasses = 48 // the last one begins beyond three hours
	latenessSpan    = 5 * time.Minute
)

func (l *lateness) add(at time.Time, late time.Duration) {
	l.turn(at)
	l.now[latenessClass(late)]++
}

// turn forgets what is long past.
func (l *lateness) turn(at time.Time) {
	switch age := at.Sub(l.since); {
	case age < latenessSpan:
		return
	case age < 2*latenessSpan:
		l.before = l.now
	default:
		clear(l.before[:])
	}
	clear(l.now[:])
	l.since = at
}

// latenessClass is the first class whose bound is not less.
func latenessClass(late time.Duration) int {
	if late <= time.Millisecond {
		return 0
	}
	class := math.Ceil(2 * math.Log2(float64(late)/float64(time.Millisecond)))
	return min(int(class), latenessClasses-1)
}

func latenessBound(class int) time.Duration {
	return time.Duration(float64(time.Millisecond) * math.Pow(2, float64(class)/2))
}

// quantile is a bound that the share q of the starts kept, 0 without any.
func (l *lateness) quantile(at time.Time, q float64) time.Duration {
	l.turn(at)
	all := uint64(0)
	for i := range l.now {
		all += uint64(l.now[i]) + uint64(l.before[i])
	}
	if all == 0 {
		return 0
	}
	rest := uint64(math.Ceil(float64(all) * q))
	for i := range l.now {
		n := uint64(l.now[i]) + uint64(l.before[i])
		if n >= rest {
			return latenessBound(i)
		}
		rest -= n
	}
	return latenessBound(latenessClasses - 1)
}
