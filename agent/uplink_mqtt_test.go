package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
)

func TestRelayAlarms(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for name, tt := range map[string]struct {
		relay *control.Relay
		want  []string
	}{
		"another uplink":       {nil, nil},
		"well":                 {&control.Relay{Connected: true, CertExpires: now.Add(31 * day)}, nil},
		"no relay for a while": {&control.Relay{Connected: true, NoneSince: now.Add(-9 * time.Minute)}, nil},
		"no relay":             {&control.Relay{Connected: true, NoneSince: now.Add(-10 * time.Minute)}, []string{"no relay is online"}},
		"no broker":            {&control.Relay{Broker: "mqtts://hub:8883", NoneSince: now.Add(-time.Hour)}, []string{"the broker mqtts://hub:8883 cannot"}},
		"a month":              {&control.Relay{Connected: true, CertExpires: now.Add(30 * day)}, []string{"within a month"}},
		"a week":               {&control.Relay{Connected: true, CertExpires: now.Add(7 * day)}, []string{"within a week"}},
		"a day":                {&control.Relay{Connected: true, CertExpires: now.Add(time.Hour)}, []string{"within a day"}},
		"over":                 {&control.Relay{Connected: true, CertExpires: now}, []string{"has expired"}},
	} {
		got := relayAlarms(tt.relay, now)
		if len(got) != len(tt.want) || len(got) > 0 && !strings.Contains(got[0], tt.want[0]) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Only a start makes a courier of a drain.
func TestUplinkOfAnotherKindNeedsARestart(t *testing.T) {
	direct, over, otlp := config.Default(), config.Default(), config.Default()
	direct.Uplink.Kind, over.Uplink.Kind, otlp.Uplink.Kind = "dynatrace", "mqtt", "otlp"
	if keys := needsRestart(direct, over); !slices.Contains(keys, "uplink.mqtt, in place of uplink.dynatrace") {
		t.Errorf("%q", keys)
	}
	if keys := needsRestart(over, otlp); !slices.Contains(keys, "uplink.otlp, in place of uplink.mqtt") {
		t.Errorf("%q", keys)
	}
	if keys := needsRestart(direct, otlp); len(keys) != 0 {
		t.Errorf("%q", keys)
	}
}
