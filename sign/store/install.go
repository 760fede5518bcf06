package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgehold/edgehold/sign"
)

// The rules of refusals that the store makes.
const (
	RuleSameVersion sign.Rule = "same_version" // other bytes under a version that is known
	RuleDowngrade   sign.Rule = "downgrade"
	RuleUnsigned    sign.Rule = "unsigned" // in place of a signed one
)

// Candidate is a package to be installed.
type Candidate struct {
	Bundle         []byte // bundle.zip, or extension.zip of one without signature
	Name, Version  string // of its manifest
	Verdict        *sign.Verdict
	AllowDowngrade bool
}

// Install keeps a package and makes it the active version. A package that is
// installed already may come again, also signed anew; other bytes of a version
// that was ever here, and a lower version without leave, are a *sign.Refusal.
func (s *Store) Install(c Candidate) (Entry, error) {
	made, err := s.install(c)
	if err != nil {
		return Entry{}, fmt.Errorf("install %s %s: %w", c.Name, c.Version, err)
	}
	return made, nil
}

func (s *Store) install(c Candidate) (made Entry, err error) {
	if err := sign.CheckIdentity(c.Name, c.Version); err != nil {
		return Entry{}, err
	}
	parts, err := sign.Split(c.Bundle, sign.DefaultLimits())
	if err != nil {
		return Entry{}, err
	}
	digest := hashOf(parts.Inner)
	if c.Verdict != nil && c.Verdict.Digest != digest {
		return Entry{}, errors.New("the verdict is of another package")
	}
	path, err := s.bundlePath(c.Name, c.Version)
	if err != nil {
		return Entry{}, err
	}
	record := Record{Kind: KindInstall, Name: c.Name, Version: c.Version, Digest: digest}
	if c.Verdict != nil {
		record.Signer = c.Verdict.Signer().Fingerprint
		for _, category := range c.Verdict.Categories {
			record.Categories = append(record.Categories, category.Name)
		}
	}
	err = s.change(func(v *view) error {
		if err := v.admissible(c, digest); err != nil {
			return err
		}
		if err := s.place(v, path, c.Bundle, record); err != nil {
			return err
		}
		made = v.find(c.Name, c.Version).Entry
		s.sweep(v)
		return nil
	})
	return made, err
}

// admissible holds a candidate against what was here before.
func (v *view) admissible(c Candidate, digest string) error {
	known := v.find(c.Name, c.Version)
	if known != nil && known.Digest != digest {
		return otherBytes(*known, digest)
	}
	if known != nil && known.Present && known.Signer != "" && c.Verdict == nil {
		return &sign.Refusal{
			Rule: RuleUnsigned,
			Text: fmt.Sprintf("%s %s is installed with a signature, and this is the same package without one", c.Name, c.Version),
			Mend: "give the signed bundle, or remove the installed one first",
		}
	}
	if before := v.before(c.Name); before != nil && sign.CompareVersions(c.Version, before.Version) < 0 && !c.AllowDowngrade {
		is := "was here before"
		if before.Active {
			is = "is the active version"
		}
		return &sign.Refusal{
			Rule: RuleDowngrade,
			Text: fmt.Sprintf("version %s of %s is lower than %s, which %s", c.Version, c.Name, before.Version, is),
			Mend: "a lower version may bring back faults that were mended; --allow-downgrade installs it all the same",
		}
	}
	return nil
}

func otherBytes(known version, digest string) error {
	return &sign.Refusal{
		Rule: RuleSameVersion,
		Text: fmt.Sprintf("%s %s is known with other content: extension.zip had the SHA-256 %s and now has %s", known.Name, known.Version, known.Digest, digest),
		Mend: "give what was changed a new version",
	}
}

// before is the version that a new one is held against: the active one, or else
// the highest that was ever here.
func (v *view) before(name string) *version {
	if active := v.active(name); active != nil {
		return active
	}
	var highest *version
	for i := range v.Versions {
		if v.Versions[i].Name == name {
			highest = &v.Versions[i] // they are in order
		}
	}
	return highest
}

// place writes the bundle, if need be, and the record. Without the record a
// bundle is not installed.
func (s *Store) place(v *view, path string, bundle []byte, r Record) error {
	known := v.find(r.Name, r.Version)
	before := v.active(r.Name)
	there, err := readBundle(path)
	same := err == nil && bytes.Equal(there, bundle)
	if known != nil && known.Present && same {
		if known.Active && known.Signer == r.Signer {
			return nil
		}
		if known.Signer == r.Signer {
			r.Kind = KindActivate
		}
	}
	switch {
	case before != nil && sign.CompareVersions(r.Version, before.Version) < 0:
		r.Detail = "instead of the higher version " + before.Version
	case known != nil && known.Present && known.Signer != r.Signer:
		r.Detail = "signed again; the signer was " + orNobody(known.Signer)
	case before != nil && before.Version != r.Version:
		r.Detail = "instead of version " + before.Version
	}
	if !same {
		folder := filepath.Dir(path)
		if err := errors.Join(s.disk.folder(filepath.Dir(folder)), s.disk.folder(folder)); err != nil {
			return fmt.Errorf("write package: %w", err)
		}
		if err := s.disk.replace(path, bundle); err != nil {
			return fmt.Errorf("write package: %w", err)
		}
	}
	return s.commit(v, r)
}

func orNobody(signer string) string {
	if signer == "" {
		return "nobody"
	}
	return signer
}

// Activate makes an installed version the active one.
func (s *Store) Activate(name, number string, allowDowngrade bool) (Entry, error) {
	var made Entry
	err := s.change(func(v *view) error {
		chosen, err := v.installed(name, number)
		if err != nil {
			return err
		}
		err = v.admissible(Candidate{Name: name, Version: number, Verdict: &sign.Verdict{}, AllowDowngrade: allowDowngrade}, chosen.Digest)
		if err != nil {
			return err
		}
		made = chosen.Entry
		if chosen.Active {
			return nil
		}
		r := Record{Kind: KindActivate, Name: name, Version: number, Digest: chosen.Digest, Signer: chosen.Signer}
		if before := v.active(name); before != nil {
			r.Detail = "instead of version " + before.Version
		}
		made.Active = true
		return s.commit(v, r)
	})
	if err != nil {
		return Entry{}, fmt.Errorf("activate %s %s: %w", name, number, err)
	}
	return made, nil
}

// Remove takes an installed version away, or the active one for version "". What
// its bytes were stays known.
func (s *Store) Remove(name, number string) error {
	err := s.change(func(v *view) error {
		gone, err := v.installed(name, number)
		if err != nil {
			return err
		}
		if err := s.commit(v, Record{Kind: KindRemove, Name: name, Version: gone.Version, Digest: gone.Digest}); err != nil {
			return err
		}
		s.sweep(v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove %s %s: %w", name, number, err)
	}
	return nil
}

// sweep deletes what removed and interrupted installations left. What cannot be
// deleted now is when something is installed or removed the next time.
func (s *Store) sweep(v *view) {
	if v.fault != nil {
		return // packages may be all that is left
	}
	err := s.eachPackage(func(name, number, path string) error {
		if known := v.find(name, number); known != nil && known.Present {
			return nil
		}
		folder := filepath.Dir(path)
		files, err := os.ReadDir(folder)
		for _, f := range files {
			err = errors.Join(err, s.disk.remove(filepath.Join(folder, f.Name())))
		}
		err = errors.Join(err, s.disk.remove(folder))
		_ = os.Remove(filepath.Dir(folder)) // it stays while it holds other versions
		return err
	})
	if err != nil {
		s.warn(fmt.Sprintf("files of removed packages are left: %v", err))
	}
}

// Admission is a package that is used from where it lies.
type Admission struct {
	Name, Version string // of its manifest
	Digest        string
	Signer        string // fingerprint; empty: unsigned
}

// Admit remembers a package that is used from where it lies. As Install does, it
// refuses other bytes of a version that was ever here, and a version lower than
// the highest that was; and what has no signature where a package of that name
// had one.
func (s *Store) Admit(a Admission) error {
	v, err := s.read()
	if err != nil {
		return err
	}
	known, err := v.admitted(a)
	if known || err != nil {
		return err
	}
	return s.change(func(v *view) error {
		if known, err := v.admitted(a); known || err != nil {
			return err
		}
		return s.commit(v, Record{Kind: KindAdmit, Name: a.Name, Version: a.Version, Digest: a.Digest, Signer: a.Signer})
	})
}

// Admissible gives the error that Admit would, and remembers nothing.
func (s *Store) Admissible(a Admission) error {
	v, err := s.read()
	if err != nil {
		return err
	}
	_, err = v.admitted(a)
	return err
}

func (v *view) admitted(a Admission) (bool, error) {
	if err := sign.CheckIdentity(a.Name, a.Version); err != nil {
		return false, err
	}
	known := v.find(a.Name, a.Version)
	if known != nil && known.Digest != a.Digest {
		return false, otherBytes(*known, a.Digest)
	}
	if known != nil && known.Active && (known.Signer == "") == (a.Signer == "") {
		return true, nil // whoever installed it has decided
	}
	var highest *version
	for i := range v.Versions { // they are in order
		one := &v.Versions[i]
		if one.Name != a.Name {
			continue
		}
		highest = one
		if one.Signer != "" && a.Signer == "" {
			return false, &sign.Refusal{
				Rule: RuleUnsigned,
				Text: fmt.Sprintf("%s %s has no signature, and version %s was here with one", a.Name, a.Version, one.Version),
				Mend: "sign it, or give what is to run unsigned a name of its own",
			}
		}
	}
	if highest != nil && sign.CompareVersions(a.Version, highest.Version) < 0 {
		return false, &sign.Refusal{
			Rule: RuleDowngrade,
			Text: fmt.Sprintf("version %s of %s is lower than %s, which was here before", a.Version, a.Name, highest.Version),
			Mend: "a lower version may bring back faults that were mended; `edgehold ext install --allow-downgrade` of this package allows it all the same",
		}
	}
	return known != nil && (known.Signer != "" || a.Signer == ""), nil
}

// readBundle reads a bundle of the store, no more than a package may have.
func readBundle(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if most := sign.DefaultLimits().PackageBytes; !info.Mode().IsRegular() || info.Size() > most {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("not a file of at most %d bytes", most)}
	}
	return os.ReadFile(path)
}
