package buffer

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer/arc"
)

// volume is one open file: what can be read of it.
type volume struct {
	path  string
	file  *os.File // the one bbolt has open
	db    *bbolt.DB
	codec *arc.Codec
	names *dictionary

	// use is held for reading while a transaction is open, and for writing
	// while the volume is closed, which it may be under readers: another one
	// has then taken its place.
	use    sync.RWMutex
	closed bool
}

var (
	errMoved = errors.New("the buffer has moved to a new file")
	// ErrPages says that the pages of a bbolt file are damaged.
	ErrPages = errors.New("file is damaged")
)

// guard turns a panic, which bbolt has on damaged pages, and a fault, which
// the map of a file has where the disk cannot read it, into an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrPages, r)
		}
	}()
	return fn()
}

// view reads. What it finds in the transaction must not outlive it.
func (v *volume) view(fn func(tx *bbolt.Tx) error) error {
	v.use.RLock()
	defer v.use.RUnlock()
	if v.closed {
		return errMoved
	}
	if err := v.alive(); err != nil {
		return err
	}
	return guard(func() error { return v.db.View(fn) })
}

// alive looks at the meta pages. Where they are gone, bbolt panics with its
// locks held, and whoever comes next would wait for ever.
func (v *volume) alive() error {
	if v.file == nil {
		return nil // of a reader, that is alone
	}
	p := pages{f: v.file}
	return p.findMeta()
}

// write is one transaction. It is not bbolt's Update, which after a panic
// scans the whole file in a goroutine of its own, where nothing stops the next
// panic.
func (v *volume) write(fn func(tx *bbolt.Tx) error) error {
	if err := v.alive(); err != nil {
		return err
	}
	return guard(func() error {
		tx, err := v.db.Begin(true)
		if err != nil {
			return err
		}
		err = guard(func() error {
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

// load reads the ledger and the dictionary.
func (v *volume) load() (l ledger, err error) {
	err = v.view(func(tx *bbolt.Tx) error {
		if l, err = readLedger(tx); err != nil {
			return err
		}
		return v.names.load(tx, v.codec)
	})
	return l, err
}
