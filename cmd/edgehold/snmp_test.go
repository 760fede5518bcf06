package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

// said is what a command printed and how it ended.
type said struct {
	code     int
	out, err string
}

func run(args ...string) said {
	var stdout, stderr bytes.Buffer
	code := execute(args, &stdout, &stderr)
	return said{code, stdout.String(), stderr.String()}
}

// want fails unless the command ended so, and printed and said so.
func (s said) want(t *testing.T, code int, out, err string) {
	t.Helper()
	if s.code != code || !strings.Contains(s.out, out) || !strings.Contains(s.err, err) {
		t.Errorf("exit %d, want %d with %q and %q\n%s\n%s", s.code, code, out, err, s.out, s.err)
	}
}

// privateFile writes a file that only its owner reads.
func privateFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startDevice(t *testing.T, addr, community string, mib *snmptest.MIB) *snmptest.Responder {
	t.Helper()
	r, err := snmptest.Start(snmptest.Options{Addr: addr, Communities: map[string]*snmptest.MIB{community: mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestSNMPGetAndWalk(t *testing.T) {
	device := startDevice(t, "", "red", snmptest.NewSwitch("sw-red", 3, 1, nil))
	addr := device.Addr()
	community := privateFile(t, "community", "red\n")
	with := func(args ...string) []string {
		return append(args, "--community-file", community, "--timeout", "300ms", "--retries", "0")
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"get", with("snmp", "get", addr, ".1.3.6.1.2.1.1.5.0"), exitOK, `.1.3.6.1.2.1.1.5.0 = STRING: "sw-red"` + "\n", ""},
		{"get as JSON", with("snmp", "get", addr, "1.3.6.1.2.1.2.1.0", "--json"), exitOK, `{"oid":"1.3.6.1.2.1.2.1.0","type":"INTEGER","value":3}`, ""},
		{"get what is not there", with("snmp", "get", addr, "1.3.6.1.2.1.1.5.7", "1.3.6.1.2.1.1.5.0"), exitCheck, "No Such Instance", ""},
		{"get no OID", with("snmp", "get", addr), exitUsage, "", "at least 2"},
		{"get a name", with("snmp", "get", addr, "sysName.0"), exitUsage, "", `"sysName.0" is not an OID`},
		{"walk", with("snmp", "walk", addr, "1.3.6.1.2.1.31.1.1.1.1"), exitOK, `.1.3.6.1.2.1.31.1.1.1.1.3 = STRING: "`, ""},
		{"walk without root", with("snmp", "walk", addr), exitOK, ".1.3.6.1.2.1.2.2.1.10.1 = Counter32: ", ""},
		{"walk as JSON", with("snmp", "walk", addr, "1.3.6.1.2.1.2.2.1.6", "--json"), exitOK, `"type":"Hex-STRING","value":null,"hex":"`, ""},
		{"walk nothing", with("snmp", "walk", addr, "1.3.6.1.2.1.99"), exitOK, "", "nothing there"},
		{"wrong community", []string{"snmp", "get", addr, "1.3.6.1.2.1.1.5.0", "--timeout", "100ms", "--retries", "0"}, exitError, "", "no answer from " + addr},
		{"no address", with("snmp", "walk", "http://x"), exitUsage, "", "not a device address"},
		{"no such version", []string{"snmp", "walk", addr, "--version", "4"}, exitUsage, "", `--version "4" is none`},
		{"half a user", []string{"snmp", "walk", addr, "--v3-user", "u", "--auth", "SHA256"}, exitUsage, "", "auth-file"},
		{"protocols as others write them", []string{"snmp", "walk", addr, "--v3-user", "u", "--auth", "sha-256", "--auth-file", community, "--priv", "aes-128", "--priv-file", addr + "/none"}, exitError, "", addr + "/none: no such file"},
		{"no such protocol", []string{"snmp", "walk", addr, "--v3-user", "u", "--auth", "SHA3", "--auth-file", community}, exitUsage, "", `--auth "SHA3" is none`},
		{"encrypted but not signed", []string{"snmp", "walk", addr, "--v3-user", "u", "--priv", "AES", "--priv-file", community}, exitUsage, "", "--priv needs --auth"},
		{"no such file", []string{"snmp", "walk", addr, "--community-file", "/none"}, exitError, "", "/none"},
		{"no configuration", []string{"snmp", "walk", addr, "--config", "/none.yaml"}, exitConfig, "", "/none.yaml"},
		{"two sources", with("snmp", "walk", addr, "--config", "x.yaml"), exitUsage, "", "community-file"},
	} {
		t.Run(tt.name, func(t *testing.T) { run(tt.args...).want(t, tt.code, tt.out, tt.err) })
	}
	device.SetFaults(snmptest.Faults{LoopBack: snmptest.Loop{At: snmptest.MustOID("1.3.6.1.2.1.2.2.1.2.2"), To: snmptest.MustOID("1.3.6.1.2.1.2.2.1.1.3")}})
	run(with("snmp", "walk", addr, "1.3.6.1.2.1.2.2.1.2")...).want(t, exitOK, "", "")
	run(with("snmp", "walk", addr, "1.3.6.1.2.1.2.2")...).want(t, exitCheck, ".1.3.6.1.2.1.2.2.1.2.2", "--unordered goes on")
	run(with("snmp", "walk", addr, "1.3.6.1.2.1.2.2", "--unordered")...).want(t, exitOK, ".1.3.6.1.2.1.2.2.1.2.2", "came again")
}

const siteYAML = "site: x\nuplink: {dynatrace: {url: 'https://x.example', token_env: T}}\ncredentials: {red: {community_file: red}, blue: {community_file: blue}}\n"

func siteFolder(t *testing.T, more string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "edgehold.yaml")
	for name, text := range map[string]string{"red": "red", "blue": "blue", "edgehold.yaml": siteYAML + more} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, path
}

// Credentials of a configuration are tried in order.
func TestSNMPConfiguredCredentials(t *testing.T) {
	addr := startDevice(t, "", "red", snmptest.NewSwitch("sw-red", 3, 1, nil)).Addr()
	_, path := siteFolder(t, "")
	for _, names := range [][]string{nil, {"--credentials", "blue,red"}} {
		args := append([]string{"snmp", "get", addr, "1.3.6.1.2.1.1.5.0", "--config", path, "--timeout", "200ms"}, names...)
		run(args...).want(t, exitOK, "sw-red", "")
	}
	run("snmp", "get", addr, "1.3", "--config", path, "--credentials", "green").want(t, exitUsage, "", `no credential "green", expected some of blue, red`)
}

// What was recorded tells nothing of its owner, and is polled like the device.
func TestSNMPRecordAndTest(t *testing.T) {
	mib := snmptest.NewSwitch("canary-name", 3, 1, nil)
	mib.Set(snmptest.MustOID("1.3.6.1.2.1.1.6.0"), snmptest.OctetString("canary-place"))
	mib.Set(snmptest.MustOID("1.3.6.1.2.1.4.20.1.1.10.77.88.99"), snmptest.IPAddress([4]byte{10, 77, 88, 99}))
	mib.Set(snmptest.MustOID("1.3.6.1.4.1.99.1.0"), snmptest.OctetString("canary-name, community canary-red"))
	mib.Set(snmptest.MustOID("1.3.6.1.4.1.99.2.0"), snmptest.OctetString(strings.Repeat("long.", 250)))
	mib.Set(snmptest.MustOID("1.3.6.1.6.3.18.1.1.1.2.1"), snmptest.OctetString("canary-table"))
	addr := startDevice(t, "", "canary-red", mib).Addr()
	community := privateFile(t, "community", "canary-red")
	file := filepath.Join(t.TempDir(), "device.snmprec")
	record := []string{"snmp", "record", addr, "--community-file", community}
	run(append(record, "-o", file)...).want(t, exitOK, "", "left out: 1 rows")
	run(append(record, "-o", file)...).want(t, exitError, "", file+" exists, give another name or remove it")
	empty := filepath.Join(t.TempDir(), "empty.snmprec")
	for range 2 { // what failed is in nobody's way
		run(append(record, "-o", empty, "--root", "1.9")...).want(t, exitError, "", "nothing to record")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"canary", "10.77.88.99", "0a4d5863"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("%s remains", secret)
		}
	}
	if lines := strings.Count(string(data), "\n"); lines != mib.Len()-1 || !strings.Contains(string(data), strings.Repeat("long.", 250)) {
		t.Errorf("%d lines of %d, or a long text was cut", lines, mib.Len())
	}
	run(append(record, "--no-mask")...).want(t, exitOK, "|4|canary-place\n", "")
	s := run("snmp", "test", "--recording", file)
	s.want(t, exitOK, "com.dynatrace.extension.network_device.sysuptime,", " points a day")
	if !strings.Contains(s.out, "count,delta=1000") || strings.Contains(s.err, "(--wait)") {
		t.Errorf("counters do not show:\n%s\n%s", s.out, s.err)
	}
	s = run("snmp", "test", "--recording", file, "--json")
	var point pointJSON
	if err := json.Unmarshal([]byte(strings.SplitN(s.out, "\n", 2)[0]), &point); err != nil || point.Key == "" {
		t.Errorf("%v: %s", err, s.out)
	}
	run("snmp", "test", "--recording", community).want(t, exitError, "", "holds no values")
	run("snmp", "test").want(t, exitUsage, "", "recording")
	run("snmp", "test", "--recording", file, "--profile", "nobody").want(t, exitError, "", "unknown profile, expected auto or one of")
}

func TestSNMPTestPackage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "extension.yaml"), []byte(strings.ReplaceAll(twoKeysPackage, `"x"`, "two.keys.x")), 0o600); err != nil {
		t.Fatal(err)
	}
	recording := privateFile(t, "r.snmprec", "1.3.6.1.2.1.1.3.0|67|100\n")
	configuration := privateFile(t, "c.json", `[{"scope": "s", "value": {"enabled": true, "description": "d", "snmp": {"devices": [{"ip": "192.0.2.1", "port": 161, "authentication": {"type": "SNMPv2c", "community": "canary"}}]}}}]`)
	for _, more := range [][]string{nil, {"--configuration", configuration}} {
		s := run(append([]string{"snmp", "test", "--recording", recording, "--package", dir}, more...)...)
		s.want(t, exitOK, "two.keys.uptime,device.address=127.0.0.1", "2 points, 2,880 points a day")
	}
	run("snmp", "test", "--recording", recording, "--configuration", configuration).want(t, exitUsage, "", "needs --package")
}

func TestSNMPDiscover(t *testing.T) {
	red := startDevice(t, "127.78.1.1:0", "red", snmptest.NewSwitch("sw-red", 3, 1, nil))
	_, port, _ := net.SplitHostPort(red.Addr())
	shared := snmptest.NewSwitch("sw-blue", 3, 2, nil)
	startDevice(t, "127.78.1.3:"+port, "blue", shared)
	startDevice(t, "127.78.1.5:"+port, "blue", shared)
	dir, path := siteFolder(t, "")
	if err := os.Mkdir(filepath.Join(dir, "config.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	found := filepath.Join(dir, "config.d", "found.yaml")
	scan := []string{"snmp", "discover", "127.78.1.0/28", "--config", path, "--port", port, "--timeout", "300ms", "--packets-per-second", "1000"}
	s := run(append(scan, "--credentials", "red,blue", "--write", found)...)
	s.want(t, exitOK, "  127.78.1.5      the same device", "2 devices")
	if strings.Count(s.out, "\n") != 4 || !strings.Contains(s.out, "ADDRESS") {
		t.Errorf("%s", s.out)
	}
	cfg, _, err := config.Load(path, kinds())
	if err != nil || len(cfg.Probes) != 2 {
		t.Errorf("the configuration that was written: %v %+v", err, cfg)
	}
	run(append(scan, "--write", found)...).want(t, exitError, "", "exists, give another name")
	var devices []struct {
		Name      string   `json:"name"`
		Addresses []string `json:"addresses"`
		Profile   string   `json:"profile"`
	}
	s = run(append(scan, "--json")...)
	if err := json.Unmarshal([]byte(s.out), &devices); err != nil || len(devices) != 2 || devices[1].Name != "sw-blue" || len(devices[1].Addresses) != 2 || devices[0].Profile == "" {
		t.Errorf("%v %s", err, s.out)
	}
	// Credentials of the command line are written as files that are named.
	alone := filepath.Join(t.TempDir(), "alone.yaml")
	s = run("snmp", "discover", "127.78.1.1", "--community-file", filepath.Join(dir, "red"), "--port", port, "--timeout", "300ms", "--write", alone)
	s.want(t, exitOK, "sw-red", "")
	head, _, _ := strings.Cut(siteYAML, "credentials:")
	text, _ := os.ReadFile(alone)
	whole := privateFile(t, "edgehold.yaml", head+string(text))
	if cfg, _, err := config.Load(whole, kinds()); err != nil || cfg.Credentials["community-file"].Community.Reveal() != "red" {
		t.Errorf("%v\n%s", err, text)
	}
	run("snmp", "discover", "127.78.2.0/30", "--port", port, "--timeout", "50ms", "--retries", "0").want(t, exitCheck, "", "no device answered")
	run("snmp", "discover", "10.0.0.0/8").want(t, exitUsage, "", "--force")
	run("snmp", "discover", "ten").want(t, exitUsage, "", `"ten" is not a network`)
}

// Credentials that can write are found against a real agent, without a change.
func TestE2EAuditSNMP(t *testing.T) {
	path, err := exec.LookPath("snmpd")
	if err != nil {
		path = "/usr/sbin/snmpd"
		if _, err := os.Stat(path); err != nil {
			t.Skip("SKIPPED: snmpd is not installed (package snmpd)")
		}
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	_ = conn.Close()
	dir := t.TempDir()
	conf := fmt.Sprintf("agentAddress udp:%s\nrocommunity red 127.0.0.1\nrwcommunity blue 127.0.0.1\nsysName audited\n", addr)
	for user, rights := range map[string]string{"reader": "rouser", "writer": "rwuser"} {
		conf += fmt.Sprintf("createUser %s SHA-256 \"authpass123\" AES \"privpass123\"\n%s %s priv\n", user, rights, user)
	}
	if err := os.WriteFile(filepath.Join(dir, "snmpd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-f", "-C", "-c", filepath.Join(dir, "snmpd.conf"), "-Lf", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	folder, config := siteFolder(t, fmt.Sprintf("probes: [{kind: snmp, devices: ['%s'], credentials: [red]}]\n", addr))
	for deadline := time.Now().Add(20 * time.Second); ; {
		s := run("snmp", "get", addr, "1.3.6.1.2.1.1.5.0", "--community-file", filepath.Join(folder, "red"), "--timeout", "200ms")
		if s.code == exitOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("snmpd does not answer: %s", s.err)
		}
	}
	run("audit", "snmp", "--config", config).want(t, exitOK, "unknown", "")
	run("audit", "snmp", "--config", config, "--probe-write").want(t, exitOK, "read only", "")
	s := run("audit", "snmp", addr, "--config", config, "--probe-write")
	s.want(t, exitCheck, "blue        v2c      CAN WRITE", "")
	s = run("audit", "snmp", addr, "--config", config, "--credentials", "red,blue", "--probe-write", "--json")
	var found []finding
	if err := json.Unmarshal([]byte(s.out), &found); err != nil || len(found) != 2 || found[0].Access != accessRead || found[1].Access != accessWrite || s.code != exitCheck {
		t.Errorf("exit %d %v %s", s.code, err, s.out)
	}
	auth, priv := privateFile(t, "auth", "authpass123\n"), privateFile(t, "priv", "privpass123\n")
	secure := []string{addr, "--auth", "SHA256", "--auth-file", auth, "--priv", "AES", "--priv-file", priv, "--timeout", "3s", "--v3-user"}
	run(append([]string{"audit", "snmp", "--probe-write"}, append(secure, "reader")...)...).want(t, exitOK, "v3       read only", "")
	run(append([]string{"audit", "snmp", "--probe-write"}, append(secure, "writer")...)...).want(t, exitCheck, "v3       CAN WRITE", "")
	run(append([]string{"snmp", "walk"}, append(secure, "reader")...)...).want(t, exitOK, `.1.3.6.1.2.1.1.5.0 = STRING: "audited"`, "")
	run(append([]string{"snmp", "walk"}, append(secure, "nobody")...)...).want(t, exitError, "", "user")
	run("snmp", "walk", addr, "1.3.6.1.2.1.1.5", "--community-file", filepath.Join(folder, "blue")).want(t, exitOK, `"audited"`, "")
}
