package extension

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func parsePackage(text string) ([]Warning, error) {
	files := fstest.MapFS{"extension.yaml": {Data: []byte(text)}}
	_, warnings, err := ParseManifest(files, "p")
	return warnings, err
}

// Packages that would take minutes or gigabytes to read are refused, or read
// in the time of any other.
func TestManifestBombs(t *testing.T) {
	head := "name: custom:x\nversion: 1.0.0\n"
	tests := []struct{ name, text, want string }{
		{
			"a map merged again and again",
			head + oneMetric + "a: &a {" + repeat("k%d: 1,", 1000) + "}\nb:\n  <<: [" + strings.Repeat("*a,", 100_000) + "]\n",
			"the anchors of the file blow it up beyond reason",
		},
		{
			"anchors in anchors",
			head + oneMetric + "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + repeat("b%[1]d: &b%[1]d [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", 20_000),
			"the anchors of the file blow it up beyond reason",
		},
		{"an anchor in itself", head + oneMetric + "a: &a [*a]\n", "the anchor contains itself"},
		{"a wide map merged", head + oneMetric + "a: &a\n" + repeat("  k%d: 1\n", 150_000) + "b:\n  <<: *a\n", ""},
		{
			"many metrics", head + "snmp:\n- group: g\n  metrics:\n" + repeat("  - {key: a%d, value: const:1}\n", 1001),
			"snmp[0].metrics: found 1001 entries, expected at most 1000",
		},
		{
			"many dimensions", head + "snmp:\n- group: g\n  dimensions:\n" + repeat("  - {key: a%d, value: const:1}\n", 100_000),
			"snmp[0].dimensions: found 100000 entries, expected at most 1000",
		},
		{"a large file", head + strings.Repeat("# \n", maxManifest/3), "larger than 4 MiB"},
		{"many wrong entries", head + "snmp:\n- group: g\n  metrics:\n" + strings.Repeat("  - {}\n", 900), "further errors are not listed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parsePackage(tt.text)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%.300v, want %q", err, tt.want)
			case err != nil && strings.Count(err.Error(), "\n") > maxSaid:
				t.Errorf("an error of %d lines", strings.Count(err.Error(), "\n"))
			}
		})
	}
}

func TestWarningsAreBounded(t *testing.T) {
	warnings, err := parsePackage("name: custom:x\nversion: 1.0.0\n" + oneMetric + repeat("nam%d: 1\n", 50_000))
	if err != nil || len(warnings) != maxSaid+1 || warnings[maxSaid].Text != "further warnings are not listed" {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
}

// The environment exports a configuration as one line, of up to 20,000 devices.
func TestLongConfigurationInOneLine(t *testing.T) {
	const devices = 20_000
	list := strings.TrimSuffix(repeat(`{"ip":"schaltschränke-%d","authentication":{"type":"SNMPv2c","community":"x"}},`, devices), ",")
	text := `[{"value":{"snmp":{"devices":[` + list + `]},"fehler":1}}]`
	all, err := ParseConfiguration([]byte(text), "c.json")
	if err != nil || len(all) != 1 || len(all[0].devices) != devices {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	at := len([]rune(text[:strings.Index(text, `"fehler"`)])) + 1
	if want := fmt.Sprintf("c.json:1:%d: [0].value.fehler: unknown key, left alone", at); lines(all[0].Warnings) != "warning "+want+"\n" {
		t.Errorf("%s, want %s", lines(all[0].Warnings), want)
	}
}

func repeat(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A name that is like none of the known ones is answered with all of them.
func TestUnknownNamesTellTheKnownOnes(t *testing.T) {
	m, _, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte("name: custom:x\nversion: 1.0.0\nvars: [{id: if_name}, {id: slot}]\n" +
		"snmp: [{group: g, metrics: [{key: a.b, value: const:1, featureSet: Traffic}, {key: a.c, value: const:1, featureSet: Health}]}]\n")}}, "p")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfiguration([]byte(`{"featureSets": ["default", "Trafik"], "vars": {"community": "x", "if_nam": "y"}, "snmp": {"devices": [{"ip": "h", "authentication": {}}]}}`), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	_, warnings, err := Compile(m, c[0], CompileOptions{})
	said := lines(warnings)
	for _, want := range []string{`"default", it has Health, Traffic`, `"Trafik", did you mean Traffic?`, "variable, it has if_name, slot", "variable, did you mean if_name?"} {
		if err != nil || !strings.Contains(said, want) {
			t.Errorf("%v %s, want %q", err, said, want)
		}
	}
}
