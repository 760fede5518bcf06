package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	folderMode = 0o700
	fileMode   = 0o600
	tempSuffix = ".new"

	lockPatience = 30 * time.Second
	lockLook     = 10 * time.Millisecond
)

// disk does what changes files. Every step may fail, or be the last one of a
// process; tests let it.
type disk struct {
	owner *syscall.Stat_t         // of the state folder: gets what root makes
	step  func(what string) error // nil, but in tests
}

func newDisk(stateDir string) disk {
	info, err := os.Stat(stateDir)
	if err != nil || os.Geteuid() != 0 {
		return disk{}
	}
	owner, _ := info.Sys().(*syscall.Stat_t)
	return disk{owner: owner}
}

func (d disk) before(what string) error {
	if d.step == nil {
		return nil
	}
	return d.step(what)
}

// give lets the agent's user own what root made.
func (d disk) give(path string) error {
	if d.owner == nil {
		return nil
	}
	return os.Lchown(path, int(d.owner.Uid), int(d.owner.Gid))
}

// folder makes a folder below one that is there, if need be.
func (d disk) folder(path string) error {
	if err := d.before("folder"); err != nil {
		return err
	}
	err := os.Mkdir(path, folderMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.give(path); err != nil {
		return err
	}
	return d.syncFolder(filepath.Dir(path))
}

// replace makes data the content of a file: whoever looks, also after a power
// cut, finds the old content or the new.
func (d disk) replace(path string, data []byte) error {
	temp := path + tempSuffix
	if err := d.before("write"); err != nil {
		return err
	}
	if err := d.write(temp, data); err != nil {
		return err
	}
	if err := d.before("rename"); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return d.syncFolder(filepath.Dir(path))
}

func (d disk) write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, d.give(path), f.Sync(), f.Close())
}

// extend puts data at the end of a file.
func (d disk) extend(path string, data []byte) error {
	if err := d.before("append"); err != nil {
		return err
	}
	_, statErr := os.Lstat(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil || statErr == nil {
		return err
	}
	return errors.Join(d.give(path), d.syncFolder(filepath.Dir(path)))
}

// remove takes a file or an empty folder away; one that is gone already is fine.
func (d disk) remove(path string) error {
	if err := d.before("remove"); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.syncFolder(filepath.Dir(path))
}

func (d disk) syncFolder(path string) error {
	if err := d.before("sync"); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lock takes the lock that keeps processes, and goroutines, apart. It waits for
// whoever holds it, who needs it for moments only.
func (d disk) lock(path string, write bool) (unlock func(), err error) {
	how, flags := unix.LOCK_SH, os.O_RDONLY
	if write {
		how, flags = unix.LOCK_EX, os.O_RDWR|os.O_CREATE
	}
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, err
	}
	if write {
		if err := d.give(path); err != nil {
			f.Close()
			return nil, err
		}
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockLook) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			f.Close()
			return nil, err
		case time.Now().After(deadline):
			f.Close()
			return nil, fmt.Errorf("another process has held it for %v; look for one that hangs, with `fuser %s`", lockPatience, path)
		}
	}
}
