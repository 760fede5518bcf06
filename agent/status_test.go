package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
)

func TestAlarmOfAnUnknownTime(t *testing.T) {
	now := time.Date(1970, 1, 1, 1, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		state string
		since time.Duration
		want  []string
	}{
		{"just booted", "clock", clockPatience - time.Second, []string{}},
		{"for long", "clock", clockPatience, []string{"uplink: no one tells"}},
		{"known, and the link is down", "backoff", time.Hour, []string{}},
		{"a person is needed", "hold", 0, []string{"uplink: no one tells"}},
	} {
		got := alarms(control.Status{
			Clock:  control.Clock{Time: now},
			Uplink: control.Uplink{State: tt.state, Since: now.Add(-tt.since), LastError: "no one tells"},
		})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: alarms %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAlarmOfOneCargo(t *testing.T) {
	logs := control.Cargo{Cargo: "logs", State: "hold", LastError: "no scope"}
	for _, tt := range []struct {
		name   string
		uplink control.Uplink
		want   []string
	}{
		{"alone", control.Uplink{State: "idle", LastError: "no scope", Cargos: []control.Cargo{{Cargo: "metrics", State: "idle"}, logs}}, []string{"uplink: logs: no scope"}},
		{"as the whole uplink", control.Uplink{State: "hold", LastError: "no scope", Cargos: []control.Cargo{logs}}, []string{"uplink: no scope"}},
		{"beside another", control.Uplink{State: "hold", LastError: "no token", Cargos: []control.Cargo{logs}}, []string{"uplink: no token", "uplink: logs: no scope"}},
		{"one that may pass", control.Uplink{State: "idle", Cargos: []control.Cargo{{Cargo: "logs", State: "backoff", LastError: "cut"}}}, []string{}},
	} {
		if got := alarms(control.Status{Uplink: tt.uplink}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: alarms %q, want %q", tt.name, got, tt.want)
		}
	}
}
