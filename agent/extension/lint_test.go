package extension

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

const lintBase = `name: custom:site.switch
version: 1.2.3
minDynatraceVersion: "1.300.0"
author: {name: Site}
vars:
  - {id: names, displayName: Names, type: text}
snmp:
  - group: g
    featureSet: Base
    dimensions:
      - {key: sys.name, value: "oid:1.3.6.1.2.1.1.5.0"}
    metrics:
      - {key: a.uptime, value: "oid:1.3.6.1.2.1.1.3.0", type: gauge}
    subgroups:
      - subgroup: s
        table: true
        dimensions:
          - {key: if.name, value: "oid:1.3.6.1.2.1.31.1.1.1.1", filter: "var:names"}
        metrics:
          - {key: a.in.count, value: "oid:1.3.6.1.2.1.31.1.1.1.6", type: count}
          - {key: a.speed, value: "oid:1.3.6.1.2.1.31.1.1.1.15"}
`

const (
	goodMetric = `{key: a.uptime, value: "oid:1.3.6.1.2.1.1.3.0", type: gauge}`
	goodDim    = `{key: sys.name, value: "oid:1.3.6.1.2.1.1.5.0"}`
	goodColumn = `{key: a.in.count, value: "oid:1.3.6.1.2.1.31.1.1.1.6", type: count}`
	goodIndex  = `{key: if.name, value: "oid:1.3.6.1.2.1.31.1.1.1.1", filter: "var:names"}`
)

// lintCase breaks one rule in one place of the base, and beside it does the same
// in a way that does not.
type lintCase struct {
	rule      string
	old       string
	bad, good string
	want      string // error or warning; the place where it is not at ¦ in bad
}

func many(n int, format string) string { return strings.TrimRight(repeat(format, n), " \n") }

var lintCases = []lintCase{
	{ruleYAML, "version: 1.2.3", "¦version: : 1", "version: 1.2.4", "error"},
	{ruleSchema, "version: 1.2.3\n", "", "version: 0.0.1\n", "error 1:1"},
	{ruleSchema, "featureSet: Base", "featureSet: ¦[a]", "featureSet: a", "error"},
	{ruleSchema, "    subgroups:", "    interval: {minutes: ¦0}\n    subgroups:", "    interval: {minutes: 5}\n    subgroups:", "error"},
	{ruleSchema, "\nvars:", "\nmetrics: [¦{key: \"func:x\"}]\nvars:", "\nmetrics: [{key: \"func:x\", query: {metricSelector: a.uptime}}]\nvars:", "error"},
	{ruleUnknownKey, "version: 1.2.3", "version: 1.2.3\n¦autor: {name: x}", "version: 1.2.3\nminEECVersion: 1.300.0", "warning"},
	{ruleUnknownKey, goodMetric, `{key: a.uptime, value: "const:1", ¦typo: gauge}`, `{key: a.uptime, value: "const:1", type: gauge}`, "warning"},
	{ruleName, "custom:site.switch", "¦custom:Site", "custom:site", "error"},
	{ruleName, "custom:site.switch", "¦site.switch", "com.dynatrace.extension.switch", "error"},
	{ruleName, "custom:site.switch", "¦custom:a..b", "custom:a.b", "error"},
	{ruleName, "custom:site.switch", "¦custom:.b", "custom:b", "error"},
	{ruleName, "custom:site.switch", "¦custom:" + strings.Repeat("a", 44), "custom:" + strings.Repeat("a", 43), "error"},
	{ruleVersion, "version: 1.2.3", "version: ¦1.2", "version: 10.20.30", "error"},
	{ruleMinVersion, "minDynatraceVersion: \"1.300.0\"\n", "", "minDynatraceVersion: 1.300.0\n", "error 1:1"},
	{ruleMinVersion, "\"1.300.0\"", "¦newest", "1.300.0", "error"},
	{ruleMinVersion, "\"1.300.0\"", "¦1.310", "\"1.310\"", "warning"},
	{ruleAuthor, "author: {name: Site}\n", "", "author:\n  name: Site\n", "error 1:1"},
	{ruleFeatureSet, "featureSet: Base", "featureSet: ¦default", "featureSet: defaults", "error"},
	{ruleFeatureSet, "\nvars:", "\nfeatureSetsMetadata: [{id: ¦default}]\nvars:", "\nfeatureSetsMetadata: [{id: Base}]\nvars:", "error"},
	{ruleFeatureSet, "featureSet: Base", "featureSet: ¦" + strings.Repeat("x", 101), "featureSet: " + strings.Repeat("x", 100), "error"},
	{ruleVariable, `"var:names"`, `¦"var:name"`, `"const:$prefix(Gi)"`, "warning"},
	{ruleVariable, "type: text}", "type: text}\n  - {id: ¦names}", "type: text}\n  - {id: other}", "error"},
	{ruleVariable, "type: text}", "type: ¦words}", "type: pattern}", "warning"},
	{ruleFilter, goodIndex, `¦{key: x, value: "this:name", filter: "var:names"}`, goodIndex, "warning"},
	{ruleKey, "key: a.uptime", "key: ¦1.up time", "key: a_b.up-time", "error"},
	{ruleKey, "key: sys.name", "key: ¦sysName", "key: sys_name", "warning"},
	{ruleType, "type: gauge", "type: ¦state", "type: gauge", "error"},
	{ruleValue, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"oid:1.3.6.1.2.1.1.03.0"`, `"oid:.1.3.6.1.2.1.1.3.0"`, "error"},
	{ruleValue, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"const:one"`, `"const:1"`, "error"},
	{rulePrefix, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"1.3.6.1.2.1.1.3.0"`, `"oid:1.3.6.1.2.1.1.3.0"`, "warning"},
	{ruleUnsupported, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"oid:NO-SUCH-MIB::thing.0"`, `"oid:1.3.6.1.2.1.1.3.0"`, "warning"},
	{ruleUnsupported, `"oid:1.3.6.1.2.1.1.5.0"`, `¦"$networkFormat(oid:noSuchThing, oid:1.3.6.1.2.1.1.5.0)"`, `"$networkFormat(const:macAddress, oid:1.3.6.1.2.1.1.5.0)"`, "warning"},
	{ruleOwn, `"oid:1.3.6.1.2.1.1.5.0"`, `¦"index:1"`, `"const:x"`, "warning"},
	{ruleValue, `"oid:1.3.6.1.2.1.1.5.0"`, `¦"$networkFormat(const:colour, oid:1.3.6.1.2.1.1.5.0)"`, `"$inetAddress(oid:1.3.6.1.2.1.1.4.0, oid:1.3.6.1.2.1.1.5.0)"`, "error"},
	{ruleLimit, "      - " + goodMetric, many(101, "      - {key: a.m%d, value: \"const:1\"}\n"), many(100, "      - {key: a.m%d, value: \"const:1\"}\n"), "error 13:7"},
	{ruleLimit, "      - " + goodDim, many(26, "      - {key: d%d, value: \"const:1\"}\n"), many(25, "      - {key: d%d, value: \"const:1\"}\n"), "error 11:7"},
	{ruleLimit, "snmp:\n", "snmp:\n" + many(10, "  - {group: g%d}\n") + "\n", "snmp:\n" + many(9, "  - {group: g%d}\n") + "\n", "error 8:3"},
	{ruleLimit, "    subgroups:\n", "    subgroups:\n" + many(10, "      - {subgroup: s%d}\n") + "\n", "    subgroups:\n" + many(9, "      - {subgroup: s%d}\n") + "\n", "error 15:7"},
	{ruleLimit, "\nvars:", "\ndashboards: ¦[" + strings.Repeat("{path: a.json},", 11) + "]\nvars:", "\ndashboards: [" + strings.Repeat("{path: a.json},", 10) + "]\nvars:", "error"},
	{ruleLimit, "\nvars:", "\nalerts: ¦[" + strings.Repeat("{path: a.json},", 101) + "]\nvars:", "\nalerts: [" + strings.Repeat("{path: a.json},", 100) + "]\nvars:", "error"},
	{ruleLimit, "a.uptime", "¦a" + strings.Repeat(".uptime12", 28), "a" + strings.Repeat(".uptime12", 27), "error"},
	{ruleLimit, "a.uptime", "¦up", "upt", "error"},
	{ruleLimit, "key: sys.name", "key: ¦" + strings.Repeat("n", 101), "key: " + strings.Repeat("n", 100), "error"},
	{ruleLimit, "\"oid:1.3.6.1.2.1.1.5.0", "¦\"const:" + strings.Repeat("ü", 256), "\"const:" + strings.Repeat("ü", 255), "error"},
	{ruleLimit, "snmp:\n", snmpOf(6, 0), snmpOf(4, 0), "error 8:3"},
	{
		ruleDuplicateMetric, goodColumn, goodColumn + "\n          - {key: ¦a.in.count, value: \"oid:1.3.6.1.2.1.2.2.1.10\", type: count}",
		goodColumn + "\n          - {key: a.in32.count, value: \"oid:1.3.6.1.2.1.2.2.1.10\", type: count}", "error",
	},
	{ruleDuplicateMetric, goodColumn, goodColumn + "\n          - {key: ¦a.in.count, value: \"oid:1.3.6.1.2.1.2.2.1.10\", type: count, featureSet: Old}", goodColumn, "warning"},
	{ruleDuplicateMetric, "\nvars:", "\nmetrics: [{key: a.uptime}, {key: ¦a.uptime}]\nvars:", "\nmetrics: [{key: a.uptime}, {key: a.speed}]\nvars:", "warning"},
	{ruleDuplicateDimension, goodDim, goodDim + "\n      - {key: ¦sys.name, value: \"const:1\"}", goodDim + "\n      - {key: sys.nick, value: \"const:1\"}", "error"},
	{ruleDuplicateOID, goodDim, goodDim + "\n      - {key: sys.nick, value: ¦\"oid:1.3.6.1.2.1.1.5.0\"}", goodDim + "\n      - {key: sys.nick, value: \"oid:1.3.6.1.2.1.1.2.0\"}", "warning"},
	{
		ruleDuplicateOID, goodColumn, goodColumn + "\n          - {key: a.more.count, value: ¦\"oid:1.3.6.1.2.1.31.1.1.1.6\", type: count}",
		goodColumn + "\n          - {key: a.more.count, value: \"oid:1.3.6.1.2.1.31.1.1.1.7\", type: count}", "warning",
	},
	{ruleTable, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"oid:1.3.6.1.2.1.2.2.1.10"`, `"oid:1.3.6.1.2.1.1.3.0"`, "error"},
	{ruleTable, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"oid:1.3.6.1.4.1.9.2.1.56"`, `"oid:1.3.6.1.4.1.9.2.1.56.0"`, "warning"},
	{ruleTable, goodIndex, `{key: x, value: ¦"oid:1.3.6.1.2.1.1.2.0"}`, goodIndex, "warning"},
	{ruleTable, goodIndex, `{key: x, value: ¦"oid:1.3.6.1.2.1.31.1.1.1.18.3"}`, `{key: x, value: "oid:1.3.6.1.2.1.31.1.1.1.15"}`, "warning"},
	{ruleTable, goodIndex, `{key: x, value: ¦"oid:1.3.6.1.2.1.2.2.1.2.3"}`, goodIndex, "warning"},
	{ruleTable, goodIndex, `{key: x, value: ¦"oid:1.3.6.1.4.1.2021.13.16.2"}`, `{key: x, value: "oid:1.3.6.1.4.1.32473.2.1.2"}`, "warning"},
	{ruleTable, goodIndex, `{key: x, value: ¦"oid:1.3.6.1.2.1.4.20.1.2"}`, `{key: x, value: "oid:1.3.6.1.2.1.10.7.2.1.19"}`, "warning"},
	{ruleTable, "        table: true\n", "", "        table: true\n", "error 15:9"},
	{ruleCounter, "type: count}", "type: ¦gauge}", "type: count}", "warning"},
	{ruleCounter, `31.1.1.1.15"`, `31.1.1.1.15", type: ¦count`, `31.1.1.1.15", type: gauge`, "warning"},
	{ruleCounter, goodMetric, `{key: a.x.count, value: "const:1", type: ¦gauge}`, `{key: a.x.counts, value: "const:1", type: gauge}`, "warning"},
	{ruleTextMetric, goodMetric, `{key: a.name, value: ¦"oid:1.3.6.1.2.1.1.6.0"}`, `{key: a.name, value: "oid:1.3.6.1.2.1.1.7.0"}`, "error"},
	{ruleTextMetric, goodColumn, `{key: a.name, value: ¦"oid:1.3.6.1.2.1.31.1.1.1.18"}`, goodColumn, "error"},
	{ruleSeries, goodIndex, goodIndex + "\n          - {key: in, value: ¦\"oid:1.3.6.1.2.1.2.2.1.10\"}", goodIndex + "\n          - {key: in, value: \"oid:1.3.6.1.2.1.2.2.1.4\"}", "warning"},
	{ruleSeries, goodColumn, `{key: a.hop, value: ¦"oid:1.3.6.1.2.1.4.21.1.3"}`, `{key: a.x, value: "oid:1.3.6.1.2.1.4.20.1.2"}`, "warning"},
	{ruleSeries, "snmp:\n", snmpOf(0, 3), snmpOf(0, 1), "warning 8:3"},
	{ruleSensitive, goodDim, `{key: ¦note, value: "oid:1.3.6.1.2.1.1.4.0"}`, `{key: dev.name, value: "oid:1.3.6.1.2.1.1.5.0"}`, "warning"},
	{ruleSensitive, goodIndex, `{key: ¦x, value: "oid:1.3.6.1.2.1.31.1.1.1.18"}`, goodIndex, "warning"},
	{ruleSensitive, goodIndex, `{key: ¦user.name, value: "oid:1.3.6.1.4.1.9.9.1.1.1"}`, `{key: user.count, value: "oid:1.3.6.1.4.1.9.9.1.1.1"}`, "warning"},
	{ruleDataSource, "snmp:\n", "¦telnet: [{group: g}]\nsnmp:\n", "snmp:\n", "error"},
	{ruleDataSource, "snmp:\n", "¦python: {runtime: {}}\nsnmp:\n", "snmp:\n", "warning"},
	{ruleDataSource, lintBase[strings.Index(lintBase, "snmp:"):], "", "snmp: [{group: g}]\n", "warning 1:1"},
	{ruleReadOnly, "type: gauge", "¦set: 5", "type: gauge", "error"},
	{ruleReadOnly, `"oid:1.3.6.1.2.1.1.3.0"`, `¦"$set(oid:1.3.6.1.2.1.1.3.0, 1)"`, `"oid:1.3.6.1.2.1.1.3.0"`, "error"},
	{ruleReadOnly, "snmp:\n", httpBy("¦POST") + "snmp:\n", httpBy("GET") + "snmp:\n", "warning"},
	{ruleFile, "\nvars:", "\nalerts: [{path: ¦alerts/none.json}]\nvars:", "\nalerts: [{path: alerts/one.json}]\nvars:", "warning"},
	{ruleFile, "\nvars:", "\ndashboards: [{path: ¦../a.json}]\nvars:", "\ndashboards: [{path: a.json}]\nvars:", "error"},
	{ruleSecret, "type: text}", "type: text}\n  - {id: snmp_community, defaultValue: ¦s3cret}", "type: text}\n  - {id: snmp_community, defaultValue: \"\"}", "error"},
}

// httpBy is a data source that asks with a method.
func httpBy(method string) string {
	return "http: [{group: q, request: {path: /, method: " + method + "}, metrics: [{key: q.b, value: path:x}]}]\n"
}

// A package that posts is not called read only, one that gets is.
func TestReadOnlyByMethod(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "get": true, "POST": false, "post": false} {
		if r := Lint(lintFiles(strings.Replace(lintBase, "snmp:\n", httpBy(method)+"snmp:\n", 1)), "p"); r.ReadOnly != want || len(r.Errors) > 0 {
			t.Errorf("%s: read only %v, errors %v", method, r.ReadOnly, r.Errors)
		}
	}
}

// snmpOf is a data source with groups of 100 metrics each, as scalars or as
// tables, before the group of the base.
func snmpOf(scalars, tables int) string {
	var b strings.Builder
	b.WriteString("snmp:\n")
	for i := range scalars + tables {
		fmt.Fprintf(&b, "  - group: x%d\n    subgroups: [{subgroup: y, table: %v, metrics: [", i, i >= scalars)
		for j := range 100 {
			fmt.Fprintf(&b, "{key: b.x%d.m%d, value: \"const:1\"},", i, j)
		}
		b.WriteString("]}]\n")
	}
	return b.String()
}

func lintFiles(manifest string) fstest.MapFS {
	return fstest.MapFS{
		"extension.yaml":  {Data: []byte(manifest)},
		"alerts/one.json": {Data: []byte("{}")}, "a.json": {Data: []byte("{}")},
	}
}

func TestLintBaseIsClean(t *testing.T) {
	r := Lint(lintFiles(lintBase), "p")
	if len(r.Errors) > 0 || len(r.Warnings) > 0 || !r.ReadOnly {
		t.Errorf("%+v", r)
	}
	text, err := json.Marshal(r)
	if want := `{"errors":[],"warnings":[],"readOnly":true}`; err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
}

func found(r *Report, rule string) []string {
	var all []string
	for _, f := range r.Errors {
		if f.Rule == rule {
			all = append(all, fmt.Sprintf("error %d:%d", f.Line, f.Column))
		}
	}
	for _, f := range r.Warnings {
		if f.Rule == rule {
			all = append(all, fmt.Sprintf("warning %d:%d", f.Line, f.Column))
		}
	}
	return all
}

// marked takes the mark out of a text and puts its place behind want.
func marked(text, want string) (plain, place string) {
	before, after, found := strings.Cut(text, "¦")
	if !found {
		return text, want
	}
	line := before[strings.LastIndex(before, "\n")+1:]
	return before + after, fmt.Sprintf("%s %d:%d", want, strings.Count(before, "\n")+1, utf8.RuneCountInString(line)+1)
}

func TestLintRules(t *testing.T) {
	tested := map[string]bool{ruleManifest: true} // TestLintWithoutManifest
	for i, tt := range lintCases {
		tested[tt.rule] = true
		t.Run(fmt.Sprintf("%s-%d", tt.rule, i), func(t *testing.T) {
			if strings.Count(lintBase, tt.old) == 0 {
				t.Fatalf("the base has no %q", tt.old)
			}
			text, want := marked(strings.Replace(lintBase, tt.old, tt.bad, 1), tt.want)
			bad := Lint(lintFiles(text), "p")
			if got := found(bad, tt.rule); !slices.Equal(got, []string{want}) {
				t.Errorf("found %v, want %s: %+v", got, want, bad)
			}
			good := Lint(lintFiles(strings.Replace(lintBase, tt.old, tt.good, 1)), "p")
			if got := found(good, tt.rule); len(got) > 0 {
				t.Errorf("found %v where nothing is wrong: %+v", got, good)
			}
			for _, f := range slices.Concat(bad.Errors, bad.Warnings) {
				if f.Mend == "" || f.File == "" {
					t.Errorf("%s: no mend or file", f)
				}
			}
		})
	}
	for _, rule := range declaredRules(t) {
		if !tested[rule] {
			t.Errorf("the rule %s has no case", rule)
		}
	}
}

// declaredRules reads the rules out of the source, so that none is forgotten.
func declaredRules(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("lint.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^\trule\w+\s+= "(\w+)"$`).FindAllSubmatch(data, -1) {
		all = append(all, string(m[1]))
	}
	if len(all) < 20 {
		t.Fatalf("only %d rules found in the source", len(all))
	}
	return all
}

// The name of a dimension does not matter where the object is known to be a
// text of the system.
func TestLintKnowsPlainObjects(t *testing.T) {
	text := strings.Replace(lintBase, "key: if.name", "key: if.alias", 1)
	if got := found(Lint(lintFiles(text), "p"), ruleSensitive); len(got) > 0 {
		t.Errorf("ifName under another name: %v", got)
	}
}

func TestLintWithoutManifest(t *testing.T) {
	tests := []struct {
		files fstest.MapFS
		rule  string
	}{
		{fstest.MapFS{}, ruleManifest},
		{fstest.MapFS{"extension.yaml": {Data: []byte(strings.Repeat("# \n", maxManifest/3+1))}}, ruleManifest},
		{lintFiles(""), ruleSchema},
		{lintFiles("- a\n"), ruleSchema},
		{lintFiles("a: &a [*a]\n"), ruleSchema},
	}
	for i, tt := range tests {
		r := Lint(tt.files, "p")
		if got := found(r, tt.rule); len(got) != 1 || !strings.HasPrefix(got[0], "error ") || r.ReadOnly {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

// The other data sources that are written in groups.
func TestLintForeignSources(t *testing.T) {
	head := lintBase[:strings.Index(lintBase, "snmp:")]
	tests := []struct{ text, rule, want string }{
		{"prometheus: [{group: g, metrics: [{key: a.b, value: \"metric:x\", type: histogram}]}]", ruleType, ""},
		{"prometheus: [{group: g, metrics: [{key: a.b, value: \"metric:x\", type: ¦timer}]}]", ruleType, "error"},
		{"prometheus: [{group: g, metrics: [{key: a.b, value: \"metric:x_total\", type: ¦gauge}]}]", ruleCounter, "warning"},
		{"prometheus: [{group: g, metrics: [¦{key: a.b}]}]", ruleSchema, "error"},
		{"prometheus: [{group: g, dimensions: [{key: ¦client_ip, value: \"label:ip\"}]}]", ruleSensitive, "warning"},
		{"prometheus: [{group: g, subgroups: [{subgroup: s, metrics: [{key: a, value: \"metric:a\"}, {key: ¦a, value: \"metric:b\"}]}]}]", ruleDuplicateMetric, "error"},
		{"snmptraps: [{group: g, metrics: [{key: a.count, value: calculated, type: \"count,delta\"}]}]", ruleSchema, ""},
		{"snmptraps: [{group: g, subgroups: ¦[{subgroup: s}]}]", ruleSchema, "error"},
		{"snmptraps: [{group: g, metrics: ¦[{key: a.count, value: calculated, type: count}, {key: b.count, value: calculated, type: count}]}]", ruleLimit, "error"},
		{"snmptraps: [{group: g, dimensions: ¦[" + many(6, "{key: d%d, value: \"const:x\"},") + "]}]", ruleLimit, "error"},
		{"prometheus: ¦5", ruleSchema, "error"},
	}
	for _, tt := range tests {
		text, want := marked(head+tt.text+"\n", tt.want)
		got := found(Lint(lintFiles(text), "p"), tt.rule)
		if want == "" && len(got) > 0 || want != "" && !slices.Contains(got, want) {
			t.Errorf("%s: %v, want %q", tt.text, got, want)
		}
	}
}

func TestLintSecrets(t *testing.T) {
	pem := "-----BEGIN RSA " + "PRIVATE KEY-----\n"
	token := "dt0" + "c01." + strings.Repeat("A", 24) + "." + strings.Repeat("B", 64)
	tests := []struct{ file, text, want string }{
		{"lib/readme.txt", "x\n  ¦" + pem, "error"},
		{"lib/readme.txt", "the password is asked for; -----BEGIN CERTIFICATE-----", ""},
		{"a.json", `{"x": [` + "\n" + ` {"Api": "¦` + token + `"}]}`, "error"},
		{"a.json", `{"authPassword": ¦"geheim"}`, "error"},
		{"a.json", `{"authPassword": "{{plant}}", "privPassword": "******", "community": ""}`, ""},
		{"a.json", `{"password": {"type": "secret", "default": ¦"geheim"}}`, "error"},
		{"a.json", `{"password": {"type": "secret"}}`, ""},
		{"a.json", `{"community": ¦4711}`, "error"},
		{"a.json", `{"pageToken": "next"}`, ""},
		{"a.json", `{"accessToken": ¦"abcdefgh12345678"}`, "error"},
		{"more.yaml", "a:\n  community_string: ¦public\n", "error"},
		{"site.conf", "# x\nsnmp.community = \"¦geheim\"\n", "error"},
		{"site.conf", "community_file = /etc/x\ncommunity = ${X}\n", ""},
		{"secrets.json", "{}", "error 1:1"},
		{"developer.key", "\x00\x01", "error 1:1"},
		{"plugin_upload.token", "x", "error 1:1"},
		{"binary.dat", "\x00" + pem, ""},
	}
	for _, tt := range tests {
		files := lintFiles(lintBase)
		text, want := marked(tt.text, tt.want)
		files[tt.file] = &fstest.MapFile{Data: []byte(text)}
		r := Lint(files, "p")
		got := found(r, ruleSecret)
		if want == "" && len(got) > 0 || want != "" && !slices.Equal(got, []string{want}) {
			t.Errorf("%s %q: %v, want %q", tt.file, tt.text, got, want)
		}
		if said := fmt.Sprint(r); strings.Contains(said, "geheim") || strings.Contains(said, token) || strings.Contains(said, "4711") {
			t.Errorf("a secret is shown: %s", said)
		}
	}
}

func TestLintBrokenJSON(t *testing.T) {
	files := lintFiles(lintBase)
	files["a.json"] = &fstest.MapFile{Data: []byte("{\n \"a\": }")}
	r := Lint(files, "p")
	if got := found(r, ruleFile); !slices.Equal(got, []string{"warning 2:7"}) || r.Warnings[0].File != "p/a.json" {
		t.Errorf("%+v", r)
	}
}

func TestLintIsBounded(t *testing.T) {
	r := Lint(lintFiles(lintBase+"topology:\n"+repeat("  - {password: geheim%d}\n", 5000)), "p")
	if n := len(r.Errors); n != maxFindings+1 {
		t.Errorf("%d errors", n)
	}
}

// The environment takes every package of the corpus, so none may have an error.
func TestLintPublicPackages(t *testing.T) {
	root := corpus(t)
	packages := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != manifestName {
			return err
		}
		packages++
		r := Lint(os.DirFS(filepath.Dir(p)), filepath.Base(filepath.Dir(filepath.Dir(p))))
		if strings.Contains(p, "cisco.ASA") { // a template that is filled in, and no YAML before
			if got := found(r, ruleYAML); !slices.Equal(got, []string{"error 20:1"}) {
				t.Errorf("%s: %v", p, got)
			}
			return nil
		}
		for _, f := range r.Errors {
			t.Errorf("%s", f)
		}
		if !r.ReadOnly {
			t.Errorf("%s: not read only", p)
		}
		return nil
	})
	if err != nil || packages < 10 {
		t.Errorf("%d packages, %v", packages, err)
	}
}

// What the public packages are warned of, as far as the warnings are not about
// files that the corpus leaves out.
func TestLintPublicPackagesWarnings(t *testing.T) {
	root := corpus(t)
	tests := []struct {
		path string
		want map[string]int
	}{
		{"dynatrace-extensions__snmp.generic-device/src", map[string]int{ruleSensitive: 2}},
		{"dynatrace-extensions__snmp-generic-cisco-device/src", map[string]int{ruleSensitive: 3}},
		{"YanDieg__snmp-apc-ups-dynatrace-extension/src", map[string]int{ruleSensitive: 3}},
		{"geoteo__snmp-lm-sensors/extension", map[string]int{ruleTable: 4}},
		{"vuldin__redpanda-dynatrace-extension/extension", map[string]int{ruleCounter: 1}},
		{"dynatrace-extensions__snmp-vscode-example/extension", map[string]int{}},
	}
	for _, tt := range tests {
		got := make(map[string]int)
		for _, f := range Lint(os.DirFS(filepath.Join(root, tt.path)), "p").Warnings {
			if f.Rule != ruleFile {
				got[f.Rule]++
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v, want %v", tt.path, got, tt.want)
		}
	}
}

// FuzzLint: findings lie in their files and are in order, and a package without
// an error can be read.
func FuzzLint(f *testing.F) {
	f.Add([]byte(lintBase), []byte(`{"password": "x"}`), byte(0))
	f.Add([]byte("a: b: c"), []byte("a:\r\n  - \u2028'"), byte(1))
	f.Add([]byte("name: x\n\n\n- y"), []byte("password = x\r\nb"), byte(2))
	f.Add([]byte("snmp:\n  - &a {group: [*a]}"), []byte("\xef\xbb\xbf{\n\"token\": "), byte(0))
	f.Add([]byte("prometheus: [{group: g, subgroups: [{metrics: [{value: $put(1)}]}]}]"), []byte{}, byte(3))
	for _, tt := range lintCases {
		if text, _ := marked(strings.Replace(lintBase, tt.old, tt.bad, 1), ""); len(text) < 3000 {
			f.Add([]byte(text), []byte("{}"), byte(0))
		}
	}
	names := []string{"a.json", "b.yaml", "c.conf", "d.txt"}
	f.Fuzz(func(t *testing.T, manifest, other []byte, which byte) {
		if len(manifest) > 20_000 || len(other) > 20_000 {
			return
		}
		name := names[int(which)%len(names)]
		files := fstest.MapFS{manifestName: {Data: manifest}, name: {Data: other}}
		r := Lint(files, "p")
		content := map[string][]byte{"p/" + manifestName: manifest, "p/" + name: other}
		for _, list := range [][]Finding{r.Errors, r.Warnings} {
			for i, finding := range list {
				checkPlace(t, content, finding)
				if i > 0 && before(finding, list[i-1]) {
					t.Errorf("%v stands after %v", finding, list[i-1])
				}
			}
		}
		_, _, err := ParseManifest(fstest.MapFS{manifestName: {Data: manifest}}, "p")
		for _, w := range r.Warnings {
			if w.Rule == ruleDataSource { // it does not run here, which is no error
				return
			}
		}
		if err != nil && len(r.Errors) == 0 {
			t.Errorf("no error found, yet: %v", err)
		}
	})
}

var yamlBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

// checkPlace counts lines by other means than Lint does.
func checkPlace(t *testing.T, content map[string][]byte, f Finding) {
	t.Helper()
	data, known := content[f.File]
	lines := strings.Split(string(data), "\n")
	if strings.HasSuffix(f.File, ".yaml") {
		lines = yamlBreak.Split(string(data), -1)
	}
	if !known || f.Line < 1 || f.Line > len(lines) || f.Column < 1 || f.Column > utf8.RuneCountInString(lines[f.Line-1])+1 || f.Rule == "" || f.Text == "" {
		t.Errorf("%+v is in no place of %q", f, data)
	}
}

// TestLintReadsMIBs: what is wrong in a MIB file of the package is told with its
// file and line, whatever the data source; a sound one is not told of.
func TestLintReadsMIBs(t *testing.T) {
	const manifest = "name: custom:x.y\nversion: 1.0.0\nminDynatraceVersion: \"1.300\"\nauthor: {name: x}\nsnmptraps:\n" +
		"  - group: g\n    dimensions: [{key: from, value: const:sender}]\n    metrics: [{key: some.traps, value: calculated, type: \"count,delta\"}]\n"
	const sound = "A-MIB DEFINITIONS ::= BEGIN\nIMPORTS enterprises FROM SNMPv2-SMI;\na OBJECT IDENTIFIER ::= { enterprises 32473 }\n"
	for text, want := range map[string]string{
		sound + "END\n": "",
		sound + strings.Repeat("-- no object\n", 50) + "b OBJECT IDENTIFIER ::= { nowhere 1 }\nEND\n": "p/snmp/a.mib:54:1: ",
		"this is no MIB": "p/snmp/a.mib:1:1: ",
	} {
		files := fstest.MapFS{"extension.yaml": {Data: []byte(manifest)}, "snmp/a.mib": {Data: []byte(text)}}
		report := Lint(files, "p")
		told := ""
		for _, f := range report.Warnings {
			if f.Rule == ruleFile {
				told = f.String()
			}
		}
		if len(report.Errors) > 0 || told == "" != (want == "") || !strings.HasPrefix(told, want) {
			t.Errorf("%q, want %q; %v", told, want, report.Errors)
		}
	}
}
