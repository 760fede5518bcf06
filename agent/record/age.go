package record

import (
	"encoding/hex"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// How old things may be, less a margin for the way to the server and for its
// clock.
const (
	margin        = 10 * time.Minute
	MaxLogAge     = 24*time.Hour - margin
	MaxProblemAge = 6*time.Hour - margin   // events that open problems
	MaxInfoAge    = 720*time.Hour - margin // events that inform: 30 days
	maxAhead      = 4 * time.Minute        // events 5, log records 10 minutes
)

// eventType is what a type of the Events API means here.
type eventType struct {
	age      time.Duration
	severity string // of the log record in its stead
}

var eventTypes = map[string]eventType{
	"AVAILABILITY_EVENT":        {MaxProblemAge, "ERROR"},
	"CUSTOM_ALERT":              {MaxProblemAge, "ERROR"},
	"ERROR_EVENT":               {MaxProblemAge, "ERROR"},
	"PERFORMANCE_EVENT":         {MaxProblemAge, "WARN"},
	"RESOURCE_CONTENTION_EVENT": {MaxProblemAge, "WARN"},
	"WARNING":                   {MaxProblemAge, "WARN"},
	"CUSTOM_ANNOTATION":         {MaxInfoAge, "INFO"},
	"CUSTOM_CONFIGURATION":      {MaxInfoAge, "INFO"},
	"CUSTOM_DEPLOYMENT":         {MaxInfoAge, "INFO"},
	"CUSTOM_INFO":               {MaxInfoAge, "INFO"},
	"MARKED_FOR_TERMINATION":    {MaxInfoAge, "INFO"},
}

// EventInTime tells whether the Events API can take e at now: its type is known,
// its start is true and not too old. Where it is false, what EventRecord gives
// is to be sent instead.
func EventInTime(e probes.Event, now time.Time) bool {
	t, known := eventTypes[e.Type]
	if !known || !datable(e.Start) {
		return false
	}
	if e.End != (probes.Stamp{}) && (!datable(e.End) || e.End.Wall < e.Start.Wall || -age(e.End, now) > maxAhead) {
		return false
	}
	return age(e.Start, now) <= t.age && -age(e.Start, now) <= maxAhead
}

// age is how long ago s was, below zero for a stamp in the future.
func age(s probes.Stamp, now time.Time) time.Duration {
	const most = int64(1<<62) / int64(time.Millisecond)
	return time.Duration(min(max(now.UnixMilli()-s.Wall, -most), most)) * time.Millisecond
}

// EventRecord is e as a log record: its title as content, what else it says as
// attributes.
func EventRecord(e probes.Event) probes.Record {
	t, known := eventTypes[e.Type]
	if !known {
		t.severity = "WARN"
	}
	attributes := []probes.Dimension{{Key: "event.type", Value: e.Type}}
	for _, at := range []struct {
		key   string
		stamp probes.Stamp
	}{{"event.start", e.Start}, {"event.end", e.End}} {
		if datable(at.stamp) {
			attributes = append(attributes, probes.Dimension{Key: at.key, Value: isoTime(at.stamp)})
		}
	}
	if e.EntitySelector != "" {
		attributes = append(attributes, probes.Dimension{Key: "event.entity_selector", Value: e.EntitySelector})
	}
	return FitRecord(probes.Record{
		Stamp: e.Start, Severity: t.severity, Content: e.Title, Attributes: append(attributes, e.Properties...),
	})
}

// InTime gives r as log ingest takes it at now. Where its time is too old, in
// the future or not known, it is stamped now, and the true time, or boot and
// uptime, become attributes.
func InTime(r probes.Record, now time.Time) probes.Record {
	if inTime(r.Stamp, now) {
		return r
	}
	attributes, numbers := truth(r.Stamp)
	r.Attributes = append(attributes, r.Attributes...)
	r.Numbers = append(numbers, r.Numbers...)
	r.Stamp = probes.Stamp{Wall: now.UnixMilli()}
	return FitRecord(r)
}

func inTime(s probes.Stamp, now time.Time) bool {
	return datable(s) && age(s, now) <= MaxLogAge && -age(s, now) <= maxAhead
}

// truth says when something was, as attributes.
func truth(s probes.Stamp) ([]probes.Dimension, []probes.Number) {
	if datable(s) {
		return []probes.Dimension{{Key: TimeKey, Value: isoTime(s)}}, nil
	}
	return []probes.Dimension{{Key: UnknownKey, Value: "true"}, {Key: BootKey, Value: hex.EncodeToString(s.Boot[:])}},
		[]probes.Number{{Key: UptimeKey, Value: probes.Int(s.Uptime.Milliseconds())}}
}
