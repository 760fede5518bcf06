package config

import "cmp"

// StateDirOf is the state_dir that the configuration at path names, or the
// default one where the file cannot tell. Errors elsewhere in it do not matter.
func StateDirOf(path string) string {
	return cmp.Or(placeOf(path, "state_dir"), Default().StateDir)
}

// MIBsOf is the folder `mibs` that the configuration at path names, "" for none.
func MIBsOf(path string) string { return placeOf(path, "mibs") }

// placeOf is the file or folder that a key on the top level names, "" if none.
func placeOf(path, key string) string {
	set, _ := readFiles(path)
	if len(set.sources) == 0 {
		return ""
	}
	root, _, _ := set.tree()
	f := root.get(key)
	if f == nil || f.value.shape != scalar || f.value.text == "" {
		return ""
	}
	return absolute(folderOf(path), f.value.text)
}
