// Package mqtt takes what local sensors publish: it subscribes to topics at a
// broker, finds numbers in the messages and gives statistics of each interval.
//
// The connection is handed in (probes.Deps.Subscribe). It is one source of the
// schedule, which starts it again when the connection has ended.
package mqtt
