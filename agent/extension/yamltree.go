package extension

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds a document whose anchors are used again and again.
const maxNodes = 500_000

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// parseYAML reads one document. Errors begin with the place, "FILE:LINE:".
func parseYAML(data []byte, file string) (*node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, yamlError(err, file)
	}
	if len(doc.Content) == 0 {
		return nil, &fault{Warning{File: file, Text: "the file is empty"}}
	}
	c := yamlConverter{done: make(map[*yaml.Node]*node), size: make(map[*node]int)}
	n, err := c.convert(doc.Content[0])
	if err != nil {
		err.File = file
		return nil, err
	}
	return n, nil
}

func yamlError(err error, file string) *fault {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	f := &fault{Warning{File: file, rule: ruleYAML}}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	f.Text = "not valid YAML: " + text
	return f
}

const manyNodes = "the anchors of the file blow it up beyond reason"

// placed is a fault of a file that the caller names.
func placed(line, col int, text string) *fault {
	return &fault{Warning{Line: line, Column: col, Text: text}}
}

// yamlConverter makes nodes of YAML nodes. An anchor is converted once and
// shared; size counts what it would be if written out.
type yamlConverter struct {
	done map[*yaml.Node]*node
	size map[*node]int
}

func (c *yamlConverter) convert(y *yaml.Node) (*node, *fault) {
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if n, seen := c.done[y]; seen {
		if n == nil {
			return nil, placed(y.Line, y.Column, "the anchor contains itself")
		}
		return n, nil
	}
	c.done[y] = nil // under way
	n := &node{line: y.Line, col: y.Column}
	var err *fault
	switch y.Kind {
	case yaml.SequenceNode:
		err = c.list(n, y)
	case yaml.MappingNode:
		err = c.object(n, y)
	default:
		n.kind, n.text = scalarKind(y), y.Value
	}
	if err != nil {
		return nil, err
	}
	c.done[y] = n
	return n, c.count(n)
}

func scalarKind(y *yaml.Node) kind {
	switch y.ShortTag() {
	case "!!null":
		return kindNull
	case "!!bool":
		return kindBool
	case "!!int", "!!float":
		return kindNumber
	}
	return kindText
}

func (c *yamlConverter) list(n *node, y *yaml.Node) *fault {
	n.kind = kindList
	for _, item := range y.Content {
		child, err := c.convert(item)
		if err != nil {
			return err
		}
		n.items = append(n.items, child)
	}
	return nil
}

func (c *yamlConverter) object(n *node, y *yaml.Node) *fault {
	n.kind = kindMap
	var merged []*node
	lines := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		value, err := c.convert(y.Content[i+1])
		switch {
		case err != nil:
			return err
		case key.Kind != yaml.ScalarNode:
			return placed(key.Line, key.Column, "found a key that is not a text")
		case lines[key.Value] > 0:
			return twice(key, lines[key.Value])
		case key.ShortTag() == "!!merge":
			merged = append(append(merged, value), value.items...)
		default:
			n.fields = append(n.fields, field{key.Value, value, key.Line, key.Column})
		}
		lines[key.Value] = key.Line
	}
	return n.merge(merged)
}

// twice refuses a key that others may read the other value of.
func twice(key *yaml.Node, first int) *fault {
	f := placed(key.Line, key.Column, fmt.Sprintf("the key %q is given twice, on line %d and on line %d; leave one of them", key.Value, first, key.Line))
	f.rule = ruleYAML
	return f
}

// merge adds the fields of others whose keys n does not have yet.
func (n *node) merge(others []*node) *fault {
	if len(others) == 0 {
		return nil
	}
	has := make(map[string]bool, len(n.fields))
	for _, f := range n.fields {
		has[f.key] = true
	}
	looked := 0
	for _, other := range others {
		if looked += 1 + len(other.fields); looked > maxNodes {
			return placed(n.line, n.col, manyNodes)
		}
		for _, f := range other.fields {
			if !has[f.key] {
				has[f.key] = true
				n.fields = append(n.fields, f)
			}
		}
	}
	return nil
}

func (c *yamlConverter) count(n *node) *fault {
	total := 1
	for _, item := range n.items {
		total += c.size[item]
	}
	for _, f := range n.fields {
		total += c.size[f.value]
	}
	c.size[n] = total
	if total > maxNodes {
		return placed(n.line, n.col, manyNodes)
	}
	return nil
}
