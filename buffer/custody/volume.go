package custody

import (
	"errors"
	"os"
	"sync"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/buffer"
)

// volume is one open file.
type volume struct {
	file *os.File // the one bbolt has open
	db   *bbolt.DB
	// use is held for reading while a transaction is open, and for writing while
	// the volume is closed, which it may be under readers.
	use    sync.RWMutex
	closed bool
}

var errMoved = errors.New("the store has closed this file")

// view reads. What it finds in the transaction must not outlive it.
func (v *volume) view(fn func(tx *bbolt.Tx) error) error {
	v.use.RLock()
	defer v.use.RUnlock()
	if v.closed {
		return errMoved
	}
	if err := buffer.CheckMeta(v.file); err != nil {
		return err
	}
	return buffer.Guard(func() error { return v.db.View(fn) })
}

// errNothing ends a transaction that has nothing to write.
var errNothing = errors.New("nothing to write")

// write is one transaction. It is not bbolt's Update, which after a panic scans
// the whole file where nothing stops the next panic.
func (v *volume) write(fn func(tx *bbolt.Tx) error) error {
	if err := buffer.CheckMeta(v.file); err != nil {
		return err
	}
	err := buffer.Guard(func() error {
		tx, err := v.db.Begin(true)
		if err != nil {
			return err
		}
		err = buffer.Guard(func() error {
			if err := fn(tx); err != nil {
				return err
			}
			return tx.Commit()
		})
		if err != nil {
			_ = tx.Rollback() // has no effect where Commit has done it
		}
		return err
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// close waits for readers.
func (v *volume) close() error {
	v.use.Lock()
	defer v.use.Unlock()
	v.closed = true
	return v.db.Close()
}

// abandon leaves a volume whose locks a panic may have left behind: closing it
// could wait for ever. Its map stays until the process ends.
func (v *volume) abandon() {
	v.use.Lock()
	defer v.use.Unlock()
	v.closed = true
}

// space is how much of the file is in use, in bytes.
type space struct{ file, used, high, diskFree int64 }

func (v *volume) space() (x space, err error) {
	info, err := v.file.Stat()
	if err != nil {
		return x, err
	}
	x.file = info.Size()
	if err := v.view(func(tx *bbolt.Tx) error { x.high = tx.Size(); return nil }); err != nil {
		return x, err
	}
	free := v.db.Stats()
	x.used = x.high - int64(free.FreePageN+free.PendingPageN)*buffer.PageSize
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(v.file.Fd()), &disk); err != nil {
		return x, err
	}
	x.diskFree = int64(disk.Bavail * uint64(disk.Bsize))
	return x, nil
}

const growStep = 4 << 20

// reserve has the disk keep room for so many bytes behind the end of what is
// used: a file system that must find room at a commit writes its journal too.
// That it could not is told by the commit.
func (v *volume) reserve(x space, bytes, most int64) {
	need := x.high + bytes + 256<<10
	if x.file >= need {
		return
	}
	if size := min((need+growStep-1)/growStep*growStep, most); size > x.file && unix.Fallocate(int(v.file.Fd()), 0, x.file, size-x.file) == nil {
		_ = v.file.Sync()
	}
}
