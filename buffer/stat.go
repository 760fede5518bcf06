package buffer

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// Stat is how a store is doing. Sizes are in bytes.
type Stat struct {
	FileBytes int64     `json:"file_bytes"`
	DiskBytes int64     `json:"disk_bytes"` // what the file takes of the disk
	UsedBytes int64     `json:"used_bytes"` // pages in use; the rest of the file is free for new points
	MaxBytes  int64     `json:"max_bytes"`
	Series    int       `json:"series"`
	Segments  int64     `json:"segments"`
	Records   int64     `json:"records"`         // with points that are not settled
	Oldest    time.Time `json:"oldest,omitzero"` // wall time of the oldest record that is not late
	Pending   int       `json:"pending"`         // points in memory, not yet committed, so not yet accepted
	Refused   int64     `json:"refused"`         // points since the start that were never taken, for what they are
	Dropped   int64     `json:"dropped_unaccepted"`
	Alarm     string    `json:"alarm"`              // what is wrong with the disk, "" while nothing is
	Warnings  []string  `json:"warnings,omitempty"` // what makes the file less safe than it should be
	Salvage   *Salvage  `json:"salvage,omitempty"`  // of the file that was found damaged last
}

// Stat tells how the store is doing now.
func (s *Store) Stat() Stat {
	s.mu.Lock()
	st := s.stat
	st.Records, st.Segments = s.ledger.Records, s.ledger.Segments
	st.Salvage = s.ledger.Salvage.public()
	v := s.vol
	s.mu.Unlock()
	st.MaxBytes = s.o.MaxSize
	st.Series = v.names.len()
	st.Pending, st.Refused, st.Dropped = s.queue.stat()
	return st
}

// measure looks at the file after a commit.
func (s *Store) measure() error {
	v := s.volume()
	st, err := v.sizes()
	if err != nil {
		return err
	}
	first := int64(noTime)
	err = v.view(func(tx *bbolt.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		all, settled, _, err := readTail(tx, &l)
		if err != nil {
			return err
		}
		s.packer.sealed = len(all) == 0
		s.tailDone = len(all) >= sealRecords && settled*2 > len(all)
		first, err = s.oldest(tx, &l)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stat.FileBytes, s.stat.DiskBytes, s.stat.UsedBytes = st.FileBytes, st.DiskBytes, st.UsedBytes
	s.stat.Oldest = time.Time{}
	if first != noTime {
		s.stat.Oldest = time.UnixMilli(first)
	}
	return nil
}

// sizes are the sizes of the file.
func (v *volume) sizes() (st Stat, err error) {
	info, err := os.Stat(v.path)
	if err != nil {
		return st, fmt.Errorf("look at the file: %w", err)
	}
	st.FileBytes, st.DiskBytes = info.Size(), info.Size()
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.DiskBytes = sys.Blocks * 512
	}
	high := int64(0)
	if err := v.view(func(tx *bbolt.Tx) error { high = tx.Size(); return nil }); err != nil {
		return st, err
	}
	free := v.db.Stats()
	st.UsedBytes = high - int64(free.FreePageN+free.PendingPageN)*pageSize
	return st, nil
}

// high is where the pages of the file end that were ever used.
func (v *volume) high() (n int64, err error) {
	err = v.view(func(tx *bbolt.Tx) error { n = tx.Size(); return nil })
	return n, err
}
