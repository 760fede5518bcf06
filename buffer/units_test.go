package buffer

import (
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// chunkFile is a file with so many chunks of ten records each, over several
// pages.
func chunkFile(t *testing.T, chunks int) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "chunks.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucketChunks)
		for i := 0; i < chunks && err == nil; i++ {
			_, err = b.CreateBucket(chunkKey(chunkAt(i)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func chunkAt(i int) unit {
	return unit{segment: segment{base: uint64(10 * i)}, first: uint64(10 * i), records: 10}
}

// What is looked for while a transaction deletes chunks is found, also behind
// pages that it has emptied, and the search ends when nothing is left.
func TestChunksAreFoundWhileTheyAreDeleted(t *testing.T) {
	const many = 400
	for name, gone := range map[string]func(i int) bool{
		"none":            func(int) bool { return false },
		"all":             func(int) bool { return true },
		"a page or more":  func(i int) bool { return i >= 100 && i < 300 },
		"all but the end": func(i int) bool { return i < many-1 },
		"all but one":     func(i int) bool { return i != 7 },
	} {
		t.Run(name, func(t *testing.T) {
			db := chunkFile(t, many)
			done := make(chan error, 1)
			go func() {
				done <- db.Update(func(tx *bbolt.Tx) error {
					for i := range many {
						if !gone(i) {
							continue
						}
						if err := tx.Bucket(bucketChunks).DeleteBucket(chunkKey(chunkAt(i))); err != nil {
							return err
						}
					}
					for from := uint64(0); from < 10*many+20; from += 5 {
						findChunk(t, tx, from, gone)
					}
					return nil
				})
			}()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("the search does not end")
			}
			_ = db.View(func(tx *bbolt.Tx) error {
				for from := uint64(0); from < 10*many+20; from += 5 {
					findChunk(t, tx, from, gone)
				}
				return nil
			})
		})
	}
}

// findChunk looks for the chunks from a record on and holds the first one
// against what is left.
func findChunk(t *testing.T, tx *bbolt.Tx, from uint64, gone func(int) bool) {
	t.Helper()
	want := -1
	for i := range 400 {
		if !gone(i) && chunkAt(i).span().to > from {
			want = i
			break
		}
	}
	got := -1
	_, err := chunks(tx, from, func(u unit) (bool, error) {
		got = int(u.first / 10)
		return false, nil
	})
	if err != nil || got != want {
		t.Errorf("from %d: chunk %d, %v; want %d", from, got, err, want)
	}
}
