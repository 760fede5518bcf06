package emulated

import "fmt"

// arch is one kind of processor.
type arch struct {
	goarch, goarm string
	debian        string // its name in Debian
	kernel        string // the package that depends on the newest kernel
	emulator      string
}

// board is one kind of machine.
type board struct {
	args    []string // for the emulator
	console string   // of the kernel
	dtb     string   // in the kernel's folder of device trees; "": the emulator makes one
}

func archOf(name string) (arch, error) {
	a, known := map[string]arch{
		"armv7": {"arm", "7", "armhf", "linux-image-armmp", "qemu-system-arm"},
		"arm64": {"arm64", "", "arm64", "linux-image-arm64", "qemu-system-aarch64"},
	}[name]
	if !known {
		return a, fmt.Errorf("architecture %q: expected armv7 or arm64", name)
	}
	return a, nil
}

// boardOf gives the board of a kind. Its console is the first serial line that
// is not null: QEMU's own output.
func boardOf(arch, kind string) (board, error) {
	serial := []string{"-serial", "stdio"}
	b, known := map[string]board{
		"armv7 virt": {append([]string{"-M", "virt", "-cpu", "cortex-a15", "-m", "256"}, serial...), "ttyAMA0", ""},
		"arm64 virt": {append([]string{"-M", "virt", "-cpu", "cortex-a53", "-m", "256"}, serial...), "ttyAMA0", ""},
		"armv7 sabrelite": {
			append([]string{"-M", "sabrelite", "-m", "512", "-serial", "null"}, serial...),
			"ttymxc1", "imx6q-sabrelite.dtb",
		},
		"armv7 raspi2b": {append([]string{"-M", "raspi2b"}, serial...), "ttyAMA0", "bcm2836-rpi-2-b.dtb"},
		"arm64 raspi3b": { // its PL011 is the radio's
			append([]string{"-M", "raspi3b", "-serial", "null"}, serial...),
			"ttyS1", "broadcom/bcm2837-rpi-3-b.dtb",
		},
	}[arch+" "+kind]
	if !known {
		return b, fmt.Errorf("board %q of %s: expected virt, armv7 sabrelite or raspi2b, or arm64 raspi3b", kind, arch)
	}
	return b, nil
}
