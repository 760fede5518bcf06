package sign

import (
	"errors"
	"io"
	"io/fs"
)

// boundedFS serves inner, each file up to most bytes and nothing but regular
// files and folders.
type boundedFS struct {
	inner fs.FS
	most  int64
}

// Open opens a file or folder.
func (b *boundedFS) Open(name string) (fs.File, error) {
	info, err := b.Stat(name)
	if err != nil {
		return nil, err
	}
	f, err := b.inner.Open(name)
	if err != nil || info.IsDir() {
		return f, err
	}
	return &boundedFile{File: f, name: name, left: b.most}, nil
}

// Stat describes a file or folder without following a link.
func (b *boundedFS) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Lstat(b.inner, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errSpecial}
	}
	return info, nil
}

// ReadFile reads a whole file, no more than the limit.
func (b *boundedFS) ReadFile(name string) ([]byte, error) {
	f, err := b.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// ReadDir lists a folder, sorted by name.
func (b *boundedFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(b.inner, name) }

var (
	errSpecial = errors.New("links and special files are refused")
	errLarge   = errors.New("the file is larger than the limit")
)

// boundedFile fails once more than left bytes were read.
type boundedFile struct {
	fs.File
	name string
	left int64
}

func (f *boundedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if f.left -= int64(n); f.left < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: errLarge}
	}
	return n, err
}
