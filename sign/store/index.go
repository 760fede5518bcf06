package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/edgehold/edgehold/sign"
)

const indexFormat = 1

// index is what the history amounts to. It is written after the history and
// decides only where that is damaged; its number and head tell when the end of
// the history is gone.
type index struct {
	Format   int       `json:"format"`
	Number   int       `json:"number"` // of the last record that is taken in
	Head     string    `json:"head"`   // its hash
	Versions []version `json:"versions"`
}

// version is one that was seen, for ever.
type version struct {
	Entry
	Present bool `json:"present"` // it is installed
}

func (x *index) find(name, number string) *version {
	for i := range x.Versions {
		if v := &x.Versions[i]; v.Name == name && sign.CompareVersions(v.Version, number) == 0 {
			return v
		}
	}
	return nil
}

func (x *index) active(name string) *version {
	for i := range x.Versions {
		if v := &x.Versions[i]; v.Name == name && v.Active {
			return v
		}
	}
	return nil
}

// put finds a version or makes it, in the order of names and versions.
func (x *index) put(name, number string) *version {
	if v := x.find(name, number); v != nil {
		return v
	}
	at := 0
	for at < len(x.Versions) {
		v := x.Versions[at]
		if v.Name > name || v.Name == name && sign.CompareVersions(v.Version, number) > 0 {
			break
		}
		at++
	}
	x.Versions = slices.Insert(x.Versions, at, version{Entry: Entry{Name: name, Version: number}})
	return &x.Versions[at]
}

func (x *index) activate(chosen *version) {
	if before := x.active(chosen.Name); before != nil {
		before.Active = false
	}
	chosen.Active = true
}

// apply takes a record in.
func (x *index) apply(r Record) {
	x.Number, x.Head = r.Number, r.Hash
	switch r.Kind {
	case KindInstall:
		v := x.put(r.Name, r.Version)
		v.Digest, v.Signer, v.Categories, v.Installed, v.Present = r.Digest, r.Signer, r.Categories, r.Time, true
		x.activate(v)
	case KindActivate:
		if v := x.find(r.Name, r.Version); v != nil {
			x.activate(v)
		}
	case KindRemove:
		if v := x.find(r.Name, r.Version); v != nil {
			v.Present, v.Active = false, false
		}
	case KindAdmit:
		v := x.put(r.Name, r.Version)
		v.Digest, v.Signer = cmp.Or(v.Digest, r.Digest), cmp.Or(v.Signer, r.Signer)
	}
}

var errNewerIndex = errors.New("has a newer format than this program knows; install the newer version of edgehold")

// readIndex returns an empty index with found false where there is none. A
// damaged one is an error of its own kind, damage.
func readIndex(path string) (x index, found bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return index{}, false, nil
	}
	if err != nil {
		return index{}, false, fmt.Errorf("read index: %w", err)
	}
	if _, err := unseal(bytes.TrimSuffix(data, []byte("\n")), &x); err != nil {
		var format struct{ Format int }
		if json.Unmarshal(data, &format) == nil && format.Format > indexFormat {
			return index{}, false, fmt.Errorf("%s %w", path, errNewerIndex)
		}
		return index{}, false, damage{err}
	}
	if x.Format > indexFormat {
		return index{}, false, fmt.Errorf("%s %w", path, errNewerIndex)
	}
	return x, true, nil
}

type damage struct{ error }

// view is the store at one moment.
type view struct {
	index
	tail  tail
	notes []Record // what the history must be told before anything else
	fault error    // the first fault of the history
	torn  error    // its last line was not written to its end
	fresh bool     // nothing was ever written here
}

// look reads the index and adds what the history has more. Where the index is
// damaged or gone it is made again of the history and the packages.
func (s *Store) look() (*view, error) {
	saved, found, err := readIndex(s.path(indexFile))
	var broken damage
	if err != nil && !errors.As(err, &broken) {
		return nil, err
	}
	v := &view{index: saved}
	v.Format = indexFormat
	replayed := index{Format: indexFormat}
	rewritten := ""
	v.tail, err = s.scan(func(r Record, err error) bool {
		if err == nil {
			replayed.apply(r)
		}
		switch {
		case err != nil:
			v.noteFault(err)
		case r.Number > v.Number:
			v.apply(r)
		case r.Number == saved.Number && r.Hash != saved.Head:
			rewritten = fmt.Sprintf("history.log: record %d is not the one that was written: its hash was %s", r.Number, saved.Head)
		}
		if r.Kind == kindDamaged {
			v.noteFault(fmt.Errorf("history.log: record %d tells of damage: %s", r.Number, r.Detail))
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if found && v.tail.Number < saved.Number {
		rewritten = fmt.Sprintf("history.log ends with record %d, and %d were written", v.tail.Number, saved.Number)
		// The next record follows the last that was written, so that the gap stays.
		v.tail.Number, v.tail.Hash = saved.Number, saved.Head
	}
	if rewritten != "" {
		v.noteFault(errors.New(rewritten))
		s.note(v, Record{Kind: kindDamaged, Detail: rewritten})
	}
	if !found && (broken.error != nil || v.tail.Number > 0 || s.hasPackages()) {
		return v, s.rebuild(v, broken.error)
	}
	v.fresh = !found
	if found && v.fault == nil && !replayed.same(&v.index) {
		v.index = replayed
		s.note(v, Record{Kind: kindRebuilt, Detail: "index.json did not agree with history.log; it was made again"})
	}
	return v, nil
}

// same tells whether two indexes say the same.
func (x *index) same(other *index) bool {
	_, mine, err := seal(x)
	_, others, err2 := seal(other)
	return err == nil && err2 == nil && mine == others
}

func (v *view) noteFault(err error) {
	var place *HistoryError
	switch {
	case errors.As(err, &place) && place.Torn:
		v.torn = err
	case v.fault == nil:
		v.fault = err
	}
}

// note keeps a record for the next time that the history is written, says it,
// and shows the index as it will be.
func (s *Store) note(v *view, r Record) {
	number, head := v.Number, v.Head
	v.apply(r)
	v.Number, v.Head = number, head
	v.notes = append(v.notes, r)
	s.warn(r.Detail)
}

// rebuild says that the index was made again, and adds the packages that no
// record of a damaged history tells of.
func (s *Store) rebuild(v *view, why error) error {
	detail := "index.json was not there"
	if why != nil {
		detail = "index.json was damaged (" + why.Error() + ")"
	}
	s.note(v, Record{Kind: kindRebuilt, Detail: fmt.Sprintf("%s; it was made again of %d records of history.log", detail, v.Number)})
	if v.fault == nil && v.Number > 0 {
		return nil // a package without a record was never installed to its end
	}
	return s.addPackages(v)
}

// addPackages takes in the packages in the folder that the history does not
// know. The highest version of an extension without an active one becomes
// active.
func (s *Store) addPackages(v *view) error {
	free := map[string]bool{} // the history has no active version of these
	return s.eachPackage(func(name, number, path string) error {
		if v.find(name, number) != nil {
			return nil
		}
		if _, asked := free[name]; !asked {
			free[name] = v.active(name) == nil
		}
		digest, when, err := lookAtBundle(path)
		if err != nil {
			s.warn(fmt.Sprintf("package %s is left out: %v", path, err))
			return nil
		}
		before := v.active(name)
		s.note(v, Record{
			Kind: KindInstall, Time: when, Name: name, Version: number, Digest: digest,
			Detail: fmt.Sprintf("package %s %s was found; history.log has lost the record of its installation", name, number),
		})
		if before != nil && (!free[name] || sign.CompareVersions(before.Version, number) > 0) {
			s.note(v, Record{
				Kind: KindActivate, Name: name, Version: before.Version, Digest: before.Digest,
				Detail: fmt.Sprintf("package %s %s is the active one", name, before.Version),
			})
		}
		return nil
	})
}

func lookAtBundle(path string) (digest string, when time.Time, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", time.Time{}, err
	}
	data, err := readBundle(path)
	if err != nil {
		return "", time.Time{}, err
	}
	parts, err := sign.Split(data, sign.DefaultLimits())
	if err != nil {
		return "", time.Time{}, err
	}
	return hashOf(parts.Inner), info.ModTime().UTC(), nil
}

// eachPackage goes through the bundles of the packages folder, known or not.
func (s *Store) eachPackage(visit func(name, number, path string) error) error {
	names, err := os.ReadDir(s.path(packagesFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read packages: %w", err)
	}
	for _, n := range names {
		numbers, err := os.ReadDir(filepath.Join(s.path(packagesFolder), n.Name()))
		if err != nil {
			continue // a file that somebody put there
		}
		for _, v := range numbers {
			name, ok := unescape(n.Name())
			number, ok2 := unescape(v.Name())
			if !ok || !ok2 {
				continue
			}
			if err := visit(name, number, filepath.Join(s.path(packagesFolder), n.Name(), v.Name(), bundleFile)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) hasPackages() bool {
	names, err := os.ReadDir(s.path(packagesFolder))
	return err == nil && len(names) > 0
}
