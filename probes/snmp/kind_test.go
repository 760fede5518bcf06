package snmp

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/rs/zerolog"
)

func TestParseDevice(t *testing.T) {
	good := map[string]string{
		"192.0.2.10":              "192.0.2.10 161",
		"192.0.2.10:1161":         "192.0.2.10 1161",
		"switch.example":          "switch.example 161",
		"switch_1:161":            "switch_1 161",
		"2001:db8::1":             "2001:db8::1 161",
		"[2001:db8::1]":           "2001:db8::1 161",
		"[2001:db8::1]:1161":      "2001:db8::1 1161",
		"fe80::1%eth0":            "fe80::1%eth0 161",
		"[fe80::1%eth0]:65535":    "fe80::1%eth0 65535",
		"switch.example.:161":     "switch.example. 161",
		"10-0-0-1.plant.example1": "10-0-0-1.plant.example1 161",
	}
	for in, want := range good {
		d, err := ParseDevice(in)
		if got := fmt.Sprint(d.Host, " ", d.Port); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"fe80::1", "[fe80::1]:161", "", ":161", "192.0.2.10:", "192.0.2.10:0", "192.0.2.10:65536", "192.0.2.10:snmp", "192.0.2.999", "192.0.2", "192.0.2.0/24",
		"udp://192.0.2.1", "a b", "[2001:db8::1", "[2001:db8::1]x", "[2001:db8::1]:", "[192.0.2.1]:161", "2001:db8::g", "a..b", "a:1:2", "::%]0", "00.",
	} {
		if d, err := ParseDevice(in); err == nil {
			t.Errorf("%q became %s %d", in, d.Host, d.Port)
		} else if !strings.Contains(err.Error(), "expected") {
			t.Errorf("%q: the error does not tell what is expected: %v", in, err)
		}
	}
}

// FuzzParseDevice: what is taken is taken again from its own text, unchanged.
func FuzzParseDevice(f *testing.F) {
	f.Add("[fe80::1%eth0]:161")
	f.Add("host:1")
	f.Fuzz(func(t *testing.T, in string) {
		d, err := ParseDevice(in)
		if err != nil {
			return
		}
		again, err := ParseDevice(hostPort(d))
		if err != nil || again.Port != d.Port || canonicalHost(again.Host) != canonicalHost(d.Host) {
			t.Errorf("%q became %s, which became %s %d, %v", in, hostPort(d), again.Host, again.Port, err)
		}
	})
}

func TestOptionsCheck(t *testing.T) {
	kind := Kind(nil)
	defaults := kind.Options().(*Options)
	if defaults.Profile != "auto" || defaults.Interval.Std() != time.Minute {
		t.Errorf("defaults %+v", defaults)
	}
	good := Options{Devices: []string{"192.0.2.1", "192.0.2.1:162"}, Credentials: []string{"a"}, Profile: "auto", Interval: probes.Duration(time.Second)}
	if errs := good.Check(); len(errs) > 0 {
		t.Errorf("good options: %v", errs)
	}
	many := -1
	bad := Options{
		Devices: []string{"192.0.2.1", "192.0.2.1:161", "?"}, Interval: probes.Duration(time.Millisecond), InterfaceFilter: "Gi",
		Timeout: probes.Duration(time.Hour), Retries: &many, PacketsPerSecond: -1, MaxRepetitions: 1000,
	}
	text := errors.Join(bad.Check()...).Error()
	for _, want := range []string{
		"devices[1]: \"192.0.2.1:161\" is the same device as devices[0]", "devices[2]:", "credentials: empty", "profile: empty",
		"interval: 1ms is too short", "interface_filter: filter at position 1", "timeout: found 1h0m0s", "retries: found -1",
		"packets_per_second: found -1", "max_repetitions: found 1000",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if errs := (&Options{Profile: "auto", Interval: probes.Duration(time.Minute)}).Check(); len(errs) != 2 {
		t.Errorf("empty options: %v", errs)
	}
}

// fakeProfiles are profiles of one block each: "one", for sysObjectIDs that
// begin with 1.3.6.1.4.1.1, and "other".
type fakeProfiles struct {
	plans map[string]*plan.Plan
	sum   string
}

func newFakeProfiles() *fakeProfiles {
	f := &fakeProfiles{plans: map[string]*plan.Plan{}, sum: "1"}
	for _, name := range []string{"one", "other"} {
		f.plans[name] = &plan.Plan{Extension: "test." + name, Version: "1", Blocks: []plan.Block{{
			Path: "system", Interval: time.Minute,
			Dims: []plan.Dim{
				{Key: "profile", Source: plan.Source{Kind: plan.FromConst, Text: name}},
				{Key: "chassis.mac", Source: plan.Source{Kind: plan.FromChassisMAC}},
			},
			Metrics: []plan.Metric{
				{Key: "uptime", Type: probes.Gauge, Source: plan.Source{Kind: plan.FromScalar, OID: sysUpTime}},
				{Key: "packets", Type: probes.Count, Source: plan.Source{Kind: plan.FromScalar, OID: packetsIn}},
			},
		}}}
	}
	f.plans["one"].Walk = plan.Walk{NoBulk: true, MaxReps: 7}
	return f
}

const packetsIn = "1.3.6.1.2.1.11.1.0"

func (f *fakeProfiles) For(id, _ string, o plan.ProfileOptions) (*plan.Plan, error) {
	if strings.HasPrefix(id, "1.3.6.1.4.1.1.") {
		return f.Named("one", o)
	}
	return f.Named("other", o)
}

func (f *fakeProfiles) Named(name string, _ plan.ProfileOptions) (*plan.Plan, error) {
	if p := f.plans[name]; p != nil {
		return p, nil
	}
	return nil, errors.New("unknown profile " + name)
}

func (f *fakeProfiles) Names() []string                { return []string{"one", "other"} }
func (f *fakeProfiles) FeatureSets() ([]string, error) { return []string{"packets"}, nil }
func (f *fakeProfiles) Sum() string                    { return f.sum }

func openFake(string) (plan.Profiles, error) { return newFakeProfiles(), nil }

func kindDeps() probes.Deps {
	return probes.Deps{Clock: newClock(), Log: zerolog.Nop(), Credentials: map[string]probes.Credential{"a": {Name: "a"}, "b": {Name: "b"}}}
}

func TestKindNew(t *testing.T) {
	deps := kindDeps()
	kind := Kind(openFake)
	o := kind.Options().(*Options)
	o.Devices, o.Credentials, o.Interval = []string{"192.0.2.1", "192.0.2.2:1161"}, []string{"b", "a"}, probes.Duration(10*time.Second)
	none := 0
	o.Timeout, o.Retries, o.PacketsPerSecond, o.MaxRepetitions = probes.Duration(3*time.Second), &none, 5, 6
	tasks, err := kind.New(o, deps)
	if err != nil || len(tasks) != 2 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	first := tasks[0]
	if first.ID != "snmp/192.0.2.1:161/10s" || first.Device != "192.0.2.1" || first.Label != "192.0.2.1 auto" || first.Interval != 10*time.Second {
		t.Errorf("task %+v", first)
	}
	d := first.Probe.(*autoProbe).device
	if c := d.Credentials; len(c) != 2 || c[0].Name != "b" {
		t.Errorf("credentials %v, want b before a", c)
	}
	if d.Timeout != 3*time.Second || d.Retries != 0 || d.PacketsPerSecond != 5 || d.MaxReps != 6 {
		t.Errorf("device %+v", d.Device)
	}
}

func TestKindNewErrors(t *testing.T) {
	deps := kindDeps()
	deps.Credentials = maps.Clone(deps.Credentials)
	deps.Credentials["web"] = probes.Credential{Name: "web", Password: probes.NewSecret("p")}
	good := func() *Options {
		o := Kind(openFake).Options().(*Options)
		o.Devices, o.Credentials = []string{"192.0.2.1"}, []string{"a"}
		return o
	}
	for want, change := range map[string]func(o *Options){
		`credentials[0]: there is no credential "c"`:           func(o *Options) { o.Credentials = []string{"c"} },
		"profile: unknown profile thre":                        func(o *Options) { o.Profile = "thre" },
		`feature_sets[0]: no profile has a feature set "packs`: func(o *Options) { o.FeatureSets = []string{"packs"} },
		"devices_file: open /no/such/file":                     func(o *Options) { o.DevicesFile = "/no/such/file" },
		"credentials[0]: web is a password of an endpoint":     func(o *Options) { o.Credentials = []string{"web"} },
	} {
		o := good()
		change(o)
		if tasks, err := Kind(openFake).New(o, deps); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d tasks and %v, want %s", len(tasks), err, want)
		}
	}
	o := good() // all at once, and what the devices share once
	o.Devices, o.Credentials, o.Profile, o.FeatureSets = []string{"192.0.2.1", "192.0.2.2"}, []string{"c"}, "thre", []string{"packs"}
	_, err := Kind(openFake).New(o, deps)
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "feature_sets[0]: ") ||
		!strings.HasPrefix(lines[1], "credentials[0]: ") || !strings.HasPrefix(lines[2], "profile: ") {
		t.Errorf("got %q", lines)
	}
	broken := Kind(func(string) (plan.Profiles, error) { return nil, errors.New("broken") })
	if _, err := broken.New(good(), deps); err == nil {
		t.Error("took broken profiles")
	}
	if _, err := broken.New(Options{}, deps); err == nil {
		t.Error("took options of another type")
	}
}

// A task is the same as long as nothing that decides what is read changes.
func TestKindSame(t *testing.T) {
	profiles := newFakeProfiles()
	kind := Kind(func(string) (plan.Profiles, error) { return profiles, nil })
	same := func(change func(o *Options)) string {
		o := kind.Options().(*Options)
		o.Devices, o.Credentials = []string{"192.0.2.1"}, []string{"a"}
		change(o)
		tasks, err := kind.New(o, kindDeps())
		if err != nil {
			t.Fatal(err)
		}
		return tasks[0].Same
	}
	seen := map[string]int{}
	for i, change := range []func(o *Options){
		func(*Options) {},
		func(o *Options) { o.Profile = "one" },
		func(o *Options) { o.FeatureSets = []string{"packets"} },
		func(o *Options) { o.InterfaceFilter = "$prefix(Gi)" },
		func(o *Options) { o.PacketsPerSecond = 1 },
		func(o *Options) { o.MaxRepetitions = 1 },
		func(*Options) { profiles.sum = "2" },
	} {
		got := same(change)
		if j, twice := seen[got]; twice {
			t.Errorf("change %d is the same as change %d", i, j)
		}
		seen[got] = i
	}
}
