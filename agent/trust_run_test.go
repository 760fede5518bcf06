package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// trustDay is an agent that runs a signed package against a device, and an
// environment.
type trustDay struct {
	*trustSite
	device *snmptest.Responder
	mib    *snmptest.MIB
	env    *draintest.Server
	url    string
	agent  *Agent
	extra  string // of the configuration
	pkg    string
	at     atomic.Pointer[sign.Moment]
	halt   func()
}

func newTrustDay(t *testing.T) *trustDay {
	t.Helper()
	d := &trustDay{}
	d.mib, d.device = respond(t, "testdata/rack.snmprec")
	start := time.Now()
	d.mib.SetFunc(snmptest.MustOID("1.3.6.1.2.1.1.3.0"), func() snmptest.Value {
		return snmptest.TimeTicks(uint32(time.Since(start).Milliseconds()/10) + 100_000)
	})
	d.trustSite = newTrustSite(t, d.device.Addr())
	d.env = draintest.New(draintest.Options{Token: "trust", KeepLines: true})
	var err error
	if d.url, err = d.env.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.env.Close() })
	write(t, filepath.Join(d.dir, "token"), "trust")
	d.at.Store(&sign.Moment{Time: time.Now(), Trusted: true})
	return d
}

func (d *trustDay) configPath() string { return filepath.Join(d.dir, "edgehold.yaml") }

// configure writes the configuration file.
func (d *trustDay) configure() {
	d.t.Helper()
	write(d.t, d.configPath(), fmt.Sprintf(`site: plant-7
state_dir: %[1]s/state
socket: %[1]s/s
uplink: {dynatrace: {url: %[2]q, token_file: %[1]s/token, resolution: full}}
buffer: {commit_interval: 100ms}
trust:
  roots: %[3]s
%[4]sextensions: [{package: %[5]s, configuration: %[6]s, interval: 1s}]
`, d.dir, d.url, d.roots, d.extra, d.pkg, d.activate))
}

// start runs the agent until halt is called or the test ends.
func (d *trustDay) start() {
	d.t.Helper()
	a, err := New(Options{
		Path: d.configPath(), Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Version: "1.0.0",
		NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() },
		moment: func() sign.Moment { return *d.at.Load() },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	a.trustTick = 20 * time.Millisecond
	d.agent = a
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	d.halt = func() {
		if stop == nil {
			return
		}
		stop()
		stop = nil
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	}
	d.t.Cleanup(d.halt)
}

// until waits for a condition.
func (d *trustDay) until(what string, done func() bool) {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(end) {
			d.t.Fatalf("%s: not in time; packages %+v", what, d.agent.Status().Packages)
		}
		time.Sleep(10 * time.Millisecond) // between looks
	}
}

func (d *trustDay) state() control.Package { return d.agent.Status().Packages[0] }

// polls waits for another poll of the device that brought data.
func (d *trustDay) polls() {
	d.t.Helper()
	before := d.device.Requests()
	d.until("a poll", func() bool {
		devices := d.agent.Status().Devices
		return len(devices) > 0 && devices[0].Status == "OK" && d.device.Requests() != before
	})
}

// stopped waits until the package is refused, and holds that the device is
// asked no more.
func (d *trustDay) stopped(rule sign.Rule) {
	d.t.Helper()
	d.until("stop", func() bool { return d.state().State == "refused" })
	if p := d.state(); p.Rule != string(rule) || p.Message == "" {
		d.t.Errorf("rule %q, want %q: %s", p.Rule, rule, p.Message)
	}
	st := d.agent.Status()
	if len(st.Devices) != 0 {
		d.t.Errorf("devices are polled: %+v", st.Devices)
	}
	if !strings.Contains(strings.Join(st.Alarms, "\n"), d.state().Message) {
		d.t.Errorf("no alarm of it: %q", st.Alarms)
	}
	d.until("the end of the last poll", func() bool { return st.Polling.InFlight == 0 || d.agent.Status().Polling.InFlight == 0 })
	asked, tick := d.device.Requests(), time.NewTimer(1500*time.Millisecond) // the interval is one second
	<-tick.C
	if now := d.device.Requests(); now != asked {
		d.t.Errorf("the device was asked after the stop: %+v, then %+v", asked, now)
	}
}

// kinds are those of the records of a store's history.
func (d *trustDay) kinds() (kinds []string) {
	d.t.Helper()
	s, err := store.Open(filepath.Join(d.dir, "state"))
	if err != nil {
		d.t.Fatal(err)
	}
	for r, err := range s.History() {
		if err != nil {
			d.t.Fatal(err)
		}
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

func (d *trustDay) history(want ...string) {
	d.t.Helper()
	if got := strings.Join(d.kinds(), " "); got != strings.Join(want, " ") {
		d.t.Errorf("history %q, want %q", got, want)
	}
}

// events counts those of a title that the environment took.
func (d *trustDay) events(title string) (n int) {
	for _, e := range d.env.Ledger().Events() {
		if strings.Contains(e.Title, title) {
			n++
		}
	}
	return n
}

// A signer is revoked while its package runs: the polls stop, status, event and
// history tell of it once; with a new signature it runs again.
func TestRevokedWhileRunning(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	by := d.signer(d.root, "network", 90)
	d.pkg = filepath.Join(d.dir, "bundle.zip")
	d.copy(d.bundle(by, nil))
	d.configure()
	d.start()
	d.polls()
	if p := d.state(); p.State != "trusted" || p.DaysLeft == nil {
		t.Errorf("status %+v", p)
	}
	d.revoke(by)
	d.stopped(sign.RuleRevoked)
	d.until("the event", func() bool { return d.events("custom:rack is not trusted") == 1 })
	// A reload does not bring it back, nor does it tell of it again.
	var part *control.Incomplete
	if err := d.agent.Reload(t.Context()); !errors.As(err, &part) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("Reload: %v", err)
	}
	d.stopped(sign.RuleRevoked)
	d.history("configuration", "admit", "revoked")
	d.copy(d.bundle(d.signer(d.root, "network", 90), nil))
	if err := d.agent.Reload(t.Context()); err != nil {
		t.Errorf("Reload: %v", err)
	}
	d.polls()
	d.until("the event", func() bool { return d.events("custom:rack is trusted again") == 1 })
	d.halt()
	d.history("configuration", "admit", "revoked", "trusted")
	if n := d.events("custom:rack"); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

func (d *trustDay) copy(bundle string) {
	d.t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		d.t.Fatal(err)
	}
	write(d.t, d.pkg, string(data))
}

// The root is taken away and comes back: the package stops and starts by itself.
// The counters' baselines are gone, so no interval is counted twice.
func TestRootRemovedAndBack(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 90), nil)
	d.configure()
	d.start()
	d.polls()
	d.polls()
	if err := os.Remove(d.rootFile()); err != nil {
		t.Fatal(err)
	}
	d.stopped(sign.RuleWrongRoot)
	const moved = 1_000_000_007
	d.mib.Bump(snmptest.MustOID("1.3.6.1.2.1.31.1.1.1.6"), func(snmptest.OID) uint64 { return moved })
	d.trustRoot(d.root)
	d.polls()
	d.polls()
	if p := d.state(); p.State != "trusted" {
		t.Errorf("status %+v", p)
	}
	d.history("configuration", "admit", "untrusted", "trusted")
	d.until("delivery", func() bool { return d.agent.Status().Account.Buffered == 0 })
	counts := 0
	for _, line := range d.env.Ledger().Lines() {
		if strings.HasPrefix(line, "rack.if.hc.in.count") {
			counts++
		}
		if strings.Contains(line, fmt.Sprint(moved)) {
			t.Errorf("what was counted while nothing ran is told as of one interval: %s", line)
		}
	}
	if counts == 0 {
		t.Error("no counter came")
	}
}

// Time goes on while a package runs, until its certificate has expired.
func TestExpiryWhileRunning(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 10), nil)
	d.configure()
	d.start()
	d.polls()
	end := d.agent.packages()[0].Verdict.Expires
	d.at.Store(&sign.Moment{Time: end.Add(-36 * time.Hour), Trusted: true})
	if alarms := strings.Join(d.agent.Status().Alarms, "\n"); !strings.Contains(alarms, "within 48 hours") {
		t.Errorf("no alarm before the end: %s", alarms)
	}
	lives := d.agent.certificates()
	if len(lives) != 1 || lives[0].extension != "custom:rack" || lives[0].days != 1 {
		t.Errorf("lives %+v", lives)
	}
	d.polls()
	d.at.Store(&sign.Moment{Time: end.Add(time.Second), Trusted: true})
	d.stopped(sign.RuleExpired)
	d.history("configuration", "admit", "untrusted")
}

// A gateway that does not know the time runs what may be valid, and stops it
// when it learns that it is not.
func TestTheTimeBecomesKnown(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 10), nil)
	d.at.Store(&sign.Moment{Time: time.Now().Add(-365 * 24 * time.Hour)}) // a floor
	d.configure()
	d.start()
	d.polls()
	if d.agent.certificates() != nil {
		t.Error("days are told of an unknown time")
	}
	d.at.Store(&sign.Moment{Time: time.Now().Add(11 * 24 * time.Hour), Trusted: true})
	d.stopped(sign.RuleExpired)
	d.at.Store(&sign.Moment{Time: time.Now(), Trusted: true}) // it was wrong
	d.agent.recheckTrust(true)
	d.polls()
}

// The agent's own points tell how long a certificate lives.
func TestOwnPointOfACertificate(t *testing.T) {
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 10), nil)
	d.extra = "  categories: {network: {data_sources: [snmp]}}\n"
	d.configure()
	a, err := New(Options{
		Path: d.configPath(), Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Version: "1.0.0",
		NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() },
		moment: func() sign.Moment { return *d.at.Load() },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.store.Close()
	batch, err := a.self.Probe.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range batch.Points {
		if s := p.Series; s.Key() == "edgehold.extension.certificate_days_left" {
			if days := p.Value.Float64(); days < 8 || days > 10 || s.Dim("extension") != "custom:rack" || s.Dim("signer") != a.packages()[0].Verdict.Signer().Fingerprint[:16] || strings.Contains(fmt.Sprint(s.Dims()), "Developer") || s.Dim("category") != "network" {
				t.Errorf("%v days, %v", days, s.Dims())
			}
			return
		}
	}
	t.Error("no point")
}

// Limits and allow_unsigned change with a reload.
func TestTrustReload(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 90), nil)
	d.configure()
	d.start()
	d.polls()
	d.extra = "  categories: {network: {addresses: [192.0.2.0/24]}}\n"
	d.configure()
	if err := d.agent.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "rack.json:") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("Reload: %v", err)
	}
	d.stopped(sign.RuleCategory)
	d.extra = "  allow_unsigned: true\n"
	d.pkg = d.folder("custom:trial", "1.2.3")
	d.configure()
	if err := d.agent.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	d.polls()
	if st := d.agent.Status(); st.Packages[0].State != "unsigned" || len(st.UnsignedPackages) != 1 || !st.Trust.AllowUnsigned {
		t.Errorf("packages %+v", st.Packages)
	}
	d.extra = ""
	d.configure()
	_ = d.agent.Reload(t.Context())
	d.stopped(sign.RuleUnsigned)
	d.history("configuration", "admit", "configuration", "untrusted", "configuration", "allow_unsigned", "admit", "configuration", "allow_unsigned", "untrusted")
	d.halt()
	// A restart finds all as the history says, and tells nothing again.
	d.start()
	d.stopped(sign.RuleUnsigned)
	d.halt()
	if kinds := d.kinds(); len(kinds) != 10 {
		t.Errorf("a restart has added to the history: %q", kinds)
	}
}

// A new file that is no package leaves the last good one running; taking its
// trust away then stops that too.
func TestABrokenFileKeepsTheTrustedOne(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	by := d.signer(d.root, "network", 90)
	d.pkg = filepath.Join(d.dir, "bundle.zip")
	d.copy(d.bundle(by, nil))
	d.configure()
	d.start()
	d.polls()
	write(t, d.pkg, "half a pack")
	if err := d.agent.Reload(t.Context()); err == nil {
		t.Error("Reload took half a package")
	}
	d.polls()
	if p := d.state(); p.State != "kept" || p.Message == "" {
		t.Errorf("status %+v", p)
	}
	d.revoke(by)
	d.until("stop", func() bool { return len(d.agent.Status().Devices) == 0 })
}

// What has expired, or may have been revoked, stops also where its file is gone
// and cannot be judged again.
func TestAPackageWithoutItsFile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*trustDay){
		"expired": func(d *trustDay) {
			d.at.Store(&sign.Moment{Time: time.Now().Add(20 * 24 * time.Hour), Trusted: true})
		},
		"folder changed": func(d *trustDay) { write(d.t, filepath.Join(d.roots, "more.pem"), "no certificate") },
		"the time known": func(d *trustDay) { d.at.Store(&sign.Moment{Time: time.Now(), Trusted: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTrustDay(t)
			d.pkg = filepath.Join(d.dir, "bundle.zip")
			d.copy(d.bundle(d.signer(d.root, "network", 10), nil))
			if name == "the time known" {
				d.at.Store(&sign.Moment{Time: time.Now()})
			}
			d.configure()
			d.start()
			d.polls()
			if err := os.Remove(d.pkg); err != nil {
				t.Fatal(err)
			}
			_ = d.agent.Reload(t.Context())
			d.polls()
			if p := d.state(); p.State != "kept" {
				t.Errorf("status %+v", p)
			}
			change(d)
			d.until("stop", func() bool { return len(d.agent.Status().Devices) == 0 })
		})
	}
}

// A history that cannot be written does not stop the agent; status says so.
func TestHistoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 90), nil)
	d.configure()
	write(t, filepath.Join(d.dir, "state", "extensions"), "a file where the folder should be")
	d.start()
	d.polls()
	if st := d.agent.Status(); len(st.Trust.Warnings) == 0 || !strings.Contains(strings.Join(st.Alarms, "\n"), "history") {
		t.Errorf("nothing is said: %q %q", st.Trust.Warnings, st.Alarms)
	}
}
