package extension

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

const httpHead = `name: custom:test.docs
version: 1.0.0
minDynatraceVersion: "1.300"
vars:
  - {id: low, displayName: Low, type: text, defaultValue: "20"}
  - {id: tenant, displayName: Tenant, type: text}
  - {id: only, displayName: Only, type: text}
http:
`

func httpParse(t *testing.T, groups string) (*Manifest, []Warning, error) {
	t.Helper()
	return ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte(httpHead + groups)}}, "package")
}

// httpCompile compiles groups with a configuration.
func httpCompile(t *testing.T, groups, configuration string, o CompileOptions) (*plan.Documents, error) {
	t.Helper()
	m, warnings, err := httpParse(t, groups)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("manifest: %v %v", err, warnings)
	}
	all, err := ParseConfiguration([]byte(configuration), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := Compile(m, all[0], o)
	if err != nil {
		return nil, err
	}
	return p.Documents, nil
}

const httpGroups = `
  - group: g
    interval: {minutes: 2}
    featureSet: base
    request:
      path: /q/${var:tenant}?t=${var:tenant}
      method: POST
      headers: {X-Tenant: "t ${var:tenant}"}
      body: '{"t":"${var:tenant}"}'
      paging: {offset: start, size: 50, sizeParameter: limit}
    items: path:groups[]
    dimensions:
      - {key: group, value: path:name, filter: var:only}
      - {key: kind, value: const:group}
    metrics:
      - {key: m.devices, value: size:devices}
      - {key: m.extra, value: path:x, featureSet: extra, interval: {minutes: 10}, optional: true}
    subgroups:
      - subgroup: d
        items: devices[]
        dimensions:
          - {key: device, value: path:name, enum: {1: one}}
          - {key: kind, value: const:device}
        metrics:
          - {key: m.c, value: path:c, type: count, multiplier: 8}
          - {key: m.d, value: path:d, type: "count,delta", featureSet: extra}
          - {key: m.r, value: path:c, type: rate}
          - {key: m.g, value: path:g, parse: true, divisor: 10, offset: 1.5, na: [-1, "n/a", "-2"]}
          - {key: m.s, value: path:s, type: state, states: [OK, BAD], enum: {0: OK}, all: true, dimension: health}
          - {key: m.l, value: "path:l[]", type: stat}
          - {key: m.p, type: stat, min: path:p.a, max: path:p.b, sum: path:p.c, count: path:p.d}
        events:
          - event: low
            type: ERROR_EVENT
            condition: $lt(path:g,var:low)
            title: "${path:name} ${var:tenant}"
            timeout: {minutes: 5}
            properties: [{key: k, value: var:tenant}]
            featureSet: extra
        carrier: metric:m.info
        properties: [{key: version, value: path:v}]
        endpoints: {addresses: path:ip, ports: path:ports}
`

func httpConfig(sets, vars string) string {
	return fmt.Sprintf(`{"enabled":true,"description":"d","version":"1.0.0","featureSets":[%s],"vars":{%s},"http":{"endpoints":[{"url":"http://192.0.2.1"}]}}`, sets, vars)
}

func TestHTTPCompile(t *testing.T) {
	d, err := httpCompile(t, httpGroups, httpConfig(`"base"`, `"tenant":"a \"b&","only":"$prefix(x)"`), CompileOptions{Site: "plant"})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Blocks) != 2 || d.Site != "" || d.Here != "plant" {
		t.Fatalf("blocks %+v", d.Blocks)
	}
	g, s := d.Blocks[0], d.Blocks[1]
	if g.Path != "g" || s.Path != "g/d" || g.Interval != 2*time.Minute || s.Interval != 2*time.Minute || len(g.Metrics) != 1 || len(s.Metrics) != 6 {
		t.Errorf("blocks %s %s %d %s %s %d", g.Path, g.Interval, len(g.Metrics), s.Path, s.Interval, len(s.Metrics))
	}
	q := g.Request
	if q.Method != "POST" || q.Path != "/q/a%20%22b%26?t=a%20%22b%26" || q.Body != `{"t":"a \"b\u0026"}` || q.Headers[0] != (probes.Dimension{Key: "X-Tenant", Value: `t a "b&`}) {
		t.Errorf("request %+v", q)
	}
	if q.Paging.Kind != plan.PageOffset || q.Paging.Size != 50 || q.Paging.Most != 50 || q.Paging.Items.String() != "groups[]" {
		t.Errorf("paging %+v", q.Paging)
	}
	if len(s.OuterDims) != 1 || s.OuterDims[0].Key != "group" || s.OuterDims[0].Filter.String() != "$prefix(x)" {
		t.Errorf("the group's dimensions are %+v: kind is declared anew", s.OuterDims)
	}
	if len(s.Dims) != 2 || s.Dims[0].Enum["1"] != "one" || s.Inner.String() != "devices[]" || g.Inner != nil {
		t.Errorf("dimensions %+v, items %s", s.Dims, s.Inner)
	}
	number := s.Metrics[2].Number
	if !number.Parse || number.Divisor != 10 || number.Offset != 1.5 || !slices.Equal(number.NA, []float64{-1, -2}) || !slices.Equal(number.NAText, []string{"n/a", "-2"}) {
		t.Errorf("number %+v", number)
	}
	state := s.Metrics[3]
	if state.Type != plan.DocState || !state.All || state.Dimension != "health" || state.Enum["0"] != "OK" || len(state.States) != 2 {
		t.Errorf("state %+v", state)
	}
	if p := s.Metrics[5]; !p.Parts || p.Count.String() != "path:p.d" {
		t.Errorf("parts %+v", p)
	}
	if len(s.Events) != 0 || s.Carrier.Metric != "m.info" || len(s.Carrier.Endpoints) != 2 || s.Carrier.Endpoints[1].Key != "dt.listen_ports" {
		t.Errorf("events %+v, carrier %+v", s.Events, s.Carrier)
	}
}

func TestHTTPCompileSets(t *testing.T) {
	d, err := httpCompile(t, httpGroups, httpConfig(`"all"`, ``), CompileOptions{Identity: IdentitySite, Site: "north"})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Blocks) != 3 || d.Blocks[1].Interval != 10*time.Minute || d.Blocks[1].Metrics[0].Key != "m.extra" || d.Site != "north" {
		t.Fatalf("blocks %+v", d.Blocks)
	}
	e := d.Blocks[2].Events[0]
	if e.Condition.String() != "$lt(path:g,20)" || e.Timeout != 6*time.Minute || len(e.Properties) != 1 {
		t.Errorf("event %+v: its timeout is three intervals at least", e)
	}
	if d.Blocks[0].Dims[0].Filter != nil {
		t.Error("an unset variable is no filter")
	}
	// One interval of the agent's own for all.
	if d, err = httpCompile(t, httpGroups, httpConfig(`"all"`, ``), CompileOptions{Interval: 10 * time.Second}); err != nil || len(d.Blocks) != 2 || d.Blocks[0].Interval != 10*time.Second {
		t.Errorf("blocks %+v, %v", d, err)
	}
	if d, err = httpCompile(t, httpGroups, httpConfig(``, ``), CompileOptions{}); err != nil || d != nil {
		t.Errorf("without feature sets: %+v, %v", d, err)
	}
	for vars, want := range map[string]string{
		`"low":"warm"`:      "event low: the condition compares with the variable low",
		`"tenant":"a\r\nb"`: "the header X-Tenant of the package gets a line break",
	} {
		if _, err := httpCompile(t, httpGroups, httpConfig(`"all"`, vars), CompileOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", vars, err, want)
		}
	}
}

// TestHTTPManifestErrors is one mistake after the other, each with its place.
func TestHTTPManifestErrors(t *testing.T) {
	level := func(text string) string { return "  - group: g\n    " + text + "\n" }
	metric := func(text string) string { return level("metrics: [{key: m, " + text + "}]") }
	event := func(text string) string {
		return level("events: [{event: e, title: t, type: ERROR_EVENT, condition: $exists(path:a), " + text + "}]")
	}
	request := func(text string) string { return level("request: {" + text + "}") }
	for _, c := range []struct{ groups, want string }{
		{level("items: path:a..b"), "extension.yaml:10:12: http[0].items: path at position 3"},
		{level("items: 5"), "http[0].items: found a number, expected a text"},
		{metric("value: a.b"), `http[0].metrics[0].value: found "a.b", expected path:`},
		{metric("value: var:nothing"), `variable "nothing" is not declared`},
		{metric("type: gauge"), "http[0].metrics[0].value: missing, expected path:"},
		{metric("value: path:a, type: counter"), `found "counter", expected gauge, count, rate, state, stat or count,delta, did you mean count?`},
		{metric("value: 'path:a[]'"), "[] finds many values and a gauge is one"},
		{metric("value: 'path:a[]', type: rate"), "[] finds many values and a rate is one"},
		{metric("value: 'path:a[]', type: state"), "a state is one"},
		{metric("value: const:x"), `found "x", expected a number`},
		{metric("value: path:a, type: count, offset: 1"), "a growth has no offset"},
		{metric("value: path:a, type: state, all: true"), "http[0].metrics[0].states: missing"},
		{metric("type: stat, min: path:a"), "http[0].metrics[0].max: missing"},
		{metric("type: stat, value: path:a, min: path:a, max: path:a, sum: path:a, count: path:a"), "value and min, max, sum, count are both given"},
		{metric("type: stat, offset: 1, min: path:a, max: path:a, sum: path:a, count: path:a"), "cannot be moved by one offset"},
		{metric("value: path:a, divisor: 0"), "found 0"},
		{level("metrics: [{value: path:a}]"), "http[0].metrics[0].key: missing"},
		{level("dimensions: [{key: a, value: path:a}, {key: a, value: path:b}]"), `found "a" twice in one level`},
		{level("dimensions: [{key: a, value: path:a, filter: $eq(x)}]"), "expected var: or const:"},
		{event("timeout: {minutes: 361}"), "expected a whole number from 1 to 360"},
		{event("entity: '${path:}'"), "in ${…}: path at position 1"},
		{event("properties: [{key: a}]"), "properties[0].value: missing"},
		{level("events: [{event: e, title: t, type: BAD_EVENT, condition: $exists(path:a)}]"), `found "BAD_EVENT", expected AVAILABILITY_EVENT`},
		{level("events: [{event: e, title: t, type: WARNING, condition: '$is(path:a)'}]"), "http[0].events[0].condition: condition at position 1: unknown word $is"},
		{level("events: [{event: e, title: t, type: WARNING, condition: '$lt(path:a,var:zz)'}]"), `variable "zz" is not declared`},
		{level("events: [{}]"), "events[0].title: missing"},
		{level("properties: [{key: a, value: path:a}]"), "http[0].carrier: missing, expected metric:KEY or log"},
		{level("carrier: trace"), `found "trace", expected metric:KEY or log`},
		{level("carrier: 'metric: '"), "expected metric:KEY or log"},
		{request("path: http://x/y"), "expected a path that begins with /"},
		{request("path: '/${path:a}'"), "expected ${var:…}: there is nothing else before the answer"},
		{request("method: DELETE"), `found "DELETE", expected GET or POST`},
		{request("body: x"), "only POST has a body"},
		{request("headers: {Authorization: x}"), "a package does not set this header"},
		{request("headers: {'a b': x}"), "not the name of a header"},
		{request("paging: {}"), "found 0 of next, offset and page"},
		{request("paging: {next: path:a, page: p}"), "found 2 of next, offset and page"},
		{request("paging: {next: path:a, most: 5000}"), "expected a whole number from 1 to 1000"},
		{strings.Repeat(level("items: path:a"), 11), "found 11 groups, expected at most 10"},
		{level("items: path:a") + level("items: path:b"), `http[1].group: found "g" twice in one level`},
		{level("subgroups: [{subgroup: s}, {subgroup: s}]"), `subgroups[1].subgroup: found "s" twice`},
		{level("carrier: log\n    properties: [{key: a, value: path:a}, {key: a, value: path:b}]"), `properties[1].key: found "a" twice`},
		{level("carrier: 'metric:bad key!'"), `http[0].carrier: found the metric key "bad key!"`},
		{level("dimensions: [{key: state, value: path:a}]\n    metrics: [{key: m, type: state, value: path:a}]"), "the metric m puts its state into the dimension state, which the item has already"},
		{level("dimensions: [{key: a, value: path:a}]\n    subgroups: [{subgroup: s, metrics: [{key: m, type: state, value: path:a, dimension: a}]}]"), "puts its state into the dimension a"},
		{metric("value: path:a, type: state, states: [OK, ok]"), `states: found "ok" twice, and case does not matter`},
		{request("headers: {X-HTTP-Method-Override: DELETE}"), "asks for another method"},
		{wide(24, 24, 0), "subgroups[0]: found 51 dimensions in one line"},
		{wide(20, 20, 8), "subgroups[0]: found 51 dimensions in one line"},
	} {
		_, _, err := httpParse(t, c.groups)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngave %v\nwant %s", c.groups, err, c.want)
		}
	}
	for _, fits := range []string{wide(23, 24, 0), wide(20, 20, 7)} {
		if _, _, err := httpParse(t, fits); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{metric("value: path:a, type: state, dimension: My State"), level("carrier: log\n    properties: [{key: My Key, value: path:a}]")} {
		_, warnings, err := httpParse(t, text)
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "has capitals or characters that are not kept") {
			t.Errorf("%s: %v, %v", text, err, warnings)
		}
	}
	_, warnings, err := httpParse(t, level("metrics: [{key: m, value: path:a, states: [A]}]"))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "metrics[0].states: unknown key") {
		t.Errorf("%v, %v", warnings, err)
	}
}

// wide is a group and a subgroup of so many dimensions, and properties.
func wide(outer, inner, properties int) string {
	list := func(prefix string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("{key: %s%d, value: path:a}", prefix, i))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	return "  - group: g\n    dimensions: " + list("a", outer) + "\n    subgroups:\n      - subgroup: s\n        dimensions: " + list("b", inner) +
		"\n        carrier: metric:m.info\n        properties: " + list("c", properties) + "\n"
}

func TestHTTPEndpoints(t *testing.T) {
	known := map[string]probes.Credential{
		"api": {Name: "api", Community: probes.NewSecret("from-file")}, "user": {Name: "user", AuthPass: probes.NewSecret("pass-phrase")},
		"file": {Name: "file", Password: probes.NewSecret("of-a-file")},
	}
	one := func(text string) string { return `{"enabled":true,"http":{"endpoints":[` + text + `]}}` }
	for _, c := range []struct {
		endpoint string
		want     plan.DocEndpoint
		secret   string
	}{
		{`{"url":"https://h.example/api/"}`, plan.DocEndpoint{URL: "https://h.example/api", Host: "h.example", Port: 443, Auth: "none", Timeout: 10 * time.Second}, ""},
		{
			`{"url":"http://[2001:db8::1]:81","authentication":{"scheme":"none"},"advanced":{"timeoutSecs":3,"retries":2}}`,
			plan.DocEndpoint{URL: "http://[2001:db8::1]:81", Host: "2001:db8::1", Port: 81, Auth: "none", Timeout: 3 * time.Second, Retries: 2},
			"",
		},
		{
			`{"url":"https://h","authentication":{"scheme":"basic","username":"u","password":"pp","skipVerifyHttps":"true"}}`,
			plan.DocEndpoint{URL: "https://h", Host: "h", Port: 443, Auth: "basic", User: "u", SkipVerify: true, Timeout: 10 * time.Second},
			"pp",
		},
		{
			`{"url":"http://127.0.0.1:8769","authentication":{"scheme":"basic","username":"u","password":"{{user}}"}}`,
			plan.DocEndpoint{URL: "http://127.0.0.1:8769", Host: "127.0.0.1", Port: 8769, Auth: "basic", User: "u", Timeout: 10 * time.Second},
			"pass-phrase",
		},
		{
			`{"url":"https://h","authentication":{"scheme":"bearer","token":"{{api}}","ca":"certs/ca.pem"}}`,
			plan.DocEndpoint{URL: "https://h", Host: "h", Port: 443, Auth: "bearer", CA: "/etc/x/certs/ca.pem", Timeout: 10 * time.Second},
			"from-file",
		},
		{
			`{"url":"https://h","authentication":{"scheme":"bearer","token":"{{file}}"}}`,
			plan.DocEndpoint{URL: "https://h", Host: "h", Port: 443, Auth: "bearer", Timeout: 10 * time.Second},
			"of-a-file",
		},
		{
			`{"url":"https://h","authentication":{"scheme":"apiToken","token":"tt","header":"X-Api-Key"}}`,
			plan.DocEndpoint{URL: "https://h", Host: "h", Port: 443, Auth: "apiToken", Header: "X-Api-Key", Timeout: 10 * time.Second},
			"tt",
		},
	} {
		all, err := ParseConfiguration([]byte(one(c.endpoint)), "/etc/x/c.json")
		if err != nil {
			t.Errorf("%s: %v", c.endpoint, err)
			continue
		}
		got, err := all[0].HTTPEndpoints(known)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v", c.endpoint, err)
			continue
		}
		if got[0].Secret.Reveal() != c.secret {
			t.Errorf("%s: another secret", c.endpoint)
		}
		if holds := c.secret == "pp" || c.secret == "tt"; all[0].HoldsSecrets() != holds {
			t.Errorf("%s: holds secrets %v", c.endpoint, !holds)
		}
		if got[0].Secret = (probes.Secret{}); got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", c.endpoint, got[0], c.want)
		}
		if targets := all[0].Targets(); len(targets) != 1 || targets[0].Address != c.want.Host {
			t.Errorf("%s: targets %+v", c.endpoint, targets)
		}
	}
}

func TestHTTPEndpointErrors(t *testing.T) {
	for _, c := range []struct{ endpoint, want string }{
		{`{}`, "http.endpoints[0].url: missing"},
		{`{"url":"192.0.2.1"}`, "not a URL of http or https"},
		{`{"url":"ftp://h"}`, "not a URL of http or https"},
		{`{"url":"https://u:geheim@h"}`, "it holds a user"},
		{`{"url":"https://h/?key=geheim"}`, "it has a query or a fragment"},
		{`{"url":"https://h:99999"}`, "expected a number from 1 to 65535"},
		{`{"url":"https://h:0"}`, "expected a number from 1 to 65535"},
		{`{"url":"https://` + strings.Repeat("h", 500) + `"}`, "longer than 500 characters"},
		{`{"url":"https://h","advanced":{"timeoutSecs":51}}`, "expected a whole number from 1 to 50"},
		{`{"url":"https://h","authentication":{"scheme":"digest"}}`, "found another text, expected none, basic, bearer or apiToken"},
		{`{"url":"https://h","authentication":{"password":"geheim"}}`, "scheme: missing"},
		{`{"url":"https://h","authentication":{"scheme":"basic","password":"geheim"}}`, "username: missing"},
		{`{"url":"https://h","authentication":{"scheme":"basic","username":"u"}}`, "password: missing"},
		{`{"url":"https://h","authentication":{"scheme":"bearer","token":"***geheim***"}}`, "found a masked secret"},
		{`{"url":"https://h","authentication":{"scheme":"bearer","token":"a {{geheim}}"}}`, "found {{ in another text"},
		{`{"url":"https://h","authentication":{"scheme":"bearer","token":"{{nobody}}"}}`, `no credential is named "nobody"`},
		{`{"url":"https://h","authentication":{"scheme":"bearer","token":"geheim\n"}}`, "a line break"},
		{`{"url":"https://h","authentication":{"scheme":"basic","useCredentialVault":true,"credentialVaultId":"x"}}`, "the credential vault is in the environment"},
		{`{"url":"https://h","authentication":{"scheme":"apiToken","token":"geheim","header":"a b"}}`, "not the name of a header"},
		{`{"url":"https://h","authentication":{"scheme":"apiToken","token":"geheim","header":"Host"}}`, "belongs to the connection"},
		{`{"url":"https://h","authentication":{"scheme":"basic","username":"u:geheim","password":"p"}}`, "username: it has a colon"},
		{`{"url":"http://192.0.2.1","authentication":{"scheme":"basic","username":"u","password":"geheim"}}`, "sent over http for all to read"},
	} {
		all, err := ParseConfiguration([]byte(`{"enabled":true,"http":{"endpoints":[`+c.endpoint+`]}}`), "c.json")
		if err == nil {
			_, err = all[0].HTTPEndpoints(nil)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.endpoint, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the secret is in %v", c.endpoint, err)
		}
	}
	if _, err := ParseConfiguration([]byte(`{"http":{"endpoints":[]}}`), "c.json"); err == nil || !strings.Contains(err.Error(), "at least one url") {
		t.Errorf("no endpoints: %v", err)
	}
	none, err := Configuration{}.HTTPEndpoints(nil)
	if none != nil || err != nil {
		t.Errorf("a configuration without http: %v, %v", none, err)
	}
}

// FuzzHTTPManifest compiles whatever is taken: every path and condition of the
// plan reads back, every metric has a key, and the limits hold.
func FuzzHTTPManifest(f *testing.F) {
	f.Add(httpGroups)
	f.Add("  - group: g\n    items: path:[]\n    metrics: [{key: m, value: path:a}]\n")
	f.Add("  - {group: g, carrier: log, properties: [{key: a, value: this:key}], subgroups: [{subgroup: s, metrics: [{key: k, type: state, value: 'path:a[b=c]'}]}]}\n")
	f.Add("  - &a {group: g, metrics: [{key: m, value: const:1}]}\n  - *a\n")
	f.Fuzz(func(t *testing.T, groups string) {
		m, _, err := ParseManifest(fstest.MapFS{"extension.yaml": {Data: []byte(httpHead + groups)}}, "package")
		if err != nil || m.HTTP == nil {
			return
		}
		all, err := ParseConfiguration([]byte(httpConfig(`"all"`, `"low":"1"`)), "c.json")
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := Compile(m, all[0], CompileOptions{})
		if err != nil || p.Documents == nil {
			return
		}
		if len(p.Documents.Blocks) > maxGroups*(1+maxSubgroups)*maxLevelMetrics {
			t.Fatalf("%d blocks", len(p.Documents.Blocks))
		}
		for i := range p.Documents.Blocks {
			checkDocBlock(t, &p.Documents.Blocks[i])
		}
	})
}

func checkDocBlock(t *testing.T, b *plan.DocBlock) {
	t.Helper()
	if b.Interval < time.Second || b.Request.Method != "GET" && b.Request.Method != "POST" {
		t.Fatalf("block %+v", b)
	}
	for _, p := range []plan.DocPath{b.Outer, b.Inner} {
		if p == nil {
			continue
		}
		if again, err := plan.ParseDocPath(p.String()); len(p.String()) < 1000 && (err != nil || again.String() != p.String()) {
			t.Fatalf("%s: %v", p, err)
		}
	}
	for _, m := range b.Metrics {
		if m.Key == "" || m.Type == 0 || m.Value.Kind == plan.DocFromVar || m.Value.Kind == 0 && !m.Parts {
			t.Fatalf("metric %+v", m)
		}
	}
	for _, e := range b.Events {
		if e.Condition == nil || e.Timeout < time.Minute || e.Timeout > 6*time.Hour || len(e.Title) == 0 {
			t.Fatalf("event %+v", e)
		}
	}
}
