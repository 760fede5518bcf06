package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// newFile is a file to be written.
type newFile struct {
	path string
	data []byte
	mode os.FileMode
}

// writeFiles writes all or, where one of them is there already and must not be
// replaced, none. Each appears whole or not at all.
func writeFiles(files []newFile, replace bool) error {
	for _, f := range files {
		info, err := os.Lstat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("look for %s: %w", f.path, err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is there and is no file; choose another folder with --out", f.path)
		case !replace:
			return fmt.Errorf("%s is there already; --force replaces it, --out names another folder", f.path)
		}
	}
	for _, f := range files {
		if err := writeWhole(f, replace); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	return nil
}

// writeWhole puts a file in place under a name of its own first.
func writeWhole(f newFile, replace bool) (err error) {
	fresh, err := spool(filepath.Dir(f.path), f.data)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(fresh)
		}
	}()
	if err := os.Chmod(fresh, f.mode); err != nil {
		return err
	}
	if !replace { // holds the name, so that nobody else's file is replaced
		held, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.mode)
		if err != nil {
			return err
		}
		_ = held.Close()
	}
	return os.Rename(fresh, f.path)
}

// spool writes data to a new file that only its owner reads, safely on the disk.
func spool(folder string, data []byte) (path string, err error) {
	f, err := os.CreateTemp(folder, ".edgehold-*")
	if err != nil {
		return "", fmt.Errorf("make file: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("write file: %w", err)
	}
	return f.Name(), nil
}
