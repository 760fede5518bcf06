package emulated

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	sensorBus    = "21a0000.i2c" // of the sabrelite, by its device
	sensorDriver = "/sys/bus/platform/drivers/imx-i2c/"
	sensorConfig = `site: emulated
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
  - {kind: sensor, part: tmp105, bus: ` + sensorBus + `, address: 0x49, interval: 1s}
`
)

// sabrelite is a board with a temperature sensor on a real bus.
func sabrelite(t *testing.T) *Guest {
	t.Helper()
	return boot(t, Machine{
		Arch: "armv7", Board: "sabrelite", Modules: []string{"i2c-imx", "i2c-dev"},
		Args: []string{"-device", "tmp105,id=sensor,bus=i2c-bus.0,address=0x49"},
		Files: map[string][]byte{
			"/bin/edgehold": shipped(t, "armv7"), "/etc/edgehold/token": []byte(token), configPath: []byte(sensorConfig),
		},
	})
}

// heat sets the temperature of the sensor.
func heat(t *testing.T, g *Guest, millidegrees int) {
	t.Helper()
	if _, err := g.QMP("qom-set", map[string]any{
		"path": "/machine/peripheral/sensor", "property": "temperature", "value": millidegrees,
	}); err != nil {
		t.Fatal(err)
	}
}

// TestTemperature reads the register itself, which says that the rig is right.
func TestTemperature(t *testing.T) {
	g := sabrelite(t)
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
	g := sabrelite(t)
	env := environment(t)
	must(t, g, "/init", "synced")
	forward(t, g, env.URL())
	agent := begin(t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}})
	arrives := func(millidegrees int, want string) {
		t.Helper()
		heat(t, g, millidegrees)
		eventually(t, want+" to arrive", func() bool {
			return slices.ContainsFunc(env.Ledger().Lines(), func(line string) bool { return strings.Contains(line, "gauge,"+want) })
		})
	}
	arrives(25500, "25.5")
	arrives(-12500, "-12.5")
	before := len(agent.Output())
	must(t, g, "/init", "put", sensorDriver+"unbind", sensorBus)
	eventually(t, "an error", func() bool { return strings.Contains(agent.Output()[before:], `"level":"warn"`) })
	must(t, g, "/init", "put", sensorDriver+"bind", sensorBus)
	arrives(30500, "30.5")
	t.Logf("the agent said:\n%s", agent.Output()[before:])
	if n := strings.Count(agent.Output()[before:], `"level":"warn"`); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// TestWatchdog hangs the agent, which feeds a watchdog of the hardware.
func TestWatchdog(t *testing.T) {
	s := killed(t, "arm64")
	s.modules, s.args = []string{"i6300esb"}, []string{"-device", "i6300esb", "-action", "watchdog=reset"}
	s.config = "outputs:\n  watchdog: {device: /dev/watchdog0, timeout: 10s}\n"
	s.cut = func(g *Guest, _ int) string {
		<-time.After(15 * time.Second) // longer than it lives without being fed
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

// TestEdges presses the power button of the board virt, which is an input like
// any other as long as no driver for buttons is loaded.
func TestEdges(t *testing.T) {
	g := boot(t, Machine{Arch: "arm64"})
	p := begin(t, g, Command{Args: []string{"/init", "edges", "/dev/gpiochip0", "3", "2"}})
	eventually(t, "the line to be taken", func() bool { return p.LastLine() == "waiting" })
	if _, err := g.QMP("system_powerdown", nil); err != nil {
		t.Fatal(err)
	}
	r, err := p.Wait(limit(t, patience))
	if err != nil || r.Out != "waiting\nrising\nfalling\n" {
		t.Errorf("%v, exit %d:\n%s", err, r.Exit, r.Out)
	}
}

// TestRaspberry boots boards that have no clock of their own and think that it
// is 1970. What the agent measures arrives with its true time all the same: the
// environment refuses what is older than an hour.
func TestRaspberry(t *testing.T) {
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
