package drain

import (
	"time"

	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/buffer"
)

const (
	defaultWindow = time.Hour        // how old a metric line may be when it arrives
	liveAge       = 2 * time.Minute  // younger points go first
	ahead         = 10 * time.Minute // how far in the future a line may lie
	margin        = 2 * time.Minute  // kept from both ends of the window
	maxLines      = 1000             // of one post
	maxBytes      = 1_000_000        // of one post before compression, exclusive
)

// lanes gives the queries to try, the most urgent first: live points, then
// what is older and can still be taken, oldest first since it expires first.
// Points further ahead than the server takes are left until their time comes.
func lanes(now time.Time, window time.Duration) []buffer.Query {
	oldest, live := deadline(now, window), now.Add(-liveAge)
	if live.Before(oldest) {
		live = oldest
	}
	queries := []buffer.Query{{Oldest: live, Newest: now.Add(ahead - margin), Max: maxLines}}
	if oldest.Before(live) {
		queries = append(queries, buffer.Query{Oldest: oldest, Newest: live.Add(-time.Millisecond), Max: maxLines})
	}
	return queries
}

// deadline is the age at which a point is no longer leased: what is older
// might expire on its way.
func deadline(now time.Time, window time.Duration) time.Time {
	return now.Add(margin - window)
}

// tooLate reports whether a point that was leased in time has waited so long
// since, behind other posts, that half the margin is gone.
func tooLate(wall int64, now time.Time, window time.Duration) bool {
	return wall < deadline(now, window).Add(-margin/2).UnixMilli()
}

// clockUnset reports a clock that was never set. Every stamp of now would be
// refused, and the points with it.
func clockUnset(now time.Time) bool { return now.UnixMilli() < mint.First }
