package extension

import (
	"errors"
	"fmt"
	"regexp"
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
		return nil, fmt.Errorf("%s: the file is empty", file)
	}
	c := yamlConverter{done: make(map[*yaml.Node]*node), size: make(map[*node]int)}
	n, err := c.convert(doc.Content[0])
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return n, nil
}

func yamlError(err error, file string) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	place := file
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		place += ":" + m[1]
		text = text[len(m[0]):]
	}
	return fmt.Errorf("%s: not valid YAML: %s", place, text)
}

var errManyNodes = errors.New("the anchors of the file blow it up beyond reason")

// yamlConverter makes nodes of YAML nodes. An anchor is converted once and
// shared; size counts what it would be if written out.
type yamlConverter struct {
	done map[*yaml.Node]*node
	size map[*node]int
}

func (c *yamlConverter) convert(y *yaml.Node) (*node, error) {
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if n, seen := c.done[y]; seen {
		if n == nil {
			return nil, fmt.Errorf("%d:%d: the anchor contains itself", y.Line, y.Column)
		}
		return n, nil
	}
	c.done[y] = nil // under way
	n := &node{line: y.Line, col: y.Column}
	var err error
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

func (c *yamlConverter) list(n *node, y *yaml.Node) error {
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

func (c *yamlConverter) object(n *node, y *yaml.Node) error {
	n.kind = kindMap
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		value, err := c.convert(y.Content[i+1])
		switch {
		case err != nil:
			return err
		case key.Kind != yaml.ScalarNode:
			return fmt.Errorf("%d:%d: found a key that is not a text", key.Line, key.Column)
		case key.ShortTag() == "!!merge":
			merged = append(append(merged, value), value.items...)
		default:
			n.fields = append(n.fields, field{key.Value, value, key.Line, key.Column})
		}
	}
	return n.merge(merged)
}

// merge adds the fields of others whose keys n does not have yet.
func (n *node) merge(others []*node) error {
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
			return fmt.Errorf("%d:%d: %w", n.line, n.col, errManyNodes)
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

func (c *yamlConverter) count(n *node) error {
	total := 1
	for _, item := range n.items {
		total += c.size[item]
	}
	for _, f := range n.fields {
		total += c.size[f.value]
	}
	c.size[n] = total
	if total > maxNodes {
		return fmt.Errorf("%d:%d: %w", n.line, n.col, errManyNodes)
	}
	return nil
}
