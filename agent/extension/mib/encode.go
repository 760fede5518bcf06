package mib

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"strings"
)

// The compact form is a mark and a DEFLATE stream of: the number of tables; of
// each table its modules, its types, and of its objects, in order of OID, all
// OIDs and all names (what they share with the one before, then the rest), all
// kinds, modules, types and lists. Numbers are varints, texts and lists have
// their length before them.
const (
	mark      = "EHM1"
	maxBody   = 32 << 20 // bytes, inflated
	maxTables = 64
)

// MarshalBinary gives the compact form, the same for the same set.
func (s *Set) MarshalBinary() ([]byte, error) {
	var e encoder
	tables := s.all()
	if len(tables) > maxTables {
		return nil, fmt.Errorf("pack MIB objects: more than %d sets joined", maxTables)
	}
	e.number(len(tables))
	for _, t := range tables {
		e.table(t)
	}
	out := bytes.NewBufferString(mark)
	w, err := flate.NewWriter(out, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("pack MIB objects: %w", err)
	}
	if _, err := w.Write(e.b); err != nil {
		return nil, fmt.Errorf("pack MIB objects: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack MIB objects: %w", err)
	}
	return out.Bytes(), nil
}

type encoder struct{ b []byte }

func (e *encoder) number(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

func (e *encoder) text(s string) {
	e.number(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) texts(list []string) {
	e.number(len(list))
	for _, s := range list {
		e.text(s)
	}
}

func (e *encoder) table(t *table) {
	modules, number := t.modules()
	e.texts(modules)
	e.number(len(t.types) - 1)
	for _, d := range t.types[1:] {
		e.typeDef(d, number)
	}
	e.number(len(t.entries))
	before := ""
	for _, o := range t.entries {
		e.oid(before, o.oid)
		before = o.oid
	}
	before = ""
	for _, o := range t.entries {
		n := sharedPrefix(before, o.name)
		e.number(n)
		e.text(o.name[n:])
		before = o.name
	}
	for _, o := range t.entries {
		e.number(o.head())
	}
	for _, o := range t.entries {
		e.number(number[o.module])
	}
	for _, o := range t.entries {
		if o.valued() {
			e.number(int(o.typ))
		}
	}
	for _, o := range t.entries {
		if o.listed() {
			e.texts(o.list)
		}
	}
}

func (o *entry) head() int {
	if o.implied {
		return int(o.kind)<<1 | 1
	}
	return int(o.kind) << 1
}

// valued says whether the object has a type, listed whether it has a list.
func (o *entry) valued() bool { return o.kind == Scalar || o.kind == Column }
func (o *entry) listed() bool { return o.kind == Entry || o.kind == Notification }

// modules gives the names in use, in order of appearance, and their numbers.
func (t *table) modules() (names []string, number map[string]int) {
	number = map[string]int{}
	add := func(name string) {
		if _, ok := number[name]; !ok {
			number[name] = len(names)
			names = append(names, name)
		}
	}
	for _, d := range t.types[1:] {
		add(d.module)
	}
	for _, o := range t.entries {
		add(o.module)
	}
	return names, number
}

func (e *encoder) typeDef(d typeDef, number map[string]int) {
	e.number(number[d.module])
	e.text(d.name)
	e.number(int(d.base))
	e.text(d.hint)
	e.number(len(d.enum))
	before := int64(0)
	for i, n := range sortedKeys(d.enum) {
		if i == 0 {
			e.b = binary.AppendVarint(e.b, n)
		} else {
			e.b = binary.AppendUvarint(e.b, uint64(n)-uint64(before))
		}
		before = n
	}
	for _, n := range sortedKeys(d.enum) {
		e.text(d.enum[n])
	}
}

// sharedPrefix is how many bytes two names begin with alike.
func sharedPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func (e *encoder) oid(before, oid string) {
	old, arcs := strings.Split(before, "."), strings.Split(oid, ".")
	shared := 0
	for shared < min(len(old), len(arcs)) && old[shared] == arcs[shared] {
		shared++
	}
	e.number(shared)
	e.number(len(arcs) - shared)
	for _, arc := range arcs[shared:] {
		e.b = binary.AppendUvarint(e.b, parseArc(arc))
	}
}
