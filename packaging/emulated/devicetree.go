package emulated

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Node is a node of a device tree, such as a part on a bus that QEMU was told of.
type Node struct {
	Name       string // with its address: pca9552@60
	Properties []Property
	Nodes      []Node
}

// Property is one of a node. Text ends with a zero byte, numbers are Cells.
type Property struct {
	Name  string
	Value []byte
}

// Text is a property that is a string.
func Text(name, value string) Property { return Property{name, append([]byte(value), 0)} }

// Cells is a property that is a list of numbers.
func Cells(name string, values ...uint32) Property {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return Property{name, b}
}

// The flattened device tree: a header of ten numbers, then a list of tokens with
// their data, then the names of properties.
const (
	treeMagic   = 0xd00dfeed
	headerSize  = 40
	beginNode   = 1
	endNode     = 2
	property    = 3
	nothing     = 4
	atTotal     = 4  // where the header has the size of all,
	atStruct    = 8  // the offsets of the tokens
	atStrings   = 12 // and of the names,
	atNamesSize = 32 // and their sizes
	atTokenSize = 36
)

var errTree = errors.New("it is no device tree of the usual form")

// graft adds nodes below the one of that name, which comes once.
func graft(tree []byte, parent string, nodes []Node) ([]byte, error) {
	if len(tree) < headerSize || binary.BigEndian.Uint32(tree) != treeMagic {
		return nil, errTree
	}
	field := func(at int) int { return int(binary.BigEndian.Uint32(tree[at:])) }
	start, names := field(atStruct), field(atStrings)
	end, namesEnd := start+field(atTokenSize), names+field(atNamesSize)
	if start < headerSize || names < end || namesEnd < names || len(tree) < namesEnd {
		return nil, errTree
	}
	at, err := endOf(tree[start:end], parent)
	if err != nil {
		return nil, err
	}
	s := scion{names: bytes.Clone(tree[names:namesEnd])}
	for _, n := range nodes {
		s.node(n)
	}
	out := append(bytes.Clone(tree[:start+at]), s.tokens...)
	out = append(out, tree[start+at:end]...)
	tokens := len(out) - start
	out = append(out, s.names...)
	for at, v := range map[int]int{atTotal: len(out), atStrings: start + tokens, atNamesSize: len(s.names), atTokenSize: tokens} {
		binary.BigEndian.PutUint32(out[at:], uint32(v))
	}
	return out, nil
}

// endOf finds the token that ends a node.
func endOf(tokens []byte, name string) (int, error) {
	depth, within := 0, 0
	for at := 0; at+4 <= len(tokens); {
		token, rest := binary.BigEndian.Uint32(tokens[at:]), tokens[at+4:]
		size := 0
		switch token {
		case beginNode:
			length := bytes.IndexByte(rest, 0)
			if length < 0 {
				return 0, errTree
			}
			if depth++; string(rest[:length]) == name {
				within = depth
			}
			size = length + 1
		case endNode:
			if depth == within && within > 0 {
				return at, nil
			}
			depth--
		case property:
			if len(rest) < 8 {
				return 0, errTree
			}
			size = 8 + int(binary.BigEndian.Uint32(rest))
		case nothing:
		default: // the end, too
			return 0, fmt.Errorf("the device tree has no node %s", name)
		}
		at += 4 + size + -size&3
	}
	return 0, errTree
}

// scion is what is grafted.
type scion struct{ tokens, names []byte }

func (s *scion) number(v int) { s.tokens = binary.BigEndian.AppendUint32(s.tokens, uint32(v)) }

func (s *scion) data(b []byte) {
	s.tokens = append(s.tokens, b...)
	s.tokens = append(s.tokens, make([]byte, -len(b)&3)...)
}

func (s *scion) node(n Node) {
	s.number(beginNode)
	s.data(append([]byte(n.Name), 0))
	for _, p := range n.Properties {
		s.number(property)
		s.number(len(p.Value))
		s.number(len(s.names))
		s.data(p.Value)
		s.names = append(append(s.names, p.Name...), 0)
	}
	for _, child := range n.Nodes {
		s.node(child)
	}
	s.number(endNode)
}
