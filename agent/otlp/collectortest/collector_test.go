package collectortest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

// configuration is the Collector's: address, processor list, and two files.
const configuration = `yaml:
receivers: {otlp: {protocols: {http: {endpoint: "%s"}}}}
processors: {memory_limiter: {check_interval: 10ms, limit_mib: 1}}
exporters:
  file/metrics: {path: "%s"}
  file/logs: {path: "%s"}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines:
    metrics: {receivers: [otlp], processors: [%[4]s], exporters: [file/metrics]}
    logs: {receivers: [otlp], processors: [%[4]s], exporters: [file/logs]}
`

// collector is one that runs.
type collector struct {
	url           string
	metrics, logs string // files
	stop          func()
}

func factories() (otelcol.Factories, error) {
	f := otelcol.Factories{Telemetry: otelconftelemetry.NewFactory()}
	var err error
	if f.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
		return f, err
	}
	if f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](memorylimiterprocessor.NewFactory()); err != nil {
		return f, err
	}
	f.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](fileexporter.NewFactory())
	return f, err
}

// start runs a Collector until stop is called or the test ends.
func start(t *testing.T, processors string) *collector {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	dir := t.TempDir()
	c := &collector{url: "http://" + address, metrics: filepath.Join(dir, "metrics"), logs: filepath.Join(dir, "logs")}
	col, err := otelcol.NewCollector(otelcol.CollectorSettings{
		Factories: factories, BuildInfo: component.NewDefaultBuildInfo(), DisableGracefulShutdown: true,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{fmt.Sprintf(configuration, address, c.metrics, c.logs, processors)},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- col.Run(context.Background()) }()
	stopped := false
	c.stop = func() {
		if stopped {
			return
		}
		stopped = true
		col.Shutdown()
		if err := <-ended; err != nil {
			t.Errorf("run the Collector: %v", err)
		}
	}
	t.Cleanup(c.stop)
	for deadline := time.Now().Add(20 * time.Second); col.GetState() != otelcol.StateRunning; {
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the Collector ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the Collector does not start")
		}
	}
	return c
}

// post sends a request and gives status and body.
func post(t *testing.T, url string, body []byte, packed bool, kind string) (int, []byte) {
	t.Helper()
	if packed {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		body = b.Bytes()
	}
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if packed {
		r.Header.Set("Content-Encoding", "gzip")
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text
}

// The JSON that the file exporter writes, as its documentation has it: whole
// numbers of 64 bits are texts.

type request struct {
	ResourceMetrics []struct {
		Resource     resource
		ScopeMetrics []struct{ Metrics []metric }
	}
	ResourceLogs []struct {
		Resource  resource
		ScopeLogs []struct{ LogRecords []logRecord }
	}
}

type resource struct{ Attributes []attribute }

type attribute struct {
	Key   string
	Value anyValue
}

type anyValue struct {
	StringValue, IntValue *string
	DoubleValue           *json.Number
}

type metric struct {
	Name                             string
	Gauge, Sum, ExponentialHistogram *data
	Histogram, Summary               *json.RawMessage
}

type data struct {
	DataPoints             []dataPoint
	AggregationTemporality int
	IsMonotonic            bool
}

type dataPoint struct {
	Attributes                      []attribute
	StartTimeUnixNano, TimeUnixNano string
	AsInt                           *string
	AsDouble                        *json.Number
	Count, ZeroCount                string
	Sum, Min, Max, ZeroThreshold    *json.Number
	Positive, Negative              json.RawMessage
}

type logRecord struct {
	TimeUnixNano, ObservedTimeUnixNano string
	SeverityNumber                     int
	SeverityText                       string
	Body                               anyValue
	Attributes                         []attribute
}

// requests reads a file that the Collector has written.
func requests(t *testing.T, path string) (all []request) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r request
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func (v anyValue) String() string {
	switch {
	case v.StringValue != nil:
		return fmt.Sprintf("%q", *v.StringValue)
	case v.IntValue != nil:
		return "int " + *v.IntValue
	case v.DoubleValue != nil:
		return "double " + number(v.DoubleValue)
	}
	return "nothing"
}

// number is a double in one form.
func number(n *json.Number) string {
	if n == nil {
		return "none"
	}
	f, err := n.Float64()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(f)
}

func attributes(list []attribute) string {
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, " %s=%s", a.Key, a.Value)
	}
	return b.String()
}
