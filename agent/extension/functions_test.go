package extension

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

func TestParseSource(t *testing.T) {
	tests := []struct{ text, want string }{
		{"oid:.1.3.6.1.2.1.1.5.0", "2 1.3.6.1.2.1.1.5.0"},
		{"oid:IF-MIB::ifDescr", "2 IF-MIB::ifDescr"},
		{"oid:ifDescr.3", "2 ifDescr.3"},
		{"oid:IF MIB::ifDescr", "expected a number such as 1.3.6.1.2.1.1.5.0, or a name such as IF-MIB::ifDescr"},
		{"oid:ifDescr.3.x", "expected a number such as"},
		{"index:", "index 0/0 form 0"},
		{"index:1", "index 0/1 form 0"},
		{"index:2-5", "index 1/4 form 0"},
		{"index:3-", "index 2/0 form 0"},
		{"index:-1", "index -1/1 form 0"},
		{"index:1-6:mac", "index 0/6 form 3"},
		{"index:0", "found index:0, expected"},
		{"index:1:colour", "expected nothing behind the arcs, or :text"},
		{"$networkFormat(const:macAddress, oid:1.3.6.1.2.1.2.2.1.6)", "2 1.3.6.1.2.1.2.2.1.6 kind 2"},
		{"$networkFormat(const:interfaceAlias,oid:ifAlias)", "2 ifAlias kind 1"},
		{"$networkFormat(const:interfaceName, oid:ifAlias)", "2 ifAlias kind 1"},
		{"$networkFormat(const:portComponent, oid:ifAlias)", "2 ifAlias kind 1"},
		{"$networkFormat(const:agentCircuitId, oid:ifAlias)", "2 ifAlias kind 1"},
		{"$networkFormat(const:localAddress, oid:ifAlias)", "2 ifAlias kind 1"},
		{"$networkFormat(const:networkAddress, oid:ifAlias, default:not, known)", "2 ifAlias kind 4 default not, known"},
		{"$networkFormat( oid:1.3.6.1.1 , oid:1.3.6.1.2 ,default: x )", "2 1.3.6.1.2 by 1.3.6.1.1 default x"},
		{"$inetAddress(oid:1.3.6.1.1,oid:1.3.6.1.2)", "2 1.3.6.1.2 by 1.3.6.1.1"},
		{"$inetAddress(oid:1.3.6.1.1,oid:1.3.6.1.2,default:x)", "expected $networkFormat("},
		{"$inetAddress(const:macAddress,oid:1.3.6.1.2)", "expected $networkFormat("},
		{"$networkFormat(oid:1.3.6.1.1, oid:1.3.6.1.2, x)", "expected $networkFormat("},
		{"$networkFormat(oid:1.3.6.1.1)", "expected $networkFormat("},
		{"$networkFormat(oid:1.3.6.1.1, oid:1.3.6.1.2", "expected $networkFormat("},
		{"$networkFormat(const:colour, oid:1.3.6.1.2)", `found the kind "colour", expected interfaceAlias`},
		{"$networkFormat(oid:6.6, oid:1.3.6.1.2)", "no OID begins with 6.6"},
		{"$format(oid:1.3.6.1.1, oid:1.3.6.1.2)", "expected $networkFormat("},
		{"this:device.port", "5"},
	}
	for _, tt := range tests {
		s, problem, _ := parseSource(tt.text)
		got := describeSource(s)
		if problem != "" {
			got = problem
		}
		if got != tt.want && (problem == "" || !strings.Contains(problem, tt.want)) {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}

func describeSource(s source) string {
	if s.kind == plan.FromIndex {
		return fmt.Sprintf("index %d/%d form %d", s.arcs.From, s.arcs.Count, s.form)
	}
	text := fmt.Sprint(uint8(s.kind))
	if s.kind == plan.FromScalar {
		text = "2 " + s.text
	}
	if s.naming.By != "" {
		text += " by " + s.naming.By
	}
	if s.naming.Kind != 0 {
		text += fmt.Sprint(" kind ", uint8(s.naming.Kind))
	}
	if s.naming.Default != "" {
		text += " default " + s.naming.Default
	}
	return text
}

// FuzzParseSource: what is read is an OID or a name that a MIB may have, and a
// value that is no function is never one.
func FuzzParseSource(f *testing.F) {
	for _, text := range []string{"oid:1.3.6", "$networkFormat(oid:a, oid:b, default:c)", "$inetAddress(oid:1.3,oid:1.4)", "index:1-6:mac", "var:x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, problem, _ := parseSource(text)
		if problem != "" {
			return
		}
		for _, oid := range []string{s.text, s.naming.By} {
			if s.kind != plan.FromScalar || oid == "" {
				continue
			}
			if _, wrong := parseOID(oid); wrong != "" && !objectName.MatchString(oid) {
				t.Errorf("%q reads %q", text, oid)
			}
		}
		if n := s.naming; (n.By != "" || n.Kind != 0 || n.Default != "") && !strings.HasPrefix(text, "$") {
			t.Errorf("%q names something", text)
		}
		if s.kind == plan.FromIndex && (s.arcs.Count < 0 || s.arcs.From < -128 || s.arcs.From > 127) {
			t.Errorf("%q reads the arcs %+v", text, s.arcs)
		}
	})
}

// compiled compiles a body of a package with all feature sets.
func compiled(t *testing.T, body string, o CompileOptions) (*plan.Plan, string) {
	t.Helper()
	m, more := open(t, packageOf(body), "p")
	p, warnings, err := Compile(m, Configuration{FeatureSets: []string{"all"}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p, strings.ReplaceAll(lines(append(more, warnings...)), "warning ", "")
}

func TestNamesOfObjects(t *testing.T) {
	own, warnings := PackageMIBs(os.DirFS(filepath.Join("testdata", "oracle")))
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	standard := mibsOf(t, `IF-MIB DEFINITIONS ::= BEGIN
ifTable OBJECT-TYPE SYNTAX SEQUENCE OF IfEntry ACCESS not-accessible STATUS mandatory ::= { mib-2 2 2 }
ifEntry OBJECT-TYPE SYNTAX IfEntry ACCESS not-accessible STATUS mandatory INDEX { ifIndex } ::= { ifTable 1 }
ifAdminStatus OBJECT-TYPE SYNTAX INTEGER { an(1), aus(2) } ACCESS read-write STATUS mandatory ::= { ifEntry 7 }
siteUpTime OBJECT IDENTIFIER ::= { sysUpTime 0 }
siteTable OBJECT-TYPE SYNTAX SEQUENCE OF SiteEntry ACCESS not-accessible STATUS mandatory ::= { enterprises 32473 6 }
siteEntry OBJECT-TYPE SYNTAX SiteEntry ACCESS not-accessible STATUS mandatory INDEX { siteIndex } ::= { siteTable 1 }
siteState OBJECT-TYPE SYNTAX INTEGER { kalt(1), warm(2) } ACCESS read-only STATUS mandatory ::= { siteEntry 2 }
END
`)
	site := standard.OfSite()
	body := func(table bool, dimension, metric string) string {
		return fmt.Sprintf("snmp: [{group: g, subgroups: [{subgroup: s, table: %t, dimensions: [{key: d, value: '%s'}], metrics: [{key: m, value: '%s'}, {key: one, value: 'const:1'}]}]}]\n",
			table, dimension, metric)
	}
	const left = "p/extension.yaml:4:%d: no MIB file has %q: put the file into the folder snmp of the package or into the site's folder of MIB files, or write the number (left out)\n"
	tests := []struct {
		name, body, want string
		warns            string
		mibs             *mib.Set
	}{
		{"scalar", body(false, "oid:sysName", "oid:SNMPv2-MIB::sysUpTime.0"), "scalar 1.3.6.1.2.1.1.5.0 scalar 1.3.6.1.2.1.1.3.0", "", nil},
		{"column", body(true, "oid:IF-MIB::ifDescr", "oid:ifInOctets"), "column 1.3.6.1.2.1.2.2.1.2 column 1.3.6.1.2.1.2.2.1.10", "", nil},
		{"pinned", body(true, "oid:ifDescr.2", "oid:ifInOctets.2"), "scalar 1.3.6.1.2.1.2.2.1.2.2 scalar 1.3.6.1.2.1.2.2.1.10.2", "", nil},
		{"enumeration by name", body(true, "oid:ifAdminStatus", "const:1"), "column 1.3.6.1.2.1.2.2.1.7 [1-up 2-down 3-testing]", "", nil},
		{"the number stays a number", body(true, "oid:1.3.6.1.2.1.2.2.1.7", "const:1"), "column 1.3.6.1.2.1.2.2.1.7", "", nil},
		{"enumeration of the package", body(true, "oid:1.3.6.1.4.1.32473.5.1.3", "const:1"), "column 1.3.6.1.4.1.32473.5.1.3 [1-ok 2-failed]", "", own},
		{"pinned by the MIB", body(true, "const:x", "oid:1.3.6.1.4.1.32473.5.1.4.9"), "scalar 1.3.6.1.4.1.32473.5.1.4.9", "", own},
		{"pinned by the standard", body(true, "oid:1.3.6.1.2.1.2.2.1.2.3", "oid:1.3.6.1.2.1.25.2.3.1.6.1"), "scalar 1.3.6.1.2.1.2.2.1.2.3 scalar 1.3.6.1.2.1.25.2.3.1.6.1", "", nil},
		{"alias of a scalar", body(false, "oid:DISMAN-EVENT-MIB::sysUpTimeInstance", "oid:sysUpTimeInstance"), "scalar 1.3.6.1.2.1.1.3.0 scalar 1.3.6.1.2.1.1.3.0", "", nil},
		{"alias of a scalar, in a file of the site", body(false, "const:x", "oid:siteUpTime"), "scalar 1.3.6.1.2.1.1.3.0", "", site},
		{"the site's words, by name", body(true, "oid:IF-MIB::ifAdminStatus", "const:1"), "column 1.3.6.1.2.1.2.2.1.7 [1-an 2-aus]", "", site},
		{"not by the number of a standard object", body(true, "oid:1.3.6.1.2.1.2.2.1.7", "const:1"), "column 1.3.6.1.2.1.2.2.1.7", "", site},
		{"the package's words, by that number too", body(true, "oid:1.3.6.1.2.1.2.2.1.7", "const:1"), "column 1.3.6.1.2.1.2.2.1.7 [1-an 2-aus]", "", standard},
		{"the site's words of another object", body(true, "oid:1.3.6.1.4.1.32473.6.1.2", "const:1"), "column 1.3.6.1.4.1.32473.6.1.2 [1-kalt 2-warm]", "", site},
		{"unknown metric", body(true, "const:x", "oid:oracleValue"), "", fmt.Sprintf(left, 126, "oracleValue"), nil},
		{"unknown dimension", body(true, "oid:oracleName", "const:1"), "", fmt.Sprintf(left, 87, "oracleName"), nil},
		{
			"column outside of a table", body(false, "const:x", "oid:ifInOctets"), "scalar 1.3.6.1.2.1.2.2.1.10",
			"p/extension.yaml:4:127: ifInOctets is a column of a table and has no value of its own: write table: true, or the index of a row behind it\n", nil,
		},
		{
			"whole table", body(true, "const:x", "oid:1.3.6.1.4.1.2021.13.16.2"), "column 1.3.6.1.4.1.2021.13.16.2",
			"p/extension.yaml:4:126: 1.3.6.1.4.1.2021.13.16.2 of m is a whole table, not a column: all its numbers are folded into one value of each series; name the column\n", nil,
		},
		{
			"whole table by name", body(true, "const:x", "oid:ORACLE-MIB::oracleTable"), "column 1.3.6.1.4.1.32473.5",
			"p/extension.yaml:4:126: 1.3.6.1.4.1.32473.5 of m is a whole table, not a column: all its numbers are folded into one value of each series; name the column\n", own,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, warns := compiled(t, tt.body, CompileOptions{MIBs: tt.mibs})
			var got []string
			for _, d := range p.Blocks[0].Dims {
				if d.Source.Kind != plan.FromConst {
					text := dumpSource(d.Source)
					if d.Enum != nil {
						text += fmt.Sprint(" [", d.Enum[1], " ", d.Enum[2], " ", d.Enum[3], "]")
						text = strings.Replace(text, " ]", "]", 1)
					}
					got = append(got, text)
				}
			}
			for _, m := range p.Blocks[0].Metrics {
				if m.Source.Kind != plan.FromConst {
					got = append(got, dumpSource(m.Source))
				}
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("got %s, want %s", text, tt.want)
			}
			if warns != tt.warns {
				t.Errorf("got\n%swant\n%s", warns, tt.warns)
			}
		})
	}
}

// A line takes 50 dimensions, those of each line among them.
func TestCrowdedLines(t *testing.T) {
	dims := func(name string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{key: %s%d, value: 'const:1'},", name, i)
		}
		return b.String()
	}
	for more, want := range map[int]bool{22: false, 23: true} {
		body := "snmp: [{group: g, dimensions: [" + dims("a", 25) + "], subgroups: [{subgroup: s, dimensions: [" + dims("b", more) + "], metrics: [{key: long, value: 'const:1'}]}]}]\n"
		_, warns := compiled(t, body, CompileOptions{})
		if got := strings.Contains(warns, "51 dimensions with device.address, device.name and site; the environment refuses lines with more than 50"); got != want || !want && warns != "" {
			t.Errorf("%d: %s", more, warns)
		}
		r := Lint(fstest.MapFS{"extension.yaml": {Data: []byte("name: custom:x\nversion: 1.0.0\n" + body)}}, "p")
		if got := slices.ContainsFunc(r.Warnings, func(f Finding) bool { return f.Rule == ruleLimit && strings.Contains(f.Text, "51 dimensions") }); got != want {
			t.Errorf("%d: lint says %v", more, r.Warnings)
		}
	}
}

// What lint refuses does not run either, and what runs in vain is told.
func TestReservedSetAndShortKeys(t *testing.T) {
	for _, at := range []string{
		"featureSet: default, metrics: [{key: abc, value: 'const:1'}]", "metrics: [{key: abc, featureSet: default, value: 'const:1'}]",
		"subgroups: [{subgroup: s, featureSet: default, metrics: [{key: abc, value: 'const:1'}]}]",
	} {
		_, _, err := ParseManifest(packageOf("snmp: [{group: g, "+at+"}]\n"), "p")
		if err == nil || !strings.Contains(err.Error(), "featureSet: the name default is reserved; give the feature set another name, or none where it always runs") {
			t.Errorf("%s: %v", at, err)
		}
	}
	m, warnings, err := ParseManifest(packageOf("snmp: [{group: g, metrics: [{key: ab, value: 'const:1'}, {id: abc, value: 'const:1'}]}]\n"), "p")
	if err != nil || len(m.groups[0].metrics) != 2 {
		t.Fatal(m, err)
	}
	if got, want := lines(warnings), "warning p/extension.yaml:4:35: snmp[0].metrics[0].key: found 2 characters, expected at least 3: the environment refuses every point of this metric\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
}

func mibsOf(t *testing.T, text string) *mib.Set {
	t.Helper()
	set, warnings := PackageMIBs(fstest.MapFS{"snmp/a.mib": {Data: []byte(text)}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	return set
}

// What tells the kind of a name is known by its OID, or by the MIB's names.
func TestKindsOfFormatters(t *testing.T) {
	function := func(by string) string {
		return "snmp: [{group: g, subgroups: [{subgroup: s, table: true, dimensions: [{key: d, value: '$networkFormat(oid:" + by + ", oid:1.3.6.1.4.1.32473.9.1.2)'}], metrics: [{key: m, value: 'const:1'}]}]}]\n"
	}
	hinted := fstest.MapFS{"snmp/A.txt": {Data: []byte(`A-MIB DEFINITIONS ::= BEGIN
IMPORTS OBJECT-TYPE, enterprises FROM SNMPv2-SMI;
aKind OBJECT-TYPE SYNTAX INTEGER { local(1), macAddress(8), ipv6(9), other(10) } MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { enterprises 32473 11 }
END
`)}}
	own, warnings := PackageMIBs(hinted)
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	tests := []struct {
		by   string
		mibs *mib.Set
		want map[int64]plan.NameKind
	}{
		{"1.0.8802.1.1.2.1.4.1.1.4", nil, chassisKinds},
		{"1.0.8802.1.1.2.1.4.1.1.6", nil, portKinds},
		{"1.3.111.2.802.1.1.13.1.4.1.1.7", nil, portKinds},
		{"1.3.6.1.2.1.4.34.1.1", nil, inetAddressKinds},
		{"1.3.6.1.2.1.4.34.1.1.9", nil, inetAddressKinds}, // one row
		{"aKind", own, map[int64]plan.NameKind{1: plan.NameText, 8: plan.NameMAC, 9: plan.NameIP}},
	}
	for _, tt := range tests {
		p, _ := compiled(t, function(tt.by), CompileOptions{MIBs: tt.mibs})
		n := p.Blocks[0].Dims[0].Source.Naming
		if fmt.Sprint(n.Kinds) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v, want %v", tt.by, n.Kinds, tt.want)
		}
		if n.Scalar != (tt.by == "aKind" || strings.HasSuffix(tt.by, ".9")) {
			t.Errorf("%s: scalar %t", tt.by, n.Scalar)
		}
	}
}

func TestMetadataOfThePlan(t *testing.T) {
	p, _ := compiled(t, `metrics:
- {key: z, metadata: {displayName: Z, unit: Byte}}
- {key: a.count, metadata: {description: About a, unit: 5}}
- {key: a.count, metadata: {displayName: again}}
- {key: not.collected, metadata: {displayName: N}}
- {key: bare}
- {key: 'func:f', metadata: {displayName: F}, query: {metricSelector: z * 2}}
snmp:
- group: g
  metrics:
  - {key: z, value: 'oid:1.3.6.1.2.1.1.3.0'}
  - {key: a.count, value: 'oid:1.3.6.1.2.1.1.3.0', type: count}
  - {key: bare, value: 'oid:1.3.6.1.2.1.1.3.0'}
`, CompileOptions{})
	want := []probes.Metadata{
		{Key: "a.count", Type: probes.Count, Unit: "5", Description: "About a"},
		{Key: "z", Type: probes.Gauge, Unit: "Byte", DisplayName: "Z"},
	}
	if fmt.Sprint(p.Metadata) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", p.Metadata, want)
	}
}

// DISPLAY-HINT and BITS of the package's MIB file make the text of a dimension;
// what is text anyway is shown as all text is.
func TestDisplayHints(t *testing.T) {
	object := func(name, syntax string, arc int) string {
		return fmt.Sprintf("%s OBJECT-TYPE SYNTAX %s MAX-ACCESS read-only STATUS current DESCRIPTION \"\" ::= { enterprises 32473 %d }\n", name, syntax, arc)
	}
	files := fstest.MapFS{"snmp/H.txt": {Data: []byte("H-MIB DEFINITIONS ::= BEGIN\nIMPORTS OBJECT-TYPE, Integer32, enterprises FROM SNMPv2-SMI TEXTUAL-CONVENTION FROM SNMPv2-TC;\n" +
		"HAddress ::= TEXTUAL-CONVENTION DISPLAY-HINT \"1d.1d.1d.1d\" STATUS current DESCRIPTION \"\" SYNTAX OCTET STRING (SIZE (4))\n" +
		"HTenths ::= TEXTUAL-CONVENTION DISPLAY-HINT \"d-1\" STATUS current DESCRIPTION \"\" SYNTAX Integer32\n" +
		"HText ::= TEXTUAL-CONVENTION DISPLAY-HINT \"255a\" STATUS current DESCRIPTION \"\" SYNTAX OCTET STRING\n" +
		object("hAddress", "HAddress", 1) + object("hTenths", "HTenths", 2) + object("hText", "HText", 3) +
		object("hBits", "BITS { red(0), green(1), blue(2) }", 4) + object("hPeer", "OCTET STRING", 5) +
		object("hPeerType", "INTEGER { unknown(0), ipv4(1), ipv6(2) }", 6) + "END\n")}}
	mibs, warnings := PackageMIBs(files)
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	const root = "1.3.6.1.4.1.32473."
	p, warns := compiled(t, `snmp:
- group: g
  dimensions:
  - {key: address, value: 'oid:hAddress'}
  - {key: tenths, value: 'oid:`+root+`2.0'}
  - {key: text, value: 'oid:H-MIB::hText.0'}
  - {key: bits, value: 'oid:hBits'}
  - {key: peer, value: 'oid:`+root+`5.0'}
  metrics: [{key: m, value: 'oid:1.3.6.1.2.1.1.3.0'}]
`, CompileOptions{MIBs: mibs})
	if warns != "" {
		t.Error(warns)
	}
	var state plan.State
	points, _ := plan.Points(p.At(p.Intervals()[0]), plan.Identity{}, plan.Reading{Scalars: map[string]plan.Cell{
		"1.3.6.1.2.1.1.3.0": {Kind: plan.Unsigned, Uint: 1},
		root + "1.0":        {Kind: plan.Octets, Text: "\xc0\x00\x02\x07"},
		root + "2.0":        {Kind: plan.Integer, Int: -215},
		root + "3.0":        {Kind: plan.Octets, Text: "two\nlines"},
		root + "4.0":        {Kind: plan.Octets, Text: "\xa0"},
		root + "5.0":        {Kind: plan.Octets, Text: "\x0a\x0b\x0c\x0d"},
	}}, &state)
	if len(points) != 1 {
		t.Fatalf("%d points", len(points))
	}
	if got, want := fmt.Sprint(points[0].Series.Dims()), "[{address 192.0.2.7} {bits red,blue} {peer 10.11.12.13} {tenths -21.5} {text two lines}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
