package mib

import (
	"sort"
	"strconv"
	"strings"
)

// build gives every definition its place, its kind and its type.
func (c *compiler) build() *table {
	b := &builder{compiler: c, t: &table{types: []typeDef{{}}}, interned: map[string]int32{"": 0}, at: map[string]*definition{}}
	placed := c.placeAll()
	for _, d := range placed {
		if old := b.at[d.oid]; old == nil || old.macro != "OBJECT-TYPE" {
			b.at[d.oid] = d
		}
	}
	for _, d := range placed { // a column is known by its row, and a row may be by its table
		d.kind = b.kind(d)
	}
	for _, d := range placed {
		if !d.aside || (b.at[d.oid] == d && !c.known(d.oid)) {
			b.add(d)
		}
	}
	for _, m := range c.ordered {
		for _, name := range m.typeNames {
			if d := c.declared(namedSyntax{m, name}, 0); d != nil && d.base != None {
				b.intern(d)
			}
		}
	}
	b.t.index()
	return b.t
}

// known says whether the sets outside have this very OID.
func (c *compiler) known(oid string) bool {
	_, rest, ok := c.outside.At(oid)
	return ok && rest == ""
}

// placeAll leaves out what has no place. What only groups objects is never
// seen on the wire.
func (c *compiler) placeAll() []*definition {
	var placed []*definition
	for _, m := range c.ordered {
		for _, d := range m.ordered {
			switch d.macro {
			case "OBJECT-GROUP", "NOTIFICATION-GROUP", "MODULE-COMPLIANCE":
				continue
			}
			if m.defs[d.name] == d && c.place(d, 0) != "" {
				placed = append(placed, d)
			}
		}
	}
	return placed
}

type builder struct {
	*compiler
	t        *table
	interned map[string]int32
	at       map[string]*definition // by OID
}

func (b *builder) kind(d *definition) Kind {
	switch d.macro {
	case "TRAP-TYPE", "NOTIFICATION-TYPE":
		return Notification
	case "OBJECT-TYPE":
	default:
		return Other
	}
	switch {
	case isTable(d):
		return Table
	case b.row(d):
		return Entry
	}
	parent := b.at[parentOID(d.oid)]
	if parent != nil && b.row(parent) {
		return Column
	}
	if o, rest, ok := b.outside.At(parentOID(d.oid)); parent == nil && ok && rest == "" && o.Kind == Entry {
		return Column
	}
	return Scalar
}

// row says whether this is a table's row: by its own words, or because it is
// the one thing beneath a table.
func (b *builder) row(d *definition) bool {
	if isRow(d) {
		return true
	}
	table := b.at[parentOID(d.oid)]
	return d.macro == "OBJECT-TYPE" && !isTable(d) && table != nil && isTable(table)
}

func (b *builder) add(d *definition) {
	e := entry{oid: d.oid, name: d.name, module: d.module.name, kind: d.kind}
	switch d.kind {
	case Notification:
		e.list = d.list
	case Entry:
		e.list, e.implied = b.rowIndexes(d)
	case Scalar, Column:
		e.typ = b.typeIndex(d)
	}
	b.t.entries = append(b.t.entries, e)
}

func (b *builder) typeIndex(d *definition) int32 {
	if d.syntax == nil {
		b.once(d, "syntax "+d.name, "%s has no SYNTAX: its values are taken as they come", clip(d.name))
		return 0
	}
	t := b.typeOf(d.module, d.syntax, 0)
	if t == nil {
		b.once(d, "type "+d.syntax.ref, "type %s is not known (for %s): add the MIB file that defines it", clip(d.syntax.ref), clip(d.name))
		return 0
	}
	if t.base == None {
		return 0
	}
	return b.intern(t)
}

// intern gives a type its number in the table.
func (b *builder) intern(d *typeDef) int32 {
	key := d.key()
	n, ok := b.interned[key]
	if !ok {
		n = int32(len(b.t.types))
		b.interned[key] = n
		b.t.types = append(b.t.types, *d)
	}
	return n
}

// key is one text for each different type.
func (d *typeDef) key() string {
	if d.name != "" {
		return d.module + "\x00" + d.name
	}
	var s strings.Builder
	s.WriteString("\x00" + d.base.String() + "\x00" + d.hint)
	for _, n := range sortedKeys(d.enum) {
		s.WriteString("\x00" + strconv.FormatInt(n, 10) + "\x00" + d.enum[n])
	}
	return s.String()
}

func sortedKeys(enum map[int64]string) []int64 {
	keys := make([]int64, 0, len(enum))
	for n := range enum {
		keys = append(keys, n)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}
