package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const (
	loadDevices = 200
	loadReloads = 6
)

// loadSite is an agent in this process that polls many devices each second: all
// but some of them belong to a configuration that is never changed.
type loadSite struct {
	t       *testing.T
	dir     string
	url     string
	pkg     string
	devices *snmptest.Fleet
	agent   *Agent
	stop    func()
}

func newLoadSite(t *testing.T) *loadSite {
	t.Helper()
	s := &loadSite{t: t, dir: t.TempDir()}
	var err error
	if s.devices, err = snmptest.StartFleet(snmptest.FleetOptions{Devices: loadDevices, Ports: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.devices.Close() })
	env := draintest.New(draintest.Options{Token: "load"})
	if s.url, err = env.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	if s.pkg, err = filepath.Abs("testdata/fleet"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "token"), "load")
	return s
}

// configure writes the files: the first half of the devices always as they are,
// the second with what is given.
func (s *loadSite) configure(from, to int, extra string) {
	s.t.Helper()
	addrs := s.devices.Addrs()
	s.activation("kept.json", addrs[:loadDevices/2])
	s.activation("moved.json", addrs[from:to])
	write(s.t, filepath.Join(s.dir, "edgehold.yaml"), fmt.Sprintf(`site: load
state_dir: %[1]s
socket: %[1]s/s.sock
uplink: {dynatrace: {url: %[2]q, token_file: %[1]s/token}}
trust: {allow_unsigned: true}
extensions:
  - {package: %[3]s, configuration: %[1]s/kept.json, interval: 1s}
  - {package: %[3]s, configuration: %[1]s/moved.json, interval: 1s}
%[4]s`, s.dir, s.url, s.pkg, extra))
}

func (s *loadSite) activation(name string, addrs []string) {
	s.t.Helper()
	var devices []string
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			s.t.Fatal(err)
		}
		devices = append(devices, fmt.Sprintf(`{"ip": %q, "port": %s, "authentication": {"type": "SNMPv2c", "community": "public"}}`, host, port))
	}
	write(s.t, filepath.Join(s.dir, name), fmt.Sprintf(`[{"scope": "ag_group-load", "value": {"enabled": true, "description": "load", "version": "1.0.0",
		"featureSets": ["all"], "activationContext": "REMOTE", "vars": {}, "snmp": {"devices": [%s]}}}]`, strings.Join(devices, ",")))
}

func (s *loadSite) start() {
	s.t.Helper()
	a, err := New(Options{
		Path: filepath.Join(s.dir, "edgehold.yaml"), Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Version: "test",
		NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	var stopped atomic.Bool
	s.agent, s.stop = a, func() {
		if cancel(); !stopped.Swap(true) {
			if err := <-ended; err != nil {
				s.t.Error(err)
			}
		}
	}
	s.t.Cleanup(s.stop)
}

// waitFor waits until ok is.
func (s *loadSite) waitFor(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain: %s", what)
		}
		runtime.Gosched()
		timer := time.NewTimer(20 * time.Millisecond)
		<-timer.C
	}
}

// polls are those of each task of a configuration.
func (s *loadSite) polls(file string) map[string]result {
	out := map[string]result{}
	for _, st := range s.agent.schedule.States() {
		if strings.HasSuffix(st.Task.Config, file) {
			out[st.Task.ID] = st.Last
		}
	}
	return out
}

// allPolled tells whether each task of a configuration was polled so many times
// more than before.
func (s *loadSite) allPolled(file string, before map[string]result, more uint64) bool {
	now := s.polls(file)
	for id, r := range now {
		if r.LastOK.IsZero() || r.Polls < before[id].Polls+more {
			return false
		}
	}
	return len(now) > 0
}

// descriptors counts the open files of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestReloadUnderLoad changes the configuration again and again while 200
// devices are polled each second. What is not changed is polled on its grid,
// every time; what is gone leaves nothing behind.
func TestReloadUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds of polling")
	}
	s := newLoadSite(t)
	s.configure(loadDevices/2, loadDevices, "")
	s.start()
	s.waitFor("all devices polled twice", func() bool { return s.allPolled("kept.json", nil, 2) && s.allPolled("moved.json", nil, 2) })
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	before := s.agent.schedule.States()
	for i := range loadReloads {
		changes := []func(){
			func() { s.configure(loadDevices/2, 3*loadDevices/4, "") },
			func() { s.configure(3*loadDevices/4, loadDevices, "polling: {max_in_flight: 64}\n") },
			func() { s.configure(loadDevices/2, loadDevices/2+1, "buffer: {late: archive}\n") },
			func() { s.configure(loadDevices/2, loadDevices, "") },
		}
		changes[i%len(changes)]()
		if i == loadReloads-1 {
			s.configure(loadDevices/2, loadDevices, "")
		}
		was := s.polls("kept.json")
		if err := s.agent.Reload(t.Context()); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
		s.waitFor("polls after a reload", func() bool { return s.allPolled("kept.json", was, 1) && s.allPolled("moved.json", nil, 1) })
	}
	s.checkGrid(before)
	s.waitFor("no goroutine more than before", func() bool { return runtime.NumGoroutine() <= goroutines+s.agent.schedule.Pace().InFlight+5 })
	s.waitFor("no descriptor more than before", func() bool { return descriptors(t) <= files+s.agent.schedule.Pace().InFlight+2 })
	if n := len(s.agent.schedule.States()); n != loadDevices+1 {
		t.Errorf("%d tasks in the end, want %d", n, loadDevices+1)
	}
	s.stop()
	if n := s.agent.schedule.slots.held + s.agent.schedule.patient.held + s.agent.schedule.dead.held; n != 0 {
		t.Errorf("%d slots are held after the end", n)
	}
}

// checkGrid holds the tasks that no reload has changed against their grid: each
// place on it since then was polled, is being polled, or was counted as skipped.
func (s *loadSite) checkGrid(before []taskState) {
	s.t.Helper()
	was := map[string]taskState{}
	for _, st := range before {
		was[st.Task.ID] = st
	}
	tasks, places, skipped := 0, 0, 0
	for _, now := range s.agent.schedule.States() {
		if !strings.HasSuffix(now.Task.Config, "kept.json") {
			continue
		}
		old := was[now.Task.ID]
		passed := now.Next.Sub(old.Next)
		if passed%now.Task.Interval != 0 {
			s.t.Errorf("%s is %v off its grid", now.Task.ID, passed%now.Task.Interval)
		}
		done := func(st taskState) int {
			n := int(st.Last.Polls + st.Last.Skipped)
			if st.runs {
				n++
			}
			return n
		}
		want := int(passed / now.Task.Interval)
		if got := done(now) - done(old); got != want {
			s.t.Errorf("%s: %d of %d places on its grid are accounted for", now.Task.ID, got, want)
		}
		tasks, places, skipped = tasks+1, places+want, skipped+int(now.Last.Skipped-old.Last.Skipped)
	}
	if tasks != loadDevices/2 || places < tasks*loadReloads/2 {
		s.t.Errorf("%d tasks with %d places on the grid were looked at", tasks, places)
	}
	s.t.Logf("%d tasks, %d places on the grid, %d skipped since the poll before still ran", tasks, places, skipped)
}
