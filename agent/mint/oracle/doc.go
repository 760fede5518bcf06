// Package oracle holds the metric lines of Edgehold against those of Dynatrace's
// own library. It is a module of its own, for tests only, so that the library
// never becomes part of what is shipped. Run it with
//
//	cd agent/mint/oracle && go test ./...
package oracle
