package board

import (
	"os"
	"path/filepath"
	"strings"
)

// treeStrings takes a list of strings of a device tree apart: each ends with a
// zero byte.
func treeStrings(data []byte) []string {
	var all []string
	for part := range strings.SplitSeq(string(data), "\x00") {
		if text := plainText([]byte(part)); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// treeNode is the path within the device tree of what a folder of sysfs stands
// for, such as /soc/i2c@7e804000; "" where it does not come from the tree.
func treeNode(dir string) string {
	target, err := filepath.EvalSymlinks(filepath.Join(dir, "of_node"))
	if err != nil {
		return ""
	}
	_, node, found := strings.Cut(target, "/devicetree/base")
	if !found {
		return ""
	}
	return node
}

func (p Paths) tree(property string) []string {
	data, err := os.ReadFile(p.proc("device-tree", property))
	if err != nil {
		return nil
	}
	return treeStrings(data)
}
