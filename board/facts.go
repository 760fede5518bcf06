package board

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts is what a person wants to know of a machine they cannot see. What the
// machine does not tell is "".
type Facts struct {
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"`    // release, e.g. 6.1.0-18-arm64
	Machine  string `json:"machine"`   // as the kernel names the processor: aarch64, x86_64, armv7l
	Model    string `json:"model"`     // the board, e.g. Raspberry Pi 4 Model B Rev 1.4
	PageSize int    `json:"page_size"` // bytes; the store's file depends on it
}

// The first file that says something wins: device trees name ARM boards, DMI
// names PCs.
var modelPaths = []string{"/proc/device-tree/model", "/sys/class/dmi/id/product_name"}

// ReadFacts asks the kernel.
func ReadFacts() Facts {
	facts := Facts{PageSize: os.Getpagesize(), Model: readModel(modelPaths)}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		facts.Hostname = unix.ByteSliceToString(name.Nodename[:])
		facts.Kernel = unix.ByteSliceToString(name.Release[:])
		facts.Machine = unix.ByteSliceToString(name.Machine[:])
	}
	return facts
}

func readModel(paths []string) string {
	for _, path := range paths {
		data, err := os.ReadFile(path)
		text := strings.Trim(string(data), "\x00\n\t ") // a device tree ends its strings with a zero byte
		if err == nil && text != "" {
			return text
		}
	}
	return ""
}
