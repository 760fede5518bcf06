package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/edgehold/edgehold/probes/snmp"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

func recordCommand(args []string) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	what := flags.String("what", "fleet", "fleet or snmpd")
	out := flags.String("o", "", "file to write")
	rounds := flags.Int("rounds", 240, "rounds, each standing for a minute")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("record: -o is missing, name the file to write")
	}
	if *what == "snmpd" {
		return recordSnmpd(*out, *rounds)
	}
	return recordFleet(*out, *rounds)
}

// turned is a clock that is turned by hand; devices and probes share it.
type turned struct{ after atomic.Int64 } // milliseconds

func (c *turned) Now() probes.Stamp {
	after := c.after.Load()
	return probes.Stamp{
		Boot: probes.BootID{1, 2, 3}, Wall: mixStart + after,
		Uptime: 1000*time.Second + time.Duration(after)*time.Millisecond,
	}
}

func (c *turned) time() time.Time { return c.Now().Time() }

const community = "bench"

// target is how a simulated device or snmpd on this machine is polled.
func target(addr string) (plan.Device, error) {
	d, err := snmp.ParseDevice(addr)
	d.Timeout = 5 * time.Second
	d.Credentials = []probes.Credential{{Name: community, Version: probes.SNMPv2c, Community: probes.NewSecret(community)}}
	return d, err
}

// recordFleet polls simulated switches and UPSs once a round with the built-in
// package; between two rounds a minute of theirs passes.
func recordFleet(path string, rounds int) error {
	const switches, upss, ports = 40, 8, 24
	clock := &turned{}
	var devices []plan.Device
	for i := range switches + upss {
		mib := snmptest.NewUPS(fmt.Sprintf("ups-%d", i), uint64(i), clock.time)
		if i < switches {
			mib = snmptest.NewSwitch(fmt.Sprintf("switch-%d", i), ports, uint64(i), clock.time)
		}
		r, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{community: mib}})
		if err != nil {
			return err
		}
		defer r.Close()
		d, err := target(r.Addr())
		if err != nil {
			return err
		}
		devices = append(devices, d)
	}
	builtin, err := genericPlan()
	if err != nil {
		return err
	}
	tasks := snmp.Tasks(builtin, devices, snmp.TaskOptions{Config: "fleet"}, probes.Deps{Clock: clock, Log: zerolog.Nop()})
	out, err := newRecorder(path)
	if err != nil {
		return err
	}
	for i := range rounds {
		points, err := pollAll(tasks, func(device int) {
			clock.after.Store(int64(i)*60_000 + int64(device)*60_000/int64(len(tasks)))
		})
		if err == nil {
			err = out.add(points)
		}
		if err != nil {
			return errors.Join(err, out.close())
		}
	}
	return out.close()
}

func pollAll(tasks []probes.Task, before func(device int)) ([]probes.Point, error) {
	var all []probes.Point
	for i, t := range tasks {
		before(i)
		batch, err := t.Probe.Poll(context.Background())
		if err != nil && probes.StatusOf(err) != probes.StatusWarning {
			return nil, fmt.Errorf("poll %s: %w", t.Label, err)
		}
		all = append(all, batch.Points...)
	}
	return all, nil
}

// recordSnmpd polls net-snmp's agent on this machine each second while the
// machine is kept busy; each second stands for a minute.
func recordSnmpd(path string, rounds int) error {
	dir, err := os.MkdirTemp("", "storebench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	addr, stop, err := startSnmpd(dir)
	if err != nil {
		return err
	}
	defer stop()
	p, err := hostPlan()
	if err != nil {
		return err
	}
	device, err := target(addr)
	if err != nil {
		return err
	}
	clock := &turned{}
	tasks := snmp.Tasks(p, []plan.Device{device}, snmp.TaskOptions{Config: "snmpd"}, probes.Deps{Clock: clock, Log: zerolog.Nop()})
	if err := answers(tasks); err != nil {
		return err
	}
	// The agent's caches of 3 to 60 seconds would show most seconds as still.
	if out, err := freshen(addr); err != nil {
		return fmt.Errorf("shorten the caches of snmpd: %w: %s", err, out)
	}
	idle := keepBusy(dir)
	defer idle()
	out, err := newRecorder(path)
	if err != nil {
		return err
	}
	return errors.Join(recordSeconds(out, tasks, clock, rounds), out.close())
}

func recordSeconds(out *recorder, tasks []probes.Task, clock *turned, rounds int) error {
	begun := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for i := range rounds {
		<-ticker.C
		after := time.Since(begun).Milliseconds()
		clock.after.Store(after) // true while polling: a device whose uptime lags has restarted
		points, err := pollAll(tasks, func(int) {})
		if err != nil {
			return err
		}
		stand := &turned{}
		stand.after.Store(int64(i)*60_000 + after%1000)
		for j := range points {
			points[j].Stamp = stand.Now()
		}
		if err := out.add(points); err != nil {
			return err
		}
	}
	return nil
}

// answers waits for the agent to be up.
func answers(tasks []probes.Task) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := pollAll(tasks, func(int) {})
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func startSnmpd(dir string) (addr string, stop func(), err error) {
	path, err := tool("snmpd")
	if err != nil {
		return "", nil, err
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = conn.LocalAddr().String()
	conn.Close()
	file, state := filepath.Join(dir, "snmpd.conf"), filepath.Join(dir, "state")
	text := "agentAddress udp:" + addr + "\nrwcommunity " + community + " 127.0.0.1\n"
	if err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(path, "-f", "-C", "-c", file, "-Lf", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+state)
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start snmpd: %w", err)
	}
	return addr, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, nil
}

func tool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	path = "/usr/sbin/" + name // not on everybody's PATH
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not installed: apt-get install snmpd snmp", name)
	}
	return path, nil
}

// freshen sets nsCacheTimeout to a second for what is polled.
func freshen(addr string) (string, error) {
	path, err := tool("snmpset")
	if err != nil {
		return "", err
	}
	for _, oid := range []string{"2.2", "4", "4.31.1", "4.31.3", "5", "6", "7"} {
		cmd := exec.Command(path, "-v2c", "-c", community, "-m", "", addr, "1.3.6.1.4.1.8072.1.5.3.1.2.1.3.6.1.2.1."+oid, "i", "1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return string(out), err
		}
	}
	return "", nil
}

// keepBusy compiles, and sends bursts over loopback, until it is called off.
func keepBusy(dir string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() {
		compile(ctx, filepath.Join(dir, "cache"))
		done <- struct{}{}
	}()
	go func() {
		burst(ctx)
		done <- struct{}{}
	}()
	return func() {
		cancel()
		<-done
		<-done
	}
}

func compile(ctx context.Context, cache string) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, "nice", "go", "build", "-a", "-o", os.DevNull, "net/http", "encoding/json", "go/types")
		cmd.Env = append(os.Environ(), "GOCACHE="+cache, "GOFLAGS=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		if err := cmd.Run(); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "storebench: the compiler does not run, the machine is less busy:", err)
			return
		}
	}
}

// burst sends now little, now much, as traffic does.
func burst(ctx context.Context) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	dice := newMix(mixOptions{}).random
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			return
		}
		peer, err := listener.Accept()
		if err != nil {
			conn.Close()
			return
		}
		data := strings.Repeat("x", 1+dice.Intn(16<<10))
		for range dice.Intn(20) {
			_, _ = conn.Write([]byte(data))
			_, _ = peer.Read(make([]byte, len(data)))
		}
		conn.Close()
		peer.Close()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(dice.Intn(200)) * time.Millisecond):
		}
	}
}

// genericPlan is what an unknown device is asked for.
func genericPlan() (*plan.Plan, error) {
	profiles, err := extension.OpenProfiles(nil, "")
	if err != nil {
		return nil, err
	}
	return profiles.Named(extension.GenericProfile, plan.ProfileOptions{FeatureSets: []string{"interfaces-all"}, Interval: time.Minute})
}

// hostPlan is the generic profile and what a server is asked for besides.
func hostPlan() (*plan.Plan, error) {
	p, err := genericPlan()
	if err != nil {
		return nil, err
	}
	scalars := plan.Block{Path: "host", Interval: time.Minute}
	for _, group := range []struct {
		oid         string
		first, last int
		typ         probes.Type
	}{
		{"1.3.6.1.2.1.4", 3, 12, probes.Count},          // ip
		{"1.3.6.1.2.1.5", 1, 26, probes.Count},          // icmp
		{"1.3.6.1.2.1.6", 5, 8, probes.Count},           // tcp
		{"1.3.6.1.2.1.6", 9, 9, probes.Gauge},           // tcpCurrEstab
		{"1.3.6.1.2.1.6", 10, 12, probes.Count},         // tcp segments
		{"1.3.6.1.2.1.7", 1, 4, probes.Count},           // udp
		{"1.3.6.1.2.1.11", 1, 2, probes.Count},          // snmp packets
		{"1.3.6.1.4.1.2021.4", 3, 6, probes.Gauge},      // memory
		{"1.3.6.1.4.1.2021.4", 11, 15, probes.Gauge},    // memory
		{"1.3.6.1.4.1.2021.11", 50, 66, probes.Count},   // processor
		{"1.3.6.1.4.1.2021.10.1.5", 1, 3, probes.Gauge}, // load averages, in hundredths
		{"1.3.6.1.2.1.25.1", 5, 6, probes.Gauge},        // users and processes
	} {
		for i := group.first; i <= group.last; i++ {
			oid := fmt.Sprintf("%s.%d.0", group.oid, i)
			if strings.HasSuffix(group.oid, ".5") && group.typ == probes.Gauge {
				oid = fmt.Sprintf("%s.%d", group.oid, i) // rows of a table, no scalars
			}
			scalars.Metrics = append(scalars.Metrics, plan.Metric{Key: "host." + oid, Type: group.typ, Source: plan.Source{Kind: plan.FromScalar, OID: oid}})
		}
	}
	p.Blocks = append(p.Blocks, scalars,
		countTable("1.3.6.1.4.1.2021.13.15.1.1", "2", "3", "4", "5", "6", "12", "13"), // disks
		countTable("1.3.6.1.2.1.31.1.1.1", "1", "7", "8", "9", "11", "12", "13"))      // packets of interfaces
	return p.WithInterval(time.Minute), nil
}

// countTable counts columns of a table whose rows have a name.
func countTable(entry, name string, columns ...string) plan.Block {
	b := plan.Block{Path: "host/" + entry, Interval: time.Minute, Table: true, Dims: []plan.Dim{
		{Key: "name", Source: plan.Source{Kind: plan.FromColumn, OID: entry + "." + name}},
	}}
	for _, c := range columns {
		b.Metrics = append(b.Metrics, plan.Metric{Key: "host." + entry + "." + c, Type: probes.Count, Source: plan.Source{Kind: plan.FromColumn, OID: entry + "." + c}})
	}
	return b
}
