package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

type shape uint8

const (
	empty  shape = 0 // a key without a value
	scalar shape = 1
	list   shape = 2
	table  shape = 3
)

// node is a YAML value with the place it came from. Aliases and merge keys are
// resolved, keys are unique.
type node struct {
	shape  shape
	file   string
	line   int
	column int
	text   string // of a scalar
	tag    string // of a scalar: !!str, !!int, !!float, !!bool, !!timestamp ...
	items  []*node
	fields []field
	index  map[string]int // of fields, made by get
}

type field struct {
	key   string
	at    *node // the key itself
	value *node
}

// get is the field with a key, nil for none. Fields are not added after it.
func (n *node) get(key string) *field {
	if n.index == nil {
		n.index = make(map[string]int, len(n.fields))
		for i, f := range n.fields {
			n.index[f.key] = i
		}
	}
	if i, ok := n.index[key]; ok {
		return &n.fields[i]
	}
	return nil
}

func (n *node) where() string { return position(n.file, n.line, n.column) }

func (n *node) fault(path, found string) Error {
	return Error{File: n.file, Line: n.line, Column: n.column, Path: path, Found: found}
}

const maxDepth = 32

// reader makes nodes of YAML nodes of one file.
type reader struct {
	file string
	made map[*yaml.Node]*node // nil while it is being made
	errs []Error
}

func (r *reader) place(y *yaml.Node) *node {
	return &node{file: r.file, line: max(y.Line, 1), column: max(y.Column, 1)}
}

func (r *reader) fail(y *yaml.Node, path string, e Error) {
	e.File, e.Line, e.Column, e.Path = r.file, max(y.Line, 1), max(y.Column, 1), path
	r.errs = append(r.errs, e)
}

func (r *reader) node(y *yaml.Node, path string, depth int) *node {
	if done, ok := r.made[y]; ok {
		if done == nil {
			r.fail(y, path, Error{Found: "an anchor whose value contains itself"})
			return r.place(y)
		}
		return done
	}
	r.made[y] = nil
	n := r.place(y)
	switch {
	case depth > maxDepth:
		r.fail(y, path, Error{Found: fmt.Sprintf("nested deeper than %d levels", maxDepth)})
	case y.Kind == yaml.AliasNode:
		n = r.node(y.Alias, path, depth+1)
	case y.Kind == yaml.SequenceNode:
		n.shape = list
		for i, item := range y.Content {
			n.items = append(n.items, r.node(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case y.Kind == yaml.MappingNode:
		n.shape = table
		r.fields(n, y, path, depth)
	case y.Kind == yaml.ScalarNode && y.ShortTag() != "!!null":
		n.shape, n.text, n.tag = scalar, y.Value, y.ShortTag()
	}
	r.made[y] = n
	return n
}

func (r *reader) fields(n *node, y *yaml.Node, path string, depth int) {
	var merged []*node
	lines := make(map[string]int, len(y.Content)/2) // of the keys
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merged = append(merged, r.merge(k, v, path, depth)...)
			continue
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			r.fail(k, path, Error{Found: "a key that is no plain text"})
			continue
		}
		name := join(path, k.Value)
		if soundsSecret(path) && path != "credentials" || v.ShortTag() == "!!null" {
			name = join(path, hiddenKey)
		}
		if first, twice := lines[k.Value]; twice {
			r.fail(k, name, Error{Found: fmt.Sprintf("given twice, first in line %d", first), Mend: "remove one of them"})
			continue
		}
		lines[k.Value] = max(k.Line, 1)
		n.fields = append(n.fields, field{key: k.Value, at: r.place(k), value: r.node(v, name, depth+1)})
	}
	for _, m := range merged {
		for _, f := range m.fields {
			if _, own := lines[f.key]; !own {
				lines[f.key] = f.at.line
				n.fields = append(n.fields, f)
			}
		}
	}
}

// merge returns the maps that a merge key (<<) names.
func (r *reader) merge(k, v *yaml.Node, path string, depth int) []*node {
	m := r.node(v, path, depth+1)
	maps := []*node{m}
	if m.shape == list {
		maps = m.items
	}
	for _, one := range maps {
		if one.shape != table {
			r.fail(k, path, Error{Found: "a merge key that does not name maps", Expected: "<<: *anchor"})
			return nil
		}
	}
	return maps
}
