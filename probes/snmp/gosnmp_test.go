package snmp

import (
	"math"
	"strings"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

// gosnmp is the independent decoder that the codec of v1 and v2c is held against.

// gosnmpDecode reads a v2c datagram; ok=false where gosnmp finds fault with it.
func gosnmpDecode(b []byte) (p *gosnmp.SnmpPacket, ok bool) {
	defer func() {
		if recover() != nil {
			p, ok = nil, false
		}
	}()
	codec := gosnmp.GoSNMP{Version: gosnmp.Version2c}
	p, err := codec.SnmpDecodePacket(b)
	return p, err == nil
}

// toVarbind copies what a decoded binding holds; nothing of it points into
// the packet.
func toVarbind(p gosnmp.SnmpPDU) varbind {
	v := varbind{oid: strings.TrimPrefix(p.Name, "."), tag: byte(p.Type)}
	switch p.Type {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance:
		v.exc = noSuch
	case gosnmp.EndOfMibView:
		v.exc = endOfMibView
	default:
		v.cell = toCell(p.Type, p.Value)
	}
	return v
}

// toCell turns a value into a cell. What could not be decoded, and any type
// that holds nothing to measure, is absent.
func toCell(t gosnmp.Asn1BER, value any) plan.Cell {
	switch v := value.(type) {
	case int:
		return plan.Cell{Kind: plan.Integer, Int: int64(v)}
	case uint:
		return unsignedCell(t, uint64(v))
	case uint32:
		return unsignedCell(t, uint64(v))
	case uint64:
		return unsignedCell(t, v)
	case float32:
		return floatCell(float32(v))
	case float64:
		return realCell(v)
	case string: // IpAddress, OBJECT IDENTIFIER
		return plan.Cell{Kind: plan.Text, Text: strings.TrimPrefix(v, ".")}
	case []byte: // OCTET STRING, Opaque that is no number
		return plan.Cell{Kind: plan.Octets, Text: string(v[:min(len(v), plan.MaxText+1)])}
	}
	return plan.Cell{}
}

// unsignedCell keeps a Counter32 that does not fit 32 bits as what it is, a
// longer counter: the rules for a 32-bit wrap do not hold for it.
func unsignedCell(t gosnmp.Asn1BER, u uint64) plan.Cell {
	c := plan.Cell{Kind: plan.Unsigned, Uint: u}
	switch {
	case t == gosnmp.Counter64, t == gosnmp.Counter32 && u > math.MaxUint32:
		c.Kind = plan.Counter64
	case t == gosnmp.Counter32:
		c.Kind = plan.Counter32
	}
	return c
}
