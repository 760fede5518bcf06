package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// TestSoakFleet measures the agent as a process of its own with 200 switches of
// 24 ports polled every 10 s: in steady state, and through an outage. It
// prints figures and asserts only that nothing was lost.
func TestSoakFleet(t *testing.T) {
	if os.Getenv("EDGEHOLD_SOAK") == "" {
		t.Skip("SKIPPED: a measurement of some minutes; set EDGEHOLD_SOAK=1")
	}
	const devices, ports = 200, 24
	f := newFleet(t, devices, ports)
	f.start(t)
	defer f.stop()
	f.wait(t, "first poll of all", func(st control.Status) bool { return polls(st) >= devices })

	cpu, done := f.cpu(t), polls(f.status(t))
	f.wait(t, "five more polls of all", func(st control.Status) bool { return polls(st) >= done+5*devices })
	st := f.status(t)
	device := float64(polls(st) - done)
	t.Logf("polling and sending: %.2f CPU-s per 1,000 device-polls, %.1f MB resident, %.1f MB anonymous, %d series",
		(f.cpu(t)-cpu)/device*1000, mb(st.Memory.Resident), mb(st.Memory.Anonymous), st.Buffer.Series)

	f.env.Refuse()
	cpu, done = f.cpu(t), polls(f.status(t))
	f.wait(t, "six polls of all in the outage", func(st control.Status) bool { return polls(st) >= done+6*devices })
	st = f.status(t)
	device = float64(polls(st) - done)
	t.Logf("in the outage: %.2f CPU-s per 1,000 device-polls, %.1f MB resident, %.1f MB anonymous, %d points in the file at %.2f bytes each",
		(f.cpu(t)-cpu)/device*1000, mb(st.Memory.Resident), mb(st.Memory.Anonymous), st.Account.Buffered,
		float64(st.Buffer.UsedBytes)/float64(st.Account.Buffered))

	backlog := st.Account.Buffered + st.Account.Delivered
	if err := f.env.Restore(); err != nil {
		t.Fatal(err)
	}
	cpu, back := f.cpu(t), time.Now()
	f.wait(t, "the backlog drained", func(st control.Status) bool { return st.Account.Delivered >= backlog })
	t.Logf("drain: %d points in %.1f s, %.2f CPU-s, peak %.1f MB resident",
		st.Account.Buffered, time.Since(back).Seconds(), f.cpu(t)-cpu, mb(f.status(t).Memory.Peak))
	f.stopPolling(t)
	f.wait(t, "rest", func(st control.Status) bool { return st.Account.Buffered == 0 && st.Buffer.PendingPoints == 0 })
	st, c := f.status(t), f.env.Counts()
	t.Logf("accepted %d, arrived %d, twice %d", st.Account.Accepted, c.Distinct, c.Duplicates)
	if int64(c.Distinct) != st.Account.Accepted || c.Duplicates != 0 {
		t.Errorf("accepted %d, arrived %d, %d twice", st.Account.Accepted, c.Distinct, c.Duplicates)
	}
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func polls(st control.Status) (n int) {
	for _, d := range st.Devices {
		n += int(d.Polls)
	}
	return n
}

// fleet is an agent with its devices and environment.
type fleet struct {
	dir, binary string
	env         *draintest.Server
	url         string
	devices     []string
	cmd         *exec.Cmd
}

func newFleet(t *testing.T, devices, ports int) *fleet {
	t.Helper()
	f := &fleet{dir: t.TempDir()}
	f.binary = filepath.Join(f.dir, "edgehold")
	build := exec.Command("go", "build", "-tags", "gosnmp_nodebug", "-o", f.binary, "../cmd/edgehold")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for i := range devices {
		mib := snmptest.NewSwitch(fmt.Sprintf("switch-%d", i), ports, uint64(i), time.Now)
		r, err := snmptest.Start(snmptest.Options{
			Addr: fmt.Sprintf("127.1.%d.%d:0", i/200, 1+i%200), Communities: map[string]*snmptest.MIB{"public": mib},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		f.devices = append(f.devices, strconv.Quote(r.Addr()))
	}
	f.env = draintest.New(draintest.Options{Token: "fleet"})
	url, err := f.env.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.env.Close() })
	f.url = url
	write(t, filepath.Join(f.dir, "token"), "fleet")
	write(t, filepath.Join(f.dir, "community"), "public")
	f.configure(t, fmt.Sprintf("probes:\n  - {kind: snmp, interval: 10s, credentials: [all], devices: [%s]}\n", strings.Join(f.devices, ", ")))
	return f
}

func (f *fleet) configure(t *testing.T, probes string) {
	t.Helper()
	write(t, f.configPath(), fmt.Sprintf(`site: fleet
state_dir: %s
socket: %s
uplink: {dynatrace: {url: %q, token_file: %s/token, resolution: full}}
credentials: {all: {community_file: %s/community}}
%s`, f.dir, f.socket(), f.url, f.dir, f.dir, probes))
}

func (f *fleet) configPath() string { return filepath.Join(f.dir, "edgehold.yaml") }
func (f *fleet) socket() string     { return filepath.Join(f.dir, "s.sock") }

func (f *fleet) start(t *testing.T) {
	t.Helper()
	f.cmd = exec.Command(f.binary, "run", "--config", f.configPath(), "--log-level", "warn")
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
	f.configure(t, "")
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

func (f *fleet) wait(t *testing.T, what string, done func(control.Status) bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(f.socket()); err == nil && done(f.status(t)) {
			return
		}
		time.Sleep(time.Second) // between looks; each costs the agent a little
	}
	t.Fatalf("%s: not within three minutes: %+v", what, f.status(t).Account)
}

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
