// Package board is what this machine is: its boot, its clock, its memory.
package board

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const bootIDPath = "/proc/sys/kernel/random/boot_id"

// BootID is the kernel's random id of this boot. It is an error where the
// kernel does not show it: an id made up here would change with each start of
// the process, and what was measured before a restart could then no longer be
// placed in time.
func BootID() ([16]byte, error) { return readBootID(bootIDPath) }

func readBootID(path string) (id [16]byte, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return id, fmt.Errorf("read boot id: %w; mount /proc, and leave ProcSubset=pid out of the systemd unit", err)
	}
	text := strings.TrimSpace(string(data))
	plain := strings.ReplaceAll(text, "-", "")
	if len(plain) != hex.EncodedLen(len(id)) {
		return id, fmt.Errorf("read boot id: %s holds %.60q, not 32 hex digits", path, text)
	}
	if _, err := hex.Decode(id[:], []byte(plain)); err != nil {
		return [16]byte{}, fmt.Errorf("read boot id: %s holds %.60q: %w", path, text, err)
	}
	if id == [16]byte{} {
		return id, fmt.Errorf("read boot id: %s holds zeros only", path)
	}
	return id, nil
}

// SinceBoot is the time since this machine was booted, suspend included. It
// never goes back within one boot, whatever happens to the wall clock.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every kernel that Go runs on has this clock; a made-up time
		// would falsify measurements.
		panic("read CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
