package snmp

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/rs/zerolog"
)

// tenColumns is the plan that the measurements of this file poll.
func tenColumns() *plan.Plan {
	const high = "1.3.6.1.2.1.31.1.1.1."
	b := plan.Block{Path: "interfaces", Interval: time.Minute, Table: true, Dims: []plan.Dim{
		{Key: "if", Source: plan.Source{Kind: plan.FromColumn, OID: high + "1"}},
		{Key: "alias", Source: plan.Source{Kind: plan.FromColumn, OID: high + "18"}},
	}}
	for i, column := range []string{
		high + "6", high + "7", high + "10", high + "11", high + "15",
		"1.3.6.1.2.1.2.2.1.8", "1.3.6.1.2.1.2.2.1.14", "1.3.6.1.2.1.2.2.1.20",
	} {
		m := plan.Metric{Key: fmt.Sprint("m", i), Type: probes.Count, Source: plan.Source{Kind: plan.FromColumn, OID: column}}
		if i == 4 || i == 5 {
			m.Type = probes.Gauge
		}
		b.Metrics = append(b.Metrics, m)
	}
	return &plan.Plan{Extension: "com.example.ten", Version: "1", Blocks: []plan.Block{b}}
}

const fleetEnv = "EDGEHOLD_TEST_FLEET"

// TestFleetProcess is no test: it is the process that BenchmarkPoll polls.
func TestFleetProcess(t *testing.T) {
	if os.Getenv(fleetEnv) == "" {
		t.Skip("SKIPPED: only for BenchmarkPoll")
	}
	f, err := snmptest.StartFleet(snmptest.FleetOptions{Devices: 64, Ports: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Println("fleet", strings.Join(f.Addrs(), " "))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// fleetProcess starts a fleet in a process of its own.
func fleetProcess(b *testing.B) []string {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFleetProcess$", "-test.v")
	cmd.Env = append(os.Environ(), fleetEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if list, ok := strings.CutPrefix(lines.Text(), "fleet "); ok {
			return strings.Fields(list)
		}
	}
	b.Fatal("the fleet did not start")
	return nil
}

func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPoll is the CPU time of one poll of 24 ports x 10 columns: all of
// it, and the reading alone (no points).
func BenchmarkPoll(b *testing.B) {
	addrs := fleetProcess(b)
	var devices []plan.Device
	for _, addr := range addrs {
		d, err := ParseDevice(addr)
		if err != nil {
			b.Fatal(err)
		}
		d.Credentials = []probes.Credential{{Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("public")}}
		devices = append(devices, d)
	}
	c := newClock()
	tasks := Tasks(tenColumns(), devices, TaskOptions{Config: "bench"}, probes.Deps{Clock: c, Log: zerolog.Nop()})
	b.Run("points", func(b *testing.B) {
		benchmarkPoll(b, tasks, func(p *Probe) error {
			batch, err := p.Poll(b.Context())
			if err == nil && len(batch.Points) < 2*24 {
				err = fmt.Errorf("%d points", len(batch.Points))
			}
			return err
		})
	})
	b.Run("reading", func(b *testing.B) {
		benchmarkPoll(b, tasks, func(p *Probe) error {
			s, uptime, err := p.device.reach(b.Context(), &p.stats)
			if err != nil {
				return err
			}
			defer s.close()
			r := p.read(b.Context(), s, p.device.newReading(c.Now(), uptime), nil)
			defer p.device.drop(r)
			if len(r.Columns) != 10 || len(r.reasons()) > 0 {
				return fmt.Errorf("%d columns, %v", len(r.Columns), r.reasons())
			}
			return nil
		})
	})
}

func benchmarkPoll(b *testing.B, tasks []probes.Task, poll func(p *Probe) error) {
	b.ReportAllocs()
	requests := 0
	before := cpuTime(b)
	for i := 0; b.Loop(); i++ {
		p := tasks[i%len(tasks)].Probe.(*Probe)
		p.stats = probes.PollStats{}
		if err := poll(p); err != nil {
			b.Fatal(err)
		}
		requests = p.stats.Requests
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(requests), "requests/op")
}
