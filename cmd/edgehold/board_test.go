package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/board"
)

func number[T any](v T) *T { return &v }

func TestBoardForPeople(t *testing.T) {
	r := board.Report{
		Facts:    board.Facts{Kernel: "6.12.25+rpt", Machine: "aarch64"},
		Identity: board.Identity{Family: board.RaspberryPi, Generation: 4, Model: "Raspberry Pi 4 Model B Rev 1.4", Processor: "brcm,bcm2711", Serial: "100000003d1b6a2c"},
		I2C: []board.I2CAdapter{
			{Number: 1, Name: "bcm2835 (i2c@7e804000)", Device: "fe804000.i2c", Node: "/soc/i2c@7e804000", Transfers: "i2c", Clients: []board.I2CClient{{Address: "0x48", Name: "tmp102", Driver: "tmp102"}, {Address: "0x68", Name: "ds3231"}}},
			{Number: 11, Name: "SMBus I801", Transfers: "smbus"},
		},
		GPIO: []board.GPIOChip{{Name: "gpiochip0", Label: "pinctrl-bcm2711", Count: 2, Lines: []board.GPIOLine{
			{Offset: 0, Name: "GPIO17", Direction: "in", Pull: "up", Debounce: "20ms", ActiveLow: true},
			{Offset: 1, Used: true, Consumer: "relay", Direction: "out"},
		}}},
		LEDs:      []board.LED{{Name: "ACT", Trigger: "mmc0", Max: 255}},
		Thermal:   []board.ThermalZone{{Name: "thermal_zone0", Type: "cpu-thermal", Celsius: number(48.199), Critical: number(110.0)}, {Name: "thermal_zone1", Type: "dead"}},
		Power:     &board.Power{Source: "firmware", Now: []string{}, SinceBoot: []string{"under-voltage", "throttled"}},
		Disks:     []board.Disk{{Name: "mmcblk0", Kind: "emmc", Model: "M62704", Bytes: 3825205248, Made: "09/2020", Wear: &board.Wear{UsedPercent: 30, Reserve: "warning"}}},
		RTCs:      []board.RTC{{Name: "rtc0", Driver: "rtc-ds1307"}, {Name: "rtc1", Driver: "x", Time: number(time.Unix(1767225600, 0).UTC())}},
		Watchdogs: []board.WatchdogInfo{{Name: "watchdog0", Identity: "i6300ESB timer", State: "inactive", Timeout: 30, NoWayOut: true, CausedIt: true}},
		Notes:     []string{"no right to open /dev/i2c-1"},
	}
	var out bytes.Buffer
	printBoard(&out, r, true)
	const want = `board    Raspberry Pi 4 Model B Rev 1.4 (raspberry-pi 4)
  processor brcm,bcm2711
  serial    100000003d1b6a2c
  kernel    6.12.25+rpt aarch64

I2C
  i2c-1    bcm2835 (i2c@7e804000); device fe804000.i2c; node /soc/i2c@7e804000
    0x48 tmp102, driver tmp102
    0x68 ds3231, no driver
  i2c-11   SMBus I801, SMBus only

GPIO
  pinctrl-bcm2711 (gpiochip0): 2 lines, 1 with a name, 1 in use
    pinctrl-bcm2711/0  GPIO17: in, active low, pull up, debounce 20ms
    pinctrl-bcm2711/1  -: out, used by relay

LEDs
  ACT: 0 of 255, trigger mmc0

temperatures
  cpu-thermal (thermal_zone0): 48.2 °C, critical at 110.0 °C
  dead (thermal_zone1): -

supply   now: nothing; since boot: under-voltage, throttled (told by firmware)

storage
  mmcblk0 emmc M62704, 3825 MB, made 09/2020, up to 30 % of its life used, spare blocks warning

clocks and watchdogs
  rtc0 (rtc-ds1307): holds no time
  rtc1 (x): 2026-01-01 00:00:00 UTC
  watchdog0 (i6300ESB timer): inactive, timeout 30 s, cannot be stopped; it has reset this machine the last time

notes
  no right to open /dev/i2c-1
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	printBoard(&out, r, false)
	if strings.Contains(out.String(), "GPIO17") {
		t.Error("lines that nobody asked for")
	}
}

// On this machine, whatever it is.
func TestBoardCommand(t *testing.T) {
	var out, errs bytes.Buffer
	if code := execute([]string{"board", "--json"}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var r map[string]json.RawMessage
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"facts", "identity", "i2c", "gpio", "leds", "thermal", "power", "disks", "rtcs", "watchdogs", "notes"} {
		if r[key] == nil || key != "power" && string(r[key]) == "null" {
			t.Errorf("%s is %s", key, r[key])
		}
	}
	out.Reset()
	if code := execute([]string{"board"}, &out, &errs); code != exitOK || !strings.HasPrefix(out.String(), "board ") {
		t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	if code := execute([]string{"board", "extra"}, &out, &errs); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}
