package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is far above any configuration written by people or tools.
const maxFile = 4 << 20

// fileSet is a configuration as read: the main file first, then those of
// config.d by name.
type fileSet struct {
	sources  []source
	warnings []Warning
}

func (s fileSet) names() []string {
	names := make([]string, len(s.sources))
	for i, src := range s.sources {
		names[i] = src.name
	}
	return names
}

// hash is a fingerprint of the content of all files.
func (s fileSet) hash() string {
	h := sha256.New()
	for _, src := range s.sources {
		fmt.Fprintf(h, "%d\n", len(src.data))
		h.Write(src.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readFiles reads the file at path and the *.yaml files of config.d beside it.
func readFiles(path string) (fileSet, []Error) {
	var set fileSet
	main, fault := readSource(path)
	if fault != nil {
		return set, []Error{*fault}
	}
	set.sources = []source{main}
	folder := filepath.Join(filepath.Dir(path), "config.d")
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return set, []Error{{File: folder, Found: "cannot be read (" + reason(err) + ")", Mend: "let the agent's user read the folder"}}
	}
	var errs []Error
	for _, e := range entries { // sorted by name
		name := filepath.Join(folder, e.Name())
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		if filepath.Ext(name) != ".yaml" {
			set.warnings = append(set.warnings, Warning{Where: name, Text: "is not read; the name of a configuration file ends with .yaml"})
			continue
		}
		src, fault := readSource(name)
		if fault != nil {
			errs = append(errs, *fault)
			continue
		}
		set.sources = append(set.sources, src)
	}
	return set, errs
}

func readSource(path string) (source, *Error) {
	data, err := readRegular(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return source{}, &Error{File: path, Found: "no such file", Mend: "write one that holds at least `site:` and `uplink:`, or name another with --config FILE"}
	case errors.Is(err, fs.ErrPermission):
		return source{}, &Error{File: path, Found: "this user may not read it", Mend: "run as the agent's user or with sudo, or change the owner with chown"}
	case err != nil:
		return source{}, &Error{File: path, Found: "cannot be read (" + reason(err) + ")"}
	}
	return source{name: path, data: data}, nil
}

// reason is the bare cause of a file error, without the path.
func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// tree parses all files and merges them. The root is an empty node where no
// file holds anything; broken means that a file could not be taken in.
func (s fileSet) tree() (root *node, broken bool, errs []Error) {
	root = &node{file: s.sources[0].name, line: 1, column: 1}
	for _, src := range s.sources {
		n, faults := src.parse()
		errs = append(errs, faults...)
		if n == nil {
			broken = broken || len(faults) > 0
			continue
		}
		if n.shape != table && n.shape != empty {
			e := n.fault("", "found "+describe(n, "", false))
			if n.shape == scalar {
				e.Found = "found a single value"
			}
			e.Expected, e.Mend = aMap, "begin with `site: NAME`"
			errs, broken = append(errs, e), true
			continue
		}
		root, errs = merge(root, n, "", errs)
	}
	return root, broken, errs
}

// merge joins maps key by key and appends lists; a single value given twice is
// an error at its second place.
func merge(a, b *node, path string, errs []Error) (*node, []Error) {
	switch {
	case b.shape == empty:
		return a, errs
	case a.shape == empty:
		return b, errs
	case a.shape == list && b.shape == list:
		joined := *a
		joined.items = slices.Concat(a.items, b.items)
		return &joined, errs
	case a.shape != table || b.shape != table:
		e := b.fault(path, "given twice, first at "+a.where())
		e.Mend = "remove one of them"
		return a, append(errs, e)
	}
	joined := *a
	joined.fields, joined.index = slices.Clone(a.fields), nil
	var added []field
	for _, f := range b.fields {
		first := joined.get(f.key)
		if first == nil {
			added = append(added, f)
			continue
		}
		first.value, errs = merge(first.value, f.value, join(path, f.key), errs)
	}
	joined.fields, joined.index = append(joined.fields, added...), nil
	return &joined, errs
}
