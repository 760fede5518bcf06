package snmp

import (
	"errors"
	"fmt"
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
		"", ":161", "192.0.2.10:", "192.0.2.10:0", "192.0.2.10:65536", "192.0.2.10:snmp", "192.0.2.999", "192.0.2", "192.0.2.0/24",
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
	bad := Options{Devices: []string{"192.0.2.1", "192.0.2.1:161", "?"}, Profile: "cisco", Interval: probes.Duration(time.Millisecond)}
	text := errors.Join(bad.Check()...).Error()
	for _, want := range []string{"devices[1]: \"192.0.2.1:161\" is the same device as devices[0]", "devices[2]:", "credentials: empty", `profile: unknown profile "cisco"`, "interval: 1ms is too short"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if errs := (&Options{Profile: "auto", Interval: probes.Duration(time.Minute)}).Check(); len(errs) != 2 {
		t.Errorf("empty options: %v", errs)
	}
}

func TestKindNew(t *testing.T) {
	deps := probes.Deps{Clock: newClock(), Log: zerolog.Nop(), Credentials: map[string]probes.Credential{"a": {Name: "a"}, "b": {Name: "b"}}}
	kind := Kind(func() (*plan.Plan, error) { return ifPlan(), nil })
	o := kind.Options().(*Options)
	o.Devices, o.Credentials, o.Interval = []string{"192.0.2.1", "192.0.2.2:1161"}, []string{"b", "a"}, probes.Duration(10*time.Second)
	tasks, err := kind.New(o, deps)
	if err != nil || len(tasks) != 2 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	first := tasks[0]
	if first.ID != "snmp/192.0.2.1:161/10s" || first.Device != "192.0.2.1" || first.Label != "192.0.2.1 interfaces" || first.Interval != 10*time.Second {
		t.Errorf("task %+v", first)
	}
	if c := first.Probe.(*Probe).device.Credentials; len(c) != 2 || c[0].Name != "b" {
		t.Errorf("credentials %v, want b before a", c)
	}
	o.Credentials = []string{"a", "c"}
	if _, err := kind.New(o, deps); err == nil || !strings.Contains(err.Error(), `credentials[1]: there is no credential "c"`) {
		t.Errorf("unknown credential: %v", err)
	}
	broken := Kind(func() (*plan.Plan, error) { return nil, errors.New("broken") })
	o.Credentials = []string{"a"}
	if _, err := broken.New(o, deps); err == nil {
		t.Error("took a broken plan")
	}
	if _, err := kind.New(Options{}, deps); err == nil {
		t.Error("took options of another type")
	}
}
