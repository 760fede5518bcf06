package custody

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"
)

// MaxNote bounds a note, in bytes.
const MaxNote = 64 << 10

// sitePrefix begins the names of notes of sites.
const sitePrefix = "site/"

// Keep writes a small note down, by name, with the next commit; it makes none
// itself. The note of before it is gone then; no data deletes it. A note that
// is too long is not kept and logged.
func (s *Store) Keep(name string, data []byte) { s.keep("note/"+name, data) }

// Kept gives a note, nil if there is none. The caller must not change it.
func (s *Store) Kept(name string) []byte { return s.kept("note/" + name) }

// KeepSite is Keep for the note of a site.
func (s *Store) KeepSite(site string, note []byte) { s.keep(sitePrefix+site, note) }

// KeptSite gives the note of a site, nil if there is none. The caller must not
// change it.
func (s *Store) KeptSite(site string) []byte { return s.kept(sitePrefix + site) }

// NotedSites gives the sites that have a note, in no order.
func (s *Store) NotedSites() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for name := range s.notes {
		if len(name) > len(sitePrefix) && name[:len(sitePrefix)] == sitePrefix {
			out = append(out, name[len(sitePrefix):])
		}
	}
	return out
}

func (s *Store) keep(name string, data []byte) {
	if len(data) > MaxNote || len(name) > 1024 {
		s.o.Log.Error().Str("note", name[:min(len(name), 100)]).Int("bytes", len(data)).Msg("relay store: a note is too long, it is not kept")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.notes[name], data) {
		return
	}
	if s.unsaved == nil {
		s.unsaved = make(map[string][]byte)
	}
	s.unsaved[name] = bytes.Clone(data)
	s.notes[name] = s.unsaved[name]
	if len(data) == 0 {
		delete(s.notes, name)
	}
}

func (s *Store) kept(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[name]
}

func (p *pass) saveNotes() error {
	bucket := p.tx.Bucket(bucketNotes)
	for name, data := range p.w.notes {
		key, err := []byte(name), error(nil)
		if len(data) == 0 {
			err = bucket.Delete(key)
		} else {
			err = bucket.Put(key, seal(key, data))
		}
		if err != nil {
			return fmt.Errorf("note %q: %w", name, err)
		}
		p.dirty = true
	}
	return nil
}

// readNotes gives all notes. One that cannot be read is left out: it is worth
// less than the blocks beside it.
func readNotes(tx *bbolt.Tx, notes map[string][]byte) error {
	return tx.Bucket(bucketNotes).ForEach(func(k, value []byte) error {
		if data, err := unseal(k, value); err == nil {
			notes[string(k)] = bytes.Clone(data)
		}
		return nil
	})
}
