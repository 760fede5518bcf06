package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// fleetOptions say what is polled and how.
type fleetOptions struct {
	snmptest.FleetOptions
	interval   time.Duration
	resolution string // of the uplink; "" is the default
	timeout    int    // seconds; 0 is the default
	retries    int
}

// fleet is an agent as a process of its own. Its devices and its environment
// are in the process of the test.
type fleet struct {
	o           fleetOptions
	dir, binary string
	env         *draintest.Server
	url         string
	devices     *snmptest.Fleet
	cmd         *exec.Cmd
}

func newFleet(t *testing.T, o fleetOptions) *fleet {
	t.Helper()
	f := &fleet{o: o, dir: t.TempDir(), binary: os.Getenv("EDGEHOLD_BINARY")}
	if f.binary == "" {
		f.binary = filepath.Join(f.dir, "edgehold")
		build := exec.Command("go", "build", "-tags", "gosnmp_nodebug", "-o", f.binary, "../cmd/edgehold")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	var err error
	if f.devices, err = snmptest.StartFleet(o.FleetOptions); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.devices.Close() })
	f.env = draintest.New(draintest.Options{Token: "fleet"})
	if f.url, err = f.env.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.env.Close() })
	f.configure(t, true)
	return f
}

// configure writes the files of an agent that polls the fleet, or nothing.
func (f *fleet) configure(t *testing.T, polls bool) {
	t.Helper()
	write(t, filepath.Join(f.dir, "token"), "fleet")
	write(t, filepath.Join(f.dir, "fleet.json"), f.activation(t))
	pkg, err := filepath.Abs("testdata/fleet")
	if err != nil {
		t.Fatal(err)
	}
	entries := ""
	if polls {
		entries = fmt.Sprintf("extensions: [{package: %s, configuration: %s/fleet.json, interval: %s}]\n", pkg, f.dir, f.o.interval)
	}
	resolution := ""
	if f.o.resolution != "" {
		resolution = ", resolution: " + f.o.resolution
	}
	write(t, f.configPath(), fmt.Sprintf(`site: fleet
state_dir: %s
socket: %s
uplink: {dynatrace: {url: %q, token_file: %s/token%s}}
trust: {allow_unsigned: true}
%s`, f.dir, f.socket(), f.url, f.dir, resolution, entries))
}

// activation is a monitoring configuration of all devices.
func (f *fleet) activation(t *testing.T) string {
	t.Helper()
	advanced := ""
	if f.o.timeout > 0 {
		advanced = fmt.Sprintf(`, "advanced": {"timeoutSecs": %d, "retries": %d}`, f.o.timeout, f.o.retries)
	}
	var devices []string
	for _, addr := range f.devices.Addrs() {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, fmt.Sprintf(`{"ip": %q, "port": %s, "authentication": {"type": "SNMPv2c", "community": "public"}%s}`, host, port, advanced))
	}
	return fmt.Sprintf(`[{"scope": "ag_group-fleet", "value": {"enabled": true, "description": "fleet", "version": "1.0.0",
		"featureSets": ["all"], "activationContext": "REMOTE", "vars": {}, "snmp": {"devices": [%s]}}}]`, strings.Join(devices, ",\n"))
}

func (f *fleet) configPath() string { return filepath.Join(f.dir, "edgehold.yaml") }
func (f *fleet) socket() string     { return filepath.Join(f.dir, "s.sock") }

func (f *fleet) start(t *testing.T) {
	t.Helper()
	f.cmd = exec.Command(f.binary, "run", "--config", f.configPath(), "--log-level", "error")
	f.cmd.Stderr = os.Stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) stop() {
	_ = f.cmd.Process.Signal(os.Interrupt)
	_ = f.cmd.Wait()
}

func (f *fleet) stopPolling(t *testing.T) {
	t.Helper()
	f.configure(t, false)
	if err := (control.Client{Path: f.socket(), Timeout: time.Minute}).Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) status(t *testing.T) control.Status {
	t.Helper()
	var st control.Status
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := (control.Client{Path: f.socket(), Timeout: 30 * time.Second}).Status(ctx, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func (f *fleet) wait(t *testing.T, what string, done func(control.Status) bool) control.Status {
	t.Helper()
	deadline := time.Now().Add(10 * time.Minute)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(f.socket()); err == nil {
			if st := f.status(t); done(st) {
				return st
			}
		}
		time.Sleep(max(100*time.Millisecond, f.o.interval/10)) // between looks; each costs the agent a little
	}
	t.Fatalf("%s: not in time: %+v", what, f.status(t).Account)
	return control.Status{}
}

// atRest ends the polling, waits until all is delivered, and checks that every
// accepted point arrived once.
func (f *fleet) atRest(t *testing.T) {
	t.Helper()
	f.stopPolling(t)
	st := f.wait(t, "rest", func(st control.Status) bool { return st.Account.Buffered == 0 && st.Buffer.PendingPoints == 0 })
	c := f.env.Counts()
	t.Logf("accepted %d, arrived %d, twice %d", st.Account.Accepted, c.Distinct, c.Duplicates)
	if f.o.resolution == "full" && (int64(c.Distinct) != st.Account.Accepted || c.Duplicates != 0) {
		t.Errorf("accepted %d, arrived %d, %d twice", st.Account.Accepted, c.Distinct, c.Duplicates)
	}
	if st.Account.Delivered != st.Account.Accepted {
		t.Errorf("%+v: not all was delivered", st.Account)
	}
}

// alive are the tasks of devices that answer.
func (f *fleet) alive(st control.Status) []control.Device {
	dead := map[string]bool{}
	for i, addr := range f.devices.Addrs() {
		if f.o.Dead != nil && f.o.Dead(i) {
			host, _, _ := net.SplitHostPort(addr)
			dead[host] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(st.Devices), func(d control.Device) bool { return dead[d.Address] })
}

func polls(devices []control.Device) (n int) {
	for _, d := range devices {
		n += int(d.Polls)
	}
	return n
}

// fewest and most are of the polls of one device.
func fewest(devices []control.Device) uint64 {
	return slices.MinFunc(devices, func(a, b control.Device) int { return int(a.Polls) - int(b.Polls) }).Polls
}

func most(devices []control.Device) uint64 {
	return slices.MaxFunc(devices, func(a, b control.Device) int { return int(a.Polls) - int(b.Polls) }).Polls
}

func mb(n int64) float64 { return float64(n) / 1e6 }

// cpu is the processor time of the agent, in seconds (proc(5): utime, stime).
func (f *fleet) cpu(t *testing.T) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// resident is the memory of the agent and that part of it that is no page of
// a file, in bytes.
func (f *fleet) resident(t *testing.T) (all, anonymous int64) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d", &kib); n == 1 {
			all = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "RssAnon: %d", &kib); n == 1 {
			anonymous = kib << 10
		}
	}
	return all, anonymous
}
