package extension

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Identity reads the name and the version of a package of any data source, also
// of one that cannot run here. Name is the package as its user knows it, for
// messages.
func Identity(fsys fs.FS, name string) (extension, version string, err error) {
	file := path.Join(name, manifestName)
	data, err := readManifest(fsys)
	if err != nil {
		return "", "", fmt.Errorf("read manifest %s: %w", file, err)
	}
	root, err := parseYAML(data, file)
	if err != nil {
		return "", "", err
	}
	extension, version = root.field("name").plain(), root.field("version").plain()
	if v := root.field("version"); v != nil && v.kind == kindNumber {
		version = v.text // 1.0, without quotes
	}
	if extension == "" || version == "" {
		return "", "", fmt.Errorf("%s: name or version is missing, expected e.g. name: custom:site.switch and version: 1.0.0", file)
	}
	return extension, version, nil
}

// DataSource tells whether packages of a data source run here, and if not, why.
// The name is that of the manifest's key; case does not matter.
func DataSource(name string) (runs bool, reason string) {
	if slices.ContainsFunc(sourceNames(), func(s string) bool { return strings.EqualFold(name, s) }) {
		return true, ""
	}
	for _, f := range foreign {
		if strings.EqualFold(name, f.name) {
			return false, f.reason
		}
	}
	return false, "it is not known here"
}
