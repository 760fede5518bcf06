package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/sign"
)

var (
	at0    = time.Unix(1e9, 0)
	okTask = result{Polls: 1, Status: probes.StatusOK, At: at0, LastOK: at0}
	dead   = result{Polls: 1, Status: probes.StatusDeviceConnectionError, Message: "no answer", At: at0}
)

// taskOf is a task of a device in the configuration c.
func taskOf(device, interval string, last result) taskState {
	return taskState{Task: probes.Task{ID: device + interval, Device: device, Label: device, Config: "c"}, Last: last}
}

func TestEndpointStatus(t *testing.T) {
	later := func(r result, by time.Duration) result { r.At = r.At.Add(by); return r }
	with := func(r result, change func(*result)) result { change(&r); return r }
	partial := with(okTask, func(r *result) { r.Status, r.Message = probes.StatusWarning, "half read" })
	empty := with(okTask, func(r *result) { r.Empty, r.Polls = emptyPolls, 9 })
	first := with(okTask, func(r *result) { r.Empty, r.LastOK = 1, time.Time{} })
	pending := result{Status: probes.StatusPending}
	for _, tt := range []struct {
		name  string
		tasks []result
		want  probes.Status
		text  string
	}{
		{"one", []result{okTask}, probes.StatusOK, ""},
		{"not asked yet", []result{pending}, probes.StatusPending, ""},
		{"asked in part", []result{pending, okTask}, probes.StatusOK, ""},
		{"the worst counts", []result{okTask, partial}, probes.StatusWarning, "half read"},
		{"gone", []result{dead, later(dead, time.Minute)}, probes.StatusDeviceConnectionError, "no answer"},
		{"has come back, and the slow task is not due yet", []result{dead, later(okTask, time.Minute)}, probes.StatusOK, ""},
		{"is gone, and the slow task is not due yet", []result{later(dead, time.Minute), okTask}, probes.StatusDeviceConnectionError, "no answer"},
		{"answers with counters only", []result{first, pending}, probes.StatusPending, textFirst},
		{"answers with nothing", []result{empty, pending}, probes.StatusWarning, textEmpty},
		{"one of its tables is empty", []result{empty, okTask}, probes.StatusOK, ""},
	} {
		var tasks []taskState
		for i, r := range tt.tasks {
			tasks = append(tasks, taskOf("d", fmt.Sprint(i), r))
		}
		got := endpointsOf(tasks)["c"]
		if len(got) != 1 || got[0].Status != tt.want || got[0].Message != tt.text {
			t.Errorf("%s: %+v, want %s %q", tt.name, got, tt.want, tt.text)
		}
	}
}

func TestConfigurationStatus(t *testing.T) {
	runs := entryState{Name: "c", Tasks: make([]probes.Task, 1)}
	bad := entryState{Name: "c", Err: probes.WithStatus(probes.StatusInvalidConfigError, errors.New("x.yaml:1:1: bad"))}
	for _, tt := range []struct {
		name  string
		entry entryState
		tasks []taskState
		want  string
	}{
		{"all are well", runs, []taskState{taskOf("a", "", okTask), taskOf("a", "5m", okTask), taskOf("b", "", okTask)}, "OK: Endpoints OK: 2 WARNING: 0 ERROR: 0"},
		{"some fail", runs, []taskState{taskOf("a", "", okTask), taskOf("b", "", dead), taskOf("b", "5m", dead)}, "WARNING: Endpoints OK: 1 WARNING: 0 ERROR: 1 Unhealthy endpoints: b"},
		{"all fail", runs, []taskState{taskOf("a", "", dead), taskOf("b", "", dead)}, "GENERIC_ERROR: Endpoints OK: 0 WARNING: 0 ERROR: 2 Unhealthy endpoints: a, b"},
		{"nothing is known", runs, []taskState{taskOf("a", "", result{Status: probes.StatusPending})}, "PENDING: Endpoints OK: 0 WARNING: 0 ERROR: 0"},
		{"nothing is chosen", entryState{Name: "c"}, nil, "WARNING: " + textNothing},
		{"switched off", entryState{Name: "c", Idle: true}, nil, "IDLE: it is switched off (enabled: false)"},
		{"cannot run", bad, nil, "INVALID_CONFIG_ERROR: x.yaml:1:1: bad"},
	} {
		c := configurationStatus(tt.entry, endpointsOf(tt.tasks)["c"])
		if got := c.Status + ": " + c.Message; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if len(c.Unhealthy) != c.Warning+c.Error {
			t.Errorf("%s: %+v", tt.name, c.Unhealthy)
		}
	}
}

// tellerRig makes rounds of the teller a minute apart.
type tellerRig struct {
	teller statusTeller
	entry  entryState
	clock  probes.Stamp
}

func (r *tellerRig) round(tasks ...taskState) (records, events []string, points int) {
	out := selfPoints{stamp: r.clock}
	r.clock.Uptime += time.Minute
	b := r.teller.tell(&out, []entryState{r.entry}, tasks, nil)
	for _, x := range b.Records {
		records = append(records, x.Severity+" "+x.Content)
	}
	for _, x := range b.Events {
		events = append(events, x.Type+" "+x.Title)
	}
	return records, events, len(out.list)
}

func TestWhatIsToldOfEndpoints(t *testing.T) {
	r := &tellerRig{entry: entryState{
		Name: "c", Tasks: make([]probes.Task, 2), Sources: []string{"snmp"}, Identity: "site", Site: "plant-7",
		Judged: &judged{Name: "custom:rack", Version: "1.2.3"},
	}}
	well, gone := []taskState{taskOf("a", "", okTask), taskOf("b", "", okTask)}, []taskState{taskOf("a", "", okTask), taskOf("b", "", dead)}
	denied := []taskState{taskOf("a", "", okTask), taskOf("b", "", result{Polls: 1, Status: probes.StatusAuthenticationError, At: at0})}
	var records, events []string
	points := 0
	go1 := func(n int, tasks []taskState) {
		for range n {
			some, more, p := r.round(tasks...)
			records, events, points = append(records, some...), append(events, more...), points+p
		}
	}
	go1(10, well)
	if points != 4 || len(records)+len(events) != 0 {
		t.Errorf("in 10 minutes of two that are well: %d points, want 4; %q %q", points, records, events)
	}
	go1(1, gone)
	go1(1, well) // a lost datagram
	go1(250, gone)
	go1(3, denied)
	go1(2, []taskState{taskOf("a", "", okTask), taskOf("b", "", result{Status: probes.StatusPending})}) // a reload
	go1(3, well)
	want := []string{
		"ERROR b: [NEW] - DEVICE_CONNECTION_ERROR no answer", "INFO b: [RECOVERED] - OK",
		"ERROR b: [NEW] - DEVICE_CONNECTION_ERROR no answer", "ERROR b: [ONGOING] - DEVICE_CONNECTION_ERROR no answer", "ERROR b: [ONGOING] - DEVICE_CONNECTION_ERROR no answer",
		"ERROR b: [NEW] - AUTHENTICATION_ERROR", "INFO b: [RECOVERED] - OK",
	}
	if !slices.Equal(records, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(records, "\n"), strings.Join(want, "\n"))
	}
	if want := []string{"CUSTOM_INFO Configuration c: WARNING", "CUSTOM_INFO Configuration c: OK"}; !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	out := selfPoints{stamp: r.clock}
	b := r.teller.tell(&out, []entryState{r.entry}, gone, nil)
	attributes := map[string]string{}
	for _, d := range b.Records[0].Attributes {
		attributes[d.Key] = d.Value
	}
	for key, want := range map[string]string{
		"dt.extension.name": "custom:rack", "dt.extension.version": "1.2.3", "dt.extension.config.id": "c",
		"dt.extension.ds": "snmp", "dt.extension.status": "DEVICE_CONNECTION_ERROR", "device.address": "plant-7/b",
	} {
		if attributes[key] != want {
			t.Errorf("%s is %q, want %q", key, attributes[key], want)
		}
	}
	s := out.list[1].Series
	if s.Key() != "edgehold.endpoint.status" || s.Dim("status") != "DEVICE_CONNECTION_ERROR" || s.Dim("device.address") != "plant-7/b" || s.Dim("extension") != "custom:rack" {
		t.Errorf("%s %v", s.Key(), s.Dims())
	}
	r.teller.tell(&out, nil, nil, nil)
	if len(r.teller.endpoints)+len(r.teller.configurations) != 0 {
		t.Error("what is gone is remembered")
	}
}

func TestWhatIsToldOfConfigurations(t *testing.T) {
	r := &tellerRig{entry: entryState{Name: "c", Tasks: make([]probes.Task, 1)}}
	var events []string
	rounds := func(n int, tasks ...taskState) {
		for range n {
			_, some, _ := r.round(tasks...)
			events = append(events, some...)
		}
	}
	rounds(3, taskOf("a", "", result{Status: probes.StatusPending}))
	rounds(3, taskOf("a", "", okTask))
	rounds(1, taskOf("a", "", dead)) // too short to be told
	rounds(1, taskOf("a", "", okTask))
	rounds(3, taskOf("a", "", dead))
	rounds(3, taskOf("a", "", okTask))
	r.entry.Tasks, r.entry.Err = nil, &sign.Refusal{Rule: sign.RuleUnsigned, Text: "unsigned"} // told with the trust
	r.entry.Judged = &judged{Name: "x"}
	rounds(3)
	r.entry.Tasks, r.entry.Err = make([]probes.Task, 1), nil
	rounds(3, taskOf("a", "", okTask))
	r.entry.Err = probes.WithStatus(probes.StatusInvalidConfigError, errors.New("bad"))
	rounds(3, taskOf("a", "", okTask))
	want := []string{"ERROR_EVENT Configuration c: GENERIC_ERROR", "CUSTOM_INFO Configuration c: OK", "ERROR_EVENT Configuration c: INVALID_CONFIG_ERROR"}
	if !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
}

// A site whose link is cut fails as a whole: it is told bit by bit.
func TestManyRecordsAreSpread(t *testing.T) {
	r := &tellerRig{entry: entryState{Name: "c", Tasks: make([]probes.Task, 1)}}
	var tasks []taskState
	for i := range 500 {
		tasks = append(tasks, taskOf(fmt.Sprint("d", i), "", dead))
	}
	var counts []int
	for range 4 {
		records, _, _ := r.round(tasks...)
		counts = append(counts, len(records))
	}
	if want := []int{200, 200, 100, 0}; !slices.Equal(counts, want) {
		t.Errorf("%v records, want %v", counts, want)
	}
}

// A round is made once a minute.
func BenchmarkTeller(b *testing.B) {
	r := &tellerRig{entry: entryState{Name: "c", Tasks: make([]probes.Task, 1)}}
	var tasks []taskState
	for i := range 1000 {
		tasks = append(tasks, taskOf(fmt.Sprint("d", i), "", okTask))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.round(tasks...)
	}
}
