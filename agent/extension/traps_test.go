package extension

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const trapPackage = `name: com.example.traps
version: 1.0.0
minDynatraceVersion: "1.256"
author: {name: x}
vars:
  - {id: hall, displayName: hall, type: text}
metrics:
  - {key: traps.count, metadata: {displayName: Traps, unit: Count}}
snmptraps:
  - group: generic
    interval: {minutes: 5}
    featureSet: Counts
    dimensions:
      - {key: host_ip, value: "const:sender"}
      - {key: trap_oid, value: "const:trapOID"}
      - {key: hall, value: "var:hall"}
      - {key: kind, value: "const:trap"}
    metrics:
      - {key: traps.count, value: calculated, type: "count,delta"}
`

const trapConfiguration = `{"version": "1.0.0", "featureSets": ["all"], "vars": {"hall": "7"}, "snmptraps": {
  "listen": "127.0.0.1",
  "sources": [
    {"ip": "172.10.11.0/8", "port": 8162, "authentication": {"community": "x120a1f"}},
    {"ip": "192.0.2.1", "authentication": {"type": "SNMPv3", "userName": "edge", "securityLevel": "AUTH_PRIV",
      "authProtocol": "SHA", "authPassword": "hidden-auth", "privProtocol": "AES256C", "privPassword": "hidden-priv"}},
    {"ip": "2001:db8::/32", "port": 162, "authentication": {"type": "SNMPv2c", "community": "{{plant}}"}}
  ],
  "advanced": {"varbindings": [{"root": ".1.3.6.1.4.1.9", "suffixLen": 1}, {"root": "IF-MIB::ifEntry", "suffixLen": 2}, {"root": "NO-MIB::thing", "suffixLen": 1}],
    "deduplicateSecs": 60, "maxTrapsPerMinute": 1000, "maxTrapsPerSender": 100}}}`

func trapManifest(t *testing.T, text string) (*Manifest, []Warning) {
	t.Helper()
	m, warnings, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte(text)}}, "p")
	if err != nil {
		t.Fatal(err)
	}
	return m, warnings
}

func TestTrapPlan(t *testing.T) {
	m, warnings := trapManifest(t, trapPackage)
	if len(warnings) > 0 {
		t.Error(lines(warnings))
	}
	c := parseOne(t, trapConfiguration)
	p, warnings, err := Compile(m, c, CompileOptions{MIBs: mib.BuiltIn(), Identity: IdentitySite, Site: "plant-7"})
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(warnings); !strings.Contains(got, `snmptraps.advanced.varbindings[2].root: no MIB file has "NO-MIB::thing", left out; write the number`) || len(warnings) != 1 {
		t.Errorf("warnings %s", got)
	}
	p.Traps.Names = nil
	want := &plan.Traps{
		Counts: []plan.TrapCount{{Key: "traps.count", Interval: 5 * time.Minute, Dims: []plan.TrapDim{
			{Key: "host_ip", Field: plan.TrapSender}, {Key: "trap_oid", Field: plan.TrapOID}, {Key: "hall", Text: "7"}, {Key: "kind", Text: "trap"},
		}}},
		Records: true, Prefix: "plant-7/", Listen: netip.MustParseAddr("127.0.0.1"), Repeats: time.Minute, PerMinute: 1000, PerSender: 100,
		Trims: []plan.TrapTrim{{Root: "1.3.6.1.4.1.9", Arcs: 1}, {Root: "1.3.6.1.2.1.2.2.1", Arcs: 2}},
	}
	if !reflect.DeepEqual(p.Traps, want) {
		t.Errorf("plan %+v\nwant %+v", p.Traps, want)
	}
	if len(p.Metadata) != 1 || p.Metadata[0].Type != probes.Count {
		t.Errorf("metadata %+v", p.Metadata)
	}
	sources, err := c.TrapSources(plant)
	if err != nil || len(sources) != 3 {
		t.Fatal(sources, err)
	}
	for i, want := range []struct {
		from string
		port uint16
		c    probes.Credential
	}{
		{"172.0.0.0/8", 8162, probes.Credential{Version: probes.SNMPv2c, Community: probes.NewSecret("x120a1f")}},
		{"192.0.2.1/32", 0, probes.Credential{Version: probes.SNMPv3, User: "edge", Auth: "SHA", Priv: "AES256C", AuthPass: probes.NewSecret("hidden-auth"), PrivPass: probes.NewSecret("hidden-priv")}},
		{"2001:db8::/32", 162, probes.Credential{Version: probes.SNMPv2c, Community: probes.NewSecret("hidden")}},
	} {
		got := sources[i]
		got.Credential.Name = ""
		if got.From.String() != want.from || got.Port != want.port || !reflect.DeepEqual(got.Credential, want.c) {
			t.Errorf("source %d: %v %d %+v", i, got.From, got.Port, got.Credential)
		}
	}
	if !c.HoldsSecrets() {
		t.Error("the community is no secret")
	}
}

// What is collected follows from the feature sets; Events is one of every package.
func TestTrapFeatureSets(t *testing.T) {
	m, _ := trapManifest(t, trapPackage)
	for _, tt := range []struct {
		sets            []string
		counts, records bool
	}{
		{nil, false, false},
		{[]string{"Counts"}, true, false},
		{[]string{"Events"}, false, true},
		{[]string{"all"}, true, true},
	} {
		p, warnings, err := Compile(m, Configuration{FeatureSets: tt.sets}, CompileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := p.Traps
		if got == nil {
			got = &plan.Traps{}
		}
		if len(got.Counts) > 0 != tt.counts || got.Records != tt.records {
			t.Errorf("%v: %+v", tt.sets, got)
		}
		if nothing := p.Empty(); nothing != (len(warnings) > 0) || nothing != (len(tt.sets) == 0) {
			t.Errorf("%v: empty %v, warnings %s", tt.sets, nothing, lines(warnings))
		}
	}
}

func TestTrapFaults(t *testing.T) {
	group := func(body string) string {
		return "name: x\nversion: 1.0.0\nsnmptraps:\n  - group: g\n" + body
	}
	many := strings.Repeat("      - {key: k, value: \"const:a\"}\n", 6)
	for _, tt := range []struct{ text, want string }{
		{group("    subgroups: [{subgroup: s}]\n"), "snmptraps[0].subgroups: groups of snmptraps have no subgroups"},
		{group("    dimensions:\n" + many), "found 6 dimensions, expected at most 5"},
		{group("    metrics: [{key: a, value: calculated, type: count}, {key: b, value: calculated, type: count}]\n"), "found 2 metrics, expected at most 1"},
		{group("    metrics: [{key: a, value: 'oid:1.3.6', type: count}]\n"), `metrics[0].value: found "oid:1.3.6", expected calculated`},
		{group("    dimensions: [{key: a, value: 'oid:1.3.6'}]\n"), `dimensions[0].value: found "oid:1.3.6", expected const:sender`},
		{group("    dimensions: [{key: a, value: 'var:b'}]\n"), `variable "b" is not declared in vars`},
		{group("    metrics: [{key: a, value: calculated, type: gauge}]\n"), `found "gauge", expected count`},
		{"name: x\nversion: 1.0.0\nsnmptraps:\n" + strings.Repeat("  - {group: g}\n", 11), "found 11 groups, expected at most 10"},
	} {
		_, warnings, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte(tt.text)}}, "p")
		got := lines(warnings)
		if err != nil {
			got += err.Error()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s\ngave %s\nwant %s", tt.text, got, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{`{"snmptraps": {}}`, "snmptraps.sources: missing, expected a list of sources"},
		{`{"snmptraps": {"sources": [{"authentication": {"community": "a"}}]}}`, "sources[0].ip: missing, expected the network"},
		{`{"snmptraps": {"sources": [{"ip": "switch", "authentication": {"community": "a"}}]}}`, "sources[0].ip: found another text, expected a network"},
		{`{"snmptraps": {"sources": [{"ip": "10.0.0.0/8"}]}}`, "sources[0].authentication: missing, expected a community"},
		{`{"snmptraps": {"listen": "eth0", "sources": [{"ip": "10.0.0.0/8", "authentication": {"community": "a"}}]}}`, "snmptraps.listen: found another text"},
		{`{"snmptraps": {"sources": [{"ip": "10.0.0.0/8", "port": 70000, "authentication": {"community": "a"}}]}}`, "sources[0].port: found 70000"},
		{`{"snmptraps": {"sources": [` + strings.Repeat(`{"ip": "10.0.0.0/8", "authentication": {"community": "a"}},`, 100) + `{"ip": "10.0.0.0/8", "authentication": {"community": "a"}}]}}`, "found 101 sources, expected at most 100"},
	} {
		if _, err := ParseConfiguration([]byte(tt.text), "c.json"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80s\ngave %v\nwant %s", tt.text, err, tt.want)
		}
	}
	c := parseOne(t, `{"snmptraps": {"sources": [{"ip": "10.0.0.0/8", "authentication": {"userName": "u"}}, {"ip": "10.0.0.0/8", "authentication": {"community": "a"}}]}}`)
	sources, err := c.TrapSources(nil)
	if len(sources) != 1 || err == nil || !strings.Contains(err.Error(), "securityLevel: missing") {
		t.Errorf("%v, %v", sources, err)
	}
}

func TestTrapNames(t *testing.T) {
	n := trapNames{mib.BuiltIn()}
	for oid, want := range map[string]string{
		"1.3.6.1.6.3.1.1.5.3":        "IF-MIB::linkDown",
		"1.3.6.1.2.1.2.2.1.2.3":      "IF-MIB::ifDescr.3",
		"1.3.6.1.2.1.1.5.0":          "SNMPv2-MIB::sysName",
		"1.3.6.1.4.1.789.1.1.12.0":   "SNMPv2-SMI::enterprises.789.1.1.12.0",
		"1.3.6.1.4.1.789.0.14":       "SNMPv2-SMI::enterprises.789.0.14",
		"1.3.6.1.2.1.2.2.1.7.123456": "IF-MIB::ifAdminStatus.123456",
	} {
		if got := n.Name(oid); got != want {
			t.Errorf("%s is %q, want %q", oid, got, want)
		}
	}
	for _, tt := range []struct {
		oid  string
		cell plan.Cell
		want string
	}{
		{"1.3.6.1.2.1.2.2.1.8.3", plan.Cell{Kind: plan.Integer, Int: 2}, "2-down"},
		{"1.3.6.1.2.1.2.2.1.8.3", plan.Cell{Kind: plan.Integer, Int: 99}, ""},
		{"1.3.6.1.2.1.2.2.1.6.3", plan.Cell{Kind: plan.Octets, Text: "\x00\x1b\x2c\x03\x04\x05"}, "00:1b:2c:03:04:05"},
		{"1.3.6.1.2.1.2.2.1.2.3", plan.Cell{Kind: plan.Octets, Text: "eth0"}, ""},
		{"1.3.6.1.4.1.789.1", plan.Cell{Kind: plan.Integer, Int: 2}, ""},
	} {
		if got := n.Text(tt.oid, tt.cell); got != tt.want {
			t.Errorf("%s %+v is %q, want %q", tt.oid, tt.cell, got, tt.want)
		}
	}
	if a, b := n.Digest(), (trapNames{nil}).Digest(); a == b || a != n.Digest() {
		t.Errorf("digests %s %s", a, b)
	}
}
