package snmp

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
	"github.com/edgehold/edgehold/probes/plan"
	"github.com/rs/zerolog"
)

type names map[string]string

func (n names) NameOf(address string) string { return n[address] }

func TestTasks(t *testing.T) {
	p := ifPlan()
	p.Blocks[1].Interval = 10 * time.Second
	devices := []plan.Device{{Host: "192.0.2.1"}, {Host: "2001:DB8::1", Port: 1161}}
	tasks := Tasks(p, devices, TaskOptions{Config: "c"}, probes.Deps{Clock: newClock(), Log: zerolog.Nop(), Resolver: names{}})
	ids := map[string]bool{}
	for _, task := range tasks {
		ids[task.ID] = true
		if task.Config != "c" || task.Same == "" {
			t.Errorf("task %+v", task)
		}
	}
	for _, want := range []string{"c/192.0.2.1:161/10s", "c/192.0.2.1:161/1m0s", "c/[2001:db8::1]:1161/10s", "c/[2001:db8::1]:1161/1m0s"} {
		if !ids[want] {
			t.Errorf("no task %s in %v", want, ids)
		}
	}
	fast, slow := tasks[0].Probe.(*Probe), tasks[1].Probe.(*Probe)
	if fast.device != slow.device || len(fast.blocks) != 1 || fast.blocks[0].Path != "interfaces/traffic" {
		t.Error("tasks of one device do not share it, or have each other's blocks")
	}
	if tasks[2].Device != "2001:db8::1" {
		t.Errorf("device %q", tasks[2].Device)
	}
}

func TestFingerprint(t *testing.T) {
	same := func(change func(p *plan.Plan, d *plan.Device)) string {
		p := ifPlan()
		d := plan.Device{Host: "192.0.2.1", Port: 161, Credentials: []probes.Credential{{Name: "c", Version: probes.SNMPv2c, Community: probes.NewSecret("one")}}}
		change(p, &d)
		return Tasks(p, []plan.Device{d}, TaskOptions{}, probes.Deps{})[0].Same
	}
	filter, err := plan.ParseFilter("$prefix(Gi)")
	if err != nil {
		t.Fatal(err)
	}
	other, err := plan.ParseFilter("$prefix(Te)")
	if err != nil {
		t.Fatal(err)
	}
	changes := []func(p *plan.Plan, d *plan.Device){
		func(*plan.Plan, *plan.Device) {},
		func(p *plan.Plan, _ *plan.Device) { p.Version = "2" },
		func(p *plan.Plan, _ *plan.Device) { p.Blocks[1].Metrics[0].Type = probes.Gauge },
		func(p *plan.Plan, _ *plan.Device) { p.Blocks[1].Dims[0].Filter = filter },
		func(p *plan.Plan, _ *plan.Device) { p.Blocks[1].Dims[0].Filter = other },
		func(p *plan.Plan, _ *plan.Device) { p.Blocks[1].Dims[0].Enum = map[int64]string{1: "up"} },
		func(p *plan.Plan, _ *plan.Device) { p.Blocks[0].Metrics[0].Source.Fallback = []string{"1.3"} },
		func(_ *plan.Plan, d *plan.Device) { d.Credentials[0].Community = probes.NewSecret("two") },
		func(_ *plan.Plan, d *plan.Device) { d.Credentials[0].Version = probes.SNMPv1 },
		func(_ *plan.Plan, d *plan.Device) { d.Timeout = time.Second },
		func(_ *plan.Plan, d *plan.Device) { d.MaxReps = 5 },
	}
	seen := map[string]int{}
	for i, change := range changes {
		f := same(change)
		if f != same(change) {
			t.Errorf("change %d: the fingerprint is not stable", i)
		}
		if j, twice := seen[f]; twice {
			t.Errorf("changes %d and %d have one fingerprint", i, j)
		}
		seen[f] = i
		if strings.Contains(f, "one") {
			t.Error("the fingerprint tells the secret")
		}
	}
}
