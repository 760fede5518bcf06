// Package snmp polls devices over SNMP v1 and v2c: scalars by GET, tables by
// a walker of its own. The walker and the scalar reader are pure step
// functions; session.go is the one place that knows gosnmp.
package snmp
