package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/edgehold/edgehold/buffer/arc"
)

// Layout of the file, by bucket:
//
//	chunks       a bucket for each chunk of sealed records
//	claims       epoch, sequence -> what a lease holds that outlives the process; made when there is one
//	dead         number -> a refused line
//	kept         name -> a small note of the agent; made when there is one
//	marks        record number -> which of its points are settled, whether it is late
//	meta         format -> "4"
//	names        first number -> a block of series
//	names-copy   the same again
//	state        name -> what the agent wants back after a planned stop
//	t + number   a bucket for each record that is not sealed yet
//	zledger      ledger -> counters and cursors; sorts behind the tail, so that both lie in one page
//
// Every value but the format is framed. FORMAT.md has the bytes.
var (
	bucketChunks    = []byte("chunks")
	bucketDead      = []byte("dead")
	bucketMarks     = []byte("marks")
	bucketMeta      = []byte("meta")
	bucketNames     = []byte("names")
	bucketNamesCopy = []byte("names-copy")
	bucketNotes     = []byte("kept")
	bucketClaims    = []byte("claims")
	bucketState     = []byte("state")
	bucketLedger    = []byte("zledger")

	keyFormat = []byte("format")
	keyLedger = []byte("ledger")
)

const (
	format    = 4    // the only one that can be read
	pageSize  = 4096 // also where the system's pages are larger: they triple the bytes written
	allocSize = 1 << 20
	lockWait  = time.Second
)

// openVolume opens the file or makes it. Damage is told by isDamage.
func openVolume(o Options) (*volume, ledger, error) {
	if err := inspect(o.Path); err != nil {
		return nil, ledger{}, err
	}
	old := exists(o.Path)
	v := &volume{path: o.Path, codec: new(arc.Codec), names: newDictionary()}
	if err := v.open(o, o.Path); err != nil {
		return nil, ledger{}, err
	}
	l, err := v.begin(ledger{})
	if err == nil && !old {
		err = syncFolder(o.Path)
	}
	if err != nil {
		_ = v.close()
		return nil, ledger{}, err
	}
	return v, l, nil
}

// open opens bbolt on a file that may lie elsewhere until it is complete.
func (v *volume) open(o Options, path string) (err error) {
	v.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         lockWait,
		PageSize:        pageSize,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize(o.MaxSize),
		MaxSize:         int(o.MaxSize),
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			v.file, err = os.OpenFile(name, flag, mode)
			return v.file, err
		},
	})
	if err != nil {
		return asDamage(err)
	}
	v.db.AllocSize = allocSize
	return nil
}

// begin writes the frame of a new file, with an account to start from, or
// reads what an old one holds.
func (v *volume) begin(start ledger) (ledger, error) {
	if err := prepare(v.db, start); err != nil {
		return ledger{}, err
	}
	return v.load()
}

// asDamage marks what bbolt says of a file that it cannot read.
func asDamage(err error) error {
	if errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) {
		return fmt.Errorf("%w: %w", ErrPages, err)
	}
	return err
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
	errOlder   = errors.New("the file was written by an earlier development version of edgehold")
)

// buckets are those that each file has from the start.
func buckets() [][]byte {
	return [][]byte{bucketChunks, bucketDead, bucketMarks, bucketMeta, bucketNames, bucketNamesCopy, bucketLedger}
}

// prepare checks the format, and writes to the file only if it is new.
func prepare(db *bbolt.DB, start ledger) error {
	fresh := false
	err := guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			first, _ := tx.Cursor().First()
			if fresh = first == nil; fresh {
				return nil
			}
			return checkFormat(tx)
		})
	})
	if err != nil || !fresh {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketMeta).Put(keyFormat, []byte(strconv.Itoa(format))); err != nil {
			return err
		}
		return writeLedger(tx, start)
	})
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
		return fmt.Errorf("the number of the format is %d in one place and %d in another: %w", n, l.Format, errDamaged)
	case err != nil:
		return errForeign
	case n > format:
		return fmt.Errorf("%w (format %d, this one knows %d)", errNewer, n, format)
	case n < format:
		return fmt.Errorf("%w (format %d, this one knows %d)", errOlder, n, format)
	}
	for _, name := range buckets() {
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
	case isDamage(err):
		mend = "start the agent, which sets the file aside and saves what it still holds"
	case errors.Is(err, errOlder):
		mend = "drain or export it with that version, or move the file away to start empty; it was left as it is"
	case errors.Is(err, errForeign):
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
