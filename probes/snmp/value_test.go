package snmp

import (
	"math"
	"testing"

	"github.com/edgehold/edgehold/probes/plan"
	"github.com/gosnmp/gosnmp"
)

func TestToCell(t *testing.T) {
	for _, test := range []struct {
		name  string
		t     gosnmp.Asn1BER
		value any
		want  plan.Cell
	}{
		{"integer", gosnmp.Integer, -5, plan.Cell{Kind: plan.Integer, Int: -5}},
		{"counter32", gosnmp.Counter32, uint(math.MaxUint32), plan.Cell{Kind: plan.Counter32, Uint: math.MaxUint32}},
		{"counter32 too long", gosnmp.Counter32, uint64(1 << 33), plan.Cell{Kind: plan.Counter64, Uint: 1 << 33}},
		{"counter64", gosnmp.Counter64, uint64(math.MaxUint64), plan.Cell{Kind: plan.Counter64, Uint: math.MaxUint64}},
		{"gauge32", gosnmp.Gauge32, uint(7), plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"timeticks", gosnmp.TimeTicks, uint32(7), plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"uinteger32", gosnmp.Uinteger32, uint32(7), plan.Cell{Kind: plan.Unsigned, Uint: 7}},
		{"float", gosnmp.OpaqueFloat, float32(12.3), plan.Cell{Kind: plan.Real, Float: 12.3}},
		{"double", gosnmp.OpaqueDouble, 12.3, plan.Cell{Kind: plan.Real, Float: 12.3}},
		{"nan", gosnmp.OpaqueDouble, math.NaN(), plan.Cell{}},
		{"inf", gosnmp.OpaqueFloat, float32(math.Inf(1)), plan.Cell{}},
		{"address", gosnmp.IPAddress, "192.0.2.1", plan.Cell{Kind: plan.Text, Text: "192.0.2.1"}},
		{"no address", gosnmp.IPAddress, nil, plan.Cell{}},
		{"oid", gosnmp.ObjectIdentifier, ".1.3.6", plan.Cell{Kind: plan.Text, Text: "1.3.6"}},
		{"opaque", gosnmp.Opaque, []byte{1, 255}, plan.Cell{Kind: plan.Octets, Text: "\x01\xff"}},
		{"counter that could not be decoded", gosnmp.UnknownType, nil, plan.Cell{}},
		{"null", gosnmp.Null, nil, plan.Cell{}},
	} {
		if got := toCell(test.t, test.value); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}
