package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/discover"
	"github.com/edgehold/edgehold/agent/egress"
	"github.com/edgehold/edgehold/agent/record"
	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const auditPolicy = `salt_file: salt
rules:
- {dimension: device.address, action: hash}
- {dimension: "if.*", metric: "net.*", action: drop}
- {dimension: user, action: drop}
- {dimension: nobody, action: drop}
`

// auditAgent is an agent that does not run, with a policy.
func auditAgent(t *testing.T, policy string) *Agent {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "salt"), "0123456789abcdef0123")
	write(t, filepath.Join(dir, "token"), "t")
	write(t, filepath.Join(dir, "privacy.yaml"), policy)
	path := write(t, filepath.Join(dir, "edgehold.yaml"), "site: plant\nstate_dir: state\nprivacy_file: privacy.yaml\n"+
		"uplink: {dynatrace: {url: \"http://127.0.0.1:9\", token_file: token}}\n")
	a, err := New(Options{Path: path, NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.store.Close() })
	return a
}

func policyPoll(device string, stamp probes.Stamp) probes.Batch {
	series := func(key string, typ probes.Type, port string) *probes.Series {
		return probes.NewSeries(key, typ, probes.Dimension{Key: "device.address", Value: device}, probes.Dimension{Key: "if.name", Value: port})
	}
	return probes.Batch{
		Points: []probes.Point{
			{Series: series("net.bytes", probes.Count, "eth0"), Value: probes.Int(2), Stamp: stamp},
			{Series: series("net.bytes", probes.Count, "eth1"), Value: probes.Int(3), Stamp: stamp},
			{Series: series("other", probes.Gauge, "eth0"), Value: probes.Int(7), Stamp: stamp},
		},
		Events: []probes.Event{{
			Type: "CUSTOM_INFO", Title: device + " is seen by ann", Start: stamp,
			Properties: []probes.Dimension{{Key: "device.address", Value: device}, {Key: "user", Value: "ann"}},
		}},
		Records: []probes.Record{{Stamp: stamp, Content: "login of ann", Attributes: []probes.Dimension{{Key: "user", Value: "ann"}}}},
	}
}

// audit does what `during` does while an audit runs.
func audit(t *testing.T, a *Agent, during func()) egress.Report {
	t.Helper()
	ends := a.audits().Endpoints()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- ends[0].Serve(t.Context(), url.Values{"for": {"1h"}}, &out) }()
	for deadline := time.Now().Add(10 * time.Second); a.meter.Running() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no audit runs")
		}
	}
	during()
	if err := ends[1].Serve(t.Context(), url.Values{"audit": {"1"}}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var line struct{ Report *egress.Report }
	for dec := json.NewDecoder(&out); line.Report == nil; {
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
	}
	return *line.Report
}

// stored is all that the store holds, as text.
func stored(t *testing.T, a *Agent) (lines []string) {
	t.Helper()
	path := filepath.Join(a.cfg.StateDir, StoreFile)
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := buffer.Open(buffer.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Read(t.Context(), buffer.Selection{}, func(p buffer.Page) error {
		for _, x := range p.Points {
			line := x.Series.Key()
			for _, d := range x.Series.Dims() {
				line += " " + d.Key + "=" + d.Value
			}
			lines = append(lines, line)
		}
		for _, e := range p.Entries {
			lines = append(lines, string(e.Data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// What the policy keeps back is in no point, event or record of the store, and
// the audit tells what was done.
func TestPolicyBeforeTheStore(t *testing.T) {
	a := auditAgent(t, auditPolicy)
	from := &entry{task: probes.Task{Config: "built-in snmp"}, labels: &labeler{}}
	stamp := a.time.Now()
	r := audit(t, a, func() {
		a.take(from, policyPoll("192.0.2.77", stamp))
		gap := record.Gap(record.GapOptions{Site: "plant", From: 1, To: 2, Points: 3, Devices: []string{"192.0.2.77"}, Mode: "drop", Now: stamp})
		if e := a.lastLook(gap); strings.Contains(e.Title, "192.0.2.77") || slices.ContainsFunc(e.Properties, func(d probes.Dimension) bool { return strings.Contains(d.Value, "192.0.2.77") }) {
			t.Errorf("the event of an outage shows an address: %+v", e)
		}
		a.newDiscovery().tell(foundEvent([]discover.Device{{Addresses: []string{"192.0.2.77"}, Port: 161, Name: "sw"}}, "x.yaml", stamp))
	})
	var sources []string
	for _, s := range r.Sources {
		sources = append(sources, s.Name)
	}
	if !slices.Equal(sources, []string{"built-in snmp", fromDiscovery, fromOutages}) {
		t.Errorf("sources %q", sources)
	}
	if s := r.Sources[0]; s.Points != 2 || s.Events != 1 || s.Records != 1 {
		t.Errorf("got %+v", s)
	}
	if p := r.Policy; p == nil || p.Folded != 1 || len(p.Rules) != 4 || p.Rules[0].Matched == 0 || p.Rules[1].Matched == 0 || p.Rules[2].Matched == 0 || p.Rules[3].Matched != 0 {
		t.Errorf("policy %+v", p)
	}
	lines := stored(t, a)
	all := strings.Join(lines, "\n")
	if strings.Contains(all, "192.0.2.77") || strings.Contains(all, "ann") {
		t.Errorf("the store holds what should not leave:\n%q", all)
	}
	for _, want := range []string{"net.bytes device.address=", "other device.address=", "if.name=eth0", "site=plant", "(removed)", "SNMP device found"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%q", want, all)
		}
	}
}

// A reload takes a new policy up; one that says the same goes on; without one
// everything leaves as it is.
func TestPolicyReload(t *testing.T) {
	a := auditAgent(t, auditPolicy)
	first := a.policy.Load()
	reload := func() {
		t.Helper()
		if err := a.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if reload(); a.policy.Load() != first {
		t.Error("the same policy was made anew, and has forgotten what it matched")
	}
	file := a.cfg.Privacy.File
	write(t, file, "rules:\n- {dimension: a, action: hash}\n")
	if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), file+":2:") || a.policy.Load() != first {
		t.Errorf("a bad policy: %v", err)
	}
	write(t, file, "rules:\n- {dimension: a, action: drop}\n")
	if reload(); a.policy.Load() == first || len(a.policy.Load().Rules()) != 1 {
		t.Error("the new policy is not in force")
	}
	write(t, file, "rules: []\n")
	if reload(); a.policy.Load() != nil {
		t.Error("a policy without rules is in force")
	}
}

// `poll` shows what would leave.
func TestOnceUsesThePolicy(t *testing.T) {
	a := auditAgent(t, auditPolicy)
	got := Once{Config: a.cfg}.one(t.Context(), probes.Task{Interval: time.Minute, Probe: fixedProbe(policyPoll("192.0.2.77", probes.Stamp{}))})
	if len(got.Points) != 2 || got.Points[0].Value.Float64() != 5 || len(got.Points[1].Series.Dim("device.address")) != 16 {
		t.Errorf("got %+v", got.Points)
	}
}

type fixedProbe probes.Batch

func (f fixedProbe) Poll(context.Context) (probes.Batch, error) { return probes.Batch(f), nil }

// Each datagram of a scan is counted, by what the device says it got.
func TestDiscoveryIsCounted(t *testing.T) {
	r, err := snmptest.Start(snmptest.Options{Communities: map[string]*snmptest.MIB{"c": snmptest.NewSwitch("sw", 2, 1, time.Now)}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a := auditAgent(t, "rules: []\n")
	at := netip.MustParseAddrPort(r.Addr())
	report := audit(t, a, func() {
		found, err := discover.Scan(t.Context(), discover.Options{
			Networks: []netip.Prefix{netip.PrefixFrom(at.Addr(), 32)}, Port: at.Port(), Traffic: a.newDiscovery().traffic,
			Credentials: []probes.Credential{{Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("c")}},
		})
		if err != nil || len(found) != 1 {
			t.Errorf("found %v, %v", found, err)
		}
	})
	q := r.Requests()
	if len(report.Destinations) != 2 || report.Destinations[0].Purpose != egress.Uplink { // which is configured
		t.Fatalf("destinations %+v", report.Destinations)
	}
	d := report.Destinations[1]
	if d.Purpose != egress.Discovery || d.Address != r.Addr() || d.DatagramsOut != int64(q.Get+q.GetNext+q.GetBulk) || d.DatagramsIn != int64(q.Replies) || d.BytesOut == 0 {
		t.Errorf("got %+v, the device %+v", d, q)
	}
}

// What repeats a sensitive dimension is as sensitive.
func TestSensitiveRepeats(t *testing.T) {
	for key, want := range map[string]bool{"endpoint": true, "edgehold.device_names": true, "device.address": true, "interval": false} {
		if why, ok := sensitive(key); ok != want || ok == (why == "") {
			t.Errorf("%s: %v, %q", key, ok, why)
		}
	}
}

// Without rules there is no policy to report on.
func TestNoPolicyReport(t *testing.T) {
	a := auditAgent(t, "rules: []\n")
	if r := audit(t, a, func() {}); r.Policy != nil || r.Site != "plant" || len(r.Notes) < 3 {
		t.Errorf("got %+v", r)
	}
}

// Where the agent would send to is told also where nothing went there.
func TestConfiguredDestinations(t *testing.T) {
	a := auditAgent(t, "rules: []\n")
	a.cfg.Clock.NTP = []string{"time.example", "192.0.2.9:1123"}
	destinations := func(do func()) (out []string) {
		for _, d := range audit(t, a, do).Destinations {
			out = append(out, strings.Join([]string{d.Purpose, d.Protocol, d.Address, d.Name, fmt.Sprint(d.BytesOut)}, " "))
		}
		return out
	}
	const uplink, ntp, other = "uplink tcp 127.0.0.1:9  0", "ntp udp 192.0.2.9:1123  0", "ntp udp  time.example 0"
	if got, want := destinations(func() {}), []string{uplink, other, ntp}; !slices.Equal(got, want) {
		t.Errorf("nothing was sent: %q, want %q", got, want)
	}
	got := destinations(func() {
		line := a.meter.Line(egress.NTP)
		line.Sent(netip.MustParseAddrPort("192.0.2.9:1123"), "192.0.2.9", 48)
		line.Sent(netip.MustParseAddrPort("192.0.2.10:123"), "time.example", 48)
	})
	if want := []string{uplink, "ntp udp 192.0.2.10:123 time.example 48", "ntp udp 192.0.2.9:1123  48"}; !slices.Equal(got, want) {
		t.Errorf("NTP was sent: %q, want %q", got, want)
	}
	a.cfg.Clock.NTP, a.cfg.Uplink.Proxy = nil, "http://proxy.example:3128"
	if got, want := destinations(func() {}), []string{"uplink tcp  proxy.example 0"}; !slices.Equal(got, want) {
		t.Errorf("through a proxy: %q, want %q", got, want)
	}
}
