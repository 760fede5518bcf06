package ca

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	privateFile   = 0o600
	publicFile    = 0o644
	privateFolder = 0o700
)

// lockWait is for how long a command waits for another one in the same folder.
const (
	lockWait  = 10 * time.Second
	lockRetry = 20 * time.Millisecond
)

// lock keeps other commands out of the folder of an authority until release.
func lock(dir string) (release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockRetry) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("lock %s, where another command is at work: %w; try again when it has ended", dir, err)
		}
	}
}

// writeNew writes a file that must not exist. It is there whole or not at all.
func writeNew(path string, data []byte) error {
	temp, err := writeTemp(path, data, privateFile)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(temp)
	if err := moveNew(temp, path); errors.Is(err, fs.ErrExist) {
		return existsError(path)
	} else if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// moveNew renames without replacing; where the file system cannot, it links.
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = os.Link(from, to)
	}
	return err
}

func existsError(path string) error {
	return fmt.Errorf("%s exists already and is not overwritten; choose another --name or --out, or move it away", path)
}

// replace writes a file in place of the one that may be there.
func replace(path string, data []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, data, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// writeTemp writes a file beside path that survives a power cut.
func writeTemp(path string, data []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil && mode != privateFile {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some file systems cannot
		return fmt.Errorf("write folder %s: %w", dir, err)
	}
	return nil
}

// fileName makes a name of a person or a machine fit for a file.
func fileName(name string) string {
	out := make([]byte, 0, len(name))
	for _, r := range name {
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_':
		default:
			r = '-'
		}
		if n := len(out); (r == '-' || r == '.') && (n == 0 || out[n-1] == byte(r)) {
			continue
		}
		out = append(out, byte(r))
	}
	if out = bytes.TrimRight(out, "-."); len(out) == 0 {
		return "certificate"
	}
	return string(out)
}

// freeBase is base, or base-2, base-3 ... so that none of the files exists.
func freeBase(base string) string {
	for n := 2; ; n++ {
		next := base + "-" + strconv.Itoa(n)
		if len(taken(next)) == 0 {
			return next
		}
	}
}

// taken are the files of base that exist.
func taken(base string) (files []string) {
	for _, ending := range []string{certEnding, keyEnding, fusedEnding} {
		if _, err := os.Lstat(base + ending); err == nil {
			files = append(files, base+ending)
		}
	}
	return files
}

// The endings of the files of a developer certificate.
const (
	certEnding  = ".pem"
	keyEnding   = ".key"
	fusedEnding = "-fused.pem"
)
