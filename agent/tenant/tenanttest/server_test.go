package tenanttest

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

const manifest = "name: custom:site.switch\nversion: 1.0.0\nsnmp:\n  - group: g\n"

// Requests that the documentation does not know are refused and counted: a
// client that makes one fails its test.
func TestRefusesWhatIsNotDocumented(t *testing.T) {
	s := Start(Options{Prefix: "/e/abc", Tokens: map[string][]string{
		"all": {ScopeRead, ScopeWrite, ScopeConfigurations}, "reader": {ScopeRead},
	}})
	t.Cleanup(s.Close)
	if err := s.Add(Bundle(manifest)); err != nil {
		t.Fatal(err)
	}
	const root = "/e/abc/api/v2/extensions"
	const one = root + "/custom:site.switch"
	header := func(pairs ...string) http.Header {
		h := http.Header{"Authorization": {"Api-Token all"}}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = []string{pairs[i+1]}
		}
		return h
	}
	binary := header("Content-Type", "application/octet-stream")
	tests := []struct {
		name, method, path string
		header             http.Header
		body               string
		status             int
		documented         bool
	}{
		{"list", "GET", root + "?pageSize=100&name=site", header(), "", 200, true},
		{"list with Accept", "GET", root, header("Accept", "application/json; charset=utf-8"), "", 200, true},
		{"unknown version", "GET", one + "/9.9.9", header(), "", 404, true},
		{"unknown token", "GET", root, http.Header{"Authorization": {"Api-Token other"}}, "", 401, true},
		{"missing scope", "GET", one + "/monitoringConfigurations", http.Header{"Authorization": {"Api-Token reader"}}, "", 403, true},
		{"sound package", "POST", root + "?validateOnly=true", binary, string(Bundle(strings.Replace(manifest, "1.0.0", "1.0.1", 1))), 200, true},
		{"bad package", "POST", root, binary, "PK", 400, true},
		{"activation", "PUT", one + "/environmentConfiguration", header("Content-Type", "application/json"), `{"version":"1.0.0"}`, 200, true},

		{"no prefix", "GET", "/api/v2/extensions", header(), "", 404, false},
		{"slash at the end", "GET", root + "/", header(), "", 404, false},
		{"other path", "GET", root + "s", header(), "", 404, false},
		{"other method", "DELETE", root, header(), "", 405, false},
		{"no token", "GET", root, http.Header{}, "", 401, false},
		{"other scheme", "GET", root, http.Header{"Authorization": {"Bearer all"}}, "", 401, false},
		{"page too large", "GET", root + "?pageSize=101", header(), "", 400, false},
		{"unknown parameter", "GET", root + "?page=2", header(), "", 400, false},
		{"parameter twice", "GET", root + "?name=a&name=b", header(), "", 400, false},
		{"name with versions", "GET", one + "?name=a", header(), "", 400, false},
		{"next page with size", "GET", root + "?nextPageKey=QQ%3D%3D&pageSize=1", header(), "", 400, false},
		{"invented page", "GET", root + "?nextPageKey=QQ%3D%3D", header(), "", 400, false},
		{"package as list", "GET", root, header("Accept", "application/octet-stream"), "", 406, false},
		{"body of GET", "GET", root, header("Content-Type", "application/json"), "{}", 400, false},
		{"package as form", "POST", root, header("Content-Type", "multipart/form-data; boundary=x"), "x", 415, false},
		{"validateOnly by number", "POST", root + "?validateOnly=1", binary, "PK", 400, false},
		{"activation of more", "PUT", one + "/environmentConfiguration", header("Content-Type", "application/json"), `{"version":"1.0.0","x":1}`, 400, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.Broken())
			req, err := http.NewRequest(tt.method, strings.TrimSuffix(s.URL, "/e/abc")+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = tt.header
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			said, _ := io.ReadAll(resp.Body)
			if documented := len(s.Broken()) == before; resp.StatusCode != tt.status || documented != tt.documented {
				t.Errorf("%d, documented %v; want %d, %v: %s", resp.StatusCode, documented, tt.status, tt.documented, said)
			}
		})
	}
}
