package buffer

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// Names beside the file.
const (
	newSuffix     = ".new"      // a copy that is not complete
	damagedSuffix = ".damaged-" // and the time: a file that was set aside
)

// openOrReplace opens the file. Where it is damaged it is set aside and a new
// one made; what the old one holds is left to the salvage.
func (s *Store) openOrReplace() error {
	_ = os.Remove(s.o.Path + newSuffix)
	v, l, err := openVolume(s.o)
	if err == nil {
		if err = s.adopt(v, l); err != nil {
			_ = v.close()
		}
	}
	if isDamage(err) {
		return s.startAnew(err)
	}
	return err
}

// startAnew sets the file aside, because of its damage, and goes on with a new
// one.
func (s *Store) startAnew(cause error) error {
	aside, err := setAside(s.o.Path, s.o.Now())
	if err != nil {
		return fmt.Errorf("set the damaged file aside (%w): %w", cause, err)
	}
	s.o.Log.Error().Err(cause).Str("path", s.o.Path).Str("set_aside", aside).
		Msg("buffer file is damaged: it is set aside, a new one begins, and what it still holds is saved in the background")
	v, _, err := openVolume(s.o)
	if err != nil {
		return err
	}
	var l ledger
	err = v.write(func(tx *bbolt.Tx) error {
		l, err = readLedger(tx)
		if err != nil {
			return err
		}
		l.Salvage = &salvage{File: filepath.Base(aside), At: s.o.Now().UTC(), Cause: cause.Error()}
		return writeLedger(tx, l)
	})
	if err == nil {
		err = s.adopt(v, l)
	}
	if err != nil {
		_ = v.close()
	}
	return err
}

// setAside renames the file. Of files that were set aside before it deletes
// all: one damaged file is kept at most.
func setAside(path string, now time.Time) (string, error) {
	older, _ := filepath.Glob(globQuote(path) + damagedSuffix + "*")
	name := path + damagedSuffix + now.UTC().Format("20060102T150405Z")
	for n := 2; exists(name); n++ {
		name = fmt.Sprintf("%s%s%s-%d", path, damagedSuffix, now.UTC().Format("20060102T150405Z"), n)
	}
	if err := os.Rename(path, name); err != nil {
		return "", err
	}
	for _, old := range older {
		_ = os.Remove(old)
	}
	return name, syncFolder(path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// globQuote makes a path match itself only.
func globQuote(path string) string {
	var out []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, path[i])
	}
	return string(out)
}

// syncFolder makes the name of a file durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}

// replaceDamaged is startAnew while the store runs: what was not committed is
// committed to the new file.
func (s *Store) replaceDamaged(cause error, state map[string][]byte) error {
	old := s.volume()
	old.abandon()
	if err := s.startAnew(cause); err != nil {
		return err
	}
	s.startSalvage()
	if s.running != nil {
		s.running = nil
		w := &work{last: state != nil, state: state}
		if err := s.pack(w, s.queue.inRun()); err != nil {
			s.queue.finish(err)
			return err
		}
		s.running = w
	}
	if err := s.begin(state); err != nil {
		return err
	}
	return guard(func() error { return s.try(s.running) })
}
