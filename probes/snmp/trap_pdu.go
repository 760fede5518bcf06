package snmp

import (
	"math"
	"net/netip"
	"strconv"

	"github.com/edgehold/edgehold/probes/plan"
)

const (
	berTrapV1 = 0xa4
	berInform = 0xa6
	berTrap   = 0xa7
)

// The instances that begin or end a notification (RFC 3416, RFC 3584), and the
// root of the ones that every agent has (RFC 3418).
const (
	snmpTrapOID        = "1.3.6.1.6.3.1.1.4.1.0"
	snmpTrapEnterprise = "1.3.6.1.6.3.1.1.4.3.0"
	snmpTrapAddress    = "1.3.6.1.6.3.18.1.3.0"
	snmpTrapCommunity  = "1.3.6.1.6.3.18.1.4.0"
	standardTraps      = "1.3.6.1.6.3.1.1.5"
)

// notification is a trap or inform of any version in the form of v2: sysUpTime
// and snmpTrapOID, then the varbinds.
type notification struct {
	version int64 // as a message has it
	inform  bool
	id      int64 // request-id; 0 in v1
	oid     string
	uptime  uint64
	timed   bool // there is an uptime
	vars    []varbind
}

// opened1 is a message of v1 or v2c without its envelope. Its parts point into
// the datagram.
type opened1 struct {
	version   int64
	community []byte
	pdu       []byte
}

// versionOf is the version of a message, as the message has it.
func versionOf(b []byte) (version int64, ok bool) {
	b, _, ok = opened(b, berSequence)
	if !ok {
		return 0, false
	}
	version, _, ok = integer(b)
	return version, ok
}

// openCommunity opens a message of v1 or v2c, which must be whole.
func openCommunity(b []byte) (m opened1, ok bool) {
	if b, _, ok = element(b, berSequence); !ok {
		return m, false
	}
	if m.version, b, ok = integer(b); !ok || m.version != wireV1 && m.version != wireV2c {
		return m, false
	}
	m.community, m.pdu, ok = element(b, berOctets)
	return m, ok
}

// notification reads a PDU. ok=false where it is not whole, none of the version,
// or lacks what every notification has.
func (t *oidTable) notification(b []byte, version int64) (n notification, ok bool) {
	if version == wireV1 {
		n, ok = t.trapV1(b)
		return n, ok
	}
	p, ok := openPDU(b)
	if !ok || !p.whole || p.kind != berTrap && p.kind != berInform {
		return n, false
	}
	n = notification{version: version, inform: p.kind == berInform, id: p.id}
	all, whole := t.varbinds(p.list, nil)
	if !whole {
		return n, false
	}
	return n, n.take(all)
}

// take sorts the varbinds. Devices that put snmpTrapOID elsewhere than second,
// or leave the uptime out, are understood.
func (n *notification) take(all []varbind) bool {
	for i := range all {
		v := &all[i]
		switch {
		case v.oid == sysUpTime && !n.timed && v.cell.Kind == plan.Unsigned:
			n.uptime, n.timed = v.cell.Uint, true
		case v.oid == snmpTrapOID && n.oid == "" && v.tag == berOID:
			n.oid = v.cell.Text
		default:
			n.vars = append(n.vars, *v)
		}
	}
	return n.oid != ""
}

// trapV1 translates a Trap-PDU (RFC 1157) to the form of v2 (RFC 3584, section
// 3.1). The community stays out of it.
func (t *oidTable) trapV1(b []byte) (n notification, ok bool) {
	n.version = wireV1
	if b, _, ok = element(b, berTrapV1); !ok {
		return n, false
	}
	raw, b, ok := element(b, berOID)
	if !ok {
		return n, false
	}
	address, b, ok := element(b, berIPAddress)
	if !ok {
		return n, false
	}
	generic, b, ok := integer(b)
	if !ok {
		return n, false
	}
	specific, b, ok := integer(b)
	if !ok {
		return n, false
	}
	ticks, b, ok := element(b, berTimeTicks)
	if !ok {
		return n, false
	}
	list, _, ok := element(b, berSequence)
	if !ok {
		return n, false
	}
	enterprise, ok := oidText(raw)
	if !ok {
		return n, false
	}
	if n.oid, ok = trapOIDOf(enterprise, generic, specific); !ok {
		return n, false
	}
	n.uptime, n.timed = unsigned(ticks)
	n.uptime = uint64(uint32(n.uptime))
	if n.vars, ok = t.varbinds(list, nil); !ok {
		return n, false
	}
	n.add(snmpTrapAddress, berIPAddress, addressText(address))
	n.add(snmpTrapEnterprise, berOID, enterprise)
	return n, true
}

// add ends the varbinds with one that is not among them yet.
func (n *notification) add(oid string, tag byte, text string) {
	for i := range n.vars {
		if n.vars[i].oid == oid {
			return
		}
	}
	if text != "" {
		n.vars = append(n.vars, varbind{oid: oid, tag: tag, cell: plan.Cell{Kind: plan.Text, Text: text}})
	}
}

func addressText(b []byte) string {
	if addr, ok := netip.AddrFromSlice(b); ok && !addr.IsUnspecified() {
		return addr.String()
	}
	return ""
}

// trapOIDOf is the snmpTrapOID of a trap of v1.
func trapOIDOf(enterprise string, generic, specific int64) (string, bool) {
	switch {
	case generic >= 0 && generic < 6:
		return standardTraps + "." + strconv.FormatInt(generic+1, 10), true
	case generic == 6 && specific >= 0 && specific <= math.MaxUint32:
		return enterprise + ".0." + strconv.FormatInt(specific, 10), true
	}
	return "", false
}
