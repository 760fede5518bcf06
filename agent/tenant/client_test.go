package tenant_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/tenant"
	"github.com/edgehold/edgehold/agent/tenant/tenanttest"
	"github.com/edgehold/edgehold/probes"
)

const (
	fullToken = "dt0c01.FULL.not-a-secret"
	readToken = "dt0c01.READ.not-a-secret"
)

func manifest(name, version string) string {
	return fmt.Sprintf("name: %s\nversion: %s\nsnmp:\n  - group: g\n", name, version)
}

// start makes a stand-in whose requests must all be as documented.
func start(t *testing.T, o tenanttest.Options) *tenanttest.Server {
	t.Helper()
	o.Tokens = map[string][]string{
		fullToken: {tenanttest.ScopeRead, tenanttest.ScopeWrite, tenanttest.ScopeConfigurations},
		readToken: {tenanttest.ScopeRead},
	}
	s := tenanttest.Start(o)
	t.Cleanup(func() {
		s.Close()
		for _, b := range s.Broken() {
			t.Error("not as documented: " + b)
		}
	})
	return s
}

// waits notes how long a client wanted to wait, and waits not at all.
type waits []time.Duration

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	*w = append(*w, d)
	return ctx.Err()
}

func client(t *testing.T, url, token string, w *waits) *tenant.Client {
	t.Helper()
	c, err := tenant.New(tenant.Options{URL: url, Token: probes.NewSecret(token), Wait: w.wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func add(t *testing.T, s *tenanttest.Server, name string, versions ...string) {
	t.Helper()
	for _, v := range versions {
		if err := s.Add(tenanttest.Bundle(manifest(name, v))); err != nil {
			t.Fatal(err)
		}
	}
}

// Lists of several pages come whole, at the address of a Managed cluster too.
func TestLists(t *testing.T) {
	for _, o := range []tenanttest.Options{{}, {Prefix: "/e/abc-123", PageSize: 3}, {PageSize: 1}} {
		s := start(t, o)
		add(t, s, "custom:site.switch", "1.0.0", "1.2.0", "1.10.0", "1.9.0")
		add(t, s, "com.vendor.ups", "2.0.0")
		s.Activate("custom:site.switch", "1.2.0")
		for i := range 7 {
			s.Configure("custom:site.switch", tenanttest.Configuration{
				ID: fmt.Sprint("id-", i), Scope: "ag_group-a", Value: map[string]any{"version": fmt.Sprintf("1.%d.0", i%2)},
			})
		}
		c, ctx := client(t, s.URL, fullToken, new(waits)), t.Context()

		all, err := c.Extensions(ctx, "")
		if err != nil || len(all) != 5 || all[4] != (tenant.Extension{Name: "com.vendor.ups", Version: "2.0.0"}) {
			t.Errorf("extensions: %v, %v", all, err)
		}
		some, err := c.Extensions(ctx, "ups")
		if err != nil || len(some) != 1 {
			t.Errorf("extensions by name: %v, %v", some, err)
		}
		versions, err := c.Versions(ctx, "custom:site.switch")
		if want := []string{"1.0.0", "1.2.0", "1.10.0", "1.9.0"}; err != nil || !slices.Equal(versions, want) {
			t.Errorf("versions: %v, %v", versions, err)
		}
		if none, err := c.Versions(ctx, "custom:other"); err != nil || len(none) != 0 {
			t.Errorf("versions of another: %v, %v", none, err)
		}
		active, err := c.Active(ctx, "custom:site.switch")
		passive, err2 := c.Active(ctx, "com.vendor.ups")
		if errors.Join(err, err2) != nil || active != "1.2.0" || passive != "" {
			t.Errorf("active: %q, %q, %v", active, passive, errors.Join(err, err2))
		}
		m, err := c.Metadata(ctx, "custom:site.switch", "1.9.0")
		if err != nil || m.Version != "1.9.0" || !slices.Equal(m.DataSources, []string{"snmp"}) || len(m.FileHash) != 64 {
			t.Errorf("metadata: %+v, %v", m, err)
		}
		file, err := c.Download(ctx, "custom:site.switch", "1.9.0")
		if err != nil || !bytes.Equal(file, tenanttest.Bundle(manifest("custom:site.switch", "1.9.0"))) {
			t.Errorf("download: %d bytes, %v", len(file), err)
		}
		if _, err := c.Metadata(ctx, "custom:site.switch/1.9.0?x=", "../1.0.0"); !tenant.NotFound(err) {
			t.Errorf("a name that is a path: %v", err)
		}
		configurations, err := c.Configurations(ctx, "custom:site.switch", "")
		if err != nil || len(configurations) != 7 || configurations[6].ID != "id-6" {
			t.Errorf("configurations: %v, %v", configurations, err)
		}
		configurations, err = c.Configurations(ctx, "custom:site.switch", "1.1.0")
		if err != nil || len(configurations) != 3 {
			t.Errorf("configurations of a version: %v, %v", configurations, err)
		}
	}
}

func TestUpload(t *testing.T) {
	s := start(t, tenanttest.Options{})
	c, ctx := client(t, s.URL, fullToken, new(waits)), t.Context()
	e := tenant.Extension{Name: "custom:site.switch", Version: "1.0.0"}
	bundle := tenanttest.Bundle(manifest(e.Name, e.Version))
	m, err := c.Validate(ctx, bundle)
	if err != nil || m.Extension != e || len(s.Versions(e.Name)) != 0 {
		t.Fatalf("checked: %+v, %v, holds %v", m, err, s.Versions(e.Name))
	}
	if m, err = c.Upload(ctx, e, bundle); err != nil || m.Extension != e || len(s.Versions(e.Name)) != 1 {
		t.Fatalf("uploaded: %+v, %v, holds %v", m, err, s.Versions(e.Name))
	}
	if err := c.Activate(ctx, e); err != nil || s.Active(e.Name) != e.Version {
		t.Errorf("activated: %v, active is %q", err, s.Active(e.Name))
	}
	other := tenanttest.SignedBundle(manifest(e.Name, e.Version)+"# changed\n", "-----BEGIN CMS-----\n")
	var refusal *tenant.Error
	if _, err := c.Upload(ctx, e, other); !errors.As(err, &refusal) || len(refusal.Violations) != 1 {
		t.Errorf("other bytes of the same version: %v", err)
	}
	if err := c.Activate(ctx, tenant.Extension{Name: e.Name, Version: "7.0.0"}); !tenant.NotFound(err) {
		t.Errorf("activation of what is not there: %v", err)
	}
}

// An answer that is lost after the package was stored is no failure; one that
// is lost before is.
func TestUploadWithoutAnswer(t *testing.T) {
	s := start(t, tenanttest.Options{})
	c, ctx := client(t, s.URL, fullToken, new(waits)), t.Context()
	e := tenant.Extension{Name: "custom:site.switch", Version: "1.0.0"}
	bundle := tenanttest.Bundle(manifest(e.Name, e.Version))
	s.Fail(tenanttest.Fault{Method: "POST"})
	if m, err := c.Upload(ctx, e, bundle); err != nil || m.Extension != e {
		t.Errorf("stored, answer lost: %+v, %v", m, err)
	}
	e.Version = "1.0.1"
	s.Fail(tenanttest.Fault{Method: "POST", Status: 400, Body: []byte(`{"error":{"code":400,"message":"no"}}`)})
	if _, err := c.Upload(ctx, e, tenanttest.Bundle(manifest(e.Name, e.Version))); err == nil {
		t.Error("not stored, and no error")
	}
}

func TestRetries(t *testing.T) {
	second := time.Second
	busy := func(status, times int, after string) tenanttest.Fault {
		f := tenanttest.Fault{Status: status, Times: times}
		if after != "" {
			f.Header = http.Header{"Retry-After": {after}}
		}
		return f
	}
	tests := []struct {
		name   string
		fault  tenanttest.Fault
		waits  waits
		status int // 0: success
	}{
		{"once", busy(503, 1, ""), waits{second}, 0},
		{"busy, as told", busy(429, 3, "7"), waits{7 * second, 7 * second, 7 * second}, 0},
		{"at once", busy(429, 1, "0"), waits{0}, 0},
		{"no number", busy(429, 1, "soon"), waits{second}, 0},
		{"negative", busy(429, 1, "-5"), waits{second}, 0},
		{"for ever", busy(500, 99, ""), waits{second, 2 * second, 4 * second, 8 * second}, 500},
		{"conflict", busy(409, 2, ""), waits{second, 2 * second}, 0},
		{"too long", busy(429, 1, "3600"), nil, 429},
		{"far too long", busy(503, 1, "9000000000"), nil, 503},
		{"gone", busy(410, 1, "1"), nil, 410},
		{"not built", busy(501, 1, ""), nil, 501},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tenanttest.Options{})
			add(t, s, "custom:a", "1.0.0")
			s.Fail(tt.fault)
			var w waits
			_, err := client(t, s.URL, fullToken, &w).Extensions(t.Context(), "")
			var refusal *tenant.Error
			if got := errors.As(err, &refusal); got != (tt.status != 0) || got && refusal.Status != tt.status {
				t.Errorf("error %v, want status %d", err, tt.status)
			}
			if !reflect.DeepEqual(w, tt.waits) {
				t.Errorf("waited %v, want %v", w, tt.waits)
			}
		})
	}
}

// A date in Retry-After counts from now.
func TestRetryAfterDate(t *testing.T) {
	s := start(t, tenanttest.Options{})
	s.Fail(tenanttest.Fault{Status: 429, Header: http.Header{"Retry-After": {time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)}}})
	s.Fail(tenanttest.Fault{Status: 429, Header: http.Header{"Retry-After": {"Thu, 01 Jan 1970 00:00:00 GMT"}}})
	var w waits
	if _, err := client(t, s.URL, fullToken, &w).Extensions(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if len(w) != 2 || w[0] <= 0 || w[0] > 30*time.Second || w[1] != 0 {
		t.Errorf("waited %v", w)
	}
}

func TestStopsWhileWaiting(t *testing.T) {
	s := start(t, tenanttest.Options{})
	s.Fail(tenanttest.Fault{Status: 503, Times: 99})
	c, err := tenant.New(tenant.Options{URL: s.URL, Token: probes.NewSecret(fullToken)}) // waits really
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Extensions(ctx, "")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was stopped", err)
	}
}

func TestErrors(t *testing.T) {
	html := []byte("<html>sign in</html>")
	json := http.Header{"Content-Type": {"application/json"}}
	envelope := `{"error":{"code":400,"message":"Constraints\nviolated ` + fullToken + ` \u001b[31m","constraintViolations":[` +
		`{"path":"extension.yaml","message":"bad key","parameterLocation":"PAYLOAD_BODY","location":null},{"location":"line 7","message":"worse"}]}}`
	tests := []struct {
		name  string
		token string
		fault *tenanttest.Fault
		want  []string
	}{
		{"unknown token", "dt0c01.OTHER", nil, []string{"HTTP 401", "Token Authentication failed", "token is unknown", "scope extensionConfigurations.read"}},
		{"no scope", readToken, nil, []string{"HTTP 403", "needs the scope extensionConfigurations.read"}},
		{"own words", fullToken, &tenanttest.Fault{Status: 400, Body: []byte(envelope)}, []string{"Constraints violated *** [31m", "extension.yaml: bad key", "line 7: worse"}},
		{"not found", fullToken, &tenanttest.Fault{Status: 404, Body: html}, []string{"HTTP 404", "check the name"}},
		{"no envelope", fullToken, &tenanttest.Fault{Status: 502, Times: 5, Body: html}, []string{"HTTP 502", "try again later"}},
		{"sign-in page", fullToken, &tenanttest.Fault{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: html}, []string{`"text/html"`, "sign-in page"}},
		{"no list", fullToken, &tenanttest.Fault{Status: 200, Header: json, Body: []byte(`{}`)}, []string{"not as documented", "list is missing"}},
		{"cut off", fullToken, &tenanttest.Fault{Status: 200, Header: json, Body: []byte(`{"items":[`)}, []string{"not as documented"}},
		{"more behind", fullToken, &tenanttest.Fault{Status: 200, Header: json, Body: []byte(`{"items":[]} x`)}, []string{"not as documented"}},
		{"other type", fullToken, &tenanttest.Fault{Status: 200, Header: json, Body: []byte(`{"items":{"a":1}}`)}, []string{"not as documented"}},
		{"no value", fullToken, &tenanttest.Fault{Status: 200, Header: json, Body: []byte(`{"items":[{"objectId":"x","value":7}]}`)}, []string{"items[0].value"}},
		{"broken off", fullToken, &tenanttest.Fault{Status: 200, Header: http.Header{"Content-Type": {"application/json"}, "Content-Length": {"99"}}, Body: []byte(`{"items":[]`)}, []string{"broke off"}},
		{"lost", fullToken, &tenanttest.Fault{}, []string{"reach 127.0.0.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tenanttest.Options{})
			add(t, s, "custom:a", "1.0.0")
			if tt.fault != nil {
				s.Fail(*tt.fault)
			}
			_, err := client(t, s.URL, tt.token, new(waits)).Configurations(t.Context(), "custom:a", "")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "/api/v2") {
				t.Errorf("shows the whole address: %v", err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), tt.token) {
				t.Errorf("shows a secret or control characters: %q", err)
			}
		})
	}
}

// A list may not hold names that could leave a folder, nor go on for ever.
func TestHostileLists(t *testing.T) {
	for _, body := range []string{
		`{"extensions":[{"extensionName":"../../etc/passwd","version":"1.0.0"}]}`,
		`{"extensions":[{"extensionName":"custom:a","version":"1/../../x"}]}`,
		`{"extensions":[{"extensionName":"","version":"1.0.0"}]}`,
		`{"extensions":[{"extensionName":"custom:a\u001b[2J","version":"1.0.0"}]}`,
		`{"extensions":[],"nextPageKey":"again"}`,
	} {
		s := start(t, tenanttest.Options{})
		s.Fail(tenanttest.Fault{Status: 200, Times: 3000, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)})
		all, err := client(t, s.URL, fullToken, new(waits)).Extensions(t.Context(), "")
		if err == nil {
			t.Errorf("%s: gave %v", body, all)
		}
		if n := len(s.Requests()); n > 2 {
			t.Errorf("%s: asked %d times", body, n)
		}
	}
}

// Answers have a size beyond which they are not read.
func TestHugeAnswers(t *testing.T) {
	var written int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.Header.Get("Accept")
		w.Header().Set("Content-Type", kind)
		chunk := bytes.Repeat([]byte("PK\x03\x04"), 1<<18)
		for written = 0; written < 1<<30; written += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	c := client(t, s.URL, fullToken, new(waits))
	if _, err := c.Download(t.Context(), "custom:a", "1.0.0"); err == nil || !strings.Contains(err.Error(), "larger than 25000000") {
		t.Errorf("package: %v", err)
	}
	if _, err := c.Extensions(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("list: %v", err)
	}
	s.Close() // waits for the handlers
	if written >= 1<<30 {
		t.Error("the whole answer was taken")
	}
}

// The token goes to the environment and nowhere else.
func TestRedirects(t *testing.T) {
	visited := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited = true }))
	t.Cleanup(elsewhere.Close)
	s := start(t, tenanttest.Options{})
	for _, to := range []string{elsewhere.URL + "/api/v2/extensions?x=" + fullToken, "/login", ""} {
		s.Fail(tenanttest.Fault{Status: 302, Header: http.Header{"Location": {to}}})
		_, err := client(t, s.URL, fullToken, new(waits)).Extensions(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), "HTTP 302") || strings.Contains(err.Error(), fullToken) {
			t.Errorf("redirect to %q: %v", to, err)
		}
	}
	if visited {
		t.Error("the redirect was followed")
	}
}

func TestNewRefuses(t *testing.T) {
	good := probes.NewSecret(fullToken)
	tests := []struct {
		name string
		o    tenant.Options
		want string
	}{
		{"clear text", tenant.Options{URL: "http://env.example.com", Token: good}, "https"},
		{"no scheme", tenant.Options{URL: "env.example.com", Token: good}, "https://env.example.com"},
		{"password", tenant.Options{URL: "https://me:hunter2@env.example.com", Token: good}, "user or password"},
		{"web interface", tenant.Options{URL: "https://abc.apps.dynatrace.com", Token: good}, "https://abc.live.dynatrace.com"},
		{"other path", tenant.Options{URL: "https://env.example.com/x", Token: good}, "/e/ID"},
		{"no token", tenant.Options{URL: "https://env.example.com"}, "token"},
		{"proxy with password", tenant.Options{URL: "https://env.example.com", Token: good, Proxy: "http://me:hunter2@proxy:3128"}, "HTTPS_PROXY"},
		{"clear text to a proxy", tenant.Options{URL: "http://127.0.0.1", Token: good, Proxy: "http://proxy:3128"}, "clear text"},
		{"no authority", tenant.Options{URL: "https://env.example.com", Token: good, CAFile: "/nowhere.pem"}, "CA file"},
	}
	for _, tt := range tests {
		_, err := tenant.New(tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), ": : ") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestTLS(t *testing.T) {
	s := start(t, tenanttest.Options{TLS: true})
	add(t, s, "custom:a", "1.0.0")
	if _, err := client(t, s.URL, fullToken, new(waits)).Extensions(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "--ca-file") {
		t.Errorf("unknown authority: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, s.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := tenant.New(tenant.Options{URL: s.URL + "/api/v2/extensions", Token: probes.NewSecret(fullToken), CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if all, err := c.Extensions(t.Context(), ""); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// Where a proxy is named nothing goes past it.
func TestProxy(t *testing.T) {
	s := start(t, tenanttest.Options{TLS: true})
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		if r.Header.Get("Authorization") != "" {
			t.Error("the proxy was shown the token")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	c, err := tenant.New(tenant.Options{URL: s.URL, Token: probes.NewSecret(fullToken), Proxy: proxy.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Extensions(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Error(err)
	}
	if want := []string{"CONNECT " + strings.TrimPrefix(s.URL, "https://")}; !slices.Equal(asked, want) || len(s.Requests()) > 0 {
		t.Errorf("the proxy was asked %v, the environment %v", asked, s.Requests())
	}
}

func TestNextVersion(t *testing.T) {
	tests := []struct {
		version string
		taken   []string
		want    string
	}{
		{"1.0.0", nil, "1.0.1"},
		{"1.0.0", []string{"1.0.0"}, "1.0.1"},
		{"1.9.0", []string{"1.9.0", "1.10.0", "1.2.99"}, "1.10.1"},
		{"2.0.0", []string{"1.0.0"}, "2.0.1"},
		{"1.0", []string{"1.0"}, "1.0.1"},
		{"1.0.1", []string{"1.0.1-beta", "1.0.1"}, "1.0.2"},
	}
	for _, tt := range tests {
		if got := tenant.NextVersion(tt.version, tt.taken); got != tt.want || slices.Contains(tt.taken, got) {
			t.Errorf("after %s with %v: %s, want %s", tt.version, tt.taken, got, tt.want)
		}
	}
	ordered := []string{"0.9.9", "1.0.0-alpha", "1.0.0-beta", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "10.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := tenant.CompareVersions(a, b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s to %s: %d", a, b, got)
			}
		}
	}
}
