package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes/catalog"
	"github.com/edgehold/edgehold/sign"
	"github.com/edgehold/edgehold/sign/store"
)

// A monitoring configuration that nobody ever writes to holds up neither the
// stop of a revoked package nor a reload nor the end.
func TestAPipeForAConfigurationHoldsNothingUp(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	by := d.signer(d.root, "network", 90)
	d.pkg = d.bundle(by, nil)
	d.configure()
	d.start()
	d.polls()
	if err := os.Remove(d.activate); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(d.activate, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.agent.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), d.activate) || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Reload: %v", err)
	}
	d.polls()
	d.revoke(by)
	d.stopped(sign.RuleRevoked)
	d.halt()
}

// What is refused stops before anything else is read.
func TestRefusedPackagesStopFirst(t *testing.T) {
	d := newTrustDay(t)
	by := d.signer(d.root, "network", 90)
	d.pkg = d.bundle(by, nil)
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
	if n := len(a.schedule.States()); n < 2 {
		t.Fatalf("%d tasks", n)
	}
	a.stopRefused()
	if n := len(a.schedule.States()); n < 2 {
		t.Fatalf("%d tasks are left of a trusted package", n)
	}
	d.revoke(by)
	a.builder.warden = a.newWarden(a.cfg)
	a.stopRefused()
	if states := a.schedule.States(); len(states) != 1 || states[0].Task.Device != selfDevice {
		t.Errorf("after the stop there is %+v", states)
	}
}

// A check that takes long is an alarm while it lasts.
func TestALongCheckIsAnAlarm(t *testing.T) {
	d := newTrustDay(t)
	d.pkg = d.bundle(d.signer(d.root, "network", 90), nil)
	d.configure()
	a, err := New(Options{
		Path: d.configPath(), Kinds: catalog.Kinds(OpenProfiles, OpenModbusProfiles), Version: "1.0.0",
		NewLog: func(config.Log) zerolog.Logger { return zerolog.Nop() },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.store.Close()
	done := a.timed()
	if text := strings.Join(a.Status().Alarms, "\n"); strings.Contains(text, "check of the packages") {
		t.Errorf("too early: %s", text)
	}
	long := time.Now().Add(-time.Minute)
	a.checking.Store(&long)
	if text := strings.Join(a.Status().Alarms, "\n"); !strings.Contains(text, "check of the packages has taken 1m0s") {
		t.Errorf("nothing is said: %s", text)
	}
	done()
	if text := strings.Join(a.Status().Alarms, "\n"); strings.Contains(text, "check of the packages") {
		t.Errorf("said after the end: %s", text)
	}
}

// install puts a bundle into the store of the agent, as `ext install` does.
func (d *trustDay) install(bundle, version string) {
	d.t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		d.t.Fatal(err)
	}
	at := *d.at.Load()
	w := newWarden(d.config(""), wardenOptions{at: at})
	_, verdict, err := w.trust.OpenBytes("b", data, sign.DefaultLimits(), at)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := w.store.Install(store.Candidate{Bundle: data, Name: "custom:rack", Version: version, Verdict: verdict}); err != nil {
		d.t.Fatal(err)
	}
}

// An installed package that is refused runs again as soon as it is installed with
// a signature that is good; one that is removed stops, by itself or by a reload.
func TestInstalledAgainAndRemoved(t *testing.T) {
	t.Parallel()
	d := newTrustDay(t)
	by := d.signer(d.root, "network", 90)
	d.install(d.bundle(by, nil), "1.2.3")
	d.pkg = "custom:rack"
	d.configure()
	d.start()
	d.polls()
	d.revoke(by)
	d.stopped(sign.RuleRevoked)
	if text := d.state().Message; strings.Contains(text, d.dir) || !strings.Contains(text, "custom:rack 1.2.3") {
		t.Errorf("the refusal names the store's own file: %s", text)
	}
	d.install(d.bundle(d.signer(d.root, "network", 90), nil), "1.2.3")
	d.until("the new signature", func() bool { return d.state().State == "trusted" })
	d.polls()
	remove := func() {
		s, err := store.Open(filepath.Join(d.dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Remove("custom:rack", ""); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	d.until("stop", func() bool { return len(d.agent.Status().Devices) == 0 })
	if text := d.state().Message; !strings.Contains(text, "is not installed") {
		t.Errorf("status says %q", text)
	}
}

// A package that is not installed any more is not kept by a reload either.
func TestAReloadDoesNotKeepWhatIsRemoved(t *testing.T) {
	d := newTrustDay(t)
	d.install(d.bundle(d.signer(d.root, "network", 90), nil), "1.2.3")
	d.pkg = "custom:rack"
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
	if n := len(a.schedule.States()); n < 2 {
		t.Fatalf("%d tasks", n)
	}
	if err := a.builder.warden.store.Remove("custom:rack", ""); err != nil {
		t.Fatal(err)
	}
	var part *control.Incomplete
	if err := a.Reload(t.Context()); !errors.As(err, &part) || !strings.Contains(err.Error(), "is not installed") {
		t.Errorf("Reload: %v", err)
	}
	if n := len(a.schedule.States()); n != 1 {
		t.Errorf("%d tasks after the removal", n)
	}
}
