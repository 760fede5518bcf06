package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// build makes the entries of a configuration as `check` would.
func build(cfg *config.Config) []entryState {
	w := newWarden(cfg, wardenOptions{at: MachineMoment(time.Time{})})
	return builder{kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), deps: probes.Deps{Log: zerolog.Nop()}, warden: w}.Build(cfg)
}

func rackConfig(t *testing.T, allowUnsigned bool) *config.Config {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "rack.json"), strings.ReplaceAll(activationJSON("192.0.2.1:161", "SNMPv2c", "c"), "%VERSION%", "1.2.3"))
	cfg := config.Default()
	cfg.Trust.AllowUnsigned = allowUnsigned
	cfg.Extensions = []config.Extension{{Package: "testdata/rack", Configuration: file, Where: "test.yaml:1:1"}}
	return cfg
}

func TestPackagesRunOnlyWhenTheOwnerAllowsIt(t *testing.T) {
	refused := build(rackConfig(t, false))
	if len(refused) != 1 || refused[0].Err == nil || len(refused[0].Tasks) != 0 || !strings.Contains(refused[0].Err.Error(), "allow_unsigned") {
		t.Errorf("an unsigned package was not refused with its mend: %+v", refused)
	}
	allowed := build(rackConfig(t, true))
	if len(allowed) != 1 || allowed[0].Err != nil || len(allowed[0].Tasks) != 2 || allowed[0].Unsigned == "" {
		t.Errorf("an allowed package does not run as unsigned: %+v", allowed)
	}
}

func TestABadEntryDoesNotStopTheOthers(t *testing.T) {
	cfg := rackConfig(t, true)
	python := filepath.Join(t.TempDir(), "python")
	write(t, filepath.Join(python, "extension.yaml"), "name: custom:py\nversion: 1.0.0\nminDynatraceVersion: \"1.300\"\nauthor: {name: a}\npython:\n  runtime: {module: m, version: {min: \"3.10\"}}\n")
	cfg.Extensions = append([]config.Extension{
		{Package: python, Configuration: cfg.Extensions[0].Configuration, Where: "test.yaml:2:1"},
		{Package: "testdata/missing", Configuration: cfg.Extensions[0].Configuration, Where: "test.yaml:3:1"},
		{Package: "testdata/rack", Configuration: "testdata/missing.json", Where: "test.yaml:4:1"},
	}, cfg.Extensions...)
	states := build(cfg)
	if len(states) != 4 {
		t.Fatalf("%d entries, want 4", len(states))
	}
	for i, want := range []string{"cannot run here", "testdata/missing", "missing.json"} {
		if err := states[i].Err; err == nil || !strings.Contains(err.Error(), want) || probes.StatusOf(err) != probes.StatusInvalidConfigError {
			t.Errorf("entry %d: %v, want %q", i, err, want)
		}
	}
	if states[3].Err != nil || len(states[3].Tasks) == 0 {
		t.Errorf("the good entry does not run: %+v", states[3])
	}
}

func TestADeviceListedTwiceIsPolledOnce(t *testing.T) {
	cfg := config.Default()
	cfg.Credentials = map[string]probes.Credential{"c": {Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("c")}}
	for range 2 {
		cfg.Probes = append(cfg.Probes, config.Probe{Kind: "snmp", Where: "x", Options: &snmp.Options{
			Devices: []string{"192.0.2.1"}, Credentials: []string{"c"}, Profile: "auto", Interval: probes.Duration(time.Minute),
		}})
	}
	states := build(cfg)
	if len(states[0].Tasks) != 1 || len(states[1].Tasks) != 0 || len(states[1].Warnings) != 1 {
		t.Errorf("%+v", states)
	}
}

func TestTwoConfigurationsOfOneNameKeepTheirTasksApart(t *testing.T) {
	cfg := rackConfig(t, true)
	again := rackConfig(t, true)
	cfg.Extensions = append(cfg.Extensions, again.Extensions...)
	ids := map[string]bool{}
	for _, s := range build(cfg) {
		for _, task := range s.Tasks {
			if task.Config != s.Name {
				t.Errorf("task %s is of %q, want %q", task.ID, task.Config, s.Name)
			}
			ids[task.ID] = true
		}
	}
	if len(ids) != 4 {
		t.Errorf("tasks %v, want 4 different ones", ids)
	}
}

func TestKeepLastGood(t *testing.T) {
	bad := errors.New("bad")
	tasks := []probes.Task{{ID: "t"}}
	old := []entryState{{Key: "k", Name: "ext/a.json", Tasks: tasks}, {Key: "other", Name: "ext/b.json", Tasks: tasks}}
	for _, c := range []struct {
		name string
		now  []entryState
		want []string // names with tasks
		kept int
	}{
		{"manifest broken, so the name is another", []entryState{{Key: "k", Name: "a", Err: bad}}, []string{"ext/a.json"}, 1},
		{"devices broken in part", []entryState{{Key: "k", Name: "ext/a.json", Err: bad, Tasks: tasks}}, []string{"ext/a.json"}, 0},
		{"removed", nil, nil, 0},
		{"broken from the first", []entryState{{Key: "new", Name: "n", Err: bad}}, nil, 0},
		{"good", []entryState{{Key: "k", Name: "ext/a.json", Tasks: tasks}}, []string{"ext/a.json"}, 0},
	} {
		var names []string
		kept := 0
		for _, e := range keepLastGood(old, c.now, &warden{}) {
			if len(e.Tasks) > 0 {
				names = append(names, e.Name)
			}
			if e.Kept {
				kept++
				if e.Err == nil {
					t.Errorf("%s: kept without saying why", c.name)
				}
			}
		}
		if !slices.Equal(names, c.want) || kept != c.kept {
			t.Errorf("%s: %v run, %d kept; want %v, %d", c.name, names, kept, c.want, c.kept)
		}
	}
}

func TestLabelerAddsConstantsAndForgets(t *testing.T) {
	constants := []probes.Dimension{{Key: "site", Value: "plant-7"}}
	var l labeler
	one := probes.NewSeries("m", probes.Gauge, probes.Dimension{Key: "a", Value: "b"}, probes.Dimension{Key: "site", Value: "the package's own"})
	points := []probes.Point{{Series: one}}
	l.Apply(points, &constants)
	first := points[0].Series
	if first.Dim("site") != "plant-7" || first.Dim("a") != "b" {
		t.Fatalf("dims: %v", first.Dims())
	}
	points[0].Series = one
	l.Apply(points, &constants)
	if points[0].Series != first {
		t.Error("a steady series was made anew")
	}
	for range 3000 { // series that come once
		p := []probes.Point{{Series: probes.NewSeries("m", probes.Gauge)}}
		l.Apply(p, &constants)
	}
	if len(l.known) > 1100 {
		t.Errorf("%d series are remembered", len(l.known))
	}
	other := []probes.Dimension{{Key: "site", Value: "plant-8"}}
	points[0].Series = one
	l.Apply(points, &other)
	if points[0].Series.Dim("site") != "plant-8" {
		t.Error("new constants do not take effect")
	}
}

func TestSelfMonitoringGoesTheSameWay(t *testing.T) {
	store, err := buffer.Open(buffer.Options{
		Path: filepath.Join(t.TempDir(), "s.db"), MaxSize: 64 << 20, Window: time.Hour, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := store.Verify(); err != nil {
			t.Error(err)
		}
		_ = store.Close()
	}()
	clock, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	states := func() []taskState {
		return []taskState{
			{Task: probes.Task{Device: "192.0.2.1", Label: "192.0.2.1", Config: "c", Interval: time.Minute}, Last: result{Polls: 1, Status: probes.StatusWarning, Duration: time.Second, Gaps: 3}},
			{Task: probes.Task{Device: "192.0.2.1", Label: "192.0.2.1:1161", Config: "c", Interval: time.Minute}, Last: result{Polls: 1, Status: probes.StatusWarning, Duration: time.Second, Gaps: 3}},
			{Task: probes.Task{Device: "192.0.2.2", Config: "c", Interval: time.Minute}, Last: result{Status: probes.StatusPending}},
		}
	}
	entries := func() []entryState { return []entryState{{Name: "c", Tasks: make([]probes.Task, 3)}} }
	p := &selfProbe{clock: clock, store: store, states: states, floor: time.Now, entries: entries}
	task := newSelfTask(p)
	series := probes.NewSeries("m", probes.Gauge)
	if err := store.Append(t.Context(), []probes.Point{{Series: series, Value: probes.Int(1), Stamp: clock.Now()}}); err != nil {
		t.Fatal(err)
	}
	batch, err := task.Probe.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]probes.Point{}
	ids := map[[16]byte]bool{}
	for _, pt := range batch.Points {
		if ids[pt.Series.ID()] {
			t.Errorf("two points of %s at one stamp", pt.Series.Key())
		}
		ids[pt.Series.ID()] = true
		if err := pt.Value.Check(); err != nil || !strings.HasPrefix(pt.Series.Key(), "edgehold.") || pt.Stamp != batch.Points[0].Stamp {
			t.Errorf("%s: %v", pt.Series.Key(), err)
		}
		got[pt.Series.Key()] = pt
	}
	if v := got["edgehold.points.accepted"]; v.Series.Type() != probes.Count || v.Value.Float64() != 1 {
		t.Errorf("accepted: %v", v.Value.Float64())
	}
	if v := got["edgehold.poll.gaps"].Value; v.Float64() != 6 {
		t.Errorf("gaps: %v", v.Float64())
	}
	if s := got["edgehold.endpoint.status"].Series; s == nil || s.Dim("status") != "WARNING" || s.Dim("device.address") != "192.0.2.1" {
		t.Errorf("device status: %+v", s)
	}
	for _, key := range []string{"edgehold.backlog.age", "edgehold.buffer.bytes", "edgehold.poll.duration", "edgehold.memory.resident"} {
		if got[key].Series == nil {
			t.Errorf("%s is missing", key)
		}
	}
	if again, _ := task.Probe.Poll(t.Context()); again.Points[0].Value.Float64() != 0 {
		t.Errorf("the second poll counts the same point again: %v", again.Points[0])
	}
}
