package tenant_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/tenant"
)

func TestJudgeSources(t *testing.T) {
	tests := []struct {
		sources []string
		want    tenant.Runs
		why     string
	}{
		{[]string{"snmp"}, tenant.RunsYes, "snmp"},
		{[]string{"SNMP"}, tenant.RunsYes, "SNMP"},
		{[]string{"python"}, tenant.RunsNo, "Python engine"},
		{[]string{"sqlOracle"}, tenant.RunsNo, "database"},
		{[]string{"snmp", "wmi"}, tenant.RunsPartly, "wmi: it needs Windows"},
		{[]string{"of\x1b[2Jtomorrow"}, tenant.RunsNo, "of?[2Jtomorrow: it is not known here"},
		{nil, tenant.RunsNo, "no data source"},
	}
	for _, tt := range tests {
		if j := tenant.JudgeSources(tt.sources); j.Runs != tt.want || !strings.Contains(strings.Join(j.Why, "; "), tt.why) {
			t.Errorf("%q: %+v, want %s because %s", tt.sources, j, tt.want, tt.why)
		}
	}
}

const soundPackage = `name: custom:a
version: 1.0.0
snmp:
  - group: g
    metrics:
      - {key: a.uptime, value: "oid:1.3.6.1.2.1.1.3.0"}
      - {key: a.more, value: "oid:1.3.6.1.2.1.1.7.0", featureSet: more}
`

func TestJudgePackage(t *testing.T) {
	const devices = `, "snmp": {"devices": [{"ip": "192.0.2.1", "authentication": {"type": "SNMPv2c", "community": "{{x}}"}}]}}`
	tests := []struct {
		name, manifest string
		configuration  string // what stands before the devices; "": none is given
		want           tenant.Runs
		why            string
	}{
		{"sound", soundPackage, "", tenant.RunsYes, ""},
		{"configured", soundPackage, `{"featureSets": ["more"]`, tenant.RunsYes, ""},
		{"for another version", soundPackage, `{"version": "0.9.0"`, tenant.RunsYes, ""},
		{"of a set that is gone", soundPackage, `{"featureSets": ["gone"]`, tenant.RunsPartly, "gone"},
		{"a metric of another kind", soundPackage + `      - {key: a.odd, value: "oid:1.3.6.1.2.1.1.8.0", type: histogram}` + "\n", "", tenant.RunsPartly, "a.odd left out"},
		{"other data source", "name: custom:a\nversion: 1.0.0\npython: {}\n", "", tenant.RunsNo, "Python engine"},
		{"no YAML", "name: [", "", tenant.RunsNo, "extension.yaml"},
		{"nothing to collect", "name: custom:a\nversion: 1.0.0\nsnmp:\n  - group: g\n", "", tenant.RunsNo, "nothing"},
		{"variable needed", "vars: [{id: v, required: true}]\n" + soundPackage, `{"enabled": true`, tenant.RunsPartly, "vars.v"},
		{"variable not asked for", "vars: [{id: v, required: true}]\n" + soundPackage, "", tenant.RunsYes, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var configurations []extension.Configuration
			if tt.configuration != "" {
				var err error
				if configurations, err = extension.ParseConfiguration([]byte(tt.configuration+devices), "c.json"); err != nil {
					t.Fatal(err)
				}
			}
			j := tenant.JudgePackage(fstest.MapFS{"extension.yaml": {Data: []byte(tt.manifest)}}, "pkg", configurations)
			if why := strings.Join(j.Why, "; "); j.Runs != tt.want || !strings.Contains(why, tt.why) || (j.Runs == tenant.RunsYes) != (why == "") {
				t.Errorf("%+v, want %s because %q", j, tt.want, tt.why)
			}
		})
	}
}

func TestJudgeWith(t *testing.T) {
	yes := tenant.Judgement{Runs: tenant.RunsYes}
	partly := tenant.Judgement{Runs: tenant.RunsPartly, Why: []string{"p"}}
	no := tenant.Judgement{Runs: tenant.RunsNo, Why: []string{"n"}}
	for _, tt := range []struct {
		a, b tenant.Judgement
		want tenant.Runs
		why  int
	}{{yes, yes, tenant.RunsYes, 0}, {yes, partly, tenant.RunsPartly, 1}, {no, yes, tenant.RunsNo, 1}, {partly, no, tenant.RunsNo, 2}, {no, partly, tenant.RunsNo, 2}} {
		if got := tt.a.With(tt.b); got.Runs != tt.want || len(got.Why) != tt.why {
			t.Errorf("%v with %v: %v", tt.a, tt.b, got)
		}
	}
}
