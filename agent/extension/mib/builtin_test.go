package mib

import (
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
)

const maxPacked = 12 << 10 // bytes that the built-in set may take in the binary

// TestBuiltIn holds what is embedded against the folder it is made of, and
// writes it anew with EDGEHOLD_UPDATE_GOLDEN=1.
func TestBuiltIn(t *testing.T) {
	set, warnings := compile(os.DirFS("builtin"), &Set{})
	for _, w := range warnings {
		t.Error(w)
	}
	want, err := set.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("EDGEHOLD_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("builtin.pack", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return // what is embedded changes with the next build
	}
	if !reflect.DeepEqual(BuiltIn(), set) { // how well DEFLATE packs is up to the release of Go
		t.Error("builtin.pack is not that of builtin/*.mib: run the test with EDGEHOLD_UPDATE_GOLDEN=1")
	}
	if len(packed) > maxPacked {
		t.Errorf("builtin.pack has %d bytes, at most %d are wanted", len(packed), maxPacked)
	}
}

// TestBuiltInFacts: the folder holds facts, no text of the modules.
func TestBuiltInFacts(t *testing.T) {
	files := os.DirFS("builtin")
	names, err := fs.Glob(files, "*")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, clause := range []string{"DESCRIPTION", "REFERENCE", "ORGANIZATION", "CONTACT-INFO"} {
			if strings.Contains(string(data), clause) {
				t.Errorf("%s has a %s", name, clause)
			}
		}
	}
}

func TestBuiltInFinds(t *testing.T) {
	set := BuiltIn()
	tests := []struct {
		name, oid, arcs string
		kind            Kind
		typ             Type
	}{
		{"ifDescr", "1.3.6.1.2.1.2.2.1.2", "", Column, Octets},
		{"IF-MIB::ifHCInOctets.7", "1.3.6.1.2.1.31.1.1.1.6", "7", Column, Counter},
		{"SNMPv2-MIB::sysName.0", "1.3.6.1.2.1.1.5", "0", Scalar, Octets},
		{"RFC1213-MIB::sysUpTime.0", "1.3.6.1.2.1.1.3", "0", Scalar, TimeTicks},
		{"RFC1213-MIB::ifTable", "1.3.6.1.2.1.2.2", "", Table, None},
		{"linkDown", "1.3.6.1.6.3.1.1.5.3", "", Notification, None},
		{"enterprises.9.1", "1.3.6.1.4.1", "9.1", Other, None},
		{"hrProcessorLoad", "1.3.6.1.2.1.25.3.3.1.2", "", Column, Integer},
		{"UPS-MIB::upsEstimatedChargeRemaining.0", "1.3.6.1.2.1.33.1.2.4", "0", Scalar, Integer},
		{"entPhySensorValue", "1.3.6.1.2.1.99.1.1.1.4", "", Column, Integer},
		{"lldpRemSysName", "1.0.8802.1.1.2.1.4.1.1.9", "", Column, Octets},
		{"dot1qVlanStaticName", "1.3.6.1.2.1.17.7.1.4.3.1.1", "", Column, Octets},
		{"pethMainPseConsumptionPower", "1.3.6.1.2.1.105.1.3.1.1.4", "", Column, Gauge},
		{"prtMarkerSuppliesLevel", "1.3.6.1.2.1.43.11.1.1.9", "", Column, Integer},
		{"UCD-SNMP-MIB::memTotalReal.0", "1.3.6.1.4.1.2021.4.5", "0", Scalar, Integer},
		{"lmTempSensorsValue", "1.3.6.1.4.1.2021.13.16.2.1.3", "", Column, Gauge},
		{"snmpEngineTime", "1.3.6.1.6.3.10.2.1.3", "", Scalar, Integer},
		{"ipAdEntIfIndex", "1.3.6.1.2.1.4.20.1.2", "", Column, Integer},
		{"lldpRemSysCapEnabled", "1.0.8802.1.1.2.1.4.1.1.12", "", Column, Bits},
	}
	for _, tt := range tests {
		o, arcs, ok := set.Find(tt.name)
		if !ok || o.OID != tt.oid || arcs != tt.arcs || o.Kind != tt.kind || o.Type != tt.typ {
			t.Errorf("Find(%q) = %+v, %q, %v", tt.name, o, arcs, ok)
		}
	}
	for _, name := range []string{"", "nothing", "IF-MIB::sysName", "FOO-MIB::ifDescr", "ifDescr.x", "ifDescr.", "RFC1213-MIB::enterprises", "ifDescr.4294967296"} {
		if o, _, ok := set.Find(name); ok {
			t.Errorf("Find(%q) = %+v", name, o)
		}
	}
}

func TestBuiltInMeanings(t *testing.T) {
	set := BuiltIn()
	status, _, _ := set.Find("ifOperStatus")
	if status.Enum[1] != "up" || status.Enum[7] != "lowerLayerDown" {
		t.Errorf("ifOperStatus: %v", status.Enum)
	}
	address, _, _ := set.Find("ifPhysAddress")
	if text, ok := Format(address, []byte{0, 0x11, 0x22, 0xaa, 0xbb, 0xcc}); !ok || text != "00:11:22:aa:bb:cc" {
		t.Errorf("ifPhysAddress: %q, %v", text, ok)
	}
	down, _, _ := set.Find("IF-MIB::linkDown")
	if strings.Join(down.Objects, " ") != "ifIndex ifAdminStatus ifOperStatus" {
		t.Errorf("linkDown: %v", down.Objects)
	}
	o, rest, ok := set.At(".1.3.6.1.2.1.31.1.1.1.1.12")
	if !ok || o.Name != "ifName" || rest != "12" || strings.Join(o.Indexes, " ") != "ifIndex" {
		t.Errorf("At: %+v, %q, %v", o, rest, ok)
	}
	if o, rest, ok = set.At("1.3.6.1.4.1.99999.1"); !ok || o.Name != "enterprises" || rest != "99999.1" {
		t.Errorf("At: %+v, %q, %v", o, rest, ok)
	}
	for _, oid := range []string{"", ".", "3", "1.3.x", "1..3", "1.03", "..1.3"} {
		if o, _, ok := set.At(oid); ok {
			t.Errorf("At(%q) = %+v", oid, o)
		}
	}
}

func BenchmarkBuiltIn(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		BuiltIn()
	}
}
