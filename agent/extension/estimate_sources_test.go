package extension

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestEstimatePackage(t *testing.T) {
	const head = "name: custom:x\nversion: 1.0.0\n"
	for _, tt := range []struct {
		name, manifest string
		always, all    int // points a minute
		assumed        string
	}{
		{"scalars and interfaces", `snmp:
  - group: g
    metrics: [{key: a.up, value: "oid:1.3.6.1.2.1.1.3.0"}]
    subgroups:
      - {subgroup: s, table: true, featureSet: If, metrics: [{key: a.in, value: "oid:1.3.6.1.2.1.2.2.1.10", type: count}]}
`, 1, 1 + AssumedInterfaces, "24 interfaces"},
		{"series", `prometheus:
  - group: g
    dimensions: [{key: d, value: "const:x"}]
    metrics:
      - {key: a.g, value: "metric:g"}
      - {key: a.h, value: "metric:h", type: histogram, featureSet: Latency}
      - {key: a.s, value: "metric:s", type: summary, featureSet: Latency}
  - group: labelled
    interval: {minutes: 2}
    dimensions: [{key: path, value: "label:path"}]
    metrics: [{key: a.l, value: "metric:l", type: count}]
`, 1 + AssumedSeries/2, 1 + AssumedSeries/2 + 2 + 5, "10 series"},
		{"items", `http:
  - group: g
    items: path:groups[]
    metrics: [{key: a.size, value: path:size}]
    subgroups:
      - subgroup: s
        featureSet: Devices
        items: path:devices[]|nodes[]
        carrier: metric:a.info
        properties: [{key: version, value: path:version}]
        metrics:
          - {key: a.state, value: path:state, type: state, states: [OK, BAD, LOST], all: true}
          - {key: a.value, value: path:value}
  - {group: own, metrics: [{key: a.total, value: path:total}]}
`, AssumedItems + 1, AssumedItems + 1 + AssumedItems*AssumedItems*(3+1+1), "10 items"},
		{"a variable without a value", `vars: [{id: v, type: text, required: true}]
http:
  - group: g
    request: {path: "/${var:v}"}
    metrics: [{key: a.size, value: path:size}]
`, 1, 1, "10 items"},
		{"traps", `snmptraps:
  - group: g
    dimensions: [{key: sender, value: "const:sender"}]
    metrics: [{key: a.traps, value: "const:count", type: count}]
`, 0, 0, ""},
	} {
		m, _, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte(head + tt.manifest)}}, "p")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		const minutes = 24 * 60
		got := EstimatePackage(m, nil, time.Minute)
		if got.Always != tt.always*minutes || got.All != tt.all*minutes || !strings.Contains(got.Assumed, tt.assumed) || (got.Assumed == "") != (tt.assumed == "") {
			t.Errorf("%s: %+v, want %d and %d", tt.name, got, tt.always*minutes, tt.all*minutes)
		}
		if slow := EstimatePackage(m, nil, 4*time.Minute); slow.All > got.All/2+1 {
			t.Errorf("%s: %d where one in four minutes is sent, %d else", tt.name, slow.All, got.All)
		}
	}
}

// A package that has a feature set all is not told to choose it twice.
func TestFeatureSetsToChooseAreNamedOnce(t *testing.T) {
	if text := nothing(&Manifest{FeatureSets: []string{"all", "cache"}}); !strings.HasSuffix(text, "choose some of: all, cache") {
		t.Error(text)
	}
}
