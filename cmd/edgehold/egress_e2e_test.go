package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/agent/drain/linktest"
	"github.com/edgehold/edgehold/agent/egress"
)

// What an audit and a capture see at the border of the audit's time may differ
// by so much of it: a packet is seen by the kernel and by the agent at two
// moments. Within, they agree to the byte.
const borders = 500 * time.Millisecond

// goodbyes is how many bytes may come on connections that the agent has closed
// already, such as the end of TLS from the other side: nobody reads them.
const goodbyes = 256

const (
	farEnvironment = "environment.edgehold.test"
	farDevice      = "switch.edgehold.test"
)

// watchedAgent is the program in a namespace in which each packet is seen, with
// all that it talks to on the other side of a link.
type watchedAgent struct {
	*site
	evidence *evidence
	capture  *capture
	env      *draintest.Server
	device   netip.AddrPort // that answers
	silent   netip.AddrPort // that does not
	uplink   netip.AddrPort
}

const silentNTP = "192.0.2.2:123"

func newWatchedAgent(t *testing.T) *watchedAgent {
	t.Helper()
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skipf("SKIPPED: no mount namespaces for this user (unshare -m: %v)", err)
	}
	link := linktest.New(t, linktest.Both(linktest.Path{Delay: 5 * time.Millisecond}, 1))
	r := &watchedAgent{site: newSite(t), evidence: newEvidence(), silent: netip.MustParseAddrPort("192.0.2.9:161")}
	token, community := r.evidence.plant("token", "dt0c01.", ""), r.evidence.plant("community", "", "")
	r.file("token", token)
	r.file("community", community)
	r.file("salt", r.evidence.plant("salt", "0123456789abcdef", ""))
	r.file("resolv.conf", "nameserver "+linktest.ServerAddr+"\noptions timeout:1 attempts:2\n")
	r.env = draintest.New(draintest.Options{Token: token, KeepLines: true, Listen: link.Server.Listen})
	url, err := r.env.StartTLS(linktest.ServerAddr+":0", draintest.TLS{Names: []string{farEnvironment}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.env.Close() })
	r.file("ca.pem", string(r.env.CAPEM()))
	r.uplink = netip.MustParseAddrPort(strings.TrimPrefix(url, "https://"))
	r.env.Refuse() // the agent has to wait for it
	err = link.Server.Do(func() error {
		r.device = netip.MustParseAddrPort(newSwitch(t, linktest.ServerAddr, community).Addr())
		ntp, err := net.ListenPacket("udp", silentNTP)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = ntp.Close() })
		names, err := net.ListenPacket("udp", linktest.ServerAddr+":53")
		if err != nil {
			return err
		}
		serveNames(t, names, netip.MustParseAddr(linktest.ServerAddr), farEnvironment, farDevice)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.configure()
	r.capture = startCapture(t, link.Client)
	r.command = []string{"unshare", "-m", "sh", "-c", `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`, "sh", filepath.Join(r.dir, "resolv.conf")}
	_ = link.Client.Do(func() error {
		r.start()
		return nil
	})
	return r
}

func (r *watchedAgent) configure() {
	r.t.Helper()
	r.policy("device.address")
	r.yaml(fmt.Sprintf("https://%s:%d", farEnvironment, r.uplink.Port()),
		"privacy_file: privacy.yaml\nclock: {ntp: [\""+silentNTP+"\"]}\nprobes:\n",
		polled("1s", fmt.Sprintf("%s:%d", farDevice, r.device.Port())), polled("2s", r.silent.Addr().String()))
	text, err := os.ReadFile(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.file("edgehold.yaml", strings.Replace(string(text), "token_file: token", "token_file: token, ca_file: ca.pem", 1))
}

func (r *watchedAgent) policy(hashed string) {
	r.file("privacy.yaml", "salt_file: salt\nrules:\n- {dimension: "+hashed+", action: hash}\n- {dimension: if.name, metric: \"*.if.in.*\", action: drop}\n- {dimension: no.such.thing, action: drop}\n")
}

// TestE2EAuditEgress holds an audit against a capture of every packet: the same
// destinations, the same volumes; and looks for secrets in all that is said.
func TestE2EAuditEgress(t *testing.T) {
	t.Parallel()
	program(t)
	r := newWatchedAgent(t)
	audit := launch(t, exec.Command(program(t), "audit", "egress", "--for", "1h", "--json", "--config", r.config), filepath.Join(r.dir, "audit.json"))
	begun := time.Now()
	ntp := place{"udp", netip.MustParseAddrPort(silentNTP)}
	eventually(t, "attempts to reach an environment that is not there", func() bool {
		return r.capture.packets(place{"tcp", r.uplink}) >= 2 && (r.capture.packets(ntp) >= 2 || time.Since(begun) > 5*time.Second)
	})
	if err := r.env.Restore(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "points of several polls to arrive", func() bool { return len(r.env.Ledger().Lines()) > 300 && r.env.Counts().Requests > 6 })
	end := audit.end(syscall.SIGINT)
	if end.code != 0 {
		t.Fatal(end.all())
	}
	r.evidence.add("audit --json", []byte(end.all()))
	var report egress.Report
	if err := json.Unmarshal([]byte(end.err), &report); err != nil {
		t.Fatalf("%v in %s", err, end.err)
	}
	if !report.Early || report.Site != "e2e" {
		t.Errorf("report of site %q, ended early: %v", report.Site, report.Early)
	}
	r.wantTraffic(report)
	r.wantContent(report)
	r.wantTable()
	r.wantReload()
	r.agent.end(syscall.SIGTERM)
	r.wantSilence(t)
}

// wantTraffic holds destinations and volumes against the capture.
func (r *watchedAgent) wantTraffic(report egress.Report) {
	t := r.t
	t.Helper()
	audited := map[place]volume{}
	for _, d := range report.Destinations {
		if d.Attempts+d.Connections+d.DatagramsOut+d.DatagramsIn == 0 {
			continue // it is configured, and nothing went there
		}
		at := place{d.Protocol, netip.MustParseAddrPort(d.Address)}
		v := audited[at]
		audited[at] = volume{v.out + d.BytesOut, v.in + d.BytesIn, v.datagramsOut + d.DatagramsOut, v.datagramsIn + d.DatagramsIn}
	}
	eventually(t, "the capture to have seen the end of the audit", func() bool { return time.Since(report.To) > borders })
	least := r.capture.between(report.From.Add(borders), report.To.Add(-borders))
	most := r.capture.between(report.From.Add(-borders), report.To.Add(borders))
	exact := r.capture.between(report.From, report.To)
	for at := range least {
		if _, ok := audited[at]; !ok {
			t.Errorf("the capture has seen %v, the audit has not", at)
		}
	}
	for at, v := range audited {
		lo, hi := least[at], most[at]
		if at.proto == "tcp" {
			lo.in -= goodbyes
		}
		if _, ok := most[at]; !ok {
			t.Errorf("the audit has seen %v, the capture has not", at)
		}
		for _, c := range []struct {
			what            string
			lo, counted, hi int64
		}{
			{"bytes out", lo.out, v.out, hi.out},
			{"bytes in", lo.in, v.in, hi.in},
			{"datagrams out", lo.datagramsOut, v.datagramsOut, hi.datagramsOut},
			{"datagrams in", lo.datagramsIn, v.datagramsIn, hi.datagramsIn},
		} {
			if c.counted < c.lo || c.counted > c.hi {
				t.Errorf("%v: %s: the audit says %d, the capture between %d and %d", at, c.what, c.counted, c.lo, c.hi)
			}
		}
		t.Logf("%v: audit %+v, capture in that time %+v", at, v, exact[at])
	}
	r.wantDestinations(report, audited[place{"udp", netip.MustParseAddrPort(silentNTP)}].datagramsOut)
}

// wantDestinations asks for what must be among them.
func (r *watchedAgent) wantDestinations(report egress.Report, ntp int64) {
	t := r.t
	t.Helper()
	found := map[string]egress.Destination{}
	for _, d := range report.Destinations {
		found[d.Purpose+" "+d.Address+" "+d.Name] = d
	}
	for key, ok := range map[string]func(egress.Destination) bool{
		"uplink " + r.uplink.String() + " " + farEnvironment:      func(d egress.Destination) bool { return d.Connections > 0 && d.BytesOut > 1000 && d.BytesIn > 0 },
		"uplink time " + r.uplink.String() + " " + farEnvironment: func(d egress.Destination) bool { return d.Attempts > 0 },
		"dns 192.0.2.2:53 ": func(d egress.Destination) bool { return d.DatagramsOut > 0 && d.DatagramsIn > 0 },
		"device poll " + r.device.String() + " " + farDevice: func(d egress.Destination) bool { return d.DatagramsOut > 5 && d.BytesIn > d.BytesOut },
		"device poll " + r.silent.String() + " ":             func(d egress.Destination) bool { return d.DatagramsOut > 0 && d.BytesIn == 0 },
	} {
		if d, seen := found[key]; !seen || !ok(d) {
			t.Errorf("%q: %+v, among %v", key, d, report.Destinations)
		}
	}
	if d, seen := found["ntp "+silentNTP+" "]; !seen || d.DatagramsOut != ntp {
		t.Errorf("NTP servers were asked %d times, and told is %+v", ntp, d)
	}
	t.Logf("%d datagrams to an NTP server", ntp)
}

// wantContent holds what is said of metrics and dimensions against what has
// arrived.
func (r *watchedAgent) wantContent(report egress.Report) {
	t := r.t
	t.Helper()
	i := slices.IndexFunc(report.Sources, func(s egress.Source) bool { return s.Name == "built-in snmp" })
	if i < 0 {
		t.Fatalf("sources %+v", report.Sources)
	}
	told, dims := map[string]bool{}, map[string]egress.Dimension{}
	for _, s := range report.Sources {
		for _, m := range s.Metrics {
			told[m.Key] = true
		}
		for _, d := range s.Dimensions {
			dims[d.Key] = d
		}
	}
	arrived := 0
	for _, l := range linesOf(t, r.env, func(l draintest.Line) bool {
		at := time.UnixMilli(l.Timestamp)
		return at.After(report.From.Add(borders)) && at.Before(report.To.Add(-2*borders))
	}) {
		arrived++
		if !told[l.Key] {
			t.Errorf("%s has arrived, and is not in the audit", l.Key)
		}
		for _, d := range l.Dims {
			if _, ok := dims[d.Key]; !ok {
				t.Errorf("dimension %s has arrived, and is not in the audit", d.Key)
			}
		}
		if a := dim(l, "device.address"); strings.Contains(a, farDevice) || a != "" && len(a) != 16 {
			t.Errorf("device.address left as %q", a)
		}
	}
	if arrived < 100 {
		t.Errorf("only %d lines to compare with", arrived)
	}
	if d := dims["device.address"]; d.Redacted == "" || len(d.Examples) > 0 {
		t.Errorf("device.address is shown: %+v", d)
	}
	if d := dims["site"]; !slices.Equal(d.Examples, []string{"e2e"}) {
		t.Errorf("site: %+v", d)
	}
	if p := report.Policy; p == nil || len(p.Rules) != 3 || p.Rules[0].Matched == 0 || p.Rules[2].Matched != 0 {
		t.Errorf("policy %+v", p)
	}
}

// wantTable looks at the audit as people see it.
func (r *watchedAgent) wantTable() {
	t := r.t
	t.Helper()
	r.evidence.run(t, "audit", "egress", "--for", "2s", "--config", r.config).mustSay(t, 0,
		"what left site e2e", r.uplink.String(), farEnvironment, "built-in snmp", "(not shown here: it is an address",
		"drop no.such.thing MATCHES NOTHING", "hash device.address has changed", "never sent", "access tokens")
}

// wantReload changes the policy, first to a bad one.
func (r *watchedAgent) wantReload() {
	t := r.t
	t.Helper()
	r.policy("a=b")
	refused := r.evidence.run(t, "reload", "--config", r.config)
	refused.mustSay(t, 78, "privacy.yaml:3:", "rules[0].dimension: not the name of a dimension")
	r.policy("device.*")
	r.evidence.run(t, "reload", "--config", r.config).mustSay(t, 0, "reloaded")
	eventually(t, "the new policy to take effect", func() bool {
		return len(linesOf(t, r.env, func(l draintest.Line) bool {
			return l.Key == uptimeKey && len(dim(l, "device.port")) == 16
		})) > 0
	})
	r.evidence.run(t, "check", "--config", r.config)
}

// wantSilence looks for the secrets in all that was said and sent. The
// community alone leaves, to its device.
func (r *watchedAgent) wantSilence(t *testing.T) {
	t.Helper()
	r.evidence.add("the log", []byte(r.agent.said()))
	r.evidence.add("lines", []byte(strings.Join(r.env.Ledger().Lines(), "\n")))
	devices := 0
	r.capture.payloads(func(at place, data []byte) {
		if at.remote == r.device || at.remote == r.silent {
			devices++
			return
		}
		r.evidence.add("packets to "+at.remote.String(), data)
	})
	if devices == 0 {
		t.Error("no packet to a device was seen")
	}
	r.evidence.wantSilence(t, 3, 8)
}
