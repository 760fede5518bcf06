package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const twoKeysPackage = `name: custom:two.keys
version: 1.0.0
snmp:
  - group: g
    metrics:
      - {key: two.keys.uptime, value: "oid:1.3.6.1.2.1.1.3.0"}
      - {key: "x", value: "oid:1.3.6.1.2.1.1.3.0"}
`

// What the flags of poll ask for is done or refused, never left out in silence.
func TestPollFlags(t *testing.T) {
	agent, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{
		"public": snmptest.NewSwitch("sw1", 2, 1, nil),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Close() })
	host, port, _ := strings.Cut(agent.Addr(), ":")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("extension.yaml", twoKeysPackage)
	json := write("c.json", `{"snmp": {"devices": [{"ip": "`+host+`", "port": `+port+`, "authentication": {"type": "SNMPv2c", "community": "public"}}]}}`)
	community := write("community", "public\n")
	pkg := []string{"--package", dir, "--configuration", json}
	uptime := "two.keys.uptime,device.address=" + host

	tests := []struct {
		name string
		args []string
		code int
		out  string // begins a line of standard output; "": there is none
		err  string // stands in standard error
	}{
		{"a device", []string{agent.Addr(), "--community-file", community}, exitOK, "com.dynatrace.extension.network_device.", ""},
		{"a package, a key that cannot be sent is told once", pkg, exitCheck, uptime, `"x" cannot be sent: `},
		{"a device of the package", append(pkg, agent.Addr()), exitCheck, uptime, ""},
		{"the same without port", append(pkg, host), exitCheck, uptime, ""},
		{"another device", append(pkg, "192.0.2.1"), exitError, "", "none of 192.0.2.1 is configured, expected some of " + host},
		{"a community beside a package", append(pkg, "--community-file", community), exitUsage, "", "community-file"},
		{"a version beside a package", append(pkg, "--version", "v1"), exitUsage, "", "version"},
		{"no package there", []string{"--package", dir + "/none", "--configuration", json}, exitError, "", "no such file"},
		{"back in time", []string{agent.Addr(), "--wait", "-1s"}, exitUsage, "", "--wait is -1s"},
		{"a URL", []string{"http://" + host}, exitUsage, "", "is not a device address"},
		{"no device", nil, exitUsage, "", "give a device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(append([]string{"poll"}, tt.args...), &stdout, &stderr)
			out, said := "\n"+stdout.String(), stderr.String()
			if code != tt.code || !strings.Contains(said, tt.err) || strings.Count(said, "nothing to poll") > 0 && tt.args != nil {
				t.Errorf("exit %d, want %d; standard error %q", code, tt.code, said)
			}
			if tt.out == "" && stdout.Len() > 0 || !strings.Contains(out, "\n"+tt.out) {
				t.Errorf("standard output %q, want %q", stdout.String(), tt.out)
			}
			if strings.Count(said, "cannot be sent") > 1 {
				t.Errorf("said more than once: %s", said)
			}
		})
	}
}

const emptyPackage = `name: custom:empty
version: 1.0.0
vars: [{id: name, type: pattern}]
snmp:
  - group: g
    dimensions: [{key: n, value: "oid:1.3.6.1.2.1.1.5.0", filter: "var:name"}]
    metrics: [{key: empty.uptime, value: "oid:1.3.6.1.2.1.1.3.0"}]
  - group: c
    featureSet: Counters
    metrics: [{key: empty.in, value: "oid:1.3.6.1.2.1.11.1.0", type: count}]
`

// A poll that gives nothing is no success, and says why.
func TestPollOfNothing(t *testing.T) {
	mib := snmptest.NewSwitch("sw1", 2, 1, nil)
	mib.Set(snmptest.MustOID("1.3.6.1.2.1.11.1.0"), snmptest.Counter32(7))
	device, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"public": mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	host, port, _ := strings.Cut(device.Addr(), ":")
	dir := t.TempDir()
	for _, tt := range []struct {
		name, configuration string
		args                []string
		code                int
		err                 string
	}{
		{"a filter that nothing fits", `"vars": {"name": "$eq(other)"}, `, nil, exitError, "it answers, and nothing is collected: counters need a second poll"},
		{"the same with a second poll", `"vars": {"name": "$eq(other)"}, `, []string{"--wait", "1ms"}, exitError, "it answers, and nothing is collected: look at the feature sets"},
		{"counters alone", `"vars": {"name": "$eq(other)"}, "featureSets": ["Counters"], `, nil, exitError, "such as --wait 10s"},
		{"counters, twice", `"vars": {"name": "$eq(other)"}, "featureSets": ["Counters"], `, []string{"--wait", "50ms"}, exitOK, ""},
		{"all is well", `"vars": {"name": "$eq(sw1)"}, `, nil, exitOK, ""},
		{"switched off", `"enabled": false, `, nil, exitError, "no entry that is enabled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "c.json")
			text := `{` + tt.configuration + `"snmp": {"devices": [{"ip": "` + host + `", "port": ` + port + `, "authentication": {"type": "SNMPv2c", "community": "public"}}]}}`
			for name, data := range map[string]string{path: text, filepath.Join(dir, "extension.yaml"): emptyPackage} {
				if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var stdout, stderr bytes.Buffer
			code := execute(append([]string{"poll", "--package", dir, "--configuration", path}, tt.args...), &stdout, &stderr)
			if code != tt.code || !strings.Contains(stderr.String(), tt.err) || (code == exitOK) != (stdout.Len() > 0) {
				t.Errorf("exit %d, want %d; it printed %q and said %q", code, tt.code, stdout.String(), stderr.String())
			}
		})
	}
}

// A probe that is tried alone is told by what it is, and what is wrong with its
// settings by the key.
func TestPollKind(t *testing.T) {
	closed := closedPort(t)
	for _, tt := range []struct {
		args string // parted by |
		code int
		out  string // stands in standard output
		err  string // likewise
	}{
		{"host|groups=memory", exitOK, "edgehold.host.memory.usage", "\nhost: 3 points, 4,320 points a day, counters not among them (--wait)\n"},
		{"tcp_check|target=" + closed + "|name=the back door", exitCheck, "edgehold.check.up", "\nthe back door tcp_check: 1 point, 1,440 points a day\n"},
		{"mqtt|broker=mqtt://" + closed + "|topic=a/b", exitCheck, "", "nothing listens there"},
		{"pong", exitUsage, "", `unknown kind "pong"; did you mean "ping"?`},
		{"ping", exitUsage, "", "targets: empty"},
		{"ping|targets=127.0.0.1|cuont=3", exitUsage, "", `cuont: unknown key; did you mean "count"?`},
		{"ping|targets=127.0.0.1|count=many", exitUsage, "", "count: "},
		{"http_check|url=http://192.0.2.1/|credential=c", exitUsage, "", "would travel over http"},
		{"http_check|url=https://127.0.0.1/|credential=c", exitError, "", "credential: there is none of that name"},
	} {
		var stdout, stderr bytes.Buffer
		args := strings.Split(tt.args, "|")
		code := execute(append([]string{"poll", "--kind"}, args...), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stdout.String(), tt.out) || !strings.Contains("\n"+stderr.String(), tt.err) {
			t.Errorf("%s: exit %d, want %d; it printed %q and said %q", tt.args, code, tt.code, stdout.String(), stderr.String())
		}
	}
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Statistics are written as everywhere else, in lower case.
func TestPollSummaryAsJSON(t *testing.T) {
	line, err := pointLine(probes.Point{Series: probes.NewSeries("m", probes.Gauge), Value: probes.Summarize(probes.Summary{Min: 1, Max: 3, Sum: 4, Count: 2})}, true)
	if want := `"value":{"min":1,"max":3,"sum":4,"count":2}`; err != nil || !strings.Contains(string(line), want) {
		t.Errorf("%s, %v, want %s", line, err, want)
	}
}
