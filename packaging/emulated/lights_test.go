package emulated

import (
	"encoding/json"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	lightsBus  = "i2c@21a4000" // of the sabrelite, in its device tree
	lightsChip = "pca9552"
	lightPath  = "/sys/class/leds/pca955x:"
)

// lightNames are the lights at the outputs of the chip, from the first on.
func lightNames() []string { return []string{"power", "collecting", "uplink", "alarm"} }

// lights is a sabrelite with lights at the outputs of a chip on its second bus,
// where the emulator can be asked what the chip does.
func lights(t *testing.T) *Guest {
	t.Helper()
	chip := Node{Name: lightsChip + "@60", Properties: []Property{
		Text("compatible", "nxp,"+lightsChip), Cells("reg", 0x60), Cells("#address-cells", 1), Cells("#size-cells", 0),
	}}
	config := sensorHead + sensorProbe + "outputs:\n  leds:\n"
	for i, name := range lightNames() {
		const isLED = 1
		chip.Nodes = append(chip.Nodes, Node{Name: "led@" + strconv.Itoa(i), Properties: []Property{
			Cells("reg", uint32(i)), Cells("type", isLED), Text("label", name),
		}})
		config += "    " + name + ": 'pca955x:" + name + "'\n"
	}
	return sabrelite(t, Machine{
		Modules: []string{"leds-pca955x"}, Nodes: map[string][]Node{lightsBus: {chip}},
		Args:  []string{"-device", lightsChip + ",id=lights,bus=i2c-bus.1,address=0x60"},
		Files: map[string][]byte{configPath: []byte(config)},
	})
}

// shines asks the emulated chip about one of its outputs.
func shines(t *testing.T, g *Guest, light int) bool {
	t.Helper()
	answer, err := g.QMP("qom-get", map[string]any{
		"path": "/machine/peripheral/lights", "property": "led" + strconv.Itoa(light),
	})
	var state string
	if err == nil {
		err = json.Unmarshal(answer, &state)
	}
	if err != nil || state != "on" && state != "off" {
		t.Fatalf("the state of light %d is %s: %v", light, answer, err)
	}
	return state == "on"
}

// becomes waits until a light is on or off, and holds that against what the
// kernel says of it.
func becomes(t *testing.T, g *Guest, light int, on bool) {
	t.Helper()
	eventually(t, lightNames()[light]+" to become "+strconv.FormatBool(on), func() bool { return shines(t, g, light) == on })
	brightness := strings.TrimSpace(must(t, g, "/init", "cat", lightPath+lightNames()[light]+"/brightness"))
	if (brightness != "0") != on {
		t.Errorf("the brightness of %s reads %s", lightNames()[light], brightness)
	}
}

// stays waits until a light shines for longer than it does when it blinks.
func stays(t *testing.T, g *Guest, light int) {
	t.Helper()
	const longerThanBlinks = 3 * time.Second
	since := time.Now()
	eventually(t, lightNames()[light]+" to stay", func() bool {
		if !shines(t, g, light) {
			since = time.Now()
		}
		return time.Since(since) > longerThanBlinks
	})
}

// blinks waits until a light has been on, off and on again.
func blinks(t *testing.T, g *Guest, light int) {
	t.Helper()
	for _, on := range []bool{true, false, true} {
		eventually(t, lightNames()[light]+" to blink", func() bool { return shines(t, g, light) == on })
	}
}

// TestLights: the lights tell how the agent fares, at the pins of a chip.
func TestLights(t *testing.T) {
	const power, collecting, uplink, alarm = 0, 1, 2, 3
	g := lights(t)
	for i := range lightNames() {
		if shines(t, g, i) {
			t.Errorf("%s shines before the agent runs", lightNames()[i])
		}
	}
	env := environment(t)
	agent := begin(t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}})
	blinks(t, g, power) // the time is not known
	blinks(t, g, collecting)
	becomes(t, g, uplink, false)
	forward(t, g, env.URL())
	becomes(t, g, uplink, true)
	stays(t, g, power)
	becomes(t, g, power, true)
	must(t, g, "/init", "put", sensorDriver+"unbind", sensorBus)
	becomes(t, g, alarm, true)
	must(t, g, "/init", "put", sensorDriver+"bind", sensorBus)
	becomes(t, g, alarm, false)
	blinks(t, g, collecting)
	if err := agent.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r, err := agent.Wait(limit(t, patience)); err != nil || r.Exit != 0 {
		t.Errorf("%v, exit %d:\n%s", err, r.Exit, r.Out)
	}
	for i := range lightNames() {
		if shines(t, g, i) {
			t.Errorf("%s shines after the end", lightNames()[i])
		}
	}
	if strings.Contains(agent.Output(), "does without this light") {
		t.Errorf("the agent said:\n%s", agent.Output())
	}
}
