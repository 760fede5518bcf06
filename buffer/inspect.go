package buffer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// inspect goes through all pages of an existing file. bbolt does the same to
// find the free ones, but in a goroutine of its own, where a damaged page, or
// one beyond the end of the file, is the end of the process.
func inspect(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return nil // a new file, or what opening it tells better
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait, PageSize: pageSize})
	if err != nil {
		return asDamage(err)
	}
	defer func() { _ = db.Close() }()
	err = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error { return inspectPages(tx, info.Size()) })
	})
	if errors.Is(err, errForeign) {
		return ourOwn(path, err)
	}
	return err
}

func inspectPages(tx *bbolt.Tx, size int64) error {
	if size < tx.Size() {
		return fmt.Errorf("%w: it was cut off at %d of %d bytes", errPages, size, tx.Size())
	}
	if first, _ := tx.Cursor().First(); first == nil {
		return nil // made, but nothing was committed yet
	}
	if err := checkFormat(tx); err != nil {
		return err
	}
	return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return visit(b) })
}

// visit reads the pages of a bucket and of those in it.
func visit(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		inner := b.Bucket(k)
		if inner == nil {
			return fmt.Errorf("%w: key %x is no bucket", errPages, k)
		}
		return visit(inner)
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
			return fmt.Errorf("%w: it is a buffer, but its root page is not", errPages)
		}
		if errors.Is(err, io.EOF) || len(b) <= magicSize {
			return foreign
		}
		_, _ = r.Discard(len(b) - magicSize)
	}
}
