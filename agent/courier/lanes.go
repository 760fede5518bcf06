package courier

import (
	"time"

	"github.com/edgehold/edgehold/agent/drain"
	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer"
)

// lane is one kind of work, as in a drain. A lower one is more urgent.
type lane uint8

const (
	laneLive   lane = iota // points younger than two minutes
	laneEvents             // events
	laneWindow             // points that can still be delivered, oldest first
	laneLogs               // log records
	laneLate               // what the window has passed, as log records
	lanes
)

var laneWords = [lanes]string{"live", "events", "window", "logs", "late"}

func (l lane) String() string { return laneWords[l] }

// firstSize is about how many bytes of a block a point or an entry takes,
// until that is known.
func (l lane) firstSize() float64 {
	switch l {
	case laneEvents, laneLogs:
		return 200
	case laneLate:
		return 40
	}
	return 8
}

func (l lane) wire() wire.Lane {
	if l == laneLive || l == laneEvents {
		return wire.Live
	}
	return wire.Backlog
}

const (
	liveAge     = 2 * time.Minute
	ahead       = 8 * time.Minute // how far in the future a point may lie
	margin      = 4 * time.Minute // kept from the end of the window, for the way over a relay
	entryWindow = 24 * time.Hour
	entryMargin = 10 * time.Minute
	logAhead    = 4 * time.Minute
	mostPoints  = 65_536 // of a block
	mostEntries = 2000   // of a block
	// logTurn is how often log records go first: where the link does not carry
	// all metrics, those never leave room by themselves.
	logTurn = 16
)

// scope is what the queries depend on.
type scope struct {
	now      time.Time
	window   time.Duration
	estimate time.Duration // how long a block will be under way
	spread   time.Time     // until when the backlog waits
	late     drain.LateMode
	folded   time.Duration // of late points
}

// oldest is the time before which points are not leased: they might expire on
// their way.
func (s scope) oldest(now time.Time) time.Time { return now.Add(margin + s.estimate - s.window) }

// border is the oldest time that is live.
func (s scope) border() time.Time { return later(s.now.Add(-liveAge), s.oldest(s.now)) }

// queries are those of a lane, of at most so many points or entries.
func (s scope) queries(l lane, most int) []buffer.Query {
	switch l {
	case laneLive:
		return []buffer.Query{{Oldest: s.border(), Newest: s.now.Add(ahead), Max: most}}
	case laneEvents:
		return []buffer.Query{s.entries(buffer.EventEntry, most)}
	case laneLogs:
		return []buffer.Query{s.entries(buffer.LogEntry, most)}
	case laneWindow:
		return s.backlog(most)
	}
	if s.late != drain.LateLogs {
		return nil
	}
	return []buffer.Query{
		{Late: true, Whole: s.folded, Max: most},
		{Late: true, Entries: true, Max: min(most, mostEntries)},
	}
}

func (s scope) entries(kind buffer.EntryKind, most int) buffer.Query {
	return buffer.Query{
		Entries: true, Kind: kind, Oldest: s.now.Add(entryMargin - entryWindow), Newest: s.now.Add(logAhead), Max: min(most, mostEntries),
	}
}

// backlog is oldest first, since that expires first. While the backlog waits
// for other sites, what would expire by that does not.
func (s scope) backlog(most int) []buffer.Query {
	q := buffer.Query{Oldest: s.oldest(s.now), Newest: s.border().Add(-time.Millisecond), Max: most}
	if s.now.Before(s.spread) {
		if by := s.oldest(s.spread); by.Before(q.Newest) {
			q.Newest = by
		}
	}
	if q.Newest.Before(q.Oldest) {
		return nil
	}
	return []buffer.Query{q}
}

// order is that in which lanes are tried.
func order(turn int) [lanes]lane {
	if turn%logTurn == logTurn-1 {
		return [lanes]lane{laneLogs, laneEvents, laneLive, laneWindow, laneLate}
	}
	return [lanes]lane{laneLive, laneEvents, laneWindow, laneLogs, laneLate}
}
