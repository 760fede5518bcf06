package buffer

import (
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// isNewest reports whether a damaged file is known to have no newer ledger than
// that of the commit: both of its meta pages can be read, and the newer one
// leads to that ledger.
func isNewest(path string, commit uint64) (sure bool) {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, pageSize)
	for at := range int64(2) {
		if _, err := io.ReadFull(io.NewSectionReader(f, at*pageSize, pageSize), page); err != nil {
			return false
		}
		if _, ok := parseMeta(page); !ok {
			return false
		}
	}
	err = guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait, PageSize: pageSize})
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		return db.View(func(tx *bbolt.Tx) error {
			l, err := readLedger(tx)
			sure = err == nil && l.Commit == commit
			return err
		})
	})
	return sure && err == nil
}
