package emulated

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// archive writes the kernel's first file system: a cpio archive of the form
// "newc", not compressed, as unpacking takes the emulated processor long.
type archive struct {
	w       *bufio.Writer
	inode   int
	folders map[string]bool
	err     error
}

const (
	modeFolder = 0o040755
	modeFile   = 0o100700 // secrets among them
	modeDevice = 0o020600
)

// writeArchive puts a console and the files, by their absolute paths, into an
// archive.
func writeArchive(out io.Writer, files map[string][]byte) error {
	a := &archive{w: bufio.NewWriter(out), folders: map[string]bool{}}
	a.folder("/dev")
	a.entry("/dev/console", modeDevice, [2]int{5, 1}, nil)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.folder(path.Dir(name))
		a.entry(name, modeFile, [2]int{}, files[name])
	}
	a.entry("/TRAILER!!!", 0, [2]int{}, nil)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}

// folder adds a folder and those above it, once.
func (a *archive) folder(name string) {
	if name == "/" || a.folders[name] {
		return
	}
	a.folder(path.Dir(name))
	a.folders[name] = true
	a.entry(name, modeFolder, [2]int{}, nil)
}

func (a *archive) entry(name string, mode int, device [2]int, data []byte) {
	name = strings.TrimPrefix(name, "/")
	a.inode++
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name)+1, 0)
	a.write([]byte(header + name + "\x00"))
	a.pad(len(header) + len(name) + 1)
	a.write(data)
	a.pad(len(data))
}

// pad fills up to a multiple of four.
func (a *archive) pad(n int) { a.write(make([]byte, -n&3)) }

func (a *archive) write(p []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(p)
	}
}

func saveArchive(name string, files map[string][]byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeArchive(f, files); err != nil {
		return err
	}
	return f.Close()
}
