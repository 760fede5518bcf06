package host

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/probes"
)

func TestCheck(t *testing.T) {
	for says, change := range map[string]func(o *Options){
		"interval: found 500ms":      func(o *Options) { o.Interval = probes.Duration(time.Second / 2) },
		`groups[1]: there is no`:     func(o *Options) { o.Groups = []string{"cpu", "gpu"} },
		"interface_filter: ":         func(o *Options) { o.InterfaceFilter = "eth0" },
		"mount_filter: ":             func(o *Options) { o.MountFilter = "$eq(" },
		"disk_filter: ":              func(o *Options) { o.DiskFilter = "$x(a)" },
		`dimensions: "Rack" is no k`: func(o *Options) { o.Dimensions = map[string]string{"Rack": "1"} },
	} {
		o := Kind().Options().(*Options)
		if errs := o.Check(); len(errs) > 0 {
			t.Fatal(errs)
		}
		change(o)
		errs := o.Check()
		if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), says) {
			t.Errorf("%v, expected %q", errs, says)
		}
		if _, err := Kind().New(o, probes.Deps{}); strings.Contains(says, "filter") && err == nil {
			t.Errorf("%s is taken", says)
		}
	}
}

func TestMetricsAndTask(t *testing.T) {
	o := Kind().Options().(*Options)
	keys := map[string]bool{}
	for _, m := range metrics {
		if keys[m.key] || !strings.HasPrefix(m.key, "edgehold.host.") || m.unit == "" || m.name == "" || readers[m.group] == nil || !slices.Contains(groups, m.group) {
			t.Errorf("%+v", m)
		}
		keys[m.key] = true
	}
	all, few := 0, len(Kind().Metrics(o))
	o.Groups = []string{"all"}
	if all = len(Kind().Metrics(o)); all != len(metrics) || few >= all || few == 0 {
		t.Errorf("%d of %d metrics, usually %d", all, len(metrics), few)
	}
	o.Groups = []string{"network", "cpu"}
	one, err := Kind().New(o, probes.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	o.Groups = []string{"cpu", "network"}
	two, _ := Kind().New(o, probes.Deps{})
	o.DiskFilter = "$eq(sda)"
	three, _ := Kind().New(o, probes.Deps{})
	if one[0].ID != "host/cpu+network" || two[0].ID != one[0].ID || three[0].ID != one[0].ID || three[0].Same == two[0].Same {
		t.Errorf("%+v", one[0])
	}
}
