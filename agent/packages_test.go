package agent

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// fits lists which recordings a public package is run against.
var fits = []struct{ pkg, recording string }{
	{"dynatrace-extensions__snmp.generic-device/src", "arubaos-cx_10.10"},
	{"dynatrace-extensions__snmp.generic-device/src", "moxa-etherdevice_edsg512e"},
	{"dynatrace-extensions__snmp.generic-device/src", "bsd-linux-slackware"},
	{"dynatrace-extensions__snmp-generic-cisco-device/src", "bsd-switch-cisco-c3560"},
	{"dynatrace-extensions__snmp-generic-cisco-device/src", "iosxe_c9300"},
	{"dynatrace-extensions__snmp-generic-cisco-device/src", "ios_c3560"},
	{"YanDieg__snmp-apc-ups-dynatrace-extension/src", "bsd-ups-apc-8932"},
	{"YanDieg__snmp-apc-ups-dynatrace-extension/src", "apc_smt750x-nmc2"},
	{"dynatrace-extensions__snmp-vscode-example/extension", "hirschmann"},
	{"Dynatrace__perform-2022-hotday/extensions-as-code/snmp-demo-extension/extension", "bsd-linux-slackware"},
	{"Dynatrace__perform-2022-hotday/extensions-as-code/snmp-demo-extension/extension", "bsd-switch-brocade-icx6430-24"},
}

// corpus is the folder of recordings and public packages, or skips the test.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("EDGEHOLD_CORPUS")
	if dir == "" {
		dir = "../../shared/data"
	}
	if _, err := os.Stat(filepath.Join(dir, "snmprec")); err != nil {
		t.Skipf("SKIPPED: no recordings of real devices in %s; set EDGEHOLD_CORPUS", dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestE2EPackagesAgainstRecordings runs public packages, unmodified, against
// recordings of real devices that net-snmp's wire format is replayed from by
// snmpsim, and compares every value with an independent reading of the file.
func TestE2EPackagesAgainstRecordings(t *testing.T) {
	dir := corpus(t)
	names := map[string]bool{}
	for _, f := range fits {
		names[f.recording] = true
	}
	addr := startSnmpsim(t, dir, names)
	first := onceFor(t, filepath.Join(dir, "extensions", fits[0].pkg), activationJSON(addr, "SNMPv2c", fits[0].recording))
	waitForDevice(t, func() ([]Polled, error) { return first.Poll(t.Context()) })
	for _, f := range fits {
		t.Run(filepath.Base(strings.TrimSuffix(f.pkg, "/src"))+"/"+f.recording, func(t *testing.T) {
			pkg := filepath.Join(dir, "extensions", f.pkg)
			rec := readRecording(t, filepath.Join(dir, "snmprec", f.recording+".snmprec"))
			for _, version := range []string{"SNMPv2c", "SNMPv1"} {
				polled := pollPackage(t, pkg, activationJSON(addr, version, f.recording), time.Millisecond)
				gauges, _ := expect(t, filepath.Join(pkg, "extension.yaml"), rec, version == "SNMPv1")
				// A recording stands still, its uptime too: its counters are old news.
				compare(t, version, polled, gauges, nil)
			}
		})
	}
}

// TestE2ECountersMoveByKnownSteps loads recordings into the project's own
// responder, moves every counter by a step of its own between two polls, and
// compares the deltas with the steps.
func TestE2ECountersMoveByKnownSteps(t *testing.T) {
	dir := corpus(t)
	for _, f := range fits {
		t.Run(filepath.Base(strings.TrimSuffix(f.pkg, "/src"))+"/"+f.recording, func(t *testing.T) {
			countSteps(t, filepath.Join(dir, "extensions", f.pkg), filepath.Join(dir, "snmprec", f.recording+".snmprec"))
		})
	}
}

// TestE2EOwnPackage proves the same rules on a package and a device of the
// project's own.
func TestE2EOwnPackage(t *testing.T) {
	pkg, path := "testdata/rack", "testdata/rack.snmprec"
	countSteps(t, pkg, path)
	_, r := respond(t, path)
	rec := readRecording(t, path)
	for _, version := range []string{"SNMPv2c", "SNMPv1"} {
		polled := pollPackage(t, pkg, activationJSON(r.Addr(), version, "public"), time.Millisecond)
		gauges, _ := expect(t, filepath.Join(pkg, "extension.yaml"), rec, version == "SNMPv1")
		compare(t, version, polled, gauges, nil)
	}
}

func countSteps(t *testing.T, pkg, recordingPath string) {
	t.Helper()
	mib, r := respond(t, recordingPath)
	manifest := filepath.Join(pkg, "extension.yaml")
	rec := readRecording(t, recordingPath)
	step := func(oid string) int64 { return int64(len(oid)*1000) + int64(oid[len(oid)-1]) }
	polled := pollPackageMoved(t, pkg, activationJSON(r.Addr(), "SNMPv2c", "public"), func() {
		mib.Bump(snmptest.MustOID("1.3"), func(oid snmptest.OID) uint64 { return uint64(step(oid.String())) })
	})
	moved, steps := recording{}, recording{}
	for oid, cell := range rec {
		moved[oid], steps[oid] = cell, cell
		if cell.tag == "65" || cell.tag == "70" {
			reading, err := strconv.ParseUint(strings.TrimSpace(string(cell.raw)), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			moved[oid] = recorded{cell.tag, fmt.Append(nil, reading+uint64(step(oid)))}
			steps[oid] = recorded{cell.tag, fmt.Append(nil, step(oid))}
		}
	}
	gauges, _ := expect(t, manifest, moved, false)
	_, counts := expect(t, manifest, steps, false)
	compare(t, "moved", polled, gauges, counts)
}

func respond(t *testing.T, path string) (*snmptest.MIB, *snmptest.Responder) {
	t.Helper()
	mib, _, err := snmptest.LoadRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return mib, r
}

// startSnmpsim replays recordings on loopback and returns the address. The
// community picks the recording.
func startSnmpsim(t *testing.T, dir string, names map[string]bool) string {
	t.Helper()
	command := ""
	for _, c := range []string{"snmpsimd", "snmpsim-command-responder"} {
		if path, err := exec.LookPath(c); err == nil {
			command = path
		}
	}
	if command == "" {
		t.Skip("SKIPPED: snmpsim is not installed")
	}
	// Debian 13 ships one that cannot start; the exit status tells nothing.
	if help, _ := exec.Command(command, "--help").CombinedOutput(); !strings.Contains(string(help), "--agent-udpv4-endpoint") {
		t.Skipf("SKIPPED: %s is installed but does not start: %.300s", command, help)
	}
	work, err := os.MkdirTemp("", "snmpsim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	for _, d := range []string{work, work + "/data", work + "/cache"} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o777); err != nil { // snmpsim gives up root
			t.Fatal(err)
		}
	}
	for name := range names {
		data, err := os.ReadFile(filepath.Join(dir, "snmprec", name+".snmprec"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, "data", name+".snmprec"), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeUDP(t)
	cmd := exec.Command(command, "--v2c-arch", "--process-user=nobody", "--process-group=nogroup",
		"--data-dir="+work+"/data", "--cache-dir="+work+"/cache",
		"--agent-udpv4-endpoint="+addr, "--logging-method=null")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func activationJSON(addr, version, community string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`[{"scope": "ag_group-test", "value": {"enabled": true, "description": "test", "version": "%%VERSION%%",
		"featureSets": ["all"], "activationContext": "REMOTE", "vars": {},
		"snmp": {"devices": [{"ip": "%s", "port": %s, "authentication": {"type": "%s", "community": "%s"},
		"advanced": {"timeoutSecs": 5, "retries": 3}}]}}}]`, host, port, version, community)
}

// pollPackage polls twice, so that counters show, and gives the second poll.
func pollPackage(t *testing.T, pkg, activation string, wait time.Duration) []Polled {
	t.Helper()
	once := onceFor(t, pkg, activation)
	once.Wait = wait
	return waitForDevice(t, func() ([]Polled, error) { return once.Poll(t.Context()) })
}

func pollPackageMoved(t *testing.T, pkg, activation string, between func()) []Polled {
	t.Helper()
	once := onceFor(t, pkg, activation)
	clock, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	tasks, problems := once.tasks(probes.Deps{Clock: clock, Log: zerolog.Nop()})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	once.round(t.Context(), tasks)
	between()
	return once.round(t.Context(), tasks)
}

// waitForDevice repeats a poll until the device answers; a simulator takes a
// while to start.
func waitForDevice(t *testing.T, poll func() ([]Polled, error)) []Polled {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		polled, err := poll()
		if err != nil {
			t.Fatal(err)
		}
		down := false
		for _, p := range polled {
			down = down || probes.StatusOf(p.Err) == probes.StatusDeviceConnectionError
		}
		if !down {
			return polled
		}
		if time.Now().After(deadline) {
			t.Fatalf("the device does not answer: %v", polled[0].Err)
		}
	}
}

func onceFor(t *testing.T, pkg, activation string) Once {
	t.Helper()
	file := filepath.Join(t.TempDir(), "activation.json")
	manifest, _, err := extension.ParseManifest(os.DirFS(pkg), pkg)
	if err != nil {
		t.Fatal(err)
	}
	activation = strings.ReplaceAll(activation, "%VERSION%", manifest.Version)
	if err := os.WriteFile(file, []byte(activation), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.SiteDimension = false
	cfg.Trust.AllowUnsigned = true
	cfg.Extensions = []config.Extension{{Package: pkg, Configuration: file, Where: "test"}}
	return Once{Config: cfg, Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Log: zerolog.Nop()}
}

// measured turns points into the form of an expectation.
func measured(t *testing.T, polled []Polled) (gauges, counts map[string]probes.Value) {
	t.Helper()
	gauges, counts = map[string]probes.Value{}, map[string]probes.Value{}
	for _, p := range polled {
		if p.Err != nil && probes.StatusOf(p.Err) != probes.StatusWarning {
			t.Errorf("%s: %v", p.Task.Label, p.Err)
		}
		for _, pt := range p.Points {
			into := gauges
			if pt.Series.Type() == probes.Count {
				into = counts
			}
			var parts []string
			for _, d := range pt.Series.Dims() {
				if d.Key == "device.name" && d.Value == localName() {
					continue // the name of the simulator, which the recording cannot know
				}
				value := d.Value
				if d.Key == "device.address" || d.Key == "device.port" {
					value = "<" + d.Key + ">"
				}
				parts = append(parts, fmt.Sprintf(",%s=%s", d.Key, value))
			}
			sort.Strings(parts)
			id := pt.Series.Key() + strings.Join(parts, "")
			if _, twice := into[id]; twice {
				t.Errorf("%s came twice in one poll", id)
			}
			into[id] = pt.Value
		}
	}
	return gauges, counts
}

// localName is what reverse DNS calls the simulator's address, if anything.
func localName() string {
	names, err := net.LookupAddr("127.0.0.1")
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(names[0], ".")
}

func compare(t *testing.T, what string, polled []Polled, wantGauges, wantCounts expectation) {
	t.Helper()
	gauges, counts := measured(t, polled)
	if len(wantGauges)+len(wantCounts) == 0 {
		t.Errorf("%s: the recording fits nothing in the package", what)
	}
	same(t, what+" gauge", gauges, wantGauges, false)
	same(t, what+" count", counts, wantCounts, true)
}

func same(t *testing.T, what string, got map[string]probes.Value, want expectation, add bool) {
	t.Helper()
	wrong := 0
	complain := func(format string, args ...any) {
		if wrong++; wrong <= 10 {
			t.Errorf(what+" "+format, args...)
		}
	}
	for id, values := range want {
		v, ok := got[id]
		switch {
		case !ok:
			complain("%s is missing, want %v", id, values)
		case !matches(v, values, add):
			complain("%s = %v, want %v", id, v.Summary(), values)
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			complain("%s is not expected", id)
		}
	}
	t.Logf("%s: %d series compared, %d wrong", what, len(want), wrong)
}

// matches holds a value against the rows that share its series.
func matches(v probes.Value, values []int64, add bool) bool {
	var sum int64
	low, high := values[0], values[0]
	for _, n := range values {
		sum += n
		low, high = min(low, n), max(high, n)
	}
	if add || len(values) == 1 {
		return v.Form() != probes.FormSummary && int64(v.Uint64()) == sum
	}
	return v.Summary() == probes.Summary{Min: float64(low), Max: float64(high), Sum: float64(sum), Count: uint64(len(values))}
}
