package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/httpjson"
)

// docsClock is turned by hand.
type docsClock struct{ up time.Duration }

func (c *docsClock) Now() probes.Stamp {
	return probes.Stamp{Boot: probes.BootID{1}, Uptime: c.up, Wall: 1_700_000_000_000 + c.up.Milliseconds()}
}

// docsPage is an endpoint whose answer a test sets.
type docsPage struct {
	mu   sync.Mutex
	text string
}

func (p *docsPage) set(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

func (p *docsPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprint(w, p.text)
}

// docsTask compiles a manifest for one endpoint and makes its one task.
func docsTask(t *testing.T, manifest, url string, clock probes.Clock) probes.Task {
	t.Helper()
	files := fstest.MapFS{"extension.yaml": {Data: []byte(manifest)}}
	m, warnings, err := extension.ParseManifest(files, "package")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("manifest: %v, warnings %v", err, warnings)
	}
	text := fmt.Sprintf(`{"enabled":true,"description":"d","version":"1.0.0","featureSets":["all"],"http":{"endpoints":[{"url":%q}]}}`, url)
	all, err := extension.ParseConfiguration([]byte(text), "configuration.json")
	if err != nil {
		t.Fatal(err)
	}
	p, warnings, err := extension.Compile(m, all[0], extension.CompileOptions{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("compile: %v, warnings %v", err, warnings)
	}
	endpoints, err := all[0].HTTPEndpoints(nil)
	if err != nil {
		t.Fatal(err)
	}
	tasks := httpjson.Tasks(p, endpoints, httpjson.TaskOptions{Config: "test"}, probes.Deps{Clock: clock})
	if len(tasks) != 1 {
		t.Fatalf("found %d tasks, want 1", len(tasks))
	}
	return tasks[0]
}

// docsLines writes points without the dimensions that every line has.
func docsLines(batch probes.Batch) []string {
	var lines []string
	for _, p := range batch.Points {
		line := p.Series.Key()
		for _, d := range p.Series.Dims() {
			if d.Key != "activation_endpoint" && d.Key != "device.address" {
				line += "," + d.Key + "=" + d.Value
			}
		}
		s := p.Value.Summary()
		switch {
		case p.Value.Form() == probes.FormSummary:
			line += fmt.Sprintf(" min=%v,max=%v,sum=%v,count=%d", s.Min, s.Max, s.Sum, s.Count)
		case p.Series.Type() == probes.Count:
			line += fmt.Sprintf(" delta=%v", p.Value.Float64())
		default:
			line += fmt.Sprintf(" %v", p.Value.Float64())
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// TestDocumentsOfTheManual runs the package that the manual begins with.
func TestDocumentsOfTheManual(t *testing.T) {
	manual, err := os.ReadFile("../packaging/manual/http.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(manual), "```yaml\n")
	manifest, _, _ := strings.Cut(rest, "```")
	page := &docsPage{}
	server := httptest.NewServer(page)
	defer server.Close()
	clock := &docsClock{up: time.Hour}
	task := docsTask(t, manifest, server.URL, clock)

	page.set(`[{"name":"north","machines":[
		{"name":"m1","ip":"192.0.2.1","stats":{"temperature":21.5,"pieces":100,"state":"ok","latencies":[7,10,13],"battery_level":50,"version":"1.001"}}]}]`)
	batch, err := task.Probe.Poll(context.Background())
	if err != nil {
		t.Fatalf("first poll: %v", err)
	}
	want := []string{
		"plant.latency,device=m1,group=north min=7,max=13,sum=30,count=3",
		"plant.machine.info,device=m1,dt.ip_addresses=192.0.2.1,group=north,version=1.001 1",
		"plant.machines,group=north 1",
		"plant.state,device=m1,group=north,state=OK 1",
		"plant.temperature,device=m1,group=north 21.5",
	}
	if got := docsLines(batch); !slices.Equal(got, want) {
		t.Errorf("first poll gave\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	clock.up += time.Minute
	page.set(`[{"name":"north","machines":[
		{"name":"m1","ip":"192.0.2.1","stats":{"temperature":22,"pieces":130,"state":"ERROR","latencies":[],"battery_level":19.5,"version":"1.001"}}]}]`)
	batch, err = task.Probe.Poll(context.Background())
	if err != nil {
		t.Fatalf("second poll: %v", err)
	}
	want = []string{
		"plant.machine.info,device=m1,dt.ip_addresses=192.0.2.1,group=north,version=1.001 1",
		"plant.machines,group=north 1",
		"plant.pieces,device=m1,group=north delta=30",
		"plant.pieces_per_second,device=m1,group=north 0.5",
		"plant.state,device=m1,group=north,state=ERROR 1",
		"plant.temperature,device=m1,group=north 22",
	}
	if got := docsLines(batch); !slices.Equal(got, want) {
		t.Errorf("second poll gave\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(batch.Events) != 1 || batch.Events[0].Title != "Battery of m1 is low" {
		t.Fatalf("events %+v", batch.Events)
	}
	text := ""
	for _, d := range batch.Events[0].Properties {
		if d.Key == "dt.event.description" {
			text = d.Value
		}
	}
	if text != "19.5 % left in north" {
		t.Errorf("text %q", text)
	}
}
