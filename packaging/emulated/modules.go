package emulated

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// shelf finds the modules of a kernel.
type shelf struct {
	files   map[string]string // path by name
	builtin map[string]bool
}

// moduleName is how modules name each other: a dash is an underscore.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

func newShelf(dir string) (shelf, error) {
	s := shelf{files: map[string]string{}, builtin: map[string]bool{}}
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return s, err
	}
	for path := range strings.FieldsSeq(string(list)) {
		s.builtin[moduleName(path)] = true
	}
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko") {
			s.files[moduleName(path)] = path
		}
		return err
	})
	return s, err
}

// order gives the files of the modules and of all that they depend on, in an
// order in which they can be loaded.
func (s shelf) order(names []string) (files []string, err error) {
	for _, name := range names {
		if files, err = s.add(files, moduleName(name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (s shelf) add(files []string, name string) ([]string, error) {
	path, found := s.files[name]
	switch {
	case s.builtin[name], found && slices.Contains(files, path):
		return files, nil
	case !found:
		return nil, fmt.Errorf("the kernel has no module %s", name)
	}
	depends, err := dependencies(path)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", path, err)
	}
	for _, d := range depends {
		if files, err = s.add(files, d); err != nil {
			return nil, err
		}
	}
	return append(files, path), nil
}

// dependencies reads what a module says of itself. What it would merely like to
// have (a softdep) goes by other names; a machine names such modules itself.
func dependencies(path string) (names []string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, found := strings.CutPrefix(field, "depends="); found && list != "" {
			names = append(names, strings.Split(list, ",")...)
		}
	}
	for i := range names {
		names[i] = moduleName(names[i])
	}
	return names, nil
}
