package buffer

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
)

// What a store of another kind over a bbolt file needs too.

// PageSize is that of all files, whatever the machine's is.
const PageSize = pageSize

// CheckPages goes through all pages of a bbolt file's tree without bbolt,
// which may end the process on a damaged one.
func CheckPages(f io.ReaderAt, size int64) error { return inspectTree(f, size) }

// CheckMeta looks whether one of the two meta pages is whole: without, bbolt
// panics with its locks held.
func CheckMeta(f io.ReaderAt) error {
	p := pages{f: f}
	return p.findMeta()
}

// Guard turns a panic or a fault of memory into an error.
func Guard(fn func() error) error { return guard(fn) }

// AsDamage marks what bbolt says of a file that it cannot read.
func AsDamage(err error) error { return asDamage(err) }

// SetAside renames a damaged file, deletes those that were set aside before,
// and gives the new name.
func SetAside(path string, now time.Time) (string, error) {
	name, err := setAside(path, now)
	if err == nil {
		forgetOlder(path, name)
	}
	return name, err
}

// SyncFolder makes the name of a file durable.
func SyncFolder(path string) error { return syncFolder(path) }

// IsFull reports whether an error says that the disk is full.
func IsFull(err error) bool { return isFull(err) }

// MapSize bounds what is mapped of a file at once.
func MapSize(quota int64) int { return mapSize(quota) }

// PathWarnings tells what makes a file less safe than it should be, where it
// lies; nothing if that cannot be found out.
func PathWarnings(path string) []string {
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return mountWarnings(folder, string(mounts), fastCommit)
}

// SmallMap is whether this machine has a small address space.
const SmallMap = math.MaxInt == math.MaxInt32
