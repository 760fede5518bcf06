package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Names beside the file.
const (
	newSuffix     = ".new"      // a copy that is not complete
	damagedSuffix = ".damaged-" // and the time: a file that was set aside
	keptSuffix    = "-kept"     // and this: what could be saved of it is saved
)

// openOrReplace opens the file. Where it is damaged it is set aside and a new
// one made; what the old one holds is left to the salvage.
func (s *Store) openOrReplace() error {
	_ = os.Remove(s.o.Path + newSuffix)
	v, l, err := openVolume(s.o)
	if err == nil {
		if name := s.orphan(l); name != "" {
			l, err = s.remember(v, name, errors.New("the start that found it damaged was cut off"))
		}
		if err == nil {
			err = errors.Join(v.crossCheck(&l), v.mendNames())
		}
		if err == nil {
			err = s.adopt(v, l)
		}
		if err != nil {
			_ = v.close()
		}
	}
	if isDamage(err) {
		return s.startAnew(err)
	}
	return err
}

// orphan is a file that was set aside and that no file knows of, since the
// power went before the new one did.
func (s *Store) orphan(l ledger) string {
	if l.Commit > 0 || l.Salvage != nil {
		return ""
	}
	all, _ := filepath.Glob(globQuote(s.o.Path) + damagedSuffix + "*")
	all = slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, keptSuffix) })
	if len(all) == 0 {
		return ""
	}
	return filepath.Base(slices.Max(all))
}

// remember notes in a new file that one was set aside.
func (s *Store) remember(v *volume, aside string, cause error) (l ledger, err error) {
	err = v.write(func(tx *bbolt.Tx) error {
		if l, err = readLedger(tx); err != nil {
			return err
		}
		l.Salvage = &salvage{File: aside, At: s.o.Now().UTC(), Cause: cause.Error()}
		return writeLedger(tx, l)
	})
	return l, err
}

// startAnew sets the file aside, because of its damage, and goes on with a new
// one. Where it failed before, the file is set aside already, and what lies in
// its place is a new one that was never used.
func (s *Store) startAnew(cause error) (err error) {
	if s.aside == "" {
		if s.aside, err = setAside(s.o.Path, cmp.Or(s.o.Now(), time.Now())); err != nil {
			return fmt.Errorf("set the damaged file aside (%w): %w", cause, err)
		}
		s.o.Log.Error().Err(cause).Str("path", s.o.Path).Str("set_aside", s.aside).
			Msg("buffer file is damaged: it is set aside, a new one begins, and what it still holds is saved in the background")
	} else if err := os.Remove(s.o.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete an unused new file: %w", err)
	}
	v, _, err := openVolume(s.o)
	if err != nil {
		return err
	}
	s.allNotes()
	l, err := s.remember(v, filepath.Base(s.aside), cause)
	if err == nil {
		err = s.adopt(v, l)
	}
	if err != nil {
		_ = v.close()
		return err
	}
	forgetOlder(s.o.Path, s.aside)
	s.aside = ""
	return nil
}

// setAside renames the file. If the folder cannot be synced the old name comes
// back with a power cut, which is no harm.
func setAside(path string, now time.Time) (string, error) {
	name := path + damagedSuffix + now.UTC().Format("20060102T150405Z")
	for n := 2; exists(name); n++ {
		name = fmt.Sprintf("%s%s%s-%d", path, damagedSuffix, now.UTC().Format("20060102T150405Z"), n)
	}
	if err := os.Rename(path, name); err != nil {
		return "", err
	}
	_ = syncFolder(path)
	return name, nil
}

// forgetOlder deletes the files that were set aside before: one damaged file is
// kept at most.
func forgetOlder(path, aside string) {
	all, _ := filepath.Glob(globQuote(path) + damagedSuffix + "*")
	for _, name := range all {
		if name != aside {
			_ = os.Remove(name)
		}
	}
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
		s.holds.breakOff(cause) // the next commit tries again
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
