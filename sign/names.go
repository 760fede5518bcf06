package sign

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// names checks paths one by one and against each other.
type names struct {
	limits Limits
	exact  map[string]string // folded path -> path as it came first
	folder map[string]bool   // folded path -> it is a folder
	listed map[string]bool   // folded path -> it had an entry of its own
}

func newNames(limits Limits) *names {
	return &names{limits: limits, exact: map[string]string{}, folder: map[string]bool{}, listed: map[string]bool{}}
}

// add takes a path without a trailing slash. The folders above it count too.
func (n *names) add(name string, folder bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	if strings.Count(name, "/")+1 > n.limits.Depth {
		return fmt.Errorf("lies deeper than %d folders", n.limits.Depth)
	}
	for i, c := range name {
		if c != '/' {
			continue
		}
		if err := n.note(name[:i], true); err != nil {
			return err
		}
	}
	if err := n.note(name, folder); err != nil {
		return err
	}
	if n.listed[fold(name)] {
		return refuse(RuleZipTwice, "the name comes twice", "leave one of them")
	}
	n.listed[fold(name)] = true
	return nil
}

func (n *names) note(path string, folder bool) error {
	key := fold(path)
	first, seen := n.exact[key]
	switch {
	case seen && first != path:
		return refuse(RuleZipTwice, fmt.Sprintf("%q and %q differ in upper and lower case only", first, path), "leave one of them")
	case seen && n.folder[key] != folder:
		return refuse(RuleZipTwice, fmt.Sprintf("%q is file and folder at once", path), "leave one of them")
	case !seen && len(n.exact) >= n.limits.Entries:
		return fmt.Errorf("the package has more than %d files and folders", n.limits.Entries)
	}
	n.exact[key], n.folder[key] = path, folder
	return nil
}

// fold maps names that only differ in case to one.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// checkName refuses names that are not plain relative paths.
func checkName(name string) error {
	switch {
	case name == "":
		return badName("the name is empty", "")
	case !utf8.ValidString(name):
		return badName("the name is not UTF-8", "rename the file")
	case strings.HasPrefix(name, "/"), len(name) > 1 && name[1] == ':':
		return badName("absolute paths are refused", mendInside)
	case strings.Contains(name, `\`):
		return badName("backslashes in names are refused", "folders are parted by /")
	case strings.ContainsFunc(name, unicode.IsControl):
		return badName("control characters in names are refused", "rename the file")
	case name == "..", strings.HasPrefix(name, "../"), strings.HasSuffix(name, "/.."), strings.Contains(name, "/../"):
		return badName("the path leaves the package", mendInside)
	case !fs.ValidPath(name), name == ".":
		return badName("the path has an empty or . part", mendInside)
	}
	return nil
}

const mendInside = "zip it from inside the package folder"

func badName(text, mend string) error { return refuse(RuleZipName, text, mend) }
