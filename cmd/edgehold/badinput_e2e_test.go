package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const (
	goodPackage = `name: custom:e2e.good
version: 1.0.0
minDynatraceVersion: "1.256"
author: {name: E2E}
snmp:
  - group: system
    interval: {minutes: 1}
    dimensions:
      - {key: device.address, value: this:device.address}
    metrics:
      - {key: e2e.good.uptime, value: "oid:1.3.6.1.2.1.1.3.0", type: gauge}
`
	pythonPackage = `name: custom:e2e.python
version: 1.0.0
minDynatraceVersion: "1.256"
author: {name: E2E}
python:
  runtime: {module: e2e, version: {min: "3.10"}}
  activation: {remote: {path: activationSchema.json}}
`
)

// monitoring is a monitoring configuration for one device.
func monitoring(addr, community string) string {
	host, port, _ := strings.Cut(addr, ":")
	return fmt.Sprintf(`{"enabled": true, "description": "e2e", "version": "1.0.0", "featureSets": [], "vars": {},
  "snmp": {"devices": [{"ip": "%s", "port": %s,
    "authentication": {"type": "SNMPv2c", "community": "%s"}}]}}`, host, port, community)
}

func extension(pkg, configuration string) string {
	return fmt.Sprintf("  - {package: %s, configuration: %s, interval: 1s}\n", pkg, configuration)
}

// Every fault is named with its place and its mend before anything runs.
func TestE2EBadInputIsNamedByCheck(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:1"
	dynatrace := func(url string) string {
		return "site: e2e\nuplink:\n  dynatrace: {url: \"" + url + "\", token_file: token}\n"
	}
	for name, c := range map[string]struct {
		prepare func(s *site)
		words   []string
	}{
		"unknown key":       {func(s *site) { s.yaml(url, "qqq: 1\n") }, []string{"edgehold.yaml:10:1: qqq: unknown key, expected one of site"}},
		"misspelt key":      {func(s *site) { s.yaml(url, "probs: []\n") }, []string{"edgehold.yaml:10:1: probs: unknown key", `did you mean "probes"?`}},
		"wrong type":        {func(s *site) { s.yaml(url, "polling: {max_in_flight: many}\n") }, []string{"edgehold.yaml:10:26: polling.max_in_flight: found the text \"many\", expected a whole number"}},
		"number for a text": {func(s *site) { s.file("edgehold.yaml", strings.Replace(dynatrace(url), "e2e", "007", 1)) }, []string{":1:7: site: found the number 007", `write "007", in quotes`}},
		"no file":           {func(*site) {}, []string{"edgehold.yaml: no such file", "--config FILE"}},
		"no token file":     {func(s *site) { s.yaml(url); _ = os.Remove(filepath.Join(s.dir, "token")) }, []string{"uplink.dynatrace.token_file: no such file in ", "`chmod 600`"}},
		"token for everybody": {
			func(s *site) { s.yaml(url); _ = os.Chmod(filepath.Join(s.dir, "token"), 0o644) },
			[]string{"/token is readable by others (mode 0644); run: chmod o-rwx /"},
		},
		"community for everybody": {
			func(s *site) { s.yaml(url); _ = os.Chmod(filepath.Join(s.dir, "community"), 0o604) },
			[]string{"/community is readable by others (mode 0604); run: chmod o-rwx /"},
		},
		"configuration with a community for everybody": {func(s *site) {
			s.file("good/extension.yaml", goodPackage)
			_ = os.Chmod(s.file("good.json", monitoring("127.0.0.1:1", goodCommunity)), 0o644)
			s.yaml(url, "extensions:\n", extension("good", "good.json"))
		}, []string{"/good.json is readable by others (mode 0644); run: chmod o-rwx /"}},
		"no package": {func(s *site) {
			s.file("good.json", monitoring("127.0.0.1:1", goodCommunity))
			s.yaml(url, "extensions:\n", extension("none.zip", "good.json"))
		}, []string{"edgehold.yaml:11:5", "none.zip", "no such file"}},
		"package that is no zip": {func(s *site) {
			s.file("bad.zip", "PK\x03\x04 and then nothing")
			s.file("good.json", monitoring("127.0.0.1:1", goodCommunity))
			s.yaml(url, "extensions:\n", extension("bad.zip", "good.json"))
		}, []string{"bad.zip", "zip"}},
		"package with broken YAML": {func(s *site) {
			s.file("bad/extension.yaml", "name: [x\n")
			s.file("good.json", monitoring("127.0.0.1:1", goodCommunity))
			s.yaml(url, "extensions:\n", extension("bad", "good.json"))
		}, []string{"bad/extension.yaml", "YAML"}},
		"python package": {func(s *site) {
			s.file("py/extension.yaml", pythonPackage)
			s.file("good.json", monitoring("127.0.0.1:1", goodCommunity))
			s.yaml(url, "extensions:\n", extension("py", "good.json"))
		}, []string{"py/extension.yaml: this data source cannot run here: python"}},
		"broken JSON": {func(s *site) {
			s.file("good/extension.yaml", goodPackage)
			s.file("bad.json", "{\n  \"enabled\": true,\n  \"snmp\" {}\n}")
			s.yaml(url, "extensions:\n", extension("good", "bad.json"))
		}, []string{"bad.json:3:10: not valid JSON"}},
		"unsigned package": {func(s *site) {
			s.file("good/extension.yaml", goodPackage)
			s.file("good.json", monitoring("127.0.0.1:1", goodCommunity))
			s.file("edgehold.yaml", dynatrace(url)+"extensions:\n"+extension("good", "good.json"))
		}, []string{"carries no signature", "allow_unsigned: true"}},
		"URL without scheme": {
			func(s *site) { s.file("edgehold.yaml", dynatrace("abc12345.live.dynatrace.com")) },
			[]string{":3:20: uplink.dynatrace.url: no scheme", "write https://abc12345.live.dynatrace.com"},
		},
		"http to another host": {
			func(s *site) { s.file("edgehold.yaml", dynatrace("http://abc12345.live.dynatrace.com")) },
			[]string{"http would send the token in clear text, expected https", "write https://HOST"},
		},
		"URL of the web interface": {
			func(s *site) { s.file("edgehold.yaml", dynatrace("https://abc12345.apps.dynatrace.com/ui")) },
			[]string{"write https://abc12345.live.dynatrace.com"},
		},
		"all at once": {func(s *site) {
			s.file("edgehold.yaml", "sitee: x\nuplink:\n  dynatrace: {url: abc, token_file: token}\nbuffer: {max_size: big}\nprobes:\n  - {kind: snpm}\n  - {kind: snmp, devices: [a b], credentials: [x], interval: soon}\n")
		}, []string{":1:1: sitee: ", ":3:20: uplink.dynatrace.url: ", ":4:20: buffer.max_size: ", ":6:", `did you mean "snmp"?`, ":7:", "probes[1].interval: ", " errors; nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.prepare(s)
			edgehold(t, "check", "--config", s.config).mustSay(t, 78, c.words...)
		})
	}
	t.Run("token that this user may not read", func(t *testing.T) {
		s := newSite(t)
		s.yaml(url)
		token, community := filepath.Join(s.dir, "token"), filepath.Join(s.dir, "community")
		cmd := exec.Command(program(t), "check", "--config", s.config)
		if os.Getuid() != 0 {
			_ = os.Chmod(token, 0)
		} else { // whom no mode keeps out
			_ = os.Chmod(s.dir, 0o755)
			_ = os.Chmod(s.config, 0o644)
			_ = os.Chmod(community, 0o640)
			_ = os.Chown(community, -1, 65534)
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		finish(t, cmd).mustSay(t, 78, "/token: this user may not read it; run: chown nobody /")
	})
}

func TestE2EExitCodes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	community := filepath.Join(s.dir, "community")
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"version"}, 0, "edgehold "},
		{[]string{"status", "--socket", s.socket}, 1, "start it with `edgehold run`"},
		{[]string{"reload", "--socket", s.socket}, 1, "start it with `edgehold run`"},
		{[]string{"bogus"}, 2, "edgehold --help"},
		{[]string{"run", "--bogus"}, 2, "edgehold run --help"},
		{[]string{"check", "stray"}, 2, "edgehold check --help"},
		{[]string{"run", "--log-level", "loud"}, 2, "expected debug, info, warn or error"},
		{[]string{"poll"}, 2, "edgehold poll --help"},
		{[]string{"poll", "300.1.2.3", "--community-file", community}, 2, "is not a device address"},
		{[]string{"poll", "--package", "x"}, 2, "edgehold poll --help"},
		{[]string{"poll", "127.0.1.10:9", "--community-file", community}, 3, "DEVICE_CONNECTION_ERROR"},
		{[]string{"run", "--config", s.config}, 78, "no such file"},
		{[]string{"check", "--config", s.config}, 78, "no such file"},
		{[]string{"poll", "--config", s.config}, 78, "no such file"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			edgehold(t, c.args...).mustSay(t, c.code, c.words)
		})
	}
}

// garbage answers every datagram with what is no SNMP.
func garbage(t *testing.T, host string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(in)
			if err != nil {
				return
			}
			// Its own question, cut short: SNMP at first sight, community included.
			_, _ = conn.WriteTo(in[:n*2/3], from)
			_, _ = conn.WriteTo([]byte("\x30\x84\xff\xff\xff\xff no SNMP"), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return conn.LocalAddr().String()
}

// What is broken is named, and stops nothing else.
func TestE2EBadInputStopsNothingElse(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	healthy := newSwitch(t, "127.0.1.20", goodCommunity).Addr()
	silent, other := newSwitch(t, "127.0.1.21", goodCommunity), newSwitch(t, "127.0.1.22", "another-community")
	silent.SetFaults(snmptest.Faults{Silent: true})
	cut := newSwitch(t, "127.0.1.23", goodCommunity)
	cut.SetFaults(snmptest.Faults{TruncatedVarbind: true})
	noise := garbage(t, "127.0.1.24")
	s := newSite(t)
	s.file("good/extension.yaml", goodPackage)
	s.file("py/extension.yaml", pythonPackage)
	s.file("torn.zip", "PK\x03\x04")
	s.file("good.json", monitoring(healthy, goodCommunity))
	s.file("bad.json", `{"enabled": true, "snmp": {`)
	s.yaml(env.URL(),
		"extensions:\n", extension("py", "good.json"), extension("torn.zip", "good.json"), extension("good", "good.json"), extension("good", "bad.json"),
		"probes:\n", polled("1s", silent.Addr(), other.Addr(), cut.Addr(), noise, "127.0.1.25:9", healthy))
	s.start()
	st := s.await("every device to be polled twice", func(st control.Status) bool {
		for _, d := range st.Devices {
			if d.Polls < 2 {
				return false
			}
		}
		return len(st.Devices) == 7
	})
	for addr, mend := range map[string]string{
		silent.Addr(): "community and SNMP version (tried good v2c)", other.Addr(): "community and SNMP version (tried good v2c)",
		noise: "is something other than SNMP on that port", "127.0.1.25:9": "switch SNMP on at the device or correct the port",
	} {
		if d := deviceOf(t, st, addr); d.Status != "DEVICE_CONNECTION_ERROR" || !strings.Contains(d.Message, mend) || !d.LastOK.IsZero() {
			t.Errorf("%s: %+v, want DEVICE_CONNECTION_ERROR with %q", addr, d, mend)
		}
	}
	if d := deviceOf(t, st, cut.Addr()); d.Status == "OK" || d.Message == "" {
		t.Errorf("a device that cuts its answers: %+v", d)
	}
	text := edgehold(t, "status", "--config", s.config)
	text.mustSay(t, 0, "py/extension.yaml: this data source cannot run here: python", "torn.zip", "bad.json:1:28: not valid JSON", "backing off")
	from := time.Now().UnixMilli()
	ofPackage := func(l draintest.Line) bool { return l.Key == "e2e.good.uptime" && l.Timestamp > from }
	eventually(t, "the healthy ones to go on delivering", func() bool {
		stamps := stampsOf(t, env, healthy)
		return len(linesOf(t, env, ofPackage)) > 2 && len(stamps) > 2 && stamps[len(stamps)-3] > from
	})
	if d := deviceOf(t, s.status(), healthy); d.Status != "OK" || d.Skipped != 0 {
		t.Errorf("the healthy device: %+v", d)
	}
	silent.SetFaults(snmptest.Faults{})
	s.await("the silent device to be found again", func(st control.Status) bool { return deviceOf(t, st, silent.Addr()).Status == "OK" })
}

// A token that cannot be read stops the sending only; the forms of the URL
// that people copy all lead to the environment.
func TestE2ETokenAndURL(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	addr := newSwitch(t, "127.0.1.30", goodCommunity).Addr()
	s := newSite(t)
	probes := "probes:\n" + polled("1s", addr)
	s.yaml(env.URL(), probes)
	token := filepath.Join(s.dir, "token")
	if err := os.Chmod(token, 0o644); err != nil {
		t.Fatal(err)
	}
	s.start()
	st := s.await("the uplink to hold while points pile up", func(st control.Status) bool {
		return st.Uplink.State == "hold" && st.Account.Buffered > 0
	})
	if want := token + " is readable by others (mode 0644); run: chmod o-rwx " + token; !strings.Contains(st.Uplink.LastError, want) {
		t.Errorf("the uplink says %q, want %q", st.Uplink.LastError, want)
	}
	if len(st.Alarms) == 0 || !strings.Contains(strings.Join(st.Alarms, "\n"), "chmod o-rwx") {
		t.Errorf("alarms %q", st.Alarms)
	}
	if err := os.Chmod(token, 0o600); err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]string{
		"/": "", "/api/v2/metrics/ingest": "", "/api/v2/": "", "/e/abc-12345": "/e/abc-12345",
		"/e/abc-12345/": "/e/abc-12345", "/e/abc-12345/api/v2/metrics/ingest": "/e/abc-12345",
	} {
		s.yaml(env.URL()+form, probes)
		edgehold(t, "reload", "--config", s.config).mustSay(t, 0, "reloaded")
		before := env.Counts().Outcomes["202"]
		st := s.await("a delivery to "+form, func(control.Status) bool { return env.Counts().Outcomes["202"] > before })
		if st.Uplink.URL != env.URL()+want {
			t.Errorf("%s became %s, want %s", form, st.Uplink.URL, env.URL()+want)
		}
	}
	for outcome, n := range env.Counts().Outcomes {
		if outcome != "202" && (outcome != "404" || n > 1) { // the time is asked for once, of the host
			t.Errorf("%d requests ended as %s", n, outcome)
		}
	}
	if st := s.status(); st.Account.DeadLetter+st.Account.Evicted+st.Account.Damaged != 0 {
		t.Errorf("account %+v", st.Account)
	}
}

// onDisk makes the agent's state_dir a small disk of its own, in a namespace
// that only the agent sees, or skips the test.
func onDisk(t *testing.T, s *site, options string) {
	t.Helper()
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skipf("SKIPPED: no mount namespaces for this user (unshare -m: %v)", err)
	}
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		t.Fatal(err)
	}
	s.command = []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"`, "sh", options, state}
}

func TestE2EStateDirUnusableAtStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options, words string
	}{
		"read-only": {"size=8m,ro", "the disk is read-only: mount it writable, or set state_dir to another one"},
		"full":      {"size=8k", "the disk is full: free some space, or set state_dir to another one"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			onDisk(t, s, c.options)
			s.yaml("http://127.0.0.1:1")
			args := append(s.command[1:len(s.command):len(s.command)], program(t), "run", "--config", s.config)
			finish(t, exec.Command(s.command[0], args...)).mustSay(t, 1, filepath.Join(s.dir, "state"), c.words)
		})
	}
	t.Run("no folder", func(t *testing.T) {
		s := newSite(t)
		s.file("state", "a file where a folder should be")
		s.yaml("http://127.0.0.1:1")
		edgehold(t, "run", "--config", s.config).mustSay(t, 1, "create state_dir: ", "state_dir in "+s.config)
	})
}

func TestE2EDiskFullAtRunTime(t *testing.T) {
	t.Parallel()
	const interval = 2 * time.Second
	env := newEnvironment(t)
	mib := snmptest.NewSwitch("e2e-switch", 48, 1, time.Now)
	device, err := snmptest.Start(snmptest.Options{Addr: "127.0.1.40:0", Communities: map[string]*snmptest.MIB{goodCommunity: mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	addr := device.Addr()
	s := newSite(t)
	onDisk(t, s, "size=4m")
	s.yaml(env.URL(), "probes:\n", polled("2s", addr))
	agent := s.start()
	eventually(t, "the first points to arrive", func() bool { return len(stampsOf(t, env, addr)) > 0 })

	env.Refuse() // so that the store has to grow
	filler := filepath.Join("/proc", fmt.Sprint(agent.cmd.Process.Pid), "root", s.dir, "state", "filler")
	fill(t, filler)
	st := s.await("an alarm of the full disk", func(st control.Status) bool { return st.Buffer.Alarm != "" })
	if !strings.Contains(st.Buffer.Alarm, "the disk is full: free some space") {
		t.Errorf("alarm %q", st.Buffer.Alarm)
	}
	polls, accepted := deviceOf(t, st, addr).Polls, st.Account.Accepted
	st = s.await("polling to go on with a full disk", func(st control.Status) bool {
		return deviceOf(t, st, addr).Polls >= polls+2 && st.Buffer.PendingPoints > 0
	})
	if st.Account.Accepted != accepted || st.Buffer.Alarm == "" {
		t.Errorf("%d points were accepted by a full disk; alarm %q", st.Account.Accepted-accepted, st.Buffer.Alarm)
	}
	edgehold(t, "status", "--config", s.config).mustSay(t, 0, "ALARM    store: ", "the disk is full")

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.await("the points of the outage to be accepted", func(st control.Status) bool {
		return st.Buffer.Alarm == "" && st.Account.Accepted > accepted
	})
	if err := env.Restore(); err != nil {
		t.Fatal(err)
	}
	stamp := time.Now().UnixMilli()
	eventually(t, "what was polled later to arrive", func() bool {
		stamps := stampsOf(t, env, addr)
		return len(stamps) > 0 && stamps[len(stamps)-1] > stamp
	})
	st = s.await("the backlog to be delivered", func(st control.Status) bool {
		return st.Account.Delivered > accepted && st.Buffer.BacklogAgeS < 3*interval.Seconds()
	})
	wantGrid(t, stampsOf(t, env, addr), interval)
	if st.Buffer.DroppedUnaccepted != 0 || st.Account.Evicted+st.Account.Damaged+st.Account.DeadLetter != 0 || env.Counts().Duplicates != 0 {
		t.Errorf("buffer %+v, account %+v, %d duplicates", st.Buffer, st.Account, env.Counts().Duplicates)
	}
}

// fill takes all room that the disk of path has.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err = f.Write(block); err != nil {
			break
		}
	}
	if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Fatalf("fill %s: %v", path, err)
	}
}
