// Package check looks at services from outside: whether a port, an HTTP endpoint,
// a certificate, a name or a clock is as it should be. A check that fails is a
// measurement, edgehold.check.up of 0, and a status that says why.
package check
