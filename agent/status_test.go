package agent

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes"
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

func TestStateWords(t *testing.T) {
	for _, tt := range []struct {
		last result
		want string
	}{
		{result{Status: probes.StatusPending}, "pending"},
		{result{Status: probes.StatusOK}, "ok"},
		{result{Status: probes.StatusWarning}, "partial"},
		{result{Status: probes.StatusDeviceConnectionError, Fails: 1}, "silent"},
		{result{Status: probes.StatusDeviceConnectionError, Fails: 2}, "backing off"},
		{result{Status: probes.StatusAuthenticationError}, "denied"},
		{result{Status: probes.StatusInvalidConfigError}, "error"},
	} {
		if got := stateWord(tt.last); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.last, got, tt.want)
		}
	}
}

// measuredProbe has counted something.
type measuredProbe struct{ fakeProbe }

func (*measuredProbe) PollStats() probes.PollStats { return probes.PollStats{Rows: 24} }
func (*measuredProbe) Description() string         { return "edgehold.cisco 1.0.0" }

func TestDeviceStatusIsComplete(t *testing.T) {
	stats := probes.PollStats{
		Requests: 1, Retries: 2, Timeouts: 3, Varbinds: 4, Strays: 5, Malformed: 6, Reports: 7, Rows: 8,
		Partial: []string{"table 1.2: oids do not increase"},
		Tables:  []probes.TableStats{{OID: "1.2", Rows: 8, Requests: 1, Took: 1500 * time.Microsecond}},
	}
	got := deviceStatus(taskState{
		Task: probes.Task{Label: "sw1", Probe: &measuredProbe{}},
		Last: result{Status: probes.StatusWarning, Late: 1500 * time.Millisecond, Overran: time.Minute, Skipped: 9, Fails: 10, Stats: stats},
	})
	want := control.Device{
		Label: "sw1", Profile: "edgehold.cisco 1.0.0", State: "partial", Status: "WARNING", LateS: 1.5, OverranS: 60, Skipped: 9, Failures: 10,
		Requests: 1, Retries: 2, Timeouts: 3, Varbinds: 4, Strays: 5, Malformed: 6, Reports: 7, Rows: 8,
		Partial: stats.Partial, Tables: []control.Table{{OID: "1.2", Rows: 8, Requests: 1, DurationMS: 1.5}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestPointsAboutADevice polls the teller as the agent does once a minute.
func TestPointsAboutADevice(t *testing.T) {
	state := taskState{
		Task: probes.Task{Label: "sw1", Device: "192.0.2.1", Interval: 5 * time.Minute, Probe: &measuredProbe{}},
		Last: result{Polls: 1, Status: probes.StatusOK, Stats: probes.PollStats{Rows: 24}, Sum: totals{Requests: 5}},
	}
	var teller deviceTeller
	constants := []probes.Dimension{{Key: "site", Value: "plant-7"}}
	round := func() map[string]float64 {
		var out selfPoints
		teller.begin(&constants)
		teller.tell(&out, state)
		teller.forget()
		got := map[string]float64{}
		for _, p := range out.list {
			got[p.Series.Key()] = p.Value.Float64()
			if s := p.Series; s.Dim("site") != "plant-7" || s.Dim("endpoint") != "sw1" || s.Dim("status") != "" {
				t.Errorf("%s has %v", s.Key(), s.Dims())
			}
		}
		return got
	}
	for _, tt := range []struct {
		name string
		last result
		want map[string]float64
	}{
		{"first", state.Last, map[string]float64{"up": 1, "duration": 0, "rows": 24, "requests": 5}},
		{"nothing new", state.Last, map[string]float64{"up": 1}},
		{
			"gone",
			result{Polls: 2, Status: probes.StatusDeviceConnectionError, Duration: 4 * time.Second, Sum: totals{Requests: 7, Retries: 1, Timeouts: 2}},
			map[string]float64{"up": 0, "duration": 4, "rows": 0, "requests": 2, "retries": 1, "timeouts": 2},
		},
		{
			"after a reload",
			result{Polls: 1, Status: probes.StatusOK, Sum: totals{Strays: 3}},
			map[string]float64{"up": 1, "duration": 0, "rows": 0, "requests": 0, "strays": 3},
		},
	} {
		state.Last = tt.last
		want := map[string]float64{}
		for key, v := range tt.want {
			want["edgehold.snmp."+key] = v
		}
		if got := round(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
	teller.begin(&constants)
	teller.forget()
	if len(teller.known) != 0 {
		t.Error("a task that is gone is remembered")
	}
}

func TestGarbageIsBounded(t *testing.T) {
	for _, c := range []struct {
		percent int
		share   float64
		live    uint64
		want    int
	}{
		{50, gcShare, 2_000_000, 50},
		{50, 2 * gcShare, 2_000_000, 100},
		{50, 100 * gcShare, 2_000_000, 100}, // no more than twice at once, and never above 100
		{50, gcShare / 2, 2_000_000, 25},
		{50, 0, 2_000_000, 25},
		{25, 0, 2_000_000, 20},
		{50, 2 * gcShare, 20_000_000, 50},
		{50, 2 * gcShare, 40_000_000, 25},
		{50, 2 * gcShare, 1 << 62, 20},
		{20, 2 * gcShare, 0, 40},
	} {
		if got := gcPercent(c.percent, c.share, c.live); got != c.want {
			t.Errorf("%d %%, a share of %v, %d bytes in use: %d %%, want %d", c.percent, c.share, c.live, got, c.want)
		}
	}
}

// TestDevicesAgreeWithTheirConfiguration holds the list of devices against the
// status of their configuration.
func TestDevicesAgreeWithTheirConfiguration(t *testing.T) {
	at := time.Unix(1e9, 0)
	ok := result{Polls: 1, Status: probes.StatusOK, At: at, LastOK: at}
	empty := result{Polls: 9, Status: probes.StatusOK, At: at, LastOK: at.Add(-time.Hour), Empty: emptyPolls}
	first := result{Polls: 1, Status: probes.StatusOK, At: at, Empty: 1}
	gone := result{Polls: 5, Status: probes.StatusDeviceConnectionError, Message: "no answer", At: at, Fails: 3}
	back := result{Polls: 5, Status: probes.StatusOK, At: at.Add(time.Minute), LastOK: at.Add(time.Minute)}
	half := result{Polls: 5, Status: probes.StatusWarning, Message: "half read", At: at, LastOK: at}
	for _, tt := range []struct {
		name  string
		tasks []result
		want  []string // state, status and message of each line
	}{
		{"well", []result{ok, ok}, []string{"ok OK ", "ok OK "}},
		{"answers with nothing", []result{empty}, []string{"partial WARNING " + textEmpty}},
		{"answers with nothing yet", []result{first}, []string{"pending PENDING " + textFirst}},
		{"one of two gives nothing", []result{empty, ok}, []string{"ok OK ", "ok OK "}},
		{"has come back", []result{gone, back}, []string{"pending PENDING " + textSince + "no answer", "ok OK "}},
		{"is gone", []result{back, {Polls: 9, Status: probes.StatusDeviceConnectionError, Message: "no answer", At: at.Add(time.Hour), Fails: 2}}, []string{"ok OK ", "backing off DEVICE_CONNECTION_ERROR no answer"}},
		{"half of it", []result{ok, half}, []string{"ok OK ", "partial WARNING half read"}},
	} {
		var tasks []taskState
		for i, r := range tt.tasks {
			tasks = append(tasks, taskOf("sw1", fmt.Sprint(i), r))
		}
		endpoints := endpointsOf(tasks)
		var got []string
		for _, d := range deviceStatuses(tasks, endpoints) {
			got = append(got, d.State+" "+d.Status+" "+d.Message)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		c := configurationStatus(entryState{Name: "c", Tasks: make([]probes.Task, len(tasks))}, endpoints["c"])
		unwell := slices.ContainsFunc(got, func(line string) bool { return !strings.HasPrefix(line, "ok ") && !strings.HasPrefix(line, "pending ") })
		if unwell != (c.Warning+c.Error > 0) {
			t.Errorf("%s: the configuration is %s, the devices are %q", tt.name, c.Status, got)
		}
	}
}
