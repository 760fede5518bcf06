package main_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// The tests of the *_e2e_test.go files build the program once and run it as a
// process, against devices and an environment on loopback.

const (
	patience = 60 * time.Second // after this long a condition will not come true
	look     = 25 * time.Millisecond
)

// built is the program under test; TestMain removes it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// program builds edgehold as `make build` does and returns its path.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "edgehold-e2e-"); built.err != nil {
			return
		}
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil { // for tests that run it as another user
			return
		}
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "gosnmp_nodebug", "-o", built.dir, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "edgehold")
}

// eventually waits until ok, or fails with what was waited for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(look) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func (r result) all() string { return r.out + r.err }

// mustSay fails unless the command ended with code and said all of words.
func (r result) mustSay(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; it said:\n%s", r.code, code, r.all())
	}
	for _, w := range words {
		if !strings.Contains(r.all(), w) {
			t.Errorf("%q is not in what it said:\n%s", w, r.all())
		}
	}
}

// edgehold runs one command to its end.
func edgehold(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, exec.Command(program(t), args...))
}

// finish runs cmd to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Start()
	if err == nil {
		over := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		over.Stop()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %q: %v", cmd.Args, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
}

// process is a program that runs until it is told to end.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string        // the file that takes all it says
	done chan struct{} // closed when it has ended
}

// launch starts cmd and ends it, if need be, with the test.
func launch(t *testing.T, cmd *exec.Cmd, log string) *process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = f, f
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C is for the test
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
		_ = f.Close()
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience / 2):
			p.signal(syscall.SIGKILL)
			<-p.done
			t.Error("the process did not end on SIGTERM")
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Args, p.tail())
		}
	})
	return p
}

// signal tells the process, if it still runs.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// end sends a signal and returns how the process ended.
func (p *process) end(s syscall.Signal) result {
	p.t.Helper()
	p.signal(s)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the process has not ended %v after %v", patience, s)
	}
	return result{code: p.cmd.ProcessState.ExitCode(), err: p.said()}
}

func (p *process) said() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(data)
}

func (p *process) tail() string {
	lines := strings.Split(p.said(), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// site is the folder of one agent: its configuration, secrets and store.
type site struct {
	t       *testing.T
	dir     string
	config  string
	socket  string
	starts  int
	agent   *process      // the last one started
	command []string      // put before the program
	env     []string      // added to the environment
	flags   []string      // added to the command
	verb    string        // the command; "": run
	root    func() string // where the agent's paths begin, for one in a namespace of its own
}

const (
	goodToken     = "dt0c01.E2E.NOT-A-SECRET"
	goodCommunity = "e2e-community"
)

// newSite makes a folder short enough for the address of a socket, with a
// token and a community in it.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "eh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "edgehold.yaml"), socket: filepath.Join(dir, "control.sock")}
	s.root = func() string { return "" }
	s.file("token", goodToken)
	s.file("community", goodCommunity)
	return s
}

// file writes a file, readable by its owner only, and returns its path.
func (s *site) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// yaml writes the configuration: what every agent needs, for the environment
// at url, and then the parts.
func (s *site) yaml(url string, parts ...string) {
	s.t.Helper()
	head := fmt.Sprintf(`site: e2e
state_dir: state
socket: control.sock
uplink:
  dynatrace: {url: "%s", token_file: token, resolution: full}
buffer: {commit_interval: 1s}
trust: {allow_unsigned: true}
credentials:
  good: {community_file: community}
`, url)
	s.file("edgehold.yaml", head+strings.Join(parts, ""))
}

// polled is a `probes` entry for devices.
func polled(interval string, addrs ...string) string {
	return fmt.Sprintf("  - {kind: snmp, devices: [\"%s\"], credentials: [good], interval: %s}\n", strings.Join(addrs, `", "`), interval)
}

// start runs the agent and returns when it answers.
func (s *site) start() *process {
	s.t.Helper()
	s.starts++
	args := append(append([]string{}, s.command...), program(s.t), cmp.Or(s.verb, "run"), "--config", s.config)
	args = append(args, s.flags...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	s.agent = launch(s.t, cmd, filepath.Join(s.dir, fmt.Sprintf("agent-%d.log", s.starts)))
	eventually(s.t, "the agent to answer on its socket", func() bool {
		select {
		case <-s.agent.done:
			s.t.Fatalf("the agent ended right after its start:\n%s", s.agent.tail())
		default:
		}
		_, err := s.ask()
		return err == nil
	})
	return s.agent
}

func (s *site) ask() (st control.Status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = control.Client{Path: s.socket, Timeout: 20 * time.Second}.Status(ctx, &st)
	return st, err
}

// status is the agent's status now.
func (s *site) status() control.Status {
	s.t.Helper()
	st, err := s.ask()
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// await waits until the status is as ok wants it, and returns it.
func (s *site) await(what string, ok func(control.Status) bool) (st control.Status) {
	s.t.Helper()
	eventually(s.t, what, func() bool {
		st = s.status()
		return ok(st)
	})
	return st
}

// deviceOf is the status of the device at an address, as host:port.
func deviceOf(t *testing.T, st control.Status, addr string) control.Device {
	t.Helper()
	for _, d := range st.Devices {
		if strings.HasPrefix(d.Label, addr+" ") {
			return d
		}
	}
	t.Fatalf("no device %s in %+v", addr, st.Devices)
	return control.Device{}
}

// newSwitch starts a simulated switch that answers to communities.
func newSwitch(t *testing.T, host string, communities ...string) *snmptest.Responder {
	t.Helper()
	mib := snmptest.NewSwitch("e2e-switch", 4, 1, time.Now)
	served := map[string]*snmptest.MIB{}
	for _, c := range communities {
		served[c] = mib
	}
	r, err := snmptest.Start(snmptest.Options{Addr: host + ":0", Communities: served})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// newEnvironment starts a stand-in for Dynatrace that keeps what it takes.
func newEnvironment(t *testing.T) *draintest.Server {
	t.Helper()
	env := draintest.New(draintest.Options{Token: goodToken, KeepLines: true})
	if _, err := env.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	return env
}

// linesOf are the lines the environment took that fit.
func linesOf(t *testing.T, env *draintest.Server, fits func(draintest.Line) bool) (lines []draintest.Line) {
	t.Helper()
	for _, text := range env.Ledger().Lines() {
		l, err := draintest.ParseLine(text)
		if err != nil {
			t.Fatal(err)
		}
		if fits(l) {
			lines = append(lines, l)
		}
	}
	return lines
}

// dim is the value of a dimension, "" where the line has none such.
func dim(l draintest.Line, key string) string {
	for _, d := range l.Dims {
		if d.Key == key {
			return d.Value
		}
	}
	return ""
}

const uptimeKey = "com.dynatrace.extension.network_device.sysuptime"

// uptimesOf fits the one line that each poll of the device at addr gives.
func uptimesOf(addr string) func(draintest.Line) bool {
	host, port, _ := strings.Cut(addr, ":")
	return func(l draintest.Line) bool {
		return l.Key == uptimeKey && dim(l, "device.address") == host && dim(l, "device.port") == port
	}
}
