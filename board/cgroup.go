package board

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// MemoryMax is the least memory that the control group of this process, or one
// above it, is bounded to, in bytes; 0: none is. Both versions of control groups
// are understood, at their usual place.
func MemoryMax() (int64, error) { return memoryMax(os.DirFS("/")) }

const cgroupRoot = "sys/fs/cgroup"

func memoryMax(root fs.FS) (int64, error) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // a kernel without control groups
	}
	if err != nil {
		return 0, fmt.Errorf("read the control group: %w", err)
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		// 0::/system.slice/x.service, or 5:memory:/system.slice/x.service
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			least = min(least, boundOf(root, cgroupRoot, parts[2], "memory.max"))
		case parts[1] == "memory":
			least = min(least, boundOf(root, cgroupRoot+"/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	if least > math.MaxInt64/2 { // version 1 says "none" by a huge number
		return 0, nil
	}
	return least, nil
}

// boundOf is the least bound of a group and of those above it. A group that
// cannot be seen, as from inside a container, is left out.
func boundOf(root fs.FS, base, group, file string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join(base, dir, file))
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
			least = min(least, n)
		}
		if dir == "/" {
			return least
		}
	}
}
