package snmprec

import "strings"

// leftOut are subtrees that hold communities, users, keys, or who is told of
// what: targets, notifications, proxies, users, views and communities of SNMP,
// the events of RMON, and the same of vendors.
var leftOut = []string{
	"1.3.6.1.6.3.12", "1.3.6.1.6.3.13", "1.3.6.1.6.3.14", "1.3.6.1.6.3.15", "1.3.6.1.6.3.16", "1.3.6.1.6.3.18",
	"1.3.6.1.2.1.16.9", "1.3.6.1.2.1.16.17", // RMON events, trap destinations
	"1.3.6.1.2.1.25.4.2.1.5", // hrSWRunParameters: command lines
	"1.3.6.1.4.1.9.9.96",     // CISCO-CONFIG-COPY-MIB
	"1.3.6.1.4.1.318.2.1",    // PowerNet trap receivers
}

// kind is what an octet string of a column is.
type kind uint8

const (
	anything kind = iota
	name
	contact
	location
	alias
	vlan
	serial
	address // IPv4 or IPv6 in 4 or 16 octets
	hardware
	station // an LLDP id: a MAC address, an address behind its family, or a name
	engine
)

// columns says of which kind the values below an OID are.
var columns = map[string]kind{
	"1.3.6.1.2.1.1.4": contact, "1.3.6.1.2.1.1.5": name, "1.3.6.1.2.1.1.6": location,
	"1.3.6.1.2.1.31.1.1.1.18": alias,
	"1.3.6.1.2.1.2.2.1.6":     hardware, "1.3.6.1.2.1.17.1.1": hardware,
	"1.3.6.1.2.1.3.1.1.2": hardware, "1.3.6.1.2.1.4.22.1.2": hardware, "1.3.6.1.2.1.4.35.1.4": hardware,
	"1.3.6.1.2.1.17.4.3.1.1": hardware, "1.3.6.1.2.1.17.7.1.2.2.1.1": hardware,
	"1.3.6.1.2.1.47.1.1.1.1.11": serial, "1.3.6.1.2.1.47.1.1.1.1.14": alias, "1.3.6.1.2.1.47.1.1.1.1.15": alias,
	"1.3.6.1.6.3.10.2.1.1": engine,
	"1.0.8802.1.1.2.1.3.2": station, "1.0.8802.1.1.2.1.3.3": name, "1.0.8802.1.1.2.1.3.7.1.3": station,
	"1.0.8802.1.1.2.1.4.1.1.5": station, "1.0.8802.1.1.2.1.4.1.1.7": station,
	"1.0.8802.1.1.2.1.4.1.1.8": alias, "1.0.8802.1.1.2.1.4.1.1.9": name,
	"1.3.6.1.4.1.9.9.23.1.2.1.1.4": address, "1.3.6.1.4.1.9.9.23.1.2.1.1.6": name, "1.3.6.1.4.1.9.9.23.1.2.1.1.10": name,
	"1.3.6.1.4.1.9.9.23.1.2.1.1.17": name, "1.3.6.1.4.1.9.9.23.1.2.1.1.20": address, "1.3.6.1.4.1.9.9.23.1.2.1.1.22": address,
	"1.3.6.1.4.1.9.9.23.1.2.1.1.23": location, "1.3.6.1.4.1.9.9.23.1.3.4": name,
	"1.3.6.1.4.1.9.2.1.3": name, "1.3.6.1.4.1.9.2.1.4": name,
	"1.3.6.1.2.1.17.7.1.4.3.1.1": vlan, "1.3.6.1.4.1.9.9.46.1.3.1.1.4": vlan, "1.3.6.1.4.1.9.9.46.1.2.1.1.2": name,
	"1.3.6.1.2.1.43.5.1.1.4": name, "1.3.6.1.2.1.43.5.1.1.5": contact, "1.3.6.1.2.1.43.5.1.1.16": name, "1.3.6.1.2.1.43.5.1.1.17": serial,
	"1.3.6.1.2.1.33.1.1.5": name, "1.3.6.1.2.1.33.1.1.6": name,
	"1.3.6.1.4.1.318.1.1.1.1.1.2": name, "1.3.6.1.4.1.318.1.1.1.1.2.3": serial, "1.3.6.1.4.1.318.1.1.12.1.1": name,
	"1.3.6.1.4.1.318.1.1.12.1.6": serial, "1.3.6.1.4.1.318.1.1.12.3.3.1.1.2": alias, "1.3.6.1.4.1.318.1.1.26.2.1.3": name,
	"1.3.6.1.4.1.318.1.1.26.2.1.9": serial,
	"1.3.6.1.4.1.9.3.6.3":          serial, "1.3.6.1.4.1.9.5.1.2.19": serial, "1.3.6.1.4.1.9.5.1.3.1.1.3": serial, "1.3.6.1.4.1.9.5.1.3.1.1.26": serial,
	"1.3.6.1.4.1.2636.3.1.3": serial, "1.3.6.1.4.1.2636.3.1.8.1.7": serial, "1.3.6.1.4.1.2636.3.40.1.4.1.1.1.2": serial,
	"1.3.6.1.4.1.12356.100.1.1.1": serial, "1.3.6.1.4.1.25461.2.1.2.1.3": serial, "1.3.6.1.4.1.6574.1.5.2": serial,
	"1.3.6.1.4.1.11.2.36.1.1.2.9": serial, "1.3.6.1.4.1.14988.1.1.7.3": serial, "1.3.6.1.4.1.14988.1.1.11.1.1.6": name,
	"1.3.6.1.4.1.13742.6.3.2.2.1.13": name, "1.3.6.1.4.1.13742.6.3.2.1.1.4": serial, "1.3.6.1.4.1.48690.1.1": serial,
	"1.3.6.1.4.1.48690.1.3": serial, "1.3.6.1.4.1.534.6.6.7.1.2.1.4": serial, "1.3.6.1.4.1.705.1.1.7": serial,
	"1.3.6.1.4.1.318.1.1.10.2.1.1": name, "1.3.6.1.4.1.674.10892.5.1.3.2": serial, "1.3.6.1.4.1.232.2.2.2.1": serial,
}

// kindOf is the kind of an instance, by the longest column above it.
func kindOf(oid string) kind {
	for at := oid; at != ""; at = at[:max(0, strings.LastIndexByte(at, '.'))] {
		if k, ok := columns[at]; ok {
			return k
		}
	}
	return anything
}

// indices says how the index of a table holds addresses: 4 an IpAddress, m a
// MAC address, a an InetAddress behind its type and length, o an OID behind
// its length, i any one arc. Columns are one arc below.
var indices = map[string]string{
	"1.3.6.1.2.1.3.1.1":    "ii4",
	"1.3.6.1.2.1.4.20.1":   "4",
	"1.3.6.1.2.1.4.21.1":   "4",
	"1.3.6.1.2.1.4.22.1":   "i4",
	"1.3.6.1.2.1.4.24.2.1": "4ii4", "1.3.6.1.2.1.4.24.4.1": "44i4", "1.3.6.1.2.1.4.24.7.1": "aioa",
	"1.3.6.1.2.1.4.32.1": "iai", "1.3.6.1.2.1.4.34.1": "a", "1.3.6.1.2.1.4.35.1": "ia", "1.3.6.1.2.1.4.37.1": "ai",
	"1.3.6.1.2.1.6.13.1": "4i4i", "1.3.6.1.2.1.6.19.1": "aiai", "1.3.6.1.2.1.6.20.1": "ai",
	"1.3.6.1.2.1.7.5.1": "4i", "1.3.6.1.2.1.7.7.1": "aiaii",
	"1.3.6.1.2.1.14.2.1": "4", "1.3.6.1.2.1.14.4.1": "4i44", "1.3.6.1.2.1.14.7.1": "4i", "1.3.6.1.2.1.14.8.1": "4ii", "1.3.6.1.2.1.14.10.1": "4i",
	"1.3.6.1.2.1.15.3.1": "4", "1.3.6.1.2.1.15.5.1": "44", "1.3.6.1.2.1.15.6.1": "4i4",
	"1.3.6.1.2.1.17.4.3.1": "m", "1.3.6.1.2.1.17.5.1.1": "mi", "1.3.6.1.2.1.17.7.1.2.2.1": "im", "1.3.6.1.2.1.17.7.1.2.3.1": "im",
	"1.3.6.1.2.1.17.7.1.3.1.1": "imi",
	"1.3.6.1.2.1.83.1.1.2.1":   "444", "1.3.6.1.2.1.85.1.2.1": "4i",
	"1.0.8802.1.1.2.1.3.8.1": "a", "1.0.8802.1.1.2.1.4.2.1": "iiia",
	"1.3.6.1.4.1.9.9.187.1.2.5.1": "a", "1.3.6.1.4.1.9.9.187.1.2.8.1": "aii",
	"1.3.6.1.4.1.9.10.86.1.1.2.1": "a",
	"1.3.6.1.4.1.14179.2.1.4.1":   "m", "1.3.6.1.4.1.14179.2.2.1.1": "m", "1.3.6.1.4.1.14988.1.1.1.2.1": "mi",
	"1.3.6.1.4.1.14823.2.2.1.5.2.1.4.1": "m", "1.3.6.1.4.1.41112.1.4.7.1": "im",
}

// indexOf is the layout of a row's index and the arc with which it begins,
// "" for a table that is not known.
func indexOf(oid string) (layout string, from int) {
	for at := oid; at != ""; at = at[:max(0, strings.LastIndexByte(at, '.'))] {
		if layout, ok := indices[at]; ok {
			return layout, strings.Count(at, ".") + 2
		}
	}
	return "", 0
}

func under(oid string, roots []string) bool {
	for _, root := range roots {
		if rest, ok := strings.CutPrefix(oid, root); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}
