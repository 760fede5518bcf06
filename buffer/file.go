package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Layout of the file, by bucket:
//
//	meta     format -> "1"; ledger -> counters and cursors, JSON
//	names    first id -> a block of series
//	records  key of a record -> its payload, or a bucket that holds it
//	marks    record number -> which of its points are settled, whether it is late
//	dead     number -> a refused line
//	state    name -> what the agent wants back after a planned stop
//
// Every value but the format starts with the CRC-32C of its key and content.
var (
	bucketMeta    = []byte("meta")
	bucketNames   = []byte("names")
	bucketRecords = []byte("records")
	bucketMarks   = []byte("marks")
	bucketDead    = []byte("dead")
	bucketState   = []byte("state")

	keyFormat = []byte("format")
	keyLedger = []byte("ledger")
)

const (
	format    = 1
	pageSize  = 4096 // also where the system's pages are larger: they triple the bytes written
	allocSize = 1 << 20
	lockWait  = time.Second
)

func openFile(o Options) (*bbolt.DB, error) {
	if err := inspect(o.Path); err != nil {
		return nil, openError(o.Path, err)
	}
	db, err := bbolt.Open(o.Path, 0o600, &bbolt.Options{
		Timeout:         lockWait,
		PageSize:        pageSize,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize(o.MaxSize),
		MaxSize:         int(o.MaxSize),
	})
	if err != nil {
		return nil, openError(o.Path, err)
	}
	db.AllocSize = allocSize
	if err := prepare(db); err != nil {
		_ = db.Close()
		return nil, openError(o.Path, err)
	}
	return db, nil
}

// mapSize maps the whole quota at once, so that growing never waits for
// readers, but leaves room for others in a 32-bit address space.
func mapSize(quota int64) int {
	if math.MaxInt == math.MaxInt32 {
		quota = min(quota, 256<<20)
	}
	return int(quota)
}

var (
	errForeign = errors.New("the file is not a buffer of edgehold")
	errNewer   = errors.New("the file was written by a newer edgehold")
)

// prepare checks the format, and writes to the file only if it is new.
func prepare(db *bbolt.DB) error {
	fresh := false
	err := db.View(func(tx *bbolt.Tx) error {
		first, _ := tx.Cursor().First()
		if fresh = first == nil; fresh {
			return nil
		}
		return checkFormat(tx)
	})
	if err != nil || !fresh {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketNames, bucketRecords, bucketMarks, bucketDead} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketMeta).Put(keyFormat, []byte(strconv.Itoa(format))); err != nil {
			return err
		}
		return writeLedger(tx, ledger{})
	})
}

func checkFormat(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return errForeign
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(meta.Get(keyFormat))))
	if err != nil {
		return errForeign
	}
	if n > format {
		return fmt.Errorf("%w (format %d, this one knows %d)", errNewer, n, format)
	}
	for _, name := range [][]byte{bucketNames, bucketRecords, bucketMarks, bucketDead} {
		if tx.Bucket(name) == nil {
			return errForeign
		}
	}
	return nil
}

// openError adds the path and the mend.
func openError(path string, err error) error {
	mend := "see the error and check the disk"
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		mend = "another edgehold is running on this file: stop it, or give this one a state_dir of its own"
	case errors.Is(err, errNewer), errors.Is(err, berrors.ErrVersionMismatch):
		mend = "install that version, or move the file away to start empty; it was left as it is"
	case errors.Is(err, errForeign), errors.Is(err, errDamaged), errors.Is(err, errPages), errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum):
		mend = "move the file away to start empty; it was left as it is"
	case errors.Is(err, fs.ErrNotExist):
		mend = "make the folder: mkdir -p " + filepath.Dir(path)
	case errors.Is(err, fs.ErrPermission):
		mend = "make the folder writable for the user that runs edgehold: " + filepath.Dir(path)
	case errors.Is(err, syscall.EROFS):
		mend = "the disk is read-only: mount it writable, or set state_dir to another one"
	case isFull(err):
		mend = "the disk is full: free some space, or set state_dir to another one"
	}
	return fmt.Errorf("open buffer %s: %w: %s", path, err, mend)
}

// isFull looks at the text too: bbolt drops the cause when growing fails.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

// alarmText says in plain words why a commit failed.
func alarmText(path string, err error) string {
	cause := "cannot be written: " + err.Error()
	switch {
	case isFull(err):
		cause = "cannot grow, the disk is full: free some space"
	case errors.Is(err, syscall.EROFS):
		cause = "cannot be written, the disk is read-only: mount it writable"
	case errors.Is(err, syscall.EIO):
		cause = "cannot be written, the disk reports an error (EIO): check or replace it"
	case errors.Is(err, berrors.ErrMaxSizeReached):
		cause = "has no room left: raise buffer.max_size"
	}
	return "buffer " + path + " " + cause + "; new points wait in memory, the oldest of them are dropped when that is full"
}
