package buffer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"
)

// inspect goes through all pages of an existing file, without bbolt. That does
// the same to find the free ones, but in a goroutine of its own, where a
// damaged page is the end of the process.
func inspect(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // a new file
	case err != nil:
		return err
	case info.Size() == 0:
		return nil
	}
	if info.Size() < 2*pageSize {
		return fmt.Errorf("%w: it was cut off at %d bytes", ErrPages, info.Size())
	}
	err = guard(func() error { return inspectOpen(path) })
	if errors.Is(err, errForeign) {
		err = ourOwn(path, err)
	}
	return err
}

func inspectOpen(path string) error {
	var f *os.File
	defer func() { _ = f.Close() }() // after a panic too; bbolt has done it elsewhere
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		ReadOnly: true, Timeout: lockWait, PageSize: pageSize,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			f, err = os.OpenFile(name, flag, mode)
			return f, err
		},
	})
	if err != nil {
		return asDamage(err)
	}
	defer func() { _ = db.Close() }()
	if db.Info().PageSize != pageSize {
		return errForeign
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := inspectTree(f, info.Size()); err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if first, _ := tx.Cursor().First(); first == nil {
			return nil // made, but nothing was committed yet
		}
		return checkFormat(tx)
	})
}

// ourOwn tells a file that lost its root page from one that was never ours: it
// holds a ledger somewhere.
func ourOwn(path string, foreign error) error {
	f, err := os.Open(path)
	if err != nil {
		return foreign
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReaderSize(f, 1<<20)
	wanted := magic(frameLedger)
	for {
		b, err := r.Peek(1 << 20)
		if bytes.Contains(b, wanted) {
			return fmt.Errorf("%w: it is a buffer, but its root page is not", ErrPages)
		}
		if errors.Is(err, io.EOF) || len(b) <= magicSize {
			return foreign
		}
		_, _ = r.Discard(len(b) - magicSize)
	}
}
