package extension

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/probes/plan"
)

// dump writes a plan for golden files.
func dump(p *plan.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", p.Extension, p.Version)
	for _, block := range p.Blocks {
		form := "scalars"
		if block.Table {
			form = "table"
		}
		fmt.Fprintf(&b, "%s every %s: %s\n", block.Path, block.Interval, form)
		for _, d := range block.Dims {
			fmt.Fprintf(&b, "  dim %s = %s", d.Key, dumpSource(d.Source))
			if d.Filter != nil {
				fmt.Fprintf(&b, " filter %s", d.Filter)
			}
			if d.Enum != nil {
				fmt.Fprintf(&b, " enum %v", d.Enum)
			}
			b.WriteString("\n")
		}
		for _, m := range block.Metrics {
			fmt.Fprintf(&b, "  %s %s = %s\n", m.Type, m.Key, dumpSource(m.Source))
		}
	}
	return b.String()
}

func dumpSource(s plan.Source) string {
	names := map[plan.SourceKind]string{
		plan.FromScalar: "scalar", plan.FromColumn: "column", plan.FromConst: "const",
		plan.FromDeviceAddress: "device address", plan.FromDevicePort: "device port",
	}
	text := strings.TrimRight(names[s.Kind]+" "+s.OID+s.Text, " ")
	if len(s.Fallback) > 0 {
		text += " else " + strings.Join(s.Fallback, " else ")
	}
	return text
}

// golden compares with a file; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got\n%s\nwant\n%s", file, got, want)
	}
}

func lines(warnings []Warning) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning %s\n", w)
	}
	return b.String()
}

func open(t *testing.T, fsys fs.FS, name string) (*Manifest, []Warning) {
	t.Helper()
	m, warnings, err := ParseManifest(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	// the keys of one letter keep the tables short; TestReservedSetAndShortKeys is about them
	return m, slices.DeleteFunc(warnings, func(w Warning) bool { return w.rule == ruleKey })
}

func TestPlansGolden(t *testing.T) {
	tests := []struct {
		name, folder, configuration string
		interval                    time.Duration
	}{
		{"inheritance-none", "inheritance", `{}`, 0},
		{"inheritance-metric", "inheritance", `{"featureSets": ["Metric"], "vars": {"tag": "blue", "place": "", "names": "$prefix(s)"}}`, 0},
		{"inheritance-group", "inheritance", `{"featureSets": ["Group"]}`, 0},
		{"inheritance-subgroup", "inheritance", `{"featureSets": ["Subgroup", "Unused"]}`, 0},
		{"inheritance-all", "inheritance", `{"featureSets": ["all"], "vars": {"place": "roof"}}`, 0},
		{"inheritance-fast", "inheritance", `{"featureSets": ["all"]}`, 10 * time.Second},
		{"inheritance-typos", "inheritance", `{"featureSets": ["metrik"], "version": "2.1.0", "vars": {"tags": "x"}}`, 0},
		{"tables", "tables", `{"vars": {"if_name": "$contains(1/1/1)"}}`, 0},
		{"tables-unset", "tables", `{"vars": {"if_name": ""}}`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, warnings := open(t, os.DirFS(filepath.Join("testdata", tt.folder)), "p.zip")
			text := strings.Replace(tt.configuration, "{", `{"snmp": {"devices": [{"ip": "h", "authentication": {}}]},`, 1)
			c, err := ParseConfiguration([]byte(strings.Replace(text, ",}", "}", 1)), "c.json")
			if err != nil {
				t.Fatal(err)
			}
			p, more, err := Compile(m, c[0], CompileOptions{Interval: tt.interval})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", tt.name+".golden"), lines(append(warnings, more...))+dump(p))
		})
	}
}

func TestManifestFields(t *testing.T) {
	m, _ := open(t, fstest.MapFS{"extension.yaml": {Data: []byte(`
name: custom:x
version: 1.10
minDynatraceVersion: 1.231
topology: {types: [{anything: [goes]}]}
screens: []
openpipeline: 7
metrics:
  - key: a
    metadata: {displayName: A, description: About a, unit: Byte, tags: [x], sourceEntityType: y}
  - key: func:b
    query: {metricSelector: (a) * 2}
  - {key: c, metadata: {unit: [wrong]}}
snmp:
  - group: g
    metrics: [{key: a, value: "oid:1.3.6.1.2.1.1.3.0"}]
`)}}, "")
	if m.File != "extension.yaml" || m.Version != "1.10" || m.MinVersion != "1.231" {
		t.Errorf("file %q, version %q, minimal version %q", m.File, m.Version, m.MinVersion)
	}
	want := []Metadata{{Key: "a", DisplayName: "A", Description: "About a", Unit: "Byte", Tags: []string{"x"}, SourceEntityType: "y"}, {Key: "c"}}
	if fmt.Sprint(m.Metrics) != fmt.Sprint(want) {
		t.Errorf("metadata %v, want %v", m.Metrics, want)
	}
}

// packageOf puts a body under the head of a sound package; it starts at line 4.
func packageOf(body string) fs.FS {
	head := "name: custom:x\nversion: 1.0.0\nvars: [{id: known, type: text, displayName: K}]\n"
	return fstest.MapFS{"extension.yaml": {Data: []byte(head + body)}}
}

const oneMetric = "snmp: [{group: g, metrics: [{key: a, value: 'oid:1.3.6.1.2.1.1.3.0'}]}]\n"

func TestManifestWarnings(t *testing.T) {
	metric := func(value, more string) string {
		return "snmp:\n- group: g\n  metrics:\n  - {key: k, value: '" + value + "'" + more + "}\n"
	}
	dimension := func(value, more string) string {
		return "snmp:\n- group: g\n  dimensions:\n  - {key: k, value: '" + value + "'" + more + "}\n"
	}
	const (
		atMetric = "p/extension.yaml:7:21: snmp[0].metrics[0].value: "
		atDim    = "p/extension.yaml:7:21: snmp[0].dimensions[0].value: "
	)
	tests := []struct{ name, body, want string }{
		{"sound", oneMetric, ""},
		{"misspelt top key", "dashbords: []\n" + oneMetric, "p/extension.yaml:4:1: dashbords: unknown key, left alone, did you mean dashboards?"},
		{"misspelt snmp key", "snmp:\n- group: g\n  metrcs: []\n", "p/extension.yaml:6:3: snmp[0].metrcs: unknown key, left alone, did you mean metrics?"},
		{"quite unknown key", "xyzzy: 1\n" + oneMetric, "p/extension.yaml:4:1: xyzzy: unknown key, left alone"},
		{"no name", dimension("oid:sysName 0", ""), atDim + `found "sysName 0", expected a number such as 1.3.6.1.2.1.1.5.0, or a name such as IF-MIB::ifDescr (left out)`},
		{"bare OID", metric(".1.3.6.1.2.1.1.3.0", ""), atMetric + "taken as an OID, write oid: before it"},
		{"no OID", metric("oid:1..3", ""), atMetric + `found "1..3", which is not an OID: "" is not a number from 0 to 4294967295 (left out)`},
		{"impossible OID", metric("oid:6.6.6.6.0", ""), atMetric + `found "6.6.6.6.0", which is not an OID: no OID begins with 6.6 (left out)`},
		{"arc too large", metric("oid:1.3.4294967296.0", ""), atMetric + `found "1.3.4294967296.0", which is not an OID: "4294967296" is not a number from 0 to 4294967295 (left out)`},
		{"plain text", metric("calculated", ""), atMetric + `found "calculated", expected oid:, const:, var:, this: or index: (left out)`},
		{"empty value", metric("", ""), atMetric + `found "", expected oid:, const:, var:, this: or index: (left out)`},
		{"text constant", metric("const:up", ""), atMetric + `found "up", expected a number; metric left out`},
		{"variable as metric", metric("var:known", ""), atMetric + `found "var:known", expected oid: or const:; metric left out`},
		{"unknown type", metric("const:1", ", type: counter"), "p/extension.yaml:7:38: snmp[0].metrics[0].type: found \"counter\", expected gauge or count; metric k left out"},
		{"column outside of a table", metric("oid:1.3.6.1.2.1.1.3", ""), atMetric + "1.3.6.1.2.1.1.3 does not end in .0 and stands outside of a table, read as a scalar"},
		{
			"function with a filter", dimension("$networkFormat(const:colour, oid:1.3.6.1.2.1.2.2.1.6)", ", filter: 'var:known'"),
			atDim + `found the kind "colour", expected interfaceAlias, interfaceName, portComponent, networkAddress, localAddress, macAddress or agentCircuitId (left out)` + "\n" +
				"p/extension.yaml:7:5: snmp[0].dimensions[0]: the filter goes with the dimension k: all rows are kept",
		},
		{"this: unknown", dimension("this:device.hostName", ""), atDim + `found "this:device.hostName", expected this:device.address or this:device.port (left out)`},
		{"undeclared variable", dimension("var:knwon", ""), atDim + `variable "knwon" is not declared in vars, dimension left out`},
		{"undeclared filter", dimension("const:1", ", filter: 'var:f'"), `p/extension.yaml:7:40: snmp[0].dimensions[0].filter: variable "f" is not declared in vars: no filter`},
		{"own keys in a foreign package", dimension("const:1", ", fallback: ['oid:1.3.6.1']"), "p/extension.yaml:7:32: snmp[0].dimensions[0].fallback: unknown key, left alone"},
		{
			"dimension twice", "snmp:\n- group: g\n  dimensions:\n  - {key: k, value: 'const:1'}\n  - {key: k, value: 'const:2'}\n",
			"p/extension.yaml:8:5: snmp[0].dimensions[1]: dimension k is declared twice at this level, the first one counts",
		},
		{
			"merged keys", "base: &b {key: k, value: 'const:x'}\nsnmp:\n- group: g\n  metrics:\n  - {<<: *b, value: 'const:1'}\n",
			"p/extension.yaml:4:1: base: unknown key, left alone, did you mean name?",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := open(t, packageOf(tt.body), "p")
			got := strings.TrimSpace(strings.ReplaceAll(lines(warnings), "warning ", ""))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestManifestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "p/extension.yaml: the file is empty"},
		{"not a mapping", "- a\n", "p/extension.yaml:1:1: found a list, expected an object with name, version and a data source such as snmp"},
		{"malformed", "name: x\nsnmp:\n  - group: <a>\n    type: <type, example: count>\n", "p/extension.yaml:4: not valid YAML: mapping values are not allowed in this context"},
		{"no source", "name: x\nversion: 1\n", "p/extension.yaml: the package has no data source, expected one of the keys " + inWords(sourceNames(), "or")},
		{"python", "name: x\npython: {runtime: {}}\n", "p/extension.yaml: this data source cannot run here: python (its code needs the vendor's Python engine); only " + inWords(sourceNames(), "and") + " packages run here; what it reads as JSON over HTTP can be read by a package with the data source http"},
		{"wmi", "wmi: []\n", "p/extension.yaml: this data source cannot run here: wmi (it needs Windows); only " + inWords(sourceNames(), "and") + " packages run here; a Windows machine that answers SNMP can be read by a package with the data source snmp"},
		{"sql", "sqlOracle: []\n", "p/extension.yaml: this data source cannot run here: sqlOracle (it needs database drivers); only " + inWords(sourceNames(), "and") + " packages run here; a Prometheus exporter of the database can be read by a package with the data source prometheus"},
		{"many groups", "name: x\nversion: 1\nsnmp: [" + strings.Repeat("{group: g},", 11) + "]\n", "p/extension.yaml:3:7: snmp: found 11 groups" + beyond(10)},
		{"many subgroups", "name: x\nversion: 1\nsnmp: [{group: g, subgroups: [" + strings.Repeat("{subgroup: s},", 11) + "]}]\n", "p/extension.yaml:3:8: snmp[0]: found 11 subgroups" + beyond(10)},
		{
			"many metrics", "name: x\nversion: 1\nsnmp: [" + strings.Repeat("{group: g, metrics: ["+strings.Repeat("{key: a, value: 'const:1'},", 101)+"]},\n", 5) + "]\n",
			"p/extension.yaml:3:8: snmp[0]: found 101 metrics" + beyond(100) +
				"\np/extension.yaml:4:1: snmp[1]: found 101 metrics" + beyond(100) +
				"\np/extension.yaml:5:1: snmp[2]: found 101 metrics" + beyond(100) +
				"\np/extension.yaml:6:1: snmp[3]: found 101 metrics" + beyond(100) +
				"\np/extension.yaml:7:1: snmp[4]: found 101 metrics" + beyond(100) +
				"\np/extension.yaml:3:7: snmp: found 505 metrics in all" + beyond(500),
		},
		{"long metric key", "name: x\nversion: 1\nsnmp: [{group: g, metrics: [{value: 'const:1', key: " + strings.Repeat("k", 251) + "}]}]\n", "p/extension.yaml:3:29: snmp[0].metrics[0].key: found 251 characters, expected at most 250, which is what the environment takes in the key of a metric"},
		{"long dimension key", "name: x\nversion: 1\nsnmp: [{group: g, dimensions: [{value: 'const:1', key: " + strings.Repeat("k", 101) + "}]}]\n", "p/extension.yaml:3:32: snmp[0].dimensions[0].key: found 101 characters, expected at most 100, which is what the environment takes in the key of a dimension"},
		{
			"many dimensions", "name: x\nversion: 1\nsnmp: [{group: g, dimensions: [" + strings.Repeat("{key: a, value: 'const:1'},", 26) + "]}]\n",
			"p/extension.yaml:3:8: snmp[0]: found 26 dimensions" + beyond(25),
		},
		{"names missing", "snmp: []\n", "p/extension.yaml:1:1: name: missing, expected the name of the extension\np/extension.yaml:1:1: version: missing, expected a version such as 1.0.0"},
		{"snmp is no list", "name: x\nversion: 1\nsnmp: {}\n", "p/extension.yaml:3:7: snmp: found an object, expected a list"},
		{
			"wrong types", "name: [x]\nversion: 1\nsnmp:\n- group: 5\n  metrics: {}\n  subgroups:\n  - {subgroup: s, table: 'yes', dimensions: [7]}\n",
			"p/extension.yaml:1:7: name: found a list, expected a text\n" +
				"p/extension.yaml:1:1: name: missing, expected the name of the extension\n" +
				"p/extension.yaml:4:10: snmp[0].group: found a number, expected a text\n" +
				"p/extension.yaml:5:12: snmp[0].metrics: found an object, expected a list\n" +
				"p/extension.yaml:7:26: snmp[0].subgroups[0].table: found a text, expected true or false\n" +
				"p/extension.yaml:7:46: snmp[0].subgroups[0].dimensions[0]: found a number, expected an object\n" +
				"p/extension.yaml:7:46: snmp[0].subgroups[0].dimensions[0].key: missing, expected a key\n" +
				"p/extension.yaml:7:46: snmp[0].subgroups[0].dimensions[0].value: missing, expected oid:, const:, var: or this:",
		},
		{"interval zero", "name: x\nversion: 1\nsnmp: [{group: g, interval: {minutes: 0}}]\n", "p/extension.yaml:3:39: snmp[0].interval.minutes: found 0, expected a whole number from 1 to 2880"},
		{"interval without minutes", "name: x\nversion: 1\nsnmp: [{group: g, interval: {}}]\n", "p/extension.yaml:3:29: snmp[0].interval.minutes: missing, expected a whole number from 1 to 2880"},
		{"interval text", "name: x\nversion: 1\nsnmp: [{group: g, interval: soon}]\n", "p/extension.yaml:3:29: snmp[0].interval: found a text, expected {minutes: N}, or a text such as 1m"},
		{"key twice", "name: x\nname: y\nversion: 1\nsnmp: []\n", `p/extension.yaml:2:1: the key "name" is given twice, on line 1 and on line 2; leave one of them`},
		{"constant filter", "name: x\nversion: 1\nsnmp: [{group: g, dimensions: [{key: k, value: 'const:1', filter: 'const:$is(1)'}]}]\n", "p/extension.yaml:3:67: snmp[0].dimensions[0].filter: filter at position 1: unknown function $is, expected $eq, $prefix, $suffix, $contains, $and, $or or $not"},
		{"plain filter", "name: x\nversion: 1\nsnmp: [{group: g, dimensions: [{key: k, value: 'const:1', filter: '$eq(1)'}]}]\n", "p/extension.yaml:3:67: snmp[0].dimensions[0].filter: found \"$eq(1)\", expected var: or const:"},
		{"endless anchor", "name: &a [*a]\nsnmp: []\n", "p/extension.yaml:1:7: the anchor contains itself"},
		{"bomb", bomb(), "p/extension.yaml:7:5: the anchors of the file blow it up beyond reason"},
		{"missing file", "-", "read manifest p/extension.yaml: open extension.yaml: file does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{"extension.yaml": {Data: []byte(tt.text)}}
			if tt.text == "-" {
				files = fstest.MapFS{}
			}
			_, _, err := ParseManifest(files, "p")
			if err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
			var unsupported *UnsupportedError
			if errors.As(err, &unsupported) != strings.Contains(tt.want, "this data source") {
				t.Errorf("%v: of type %T", err, err)
			}
		})
	}
}

func beyond(most int) string {
	return fmt.Sprintf(", expected at most %d, which is what the environment takes; split it, or leave some out", most)
}

func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 x\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return b.String()
}

func TestCompileErrors(t *testing.T) {
	fsys := packageOf("# vars\n" + oneMetric)
	fsys.(fstest.MapFS)["extension.yaml"].Data = []byte(`name: x
version: 1.0.0
vars:
- {id: must, displayName: Name of the plant, required: true}
- {id: f, displayName: F}
snmp:
- group: g
  dimensions: [{key: k, value: "oid:1.3.6.1.2.1.1.5.0", filter: "var:f"}]
  metrics: [{key: m, value: "const:1"}, {key: n, value: "const:1", interval: {minutes: 5}}]
`)
	m, _ := open(t, fsys, "p")
	c, err := ParseConfiguration([]byte(`{"value": {"vars": {"f": "eth0"},
"snmp": {"devices": [{"ip": "h", "authentication": {}}]}}}`), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Compile(m, c[0], CompileOptions{Interval: time.Millisecond})
	want := `interval: found 1ms, expected at least 1s
c.json: value.vars.must: missing, the package needs it (Name of the plant)
c.json:1:26: value.vars.f: filter at position 1: found 'e', expected $eq, $prefix, $suffix, $contains, $and, $or or $not`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestNothingToCollect(t *testing.T) {
	m, _ := open(t, packageOf("snmp: [{group: g, featureSet: F, metrics: [{key: a, value: 'const:1'}]}]\n"), "p")
	p, warnings, err := Compile(m, Configuration{Name: "c.json"}, CompileOptions{})
	if err != nil || len(p.Blocks) != 0 {
		t.Fatalf("%v, %d blocks", err, len(p.Blocks))
	}
	want := "warning c.json: featureSets: nothing is collected with these feature sets, choose some of: all, F\n"
	if got := lines(warnings); got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func FuzzParseManifest(f *testing.F) {
	mibs, _ := PackageMIBs(os.DirFS(filepath.Join("testdata", "oracle")))
	for _, name := range []string{"testdata/inheritance", "testdata/tables", "testdata/oracle"} {
		data, err := os.ReadFile(filepath.Join(name, "extension.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(bomb()))
	f.Add([]byte("a: &a {<<: *a}\nsnmp: [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, _, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: data}}, "p")
		if err != nil {
			return
		}
		p, _, err := Compile(m, Configuration{FeatureSets: []string{"all"}}, CompileOptions{MIBs: mibs, Identity: IdentitySite, Site: "s"})
		if err != nil {
			return
		}
		for _, b := range p.Blocks {
			checkBlock(t, b)
			if !slices.ContainsFunc(b.Dims, func(d plan.Dim) bool { return d.Key == deviceAddress && d.Prefix == "s/" }) {
				t.Fatalf("block %q: the address has no site", b.Path)
			}
		}
		if keyed := m.KeyedByAddress(); len(keyed) > len(m.Topology.Types) {
			t.Fatalf("%v of %d types", keyed, len(m.Topology.Types))
		}
		for _, about := range p.Metadata {
			if about.Key == "" || about.Type.String() == "invalid" {
				t.Fatalf("metadata %+v", about)
			}
		}
	})
}

// checkBlock checks what a probe relies on.
func checkBlock(t *testing.T, b plan.Block) {
	if b.Interval < time.Second || len(b.Metrics) == 0 {
		t.Fatalf("block %q: interval %s, %d metrics", b.Path, b.Interval, len(b.Metrics))
	}
	for _, m := range b.Metrics {
		s := m.Source
		if m.Key == "" || m.Type.String() == "invalid" || s.Kind != plan.FromConst && s.Kind != plan.FromScalar && s.Kind != plan.FromColumn {
			t.Fatalf("block %q: metric %+v", b.Path, m)
		}
		if _, problem := parseOID(s.OID); s.Kind != plan.FromConst && problem != "" {
			t.Fatalf("block %q: OID %q: %s", b.Path, s.OID, problem)
		}
		if !b.Table && s.Kind == plan.FromColumn {
			t.Fatalf("block %q: column %s outside of a table", b.Path, s.OID)
		}
	}
	for _, d := range b.Dims {
		for _, oid := range []string{d.Source.OID, d.Source.Naming.By} {
			if _, problem := parseOID(oid); oid != "" && problem != "" {
				t.Fatalf("block %q: dimension %q reads %q: %s", b.Path, d.Key, oid, problem)
			}
		}
		if !b.Table && (d.Source.Kind == plan.FromColumn || d.Source.Naming.By != "" && !d.Source.Naming.Scalar) {
			t.Fatalf("block %q: dimension %q reads a column outside of a table", b.Path, d.Key)
		}
	}
}
