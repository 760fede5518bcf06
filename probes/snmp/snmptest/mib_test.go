package snmptest

import (
	"math"
	"slices"
	"testing"
)

func names(m *MIB) []string {
	var names []string
	for oid := range m.All() {
		names = append(names, oid.String())
	}
	return names
}

func TestMIBOrder(t *testing.T) {
	m := NewMIB()
	for _, text := range []string{"1.3.2.1", "1.3.10.1", "1.3.1.1", "1.3.2", "1.3.1.1"} {
		m.Set(MustOID(text), OctetString(text))
	}
	m.Set(MustOID("1.3.2"), Integer(5))
	want := []string{"1.3.1.1", "1.3.2", "1.3.2.1", "1.3.10.1"}
	if got := names(m); !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
	if got := m.Get(MustOID("1.3.2")); got != Integer(5) {
		t.Errorf("a second Set leaves %v", got)
	}
	if n := m.Delete(MustOID("1.3.2")); n != 2 || m.Len() != 2 {
		t.Errorf("Delete took %d and left %d, want 2 and 2", n, m.Len())
	}
}

func TestMIBGet(t *testing.T) {
	m := NewMIB()
	m.Set(MustOID("1.3.6.1.1.0"), Integer(1))
	m.Set(MustOID("1.3.6.1.2.7"), Integer(2))
	calls := int32(0)
	m.SetFunc(MustOID("1.3.6.1.3.0"), func() Value { calls++; return Integer(calls) })
	for text, want := range map[string]Value{
		"1.3.6.1.1.0": Integer(1),
		"1.3.6.1.1.1": NoSuchInstance(),
		"1.3.6.1.2.6": NoSuchInstance(),
		"1.3.6.1.2.8": NoSuchInstance(),
		"1.3.6.1.4.0": NoSuchObject(),
		"1.3.5.1":     NoSuchObject(),
	} {
		if got := m.Get(MustOID(text)); got != want {
			t.Errorf("Get(%s) = %v, want %v", text, got, want)
		}
	}
	if a, b := m.Get(MustOID("1.3.6.1.3.0")), m.Get(MustOID("1.3.6.1.3.0")); a != Integer(1) || b != Integer(2) {
		t.Errorf("a function gives %v, then %v", a, b)
	}
	if got := NewMIB().Get(MustOID("1.3")); got != NoSuchObject() {
		t.Errorf("an empty store gives %v", got)
	}
}

func TestBump(t *testing.T) {
	m := NewMIB()
	table := MustOID("1.3.6.1.2.1.2.2.1")
	m.Set(table.Append(5, 1), Gauge32(100))
	m.Set(table.Append(10, 1), Counter32(math.MaxUint32))
	m.Set(table.Append(10, 2), Counter32(40))
	m.Set(table.Append(10, 3), Counter64(math.MaxUint64))
	m.SetFunc(table.Append(10, 4), func() Value { return Counter32(9) })
	m.Set(table.Append(11, 1), Counter32(7))
	by := func(oid OID) uint64 { return uint64(oid[len(oid)-1]) }
	m.Bump(table.Append(10), by)
	moved := m.Bump(table.Append(10), func(oid OID) uint64 { return by(oid) * 2 })
	if moved != 4 {
		t.Errorf("moved %d counters, want 4", moved)
	}
	for _, tt := range []struct {
		oid  OID
		want Value
	}{
		{table.Append(5, 1), Gauge32(100)},
		{table.Append(10, 1), Counter32(2)},
		{table.Append(10, 2), Counter32(46)},
		{table.Append(10, 3), Counter64(8)},
		{table.Append(10, 4), Counter32(21)},
		{table.Append(11, 1), Counter32(7)},
	} {
		if got := m.Get(tt.oid); got != tt.want {
			t.Errorf("%s is %v, want %v", tt.oid, got, tt.want)
		}
	}
	m.Set(table.Append(10, 2), Counter32(1))
	if got := m.Get(table.Append(10, 2)); got != Counter32(1) {
		t.Errorf("a Set after a Bump gives %v", got)
	}
}
