// Package drain is the uplink: it leases points, events and log records from
// the buffer, sends them to Dynatrace or an OTLP receiver and settles each
// lease by what came back.
//
// What is decided is decided in pure pieces: which lane goes next and what it
// leases (lanes.go, cadence.go), what an answer means (outcome.go and its
// kin), what is barred and until when (gate.go, backoff.go), how large a post
// is (shape.go), what it may cost (budget.go), what is folded (fold.go). The
// loop (drain.go, step.go) leases and renders (fill.go, entries.go, late.go,
// form.go), posts (sender.go) and keeps the state (note.go, state.go).
package drain
