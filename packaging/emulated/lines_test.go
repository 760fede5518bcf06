package emulated

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

// buttonLine is what the board virt's power button is wired to.
const buttonLine = "9030000.pl061/3"

const (
	inputProbe = "probes:\n  - {kind: sensor, part: input, line: " + buttonLine + ", interval: 1s}\n"
	pulseProbe = "probes:\n  - {kind: sensor, part: pulse, line: " + buttonLine + ", interval: 1s, start: 100, per_pulse: 0.5, unit: l}\n"
)

// press gives a pulse of a tenth of a second.
func press(t *testing.T, g *Guest) {
	t.Helper()
	if _, err := g.QMP("system_powerdown", nil); err != nil {
		t.Fatal(err)
	}
}

// reading is a value that has arrived.
type reading struct {
	value float64
	stamp int64
}

// readings are those of a metric, in their order.
func readings(t *testing.T, env *draintest.Server, key string) (all []reading) {
	t.Helper()
	for _, line := range env.Ledger().Lines() {
		if !strings.HasPrefix(line, key+",") || !strings.Contains(line, `"`+buttonLine+`"`) {
			continue
		}
		fields := strings.Fields(line[strings.LastIndexByte(line, '"'):])
		if len(fields) != 3 {
			t.Fatalf("line %q", line)
		}
		r := reading{}
		var err error
		if r.stamp, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		_, number, _ := strings.Cut(fields[1], ",")
		if r.value, err = strconv.ParseFloat(strings.TrimPrefix(number, "delta="), 64); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b reading) int { return int(a.stamp - b.stamp) })
	return all
}

// sum adds up what has arrived of a metric.
func sum(t *testing.T, env *draintest.Server, key string) (n float64) {
	t.Helper()
	for _, r := range readings(t, env, key) {
		n += r.value
	}
	return n
}

// newest is the reading that was taken last.
func newest(t *testing.T, env *draintest.Server, key string) float64 {
	t.Helper()
	all := readings(t, env, key)
	if len(all) == 0 {
		return -1
	}
	return all[len(all)-1].value
}

const (
	changesKey = "edgehold.sensor.changes"
	activeKey  = "edgehold.sensor.active"
	pulsesKey  = "edgehold.sensor.pulses"
	totalKey   = "edgehold.sensor.total"
)

// workshop boots a machine whose agent watches the button.
func workshop(t *testing.T, env *draintest.Server, disk, probes string) (g *Guest, agent *Process) {
	t.Helper()
	g = boot(t, Machine{Arch: "arm64", Modules: diskModules(), Disks: []Disk{{File: disk}}, Files: map[string][]byte{
		"/bin/edgehold": shipped(t, "arm64"), "/etc/edgehold/token": []byte(token),
		"/etc/edgehold/community": []byte(community), configPath: []byte(siteHead + probes),
	}})
	must(t, g, "/init", "mount", "/dev/vda", "/data", "ext4")
	must(t, g, "/init", "synced")
	forward(t, g, env.URL())
	agent = begin(t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the agent said:\n%s", agent.Output())
		}
	})
	return g, agent
}

// TestLine: edges of a real line arrive as changes of an input, then as pulses of a
// meter, whose total outlives the power.
func TestLine(t *testing.T) {
	env, disk := environment(t), newDisk(t, diskMegabytes, nil)
	g, _ := workshop(t, env, disk, inputProbe)
	eventually(t, "the input", func() bool { return newest(t, env, activeKey) == 0 })
	for n := range 3 {
		press(t, g)
		eventually(t, "the changes", func() bool { return sum(t, env, changesKey) == float64(2*n+2) })
	}
	if active := sum(t, env, activeKey); active < 3 {
		t.Errorf("the input was active %v times, want 3 at least", active)
	}
	must(t, g, "/init", "put", configPath, siteHead+pulseProbe)
	must(t, g, "/bin/edgehold", "reload", "--config", configPath)
	eventually(t, "the counter", func() bool { return newest(t, env, totalKey) == 100 })
	for n := range 3 {
		press(t, g)
		eventually(t, "the total", func() bool { return newest(t, env, totalKey) == 100+0.5*float64(n+1) })
	}
	press(t, g)
	g.Kill()
	killed := time.Now().Add(time.Second).UnixMilli() // the clocks may differ so much, and booting takes longer
	g, _ = workshop(t, env, disk, pulseProbe)
	eventually(t, "the counter to go on", func() bool {
		return slices.ContainsFunc(readings(t, env, totalKey), func(r reading) bool { return r.stamp > killed })
	})
	kept := newest(t, env, totalKey)
	if kept != 101.5 && kept != 102 {
		t.Errorf("after the cut the total is %v, want 101.5, or 102 with the last pulse", kept)
	}
	press(t, g)
	eventually(t, "the total", func() bool { return newest(t, env, totalKey) == kept+0.5 })
	agrees(t, env)
}

// agrees holds the total that arrived against the pulses that did.
func agrees(t *testing.T, env *draintest.Server) {
	t.Helper()
	totals := readings(t, env, totalKey)
	if !slices.IsSortedFunc(totals, func(a, b reading) int { return int(2*a.value - 2*b.value) }) {
		t.Errorf("the total fell: %s", fmt.Sprint(totals))
	}
	if pulses, total := sum(t, env, pulsesKey), newest(t, env, totalKey); 100+0.5*pulses != total {
		t.Errorf("%v pulses have arrived, and a total of %v", pulses, total)
	}
	if counts := env.Counts(); counts.Refused+counts.Conflicts > 0 {
		t.Errorf("%+v, refused: %+v", counts, env.Ledger().Refusals())
	}
}
