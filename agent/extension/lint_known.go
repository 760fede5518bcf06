package extension

import (
	"strconv"
	"strings"
)

// objects are columns or scalars below one OID: "3-5,7" names their last arcs.
type objects struct {
	root  string
	arcs  string
	table bool
}

// knownCounters are the objects of common MIBs that only grow.
var knownCounters = []objects{
	{"1.3.6.1.2.1.2.2.1", "10-20", true},              // ifTable
	{"1.3.6.1.2.1.31.1.1.1", "2-13", true},            // ifXTable
	{"1.3.6.1.2.1.4", "3-12,14-19,23", false},         // ip
	{"1.3.6.1.2.1.4.31.1.1", "3-45", true},            // ipSystemStatsTable
	{"1.3.6.1.2.1.4.31.3.1", "3-45", true},            // ipIfStatsTable
	{"1.3.6.1.2.1.5", "1-26", false},                  // icmp
	{"1.3.6.1.2.1.6", "5-8,10-12,14,15,17,18", false}, // tcp
	{"1.3.6.1.2.1.7", "1-4,8,9", false},               // udp
	{"1.3.6.1.2.1.10.7.2.1", "2-11,13,16,18", true},   // dot3StatsTable
	{"1.3.6.1.2.1.10.7.11.1", "1-6", true},            // dot3HCStatsTable
	{"1.3.6.1.2.1.11", "1-6,8-22,24-29,31,32", false}, // snmp
	{"1.3.6.1.2.1.15.3.1", "10-13", true},             // bgpPeerTable
	{"1.3.6.1.2.1.16.1.1.1", "3-19", true},            // etherStatsTable
	{"1.3.6.1.2.1.17.4.4.1", "3-5", true},             // dot1dTpPortTable
	{"1.3.6.1.2.1.25.2.3.1", "7", true},               // hrStorageAllocationFailures
	{"1.3.6.1.2.1.25.3.2.1", "6", true},               // hrDeviceErrors
	{"1.3.6.1.4.1.2021.11", "50-66", false},           // systemStats, the raw ones
	{"1.3.6.1.4.1.2021.13.15.1.1", "3-6,12,13", true}, // diskIOTable
}

// knownGauges are the objects of common MIBs whose value is a state or a level.
var knownGauges = []objects{
	{"1.3.6.1.2.1.1", "3", false},               // sysUpTime
	{"1.3.6.1.2.1.2", "1", false},               // ifNumber
	{"1.3.6.1.2.1.2.2.1", "1,3-5,7-9,21", true}, // ifTable
	{"1.3.6.1.2.1.31.1.1.1", "15", true},        // ifHighSpeed
	{"1.3.6.1.2.1.6", "9", false},               // tcpCurrEstab
	{"1.3.6.1.2.1.15.3.1", "2,3,16", true},      // bgpPeerTable
	{"1.3.6.1.2.1.25.1", "1,5,6", false},        // hrSystem
	{"1.3.6.1.2.1.25.2", "2", false},            // hrMemorySize
	{"1.3.6.1.2.1.25.2.3.1", "4-6", true},       // hrStorageTable
	{"1.3.6.1.2.1.25.3.3.1", "2", true},         // hrProcessorLoad
	{"1.3.6.1.2.1.33.1.2", "1-7", false},        // upsBattery
	{"1.3.6.1.2.1.99.1.1.1", "4,5", true},       // entPhySensorTable
	{"1.3.6.1.4.1.2021.4", "3-6,11-15", false},  // memory
	{"1.3.6.1.4.1.2021.10.1", "3,5,6", true},    // laTable
	{"1.3.6.1.4.1.2021.11", "3-11", false},      // systemStats, the averages
	{"1.3.6.1.6.3.10.2.1", "3", false},          // snmpEngineTime
}

// knownTexts are no numbers, so that no metric can be made of them.
var knownTexts = []objects{
	{"1.3.6.1.2.1.1", "1,2,4-6", false},          // sysDescr, sysObjectID, sysContact, sysName, sysLocation
	{"1.3.6.1.2.1.2.2.1", "2,6,22", true},        // ifDescr, ifPhysAddress, ifSpecific
	{"1.3.6.1.2.1.31.1.1.1", "1,18", true},       // ifName, ifAlias
	{"1.3.6.1.2.1.25.2.3.1", "2,3", true},        // hrStorageType, hrStorageDescr
	{"1.3.6.1.2.1.25.3.2.1", "2-4", true},        // hrDeviceType, hrDeviceDescr, hrDeviceID
	{"1.3.6.1.2.1.47.1.1.1.1", "2,3,7-15", true}, // entPhysicalTable
}

// clocks are not counters, yet differ at each poll.
var clocks = []objects{
	{"1.3.6.1.2.1.1", "3", false},      // sysUpTime
	{"1.3.6.1.2.1.25.1", "1,2", false}, // hrSystemUptime, hrSystemDate
	{"1.3.6.1.6.3.10.2.1", "3", false}, // snmpEngineTime
}

// sensitiveObjects hold what should not leave a site without thought, whatever
// the dimension is called.
var sensitiveObjects = []struct{ root, reason string }{
	{"1.3.6.1.2.1.1.4", reasonText},               // sysContact
	{"1.3.6.1.2.1.1.6", reasonPlace},              // sysLocation
	{"1.3.6.1.2.1.2.2.1.6", reasonMAC},            // ifPhysAddress
	{"1.3.6.1.2.1.3.1", reasonAddress},            // atTable
	{"1.3.6.1.2.1.4.20.1.1", reasonAddress},       // ipAdEntAddr
	{"1.3.6.1.2.1.4.22.1.2", reasonMAC},           // ipNetToMediaPhysAddress
	{"1.3.6.1.2.1.4.22.1.3", reasonAddress},       // ipNetToMediaNetAddress
	{"1.3.6.1.2.1.4.34.1.2", reasonAddress},       // ipAddressAddr
	{"1.3.6.1.2.1.4.35.1.4", reasonMAC},           // ipNetToPhysicalPhysAddress
	{"1.3.6.1.2.1.6.13.1", reasonAddress},         // tcpConnTable
	{"1.3.6.1.2.1.15.3.1.7", reasonAddress},       // bgpPeerRemoteAddr
	{"1.3.6.1.2.1.17.4.3.1.1", reasonMAC},         // dot1dTpFdbAddress
	{"1.3.6.1.2.1.25.4.2.1.5", reasonCommand},     // hrSWRunParameters
	{"1.3.6.1.2.1.31.1.1.1.18", reasonText},       // ifAlias
	{"1.3.6.1.2.1.43.5.1.1.17", reasonSerial},     // prtGeneralSerialNumber
	{"1.3.6.1.2.1.47.1.1.1.1.11", reasonSerial},   // entPhysicalSerialNum
	{"1.3.6.1.2.1.47.1.1.1.1.14", reasonText},     // entPhysicalAlias
	{"1.3.6.1.2.1.47.1.1.1.1.15", reasonSerial},   // entPhysicalAssetID
	{"1.3.6.1.4.1.318.1.1.1.1.2.3", reasonSerial}, // upsAdvIdentSerialNumber
	{"1.3.6.1.6.3.15.1.2", reasonPerson},          // usmUserTable
	{"1.3.6.1.6.3.18.1.1", reasonSecret},          // snmpCommunityTable
	{"1.0.8802.1.1.2.1.4.1.1.5", reasonMAC},       // lldpRemChassisId
	{"1.0.8802.1.1.2.1.4.2", reasonAddress},       // lldpRemManAddrTable
}

// plainObjects are texts of the maker or of the system, whatever the dimension
// is called.
var plainObjects = []objects{
	{"1.3.6.1.2.1.1", "1,2,5,7", false},       // sysDescr, sysObjectID, sysName, sysServices
	{"1.3.6.1.2.1.2.2.1", "1-5,7-22", true},   // ifTable without ifPhysAddress
	{"1.3.6.1.2.1.31.1.1.1", "1-17,19", true}, // ifXTable without ifAlias
}

// largeTables have as many rows as a network has hosts, routes or programs.
var largeTables = []struct{ root, name string }{
	{"1.3.6.1.2.1.4.21", "the routing table"},
	{"1.3.6.1.2.1.4.24.4", "the routing table"},
	{"1.3.6.1.2.1.4.24.7", "the routing table"},
	{"1.3.6.1.2.1.4.22", "the ARP table"},
	{"1.3.6.1.2.1.4.35", "the table of neighbours"},
	{"1.3.6.1.2.1.6.13", "the table of TCP connections"},
	{"1.3.6.1.2.1.6.19", "the table of TCP connections"},
	{"1.3.6.1.2.1.7.7", "the table of UDP endpoints"},
	{"1.3.6.1.2.1.17.4.3", "the forwarding table"},
	{"1.3.6.1.2.1.17.7.1.2.2", "the forwarding table"},
	{"1.3.6.1.2.1.25.4.2", "the table of running programs"},
	{"1.3.6.1.2.1.25.6.3", "the table of installed programs"},
}

// known looks an OID up: with its instance or, as in a table, without.
func known(oid string, list []objects) (o objects, found bool) {
	for _, o := range list {
		rest, inside := strings.CutPrefix(oid, o.root+".")
		if !inside {
			continue
		}
		first, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(first); err == nil && inArcs(n, o.arcs) {
			return o, true
		}
	}
	return objects{}, false
}

func inArcs(n int, arcs string) bool {
	for part := range strings.SplitSeq(arcs, ",") {
		low, high, isRange := strings.Cut(part, "-")
		from, _ := strconv.Atoi(low)
		to := from
		if isRange {
			to, _ = strconv.Atoi(high)
		}
		if n >= from && n <= to {
			return true
		}
	}
	return false
}
