package drain

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
)

const (
	defaultWindow = time.Hour        // how old a metric line may be when it arrives
	defaultSettle = 15 * time.Second // after a minute, until its points are in the store
	liveAge       = 2 * time.Minute  // younger points go first
	ahead         = 10 * time.Minute // how far in the future a line may lie
	margin        = 2 * time.Minute  // kept from both ends of the window
	entryWindow   = 24 * time.Hour   // how old an event or a log record may be
)

// view is all that the choice of a lane depends on, beside what the store has.
type view struct {
	now      time.Time
	protocol Protocol
	gates    *gates
	frugal   time.Duration // how long the budget makes all wait that is not live
	spread   time.Time     // until when the backlog waits
	late     LateMode
}

// choose appends the lanes that may be tried now, the most urgent first. The
// duration is how long it takes until another one opens, 0 where none will by
// itself.
func choose(dst []lane, v view) ([]lane, time.Duration) {
	opens := time.Duration(0)
	for l := range lanes {
		wait := v.barred(l)
		switch {
		case wait == 0:
			dst = append(dst, l)
		case wait > 0 && (opens == 0 || wait < opens):
			opens = wait
		}
	}
	return dst, opens
}

// mostInRow is how many turns in a row go by urgency alone.
const mostInRow = 16

// favour puts a lane first. Events and log records take turns at it: where the
// link does not carry all metrics, those never leave room by themselves.
func favour(try []lane, first lane) {
	if i := slices.Index(try, first); i > 0 {
		copy(try[1:], try[:i])
		try[0] = first
	}
}

// barred is how long a lane has to wait, -1 where it has no work at all.
func (v view) barred(l lane) time.Duration {
	if l == laneLate && v.late != LateLogs {
		if v.late == LateDrop {
			return 0 // what is dropped needs no way
		}
		return -1
	}
	wait := max(v.gates.link.wait(v.now), v.gates.cargo[l.cargo(v.protocol)].wait(v.now))
	if l != laneLive {
		wait = max(wait, v.frugal)
	}
	if l == laneLogs || l == laneLate {
		wait = max(wait, v.spread.Sub(v.now))
	}
	return wait
}

// scope is what the queries of the metric lanes depend on.
type scope struct {
	now      time.Time
	window   time.Duration
	settle   time.Duration
	estimate time.Duration // how long the post will take
	spread   time.Time     // until when the backlog waits
	points   int           // at most
	folded   int           // at most where minutes are leased as a whole
	cadence  *cadence      // nil: every point goes as it is
}

// fresh gives the queries of the live lane. Where minutes are folded, series
// that are polled more often than once a minute come when the minute is over.
func (s scope) fresh() []buffer.Query {
	q := buffer.Query{Oldest: s.border(), Newest: s.now.Add(ahead - margin), Max: s.points}
	if s.cadence == nil {
		return []buffer.Query{q}
	}
	whole := q
	q.Match = s.cadence.slow
	whole.Match, whole.Whole, whole.Newest, whole.Max = s.cadence.fast, time.Minute, s.over(), s.folded
	if whole.Newest.Before(whole.Oldest) {
		return []buffer.Query{q}
	}
	return []buffer.Query{q, whole}
}

// backlog gives the query of the window lane: oldest first, since it expires
// first. While the backlog waits for other sites, what would expire by that
// does not.
func (s scope) backlog() []buffer.Query {
	q := buffer.Query{Oldest: s.deadline(s.now), Newest: s.border().Add(-time.Millisecond), Max: s.points}
	if s.now.Before(s.spread) {
		q.Newest = earlier(q.Newest, s.deadline(s.spread))
	}
	if s.cadence != nil {
		q.Whole, q.Max = time.Minute, s.folded
		q.Newest = earlier(s.border(), q.Newest.Truncate(time.Minute).Add(time.Minute)).Add(-time.Millisecond)
	}
	if q.Newest.Before(q.Oldest) {
		return nil
	}
	return []buffer.Query{q}
}

// border is the oldest time that is live. It lies between two minutes where
// minutes are folded.
func (s scope) border() time.Time {
	t := s.now.Add(-liveAge)
	if s.cadence != nil {
		t = t.Truncate(time.Minute)
	}
	return latest(t, s.deadline(s.now))
}

// over is the last moment of the last minute whose points are all in the store.
func (s scope) over() time.Time {
	return s.now.Add(-s.settle).Truncate(time.Minute).Add(-time.Millisecond)
}

// deadline is the oldest time that is leased: what is older might expire on
// its way.
func (s scope) deadline(now time.Time) time.Time { return now.Add(margin + s.estimate - s.window) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// tooLate reports whether a point that was leased in time has waited so long
// since, behind other posts, that half the margin is gone.
func tooLate(wall int64, now time.Time, window time.Duration) bool {
	return wall < now.Add(margin/2-window).UnixMilli()
}

// clockUnset reports a clock that was never set. Every stamp of now would be
// refused, and the points with it.
func clockUnset(now time.Time) bool { return now.UnixMilli() < mint.First }
