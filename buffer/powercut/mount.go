package powercut

import (
	"fmt"
	"os/exec"
	"time"
)

// Processes of their own mount and unmount. If the one that serves the disk
// did it itself and were killed meanwhile, it would wait for itself for ever.

func mount(path, target, fstype, options string) error {
	if options != "" {
		options = "," + options
	}
	return command("mount", "-t", fstype, "-o", "loop,noatime"+options, path, target)
}

// unmount waits for those that just ended to let go.
func unmount(target string) (err error) {
	for range 100 {
		if err = command("umount", target); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
