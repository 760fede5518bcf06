package emulated

import (
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/agent/drain/draintest"
)

const (
	sensorBus    = "21a0000.i2c" // of the sabrelite, by its device
	sensorDriver = "/sys/bus/platform/drivers/imx-i2c/"
	sensorHead   = `site: emulated
state_dir: /tmp/state
socket: ` + socketPath + `
uplink:
  dynatrace:
    url: http://` + standAddr + `
    token_file: /etc/edgehold/token
    resolution: full
buffer:
  commit_interval: 1s
probes:
`
	sensorProbe = "  - {kind: sensor, part: tmp105, bus: " + sensorBus + ", address: 0x49, interval: 1s}\n"
)

// sabrelite is a board with a temperature sensor on a real bus, and what else
// there is to it.
func sabrelite(t *testing.T, more Machine) *Guest {
	t.Helper()
	more.Arch, more.Board = "armv7", "sabrelite"
	more.Modules = append([]string{"i2c-imx", "i2c-dev"}, more.Modules...)
	more.Args = append([]string{"-device", "tmp105,id=sensor,bus=i2c-bus.0,address=0x49"}, more.Args...)
	files := map[string][]byte{
		"/bin/edgehold": shipped(t, "armv7"), "/etc/edgehold/token": []byte(token),
		configPath: []byte(sensorHead + sensorProbe),
	}
	maps.Copy(files, more.Files)
	more.Files = files
	return boot(t, more)
}

// heat sets the temperature of the sensor.
func heat(t *testing.T, g *Guest, millidegrees int) {
	t.Helper()
	set(t, g, "sensor", "temperature", millidegrees)
}

// set changes a part while the machine runs.
func set(t *testing.T, g *Guest, id, property string, value any) {
	t.Helper()
	if _, err := g.QMP("qom-set", map[string]any{
		"path": "/machine/peripheral/" + id, "property": property, "value": value,
	}); err != nil {
		t.Fatal(err)
	}
}

// readsTemperature reads the register itself, which says that the rig is right, and
// has the agent try the sensor alone.
func readsTemperature(t *testing.T, g *Guest) {
	t.Helper()
	for _, c := range []struct {
		millidegrees int
		want         string // the register: sixteenths of a degree, to the left
	}{{25125, "1900"}, {-12500, "f380"}, {0, "0000"}} {
		heat(t, g, c.millidegrees)
		if got := must(t, g, "/init", "i2c", "0", "0x49", "0", "2"); strings.TrimSpace(got) != c.want {
			t.Errorf("at %d m°C the register holds %s, want %s", c.millidegrees, got, c.want)
		}
	}
	if text := tries(t, g, "/init", "i2c", "0", "0x48", "0", "2"); text == "" {
		t.Error("a part that is not there answers")
	}
	if text := must(t, g, "/bin/edgehold", "board", "--json"); !strings.Contains(text, sensorBus) || !strings.Contains(text, "SABRE Lite") {
		t.Errorf("the board is told as %s", text)
	}
	heat(t, g, 21500)
	if text := must(t, g, "/bin/edgehold", "poll", "--kind", "sensor", "part=tmp105", "bus="+sensorBus, "address=0x49", "--json"); !strings.Contains(text, `"value":21.5`) {
		t.Errorf("at 21.5 °C the agent reads %s", text)
	}
}

// TestSensor: temperatures arrive as they change, and a bus that vanishes and
// comes back is one error and one recovery.
func TestSensor(t *testing.T) {
	g := sabrelite(t, Machine{})
	readsTemperature(t, g)
	env := environment(t)
	must(t, g, "/init", "synced")
	forward(t, g, env.URL())
	agent := begin(t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}})
	at := func(millidegrees int, want string) {
		t.Helper()
		heat(t, g, millidegrees)
		arrives(t, env, "gauge,"+want+" ")
	}
	at(25500, "25.5")
	at(-12500, "-12.5")
	rebind(t, g, agent, binding{"tmp105 " + sensorBus, sensorDriver, sensorBus})
	at(30500, "30.5")
}

// arrives waits for one more line that has all these parts.
func arrives(t *testing.T, env *draintest.Server, parts ...string) {
	t.Helper()
	count := func() (n int) {
		for _, line := range env.Ledger().Lines() {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				n++
			}
		}
		return n
	}
	before := count()
	eventually(t, strings.Join(parts, " ")+" to arrive", func() bool { return count() > before })
}

// binding is a device with the folder of its driver, and what the agent calls it.
type binding struct{ task, driver, device string }

// rebind takes the driver away and gives it back. When the test ends, the agent
// must have told of that once each, whatever it said of a busy host.
func rebind(t *testing.T, g *Guest, agent *Process, b binding) {
	t.Helper()
	before := len(agent.Output())
	said := func(message string) (n int) {
		for line := range strings.Lines(agent.Output()[before:]) {
			if strings.Contains(line, b.task) && strings.Contains(line, message) {
				n++
			}
		}
		return n
	}
	const fails, again = "poll is not in order", "poll is in order again"
	must(t, g, "/init", "put", b.driver+"unbind", b.device)
	eventually(t, "an error", func() bool { return said(fails) > 0 })
	must(t, g, "/init", "put", b.driver+"bind", b.device)
	eventually(t, "the recovery", func() bool { return said(again) > 0 })
	t.Cleanup(func() {
		if said(fails) != 1 || said(again) != 1 {
			t.Errorf("%d errors and %d recoveries, want one each:\n%s", said(fails), said(again), agent.Output()[before:])
		}
	})
}

// TestWatchdog hangs the agent, which feeds a watchdog of the hardware.
func TestWatchdog(t *testing.T) {
	s := killed(t, "arm64")
	s.modules, s.args = []string{"i6300esb"}, []string{"-device", "i6300esb", "-action", "watchdog=reset"}
	s.config = "outputs:\n  watchdog: {device: /dev/watchdog0, timeout: 10s}\n"
	s.cut = func(g *Guest, _ int) string {
		<-time.After(12 * time.Second) // longer than it lives without being fed
		select {
		case <-g.Done():
			t.Fatalf("it was reset though the agent runs:\n%s", s.agent.Output())
		default:
		}
		if err := s.agent.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-g.Done():
		case <-time.After(patience):
			t.Fatalf("it was not reset:\n%s", s.agent.Output())
		}
		if events := g.Events(); !slices.Contains(events, "WATCHDOG") {
			t.Errorf("it was reset, but not by the watchdog: %q", events)
		}
		return "the watchdog bit"
	}
	survive(s, 1)
}

// TestRaspberry boots boards that have no clock of their own and think that it
// is 1970. What the agent measures arrives with its true time all the same: the
// environment refuses what is older than an hour.
func TestRaspberry(t *testing.T) {
	onlyLong(t)
	for _, c := range []struct{ arch, board, model, generation string }{
		{"arm64", "raspi3b", "Raspberry Pi 3 Model B", "3"},
		{"armv7", "raspi2b", "Raspberry Pi 2 Model B", "2"},
	} {
		t.Run(c.board, func(t *testing.T) {
			config := strings.ReplaceAll(siteHead+sitePolls, "/data/", "/tmp/")
			g := boot(t, Machine{Arch: c.arch, Board: c.board, Files: map[string][]byte{
				"/bin/edgehold": shipped(t, c.arch), "/etc/edgehold/token": []byte(token),
				"/etc/edgehold/community": []byte(community), configPath: []byte(config),
			}})
			text := must(t, g, "/bin/edgehold", "board", "--json")
			for _, part := range []string{c.model, `"family": "raspberry-pi"`, `"generation": ` + c.generation} {
				if !strings.Contains(text, part) {
					t.Errorf("%s is not in %s", part, text)
				}
			}
			env := environment(t)
			switches := begin(t, g, Command{Args: []string{"/init", "switches", "3", community}})
			eventually(t, "the switches", func() bool { return switches.LastLine() == "ready" })
			agent := begin(t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}})
			eventually(t, "the agent to start in 1970", func() bool { return strings.Contains(agent.Output(), `"time":"1970-`) })
			forward(t, g, env.URL())
			eventually(t, "points", func() bool { return env.Counts().Distinct > 100 })
			if counts := env.Counts(); counts.Refused > 0 {
				t.Errorf("lines were refused: %+v", env.Ledger().Refusals())
			}
		})
	}
}
