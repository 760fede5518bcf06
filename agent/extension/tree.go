package extension

import "slices"

// kind is the kind of a node.
type kind uint8

const (
	kindNull kind = iota
	kindText
	kindNumber
	kindBool
	kindList
	kindMap
)

// node is one value of a YAML or JSON document and where it stands.
type node struct {
	kind      kind
	text      string // of text, numbers and booleans
	items     []*node
	fields    []field
	line, col int
}

type field struct {
	key       string
	value     *node
	line, col int
}

// what names the kind of a node. It never shows the value, which may be secret.
func (n *node) what() string {
	switch n.kind {
	case kindText:
		return "a text"
	case kindNumber:
		return "a number"
	case kindBool:
		return "true or false"
	case kindList:
		return "a list"
	case kindMap:
		return "an object"
	}
	return "nothing"
}

// field returns the value of a key, nil where n is no object or lacks it.
func (n *node) field(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// list returns the items of a list, none where n is not one.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// plain returns the text of a text, "" where n is not one.
func (n *node) plain() string {
	if n == nil || n.kind != kindText {
		return ""
	}
	return n.text
}

// nearest returns the candidate most like word, "" where none is like it.
func nearest(word string, candidates []string) string {
	best, bestAt := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(word, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance counts the letters to change, add or take away (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// suggest ends a message about an unknown word with the nearest known one.
func suggest(word string, candidates []string) string {
	if len(word) > 100 {
		return ""
	}
	candidates = slices.Sorted(slices.Values(candidates))
	if near := nearest(word, candidates); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}
