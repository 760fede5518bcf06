package board

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// Family is a line of machines.
type Family string

// The families that are told apart.
const (
	RaspberryPi Family = "raspberry-pi"
	BeagleBone  Family = "beaglebone"
	IMX         Family = "imx"         // boards of any maker with NXP's i.MX
	DeviceTree  Family = "device-tree" // any other machine with a device tree
	PC          Family = "pc"          // a machine that DMI names
	Unknown     Family = "unknown"
)

// Identity is what this machine is. What it does not tell is "".
type Identity struct {
	Family     Family   `json:"family"`
	Generation int      `json:"generation,omitempty"` // of a Raspberry Pi: 1 to 5, by name and else by processor
	Model      string   `json:"model"`                // as the machine calls itself
	Vendor     string   `json:"vendor,omitempty"`
	Version    string   `json:"version,omitempty"`
	Processor  string   `json:"processor,omitempty"` // as the device tree names it: brcm,bcm2711
	Serial     string   `json:"serial,omitempty"`
	Firmware   string   `json:"firmware,omitempty"` // version and date
	Emulator   string   `json:"emulator,omitempty"` // "qemu"; a real board that QEMU imitates whole is not told apart
	Compatible []string `json:"compatible,omitempty"`
}

// Identity asks the device tree and, where there is none, DMI. What DMI shows
// to root alone, such as serial numbers, is not asked for.
func (p Paths) Identity() Identity {
	id := p.treeIdentity()
	if id.Family == Unknown {
		id = p.dmiIdentity()
	}
	if p.isQEMU(id) {
		id.Emulator = "qemu"
	}
	return id
}

func (p Paths) treeIdentity() Identity {
	id := Identity{Family: Unknown, Compatible: p.tree("compatible")}
	if model := p.tree("model"); len(model) > 0 {
		id.Model = model[0]
	}
	if id.Model == "" && len(id.Compatible) == 0 {
		return id
	}
	id.Family = DeviceTree
	for _, c := range id.Compatible {
		if f := familyOf(c); f != DeviceTree {
			id.Family = f
			break
		}
	}
	if n := len(id.Compatible); n > 0 {
		id.Vendor, _, _ = strings.Cut(id.Compatible[0], ",")
		id.Processor = id.Compatible[n-1]
	}
	if id.Family == RaspberryPi {
		id.Generation = piGeneration(id.Compatible)
	}
	id.Serial = cmp.Or(serial(p.proc("device-tree", "serial-number")), serial(p.sys("devices/soc0/serial_number")))
	return id
}

// serial leaves numbers out that are all zeros: nobody has set them.
func serial(path string) string {
	text := readText(path)
	if strings.Trim(text, "0") == "" {
		return ""
	}
	return text
}

func familyOf(compatible string) Family {
	switch {
	case strings.HasPrefix(compatible, "raspberrypi,"):
		return RaspberryPi
	case strings.HasPrefix(compatible, "ti,am335x-bone"), strings.HasPrefix(compatible, "beagle,"), strings.HasPrefix(compatible, "beagleboard.org,"):
		return BeagleBone
	case strings.HasPrefix(compatible, "fsl,imx"):
		return IMX
	}
	return DeviceTree
}

var piProcessors = map[string]int{
	"brcm,bcm2835": 1, "brcm,bcm2836": 2, "brcm,bcm2837": 3, "brcm,bcm2711": 4, "brcm,bcm2712": 5,
}

// piGeneration goes by the name first, since late boards of one generation have
// the processor of the next: raspberrypi,2-model-b-rev2, raspberrypi,400.
func piGeneration(compatible []string) int {
	generation := 0
	for _, c := range compatible {
		name, ok := strings.CutPrefix(c, "raspberrypi,")
		if ok && name != "" && name[0] >= '1' && name[0] <= '9' {
			return int(name[0] - '0')
		}
		generation = max(generation, piProcessors[c])
	}
	return generation
}

func (p Paths) dmiIdentity() Identity {
	dmi := func(name string) string { return readText(p.sys("class/dmi/id", name)) }
	id := Identity{
		Family:  Unknown,
		Model:   cmp.Or(dmi("product_name"), dmi("board_name")),
		Vendor:  cmp.Or(dmi("sys_vendor"), dmi("board_vendor")),
		Version: dmi("product_version"),
	}
	if id.Model != "" || id.Vendor != "" {
		id.Family = PC
		id.Firmware = strings.TrimSpace(dmi("bios_version") + " " + dmi("bios_date"))
	}
	return id
}

func (p Paths) isQEMU(id Identity) bool {
	if id.Vendor == "QEMU" || strings.HasPrefix(id.Model, "QEMU ") {
		return true
	}
	for _, c := range id.Compatible {
		if c == "linux,dummy-virt" || strings.HasPrefix(c, "qemu,") {
			return true
		}
	}
	if _, err := os.Stat(p.sys("firmware/qemu_fw_cfg")); err == nil {
		return true
	}
	nodes, _ := filepath.Glob(p.proc("device-tree", "fw-cfg@*"))
	return len(nodes) > 0
}
