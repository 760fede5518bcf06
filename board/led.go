package board

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LED is a light that the kernel knows of.
type LED struct {
	Name       string   `json:"name"` // ACT, beaglebone:green:usr0
	Trigger    string   `json:"trigger,omitempty"`
	Triggers   []string `json:"triggers,omitempty"` // that could be set
	Brightness int      `json:"brightness"`
	Max        int      `json:"max_brightness"`
	Writable   bool     `json:"writable"` // by this process
}

// LEDs lists the lights by name.
func (p Paths) LEDs() []LED {
	all := []LED{}
	entries, _ := os.ReadDir(p.sys("class/leds"))
	for _, e := range entries {
		all = append(all, readLED(p.sys("class/leds", e.Name())))
	}
	return all
}

func readLED(dir string) LED {
	led := LED{Name: filepath.Base(dir)}
	led.Trigger, led.Triggers = parseTriggers(readText(filepath.Join(dir, "trigger")))
	brightness, _ := readNumber(filepath.Join(dir, "brightness"))
	most, _ := readNumber(filepath.Join(dir, "max_brightness"))
	led.Brightness, led.Max = int(brightness), int(most)
	led.Writable = unix.Access(filepath.Join(dir, "brightness"), unix.W_OK) == nil
	return led
}

// parseTriggers reads "none [mmc0] timer": what is in brackets is set.
func parseTriggers(text string) (set string, all []string) {
	for _, word := range strings.Fields(text) {
		if name, ok := strings.CutPrefix(word, "["); ok {
			word = strings.TrimSuffix(name, "]")
			set = word
		}
		all = append(all, word)
	}
	return set, all
}

// LEDLight is a light that this process rules.
type LEDLight struct {
	dir    string
	before LED
}

// OpenLED takes a light over from what triggers it. It is off until it is set.
func (p Paths) OpenLED(name string) (*LEDLight, error) {
	var names []string
	for _, led := range p.LEDs() {
		names = append(names, led.Name)
		if led.Name != name {
			continue
		}
		light := &LEDLight{dir: p.sys("class/leds", name), before: led}
		if light.triggered() {
			if err := light.write("trigger", "none"); err != nil {
				return nil, err
			}
		}
		if err := light.Set(false); err != nil {
			return nil, err
		}
		return light, nil
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no LED %q: this machine shows none", name)
	}
	return nil, fmt.Errorf("no LED %q: this machine has %s", name, strings.Join(names, ", "))
}

func (l *LEDLight) triggered() bool { return l.before.Trigger != "" && l.before.Trigger != "none" }

// Set switches the light on, as bright as it gets, or off.
func (l *LEDLight) Set(on bool) error {
	value := 0
	if on {
		value = max(1, l.before.Max)
	}
	return l.write("brightness", strconv.Itoa(value))
}

// Close gives the light back to what triggered it, with the kernel's defaults
// for that trigger, or makes it as bright as it was.
func (l *LEDLight) Close() error {
	if l.triggered() {
		return l.write("trigger", l.before.Trigger)
	}
	return l.write("brightness", strconv.Itoa(l.before.Brightness))
}

func (l *LEDLight) write(file, value string) error {
	path := filepath.Join(l.dir, file)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = firstError(err, f.Close())
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return fmt.Errorf("no right to set LED %s: %s belongs to root: give it to the user's group by a udev rule, and to the service by ReadWritePaths=: %w", l.before.Name, path, bare(err))
	}
	if err != nil {
		return fmt.Errorf("set LED %s: write %s: %w", l.before.Name, path, bare(err))
	}
	return nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
