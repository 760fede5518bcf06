package emulated

import "testing"

// kernelPart is a part that a driver of the kernel reads.
type kernelPart struct {
	kind, chip, driver, address string // hwmon, tmp421, and where it is on the bus
	heats                       []heating
	fixed                       []string // what arrives of a part that the emulator cannot change
}

// heating sets one of the part's temperatures; index is how it is told apart. The
// emulated tmp421 stays a sixteenth of a degree below what is positive.
type heating struct {
	property     string
	millidegrees int
	index, want  string
}

func kernelParts() []kernelPart {
	return []kernelPart{
		{kind: "hwmon", chip: "tmp421", driver: "tmp421", address: "4c", heats: []heating{
			{"temperature0", 25000, "temp1", "24.938"}, {"temperature1", -12000, "temp2", "-12"}, {"temperature0", 61000, "temp1", "60.938"},
		}},
		{kind: "hwmon", chip: "emc1413", driver: "emc1403", address: "4d", heats: []heating{
			{"temperature0", 33000, "temp1", "33"}, {"temperature1", 44000, "temp2", "44"}, {"temperature2", 55000, "temp3", "55"}, {"temperature0", 22000, "temp1", "22"},
		}},
		{kind: "iio", chip: "dps310", driver: "dps310", address: "77", fixed: []string{
			"edgehold.sensor.pressure,", "edgehold.sensor.temperature,",
		}},
	}
}

// TestKernelSensors: what changes in the part is read by the kernel's driver and
// arrives, and a driver that goes and comes back is one error and one recovery.
func TestKernelSensors(t *testing.T) {
	more, config := Machine{}, sensorHead
	for _, p := range kernelParts() {
		more.Modules = append(more.Modules, p.driver)
		more.Args = append(more.Args, "-device", p.chip+",id="+p.chip+",bus=i2c-bus.0,address=0x"+p.address)
		config += "  - {kind: sensor, part: " + p.kind + ", address: " + p.chip + ", interval: 1s}\n"
	}
	more.Files = map[string][]byte{configPath: []byte(config)}
	g := sabrelite(t, more)
	for _, p := range kernelParts() {
		must(t, g, "/init", "put", "/sys/bus/i2c/devices/i2c-0/new_device", p.chip+" 0x"+p.address)
	}
	env := environment(t)
	must(t, g, "/init", "synced")
	forward(t, g, env.URL())
	agent := begin(t, g, Command{Args: []string{"/bin/edgehold", "run", "--config", configPath}})
	for _, p := range kernelParts() {
		t.Run(p.chip, func(t *testing.T) {
			address := `sensor.address="` + p.chip + `"`
			told := func(heats []heating) {
				t.Helper()
				for _, h := range heats {
					set(t, g, p.chip, h.property, h.millidegrees)
					arrives(t, env, address, `sensor.index="`+h.index+`"`, "gauge,"+h.want+" ")
				}
				for _, key := range p.fixed {
					arrives(t, env, key, address)
				}
			}
			told(p.heats)
			rebind(t, g, agent, binding{
				task: p.kind + " " + p.chip, driver: "/sys/bus/i2c/drivers/" + p.driver + "/", device: "0-00" + p.address,
			})
			told(p.heats[:min(1, len(p.heats))])
		})
	}
}
