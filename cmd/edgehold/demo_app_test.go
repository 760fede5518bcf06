package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/demoapp"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	packages "github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/httpjson"
)

// handClock is turned by hand.
type handClock struct{ up time.Duration }

func (c *handClock) Now() probes.Stamp {
	return probes.Stamp{Boot: probes.BootID{1}, Uptime: c.up, Wall: 1_700_000_000_000 + c.up.Milliseconds()}
}

// demoStage is the example package beside a demo application, in one process.
type demoStage struct {
	t     *testing.T
	app   http.Handler
	last  []byte // answer
	url   string
	clock *handClock
	task  probes.Task
}

// exampleValue is the monitoring configuration of the example, as it is written.
func exampleValue(t *testing.T) (all []map[string]any) {
	t.Helper()
	text, err := os.ReadFile("../../packaging/examples/demo-app.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func newDemoStage(t *testing.T, o demoapp.Options, change func(value map[string]any)) *demoStage {
	t.Helper()
	s := &demoStage{t: t, app: demoapp.New(o), clock: &handClock{up: time.Hour}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		s.app.ServeHTTP(answer, r)
		s.last = answer.Body.Bytes()
		w.WriteHeader(answer.Code)
		_, _ = w.Write(s.last)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL

	all := exampleValue(t)
	value := all[0]["value"].(map[string]any)
	value["http"].(map[string]any)["endpoints"].([]any)[0].(map[string]any)["url"] = s.url
	change(value)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	m, warnings, err := packages.ParseManifest(os.DirFS("../../packaging/examples/demo-app"), "demo-app")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("manifest: %v, warnings %v", err, warnings)
	}
	configurations, err := packages.ParseConfiguration(text, "demo-app.json")
	if err != nil {
		t.Fatal(err)
	}
	p, warnings, err := packages.Compile(m, configurations[0], packages.CompileOptions{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("compile: %v, warnings %v", err, warnings)
	}
	endpoints, err := configurations[0].HTTPEndpoints(nil)
	if err != nil {
		t.Fatal(err)
	}
	tasks := httpjson.Tasks(p, endpoints, httpjson.TaskOptions{Config: "demo"}, probes.Deps{Clock: s.clock})
	if len(tasks) != 1 {
		t.Fatalf("%d tasks, want 1", len(tasks))
	}
	s.task = tasks[0]
	return s
}

// poll turns the clock on, polls once and compares all that comes with what the
// reader makes of the answer.
func (s *demoStage) poll(r *demoReader, elapsed time.Duration, what string) {
	s.t.Helper()
	s.clock.up += elapsed
	batch, err := s.task.Probe.Poll(context.Background())
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	a := demoAnswer{body: s.last, elapsed: elapsed, at: s.clock.up}
	var got []wanted
	for _, p := range batch.Points {
		text, err := mint.AppendLine(nil, p)
		if err != nil {
			s.t.Fatal(err)
		}
		l, err := draintest.ParseLine(string(text))
		if err != nil {
			s.t.Fatal(err)
		}
		if l.Timestamp != s.clock.Now().Wall {
			s.t.Errorf("%s: %s is not of the poll's time", what, l)
		}
		got = append(got, demoLine(s.t, l, map[string]string{"activation_endpoint": s.url, "device.address": "127.0.0.1"}))
	}
	sameLines(s.t, what, got, r.lines(s.t, a))
	var told []string
	for _, e := range batch.Events {
		told = append(told, eventText(e))
	}
	slices.Sort(told)
	if want := r.events(s.t, a); !slices.Equal(told, want) {
		s.t.Errorf("%s told\n%s\nwant\n%s", what, strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func eventText(e probes.Event) string {
	properties := map[string]string{}
	for _, d := range e.Properties {
		properties[d.Key] = d.Value
	}
	what := "open"
	if e.End != (probes.Stamp{}) {
		what = "close"
	}
	return fmt.Sprintf("%s %s %s of %s: %s", what, e.Type, e.Title, properties["group"], properties["dt.event.description"])
}

func TestDemoAppPackage(t *testing.T) {
	all := []string{"statistics", "battery", "events"}
	plain := demoapp.Options{Spelling: demoapp.Spelling1221, Groups: 1, Devices: 2, Seed: 1}
	cases := []struct {
		name   string
		sets   []string
		change func(o *demoapp.Options, value map[string]any, r *demoReader)
	}{
		{"as it is written", all, func(*demoapp.Options, map[string]any, *demoReader) {}},
		{"many devices", all, func(o *demoapp.Options, _ map[string]any, _ *demoReader) { o.Groups, o.Devices, o.Seed = 3, 7, 9 }},
		{"older spelling", all, func(o *demoapp.Options, _ map[string]any, _ *demoReader) { o.Spelling = demoapp.SpellingTutorial }},
		{"one more device", all, func(o *demoapp.Options, _ map[string]any, _ *demoReader) { o.Groups, o.Appear = 2, 4 }},
		{"batteries run low", all, func(o *demoapp.Options, _ map[string]any, _ *demoReader) { o.Counter = 795 }},
		{"batteries run empty", all, func(o *demoapp.Options, _ map[string]any, _ *demoReader) { o.Counter = 990 }},
		{"no feature set", nil, func(*demoapp.Options, map[string]any, *demoReader) {}},
		{"batteries alone", []string{"battery"}, func(o *demoapp.Options, _ map[string]any, _ *demoReader) { o.Counter = 795 }},
		{"filter", all, func(o *demoapp.Options, value map[string]any, r *demoReader) {
			o.Groups, r.group = 3, "My Group 02"
			value["vars"].(map[string]any)["groups"] = "$eq(My Group 02)"
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o, r := plain, newDemoReader(c.sets...)
			s := newDemoStage(t, o, func(value map[string]any) {
				value["featureSets"] = c.sets
				c.change(&o, value, r)
			})
			s.app = demoapp.New(o)
			for n := range 20 {
				s.poll(r, time.Minute, fmt.Sprintf("poll %d", n+1))
			}
			o.Counter = 0
			s.app = demoapp.New(o) // switched off and on: counters begin anew
			for n := range 5 {
				s.poll(r, 30*time.Second, fmt.Sprintf("poll %d after the restart", n+1))
			}
		})
	}
}

// TestDemoAppPackageRelease is for the one event that the application does not
// give cause for.
func TestDemoAppPackageRelease(t *testing.T) {
	s := newDemoStage(t, demoapp.Options{Spelling: demoapp.Spelling1221, Groups: 1, Devices: 1, Counter: 10}, func(value map[string]any) {
		value["vars"].(map[string]any)["release"] = "2."
	})
	batch, err := s.task.Probe.Poll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range batch.Events {
		told = append(told, eventText(e))
	}
	if want := "open CUSTOM_INFO My Device 01 runs another release of My Group 01: 1.001 does not begin with 2."; !slices.Contains(told, want) {
		t.Errorf("told %q, want %q among it", told, want)
	}
}

// TestDemoAppPackageIsSound holds the example against everything that ext lint
// knows.
func TestDemoAppPackageIsSound(t *testing.T) {
	r := packages.Lint(os.DirFS("../../packaging/examples/demo-app"), "demo-app")
	if len(r.Errors)+len(r.Warnings) > 0 || !r.ReadOnly {
		t.Errorf("errors %v, warnings %v, read only %v", r.Errors, r.Warnings, r.ReadOnly)
	}
}

func TestDemoAppWrites(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "tutorial")
	edgehold(t, "demo-app", "--write", folder).mustSay(t, 0, "wrote "+folder)
	if _, err := os.Stat(filepath.Join(folder, "demo-app", "extension.yaml")); err != nil {
		t.Error(err)
	}
	edgehold(t, "demo-app", "--write", folder).mustSay(t, 1, "name a folder that is not there yet")
}
