package main_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/tenant/tenanttest"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/ca"
	"github.com/edgehold/edgehold/sign/cms"
)

// genericManifest stands for the vendor's package of this name, in a version.
const genericManifest = `name: com.dynatrace.extension.snmp-generic-device
version: VERSION
minDynatraceVersion: "1.300.0"
author: {name: Stand-in}
vars: [{id: if_name, displayName: Interfaces, type: pattern, defaultValue: "const:*"}]
snmp:
  - group: device
    interval: {minutes: 1}
    dimensions:
      - {key: sys.name, value: "oid:1.3.6.1.2.1.1.5.0"}
    metrics:
      - {key: com.dynatrace.extension.snmp.device.uptime, value: "oid:1.3.6.1.2.1.1.3.0", type: gauge}
    subgroups:
      - subgroup: interfaces
        featureSet: Interfaces
        table: true
        dimensions:
          - {key: if.name, value: "oid:1.3.6.1.2.1.31.1.1.1.1"}
        metrics:
          - {key: com.dynatrace.extension.snmp.if.in.bytes.count, value: "oid:1.3.6.1.2.1.31.1.1.1.6", type: count, featureSet: Traffic}
          - {key: com.dynatrace.extension.snmp.if.status, value: "oid:1.3.6.1.2.1.2.2.1.8", type: gauge}
topology:
  types:
    - name: snmp:generic_device
      rules:
        - idPattern: "{device.address}"
          sources: [{sourceType: Metrics, condition: "$prefix(com.dynatrace.extension.snmp)"}]
`

// vendor signs packages with a root that no site here has.
type vendor struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newVendor(t *testing.T) vendor {
	t.Helper()
	dir := t.TempDir()
	root, err := ca.Create(ca.RootOptions{Dir: filepath.Join(dir, "root"), Name: "Vendor root", Kind: ca.P256, Days: 3650, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	made, err := root.Issue(ca.Request{Name: "Vendor", Category: "extensions", Output: ca.Output{Dir: filepath.Join(dir, "signer"), Kind: ca.P256, Days: 90}})
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.LoadSigner(made.CertFile, made.KeyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	return vendor{cert, key}
}

func (v vendor) bundle(t *testing.T, manifest string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "extension.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	inner, err := sign.Build(dir, sign.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := cms.SignDetached(inner, v.cert, v.key)
	if err != nil {
		t.Fatal(err)
	}
	return sign.WriteBundle(inner, signature)
}

// packagesEnvironment is a stand-in for an environment that has extensions and
// takes points.
func packagesEnvironment(t *testing.T, device string) (*draintest.Server, string) {
	t.Helper()
	env := newEnvironment(t)
	s := tenanttest.Start(tenanttest.Options{Tokens: map[string][]string{goodToken: {tenanttest.ScopeRead, tenanttest.ScopeConfigurations}}})
	t.Cleanup(func() {
		s.Close()
		for _, b := range s.Broken() {
			t.Error("not as documented: " + b)
		}
	})
	v := newVendor(t)
	for _, manifest := range []string{
		strings.Replace(genericManifest, "VERSION", "1.10.0", 1), strings.Replace(genericManifest, "VERSION", "1.11.0", 1),
		"name: com.example.script\nversion: 7.0.0\npython: {}\n",
	} {
		if err := s.Add(v.bundle(t, manifest)); err != nil {
			t.Fatal(err)
		}
	}
	const name = "com.dynatrace.extension.snmp-generic-device"
	s.Activate(name, "1.10.0")
	host, port, _ := strings.Cut(device, ":")
	var value map[string]any
	text := `{"enabled": true, "description": "Plant", "version": "1.10.0", "featureSets": ["Interfaces"],
	  "snmp": {"devices": [{"ip": "` + host + `", "port": ` + port + `, "authentication": {"type": "SNMPv2c", "community": "secret"}}]}}`
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	s.Configure(name, tenanttest.Configuration{ID: "id-1", Scope: "ag_group-plant", Value: value})
	points, err := url.Parse(env.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(points)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v2/extensions") {
			s.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return env, front.URL
}

// TestE2EPackages walks the page about packages with its own commands.
func TestE2EPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 20 seconds")
	}
	t.Parallel()
	home, err := os.MkdirTemp("", "eh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	device := newSwitch(t, "127.0.0.1", goodCommunity).Addr()
	env, at := packagesEnvironment(t, device)
	w := &walker{t: t, dir: home, home: home, variables: []string{"DT_URL=" + at, "DT_TOKEN=" + goodToken, "COMMUNITY=" + goodCommunity}, plain: func(text string) string {
		return strings.NewReplacer(device, "192.0.2.10", "127.0.0.1", "192.0.2.10").Replace(text)
	}}
	steps := manualSteps(t, "packages.md")
	if len(steps) < 12 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps {
		w.walk(s)
	}
	eventually(t, "a point of the package to arrive", func() bool {
		return len(linesOf(t, env, func(l draintest.Line) bool { return l.Key == "com.dynatrace.extension.snmp.device.uptime" })) > 0
	})
	w.agent.end(syscall.SIGTERM).mustSay(t, 0)
}
