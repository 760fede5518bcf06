package extension

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestIdentity(t *testing.T) {
	tests := []struct {
		manifest, name, version, fault string
	}{
		{"name: custom:a\nversion: 1.2.3\nsnmp: []\n", "custom:a", "1.2.3", ""},
		{"name: com.vendor.b\nversion: \"2.0.0\"\npython: {}\n", "com.vendor.b", "2.0.0", ""},
		{"name: custom:c\nversion: 1.5\n", "custom:c", "1.5", ""},
		{"version: 1.0.0\n", "", "", "name or version is missing"},
		{"name: custom:d\nversion: [1]\n", "", "", "name or version is missing"},
		{"- a\n", "", "", "name or version is missing"},
		{"name: [", "", "", "p/extension.yaml"},
	}
	for _, tt := range tests {
		name, version, err := Identity(fstest.MapFS{"extension.yaml": {Data: []byte(tt.manifest)}}, "p")
		if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) || name != tt.name || version != tt.version {
			t.Errorf("%q: %q %q %v", tt.manifest, name, version, err)
		}
	}
	if _, _, err := Identity(fstest.MapFS{}, "p"); err == nil {
		t.Error("a folder without a manifest has a name")
	}
}

func TestDataSource(t *testing.T) {
	if runs, _ := DataSource("SNMP"); !runs {
		t.Error("snmp does not run")
	}
	for _, f := range append(foreignSources(), "carrier-pigeon") {
		if runs, reason := DataSource(strings.ToUpper(f)); runs || reason == "" {
			t.Errorf("%s runs: %v, because %q", f, runs, reason)
		}
	}
}
