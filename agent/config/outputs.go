package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/edgehold/edgehold/probes"
)

// Outputs are what the agent does with the machine that it runs on. The zero
// value is nothing.
type Outputs struct {
	LEDs     LEDs     `yaml:"leds"`
	Watchdog Watchdog `yaml:"watchdog"`
}

// LEDs are names of lights as the kernel has them; "": none.
type LEDs struct {
	Power      string `yaml:"power"`
	Collecting string `yaml:"collecting"`
	Uplink     string `yaml:"uplink"`
	Alarm      string `yaml:"alarm"`
}

// Watchdog is the timer that resets the machine when the agent hangs.
type Watchdog struct {
	Device  string          `yaml:"device"` // /dev/watchdog0; "": none
	Timeout probes.Duration `yaml:"timeout"`
}

// Each timer can do these at least.
const (
	minWatchdog = 5 * time.Second
	maxWatchdog = 5 * time.Minute
)

var watchdogDevice = regexp.MustCompile(`^(/dev/)?watchdog[0-9]*$`)

func (c *checker) outputs(doc Outputs) Outputs {
	if !c.given("outputs") {
		return doc
	}
	used := map[string]string{}
	for _, led := range []struct{ key, name string }{
		{"power", doc.LEDs.Power}, {"collecting", doc.LEDs.Collecting}, {"uplink", doc.LEDs.Uplink}, {"alarm", doc.LEDs.Alarm},
	} {
		if !c.given("outputs", "leds", led.key) {
			continue
		}
		c.led(led.name, used[led.name], "outputs", "leds", led.key)
		used[led.name] = led.key
	}
	if !c.given("outputs", "watchdog") {
		return doc
	}
	c.need("device: /dev/watchdog0", "outputs", "watchdog", "device")
	if d := doc.Watchdog.Device; c.given("outputs", "watchdog", "device") && !watchdogDevice.MatchString(d) {
		c.fault(Error{Found: fmt.Sprintf("%q is no watchdog", d), Expected: "one such as /dev/watchdog0", Mend: "`edgehold board` lists them"}, "outputs", "watchdog", "device")
	}
	if d := doc.Watchdog.Timeout.Std(); d < minWatchdog || d > maxWatchdog {
		c.fault(Error{Found: "found " + doc.Watchdog.Timeout.String(), Expected: "5s to 5m"}, "outputs", "watchdog", "timeout")
	}
	return doc
}

func (c *checker) led(name, other string, keys ...string) {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/ \t\n"):
		c.fault(Error{Found: fmt.Sprintf("%q is no name of an LED", name), Expected: "one such as ACT, as in /sys/class/leds", Mend: "`edgehold board` lists them"}, keys...)
	case other != "":
		c.fault(Error{Found: fmt.Sprintf("%q is the LED of %s already", name, other), Mend: "name another one, or remove the key"}, keys...)
	}
}
