package agent

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

// Garbage may grow to so much before it is collected, in bytes; within the
// bounds, in per cent of what is in use. A small heap is collected often as it
// is, and a large one must not be half garbage.
const (
	mostGarbage    = 10_000_000
	leastGCPercent = 20
	mostGCPercent  = 50
)

// tuneCollector sets when garbage is collected by how much memory is in use.
// GOGC overrides it.
func tuneCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Kind() == metrics.KindUint64 {
		debug.SetGCPercent(gcPercent(live[0].Value.Uint64()))
	}
}

func gcPercent(live uint64) int {
	return int(min(mostGCPercent, max(leastGCPercent, 100*mostGarbage/max(live, 1))))
}
