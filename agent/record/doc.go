// Package record gives events and log records their forms: the bytes they are
// kept as, the JSON of Dynatrace's Events API v2 and log ingest v2, and the log
// records and the event that stand for measurements which came too late to be
// metrics. It is pure: values in, text out.
package record

import "time"

// Limits of one record and of one event. What is over them is cut, and the
// attribute NoteKey says so.
const (
	maxContent        = 500_000 // bytes; the smallest documented figure of Grail is 512 kB
	maxAttributes     = 499     // 500 with log.source
	maxAttributeKey   = 100     // bytes
	maxAttributeValue = 32_000  // bytes; 32 kB are documented
	maxProperties     = 100
	maxPropertyKey    = 100   // characters, as UTF-16 counts them
	maxPropertyValue  = 4_096 // characters, as UTF-16 counts them
	maxTitle          = 1_000 // characters; the documentation names no limit
	maxSelector       = 2_000 // characters; a longer one is left out, since no part of it would do
	maxTimeout        = 6 * time.Hour
	// maxText bounds the texts of an event or record together, in bytes, so that
	// its packed form fits the store and its JSON fits any body.
	maxText = 1_000_000
)

// Attributes of Edgehold's own.
const (
	NoteKey     = "edgehold.cut"          // what was cut or left out, in words
	LateKey     = "edgehold.late"         // "true": the record carries late measurements
	TimeKey     = "edgehold.time"         // when it was measured: RFC 3339 in UTC with milliseconds
	FromKey     = "edgehold.from"         // when the first of several measurements was taken
	UnknownKey  = "edgehold.time_unknown" // "true": only boot and uptime are known
	BootKey     = "edgehold.boot"         // the boot's id in hex
	UptimeKey   = "edgehold.uptime"       // milliseconds since that boot; a number
	SeverityKey = "edgehold.severity"     // the severity as it came, where no level has that name
)

// sourceKey is the attribute that says where a record comes from.
const sourceKey = "log.source"

// Source is the log.source of every record that names none itself.
const Source = "edgehold"
