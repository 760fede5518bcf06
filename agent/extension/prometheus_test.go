package extension

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const exposedManifest = `
name: custom:exposed
version: 1.0.0
vars:
  - {id: job, type: text, displayName: Job}
  - {id: where, type: text, displayName: Where, defaultValue: roof}
prometheus:
  - group: g
    interval: 5m
    featureSet: group
    dimensions:
      - {key: kind, value: const:demo}
      - {key: plain, value: just text}
      - {key: place, value: var:where}
      - {key: job, value: label:job, filter: "var:job"}
    metrics:
      - {key: a.free, value: "metric:free", featureSet: ""}
      - {key: a.lat, value: "metric:lat", type: histogram, featureSet: own}
    subgroups:
      - subgroup: s
        interval: {minutes: 2}
        featureSet: sub
        dimensions:
          - {key: plain, value: 5}
          - {key: node, value: "$reference(metric:identity_info, ref:node)"}
        metrics:
          - {key: b.sum, value: "metric:sum", type: summary}
          - {key: b.fast, value: "fast_total", type: count, interval: {minutes: 1}}
  - group: always
    metrics:
      - {id: c.always, value: "metric:a:b"}
`

func compileExposed(t *testing.T, manifest, configuration string) (*plan.Plan, string) {
	t.Helper()
	m, warnings := open(t, fstest.MapFS{"extension.yaml": {Data: []byte(manifest)}}, "p")
	text := strings.Replace(configuration, "{", `{"prometheusRemote": {"endpoints": [{"url": "http://h/metrics"}]},`, 1)
	p, more, err := Compile(m, parseOne(t, strings.Replace(text, ",}", "}", 1)), CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p, lines(append(warnings, more...))
}

func dumpExposed(e *plan.Exposition) string {
	var b strings.Builder
	if e == nil {
		return ""
	}
	for _, block := range e.Blocks {
		fmt.Fprintf(&b, "%s every %s\n", block.Path, block.Interval)
		for _, d := range block.Dims {
			fmt.Fprintf(&b, "  %s = %d %s%s", d.Key, d.Source, d.Text, d.Filter)
			if d.Metric != "" {
				b.WriteString(" of " + d.Metric)
			}
			b.WriteString("\n")
		}
		for _, m := range block.Metrics {
			fmt.Fprintf(&b, "  %s: %s %d\n", m.Key, m.Name, m.Type)
		}
	}
	return b.String()
}

func TestExposedPlans(t *testing.T) {
	const always = "always every 1m0s\n  c.always: a:b 1\n"
	const groupDims = "  kind = 1 demo\n  plain = 1 just text\n  place = 1 roof\n  job = 2 job\n"
	const subDims = "  kind = 1 demo\n  place = 1 cellar\n  job = 2 job$eq(x)\n  plain = 1 5\n  node = 3 node of identity_info\n"
	for configuration, want := range map[string]string{
		`{}`:                       always,
		`{"featureSets": ["own"]}`: "g every 5m0s\n" + groupDims + "  a.lat: lat 3\n" + always,
		`{"featureSets": ["group"]}`: "g every 5m0s\n" + groupDims +
			"  a.free: free 1\n" + always,
		`{"featureSets": ["sub"], "vars": {"job": "$eq(x)", "where": "cellar"}}`: "g/s every 2m0s\n" + subDims + "  b.sum: sum 4\n" +
			"g/s every 1m0s\n" + subDims + "  b.fast: fast_total 2\n" + always,
	} {
		p, warned := compileExposed(t, exposedManifest, configuration)
		if got := dumpExposed(p.Exposition); got != want {
			t.Errorf("%s:\n got\n%s\nwant\n%s", configuration, got, want)
		}
		if want := "taken as the name of a metric, write metric: before it\n"; !strings.HasSuffix(warned, want) || strings.Count(warned, "\n") != 1 {
			t.Errorf("%s: %s", configuration, warned)
		}
	}
}

func TestExposedRemarks(t *testing.T) {
	for _, tt := range []struct{ group, want string }{
		{"metrics: [{key: k, value: \"metric:x\", type: timer}]", `prometheus[0].metrics[0].type: found "timer", expected gauge, count, histogram or summary; metric k left out`},
		{"metrics: [{key: k, value: \"oid:1.2\"}]", `prometheus[0].metrics[0].value: found "oid:1.2", expected metric: and the name of a metric`},
		{"metrics: [{key: k, value: \"$sum(x)\"}]", `expected metric: and the name of a metric; metric left out`},
		{"dimensions: [{key: d, value: \"var:nobody\"}]", `variable "nobody" is not declared in vars, dimension left out`},
		{"dimensions: [{key: d, value: \"$reference(metric:x)\", filter: \"const:$eq(x)\"}]", "expected $reference(metric:NAME, ref:LABEL) (left out); its filter goes with it"},
		{"dimensions: [{key: d, value: \"this:device.address\"}]", "expected label:, const:, var: or a text (left out)"},
		{"dimensions: [{key: d, value: \"label:\"}]", "without the name of a label"},
		{"dimensions: [{key: d, value: a}, {key: d, value: b}]", "dimension d is declared twice"},
		{"labels: []", "unknown key"},
	} {
		_, warned := compileExposed(t, "name: n\nversion: 1.0.0\nprometheus:\n  - {group: g, "+tt.group+"}\n", `{}`)
		if !strings.Contains(warned, tt.want) {
			t.Errorf("%s: %s, want %s", tt.group, warned, tt.want)
		}
	}
	for group, want := range map[string]string{
		"metrics: [{key: k}]":    "prometheus[0].metrics[0].value: missing",
		"dimensions: [{key: k}]": "prometheus[0].dimensions[0].value: missing",
		"dimensions: [{key: k, value: \"label:x\", filter: \"const:$eq(\"}]":        "filter",
		"dimensions: [{value: \"label:x\"}]":                                        "prometheus[0].dimensions[0].key: missing",
		"interval: {minutes: 9999}, metrics: [{key: k, value: \"metric:x\"}]":       "expected a whole number from 1 to 2880",
		"subgroups: [{subgroup: s, metrics: [{key: k, value: [\"metric:x\"]}]}]":    "expected a text",
		"metrics: [{key: k, value: \"metric:x\", interval: {minutes: 1, hours: 2}}": "not valid YAML",
	} {
		_, _, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte("name: n\nversion: 1.0.0\nprometheus:\n  - {group: g, " + group + "}\n")}}, "p")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", group, err, want)
		}
	}
}

// exposedOf writes groups of so many subgroups, each with so many metrics.
func exposedOf(groups, subgroups, metrics int, typ string) string {
	var b strings.Builder
	b.WriteString("name: n\nversion: 1.0.0\nprometheus:\n")
	for g := range groups {
		fmt.Fprintf(&b, "  - group: g%d\n    subgroups:\n", g)
		for s := range subgroups {
			fmt.Fprintf(&b, "      - subgroup: s%d\n        metrics:\n", s)
			for i := range metrics {
				fmt.Fprintf(&b, "          - {key: k%d.%d.%d, value: \"metric:m\", type: %s}\n", g, s, i, typ)
			}
		}
	}
	return b.String()
}

// Of more keys than the data source takes the first ones are collected.
func TestExposedCap(t *testing.T) {
	p, _ := compileExposed(t, exposedOf(5, 1, 100, "histogram"), `{}`)
	n := 0
	for _, block := range p.Exposition.Blocks {
		n += len(block.Metrics)
	}
	if n != plan.MaxExposed/3 || p.Exposition.LeftOut != 500-n {
		t.Errorf("%d metrics, %d left out", n, p.Exposition.LeftOut)
	}
}

// What the environment would not take is refused, by install and run as by lint.
func TestExposedLimits(t *testing.T) {
	dims := func(n int) string {
		return strings.Replace(exposedOf(1, 1, 1, "gauge"), "    subgroups:", "    dimensions: ["+many(n, "{key: d%d, value: x},")+"]\n    subgroups:", 1)
	}
	key := func(old string, n int) string {
		return strings.Replace(dims(1), old, "key: "+strings.Repeat("x", n), 1)
	}
	for _, c := range []struct{ name, most, more, want string }{
		{"groups", exposedOf(10, 1, 1, "gauge"), exposedOf(11, 1, 1, "gauge"), "prometheus: found 11 groups, expected at most 10"},
		{"subgroups", exposedOf(1, 10, 1, "gauge"), exposedOf(1, 11, 1, "gauge"), "prometheus[0]: found 11 subgroups, expected at most 10"},
		{"metrics of a level", exposedOf(1, 1, 100, "gauge"), exposedOf(1, 1, 101, "gauge"), "prometheus[0].subgroups[0]: found 101 metrics, expected at most 100"},
		{"metrics in all", exposedOf(5, 1, 100, "gauge"), exposedOf(6, 1, 84, "gauge"), "prometheus: found 504 metrics in all, expected at most 500"},
		{"dimensions of a level", dims(25), dims(26), "prometheus[0]: found 26 dimensions, expected at most 25"},
		{"a metric key", key("key: k0.0.0", 250), key("key: k0.0.0", 251), "prometheus[0].subgroups[0].metrics[0].key: found 251 characters, expected at most 250"},
		{"a dimension key", key("key: d0", 100), key("key: d0", 101), "prometheus[0].dimensions[0].key: found 101 characters, expected at most 100"},
	} {
		for _, manifest := range []string{c.most, c.more} {
			files := fstest.MapFS{"extension.yaml": {Data: []byte(manifest)}}
			_, _, err := ParseManifest(files, "p")
			refused := slices.ContainsFunc(Lint(files, "p").Errors, func(f Finding) bool { return f.Rule == ruleLimit })
			switch {
			case manifest == c.most && (err != nil || refused):
				t.Errorf("%s: what the environment takes is refused: %v", c.name, err)
			case manifest == c.more && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			case manifest == c.more && !refused:
				t.Errorf("%s: lint takes it", c.name)
			}
		}
	}
}

// TestKeysGrow: a key that is short enough alone may be too long with what a
// histogram or a summary adds.
func TestKeysGrow(t *testing.T) {
	for _, c := range []struct {
		typ  string
		most int
	}{{"histogram", 237}, {"summary", 240}, {"gauge", 250}} {
		for n, warned := range map[int]bool{c.most: false, c.most + 1: c.typ != "gauge"} {
			manifest := strings.Replace(exposedOf(1, 1, 1, c.typ), "key: k0.0.0", "key: "+strings.Repeat("x", n), 1)
			files := fstest.MapFS{"extension.yaml": {Data: []byte(manifest)}}
			if n > maxMetricKey {
				continue
			}
			_, warnings, err := ParseManifest(files, "p")
			of := func(text string) bool { return strings.Contains(text, fmt.Sprintf("expected at most %d", c.most)) }
			told := slices.ContainsFunc(warnings, func(w Warning) bool { return of(w.String()) })
			linted := slices.ContainsFunc(Lint(files, "p").Warnings, func(f Finding) bool { return f.Rule == ruleLimit && of(f.String()) })
			if err != nil || told != warned || linted != warned {
				t.Errorf("%s of %d characters: warned %v, by lint %v, want %v; %v", c.typ, n, told, linted, warned, err)
			}
		}
	}
}

func TestExposedMetadata(t *testing.T) {
	p, _ := compileExposed(t, `
name: n
version: 1.0.0
metrics:
  - {key: h_count, metadata: {displayName: Events, unit: Count}}
  - {key: h_sum.count, metadata: {displayName: Sum}}
  - {key: g, metadata: {displayName: Gauge}}
  - {key: other, metadata: {displayName: Nobody}}
prometheus:
  - {group: g, metrics: [{key: h, value: "metric:h", type: histogram}, {key: g, value: "metric:g"}]}
`, `{}`)
	want := []probes.Metadata{
		{Key: "g", Type: probes.Gauge, DisplayName: "Gauge"},
		{Key: "h_count", Type: probes.Count, Unit: "Count", DisplayName: "Events"},
		{Key: "h_sum.count", Type: probes.Count, DisplayName: "Sum"},
	}
	if !slices.Equal(p.Metadata, want) {
		t.Errorf("%+v", p.Metadata)
	}
}

func scrapeConfiguration(endpoint string) string {
	return `[{"scope": "ag_group-x", "value": {"prometheusRemote": {"endpoints": [` + endpoint + `]}}}]`
}

func TestScrapeEndpoints(t *testing.T) {
	secret := probes.NewSecret("hidden")
	for _, tt := range []struct {
		endpoint string
		want     plan.ScrapeEndpoint
	}{
		{`{"url": "http://h:9100/metrics#x"}`, plan.ScrapeEndpoint{URL: "http://h:9100/metrics", Auth: plan.ScrapeNone}},
		{
			`{"url": "https://h/api/v1/query?query=up", "authentication": {"scheme": "basic", "username": "u", "password": "{{plant}}", "ca": "certs/ca.pem"},
			  "advanced": {"timeoutSecs": 50, "retries": 3, "collectHistogramBuckets": true}}`,
			plan.ScrapeEndpoint{
				URL: "https://h/api/v1/query?query=up", Auth: plan.ScrapeBasic, User: "u", Secret: secret,
				CAFile: filepath.Join("certs", "ca.pem"), Timeout: 50 * time.Second, Retries: 3, Buckets: true,
			},
		},
		{
			`{"url": "http://h/m", "authentication": {"scheme": "bearer", "token": "hidden", "skipVerifyHttps": "true"}}`,
			plan.ScrapeEndpoint{URL: "http://h/m", Auth: plan.ScrapeBearer, Secret: secret, SkipVerify: true},
		},
		{
			`{"url": "http://127.0.0.1:9100/m", "authentication": {"scheme": "basic", "username": "u", "password": "hidden"}}`,
			plan.ScrapeEndpoint{URL: "http://127.0.0.1:9100/m", Auth: plan.ScrapeBasic, User: "u", Secret: secret},
		},
		{
			`{"url": "https://h/m", "authentication": {"token": "hidden", "ca": "/etc/ca.pem"}}`,
			plan.ScrapeEndpoint{URL: "https://h/m", Auth: plan.ScrapeBearer, Secret: secret, CAFile: "/etc/ca.pem"},
		},
		{`{"url": "https://h/m", "authentication": {"username": "", "password": ""}}`, plan.ScrapeEndpoint{URL: "https://h/m", Auth: plan.ScrapeNone}},
		{
			`{"url": "exporters.example", "autoDiscovery": {"autoDiscoveryType": "dns_sd_config", "dnsType": "a", "dnsPort": 1111, "refreshInterval": "30"}}`,
			plan.ScrapeEndpoint{URL: "http://exporters.example/metrics", Auth: plan.ScrapeNone, Discovery: &plan.ScrapeDNS{Port: 1111, Refresh: 30 * time.Second}},
		},
		{
			`{"url": "https://exporters.example/x", "autoDiscovery": [{"autoDiscoveryType": "dns_sd_config", "refreshInterval": "30m"}]}`,
			plan.ScrapeEndpoint{URL: "https://exporters.example/x", Auth: plan.ScrapeNone, Discovery: &plan.ScrapeDNS{Refresh: 30 * time.Minute}},
		},
	} {
		c := parseOne(t, scrapeConfiguration(tt.endpoint))
		got, err := c.ScrapeEndpoints(plant)
		if err != nil || len(c.Warnings) > 0 || len(got) != 1 {
			t.Errorf("%s: %v %s", tt.endpoint, err, lines(c.Warnings))
			continue
		}
		if describeEndpoint(got[0]) != describeEndpoint(tt.want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.endpoint, describeEndpoint(got[0]), describeEndpoint(tt.want))
		}
		if want := strings.Contains(tt.endpoint, `"hidden"`); c.HoldsSecrets() != want {
			t.Errorf("%s: holds secrets: %v", tt.endpoint, c.HoldsSecrets())
		}
		if targets := c.Targets(); len(targets) != 1 || targets[0].Address != hostOf(got[0].URL) || targets[0].Line != 1 {
			t.Errorf("%s: targets %+v", tt.endpoint, targets)
		}
	}
}

// A credential may be one of an endpoint by name, or the secret of another kind.
func TestScrapeCredentials(t *testing.T) {
	known := map[string]probes.Credential{
		"own":       {Name: "own", Password: probes.NewSecret("hidden")},
		"community": {Name: "community", Version: probes.SNMPv2c, Community: probes.NewSecret("hidden")},
		"none":      {Name: "none"},
	}
	for _, scheme := range []string{`"scheme": "bearer", "token": "{{%s}}"`, `"scheme": "basic", "username": "u", "password": "{{%s}}"`} {
		for name := range known {
			c := parseOne(t, scrapeConfiguration(`{"url": "https://h/m", "authentication": {`+fmt.Sprintf(scheme, name)+`}}`))
			got, err := c.ScrapeEndpoints(known)
			switch {
			case name == "none":
				if err == nil || !strings.Contains(err.Error(), `the credential "none" has no secret`) {
					t.Errorf("%s: %v", scheme, err)
				}
			case err != nil || got[0].Secret.Reveal() != "hidden":
				t.Errorf("%s of %s: %v", scheme, name, err)
			}
		}
	}
}

func describeEndpoint(e plan.ScrapeEndpoint) string {
	secret, dns := e.Secret.Reveal(), e.Discovery
	e.Secret, e.Discovery = probes.Secret{}, nil
	return fmt.Sprintf("%+v %s %+v", e, secret, dns)
}

func TestScrapeEndpointErrors(t *testing.T) {
	const canary = "canary-8d1e"
	auth := func(fields string) string { return `{"url": "https://h/m", "authentication": {` + fields + `}}` }
	for _, tt := range []struct{ endpoint, want string }{
		{`{}`, "endpoints[0].url: missing"},
		{`{"url": "h:9100/canary-8d1e"}`, "not a URL of http or https"},
		{`{"url": "ftp://h/canary-8d1e"}`, "not a URL of http or https"},
		{`{"url": "http:///canary-8d1e"}`, "not a URL of http or https"},
		{`{"url": "http://u:canary-8d1e@h/m"}`, "it holds a user"},
		{`{"url": "http://h/` + strings.Repeat("x", 500) + `"}`, "longer than 500"},
		{`{"url": 5}`, "expected a text"},
		{`{"url": "http://h/m", "advanced": {"timeoutSecs": 51}}`, "from 0 to 50"},
		{`{"url": "http://h/m", "advanced": {"retries": 4}}`, "from 0 to 3"},
		{`{"url": "http://192.0.2.1/m", "autoDiscovery": {}}`, "found an address, but autoDiscovery needs a DNS name"},
		{`{"url": "h", "autoDiscovery": {"dnsType": "srv"}}`, "expected a, which"},
		{`{"url": "h", "autoDiscovery": {"refreshInterval": "soon"}}`, "expected a number of seconds"},
		{`{"url": "h", "autoDiscovery": {"dnsPort": 70000}}`, "from 1 to 65535"},
		{auth(`"scheme": "basic", "password": "canary-8d1e"`), "authentication.username: missing"},
		{auth(`"scheme": "basic", "username": "u"`), "authentication.password: missing"},
		{auth(`"scheme": "basic", "username": "u", "password": "***canary-8d1e***"`), "masked"},
		{auth(`"scheme": "basic", "username": "u", "password": "{{nobody}}"`), `no credential is named "nobody"`},
		{auth(`"scheme": "basic", "username": "u", "password": "{{canary-8d1e}} x"`), "found {{ in another text"},
		{auth(`"scheme": "basic", "useCredentialVault": true, "credentialVaultId": "CREDENTIALS_VAULT-1"`), "cannot be read from here"},
		{auth(`"scheme": "bearer"`), "authentication.token: missing"},
		{auth(`"scheme": "bearer", "token": ["canary-8d1e"]`), "expected a text"},
		{auth(`"scheme": "bearer", "token": "canary-8d1e", "skipVerifyHttps": "maybe"`), "expected true or false"},
		{auth(`"scheme": "aws", "accessKey": "canary-8d1e", "secretKey": "canary-8d1e", "region": "x"`), "not made here"},
		{auth(`"scheme": "canary-8d1e"`), "expected none, basic or bearer"},
		{`{"url": "http://h/m", "authentication": {"scheme": "basic", "username": "u", "password": "canary-8d1e"}}`, "sent over http for all to read"},
		{`{"url": "http://h/m", "authentication": {"scheme": "bearer", "token": "canary-8d1e"}}`, "set skipVerifyHttps to true"},
	} {
		all, err := ParseConfiguration([]byte(scrapeConfiguration(tt.endpoint)), "c.json")
		said := fmt.Sprint(err)
		for _, c := range all {
			endpoints, err := c.ScrapeEndpoints(plant)
			if len(endpoints) > 0 {
				t.Errorf("%s: %d endpoints", tt.endpoint, len(endpoints))
			}
			said += fmt.Sprintf("%v %+v", err, c)
			if strings.Contains(words(c.places["prometheusRemote"]), canary) && !strings.Contains(tt.endpoint, `"scheme": "canary`) {
				t.Errorf("%s: the secret is in the tree", tt.endpoint)
			}
		}
		if !strings.Contains(said, tt.want) || !strings.Contains(said, "c.json:1:") {
			t.Errorf("%s: %s, want %s", tt.endpoint, said, tt.want)
		}
		if strings.Contains(said, canary) {
			t.Errorf("%s: the secret is in %s", tt.endpoint, said)
		}
	}
}

func TestScrapeEndpointsAsAWhole(t *testing.T) {
	local := func(url string) string {
		return `{"prometheusLocal": {"endpoints": [{"url": "` + url + `"}]}}`
	}
	for url, sound := range map[string]bool{
		"http://localhost:9100/m": true, "http://127.3.2.1/m": true, "http://[::1]:1/m": true, "http://192.0.2.1/m": false, "http://localhost.example/m": false,
	} {
		_, err := ParseConfiguration([]byte(local(url)), "c.json")
		if (err == nil) != sound || !sound && !strings.Contains(err.Error(), "list it under prometheusRemote") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := ParseConfiguration([]byte(scrapeConfiguration("")), "c.json"); err == nil || !strings.Contains(err.Error(), "with at least one url") {
		t.Error(err)
	}
	many := strings.TrimSuffix(strings.Repeat(`{"url": "http://h/m"},`, 101), ",")
	if _, err := ParseConfiguration([]byte(scrapeConfiguration(many)), "c.json"); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Error(err)
	}
	c := parseOne(t, scrapeConfiguration(`{"url": "http://h/m"}, {"url": "http://h/m"}, {"url": "http://h/n", "authentication": {"scheme": "aws"}}`))
	endpoints, err := c.ScrapeEndpoints(nil)
	if len(endpoints) != 1 || err == nil || !strings.Contains(lines(c.Warnings), "listed twice") {
		t.Errorf("%d endpoints, %v, %s", len(endpoints), err, lines(c.Warnings))
	}
}

// What parses keeps to what the probe relies on.
func FuzzScrapeEndpoints(f *testing.F) {
	f.Add([]byte(scrapeConfiguration(`{"url": "https://h/m", "authentication": {"scheme": "basic", "username": "u", "password": "p"}}`)))
	f.Add([]byte(`{"prometheusLocal": {"endpoints": [{"url": "http://localhost/m", "advanced": {"timeoutSecs": 3}}]}}`))
	f.Add([]byte(scrapeConfiguration(`{"url": "h", "autoDiscovery": {"dnsPort": 1, "refreshInterval": 5}}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _ := ParseConfiguration(data, "c.json")
		for _, c := range all {
			endpoints, _ := c.ScrapeEndpoints(plant)
			for _, e := range endpoints {
				checkEndpoint(t, e)
			}
		}
	})
}

func checkEndpoint(t *testing.T, e plan.ScrapeEndpoint) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		t.Fatalf("URL %q, %v", e.URL, err)
	}
	withSecret := e.Auth == plan.ScrapeBasic || e.Auth == plan.ScrapeBearer
	if withSecret == e.Secret.IsZero() || withSecret && u.Scheme == "http" && !e.SkipVerify {
		t.Fatalf("endpoint %+v", e)
	}
	if e.Timeout < 0 || e.Timeout > 50*time.Second || e.Retries < 0 || e.Retries > 3 {
		t.Fatalf("endpoint %+v", e)
	}
}

// What compiles is what the probe relies on: named metrics, sound intervals, and
// no more than the cap.
func FuzzExposedManifest(f *testing.F) {
	f.Add([]byte(exposedManifest))
	f.Add([]byte("name: n\nversion: 1.0.0\nprometheus: [{metrics: [{key: k, value: \"metric:m\", type: summary}], dimensions: [{key: d, value: \"$reference(metric:a, ref:b)\"}]}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, _, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: data}}, "p")
		if err != nil || m.Prometheus == nil {
			return
		}
		p, _, err := Compile(m, Configuration{FeatureSets: []string{"all"}}, CompileOptions{})
		if err != nil || p.Exposition == nil {
			return
		}
		n := 0
		for _, b := range p.Exposition.Blocks {
			if n += len(b.Metrics); b.Interval < time.Second || b.Interval > 48*time.Hour || len(b.Metrics) == 0 {
				t.Fatalf("block %+v", b)
			}
			for _, m := range b.Metrics {
				if m.Key == "" || m.Name == "" || m.Type < plan.ExposedGauge || m.Type > plan.ExposedSummary {
					t.Fatalf("metric %+v", m)
				}
			}
			for _, d := range b.Dims {
				if d.Key == "" || d.Source < plan.LabelText || d.Source > plan.LabelReference || (d.Source == plan.LabelReference) != (d.Metric != "") {
					t.Fatalf("dimension %+v", d)
				}
			}
		}
		if n > plan.MaxExposed {
			t.Fatalf("%d metrics", n)
		}
	})
}
