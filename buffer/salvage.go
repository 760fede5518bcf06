package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// salvage is how far the content of a damaged file has been saved. It is part
// of the ledger.
type salvage struct {
	File    string    `json:"file"` // beside the buffer
	At      time.Time `json:"at"`   // found damaged
	Cause   string    `json:"cause"`
	Adopted bool      `json:"adopted"` // its account is part of this one
	Missing int64     `json:"missing"` // points that its account says are in it, and that are not saved yet
	Letter  uint64    `json:"letter"`  // dead letters of the old file with a lower number are done
	Next    uint64    `json:"next"`    // records of the old file with a lower number are done
	Part    uint32    `json:"part"`    // and so are the first points of the next one
	Saved   int64     `json:"saved"`   // points
	Lost    int64     `json:"lost"`    // once it is done
	Unsure  bool      `json:"unsure"`  // its newest account cannot be read: more may be lost
	Done    bool      `json:"done"`
}

// Salvage tells what became of a file that was found damaged.
type Salvage struct {
	File   string    `json:"file,omitempty"` // beside the buffer; "" once all of it was saved and it is deleted
	At     time.Time `json:"at"`
	Cause  string    `json:"cause"`
	Saved  int64     `json:"points_saved"` // up to now
	Lost   int64     `json:"points_lost"`  // 0 until it is done
	Unsure bool      `json:"more_may_be_lost"`
	Done   bool      `json:"done"`
}

func (s *salvage) public() *Salvage {
	if s == nil {
		return nil
	}
	out := &Salvage{File: s.File, At: s.At, Cause: s.Cause, Saved: s.Saved, Lost: s.Lost, Unsure: s.Unsure, Done: s.Done}
	switch {
	case s.Done && s.whole():
		out.File = ""
	case s.Done:
		out.File += keptSuffix
	}
	return out
}

// whole reports whether all of the file is known to be saved.
func (s *salvage) whole() bool { return s.Lost == 0 && !s.Unsure }

var (
	errEnded   = errors.New("the salvage ended early")
	errNotHere = errors.New("it is not in the file")
)

const (
	salvagePause = time.Second // before a batch is tried again
	keptCheck    = time.Minute // how often the room of a file that was set aside is asked for
)

// startSalvage saves what a damaged file still holds, in a goroutine that the
// store waits for. It has no effect where one runs: that one goes on to the
// newest file that was set aside.
func (s *Store) startSalvage() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saving || s.ledger.Salvage == nil {
		return
	}
	s.saving = true
	s.salvaging.Add(1)
	go func() {
		defer s.salvaging.Done()
		for s.salvageOne() {
		}
	}()
}

// salvageOne deals with one file and tells whether there is another.
func (s *Store) salvageOne() (more bool) {
	s.mu.Lock()
	sal := *s.ledger.Salvage
	s.mu.Unlock()
	err := guard(func() error {
		if !sal.Done {
			if err := s.rescue(sal); err != nil {
				return err
			}
		}
		return s.keep(sal.File)
	})
	if err != nil && !errors.Is(err, errEnded) {
		s.o.Log.Error().Err(err).Str("set_aside", sal.File).Msg("points of the damaged buffer file cannot be saved; the next start tries again")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saving = s.ledger.Salvage.File != sal.File && !s.isClosed()
	return s.saving
}

// ended reports whether the salvage of a file has to stop: the store is being
// closed, or another file was set aside since.
func (s *Store) ended(file string) bool {
	if s.isClosed() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Salvage.File != file
}

// pause waits before the next try.
func (s *Store) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.stop:
	case <-timer.C:
	}
}

// keep deletes the file that was set aside if all of it was saved, else as
// soon as there is no room for it beside the buffer.
func (s *Store) keep(file string) error {
	path := filepath.Join(filepath.Dir(s.o.Path), file)
	if exists(path) {
		if err := os.Rename(path, path+keptSuffix); err != nil {
			return fmt.Errorf("rename the file that was set aside: %w", err)
		}
	}
	path += keptSuffix
	for !s.ended(file) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at the file that was set aside: %w", err)
		}
		s.mu.Lock()
		whole, size := s.ledger.Salvage.whole(), s.stat.FileBytes
		s.mu.Unlock()
		if whole || info.Size()+size > s.o.MaxSize {
			return s.discard(path, whole)
		}
		s.pause(keptCheck)
	}
	return errEnded
}

func (s *Store) discard(path string, whole bool) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("delete the file that was set aside: %w", err)
	}
	why := "all of it was saved"
	if !whole {
		why = "there is no room for it beside the buffer"
	}
	s.o.Log.Info().Str("path", path).Msg("damaged buffer file is deleted: " + why)
	return nil
}
