// Package collectortest sends the OTLP requests of Edgehold to the real
// OpenTelemetry Collector, over HTTP, and counts what comes out on its other
// side. It is a module of its own, for tests only: the Collector is built from
// its modules, which takes a minute or two the first time. Run it with
//
//	cd agent/otlp/collectortest && go test ./...
//
// The Collector's receiver takes a request as a whole or refuses it as a whole:
// it has no partial success to be read.
package collectortest
