package config

import (
	"os"
	"strings"
	"testing"
)

func TestNormalURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://abc12345.live.dynatrace.com":                       "https://abc12345.live.dynatrace.com",
		"https://abc12345.live.dynatrace.com/":                      "https://abc12345.live.dynatrace.com",
		"https://ABC12345.live.dynatrace.com/api/v2/":               "https://abc12345.live.dynatrace.com",
		"https://abc12345.live.dynatrace.com/api/v2/metrics/ingest": "https://abc12345.live.dynatrace.com",
		"https://dt.example.com/e/1a2b-3c4d/":                       "https://dt.example.com/e/1a2b-3c4d",
		"https://10.0.0.5:9999/e/abc/api/v2/metrics/ingest":         "https://10.0.0.5:9999/e/abc",
		"https://[2001:db8::1]:9999/e/abc":                          "https://[2001:db8::1]:9999/e/abc",
		"http://127.0.0.1:8080":                                     "http://127.0.0.1:8080",
		"http://127.9.9.9/":                                         "http://127.9.9.9",
		"http://[::1]:80":                                           "http://[::1]:80",
		"HTTP://localhost:1":                                        "http://localhost:1",
		"https://edge-apps.example.com":                             "https://edge-apps.example.com",
		"https://ag.apps.cluster.example.com:443/e/abc":             "https://ag.apps.cluster.example.com:443/e/abc",
	} {
		if got, fault := normalURL(text); got != want || fault != (Error{}) {
			t.Errorf("%s: got %q and %+v, want %q", text, got, fault, want)
		}
	}
}

func TestRefusedURLs(t *testing.T) {
	const place = "edgehold.yaml:2:27: uplink.dynatrace.url: "
	for text, want := range map[string]string{
		"":                                        "no scheme, expected https://; write e.g. https://abc12345.live.dynatrace.com",
		"abc12345.live.dynatrace.com":             "no scheme, expected https://; write https://abc12345.live.dynatrace.com",
		"localhost:8080":                          "no scheme, expected https://; write https://localhost:8080",
		"u:hunter2@h.example":                     "no scheme, expected https://; write e.g. https://abc12345.live.dynatrace.com",
		"dt0c01.HUNTER2":                          "no scheme, expected https://; write e.g. https://abc12345.live.dynatrace.com",
		"https://":                                "not a URL, expected one such as https://abc12345.live.dynatrace.com",
		"https://h.example:hunter2":               "not a URL, expected one such as https://abc12345.live.dynatrace.com",
		"https://a b":                             "not a URL, expected one such as https://abc12345.live.dynatrace.com",
		"ftp://h.example":                         "an unknown scheme, expected https://",
		"http://10.0.0.1":                         "http would send the token in clear text, expected https; write https://HOST; http is for this machine only (127.0.0.1, ::1, localhost)",
		"http://127.0.0.1.example.com":            "http would send the token in clear text, expected https; write https://HOST; http is for this machine only (127.0.0.1, ::1, localhost)",
		"https://u:hunter2@h.example":             "holds a user or password; remove it; the agent signs in with its token",
		"https://h.example/?api-token=hunter2":    "holds a query or fragment; write nothing behind the host, or behind /e/ID",
		"https://h.example/#hunter2":              "holds a query or fragment; write nothing behind the host, or behind /e/ID",
		"https://abc12345.apps.dynatrace.com/ui/": "the address of the web interface, which takes no metrics; write https://abc12345.live.dynatrace.com",
		"https://h.example/ui/hunter2":            "an unknown path behind the host, expected https://HOST or https://HOST/e/ID",
		"https://h.example/e/":                    "an unknown path behind the host, expected https://HOST or https://HOST/e/ID",
		"https://h.example/e/a/b":                 "an unknown path behind the host, expected https://HOST or https://HOST/e/ID",
		"https://h.example/api/v1/x":              "an unknown path behind the host, expected https://HOST or https://HOST/e/ID",
	} {
		folder(t, map[string]string{"edgehold.yaml": site + "uplink: {dynatrace: {url: '" + text + "', token_file: t}}\n"})
		if got := errorsOf(t, "edgehold.yaml").Error(); got != place+want {
			t.Errorf("%q: got  %s\nwant %s", text, got, place+want)
		}
	}
}

func TestProxyAndCertificates(t *testing.T) {
	const head = "site: x\nuplink: {dynatrace: {url: https://h.example, token_file: t, "
	folder(t, map[string]string{"no.pem": "nothing of the kind\n"})
	for text, want := range map[string]string{
		"proxy: 'http://u:hunter2@p:1'": "proxy: holds a user or password, and a secret must not stand in the configuration; set HTTPS_PROXY in the environment of the agent instead, from a file that only root can read",
		"proxy: 'p:3128'":               "proxy: not the URL of a proxy, expected one such as http://proxy.example.com:3128",
		"proxy: 'http://p:1/path'":      "proxy: not the URL of a proxy, expected one such as http://proxy.example.com:3128",
		"proxy: 'http://:1'":            "proxy: not the URL of a proxy, expected one such as http://proxy.example.com:3128",
		"ca_file: none.pem":             "ca_file: cannot be read (no such file or directory), expected the path of a PEM file with certificates",
		"ca_file: no.pem":               "ca_file: holds no certificate, expected the path of a PEM file with certificates",
		"ca_file: .":                    "ca_file: cannot be read (is not a regular file), expected the path of a PEM file with certificates",
	} {
		write(t, "edgehold.yaml", head+text+"}}\n")
		got := errorsOf(t, "edgehold.yaml").Error()
		if _, after, _ := strings.Cut(got, ": uplink.dynatrace."); after != want {
			t.Errorf("%s: got  %s\nwant %s", text, got, want)
		}
	}
	for _, ok := range []string{"http://p", "https://p:8443/", "socks5://[::1]:1080"} {
		write(t, "edgehold.yaml", head+"proxy: '"+ok+"'}}\n")
		if cfg, _ := mustLoad(t, "edgehold.yaml"); cfg.Uplink.Proxy != ok {
			t.Errorf("proxy %q became %q", ok, cfg.Uplink.Proxy)
		}
	}
}

// testCA is a certificate that is good for nothing but being parsed.
func testCA(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
