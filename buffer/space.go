package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// growStep is how far ahead of its use the disk is reserved. A file system
	// that must find room at a commit writes its journal too; and what is
	// reserved is ours when others fill the disk.
	growStep = 4 << 20
	// renewFrom and renewShare say when a file is worth being written anew: it is
	// larger than this, and what is in use is smaller than this part of it.
	renewFrom  = 16 << 20
	renewShare = 8
	renewMost  = 8 << 20 // bytes in use: they are copied while nothing is committed
	renewPause = time.Minute
	copyStep   = 1 << 20 // bytes of one transaction
)

// reserve makes sure that the file has room for so many bytes at its end,
// reserved on the disk. That it could not is told by the commit.
func (s *Store) reserve(bytes int64) {
	v := s.volume()
	high, err := v.high()
	if err != nil || v.file == nil {
		return
	}
	info, err := v.file.Stat()
	if err != nil {
		return
	}
	const slack = 256 << 10 // pages of the tree that a commit writes
	need := high + bytes + slack
	if info.Size() >= need {
		return
	}
	step := min(growStep, s.o.MaxSize/16)
	for _, size := range []int64{(need + step - 1) / step * step, need} {
		size = min(size, s.o.MaxSize)
		if size > info.Size() && unix.Fallocate(int(v.file.Fd()), 0, info.Size(), size-info.Size()) == nil {
			_ = v.file.Sync()
			return
		}
	}
}

// giveBackSpace writes the file anew where it is large and little is in it:
// bbolt's files never shrink. With nothing at all in it the dictionary begins
// anew too. The last commit leaves it: what it saved is for the next start.
func (s *Store) giveBackSpace(last bool) error {
	s.mu.Lock()
	st, l := s.stat, s.ledger
	s.mu.Unlock()
	if last || !worthRenewing(st, s.o.MaxSize) || time.Now().Before(s.renewAt) {
		return nil
	}
	s.renewAt = time.Now().Add(renewPause)
	h := &s.holds
	h.mu.Lock()
	empty := l.Account.Buffered+l.Account.archived()+l.Account.letters() == 0 && len(h.records) == 0
	v, err := s.copyFile(l, empty)
	if err == nil && !empty {
		defer h.mu.Unlock() // nobody leases until the new file is there
		return s.swap(v)
	}
	h.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.swap(v); err != nil {
		return err
	}
	if err := v.view(func(tx *bbolt.Tx) (err error) { l, err = readLedger(tx); return err }); err != nil {
		return err
	}
	return s.adopt(v, l)
}

func worthRenewing(st Stat, quota int64) bool {
	if st.FileBytes > quota && st.UsedBytes < quota*7/8 {
		return true // the quota was lowered
	}
	return st.FileBytes >= min(renewFrom, quota/2) && st.UsedBytes <= min(st.FileBytes/renewShare, renewMost)
}

// copyFile makes a new file beside the old one, with all that is in it, or
// with the account only.
func (s *Store) copyFile(l ledger, empty bool) (*volume, error) {
	path := s.o.Path + newSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	old := s.volume()
	v := &volume{path: s.o.Path, codec: old.codec, names: old.names}
	if empty {
		v.names = newDictionary()
	}
	err := v.open(s.o, path)
	if err != nil {
		return nil, err
	}
	v.db.NoSync = true
	if empty {
		l.settled, l.Segments, l.Guesses = numbers{}.add(spanOf[uint64]{0, l.NextRecord}), 0, nil
		_, err = v.begin(l)
		if err == nil {
			err = s.copyNotes(v)
		}
	} else {
		err = guard(func() error { return bbolt.Compact(v.db, old.db, copyStep) })
	}
	if err == nil {
		v.db.NoSync = false
		err = v.db.Sync()
	}
	if err != nil {
		_ = v.close()
		_ = os.Remove(path)
		return nil, err
	}
	return v, nil
}

// swap gives the new file the name of the old one. Until the folder is synced
// a power cut brings back either of them, and both hold the same: so nothing
// more is committed before.
func (s *Store) swap(v *volume) error {
	if err := os.Rename(s.o.Path+newSuffix, s.o.Path); err != nil {
		_ = v.close()
		return err
	}
	s.unsynced = true
	s.mu.Lock()
	old := s.vol
	s.vol = v
	s.mu.Unlock()
	_ = old.close()
	_ = s.syncName() // else the next commit tries again, and tells
	return s.measure()
}

// syncName makes the name of a new file durable.
func (s *Store) syncName() error {
	if !s.unsynced {
		return nil
	}
	if err := syncFolder(s.o.Path); err != nil {
		return fmt.Errorf("sync the folder: %w", err)
	}
	s.unsynced = false
	return nil
}
