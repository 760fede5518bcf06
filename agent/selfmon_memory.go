package agent

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Garbage may grow to so much before it is collected, in bytes; within the
// bounds, in per cent of what is in use. Where little garbage is made it is
// collected early, which costs next to nothing then; where much is made, late,
// so that collecting takes about this share of one processor. A large heap must
// not be half garbage.
const (
	mostGarbage    = 10_000_000
	leastGCPercent = 20
	mostGCPercent  = 100
	gcShare        = 0.002
)

// collector sets when garbage is collected.
type collector struct {
	percent int
	at      time.Time
	spent   float64 // by the collector so far, CPU seconds
}

// tune goes by what collecting has cost since the last call, and by how much
// memory is in use. GOGC overrides it.
func (c *collector) tune(now time.Time) {
	if os.Getenv("GOGC") != "" {
		return
	}
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(read)
	if read[0].Value.Kind() != metrics.KindUint64 || read[1].Value.Kind() != metrics.KindFloat64 {
		return
	}
	spent := read[1].Value.Float64()
	if c.at.IsZero() {
		c.percent = mostGCPercent / 2
	} else if passed := now.Sub(c.at).Seconds(); passed > 0 {
		c.percent = gcPercent(c.percent, (spent-c.spent)/passed, read[0].Value.Uint64())
	}
	c.at, c.spent = now, spent
	debug.SetGCPercent(c.percent)
}

// gcPercent is the next percentage after one at which collecting took a share of
// a processor; that is in inverse proportion to it.
func gcPercent(percent int, share float64, live uint64) int {
	wanted := float64(percent) * min(max(share/gcShare, 0.5), 2)
	bound := 100 * mostGarbage / float64(max(live, 1))
	return int(min(max(wanted, leastGCPercent), max(bound, leastGCPercent), mostGCPercent))
}
