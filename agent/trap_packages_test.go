package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/edgehold/edgehold/agent/extension"
	"github.com/edgehold/edgehold/agent/extension/mib"
	"github.com/edgehold/edgehold/agent/mint"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp"
)

const publicTraps = "dynatrace-extensions__snmp-traps-generic/src/extension.yaml"

const ownTrapPackage = `
name: custom:own.traps
version: 1.0.0
vars: [{id: hall, type: text, displayName: Hall}]
snmptraps:
  - group: all
    dimensions:
      - {key: sender.ip, value: "const:sender"}
      - {key: team, value: "const:network"}
      - {key: hall, value: "var:hall"}
    metrics: [{key: own.traps, value: calculated, type: count}]
  - group: chosen
    featureSet: detail
    dimensions: [{key: oid, value: "const:trapOID"}]
    metrics: [{key: own.traps.by.oid, value: calculated, type: "count,delta"}]
`

// sentTrap is what one call of net-snmp's tools sends, and what a reader of the
// RFCs makes of it.
type sentTrap struct {
	tool    string
	args    []string // after the address
	version string
	oid     string            // by name
	number  string            // by number
	more    map[string]string // attributes of the varbinds
}

func sentTraps() []sentTrap {
	v3 := []string{"-v3", "-u", "edge", "-l", "authPriv", "-a", "SHA-256", "-A", "hidden-auth", "-x", "AES", "-X", "hidden-priv"}
	link := []string{
		"77", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.3", "i", "3", "1.3.6.1.2.1.2.2.1.8.3", "i", "2",
		"1.3.6.1.2.1.2.2.1.2.3", "s", "Gi0/3", "1.3.6.1.2.1.1.5.0", "s", "sw1",
	}
	shown := map[string]string{
		"DISMAN-EVENT-MIB::sysUpTimeInstance": "77", "IF-MIB::ifIndex.3": "3", "if.index": "3", "IF-MIB::ifOperStatus.3": "2-down",
		"IF-MIB::ifDescr.3": "Gi0/3", "SNMPv2-MIB::sysName": "sw1",
	}
	down := func(tool, version string, args ...string) sentTrap {
		return sentTrap{tool, append(args, link...), version, "IF-MIB::linkDown", ".1.3.6.1.6.3.1.1.5.3", shown}
	}
	return []sentTrap{
		down("snmptrap", "2c", "-v2c", "-c", "hall-word", "ADDRESS"),
		down("snmptrap", "3", append(v3[:len(v3):len(v3)], "-e", "0x8000000001020304", "ADDRESS")...),
		down("snmpinform", "3", append(v3[:len(v3):len(v3)], "ADDRESS")...),
		{
			"snmptrap",
			[]string{"-v1", "-c", "hall-word", "ADDRESS", "1.3.6.1.4.1.99999.7", "192.0.2.77", "6", "42", "5", "1.3.6.1.4.1.99999.7.1.0", "u", "9"},
			"1", "SNMPv2-SMI::enterprises.99999.7.0.42", ".1.3.6.1.4.1.99999.7.0.42",
			map[string]string{
				"DISMAN-EVENT-MIB::sysUpTimeInstance": "5", "SNMPv2-MIB::snmpTrapEnterprise": ".1.3.6.1.4.1.99999.7",
				"SNMP-COMMUNITY-MIB::snmpTrapAddress": "192.0.2.77", "SNMPv2-SMI::enterprises.99999.7.1.0": "9",
			},
		},
	}
}

// expectedTraps reads the manifest in the simplest way and tells the lines and
// records of what was sent.
func expectedTraps(t *testing.T, manifest []byte, sets []string, vars map[string]string) (lines, records []string) {
	t.Helper()
	var doc struct {
		Name      string
		Snmptraps []struct {
			FeatureSet          string `yaml:"featureSet"`
			Dimensions, Metrics []map[string]string
		}
	}
	if err := yaml.Unmarshal(dropIntervals(manifest), &doc); err != nil {
		t.Fatal(err)
	}
	chosen := func(set string) bool { return set == "" || slices.Contains(sets, "all") || slices.Contains(sets, set) }
	for _, g := range doc.Snmptraps {
		if !chosen(g.FeatureSet) {
			continue
		}
		counts := map[string]int{}
		for _, s := range sentTraps() {
			dims := []string{"device.address=127.0.0.1"}
			for _, d := range g.Dimensions {
				value := strings.NewReplacer("const:sender", "127.0.0.1", "const:trapOID", s.oid, "var:hall", vars["hall"]).Replace(d["value"])
				dims = append(dims, d["key"]+"="+strings.TrimPrefix(value, "const:"))
			}
			sort.Strings(dims)
			counts[g.Metrics[0]["key"]+","+strings.Join(dims, ",")]++
		}
		for series, n := range counts {
			lines = append(lines, fmt.Sprintf("%s count,delta=%d", series, n))
		}
	}
	sort.Strings(lines)
	if !chosen("Events") {
		return lines, nil
	}
	for _, s := range sentTraps() {
		all := []string{
			"event.type=LOG", "log.source=snmptraps", "snmp.version=" + s.version, "snmp.trap_oid=" + s.oid, "device.address=127.0.0.1",
			"SNMPv2-MIB::snmpTrapOID=" + s.number, "dt.extension.name=" + doc.Name,
		}
		for key, value := range s.more {
			all = append(all, key+"="+value)
		}
		sort.Strings(all)
		records = append(records, "NONE SNMP trap ("+s.oid+") reported from 127.0.0.1 "+strings.Join(all, " "))
	}
	return lines, records
}

// dropIntervals takes out the key whose value has two shapes.
func dropIntervals(manifest []byte) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(string(manifest), "    interval:\n      minutes: 1\n", ""), "interval: 1m", ""))
}

// Packages with traps run as they are: lines and records are what an independent
// reading of the manifest says of what net-snmp has sent.
func TestTrapPackages(t *testing.T) {
	for _, tt := range []struct {
		name string
		sets []string
	}{
		{"own", nil},
		{"own", []string{"detail"}},
		{"own", []string{"Events"}},
		{"public", []string{"Events"}},
		{"public", []string{"all"}},
	} {
		t.Run(fmt.Sprint(tt.name, tt.sets), func(t *testing.T) {
			t.Parallel()
			manifest := []byte(ownTrapPackage)
			if tt.name == "public" {
				var err error
				if manifest, err = os.ReadFile(filepath.Join(corpus(t), "extensions", publicTraps)); err != nil {
					t.Fatal(err)
				}
			}
			lines, records := runTraps(t, manifest, tt.sets)
			wantLines, wantRecords := expectedTraps(t, manifest, tt.sets, map[string]string{"hall": "seven"})
			if !slices.Equal(lines, wantLines) {
				t.Errorf("lines\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wantLines, "\n"))
			}
			if !slices.Equal(records, wantRecords) {
				t.Errorf("records\n%s\nwant\n%s", strings.Join(records, "\n"), strings.Join(wantRecords, "\n"))
			}
		})
	}
}

// runTraps runs a package while the traps are sent.
func runTraps(t *testing.T, manifest []byte, sets []string) (lines, records []string) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	_ = conn.Close()
	m, _, err := extension.ParseManifest(fstest.MapFS{"extension.yaml": {Data: manifest}}, "p")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`[{"scope": "ag_group-plant", "value": {"enabled": true, "featureSets": ["%s"], "vars": {"hall": "seven"}, "snmptraps": {"listen": "127.0.0.1", "sources": [
		{"ip": "127.0.0.0/8", "port": %d, "authentication": {"community": "hall-word"}},
		{"ip": "127.0.0.1/32", "port": %d, "authentication": {"type": "SNMPv3", "userName": "edge", "securityLevel": "AUTH_PRIV",
		 "authProtocol": "SHA256", "authPassword": "hidden-auth", "privProtocol": "AES", "privPassword": "hidden-priv"}}]}}}]`, strings.Join(sets, `","`), port, port)
	configurations, err := extension.ParseConfiguration([]byte(strings.ReplaceAll(text, `[""]`, `[]`)), "c.json")
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := extension.Compile(m, configurations[0], extension.CompileOptions{MIBs: mib.BuiltIn()})
	if err != nil {
		t.Fatal(err)
	}
	sources, err := configurations[0].TrapSources(nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver := snmp.NewTrapReceiver(snmp.TrapReceiverOptions{})
	t.Cleanup(receiver.Close)
	tasks := snmp.TrapTasks(p, sources, snmp.TrapOptions{Config: "c", Receiver: receiver}, probes.Deps{})
	if len(tasks) != 1 {
		t.Fatalf("%d tasks", len(tasks))
	}
	got := collectTraps(t, tasks[0].Source, port)
	for _, point := range got.Points {
		line, err := mint.AppendLine(nil, point)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(strings.ReplaceAll(string(line), `"`, ""), " ")
		lines = append(lines, fmt.Sprintf("%s count,delta=%d", head, point.Value.Uint64()))
	}
	sort.Strings(lines)
	for _, r := range got.Records {
		var all []string
		for _, d := range r.Attributes {
			all = append(all, d.Key+"="+d.Value)
		}
		sort.Strings(all)
		records = append(records, r.Severity+" "+strings.TrimSpace(r.Content)+" "+strings.Join(all, " "))
	}
	return lines, records
}

// collectTraps runs a source while the traps are sent to it.
func collectTraps(t *testing.T, source probes.Source, port int) probes.Batch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got probes.Batch
	var running sync.WaitGroup
	running.Go(func() {
		if err := source.Run(ctx, func(b probes.Batch) {
			got.Points = append(got.Points, b.Points...)
			got.Records = append(got.Records, b.Records...)
		}); err != nil {
			t.Error(err)
		}
	})
	watched := source.(probes.Watched)
	until(t, func() bool { return strings.HasPrefix(watched.Watch().Message, "listening, ") })
	dir := t.TempDir()
	for i, s := range sentTraps() {
		path, err := exec.LookPath(s.tool)
		if err != nil {
			t.Skipf("SKIPPED: %s is not installed (package snmp)", s.tool)
		}
		args := slices.Clone(s.args)
		args[slices.Index(args, "ADDRESS")] = fmt.Sprint("127.0.0.1:", port)
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), "SNMPCONFPATH="+dir, "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", s.tool, args, err, out)
		}
		until(t, func() bool { return watched.Watch().Received == uint64(i+1) })
	}
	cancel()
	running.Wait()
	return got
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-end:
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}
