package config

import (
	"slices"
	"testing"
	"time"
)

const dynatrace = "dynatrace: {url: https://h.example, token_file: t}"

func TestBudget(t *testing.T) {
	for text, want := range map[string]Budget{
		"":                                     {},
		"profile: default":                     {},
		"profile: lte":                         {Share: 0.5, Daily: 50e6, Monthly: 1e9},
		"profile: lte, budget: {daily: 100MB}": {Share: 0.5, Daily: 100e6, Monthly: 1e9},
		"budget: {share: 25%, rate: 64kbit/s, monthly: 2GB}":    {Share: 0.25, Rate: 8000, Monthly: 2e9},
		"budget: {rate: 1.5 kB/s}":                              {Rate: 1500},
		"profile: lte, budget: {share: 100%, rate: 2.4 Mbit/s}": {Share: 1, Rate: 300_000, Daily: 50e6, Monthly: 1e9},
	} {
		folder(t, map[string]string{"edgehold.yaml": site + "uplink: {" + dynatrace + ", " + text + "}\n"})
		if cfg, _ := mustLoad(t, "edgehold.yaml"); cfg.Uplink.Budget != want {
			t.Errorf("%s: got %+v, want %+v", text, cfg.Uplink.Budget, want)
		}
	}
	const at = "edgehold.yaml:2:"
	for text, want := range map[string]string{
		"profile: umts":           at + `71: uplink.profile: found the text "umts", expected one of default, lte`,
		"budget: {share: 50}":     at + `78: uplink.budget.share: "50" is not a share, expected 1% to 100%`,
		"budget: {share: 0.5%}":   at + `78: uplink.budget.share: "0.5%" is not a share, expected 1% to 100%`,
		"budget: {rate: 64kbps}":  at + `77: uplink.budget.rate: "64kbps" is not a rate, expected a number and a unit such as 64kbit/s or 8kB/s`,
		"budget: {rate: 1bit/s}":  at + `77: uplink.budget.rate: "1bit/s" is not a rate, expected a number and a unit such as 64kbit/s or 8kB/s`,
		"budget: {daily: 1kB}":    at + `78: uplink.budget.daily: found 1000B, expected 1MiB or more`,
		"budget: {weekly: 100MB}": at + `71: uplink.budget.weekly: unknown key, expected one of share, rate, daily, monthly`,
	} {
		folder(t, map[string]string{"edgehold.yaml": site + "uplink: {" + dynatrace + ", " + text + "}\n"})
		if got := errorsOf(t, "edgehold.yaml").Error(); got != want {
			t.Errorf("%s: got  %s\nwant %s", text, got, want)
		}
	}
}

func TestOTLP(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"url: http://collector.lan:4318":                                                     {URL: "http://collector.lan:4318", TokenScheme: "Bearer"},
		"url: 'http://127.0.0.1:4318/v1/metrics', token_env: T":                              {URL: "http://127.0.0.1:4318", TokenEnv: "T", TokenScheme: "Bearer"},
		"url: https://H.example/api/v2/otlp/, token_credential: t, token_scheme: Api-Token":  {URL: "https://h.example/api/v2/otlp", TokenCredential: "t", TokenScheme: "Api-Token"},
		"url: https://h.example/otlp/v1, resolution: full, compression: none, proxy: http:p": {},
	} {
		folder(t, map[string]string{"edgehold.yaml": site + "uplink: {otlp: {" + text + "}}\n"})
		if want.URL == "" {
			if got := errorsOf(t, "edgehold.yaml"); len(got) != 1 || got[0].Path != "uplink.otlp.proxy" {
				t.Errorf("%s: %v", text, got)
			}
			continue
		}
		want.Resolution, want.Compression = "1m", "gzip"
		if cfg, _ := mustLoad(t, "edgehold.yaml"); cfg.Uplink.Endpoint != want || cfg.Uplink.Kind != "otlp" {
			t.Errorf("%s: got %+v, want %+v", text, cfg.Uplink, want)
		}
	}
	const at = "edgehold.yaml:2:"
	for text, want := range map[string]string{
		dynatrace + ", otlp: {url: https://h.example}": at + "68: uplink.otlp: dynatrace and otlp are given, expected one of them",
		"otlp: {url: http://h.example, token_file: t}": at + "22: uplink.otlp.url: http would send the token in clear text, expected https; write https://HOST, or name no token; with one, http is for this machine only (127.0.0.1, ::1, localhost)",
		"otlp: {}": at + "16: uplink.otlp.url: missing; write e.g. url: https://abc12345.live.dynatrace.com/api/v2/otlp",
		"otlp: {url: https://h.example, resolution: 5m}":              at + `53: uplink.otlp.resolution: found the text "5m", expected one of 1m, full; did you mean "1m"?`,
		"otlp: {url: https://h.example, token_scheme: Basic}":         at + "55: uplink.otlp.token_scheme: found a text, expected one of Bearer, Api-Token",
		"otlp: {url: https://h.example, compression: zip}":            at + `54: uplink.otlp.compression: found the text "zip", expected one of gzip, none; did you mean "gzip"?`,
		"otlp: {url: grpc://h.example}":                               at + "22: uplink.otlp.url: an unknown scheme, expected https://",
		"otlp: {url: https://h.example, token_file: a, token_env: B}": at + "67: uplink.otlp.token_env: token_file and token_env are given, expected one of them",
	} {
		folder(t, map[string]string{"edgehold.yaml": site + "uplink: {" + text + "}\n"})
		if got := errorsOf(t, "edgehold.yaml").Error(); got != want {
			t.Errorf("%s: got  %s\nwant %s", text, got, want)
		}
	}
}

func TestClockAndLate(t *testing.T) {
	folder(t, map[string]string{"edgehold.yaml": site + target + "clock: {ntp: [ntp.example.com, '192.0.2.1:123', '[2001:db8::1]:123', 2001:db8::1]}\nbuffer: {late: logs, late_resolution: 1h}\n"})
	cfg, _ := mustLoad(t, "edgehold.yaml")
	if !slices.Equal(cfg.Clock.NTP, []string{"ntp.example.com", "192.0.2.1:123", "[2001:db8::1]:123", "2001:db8::1"}) {
		t.Errorf("ntp %q", cfg.Clock.NTP)
	}
	if cfg.Buffer.Late != "logs" || cfg.Buffer.LateResolution.Std() != time.Hour {
		t.Errorf("buffer %+v", cfg.Buffer)
	}
	folder(t, map[string]string{"edgehold.yaml": site + target + "clock: {ntp: [ok, 'http://x', 'ok:65535', 'ok:65536', 'ok:0']}\n"})
	var paths []string
	for _, e := range errorsOf(t, "edgehold.yaml") {
		paths = append(paths, e.Path)
	}
	if !slices.Equal(paths, []string{"clock.ntp[1]", "clock.ntp[3]", "clock.ntp[4]"}) {
		t.Errorf("errors at %v", paths)
	}
}
