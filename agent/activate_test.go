package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes"
)

const manySources = `name: custom:many
version: 1.0.0
minDynatraceVersion: "1.300"
author: {name: a}
metrics:
  - {key: many.traps, metadata: {displayName: Traps, unit: Count}}
  - {key: many.up, metadata: {displayName: Up}}
prometheus:
  - group: exporter
    interval: {minutes: 1}
    metrics:
      - {key: many.up, value: "metric:up", type: gauge}
http:
  - group: app
    interval: {minutes: 1}
    request: {path: /status}
    metrics:
      - {key: many.temperature, value: "path:temperature", type: gauge}
snmptraps:
  - group: generic
    interval: {minutes: 1}
    dimensions:
      - {key: sender, value: "const:sender"}
    metrics:
      - {key: many.traps, value: calculated, type: "count,delta"}
snmp:
  - group: device
    interval: {minutes: 1}
    metrics:
      - {key: many.uptime, value: "oid:1.3.6.1.2.1.1.3.0", type: gauge}
`

// manyConfiguration names one endpoint for each data source.
func manyConfiguration(page string, trapPort int) string {
	return fmt.Sprintf(`{"enabled": true, "description": "d", "version": "1.0.0", "featureSets": ["all"],
"prometheusRemote": {"endpoints": [{"url": "%[1]s/metrics"}]},
"http": {"endpoints": [{"url": %[1]q}]},
"snmptraps": {"listen": "127.0.0.1", "sources": [{"ip": "127.0.0.1", "port": %[2]d, "authentication": {"community": "public"}}]},
"snmp": {"devices": [{"ip": "127.0.0.1", "port": 9, "authentication": {"type": "SNMPv2c", "community": "public"}, "advanced": {"timeoutSecs": 1, "retries": 0}}]}}`, page, trapPort)
}

func manyConfig(t *testing.T, page string, trapPort int) *config.Config {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "many", "extension.yaml"), manySources)
	cfg := config.Default()
	cfg.Site, cfg.StateDir, cfg.Trust.AllowUnsigned = "plant-7", dir, true
	cfg.Extensions = []config.Extension{{
		Package: filepath.Join(dir, "many"), Configuration: write(t, filepath.Join(dir, "many.json"), manyConfiguration(page, trapPort)), Where: "test.yaml:1:1",
	}}
	return cfg
}

// somePage answers as an exporter and as an application.
func somePage(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			fmt.Fprint(w, "# TYPE up gauge\nup 1\n")
			return
		}
		fmt.Fprint(w, `{"temperature": 21.5}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// buildMany makes entries whose tasks can be polled.
func buildMany(cfg *config.Config) []entryState {
	w := newWarden(cfg, wardenOptions{at: MachineMoment(time.Time{})})
	return builder{deps: probes.Deps{Log: zerolog.Nop(), Clock: &handClock{at: time.Unix(1.7e9, 0)}}, warden: w}.Build(cfg)
}

func TestEachDataSourceIsActivated(t *testing.T) {
	states := buildMany(manyConfig(t, somePage(t), 1162))
	if len(states) != 1 || states[0].Err != nil {
		t.Fatalf("%+v", states)
	}
	s := states[0]
	if want := []string{"snmp", "prometheus", "snmptraps", "http"}; !slices.Equal(s.Sources, want) {
		t.Errorf("data sources %q, want %q", s.Sources, want)
	}
	got := map[string]bool{}
	for _, task := range s.Tasks {
		if task.Package != "custom:many" || task.Config != s.Name || (task.Probe == nil) == (task.Source == nil) {
			t.Errorf("task %+v", task)
		}
		if task.Probe == nil {
			got["source"] = true
			continue
		}
		if strings.Contains(task.ID, ":9/") {
			continue // nobody answers there
		}
		batch, err := pollOnce(t.Context(), task)
		if err != nil {
			t.Errorf("%s: %v", task.ID, err)
		}
		for _, p := range batch.Points {
			got[p.Series.Key()] = true
		}
	}
	if !got["source"] || !got["many.up"] || !got["many.temperature"] {
		t.Errorf("collected %v", got)
	}
	keys := []string{}
	for _, m := range s.Metadata {
		keys = append(keys, m.Key)
	}
	if want := []string{"many.traps", "many.up"}; !slices.Equal(keys, want) {
		t.Errorf("metadata of %q, want %q", keys, want)
	}
}

// identity: site reaches the lines of what is polled.
func TestIdentityOfASite(t *testing.T) {
	for identity, want := range map[string]string{"": "127.0.0.1", "address": "127.0.0.1", "site": "plant-7/127.0.0.1"} {
		cfg := manyConfig(t, somePage(t), 1162)
		cfg.Extensions[0].Identity = identity
		s := buildMany(cfg)[0]
		if s.Err != nil {
			t.Fatal(s.Err)
		}
		if got := s.address(endpoint{Device: "127.0.0.1"}); got != want {
			t.Errorf("identity %q: %q, want %q", identity, got, want)
		}
		for _, task := range s.Tasks {
			if task.Probe == nil || !strings.Contains(task.ID, ".json/http") {
				continue
			}
			batch, err := pollOnce(t.Context(), task)
			if err != nil || len(batch.Points) == 0 {
				t.Errorf("%s: %v", task.ID, err)
			}
			for _, p := range batch.Points {
				if got := p.Series.Dim("device.address"); got != "" && got != want {
					t.Errorf("identity %q: %s has device.address %q, want %q", identity, p.Series.Key(), got, want)
				}
			}
		}
	}
}

// ber makes one element of a message.
func ber(tag byte, content ...[]byte) []byte {
	var body []byte
	for _, c := range content {
		body = append(body, c...)
	}
	return append([]byte{tag, byte(len(body))}, body...)
}

// linkDown is a v2c trap as RFC 3416 has it.
func linkDown() []byte {
	oid := func(arcs ...byte) []byte { return ber(6, arcs) }
	number := func(tag byte) []byte { return ber(tag, []byte{1}) }
	return ber(0x30, number(2), ber(4, []byte("public")), ber(0xa7, number(2), ber(2, []byte{0}), ber(2, []byte{0}), ber(0x30,
		ber(0x30, oid(0x2b, 6, 1, 2, 1, 1, 3, 0), number(0x43)),
		ber(0x30, oid(0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0), oid(0x2b, 6, 1, 6, 3, 1, 1, 5, 3)),
	)))
}

// TestTrapsGoThroughTheAgent sends a trap to a running agent and reloads it: the
// port stays open, and status tells what came.
func TestTrapsGoThroughTheAgent(t *testing.T) {
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := newLoadSite(t)
	write(t, filepath.Join(s.dir, "many", "extension.yaml"), manySources)
	write(t, filepath.Join(s.dir, "many.json"), manyConfiguration(somePage(t), port))
	write(t, filepath.Join(s.dir, "edgehold.yaml"), fmt.Sprintf(`site: load
state_dir: %[1]s
socket: %[1]s/s.sock
uplink: {dynatrace: {url: %[2]q, token_file: %[1]s/token}}
trust: {allow_unsigned: true}
extensions: [{package: %[1]s/many, configuration: %[1]s/many.json, interval: 1s}]
`, s.dir, s.url))
	s.start()
	source := func() (status string, received uint64) {
		for _, d := range s.agent.Status().Devices {
			if d.Source != nil {
				return d.Status, d.Source.Received
			}
		}
		return "", 0
	}
	s.waitFor("the source listens", func() bool { status, _ := source(); return status == string(probes.StatusPending) })
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for round := range 3 {
		_, before := source()
		s.waitFor("a trap is taken", func() bool {
			if _, err := conn.Write(linkDown()); err != nil {
				t.Log(err) // nobody listens yet
			}
			status, n := source()
			return n > before && status == string(probes.StatusOK)
		})
		if round == 1 {
			if err := s.agent.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	accepted := func() uint64 {
		for _, u := range s.agent.Status().Usage {
			if u.Package == "custom:many" && u.Points > 2 && u.TimeS > 0 && u.Devices > 2 {
				return u.Points
			}
		}
		return 0
	}
	s.waitFor("the package's usage is shown", func() bool { return accepted() > 0 })
	st := s.agent.Status()
	c := st.Configurations[0]
	if c.Status != string(probes.StatusWarning) && c.Pending == 0 || len(c.Sources) != 4 {
		t.Errorf("configuration %+v", c)
	}
	s.stop()
	if again, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		t.Errorf("the port is not free after the stop: %v", err)
	} else {
		_ = again.Close()
	}
}
