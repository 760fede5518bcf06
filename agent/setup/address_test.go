package setup

import (
	"strings"
	"testing"

	"github.com/edgehold/edgehold/agent/config"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ text, kind, url string }{ // url: of an error "!" and its words
		{"https://abc12345.live.dynatrace.com", Dynatrace, "https://abc12345.live.dynatrace.com"},
		{" abc12345.live.dynatrace.com/ ", Dynatrace, "https://abc12345.live.dynatrace.com"},
		{"https://abc12345.apps.dynatrace.com/ui/apps/dynatrace.hub#x", Dynatrace, "https://abc12345.live.dynatrace.com"},
		{"https://ABC12345.live.dynatrace.com/#dashboards;gf=all", Dynatrace, "https://abc12345.live.dynatrace.com"},
		{"https://abc12345.live.dynatrace.com/api/v2/metrics/ingest", Dynatrace, "https://abc12345.live.dynatrace.com"},
		{"https://managed.example.com/e/1-2/ui/x?y=1", Dynatrace, "https://managed.example.com/e/1-2"},
		{"https://ag.example.com:9999/e/abc12345/api/v2", Dynatrace, "https://ag.example.com:9999/e/abc12345"},
		{"https://ag.example.com:9999", "", "!needs to know the environment"},
		{"https://managed.example.com/portal", "", "!unknown path"},
		{"http://abc12345.live.dynatrace.com", "", "!clear text"},
		{"http://127.0.0.1:8080", Dynatrace, "http://127.0.0.1:8080"},
		{"https://user:s3cret@abc12345.live.dynatrace.com", "", "!user or password"},
		{"https://abc12345.live.dynatrace.com/api/v2/otlp", OTLP, "https://abc12345.live.dynatrace.com/api/v2/otlp"},
		{"collector.example.com/v1/metrics", OTLP, "https://collector.example.com"},
		{"mqtts://hub.example.com", MQTT, "mqtts://hub.example.com:8883"},
		{"MQTTS://hub.example.com", MQTT, "mqtts://hub.example.com:8883"},
		{"mqtt://hub.example.com", "", "!clear text"},
		{"wss://hub.example.com/mqtt", MQTT, "wss://hub.example.com:443/mqtt"},
		{"ftp://hub.example.com", "", "!unknown scheme"},
		{"", "", "!not an address"},
		{"https://", "", "!not an address"},
		{"a b", "", "!not a"},
	} {
		a, err := ParseAddress(c.text)
		words, wrong := strings.CutPrefix(c.url, "!")
		switch {
		case wrong && (err == nil || !strings.Contains(err.Error(), words)):
			t.Errorf("%q: %+v, %v, want an error with %q", c.text, a, err, words)
		case !wrong && (err != nil || a.URL != c.url || a.Kind != c.kind):
			t.Errorf("%q: %+v, %v, want %s %s", c.text, a, err, c.kind, c.url)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%q: the error shows a password: %v", c.text, err)
		}
	}
	if a, err := ParseReceiver("http://127.0.0.1:4318"); err != nil || a != (Address{Kind: OTLP, URL: "http://127.0.0.1:4318"}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// FuzzParseAddress: what is taken is what the configuration takes, and is
// taken again unchanged.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"abc12345.apps.dynatrace.com", "https://h/e/1/x", "mqtts://h", "https://h/otlp", "http://[::1]:1/e/a", "https://h/%2e/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.URL)
		if a.Kind == OTLP {
			again, err = ParseReceiver(a.URL)
		}
		if err != nil || again.URL != a.URL || again.Kind != a.Kind || again.Changed != "" {
			t.Errorf("%q is %+v, and that is %+v (%v)", text, a, again, err)
		}
		check := map[string]func(string) (string, error){
			Dynatrace: config.EnvironmentURL, MQTT: config.BrokerURL,
			OTLP: func(text string) (string, error) { return config.ReceiverURL(text, false) },
		}[a.Kind]
		if url, err := check(a.URL); err != nil || url != a.URL {
			t.Errorf("%q is %+v, and the configuration makes %q of it (%v)", text, a, url, err)
		}
	})
}
