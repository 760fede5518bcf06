package prometheus

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
)

// installed is an installed program; without it the test is skipped aloud, and in
// the pipeline it fails.
func installed(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing, install Debian's %s", name, debian)
		}
		t.Skipf("SKIPPED: %s is missing, install Debian's %s", name, debian)
	}
	return path
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a server and waits until it answers.
func start(t *testing.T, ready string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	waitFor(t, ready, func() bool {
		response, err := http.Get(ready)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// mirror hands on what a server answers and remembers it.
type mirror struct {
	origin string
	mu     sync.Mutex
	bodies []string
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response, err := http.Get(m.origin + r.URL.String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	m.mu.Lock()
	m.bodies = append(m.bodies, string(body))
	m.mu.Unlock()
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body)
}

// take gives what was answered since the last time.
func (m *mirror) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	bodies := m.bodies
	m.bodies = nil
	return bodies
}

var (
	plainLine  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$`)
	plainLabel = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// plainly is a second, simple reading of an exposition: "name k=v k=v" to value.
func plainly(t *testing.T, text string) (values map[string]float64, types map[string]string) {
	t.Helper()
	values, types = make(map[string]float64), make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, typ, _ := strings.Cut(rest, " ")
			types[name] = typ
		}
		if line == "" || line[0] == '#' {
			continue
		}
		m := plainLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("the simple reader does not know the line %q", line)
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		labels := make(map[string]string)
		for _, l := range plainLabel.FindAllStringSubmatch(m[2], -1) {
			labels[l[1]], _ = strconv.Unquote(`"` + l[2] + `"`)
		}
		values[plainKey(m[1], labels)] = value
	}
	return values, types
}

func plainKey(name string, labels map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if labels[key] != "" {
			name += "\x00" + key + "=" + labels[key]
		}
	}
	return name
}

// metricsOf declares all that an exposition types, in the vendor's words.
func metricsOf(types map[string]string) (metrics []plan.ExposedMetric) {
	words := map[string]plan.ExposedType{
		"gauge": plan.ExposedGauge, "untyped": plan.ExposedGauge, "counter": plan.ExposedCount,
		"histogram": plan.ExposedHistogram, "summary": plan.ExposedSummary,
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		metrics = append(metrics, plan.ExposedMetric{Key: "k." + name, Name: name, Type: words[types[name]]})
	}
	return metrics
}

// expected are the points of two readings: gauges as they are, the rest as the
// growth from the first to the second.
func expected(metrics []plan.ExposedMetric, first, second map[string]float64) map[string]float64 {
	want := make(map[string]float64)
	for at, value := range second {
		name, labels, _ := strings.Cut(at, "\x00")
		before, was := first[at]
		finite := value-value == 0
		grew := was && finite && value >= before
		for _, m := range metrics {
			key := ""
			switch {
			case m.Type == plan.ExposedGauge && name == m.Name, m.Type == plan.ExposedSummary && name == m.Name:
				if finite {
					want["gauge k."+name+"\x00"+labels] = value
				}
			case m.Type == plan.ExposedCount && name == m.Name:
				key = "k." + name
			case m.Type < plan.ExposedHistogram:
			case name == m.Name+"_count":
				key = "k." + name
			case name == m.Name+"_sum", name == m.Name+"_bucket":
				key = "k." + name + ".count"
			}
			if key != "" && grew {
				want["count "+key+"\x00"+labels] = value - before
			}
		}
	}
	return want
}

func pointsByName(t *testing.T, points []probes.Point) map[string]float64 {
	t.Helper()
	got := make(map[string]float64)
	for _, p := range points {
		labels := make(map[string]string)
		for _, d := range p.Series.Dims() {
			if d.Key != plan.ActivationEndpoint {
				labels[d.Key] = d.Value
			}
		}
		name := p.Series.Type().String() + " " + p.Series.Key()
		if key := plainKey(name, labels); len(labels) > 0 {
			name = key
		} else {
			name += "\x00"
		}
		if _, twice := got[name]; twice {
			t.Errorf("%q comes twice", name)
		}
		got[name] = p.Value.Float64()
	}
	return got
}

func compare(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if has, ok := got[name]; !ok || has != value {
			t.Errorf("%q is %v (%v), want %v", name, has, ok, value)
		}
	}
	for name, value := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is %v, want none", name, value)
		}
	}
}

func TestNodeExporter(t *testing.T) {
	addr := freePort(t)
	start(t, "http://"+addr+"/", exec.Command(installed(t, "prometheus-node-exporter", "prometheus-node-exporter"), "--web.listen-address="+addr))
	m := &mirror{origin: "http://" + addr}
	server := serve(t, m.ServeHTTP)
	response, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	_, types := plainly(t, m.take()[0])
	if len(types) < 100 {
		t.Fatalf("only %d metrics", len(types))
	}
	b := newBench(t, server.URL+"/metrics")
	b.metrics, b.endpoint.Buckets = metricsOf(types), true
	var before map[string]float64
	moved := 0
	for round := range 3 {
		points := pollPoints(b)
		now, _ := plainly(t, m.take()[0])
		got := pointsByName(t, points)
		compare(t, got, expected(b.metrics, before, now))
		for name, value := range got {
			if strings.HasPrefix(name, "count ") && value > 0 {
				moved++
			}
		}
		if len(got) < 100 || round > 0 && moved == 0 {
			t.Errorf("round %d: %d points, %d counters moved", round, len(got), moved)
		}
		before = now
	}
}

// pollPoints polls and wants no complaint.
func pollPoints(b *bench) []probes.Point {
	b.Helper()
	if b.task.Probe == nil {
		b.deps.Clock = &b.clock
		tasks, err := Tasks(b.plan(), []plan.ScrapeEndpoint{b.endpoint}, TaskOptions{Config: "conf"}, b.deps)
		if err != nil {
			b.Fatal(err)
		}
		b.task = tasks[0]
	}
	b.clock.now += time.Minute
	batch, err := b.task.Probe.Poll(b.Context())
	if err != nil {
		b.Error(err)
	}
	return batch.Points
}

// A Prometheus server that scrapes itself is asked by its API.
func TestPrometheusServer(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	addr, dir := freePort(t), t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: [%q]}]}]\n", addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "http://"+addr+"/-/ready", exec.Command(installed(t, "prometheus", "prometheus"), "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr))
	m := &mirror{origin: "http://" + addr}
	server := serve(t, m.ServeHTTP)
	b := newBench(t, server.URL+"/api/v1/")
	b.metrics = []plan.ExposedMetric{
		{Key: "k.up", Name: "up", Type: plan.ExposedGauge},
		{Key: "k.go_goroutines", Name: "go_goroutines", Type: plan.ExposedGauge},
		{Key: "k.prometheus_tsdb_head_samples_appended_total", Name: "prometheus_tsdb_head_samples_appended_total", Type: plan.ExposedCount},
		{Key: "k.prometheus_http_request_duration_seconds", Name: "prometheus_http_request_duration_seconds", Type: plan.ExposedHistogram},
		{Key: "k.go_gc_duration_seconds", Name: "go_gc_duration_seconds", Type: plan.ExposedSummary},
	}
	for i := range 60 { // so that one query is not enough
		b.metrics = append(b.metrics, plan.ExposedMetric{Key: "k", Name: fmt.Sprintf("a_metric_that_nobody_has_with_a_long_name_%d", i), Type: plan.ExposedGauge})
	}
	waitFor(t, "the server's own metrics", func() bool {
		response, err := http.Get(m.origin + "/api/v1/query?query=prometheus_http_request_duration_seconds_count")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return strings.Contains(string(body), `"value"`)
	})
	first := pollPoints(b)
	before := plainJSON(t, m.take())
	compare(t, pointsByName(t, first), expected(b.metrics, nil, before))
	appended := func(values map[string]float64) (sum float64) {
		for name, value := range values {
			if strings.HasPrefix(name, "prometheus_tsdb_head_samples_appended_total\x00") {
				sum += value
			}
		}
		return sum
	}
	begin := appended(before)
	waitFor(t, "a counter to move", func() bool {
		points := pointsByName(t, pollPoints(b))
		bodies := m.take()
		now := plainJSON(t, bodies)
		compare(t, points, expected(b.metrics, before, now))
		before = now
		if len(bodies) < 2 {
			t.Errorf("%d queries", len(bodies))
		}
		return appended(now) > begin
	})
}

// plainJSON is a second, simple reading of the answers of the API.
func plainJSON(t *testing.T, bodies []string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for _, body := range bodies {
		var tree map[string]any
		if err := json.Unmarshal([]byte(body), &tree); err != nil {
			t.Fatal(err)
		}
		for _, result := range tree["data"].(map[string]any)["result"].([]any) {
			labels := make(map[string]string)
			for key, text := range result.(map[string]any)["metric"].(map[string]any) {
				labels[key] = text.(string)
			}
			name := labels["__name__"]
			delete(labels, "__name__")
			value, err := strconv.ParseFloat(result.(map[string]any)["value"].([]any)[1].(string), 64)
			if err != nil {
				t.Fatal(err)
			}
			values[plainKey(name, labels)] = value
		}
	}
	return values
}

func TestAPIAnswers(t *testing.T) {
	vector := func(result string) http.HandlerFunc {
		return text(`{"status":"success","data":{"resultType":"vector","result":[` + result + `]}}`)
	}
	for _, tt := range []struct {
		name   string
		do     http.HandlerFunc
		path   string
		status probes.Status
		says   string
		want   []string
	}{
		{name: "a sample", do: vector(`{"metric":{"__name__":"up","job":"x","none":""},"value":[1.5,"1"]}`), status: probes.StatusOK, want: []string{"k.up job=x gauge,1"}},
		{name: "others", do: vector(`{"metric":{"__name__":"down"},"value":[1.5,"1"]}`), status: probes.StatusGenericError, says: "none of the 2 metrics"},
		{name: "no name", do: vector(`{"metric":{},"value":[1.5,"1"]},{"metric":{"__name__":"up"},"value":[1.5,"1"]}`), status: probes.StatusWarning, says: "1 results have no name", want: []string{"k.up gauge,1"}},
		{name: "refused", do: text(`{"status":"error","error":"too many"}`), status: probes.StatusGenericError, says: `refuses the query: "too many"`},
		{name: "matrix", do: text(`{"status":"success","data":{"resultType":"matrix","result":[]}}`), status: probes.StatusGenericError, says: "expected a vector"},
		{name: "a page", do: text("<html>"), status: probes.StatusGenericError, says: "does not answer as the HTTP API"},
		{name: "warned", do: text(`{"status":"success","warnings":["partial"],"data":{"resultType":"vector","result":[{"metric":{"__name__":"up"},"value":[1,"2"]}]}}`), status: probes.StatusWarning, says: "partial", want: []string{"k.up gauge,2"}},
		{name: "own query", path: `query?query=up%7Bjob%3D%22x%22%7D`, do: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/p/api/v1/query" || r.URL.Query().Get("query") != `up{job="x"}` {
				t.Errorf("asked for %s", r.URL)
			}
			vector(`{"metric":{"__name__":"up"},"value":[1.5,"3"]}`)(w, r)
		}, status: probes.StatusOK, want: []string{"k.up gauge,3"}},
		{name: "own path", path: "query", do: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/p/api/v1/query" || r.URL.Query().Get("query") != `{__name__=~"c_total|up"}` {
				t.Errorf("asked for %s", r.URL)
			}
			vector(`{"metric":{"__name__":"up"},"value":[1.5,"4"]}`)(w, r)
		}, status: probes.StatusOK, want: []string{"k.up gauge,4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			newBench(t, serve(t, tt.do).URL+"/p/api/v1/"+tt.path).expect(tt.status, tt.says, tt.want...)
		})
	}
}
