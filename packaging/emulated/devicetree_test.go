package emulated

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// seedling is a tree with a root, and a bus with a sibling below it.
func seedling() []byte {
	s := scion{}
	s.node(Node{Nodes: []Node{{Name: "bus@1", Properties: []Property{Cells("reg", 1)}}, {Name: "bus@2"}}})
	s.number(9) // the end
	const reserved = 16
	b := make([]byte, headerSize+reserved)
	for at, v := range map[int]int{
		0: treeMagic, atStruct: len(b), atTokenSize: len(s.tokens), atStrings: len(b) + len(s.tokens), atNamesSize: len(s.names),
	} {
		binary.BigEndian.PutUint32(b[at:], uint32(v))
	}
	b = append(append(b, s.tokens...), s.names...)
	binary.BigEndian.PutUint32(b[atTotal:], uint32(len(b)))
	return b
}

// TestGraft holds the result against the same tree made at once. That a kernel
// understands it, the lights show.
func TestGraft(t *testing.T) {
	leaf := Node{Name: "part@60", Properties: []Property{Text("compatible", "x,y")}}
	got, err := graft(seedling(), "bus@1", []Node{leaf})
	if err != nil {
		t.Fatal(err)
	}
	want := scion{}
	want.node(Node{Nodes: []Node{{Name: "bus@1", Properties: []Property{Cells("reg", 1)}, Nodes: []Node{leaf}}, {Name: "bus@2"}}})
	want.number(9)
	if whole := append(want.tokens, want.names...); !bytes.HasSuffix(got, whole) || len(got) != headerSize+16+len(whole) {
		t.Errorf("%x does not end with %x", got, whole)
	}
	if n := binary.BigEndian.Uint32(got[atTotal:]); int(n) != len(got) {
		t.Errorf("%d bytes are said to be %d", len(got), n)
	}
}

func TestGraftRefuses(t *testing.T) {
	if _, err := graft(seedling(), "bus@3", nil); err == nil || !strings.Contains(err.Error(), "no node bus@3") {
		t.Error(err)
	}
	for n := range seedling() {
		if _, err := graft(seedling()[:n], "bus@1", nil); err == nil {
			t.Errorf("the first %d bytes are taken for a tree", n)
		}
	}
}
