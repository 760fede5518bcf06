package custody

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/edgehold/edgehold/buffer"
)

// Layout of the file, by bucket; FORMAT.md has the bytes.
var (
	bucketBroken   = []byte("broken")
	bucketData     = []byte("data")
	bucketEpochs   = []byte("epochs")
	bucketIndex    = []byte("index")
	bucketLetters  = []byte("letters")
	bucketMeta     = []byte("custody")
	bucketNames    = []byte("names")
	bucketNotes    = []byte("notes")
	bucketOutcomes = []byte("outcomes")
	bucketSites    = []byte("sites")
	bucketLedger   = []byte("zledger")

	keyFormat = []byte("format")
	keyLedger = []byte("ledger")
	keyBytes  = []byte("b")
)

const (
	format    = 1
	allocSize = 1 << 20
	lockWait  = time.Second
	ledgerTag = `"edgehold_custody":` // finds a ledger without the tree
)

var (
	errForeign = errors.New("the file is not a relay's store of edgehold")
	errNewer   = errors.New("the file was written by a newer edgehold")
	errOlder   = errors.New("the file was written by an earlier development version of edgehold")
)

func buckets() [][]byte {
	return [][]byte{
		bucketBroken, bucketData, bucketEpochs, bucketIndex, bucketLetters, bucketMeta,
		bucketNames, bucketNotes, bucketOutcomes, bucketSites, bucketLedger,
	}
}

// openVolume opens the file or makes it. Damage is told by isDamage.
func openVolume(o Options, start ledger) (*volume, error) {
	if err := inspect(o.Path); err != nil {
		return nil, err
	}
	_, err := os.Lstat(o.Path)
	fresh := err != nil
	v := &volume{}
	size := o.MaxSize
	if info, err := os.Stat(o.Path); err == nil {
		size = max(size, info.Size()+allocSize) // the quota was lowered
	}
	v.db, err = bbolt.Open(o.Path, 0o600, &bbolt.Options{
		Timeout:         lockWait,
		PageSize:        buffer.PageSize,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: buffer.MapSize(o.MaxSize),
		MaxSize:         int(size),
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			v.file, err = os.OpenFile(name, flag, mode)
			return v.file, err
		},
	})
	if err != nil {
		return nil, buffer.AsDamage(err)
	}
	v.db.AllocSize = allocSize
	err = v.prepare(start)
	if err == nil && fresh {
		err = buffer.SyncFolder(o.Path)
	}
	if err != nil {
		_ = v.close()
		return nil, err
	}
	return v, nil
}

// prepare checks the format, and writes to the file only if it is new.
func (v *volume) prepare(start ledger) error {
	fresh := false
	err := v.view(func(tx *bbolt.Tx) error {
		first, _ := tx.Cursor().First()
		if fresh = first == nil; fresh {
			return nil
		}
		return checkFormat(tx)
	})
	if err != nil || !fresh {
		return err
	}
	return v.write(func(tx *bbolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketMeta).Put(keyFormat, []byte(strconv.Itoa(format))); err != nil {
			return err
		}
		start.Format, start.Epoch = format, newEpoch()
		return writeLedger(tx, start)
	})
}

// newEpoch is random and not zero.
func newEpoch() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if n := binary.BigEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// checkFormat refuses a file of another format.
func checkFormat(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return errForeign
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(meta.Get(keyFormat))))
	l, broken := readLedger(tx)
	switch {
	case broken == nil && n != format && l.Format == format:
		return fmt.Errorf("%w: its format is %d in one place and %d in another", buffer.ErrPages, n, l.Format)
	case err != nil:
		return errForeign
	case n > format:
		return fmt.Errorf("%w (format %d, this one knows %d)", errNewer, n, format)
	case n < format:
		return fmt.Errorf("%w (format %d, this one knows %d)", errOlder, n, format)
	case broken != nil:
		return broken
	}
	for _, name := range buckets() {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: a bucket is missing", buffer.ErrPages)
		}
	}
	return nil
}

// inspect goes through all pages of an existing file, without bbolt, which
// looks for free ones in a goroutine where a damaged page ends the process.
func inspect(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Size() == 0:
		return nil
	case info.Size() < 2*buffer.PageSize:
		return fmt.Errorf("%w: it was cut off at %d bytes", buffer.ErrPages, info.Size())
	}
	err = buffer.Guard(func() error { return inspectOpen(path) })
	if errors.Is(err, errForeign) && holdsLedger(path) {
		return fmt.Errorf("%w: it is a relay's store, but its root page is not", buffer.ErrPages)
	}
	return err
}

func inspectOpen(path string) error {
	var f *os.File
	defer func() { _ = f.Close() }() // after a panic too
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		ReadOnly: true, Timeout: lockWait, PageSize: buffer.PageSize,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			f, err = os.OpenFile(name, flag, mode)
			return f, err
		},
	})
	if err != nil {
		return buffer.AsDamage(err)
	}
	defer func() { _ = db.Close() }()
	if db.Info().PageSize != buffer.PageSize {
		return errForeign
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := buffer.CheckPages(f, info.Size()); err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if first, _ := tx.Cursor().First(); first == nil {
			return nil // made, but nothing was committed yet
		}
		return checkFormat(tx)
	})
}

// holdsLedger tells a file that lost its root page from one that was never
// ours.
func holdsLedger(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		b, err := r.Peek(1 << 20)
		if bytes.Contains(b, []byte(ledgerTag)) {
			return true
		}
		if err != nil || len(b) <= len(ledgerTag) {
			return false
		}
		_, _ = r.Discard(len(b) - len(ledgerTag))
	}
}

// openError adds the path and the mend.
func openError(path string, err error) error {
	mend := "see the error and check the disk"
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		mend = "another edgehold is running on this file: stop it, or give this one a state_dir of its own"
	case errors.Is(err, errNewer), errors.Is(err, berrors.ErrVersionMismatch):
		mend = "install that version, or move the file away to start empty; it was left as it is"
	case errors.Is(err, errOlder):
		mend = "drain it with that version, or move the file away to start empty; it was left as it is"
	case errors.Is(err, errForeign):
		mend = "move the file away to start empty; it was left as it is"
	case errors.Is(err, fs.ErrNotExist):
		mend = "make the folder: mkdir -p " + filepath.Dir(path)
	case errors.Is(err, fs.ErrPermission):
		mend = "make the folder writable for the user that runs edgehold: " + filepath.Dir(path)
	case errors.Is(err, syscall.EROFS):
		mend = "the disk is read-only: mount it writable, or set state_dir to another one"
	case buffer.IsFull(err):
		mend = "the disk is full: free some space, or set state_dir to another one"
	}
	return fmt.Errorf("open relay store %s: %w: %s", path, err, mend)
}

// alarmText says in plain words why a commit failed.
func alarmText(path string, err error) string {
	cause := "cannot be written: " + err.Error()
	switch {
	case errors.Is(err, berrors.ErrMaxSizeReached):
		cause = "has no room left: raise buffer.max_size"
	case buffer.IsFull(err):
		cause = "cannot grow, the disk is full: free some space"
	case errors.Is(err, syscall.EROFS):
		cause = "cannot be written, the disk is read-only: mount it writable"
	case errors.Is(err, syscall.EIO):
		cause = "cannot be written, the disk reports an error (EIO): check or replace it"
	}
	return "relay store " + path + " " + cause + "; blocks are refused, and wait at their sites"
}
