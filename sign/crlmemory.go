package sign

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A CRL that is deleted, or replaced by an older one, would bring back what it
// revoked. So the newest of each issuer is remembered, by the issuer's name and
// key; of an issuer that speaks in several lists, the newest of each.

const (
	crlPrefix   = "crl-"
	maxKeptCRLs = 1000
)

// loadCRLs weighs the CRLs of the folders against those that are remembered.
func (t *Trust) loadCRLs() {
	if t.options.State == "" {
		return
	}
	kept := t.keptCRLs()
	newest := map[string]*crl{}
	for _, l := range t.crls {
		issuer, namesake := t.crlIssuer(l)
		if issuer == nil && namesake {
			continue // it is forged, which was said
		}
		if issuer == nil {
			t.warn("the CRL %s of %q is not remembered, so that nobody would see it go: put the certificate of that CA into the folder too", l.file, l.list.Issuer)
			continue
		}
		if name := l.memory(issuer); newest[name] == nil || newest[name].olderThan(l) {
			newest[name] = l
		}
	}
	for _, l := range kept {
		name := filepath.Base(l.file)
		found := newest[name]
		delete(newest, name)
		t.weigh(l, found)
	}
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		t.keep(name, newest[name])
	}
}

// weigh holds what is remembered against what was found, if anything was.
func (t *Trust) weigh(kept, found *crl) {
	switch {
	case found == nil:
		t.warn("the CRL of %q is no longer in the folder of its CA; the one remembered, %s, stays in force: put it back", kept.list.Issuer, kept.words())
	case found.olderThan(kept):
		t.warn("the CRL %s is %s, and %s was here before, which stays in force: put the newest one back", found.file, found.words(), kept.words())
	case bytes.Equal(found.list.Raw, kept.list.Raw):
		return
	case kept.olderThan(found):
		t.keep(filepath.Base(kept.file), found)
		return
	default:
		t.warn("the CRL %s is %s and has another content than the one of that number before, which stays in force too: issue it with a new number", found.file, found.words())
	}
	t.crls = append(t.crls, kept)
}

func (t *Trust) keep(name string, l *crl) {
	if err := remember(filepath.Join(t.options.State, name), l.list.Raw); err != nil {
		t.warn("the CRL %s cannot be remembered, so that nobody would see it go: %v; let the agent write to %s", l.file, err, t.options.State)
	}
}

// keptCRLs are those that are remembered of CAs that are here now.
func (t *Trust) keptCRLs() (kept []*crl) {
	entries, err := os.ReadDir(t.options.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.warn("the CRLs remembered in %s cannot be read: %v", t.options.State, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), crlPrefix) || len(kept) == maxKeptCRLs {
			continue
		}
		path := filepath.Join(t.options.State, e.Name())
		l, err := recallCRL(path)
		if err != nil {
			t.warn("the CRL remembered in %s cannot be used: %v", path, err)
			continue
		}
		// What is remembered is proved by its signature, not by its place.
		if issuer, _ := t.crlIssuer(l); issuer != nil && l.memory(issuer) == e.Name() {
			kept = append(kept, l)
		}
	}
	return kept
}

func recallCRL(path string) (*crl, error) {
	data, err := ReadRegular(path, maxRootBytes)
	if err != nil {
		return nil, err
	}
	list, err := readCRLs(path, data)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("it holds %d lists", len(list))
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// crlIssuer is the CA of the folders that made the CRL, nil without one. namesake:
// there is a CA of that name.
func (t *Trust) crlIssuer(l *crl) (issuer *x509.Certificate, namesake bool) {
	for _, folder := range []*rootFolder{t.site, t.vendor, t.stamps} {
		for _, c := range slices.Concat(folder.roots, folder.helpers) {
			if l.by(c) {
				return c, true
			}
			namesake = namesake || bytes.Equal(l.list.RawIssuer, c.RawSubject)
		}
	}
	return nil, namesake
}

// memory names the file that the CRL is remembered in.
func (l *crl) memory(issuer *x509.Certificate) string {
	var about []byte // which part of the certificates the list is about
	for _, e := range l.list.Extensions {
		if e.Id.Equal(oidDistribution) {
			about = e.Value
		}
	}
	sum := sha256.Sum256(about)
	return crlPrefix + authorityKey(issuer) + "-" + hex.EncodeToString(sum[:8])
}

func (l *crl) olderThan(other *crl) bool {
	if l.list.Number != nil && other.list.Number != nil && l.list.Number.Cmp(other.list.Number) != 0 {
		return l.list.Number.Cmp(other.list.Number) < 0
	}
	return l.list.ThisUpdate.Before(other.list.ThisUpdate)
}

func (l *crl) words() string {
	if l.list.Number == nil {
		return "of " + day(l.list.ThisUpdate)
	}
	return fmt.Sprintf("number %v of %s", l.list.Number, day(l.list.ThisUpdate))
}
