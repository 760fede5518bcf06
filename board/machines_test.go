package board

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files is a tree of files; a content "-> x" is a symbolic link to x.
type files map[string]string

// plant makes a tree and gives the paths into it.
func plant(t *testing.T, trees ...files) Paths {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"sys", "proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tree := range trees {
		for name, content := range tree {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if target, link := strings.CutPrefix(content, "-> "); link {
				if err := os.Symlink(target, path); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return Paths{Sys: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), Dev: filepath.Join(root, "dev")}
}

func deviceTree(model, serial string, compatible ...string) files {
	f := files{
		"proc/device-tree/model":      model + "\x00",
		"proc/device-tree/compatible": strings.Join(compatible, "\x00") + "\x00",
	}
	if serial != "" {
		f["proc/device-tree/serial-number"] = serial + "\x00"
	}
	return f
}

// i2cBusTree is an adapter on a platform device with a node in the tree.
func i2cBusTree(number, device, name, node string) files {
	dir := "sys/devices/platform/soc/" + device
	return files{
		"sys/bus/i2c/devices/i2c-" + number:          "-> ../../../devices/platform/soc/" + device + "/i2c-" + number,
		dir + "/i2c-" + number + "/name":             name + "\n",
		dir + "/of_node":                             "-> ../../../../firmware/devicetree/base" + node,
		"sys/firmware/devicetree/base" + node + "/x": "",
		"dev/i2c-" + number:                          "",
	}
}

var pi4 = []files{
	deviceTree("Raspberry Pi 4 Model B Rev 1.4", "100000003d1b6a2c", "raspberrypi,4-model-b", "brcm,bcm2711"),
	i2cBusTree("1", "fe804000.i2c", "bcm2835 (i2c@7e804000)", "/soc/i2c@7e804000"),
	i2cBusTree("20", "fef04500.i2c", "fef04500.i2c", "/soc/i2c@7ef04500"),
	{
		"sys/devices/platform/soc/fe804000.i2c/i2c-1/1-0048/name":   "tmp102\n",
		"sys/bus/i2c/devices/1-0048":                                "-> ../../../devices/platform/soc/fe804000.i2c/i2c-1/1-0048",
		"sys/bus/i2c/drivers/tmp102/x":                              "",
		"sys/devices/platform/soc/fe804000.i2c/i2c-1/1-0048/driver": "-> ../../../../../../bus/i2c/drivers/tmp102",

		"sys/class/leds/ACT/brightness":                     "0\n",
		"sys/class/leds/ACT/max_brightness":                 "255\n",
		"sys/class/leds/ACT/trigger":                        "none usb-gadget kbd-scrolllock timer heartbeat [mmc0] default-on\n",
		"sys/class/leds/PWR/brightness":                     "128\n",
		"sys/class/leds/PWR/max_brightness":                 "255\n",
		"sys/class/leds/PWR/trigger":                        "[none] timer mmc0\n",
		"sys/class/thermal/thermal_zone0/type":              "cpu-thermal\n",
		"sys/class/thermal/thermal_zone0/temp":              "48199\n",
		"sys/class/thermal/thermal_zone0/trip_point_0_type": "active\n",
		"sys/class/thermal/thermal_zone0/trip_point_0_temp": "60000\n",
		"sys/class/thermal/thermal_zone0/trip_point_1_type": "critical\n",
		"sys/class/thermal/thermal_zone0/trip_point_1_temp": "110000\n",

		"sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",

		"sys/block/mmcblk0/size":          "62333952\n",
		"sys/block/mmcblk0/removable":     "0\n",
		"sys/block/mmcblk0/ro":            "0\n",
		"sys/block/mmcblk0/device/type":   "SD\n",
		"sys/block/mmcblk0/device/name":   "SC32G\n",
		"sys/block/mmcblk0/device/manfid": "0x000003\n",
		"sys/block/mmcblk0/device/date":   "09/2020\n",
		"sys/block/mmcblk0/device/serial": "0x1a2b3c4d\n",
		"sys/block/loop0/size":            "0\n",
		"sys/block/ram0/size":             "8192\n",

		"sys/class/watchdog/watchdog0/identity":   "Broadcom BCM2835 Watchdog timer\n",
		"sys/class/watchdog/watchdog0/state":      "active\n",
		"sys/class/watchdog/watchdog0/timeout":    "15\n",
		"sys/class/watchdog/watchdog0/nowayout":   "0\n",
		"sys/class/watchdog/watchdog0/bootstatus": "32\n",
	},
}

var beagle = []files{
	deviceTree("TI AM335x BeagleBone Black", "1614BBBK0A2B", "ti,am335x-bone-black", "ti,am335x-bone", "ti,am33xx"),
	{
		"sys/block/mmcblk1/size":                "7471104\n",
		"sys/block/mmcblk1/device/type":         "MMC\n",
		"sys/block/mmcblk1/device/name":         "M62704\n",
		"sys/block/mmcblk1/device/life_time":    "0x01 0x03\n",
		"sys/block/mmcblk1/device/pre_eol_info": "0x02\n",
		"sys/block/mmcblk1boot0/size":           "4096\n",
		"sys/block/mmcblk1boot0/device/x":       "",
		"sys/block/mmcblk1rpmb/device/x":        "",
		"sys/class/rtc/rtc0/name":               "omap_rtc 44e3e000.rtc\n",
		"sys/class/rtc/rtc0/since_epoch":        "1767225600\n",
		"sys/class/rtc/rtc0/hctosys":            "1\n",
		"sys/class/rtc/rtc1/name":               "rtc-ds1307 2-0068\n",
		"sys/class/rtc/rtc1/hctosys":            "0\n",
	},
}

var pc = []files{{
	"sys/class/dmi/id/sys_vendor":                    "Advantech\n",
	"sys/class/dmi/id/product_name":                  "UNO-2271G\n",
	"sys/class/dmi/id/product_version":               "V1\n",
	"sys/class/dmi/id/bios_version":                  "5.011\n",
	"sys/class/dmi/id/bios_date":                     "06/21/2021\n",
	"sys/bus/i2c/devices/i2c-0":                      "-> ../../../devices/pci0000:00/0000:00:1f.3/i2c-0",
	"sys/devices/pci0000:00/0000:00:1f.3/i2c-0/name": "SMBus I801 adapter at f040\n",
	"dev/i2c-0":                            "",
	"sys/block/nvme0n1/size":               "250069680\n",
	"sys/block/nvme0n1/device/model":       "WDC PC SN520 SDAPNUW-128G\n",
	"sys/block/nvme0n1/device/serial":      "1942\n",
	"sys/class/watchdog/watchdog0/timeout": "30\n",
}}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		name string
		tree []files
		want Identity
	}{
		{
			"pi 1",
			[]files{deviceTree("Raspberry Pi Model B Plus Rev 1.2", "", "raspberrypi,model-b-plus", "brcm,bcm2835")},
			Identity{Family: RaspberryPi, Generation: 1, Model: "Raspberry Pi Model B Plus Rev 1.2", Vendor: "raspberrypi", Processor: "brcm,bcm2835"},
		},
		{
			"pi 2 with the processor of a 3",
			[]files{deviceTree("Raspberry Pi 2 Model B rev 1.2", "", "raspberrypi,2-model-b-rev2", "brcm,bcm2837")},
			Identity{Family: RaspberryPi, Generation: 2, Model: "Raspberry Pi 2 Model B rev 1.2", Vendor: "raspberrypi", Processor: "brcm,bcm2837"},
		},
		{
			"pi 3",
			[]files{deviceTree("Raspberry Pi 3 Model B", "00000000a3b2c1d0", "raspberrypi,3-model-b", "brcm,bcm2837")},
			Identity{Family: RaspberryPi, Generation: 3, Model: "Raspberry Pi 3 Model B", Vendor: "raspberrypi", Processor: "brcm,bcm2837", Serial: "00000000a3b2c1d0"},
		},
		{
			"pi 4", pi4,
			Identity{Family: RaspberryPi, Generation: 4, Model: "Raspberry Pi 4 Model B Rev 1.4", Vendor: "raspberrypi", Processor: "brcm,bcm2711", Serial: "100000003d1b6a2c"},
		},
		{
			"pi 400",
			[]files{deviceTree("Raspberry Pi 400 Rev 1.0", "", "raspberrypi,400", "brcm,bcm2711")},
			Identity{Family: RaspberryPi, Generation: 4, Model: "Raspberry Pi 400 Rev 1.0", Vendor: "raspberrypi", Processor: "brcm,bcm2711"},
		},
		{
			"pi 5",
			[]files{deviceTree("Raspberry Pi 5 Model B Rev 1.0", "", "raspberrypi,5-model-b", "brcm,bcm2712")},
			Identity{Family: RaspberryPi, Generation: 5, Model: "Raspberry Pi 5 Model B Rev 1.0", Vendor: "raspberrypi", Processor: "brcm,bcm2712"},
		},
		{
			"beaglebone", beagle,
			Identity{Family: BeagleBone, Model: "TI AM335x BeagleBone Black", Vendor: "ti", Processor: "ti,am33xx", Serial: "1614BBBK0A2B"},
		},
		{
			"i.MX, serial by the processor's driver",
			[]files{
				deviceTree("Boundary Devices i.MX6 Quad SABRE Lite Board", "", "boundary,imx6q-sabrelite", "fsl,imx6q"),
				{"sys/devices/soc0/serial_number": "0A1B2C3D4E5F6071\n"},
			},
			Identity{Family: IMX, Model: "Boundary Devices i.MX6 Quad SABRE Lite Board", Vendor: "boundary", Processor: "fsl,imx6q", Serial: "0A1B2C3D4E5F6071"},
		},
		{
			"another with a device tree",
			[]files{deviceTree("FriendlyElec NanoPi R4S", "0000000000000000", "friendlyarm,nanopi-r4s", "rockchip,rk3399")},
			Identity{Family: DeviceTree, Model: "FriendlyElec NanoPi R4S", Vendor: "friendlyarm", Processor: "rockchip,rk3399"},
		},
		{
			"qemu virt",
			[]files{deviceTree("linux,dummy-virt", "", "linux,dummy-virt")},
			Identity{Family: DeviceTree, Model: "linux,dummy-virt", Vendor: "linux", Processor: "linux,dummy-virt", Emulator: "qemu"},
		},
		{
			"qemu q35",
			[]files{{"sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "Standard PC (Q35 + ICH9, 2009)\n"}},
			Identity{Family: PC, Model: "Standard PC (Q35 + ICH9, 2009)", Vendor: "QEMU", Emulator: "qemu"},
		},
		{
			"pc", pc,
			Identity{Family: PC, Model: "UNO-2271G", Vendor: "Advantech", Version: "V1", Firmware: "5.011 06/21/2021"},
		},
		{"nothing told", nil, Identity{Family: Unknown}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := plant(t, c.tree...).Identity()
			got.Compatible = nil
			if !equalJSON(t, got, c.want) {
				t.Errorf("got %s\nwant %s", asJSON(t, got), asJSON(t, c.want))
			}
		})
	}
}

func TestQEMUByItsConfigurationDevice(t *testing.T) {
	tree := deviceTree("Some Board", "", "some,board", "some,chip")
	tree["proc/device-tree/fw-cfg@9020000/compatible"] = "qemu,fw-cfg-mmio\x00"
	if id := plant(t, tree).Identity(); id.Emulator != "qemu" {
		t.Errorf("got %+v", id)
	}
	if id := plant(t, deviceTree("Some Board", "", "some,board")).Identity(); id.Emulator != "" {
		t.Errorf("a real board: %+v", id)
	}
}

func TestThermalZones(t *testing.T) {
	zones := plant(t, append(pi4, files{
		"sys/class/thermal/thermal_zone10/type": "x\n", "sys/class/thermal/thermal_zone10/temp": "-12500\n",
		"sys/class/thermal/thermal_zone2/type": "silent\n", "sys/class/thermal/cooling_device0/type": "fan\n",
	})...).ThermalZones()
	const want = `[{"name":"thermal_zone0","type":"cpu-thermal","celsius":48.199,"critical":110},` +
		`{"name":"thermal_zone2","type":"silent","celsius":null},{"name":"thermal_zone10","type":"x","celsius":-12.5}]`
	if got := asJSON(t, zones); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPower(t *testing.T) {
	hwmon := func(alarm string) []files {
		return []files{{"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon1/name": "rpi_volt\n", "sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm}}
	}
	for _, c := range []struct {
		name string
		tree []files
		want string
	}{
		{"firmware", pi4, `{"source":"firmware","now":["under-voltage","throttled"],"since_boot":["under-voltage","throttled"]}`},
		{"firmware, all well", []files{{"sys/devices/platform/firmware/get_throttled": "0x0\n"}}, `{"source":"firmware","now":[],"since_boot":[]}`},
		{"firmware, over now", []files{{"sys/devices/platform/soc/x:firmware/get_throttled": "a0000\n"}}, `{"source":"firmware","now":[],"since_boot":["frequency-capped","soft-temperature-limit"]}`},
		{"hwmon alarm", hwmon("1\n"), `{"source":"hwmon","now":["under-voltage"],"since_boot":[]}`},
		{"hwmon", hwmon("0\n"), `{"source":"hwmon","now":[],"since_boot":[]}`},
		{"firmware gives nonsense", append(hwmon("0\n"), files{"sys/devices/platform/soc/soc:firmware/get_throttled": "no\n"}), `{"source":"hwmon","now":[],"since_boot":[]}`},
		{"none", beagle, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := asJSON(t, plant(t, c.tree...).Power()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestDisks(t *testing.T) {
	for _, c := range []struct {
		name string
		tree []files
		want string
	}{
		{"sd", pi4, `[{"name":"mmcblk0","kind":"sd","model":"SC32G","maker":"0x000003","made":"09/2020","serial":"1a2b3c4d","bytes":31914983424,"removable":false,"read_only":false}]`},
		{"emmc", beagle, `[{"name":"mmcblk1","kind":"emmc","model":"M62704","bytes":3825205248,"removable":false,"read_only":false,"wear":{"used_percent":30,"reserve":"warning"}}]`},
		{"nvme", pc, `[{"name":"nvme0n1","kind":"nvme","model":"WDC PC SN520 SDAPNUW-128G","serial":"1942","bytes":128035676160,"removable":false,"read_only":false}]`},
		{
			"usb stick",
			[]files{{"sys/block/sda/size": "2048\n", "sys/block/sda/removable": "1\n", "sys/block/sda/ro": "1\n", "sys/block/sda/device/model": "Ultra   \n"}},
			`[{"name":"sda","kind":"disk","model":"Ultra","bytes":1048576,"removable":true,"read_only":true}]`,
		},
		{"none", nil, `[]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := asJSON(t, plant(t, c.tree...).Disks()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRTCs(t *testing.T) {
	const want = `[{"name":"rtc0","driver":"omap_rtc 44e3e000.rtc","time":"2026-01-01T00:00:00Z","set_system_clock":true},` +
		`{"name":"rtc1","driver":"rtc-ds1307 2-0068","time":null,"set_system_clock":false}]`
	if got := asJSON(t, plant(t, beagle...).RTCs()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWatchdogs(t *testing.T) {
	const want = `[{"name":"watchdog0","identity":"Broadcom BCM2835 Watchdog timer","state":"active","timeout":15,"nowayout":false,"reset_by_this":true}]`
	if got := asJSON(t, plant(t, pi4...).Watchdogs()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLook(t *testing.T) {
	p := plant(t, beagle...)
	r := p.Look()
	if len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "rtc1 holds no time") {
		t.Errorf("notes %q", r.Notes)
	}
	text := asJSON(t, plant(t).Look())
	for _, want := range []string{`"i2c":[]`, `"gpio":[]`, `"leds":[]`, `"thermal":[]`, `"power":null`, `"disks":[]`, `"rtcs":[]`, `"watchdogs":[]`, `no real-time clock`} {
		if !strings.Contains(text, want) {
			t.Errorf("a machine that tells nothing: no %s in %s", want, text)
		}
	}
}
