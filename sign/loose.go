package sign

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// warnWritable warns of a folder of roots, and of files in it, that others may
// write: whoever puts a root there decides what runs.
func (f *rootFolder) warnWritable() {
	if f.path == "" || readOnly(f.path) {
		return
	}
	f.warnOpen(f.path)
	for _, file := range f.files {
		f.warnOpen(filepath.Join(f.path, file.name))
	}
}

func (f *rootFolder) warnOpen(path string) {
	info, err := os.Stat(path)
	if err != nil || !othersWrite(info) {
		return
	}
	f.warnings = append(f.warnings, fmt.Sprintf("%s: others may write it (mode %04o), and who does decides which packages run; run: chmod go-w %s", path, info.Mode().Perm(), path))
}

// othersWrite leaves out a group that is the owner's own, of the same number.
func othersWrite(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	owner, ok := info.Sys().(*syscall.Stat_t)
	return mode&0o002 != 0 || mode&0o020 != 0 && ok && owner.Gid != owner.Uid
}

// readOnly is of a file system that nobody can write to, whatever the modes say.
func readOnly(path string) bool {
	const flagReadOnly = 1 // ST_RDONLY
	var s syscall.Statfs_t
	return syscall.Statfs(path, &s) == nil && s.Flags&flagReadOnly != 0
}
