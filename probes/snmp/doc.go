// Package snmp polls devices over SNMP v1, v2c and v3: scalars by GET, tables by
// a walker of its own. The walker and the scalar reader are pure step
// functions; codec.go reads and writes messages, usm.go has gosnmp secure
// those of v3. trap_*.go receive notifications: ports that configurations share,
// and a source for each configuration.
package snmp
