package snmp

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const (
	ifIndexColumn = "1.3.6.1.2.1.2.2.1.1"
	// maxTrapAttributes is how many varbinds a record shows.
	maxTrapAttributes = 200
)

// trapNames are the names of the varbinds that every notification has. They are
// those of the vendor's records, which has them from net-snmp.
var trapNames = map[string]string{
	sysUpTime:          "DISMAN-EVENT-MIB::sysUpTimeInstance",
	snmpTrapOID:        "SNMPv2-MIB::snmpTrapOID",
	snmpTrapEnterprise: "SNMPv2-MIB::snmpTrapEnterprise",
	snmpTrapAddress:    "SNMP-COMMUNITY-MIB::snmpTrapAddress",
}

// genericTraps are the notifications of RFC 3418, which need no MIB file.
var genericTraps = map[string]string{
	standardTraps + ".1": "SNMPv2-MIB::coldStart",
	standardTraps + ".2": "SNMPv2-MIB::warmStart",
	standardTraps + ".3": "IF-MIB::linkDown",
	standardTraps + ".4": "IF-MIB::linkUp",
	standardTraps + ".5": "SNMPv2-MIB::authenticationFailure",
	standardTraps + ".6": "RFC1213-MIB::egpNeighborLoss",
}

var trapVersions = map[int64]string{wireV1: "1", wireV2c: "2c", version3: "3"}

// nameOf is the name of an OID, or the OID.
func (t *trapSource) nameOf(oid string) string {
	name := cmp.Or(trapNames[oid], genericTraps[oid])
	if name == "" && t.plan.Names != nil {
		name = t.plan.Names.Name(oid)
	}
	return cmp.Or(name, oid)
}

// record is a notification as the vendor's data source writes it.
func (t *trapSource) record(n *notification, key trapKey, stamp probes.Stamp) probes.Record {
	r := probes.Record{
		Stamp: stamp, Severity: "NONE",
		Content: "SNMP trap (" + key.oid + ") reported from " + key.sender + "\n",
		Attributes: append([]probes.Dimension{
			{Key: "event.type", Value: "LOG"},
			{Key: "log.source", Value: "snmptraps"},
			{Key: "snmp.version", Value: trapVersions[n.version]},
			{Key: "snmp.trap_oid", Value: key.oid},
			{Key: "dt.extension.name", Value: t.extension},
		}, t.device(key.sender)...),
	}
	own := len(r.Attributes)
	if n.timed {
		r.Attributes = append(r.Attributes, probes.Dimension{Key: trapNames[sysUpTime], Value: strconv.FormatUint(n.uptime, 10)})
	}
	r.Attributes = append(r.Attributes, probes.Dimension{Key: trapNames[snmpTrapOID], Value: "." + n.oid})
	for i := range n.vars {
		v := &n.vars[i]
		text := t.textOf(v)
		if text == "" || v.oid == snmpTrapCommunity {
			continue
		}
		if _, ok := indexUnder(ifIndexColumn, v.oid); ok {
			setAttribute(&r, own, "if.index", text)
		}
		if len(r.Attributes) >= own+maxTrapAttributes {
			break
		}
		setAttribute(&r, own, t.nameOf(t.trimmed(v.oid)), text)
	}
	return r
}

// setAttribute adds an attribute. Where a key comes again, as it may where names
// are trimmed, its values stand one after the other. The first ones stay as
// they are.
func setAttribute(r *probes.Record, own int, key, text string) {
	for i := range r.Attributes {
		a := &r.Attributes[i]
		if a.Key != key {
			continue
		}
		if i >= own && len(a.Value) < plan.MaxText {
			a.Value += ", " + text
		}
		return
	}
	r.Attributes = append(r.Attributes, probes.Dimension{Key: key, Value: text})
}

// trimmed takes arcs off the end as the configuration wants.
func (t *trapSource) trimmed(oid string) string {
	for _, trim := range t.plan.Trims {
		if oid != trim.Root && !strings.HasPrefix(oid, trim.Root+".") {
			continue
		}
		for range trim.Arcs {
			if dot := strings.LastIndexByte(oid, '.'); dot > 0 {
				oid = oid[:dot]
			}
		}
		break
	}
	return oid
}

// textOf is a value as a text, "" where there is none.
func (t *trapSource) textOf(v *varbind) string {
	if t.plan.Names != nil {
		if text := t.plan.Names.Text(v.oid, v.cell); text != "" {
			return text
		}
	}
	switch v.cell.Kind {
	case plan.Text:
		if v.tag == berOID {
			return "." + v.cell.Text
		}
		return v.cell.Text
	case plan.Octets:
		return plan.Readable([]byte(v.cell.Text))
	}
	return toVarbindOut(*v).Number()
}

// recordSize is how many bytes of text a record holds.
func recordSize(r probes.Record) int {
	n := len(r.Content)
	for _, d := range r.Attributes {
		n += len(d.Key) + len(d.Value)
	}
	return n
}
