package buffer

import (
	"fmt"
	"os"
	"runtime/debug"

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
		return err
	}
	defer func() { _ = db.Close() }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if info.Size() < tx.Size() {
				return fmt.Errorf("%w: it was cut off at %d of %d bytes", errPages, info.Size(), tx.Size())
			}
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return visit(b) })
		})
	})
}

// visit reads the pages of a bucket and of those in it.
func visit(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		return visit(b.Bucket(k))
	})
}
