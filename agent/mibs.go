package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/edgehold/edgehold/agent/extension/mib"
)

const (
	mibsFolder    = "mibs" // in the state folder
	packageMIBs   = "snmp" // in a package
	mibSuffix     = ".mib"
	mostMIBs      = 64   // compiled folders that are kept
	mibWarnings   = 5    // of a folder that are told one by one
	mostMIBsFiles = 2000 // that are read of a folder
)

// MIBShelf reads MIB files: those of packages and of a folder of the site. What
// it has compiled it keeps in a folder, by what it was made of, since compiling
// takes long on a small gateway.
type MIBShelf struct {
	cache  string // folder; "": nothing is kept
	writes bool
	site   string // folder of MIB files; "": none

	siteKey string
	siteSet *mib.Set
	opened  bool // the site's were read
}

// MIBShelfOptions say where MIB files are and what may be written.
type MIBShelfOptions struct {
	State  string // the state folder; "": nothing is kept
	Writes bool
	Site   string // the folder `mibs` of the configuration, "" for none
}

// NewMIBShelf makes a shelf. It reads nothing yet.
func NewMIBShelf(o MIBShelfOptions) *MIBShelf {
	s := &MIBShelf{site: o.Site, writes: o.Writes}
	if o.State != "" {
		s.cache = filepath.Join(o.State, mibsFolder)
	}
	return s
}

// Of gives the objects that a package may name beside the built-in ones: its
// own, then those of the site. nil: there are none. Digest stands for the content
// of the package.
func (s *MIBShelf) Of(files fs.FS, digest string) (*mib.Set, []string) {
	warnings := s.open()
	folder, err := fs.Sub(files, packageMIBs)
	if err == nil {
		_, err = fs.Stat(folder, ".")
	}
	if err != nil {
		return s.siteSet, warnings
	}
	set, more := s.compiled(keyOf("package", digest, s.siteKey), folder, s.siteSet)
	return mib.Join(set, s.siteSet), append(warnings, more...)
}

// Forget lets go of what was read, which is large.
func (s *MIBShelf) Forget() { s.opened, s.siteSet, s.siteKey = false, nil, "" }

// open reads what all packages share.
func (s *MIBShelf) open() []string {
	if s.opened || s.site == "" {
		return nil
	}
	s.opened = true
	key, err := folderKey(s.site)
	if err != nil {
		return []string{fmt.Sprintf("read mibs: %v; give a folder of MIB files that the agent's user may read, or remove the key", err)}
	}
	s.siteKey = key
	set, warnings := s.compiled(key, os.DirFS(s.site), nil)
	s.siteSet = set.OfSite()
	return warnings
}

// folderKey stands for the files of a folder as they are now: as many as are
// read of one.
func folderKey(folder string) (string, error) {
	parts := []string{"site", folder}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if len(parts) > 2+mostMIBsFiles {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		parts = append(parts, fmt.Sprint(path, info.Size(), info.ModTime().UnixNano()))
		return nil
	})
	return keyOf(parts...), err
}

func keyOf(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:])
}

// compiled gives the objects of a folder, from the cache if it has them. What
// cannot be kept is compiled again the next time.
func (s *MIBShelf) compiled(key string, files fs.FS, more *mib.Set) (*mib.Set, []string) {
	path := filepath.Join(s.cache, key+mibSuffix)
	if s.cache != "" {
		if data, err := os.ReadFile(path); err == nil {
			set := &mib.Set{}
			if set.UnmarshalBinary(data) == nil {
				return set, nil
			}
		}
	}
	set, found := mib.Compile(files, more)
	warnings := shortened(found)
	if s.cache != "" && s.writes {
		if err := s.keep(path, set); err != nil {
			warnings = append(warnings, fmt.Sprintf("keep the compiled MIB files: %v; they are compiled at each start", err))
		}
	}
	return set, warnings
}

func shortened(found []mib.Warning) []string {
	var out []string
	for i, w := range found {
		if i == mibWarnings {
			return append(out, fmt.Sprintf("and %d more of this kind", len(found)-i))
		}
		out = append(out, w.String())
	}
	return out
}

// keep writes a set in one step, so that nobody reads half of it.
func (s *MIBShelf) keep(path string, set *mib.Set) error {
	data, err := set.MarshalBinary()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return err
	}
	giveAs(s.cache, filepath.Dir(s.cache))
	f, err := os.CreateTemp(s.cache, "new-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	giveAs(f.Name(), s.cache)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return s.sweep()
}

// giveAs makes the owner of one file that of another: root installs packages for
// the agent's user. Nobody else can, and has to.
func giveAs(path, like string) {
	info, err := os.Stat(like)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		_ = os.Lchown(path, int(st.Uid), int(st.Gid))
	}
}

// sweep removes the oldest files where there are too many.
func (s *MIBShelf) sweep() error {
	all, err := os.ReadDir(s.cache)
	if err != nil || len(all) <= mostMIBs {
		return err
	}
	age := func(d fs.DirEntry) int64 {
		info, err := d.Info()
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return cmp.Compare(age(a), age(b)) })
	for _, d := range all[:len(all)-mostMIBs] {
		if err := os.Remove(filepath.Join(s.cache, d.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
