// Package snmptest is a small SNMP agent for v1 and v2c over UDP: it answers
// GetRequest, GetNextRequest and GetBulkRequest from a store of OIDs, which is
// filled by hand, from a recording or by a simulated device, and it can be
// told to misbehave the way real agents do.
//
// A Responder is one device on one UDP port. The community of a request picks
// the MIB that answers it. A Fleet is many simple switches, each on an address
// of its own, for measuring what polls them. Nothing here reaches beyond the standard library.
package snmptest
