package buffer

import (
	"bytes"
	"fmt"
	"maps"

	"go.etcd.io/bbolt"
)

// MaxNote bounds a note, in bytes.
const MaxNote = 64 << 10

// Keep writes a small note down, by name, with the next commit that points or
// settlements make; it makes none itself. The note of before it is gone then;
// no data deletes it. A note that is too long is not kept and logged.
func (s *Store) Keep(name string, data []byte) {
	if !s.noteFits(name, data) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepLocked(name, bytes.Clone(data))
}

func (s *Store) noteFits(name string, data []byte) bool {
	if len(data) > MaxNote || name == "" {
		s.o.Log.Error().Str("note", name).Int("bytes", len(data)).Msg("buffer: a note is too long or has no name, it is not kept")
		return false
	}
	return true
}

func (s *Store) keepLocked(name string, data []byte) {
	if bytes.Equal(s.notes[name], data) {
		return
	}
	if s.unsaved == nil {
		s.unsaved = make(map[string][]byte)
	}
	s.notes[name] = data
	s.unsaved[name] = data
	if len(data) == 0 {
		delete(s.notes, name)
	}
}

// note is a note on its way with points.
type note struct {
	name string
	data []byte
}

// Kept gives a note, nil if there is none. The caller must not change it.
func (s *Store) Kept(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[name]
}

// takeNotes gives the notes that the file does not have, with those that come
// with the tickets of the commit.
func (s *Store) takeNotes(tickets []*Ticket) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tickets {
		if t.note != nil {
			s.keepLocked(t.note.name, t.note.data)
		}
	}
	taken := s.unsaved
	s.unsaved = nil
	return taken
}

// allNotes marks all notes as not saved: the file is a new one.
func (s *Store) allNotes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved = maps.Clone(s.notes)
}

// copyNotes writes all notes to a new file.
func (s *Store) copyNotes(v *volume) error {
	s.mu.Lock()
	notes := maps.Clone(s.notes)
	s.mu.Unlock()
	return v.write(func(tx *bbolt.Tx) error { return putNotes(tx, notes) })
}

// putNotes writes notes.
func putNotes(tx *bbolt.Tx, notes map[string][]byte) error {
	if len(notes) == 0 {
		return nil
	}
	bucket, err := tx.CreateBucketIfNotExists(bucketNotes)
	if err != nil {
		return err
	}
	for name, data := range notes {
		key := []byte(name)
		if len(data) == 0 {
			err = bucket.Delete(key)
		} else {
			err = bucket.Put(key, keyed(frameNote, key, data))
		}
		if err != nil {
			return fmt.Errorf("note %q: %w", name, err)
		}
	}
	return nil
}

// readNotes gives all notes. One that cannot be read is left out: it is worth
// less than the points beside it.
func readNotes(tx *bbolt.Tx) (map[string][]byte, error) {
	notes := make(map[string][]byte)
	bucket := tx.Bucket(bucketNotes)
	if bucket == nil {
		return notes, nil
	}
	err := bucket.ForEach(func(key, value []byte) error {
		if data, err := openKeyed(frameNote, key, value); err == nil {
			notes[string(key)] = bytes.Clone(data)
		}
		return nil
	})
	return notes, err
}
