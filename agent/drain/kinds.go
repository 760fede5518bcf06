package drain

import "github.com/edgehold/edgehold/buffer"

// cargo is what a post carries: each has an endpoint, a form and limits of its
// own, and a gate, so that one that is refused holds none of the others.
type cargo uint8

const (
	metrics     cargo = iota + 1 // metric lines
	events                       // one event
	logs                         // log records
	otlpMetrics                  // an ExportMetricsServiceRequest
	otlpLogs                     // an ExportLogsServiceRequest
	cargos
)

// String is the word of status for a cargo.
func (c cargo) String() string {
	switch c {
	case metrics, otlpMetrics:
		return "metrics"
	case events:
		return "events"
	case logs, otlpLogs:
		return "logs"
	}
	return "nothing"
}

// letter is the kind of the dead letters of a cargo.
func (c cargo) letter() string {
	switch c {
	case events:
		return "event"
	case logs, otlpLogs:
		return "log"
	}
	return ""
}

// lane is one kind of work of the drain. A lower one is more urgent.
type lane uint8

const (
	laneLive   lane = iota // metrics younger than two minutes
	laneEvents             // events
	laneWindow             // metrics that can still be taken, oldest first
	laneLogs               // log records
	laneLate               // points and entries that the window has passed
	lanes
)

// laneWords are the names of the lanes in status.
var laneWords = [lanes]string{"live", "events", "window", "logs", "late"}

func (l lane) String() string { return laneWords[l] }

// cargo is what a lane carries over a protocol.
func (l lane) cargo(p Protocol) cargo {
	switch {
	case l == laneLive || l == laneWindow:
		if p == OTLP {
			return otlpMetrics
		}
		return metrics
	case p == OTLP:
		return otlpLogs
	case l == laneEvents:
		return events
	}
	return logs
}

// outcome is what becomes of points that were taken.
func (l lane) outcome() buffer.Outcome {
	if l == laneLate {
		return buffer.Logged
	}
	return buffer.Delivered
}

// Resolution says how fine points leave.
type Resolution uint8

// The resolutions.
const (
	Full   Resolution = iota // every point as it was measured
	Minute                   // at most one line for each series and minute
)

// LateMode says what becomes of points that the window has passed.
type LateMode uint8

// The modes.
const (
	LateArchive LateMode = iota // they stay in the store
	LateLogs                    // they leave as log records
	LateDrop                    // they are given up, and counted
)
