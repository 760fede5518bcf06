// Package oracle holds the OTLP requests of Edgehold against the protocol's
// generated types, and what Edgehold reads of answers against what they say. It
// is a module of its own, for tests only, so that the types never become part
// of what is shipped. Run it with
//
//	cd agent/otlp/oracle && go test ./...
package oracle
