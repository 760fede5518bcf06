// Package store keeps the packages that are installed on this machine, which of
// their versions is the active one, and an append-only history of what was
// trusted. The command line and the agent may both use it at the same time.
//
// The history is the truth: a change is made at the moment when its record is on
// the disk, and the index is what the records amount to.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/sign"
)

const (
	packagesFolder = "packages"
	indexFile      = "index.json"
	historyFile    = "history.log"
	lockFile       = "lock"
	bundleFile     = "bundle.zip"
)

// Store is the folder `extensions` of a state folder. Its methods may be called
// by several goroutines.
type Store struct {
	By string // who is named in the history; set it before the first use

	dir      string
	disk     disk
	mu       sync.Mutex
	warnings []string
}

// Entry is one version of an extension.
type Entry struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Digest     string    `json:"digest"`               // SHA-256 of extension.zip, hex
	Signer     string    `json:"signer,omitempty"`     // fingerprint of its certificate; empty: unsigned
	Categories []string  `json:"categories,omitempty"` // of the signer, at that time
	Installed  time.Time `json:"installed,omitzero"`
	Active     bool      `json:"active"`
}

// Open gives the store of a state folder. Nothing is made before something is
// to be kept.
func Open(stateDir string) (*Store, error) {
	info, err := os.Stat(stateDir)
	if err == nil && !info.IsDir() {
		err = errors.New("is not a folder; set state_dir to one")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open package store in %s: %w", stateDir, err)
	}
	return &Store{
		By:   fmt.Sprintf("uid %d", os.Getuid()),
		dir:  filepath.Join(stateDir, "extensions"),
		disk: newDisk(stateDir),
	}, nil
}

// Warnings are what was found wrong with the files since the last call, and
// mended or left as it is. Each is for the log or the terminal.
func (s *Store) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.warnings
	s.warnings = nil
	return said
}

func (s *Store) warn(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warnings = append(s.warnings, text)
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// bundlePath is where a version lies.
func (s *Store) bundlePath(name, number string) (string, error) {
	folder, err := escape(name)
	if err != nil {
		return "", fmt.Errorf("the name of the extension %w", err)
	}
	sub, err := escape(number)
	if err != nil {
		return "", fmt.Errorf("the version of the extension %w", err)
	}
	return filepath.Join(s.path(packagesFolder), folder, sub, bundleFile), nil
}

// List gives the installed versions, by name and version.
func (s *Store) List() ([]Entry, error) {
	v, err := s.read()
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, one := range v.Versions {
		if one.Present {
			entries = append(entries, one.Entry)
		}
	}
	return entries, nil
}

// Find gives an installed version, or the active one for version "", and the
// path of its bundle.
func (s *Store) Find(name, version string) (Entry, string, error) {
	v, err := s.read()
	if err != nil {
		return Entry{}, "", err
	}
	found, err := v.installed(name, version)
	if err != nil {
		return Entry{}, "", err
	}
	path, err := s.bundlePath(found.Name, found.Version)
	if err != nil {
		return Entry{}, "", err
	}
	if _, err := os.Stat(path); err != nil {
		return Entry{}, "", fmt.Errorf("package %s %s: %w; install it again", name, found.Version, err)
	}
	return found.Entry, path, nil
}

// ErrNotInstalled is of a package that is not there.
var ErrNotInstalled = errors.New("is not installed")

// installed finds a version that is there; the error says what is.
func (v *view) installed(name, number string) (*version, error) {
	var others, names []string
	for i := range v.Versions {
		one := &v.Versions[i]
		switch {
		case !one.Present:
		case one.Name == name && (number == "" && one.Active || number != "" && sign.CompareVersions(number, one.Version) == 0):
			return one, nil
		case one.Name == name:
			others = append(others, one.Version)
		default:
			names = append(names, one.Name)
		}
	}
	switch {
	case len(others) > 0 && number == "":
		return nil, fmt.Errorf("extension %s has no active version; installed are %s: activate one with `edgehold ext install %s@%s`",
			name, strings.Join(others, ", "), name, others[len(others)-1])
	case len(others) > 0:
		return nil, fmt.Errorf("version %s of extension %s %w; installed are %s", number, name, ErrNotInstalled, strings.Join(others, ", "))
	case len(names) > 0:
		return nil, fmt.Errorf("extension %s %w; installed are %s", name, ErrNotInstalled, strings.Join(unique(names), ", "))
	}
	return nil, fmt.Errorf("extension %s %w: no package is; `edgehold ext install BUNDLE` installs one", name, ErrNotInstalled)
}

func unique(sorted []string) []string {
	var out []string
	for i, name := range sorted {
		if i == 0 || sorted[i-1] != name {
			out = append(out, name)
		}
	}
	return out
}

// read looks at the store while nobody changes it.
func (s *Store) read() (*view, error) {
	unlock, err := s.lock(false)
	if err != nil {
		return nil, err
	}
	defer unlock()
	v, err := s.look()
	if err != nil {
		return nil, fmt.Errorf("read package store %s: %w", s.dir, err)
	}
	return v, nil
}

// change lets do alter the store. What the history must be told first is told.
func (s *Store) change(do func(*view) error) error {
	if err := s.prepare(); err != nil {
		return fmt.Errorf("prepare package store %s: %w", s.dir, err)
	}
	unlock, err := s.lock(true)
	if err != nil {
		return err
	}
	defer unlock()
	v, err := s.look()
	if err != nil {
		return fmt.Errorf("read package store %s: %w", s.dir, err)
	}
	if v.fresh { // with an index, a package without a record was never installed to its end
		if err := s.save(v); err != nil {
			return fmt.Errorf("write index: %w", err)
		}
	}
	return do(v)
}

// Stamp is another text once something was installed, removed or recorded. It
// looks at the index file without reading it.
func (s *Store) Stamp() string {
	info, err := os.Stat(s.path(indexFile))
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

func (s *Store) save(v *view) error {
	line, _, err := seal(v.index)
	if err != nil {
		return err
	}
	return s.disk.replace(s.path(indexFile), append(line, '\n'))
}

func (s *Store) prepare() error {
	if _, err := os.Stat(s.dir); err == nil {
		return s.disk.folder(s.path(packagesFolder))
	}
	if err := os.MkdirAll(filepath.Dir(s.dir), folderMode); err != nil {
		return err
	}
	return errors.Join(s.disk.folder(s.dir), s.disk.folder(s.path(packagesFolder)))
}

// lock keeps others out. A store that nobody has written to yet needs none to be
// read.
func (s *Store) lock(write bool) (unlock func(), err error) {
	unlock, err = s.disk.lock(s.path(lockFile), write)
	if !write && errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; run it as root or as the user of the agent", err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock package store: %w", err)
	}
	return unlock, nil
}

// commit appends records, after those that are owed, and writes the index.
func (s *Store) commit(v *view, records ...Record) error {
	if len(v.tail.torn) > 0 && !v.tail.long {
		v.notes = append([]Record{v.tail.mend()}, v.notes...)
	}
	records = append(v.notes, records...)
	v.notes = nil
	var data []byte
	at := v.tail
	for _, r := range records {
		if r.Time.IsZero() {
			r.Time = time.Now()
		}
		if r.By == "" {
			r.By = s.By
		}
		line, written, err := at.next(r)
		if err != nil {
			return fmt.Errorf("encode record: %w", err)
		}
		data, at = append(data, line...), tail{Number: written.Number, Hash: written.Hash}
		v.apply(written)
	}
	if err := s.disk.extend(s.path(historyFile), data); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	v.tail = at
	// The change is made: what the index lacks is made up for by the history.
	if err := s.save(v); err != nil {
		s.warn(fmt.Sprintf("the index of the packages could not be written, and is made again when it can: %v", err))
	}
	return nil
}

// Append writes a record of something that the store does not do itself.
func (s *Store) Append(r Record) error {
	switch r.Kind {
	case "", KindInstall, KindActivate, KindRemove, KindAdmit, kindMended, kindRebuilt, kindDamaged:
		return fmt.Errorf("append to history: the kind %q is the store's own", r.Kind)
	}
	return s.change(func(v *view) error { return s.commit(v, r) })
}

// History gives the records, the first first. Between them, as a *HistoryError,
// what is not as it was written; the records after it are given all the same.
func (s *Store) History() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		unlock, err := s.lock(false)
		if err != nil {
			yield(Record{}, err)
			return
		}
		size, err := s.historySize()
		unlock()
		if err == nil {
			_, err = s.scanUpTo(size, yield)
		}
		if err != nil {
			yield(Record{}, err)
		}
	}
}

func (s *Store) historySize() (int64, error) {
	info, err := os.Stat(s.path(historyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read history: %w", err)
	}
	return info.Size(), nil
}

func (s *Store) scan(yield func(Record, error) bool) (tail, error) {
	size, err := s.historySize()
	if err != nil {
		return tail{}, err
	}
	return s.scanUpTo(size, yield)
}

// scanUpTo leaves out what is appended meanwhile.
func (s *Store) scanUpTo(size int64, yield func(Record, error) bool) (tail, error) {
	if size == 0 {
		return tail{Hash: firstPrev}, nil
	}
	f, err := os.Open(s.path(historyFile))
	if err != nil {
		return tail{}, fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	return scan(io.LimitReader(f, size), yield)
}

// VerifyHistory holds every record against the one before it, and the last
// against the index. It returns the hash of the last record, which is to be kept
// elsewhere to detect a cut end, and the number of records. A last line that was
// not written to its end is a *HistoryError with Torn.
func (s *Store) VerifyHistory() (head string, n int, err error) {
	v, err := s.read()
	if err != nil {
		return "", 0, err
	}
	if v.fault != nil {
		return v.tail.Hash, v.tail.Number, v.fault
	}
	return v.tail.Hash, v.tail.Number, v.torn
}
