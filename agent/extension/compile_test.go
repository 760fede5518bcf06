package extension

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const addressed = `topology:
  types:
  - {name: "x:device", displayName: Device, rules: [{idPattern: "x_{device.address}", sources: [{sourceType: Metrics, condition: $prefix(a)}]}]}
  - {name: "x:port", rules: [{idPattern: "x_{ip}_{if.index:hash}"}]}
  - {name: "x:sited", rules: [{idPattern: "x_{site}_{device.address}"}]}
  - {name: "x:serial", rules: [{idPattern: "x_{serial}"}]}
snmp:
- group: g
  dimensions:
  - {key: ip, value: 'this:device.address', filter: 'const:$prefix(10.)'}
  - {key: serial, value: 'oid:1.3.6.1.2.1.1.5.0'}
  metrics:
  - {key: a, value: 'oid:1.3.6.1.2.1.1.3.0'}
- group: own
  dimensions: [{key: device.address, value: 'oid:1.3.6.1.2.1.1.6.0'}]
  metrics: [{key: b, value: 'oid:1.3.6.1.2.1.1.3.0'}]
`

// entity fills an idPattern with the dimensions of a series, "" where one is missing.
func entity(pattern string, s *probes.Series) string {
	missing := false
	id := inPattern.ReplaceAllStringFunc(pattern, func(found string) string {
		key, _, _ := strings.Cut(strings.Trim(found, "{}"), ":")
		missing = missing || s.Dim(key) == ""
		return s.Dim(key)
	})
	if missing {
		return ""
	}
	return id
}

// With identity: site two sites with the same addresses share no series, and no
// entity that the address names.
func TestIdentityOfASite(t *testing.T) {
	m, _ := open(t, packageOf(addressed), "p")
	series, entities := map[string]string{}, map[string]string{}
	for _, site := range []string{"north", "south"} {
		p, _, err := Compile(m, Configuration{}, CompileOptions{Identity: IdentitySite, Site: site})
		if err != nil {
			t.Fatal(err)
		}
		var state plan.State
		points, _ := plan.Points(p.At(time.Minute), plan.Identity{Address: "10.0.0.1"}, plan.Reading{
			Stamp: probes.Stamp{Uptime: time.Minute},
			Scalars: map[string]plan.Cell{
				"1.3.6.1.2.1.1.3.0": {Kind: plan.Unsigned, Uint: 5}, "1.3.6.1.2.1.1.5.0": {Kind: plan.Octets, Text: site + "1"},
				"1.3.6.1.2.1.1.6.0": {Kind: plan.Octets, Text: "10.0.0.1"},
			},
		}, &state)
		if len(points) != 2 {
			t.Fatalf("%s: %d points", site, len(points))
		}
		for _, point := range points {
			s := point.Series
			if s.Dim("device.address") != site+"/10.0.0.1" || s.Key() == "a" && s.Dim("ip") != site+"/10.0.0.1" {
				t.Errorf("%s: dimensions %v", site, s.Dims())
			}
			id := string(slices.Concat([]byte(nil), []byte(fmt.Sprint(s.ID()))))
			if other, shared := series[id]; shared {
				t.Errorf("%s and %s share %s", site, other, s.Key())
			}
			series[id] = site
			for _, typ := range m.Topology.Types {
				id := entity(typ.Rules[0].ID, s)
				if other, shared := entities[id]; shared && id != "" && other != site {
					t.Errorf("%s and %s share the entity %s", site, other, id)
				}
				entities[id] = site
			}
		}
	}
	if got := m.KeyedByAddress(); fmt.Sprint(got) != "[x:device x:port]" {
		t.Errorf("keyed by address: %v", got)
	}
}

func TestIdentityIsChecked(t *testing.T) {
	m, _ := open(t, packageOf(addressed), "p")
	for _, tt := range []struct {
		options CompileOptions
		want    string
	}{
		{CompileOptions{Identity: "name", Site: "x"}, `identity: found "name", expected site, or leave it out`},
		{CompileOptions{Identity: "site"}, "identity: site: the configuration has no site, give it a name as site"},
		{CompileOptions{Interval: time.Millisecond}, "interval: found 1ms, expected at least 1s"},
	} {
		if _, _, err := Compile(m, Configuration{}, tt.options); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v, want %s", tt.options, err, tt.want)
		}
	}
}

func TestMayMerge(t *testing.T) {
	m, _ := open(t, packageOf(addressed), "p")
	plain, _ := open(t, packageOf(oneMetric), "p")
	for _, tt := range []struct {
		m              *Manifest
		host, identity string
		want           string
	}{
		{m, "10.1.2.3", "", "private address (10.1.2.3 is one)"},
		{m, "fd00::1", "", "private address (fd00::1 is one)"},
		{m, "fe80::1%eth0", "", "private address (fe80::1%eth0 is one)"},
		{m, "::ffff:192.168.0.1", "", "private address (::ffff:192.168.0.1 is one)"},
		{m, "100.64.0.9", "", "private address (100.64.0.9 is one)"},
		{m, "10.1.2.3", IdentitySite, ""},
		{m, "198.51.100.1", "", ""},
		{m, "2001:db8::1", "", ""},
		{m, "sw1.example.com", "", ""},
		{m, "SW1", "", "name (SW1 is one that is not unique)"},
		{m, "sw1.LAN.", "", "name (sw1.LAN. is one that is not unique)"},
		{m, "sw1.plan", "", ""},
		{plain, "10.1.2.3", "", ""},
	} {
		text := tt.m.MayMerge(Configuration{devices: []device{{host: "198.51.100.7"}, {host: tt.host}}}, tt.identity)
		want := ""
		if tt.want != "" {
			want = "the environment names x:device and x:port by device.address alone, so a device of another site with the same " + tt.want + " becomes the same entity; write identity: site in this entry"
		}
		if text != want {
			t.Errorf("%s %s: %q, want %q", tt.host, tt.identity, text, want)
		}
	}
}

// The sender of a trap is a device too.
func TestMayMergeOfTraps(t *testing.T) {
	const traps = `snmptraps: [{group: g, dimensions: [{key: sender, value: 'const:sender'}], metrics: [{key: traps, value: calculated, type: count}]}]
topology: {types: [{name: "t:device", rules: [{idPattern: "t_{sender}"}]}, {name: "t:other", rules: [{idPattern: "t_{trap_oid}"}]}]}
`
	m, _ := open(t, packageOf(traps), "p")
	for network, shared := range map[string]bool{"0.0.0.0/0": true, "192.168.4.0/24": true, "198.51.100.0/24": false, "10.0.0.1/32": true, "2001:db8::/32": false} {
		c := Configuration{traps: &trapsPart{entries: []trapEntry{{from: netip.MustParsePrefix(network)}}}}
		text := m.MayMerge(c, "")
		if want := "t:device by device.address alone, so a device of another site with the same private address (senders of traps in " + network + " have one)"; strings.Contains(text, want) != shared || !shared && text != "" {
			t.Errorf("%s: %q", network, text)
		}
		if text := m.MayMerge(c, IdentitySite); text != "" {
			t.Errorf("%s with the site: %q", network, text)
		}
	}
}

// What is said of a package's head is said with its line, and nothing of it
// stops the package.
func TestHeadWarnings(t *testing.T) {
	tests := []struct{ head, want string }{
		{"author: {name: X, company: Y}\n", "4:19: author.company: unknown key, left alone"},
		{"author: X\n", "4:9: author: found a text, expected an object"},
		{"minEECVersion: 1.2\nauthor: {name: 5}\n", ""},
		{"metrics:\n- {key: a, metadata: {displayname: A}}\n", "5:23: metrics[0].metadata.displayname: unknown key, left alone, did you mean displayName?"},
		{"metrics:\n- {key: a, metadata: {unit: [x]}}\n", "5:29: metrics[0].metadata.unit: found a list, expected a text"},
		{"metrics:\n- {key: a, metadata: {tags: [a], dimensions: [{key: d, displayName: D}], metricProperties: {minValue: 0, rootCauseRelevant: true}}}\n", ""},
		{"metrics:\n- {metadata: {}}\n", "5:3: metrics[0].key: missing, expected a key"},
		{"featureSetsMetadata:\n- {id: s, isRecommended: perhaps}\n", "5:26: featureSetsMetadata[0].isRecommended: found a text, expected true or false"},
		{"featureSetsMetadata:\n- {name: s}\n", "5:4: featureSetsMetadata[0].name: unknown key, left alone\np/extension.yaml:5:3: featureSetsMetadata[0].id: missing, expected the name of a feature set"},
		{"dashboards: [{file: x}]\n", "4:15: dashboards[0].file: unknown key, left alone"},
		{"alerts: {}\n", "4:9: alerts: found an object, expected a list"},
		{"documents: {dashboards: [{displayName: D, path: d.json}], reports: []}\n", "4:59: documents.reports: unknown key, left alone"},
		{"topology: {types: [{name: x, rules: [{idpattern: y}]}]}\n", "4:39: topology.types[0].rules[0].idpattern: unknown key, left alone, did you mean idPattern?"},
		{"topology: {types: [{rules: []}], relationships: [{typeOfRelation: 5}]}\n", "4:20: topology.types[0].name: missing, expected the name of an entity type\np/extension.yaml:4:67: topology.relationships[0].typeOfRelation: found a number, expected a text"},
		{"screens: 7\nopenpipeline: {}\nlogMetrics: x\n", ""},
	}
	for _, tt := range tests {
		_, warnings := open(t, packageOf(tt.head+oneMetric), "p")
		got := strings.TrimSpace(strings.ReplaceAll(lines(warnings), "warning ", ""))
		want := tt.want
		if want != "" {
			want = "p/extension.yaml:" + want
		}
		if got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", tt.head, got, want)
		}
	}
}

func TestHeadIsRead(t *testing.T) {
	m, _ := open(t, packageOf(`minEECVersion: 1.290
author: {name: Somebody}
featureSetsMetadata: [{id: extra, displayName: Extra, description: More, isRecommended: true}]
metrics:
- {key: a, metadata: {displayName: A, description: D, unit: Byte, tags: [t], sourceEntityType: x, dimensions: [{key: d, displayName: DD}], metricProperties: {maxValue: 9}}}
- {key: 'func:b', query: {metricSelector: "a * 2"}}
dashboards: [{path: d/one.json}]
alerts: [{path: a/one.json}]
documents: {dashboards: [{displayName: X, path: documents/x.json}]}
topology:
  types:
  - {name: e, displayName: E, enabled: false, rules: [{idPattern: "{a}", instanceNamePattern: "{b}", iconPattern: i, role: r,
     sources: [{sourceType: Logs, condition: $eq(x)}], requiredDimensions: [{key: k, valuePattern: $prefix(v)}], attributes: [{key: at, displayName: AT, pattern: "{c}"}]}]}
  relationships: [{typeOfRelation: RUNS_ON, fromType: e, toType: f, fromRole: a, toRole: b, enabled: true, sources: [{sourceType: Metrics, condition: $prefix(m)}]}]
`+oneMetric), "p")
	got := fmt.Sprintf("%s %s %v %v %v %v %v %v", m.MinEEC, m.Author, m.FeatureSets, m.Described, m.Metrics, m.Calculated, m.Files, m.Topology)
	want := "1.290 Somebody [extra] [{extra Extra More true}] [{a A D Byte [t] x [{d DD}] map[maxValue:9]}] [{func:b a * 2}] " +
		"[d/one.json a/one.json documents/x.json] " +
		"{[{e E false [{{a} {b} i r [{Logs $eq(x)}] [{k $prefix(v)}] [{at AT {c}}]}]}] [{RUNS_ON e f a b true [{Metrics $prefix(m)}]}]}"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestVariables(t *testing.T) {
	const vars = `name: x
version: 1.0.0
vars:
- {id: short, type: text, displayName: S, maxLength: 3, defaultValue: abc}
- {id: code, type: text, displayName: C, pattern: "^[a-z]+$"}
- {id: odd, type: text, displayName: O, pattern: "(?<=x)y"}
- {id: choice, type: enum, displayName: E, availableValues: [{value: one, displayName: One}, {value: 2}]}
`
	files := fstest.MapFS{"extension.yaml": {Data: []byte(vars + oneMetric)}}
	m, warnings := open(t, files, "p")
	if got := lines(warnings); got != "warning p/extension.yaml:6:50: vars[2].pattern: values are not held against this pattern, expected a regular expression in the syntax of RE2\n" {
		t.Error(got)
	}
	for _, tt := range []struct{ id, value, want string }{
		{"short", "abcd", "c.json: vars.short: found 4 characters, expected at most 3"},
		{"short", "äöü", ""},
		{"code", "abc", ""},
		{"code", "ABC", "c.json: vars.code: does not match the pattern that the package asks for, ^[a-z]+$"},
		{"odd", "anything", ""},
		{"choice", "2", ""},
		{"choice", "two", "c.json: vars.choice: found another value, expected one or 2"},
		{"choice", "", ""},
	} {
		_, _, err := Compile(m, Configuration{Name: "c.json", Vars: map[string]string{tt.id: tt.value}}, CompileOptions{})
		if err == nil && tt.want != "" || err != nil && err.Error() != tt.want {
			t.Errorf("%s=%q: %v, want %s", tt.id, tt.value, err, tt.want)
		}
	}
}

// A package with several data sources runs what it can, and says what not.
func TestUnsupportedParts(t *testing.T) {
	m, warnings := open(t, packageOf("python: {runtime: {}}\njmx: {groups: []}\n"+oneMetric), "p")
	if fmt.Sprint(m.Unsupported) != "[python jmx]" {
		t.Errorf("unsupported: %v", m.Unsupported)
	}
	got := lines(warnings)
	for _, want := range []string{
		"p/extension.yaml:4:1: python: the data source python does not run here (its code needs the vendor's Python engine), its part is left out; what it reads as JSON over HTTP can be read by a package with the data source http\n",
		"p/extension.yaml:5:1: jmx: the data source jmx does not run here (it needs a Java agent in the monitored process), its part is left out; the same beans behind the Prometheus JMX exporter can be read by a package with the data source prometheus\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// Every data source of the vendor that does not run here is refused, by name
// and with what runs instead.
func TestRefusedSources(t *testing.T) {
	for _, name := range []string{"python", "wmi", "jmx", "statsd", "sqlOracle", "sqlServer", "sqlMySql", "sqlPostgres", "sqlDb2", "sqlHana", "sqlSnowflake", "sqlJdbc"} {
		_, _, err := ParseManifest(packageOf(name+": []\n"), "p")
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.DataSource != name {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "this data source cannot run here: "+name+" (") || !strings.Contains(text, "can be read by a package with the data source ") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestConfigurationOfAnotherPackage(t *testing.T) {
	m, _ := open(t, packageOf(oneMetric), "p")
	configurations := func(text string) Configuration {
		t.Helper()
		all, err := ParseConfiguration([]byte(text), "c.json")
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	const devices = `"snmp": {"devices": [{"ip": "h", "authentication": {}}]}`
	c := configurations(`{"version": "2.0.0", ` + devices + `}`)
	_, _, err := Compile(m, c, CompileOptions{})
	if want := "c.json:1:13: version: found 2.0.0, which decides what runs, and the package is version 1.0.0; " +
		"install that version and give the package as custom:x@2.0.0, or write 1.0.0 here"; err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	c = configurations(`{"version": "1.0.0", ` + devices + `}`)
	c.parts = []string{"pythonRemote"}
	if _, _, err = Compile(m, c, CompileOptions{}); err == nil || !strings.HasSuffix(err.Error(), "this is the configuration of another package, expected snmp") {
		t.Error(err)
	}
	c.parts = []string{"snmp", "pythonRemote"}
	if _, warnings, err := Compile(m, c, CompileOptions{}); err != nil || !strings.Contains(lines(warnings), "the package does not collect with this, left out; it takes snmp") {
		t.Error(err, warnings)
	}
}

func TestConfigurationLimits(t *testing.T) {
	device := `{"ip": "h%d", "authentication": {"type": "SNMPv2c", "community": "c"}},`
	var many strings.Builder
	for i := range maxDevices + 1 {
		fmt.Fprintf(&many, device, i)
	}
	one := `{"snmp": {"devices": [{"ip": "h", "authentication": {}}]}}`
	for _, tt := range []struct{ text, want string }{
		{`{"snmp": {"devices": [` + strings.TrimSuffix(many.String(), ",") + `]}}`, "c.json:1:10: snmp.devices: found 20001 devices, expected at most 20000; split the configuration"},
		{"[" + strings.Repeat(one+",", maxConfigurations) + one + "]", "c.json: found 101 monitoring configurations, expected at most 100, which is what one package has in the environment; split the file"},
	} {
		if _, err := ParseConfiguration([]byte(tt.text), "c.json"); err == nil || err.Error() != tt.want {
			t.Errorf("got\n%v\nwant\n%s", err, tt.want)
		}
	}
	all, err := ParseConfiguration([]byte(`{"description": "`+strings.Repeat("ä", 501)+`", "activationContext": "NEAR", `+one[1:]), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(all[0].Warnings); !strings.Contains(got, "description: longer than 500 characters") || !strings.Contains(got, "activationContext: found another word, expected REMOTE") {
		t.Error(got)
	}
}

// The package of lm-sensors names whole tables in place of columns: it is
// warned of, and its numbers come as one statistic of each series.
func TestWholeTables(t *testing.T) {
	m, _ := open(t, os.DirFS(filepath.Join(corpus(t), "geoteo__snmp-lm-sensors", "extension")), "p")
	_, warnings, err := Compile(m, Configuration{}, CompileOptions{})
	if err != nil || len(warnings) != 4 || !strings.Contains(lines(warnings), "1.3.6.1.4.1.2021.13.16.2 of custom.lm-sensors.cpu.lmTempSensorsTable is a whole table") {
		t.Error(err, lines(warnings))
	}
}

// Every data source of the table has a key of the manifest, and no part of a
// configuration belongs to two.
func TestTableOfSources(t *testing.T) {
	parts := map[string]string{}
	for _, s := range dataSources() {
		if !slices.Contains(manifestKeys, s.name) {
			t.Errorf("%s is no key of a manifest", s.name)
		}
		if s.manifest == nil || s.configuration == nil || s.compile == nil || len(s.keys) == 0 {
			t.Errorf("%s lacks something", s.name)
		}
		for _, key := range s.keys {
			if other, twice := parts[key]; twice || slices.Contains(configurationKeys, key) {
				t.Errorf("%s of %s belongs to %q already", key, s.name, other)
			}
			parts[key] = s.name
		}
	}
}
