package board

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Paths are where the kernel shows this machine. "" is the usual place.
type Paths struct {
	Sys  string // /sys
	Proc string // /proc
	Dev  string // /dev

	kernel kernel // nil: the real one
}

func (p Paths) sys(parts ...string) string {
	return filepath.Join(cmp.Or(p.Sys, "/sys"), filepath.Join(parts...))
}

func (p Paths) proc(parts ...string) string {
	return filepath.Join(cmp.Or(p.Proc, "/proc"), filepath.Join(parts...))
}

func (p Paths) dev(parts ...string) string {
	return filepath.Join(cmp.Or(p.Dev, "/dev"), filepath.Join(parts...))
}

// numbers are those behind prefix among the names of a folder, rising. A folder
// that is not there has none.
func numbers(dir, prefix string) []int {
	entries, _ := os.ReadDir(dir)
	var all []int
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if n, err := strconv.ParseUint(rest, 10, 31); ok && err == nil && strconv.Itoa(int(n)) == rest {
			all = append(all, int(n))
		}
	}
	slices.Sort(all)
	return all
}

const pageSize = 4096 // the most that a file of sysfs holds

// readText is the one line of a file of sysfs or of a device tree; "" where it
// is not there or may not be read.
func readText(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, pageSize))
	if err != nil {
		return ""
	}
	return plainText(data)
}

func plainText(data []byte) string {
	return strings.ToValidUTF8(strings.Trim(string(data), "\x00\n\t "), "\uFFFD")
}

// readNumber is a whole number of sysfs, decimal or with 0x.
func readNumber(path string) (int64, bool) {
	n, err := strconv.ParseInt(readText(path), 0, 64)
	return n, err == nil
}

// linkName is the last part of where a link leads; "" where it is none.
func linkName(path string) string {
	target, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}
