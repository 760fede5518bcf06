// Package drain is the uplink: it leases points from the buffer, sends them to
// Dynatrace's metrics API and settles each lease by what came back.
//
// What is decided is decided in pure functions: which points go next
// (lanes.go), what an answer means (outcome.go), when to try again
// (backoff.go). The rest carries it out (drain.go, lease.go, sender.go).
package drain
